"""``swift sft`` and ``swift pt``: from arguments to a trained checkpoint, one step a line."""

from __future__ import annotations

import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from torch.utils.data import Dataset
from transformers import set_seed

from swift.llm import checkpoint
from swift.llm.args import rules
from swift.llm.args.commands import PtArguments, SftArguments
from swift.llm.args.derive import effective
from swift.llm.args.given import given_arguments
from swift.llm.args.tuner_types import STARTS
from swift.llm.dataset.encoded import EncodedDataset
from swift.llm.dataset.hub import HubAccess
from swift.llm.dataset.load import Datasets, load_datasets
from swift.llm.dataset.registry import import_plugins
from swift.llm.dataset.report import check_rejected
from swift.llm.dataset.spec import anchored
from swift.llm.dataset.stream import StreamedDataset
from swift.llm.infer.decoding import context_length
from swift.llm.model.adapt import adapt, step_hook
from swift.llm.model.load import LoadedModel, load_model
from swift.llm.model.start_batches import Rows
from swift.llm.pipelines.names import check_names
from swift.llm.template.encode import Template, check_drift, make_template
from swift.llm.template.preview import preview
from swift.llm.template.registry import TEMPLATES
from swift.trainers.base import SwiftTrainer
from swift.trainers.batching import StepBatchSampler, StepPlan
from swift.trainers.build import build_trainer
from swift.trainers.checkpointing import checkpoints_of, resumable
from swift.trainers.deepspeed import deepspeed_config, shards_parameters
from swift.trainers.optimizers import OptimizerPlan, block_schedule
from swift.trainers.processes import agree, join_processes, leave_processes, wait_for_all
from swift.trainers.recompute import wants_recompute
from swift.tuners.prompts import virtual_tokens
from swift.utils import env
from swift.utils.errors import SwiftError, UsageError
from swift.utils.files import remove_leftovers
from swift.utils.logging import get_logger

logger = get_logger()

_PREVIEW_ROWS = 2


@dataclass(frozen=True)
class TrainResult:
    """What a run made.

    Attributes:
        run_dir: the run folder.
        last_checkpoint, best_checkpoint: None when nothing was saved; best needs validation rows.
        log_history: every logged row.
    """

    run_dir: Path
    last_checkpoint: Path | None
    best_checkpoint: Path | None
    log_history: list[dict[str, Any]]


def sft_main(args: Sequence[str] | dict[str, Any] | SftArguments | None = None) -> TrainResult:
    """Fine-tune on conversations.

    Args:
        args: argv, flat names and values, or arguments; None is this process's command line.
    """
    return _train(given_arguments(SftArguments, args))


def pt_main(args: Sequence[str] | dict[str, Any] | PtArguments | None = None) -> TrainResult:
    """Train on plain text; see :func:`sft_main`."""
    return _train(given_arguments(PtArguments, args))


def _train(args: SftArguments | PtArguments) -> TrainResult:
    resume_from = _find_resume(args)
    if resume_from is not None:
        args = _as_before(args, resume_from)
    import_plugins(args.data.external_plugins)
    check_names(args.template)
    typed, args = args, effective(args, env.world_size())
    _check_whole_weights(args)
    join_processes(args.train)
    try:
        set_seed(args.run.seed)
        by_unsloth = args.tuner.tuner_backend == 'unsloth'
        loaded = _load_with_unsloth(args) if by_unsloth else load_model(
            args.model, training=True, quant=args.quant, full=args.tuner.tuner_type == 'full', sharded=_sharded(args),
            max_length=args.template.max_length)
        template = make_template(args.template, loaded.tokenizer, loaded.family, task=args.command,
                                 words=loaded.new_tokens.words)
        run_dir = _make_run_dir(args)
        data = load_datasets(args.data, template, seed=args.run.seed, run_dir=run_dir, access=HubAccess.of(args.model))
        _check_rows(template, data, args.template.allow_template_drift)
        _check_same_rows(data, resume_from)
        model = adapt(loaded.model, args.tuner, method=args.method, family=loaded.family,
                      rows=_rows_in_order(args, data), resumed=resume_from, checkpoint=loaded.path,
                      new_tokens=loaded.new_tokens.ids, recompute=wants_recompute(args.train.recompute))
        _check_room(model, data, args.template.max_length)
        decided = _decided(typed, loaded, template, data)
        trainer = build_trainer(
            model, loaded.tokenizer, data.train, data.eval, args.train, run_dir=run_dir, seed=args.run.seed,
            data_seed=args.data.data_seed, mixed_precision=loaded.dtype, padding_free=args.template.padding_free,
            attention=args.model.attn_impl,
            optimizer_plan=OptimizerPlan(args.train.optim, args.optimizing, args.tuner.lorap_lr_ratio,
                                         args.tuner.lorap_emb_lr),
            of_other_library=by_unsloth, max_length=args.template.max_length,
            may_regroup=args.explicit.isdisjoint(('per_device_train_batch_size', 'gradient_accumulation_steps')),
            step_hook=step_hook(model, args.tuner) or block_schedule(model, args.optimizing, args.run.seed),
            complete_checkpoint=lambda folder: _complete(folder, typed, decided, loaded, template))
        if env.is_main_process():
            checkpoint.save_args(run_dir, typed, decided)
        _run(trainer, run_dir, resume_from, only_weights=args.train.resume_only_model)
        if args.data.streaming:  # what a stream rejects is known in full only now
            data.report.log(logger)
            check_rejected(data.report, args.data.max_rejected_ratio, run_dir)
        result = _report(trainer, run_dir)
        wait_for_all()  # gloo ends a process whose peer has left while it still talks to it
        return result
    finally:
        leave_processes()


