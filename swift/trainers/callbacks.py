"""What happens beside the loop: epochs, a last evaluation, the progress bar, logging.jsonl and the pictures."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from swift.trainers.meter import Meter
from swift.trainers.plots import draw_curves
from swift.trainers.report import REPORT_FILE, make_report, summary
from swift.tuners.optimizers.base import drop_state_of_frozen
from swift.tuners.registry import StepHook
from swift.utils.files import write_json
from swift.utils.logging import get_logger

logger = get_logger()
LOG_FILE = 'logging.jsonl'
_SECONDS_BETWEEN_DRAWINGS = 60.0  # drawing takes about a second


class LoopCallback(TrainerCallback):
    """Tells the trainer that an epoch begins and that a step is over, before it is logged, evaluated and saved."""

    def __init__(self, start_epoch: Callable[[], None], end_step: Callable[[], None]) -> None:
        self._start_epoch = start_epoch
        self._end_step = end_step

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
                       **kwargs: Any) -> None:
        self._start_epoch()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
                    **kwargs: Any) -> None:
        self._end_step()


class StepHookCallback(TrainerCallback):
    """Tells a tuning method when training begins and when the optimizer has made a step.

    What the method has frozen by then keeps no moments.

    Args:
        step_was_made: False after an optimizer step that was left out, as fp16 does when gradients overflow.
    """

    def __init__(self, hook: StepHook, step_was_made: Callable[[], bool]) -> None:
        self._hook = hook
        self._step_was_made = step_was_made

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
                       **kwargs: Any) -> None:
        self._hook.begin(state.max_steps)

    def on_optimizer_step(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
                          **kwargs: Any) -> None:
        if self._step_was_made():
            self._hook.after_optimizer(state.global_step + 1)  # global_step counts those that are over
            drop_state_of_frozen(kwargs['optimizer'])


class LastStepCallback(TrainerCallback):
    """Evaluates and saves at the last step, so that the model a run ends with is measured and kept."""

    def __init__(self, evaluates: bool, saves: bool) -> None:
        self._evaluates = evaluates
        self._saves = saves

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
                    **kwargs: Any) -> None:
        if state.global_step >= state.max_steps:
            control.should_log = True
            control.should_evaluate = self._evaluates
            control.should_save = self._saves


class LogFileCallback(TrainerCallback):
    """One JSON line an event in ``logging.jsonl``; with ``draws``, curves in ``images/`` now and then."""

    def __init__(self, run_dir: Path, draws: bool) -> None:
        self._run_dir = run_dir
        self._draws = draws
        self._started = time.time()
        self._first_step = 0
        self._drawn_at = 0.0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
                       **kwargs: Any) -> None:
        self._started, self._first_step = time.time(), state.global_step

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
               logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        if not state.is_world_process_zero:
            return
        elapsed = time.time() - self._started
        done = state.global_step - self._first_step
        remaining = elapsed / done * (state.max_steps - state.global_step) if done else None
        row = {**(logs or {}), 'step': state.global_step, 'elapsed_time': duration(elapsed),
               'remaining_time': duration(remaining) if remaining is not None else None}
        try:
            with open(self._run_dir / LOG_FILE, 'a', encoding='utf-8') as file:
                file.write(json.dumps(row, ensure_ascii=False) + '\n')
        except OSError as e:  # a full disk must not end the training; checkpoints tell for themselves
            logger.warning('%s could not be written: %s', self._run_dir / LOG_FILE, e)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if time.time() - self._drawn_at > _SECONDS_BETWEEN_DRAWINGS:
            self._draw(state)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
                     **kwargs: Any) -> None:
        self._draw(state)

    def _draw(self, state: TrainerState) -> None:
        if self._draws and state.is_world_process_zero:
            self._drawn_at = time.time()
            try:
                draw_curves(state.log_history, self._run_dir / 'images')
            except OSError as e:
                logger.warning('%s could not be drawn: %s', self._run_dir / 'images', e)


class ReportCallback(TrainerCallback):
    """Ends a run with what it reached and what it lost, in three lines and in ``report.json``.

    Args:
        run_dir: gets the file.
        meter: of the run, with a device.
        in_force: what the run computes with.
    """

    def __init__(self, run_dir: Path, meter: Meter, in_force: Sequence[str]) -> None:
        self._run_dir, self._meter, self._in_force = run_dir, meter, in_force
        self._last_row: dict[str, Any] = {}

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
               logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        if logs and 'tokens_per_second' in logs:
            self._last_row = dict(logs)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
                     **kwargs: Any) -> None:
        meter = self._meter
        if not state.is_world_process_zero or meter.first is None or meter.device is None:
            return
        gib = {name: self._last_row.get(f'memory_{name}(GiB)', 0.0) for name in ('weights', 'gradients', 'optimizer')}
        trained = gib['gradients'] or gib['optimizer'] / 2
        report = make_report(
            span=meter.whole(), first=meter.first, device=meter.device, processes=meter.processes,
            recompute=meter.recompute, in_force=self._in_force, last_row=self._last_row,
            # gradients are read, weights and states read and written
            optimizer_bytes=(3 * trained + 2 * gib['optimizer']) * 2**30)
        try:
            write_json(self._run_dir / REPORT_FILE, report)
        except OSError as e:
            logger.warning('%s could not be written: %s', self._run_dir / REPORT_FILE, e)
        for line in summary(report):
            logger.info('%s', line)


class ProgressCallback(TrainerCallback):
    """A bar with loss, tokens/s, memory and the remaining time; a line an evaluation."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
                       **kwargs: Any) -> None:
        if state.is_world_process_zero:
            self._bar = tqdm(total=state.max_steps, initial=state.global_step, desc='Train', unit='step',
                             dynamic_ncols=True)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
                    **kwargs: Any) -> None:
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
               logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        if self._bar is None or not logs:
            return
        if 'loss' in logs:
            self._bar.set_postfix_str(f'loss {logs["loss"]:.4f}, {logs["tokens_per_second"]:.0f} tokens/s, '
                                      f'{logs["memory(GiB)"]:.2f} GiB')
        elif 'eval_loss' in logs:
            shown = ', '.join(f'{key} {value:.4f}' for key, value in logs.items()
                              if key in ('eval_loss', 'eval_token_acc', 'eval_seq_acc'))
            self._bar.write(f'step {state.global_step}: {shown}')

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
                     **kwargs: Any) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def duration(seconds: float) -> str:
    """``1h 2m 3s``."""
    hours, rest = divmod(int(seconds), 3600)
    minutes, seconds = divmod(rest, 60)
    return ' '.join([f'{hours}h'] * bool(hours) + [f'{minutes}m'] * bool(hours or minutes) + [f'{seconds}s'])