def _load_with_unsloth(args: SftArguments | PtArguments) -> LoadedModel:
    from swift.llm.model.unsloth import load_with_unsloth
    return load_with_unsloth(args.model, args.quant, full=args.tuner.tuner_type == 'full',
                             max_length=args.template.max_length)


def _find_resume(args: SftArguments | PtArguments) -> Path | None:
    """The whole checkpoint that ``--resume_from_checkpoint`` means."""
    typed = args.train.resume_from_checkpoint
    if typed is None:
        return None
    return resumable(checkpoint.latest_run(Path(args.train.output_dir).expanduser()) if typed == 'latest'
                     else Path(typed).expanduser())


def _as_before(args: SftArguments | PtArguments, resume_from: Path) -> SftArguments | PtArguments:
    saved = checkpoint.read_saved_args(resume_from)
    if saved is None:
        raise SwiftError(f'{resume_from} has no {checkpoint.ARGS_FILE}, so it is not a checkpoint of swift.')
    logger.info('Going on from %s; what is not typed is as in that run.', resume_from)
    args = checkpoint.merge_for_resume(args, saved)
    rules.enforce(args)
    return args


def _make_run_dir(args: SftArguments | PtArguments) -> Path:
    """``output/<model>/vN-<time>``, or ``--output_dir`` itself with ``--add_version false``; the same on every rank."""
    root = Path(args.train.output_dir).expanduser().resolve()
    if env.is_main_process():
        _check_writable(root)
    if args.train.add_version:
        parent, started = root / checkpoint.run_name(args.model.model, args.model.model_type), agree(int(time.time()))
        version = agree(checkpoint.claim_version(parent, started) if env.is_main_process() else 0)
        root = checkpoint.version_folder(parent, version, started)
    if env.is_main_process():
        root.mkdir(parents=True, exist_ok=True)
        remove_leftovers(root)
        logger.info('Run folder: %s', root)
    wait_for_all()
    return root


def _check_writable(folder: Path) -> None:
    """Raises:
        UsageError: the folder can't be made, or nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as e:
        raise UsageError(f'--output_dir {folder} can\'t be written to: {e.strerror}.') from e


def _sharded(args: SftArguments | PtArguments) -> bool:
    config = deepspeed_config(args.train.deepspeed) if args.train.deepspeed else None
    return shards_parameters(config) or bool(args.train.fsdp)


def _check_whole_weights(args: SftArguments | PtArguments) -> None:
    """Raises:
        UsageError: something changes or reads weights whole that a DeepSpeed file spreads over processes.
    """
    start = args.tuner.init_weights if args.tuner.tuner_type in ('lora', 'lora_llm') else ''
    wanting = [f'--init_weights {start}'] if start in STARTS.values() or start.startswith(('pissa', 'olora')) else []
    wanting += ['--new_special_tokens'] if args.model.new_special_tokens else []
    if wanting and _sharded(args):
        raise UsageError(f'{wanting[0]} needs whole weights, and stage 3 of --deepspeed spreads them; use stage 2.')


def _check_rows(template: Template, data: Datasets, allow_drift: bool) -> None:
    """Compare the first rows with the checkpoint's own rendering, and show two of them token by token."""
    check_drift(template, data.sample, allow_drift)
    if env.is_main_process():
        for encoded in template.encode_batch(data.sample[:_PREVIEW_ROWS]):
            print(preview(encoded, template, color=env.wants_color() and sys.stdout.isatty()), flush=True)


def _check_room(model: nn.Module, data: Datasets, max_length: int) -> None:
    """An adapter that puts virtual tokens in front of each row takes positions that rows could have.

    Raises:
        UsageError: the longest row does not fit behind them, or might not, of a stream.
    """
    virtual = virtual_tokens(model)
    room = context_length(model.get_base_model()) if virtual else None
    if room is None:
        return
    longest = max((int(rows.lengths.max(initial=0)) for rows in (data.train, data.eval)
                   if isinstance(rows, EncodedDataset)), default=0)
    which = 'the longest row has'
    if isinstance(data.train, StreamedDataset) and (max_length < 0 or max_length > longest):
        longest, which = (max_length, 'a row of the stream may have') if max_length > 0 else (longest, which)
    if longest + virtual > room:
        raise UsageError(f'{which.capitalize()} {longest} tokens, and the adapter puts {virtual} in front of it: '
                         f'together {longest + virtual}, and the model reads {room}. Give --max_length '
                         f'{room - virtual} or fewer virtual tokens.')


def _check_same_rows(data: Datasets, resume_from: Path | None) -> None:
    """Say so when a resumed run can't go on with the rows of the interrupted one."""
    saved = checkpoint.read_saved_args(resume_from) if resume_from is not None else None
    if saved is not None and saved.effective.get('data', data.identity) != data.identity:
        logger.warning('Training data, tokenizer, template or an option that changes tokens is not as in the run of '
                       '%s: the order of its rows can not be continued, and some may be seen twice.', resume_from)


class _InOrder(Sequence):
    """Rows in the order of the first epoch, read when they are asked for."""

    def __init__(self, rows: Dataset, order: np.ndarray) -> None:
        self._rows, self._order = rows, order

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, number: int) -> dict[str, Any]:
        return self._rows[int(self._order[number])]


def _rows_in_order(args: SftArguments | PtArguments, data: Datasets) -> Rows:
    """The training rows in the order of the first epoch, before they are packed; a stream has none beforehand."""
    if args.data.streaming or data.train is None:
        return ()
    return _InOrder(data.train, StepBatchSampler(len(data.train), StepPlan(1, 1), seed=args.data.data_seed).order())


def _run(trainer: SwiftTrainer, run_dir: Path, resume_from: Path | None, *, only_weights: bool) -> None:
    if resume_from is not None and only_weights:
        trainer.load_weights(resume_from)
        resume_from = None
    try:
        trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    except KeyboardInterrupt:
        _tell_how_to_go_on(run_dir, resume_from)
        raise


def _decided(args: SftArguments | PtArguments, loaded: LoadedModel, template: Template,
             data: Datasets) -> dict[str, Any]:
    decided: dict[str, Any] = {'template': template.name} if template.name in TEMPLATES else {}
    if args.model.model is not None and Path(args.model.model).expanduser().is_dir():
        decided['model'] = str(loaded.path)
    decided['dataset'] = [anchored(spec) for spec in args.data.dataset]
    decided['data'] = data.identity
    decided['new_special_tokens'] = list(loaded.new_tokens.words)
    decided['val_dataset'] = [anchored(spec) for spec in args.data.val_dataset]
    return decided


def _complete(folder: Path, args: SftArguments | PtArguments, decided: dict[str, Any], loaded: LoadedModel,
              template: Template) -> None:
    """What belongs into a checkpoint beside weights and state: arguments, and where generation stops."""
    checkpoint.save_args(folder, args, decided)
    checkpoint.save_generation_config(folder, loaded.path, template.stop_ids)


def _tell_how_to_go_on(run_dir: Path, resumed_from: Path | None) -> None:
    """Name the newest checkpoint of an interrupted run; what is under that name was whole when it was written."""
    if not env.is_main_process():
        return
    print(file=sys.stderr)  # below the progress bar
    newest = (checkpoints_of(run_dir) or [resumed_from])[-1]
    if newest is None:
        logger.warning('Stopped before the first checkpoint; --save_steps N saves sooner.')
    else:
        logger.warning('Stopped. Go on with: swift sft --resume_from_checkpoint %s', shlex.quote(str(newest)))


def _report(trainer: SwiftTrainer, run_dir: Path) -> TrainResult:
    """Say where the best and the last checkpoint are and how to chat with them.

    Raises:
        SwiftError: the last checkpoint could not be written.
    """
    if trainer.unsaved:
        whole = ', '.join(map(str, checkpoints_of(run_dir))) or 'none'
        raise SwiftError(f'{trainer.unsaved}. Whole checkpoints: {whole}.')
    saved = checkpoints_of(run_dir)
    last = saved[-1] if saved else None
    best = Path(trainer.state.best_model_checkpoint) if trainer.state.best_model_checkpoint else None
    if best is not None and not best.is_dir():  # the disk was full when it should have been written
        best = None
    if env.is_main_process():
        if best:
            logger.info('Best checkpoint: %s', best)
        logger.info('Last checkpoint: %s', last)
        if best or last:
            logger.info('Chat with it: swift infer --ckpt_dir %s', shlex.quote(str(best or last)))
    return TrainResult(run_dir, last, best, trainer.state.log_history)
