"""Writing and reading checkpoints: the only file that overrides the Trainer's own methods for it.

A checkpoint is written under a temporary name, read back and checked, listed in a manifest and renamed. What a user
finds under ``checkpoint-N`` was whole when it was written; what a kill left behind has a temporary name and is
removed by the next run. Everything of ours is safetensors and JSON; DeepSpeed's and FSDP's own state files are
read only from a checkpoint whose manifest verifies.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from transformers import Trainer
from transformers.trainer_callback import ExportableState

from swift.trainers.state import load_tree, random_state, save_tree, set_random_state
from swift.tuners import starts
from swift.tuners.api import Adapted, SwiftModel
from swift.tuners.prompts import load_trained_state, prompted, trained_state
from swift.tuners.registry import StepHook
from swift.utils.errors import NonFiniteError, SwiftError
from swift.utils.files import remove_folder, remove_leftovers, replace_folder, verify_manifest, write_manifest
from swift.utils.logging import get_logger

logger = get_logger()

TRAINER_STATE = 'trainer_state.json'
_PROMPT = 'prompt'


class CheckpointingTrainer(Trainer):
    """A Trainer whose checkpoints are atomic, verified and free of pickle.

    Args:
        complete_checkpoint: adds to a new checkpoint folder what the trainer doesn't know (``args.json``,
            the template's stop tokens); called on the writing rank before the manifest.
        step_hook: of a tuning method that changes with the steps; its state is saved and read with the optimizer's.
    """

    def __init__(self, *args, complete_checkpoint: Callable[[Path], None] = lambda folder: None,
                 step_hook: StepHook | None = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._complete_checkpoint = complete_checkpoint
        self._step_hook = step_hook
        self.unsaved: str | None = None  # why the newest checkpoint could not be written

    def _save_checkpoint(self, model: torch.nn.Module, trial: None) -> None:
        """Write ``checkpoint-N``. When that fails, older ones stay, it is told, and training goes on."""
        run_dir = Path(self.args.output_dir)
        target = run_dir / f'checkpoint-{self.state.global_step}'
        temporary = run_dir / f'.tmp-{target.name}'
        if self.args.should_save:
            remove_leftovers(run_dir)
            temporary.mkdir(parents=True)
        self.accelerator.wait_for_everyone()
        if self.state.best_global_step is not None:
            self.state.best_model_checkpoint = self._path_of_best(run_dir)
        try:
            self._write(temporary)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                check_weights(temporary)
                write_manifest(temporary)
                replace_folder(temporary, target)
        except (OSError, SafetensorError) as e:
            if self.args.world_size > 1:
                raise SwiftError(f'{target.name} could not be written: {e}') from e
            shutil.rmtree(temporary, ignore_errors=True)
            self.unsaved = f'{target} could not be written: {e}'
            logger.warning('%s. Older checkpoints are untouched and training goes on; free some space.', self.unsaved)
            return
        except NonFiniteError:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        self.unsaved = None
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            rotate(run_dir, self.args.save_total_limit, self.state.best_model_checkpoint)

    def load_weights(self, checkpoint: Path) -> None:
        """Take the weights of a checkpoint and nothing else."""
        self._load_from_checkpoint(str(checkpoint))

    def _path_of_best(self, run_dir: Path) -> str | None:
        best = run_dir / f'checkpoint-{self.state.best_global_step}'
        if self.state.best_global_step == self.state.global_step or best.is_dir():
            return str(best)
        return self.state.best_model_checkpoint

    def _write(self, folder: Path) -> None:
        self.save_model(str(folder), _internal_call=True)
        if not self.args.save_only_model:
            self._save_optimizer_and_scheduler(str(folder))
            self._save_scaler(str(folder))
            self._save_rng_state(str(folder))
        if self.args.should_save:
            for callback in (*self.callback_handler.callbacks, self.control):
                if isinstance(callback, ExportableState):
                    self.state.stateful_callbacks[type(callback).__name__] = callback.state()
            self.state.save_to_json(str(folder / TRAINER_STATE))
            self._complete_checkpoint(folder)

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        """Weights (or adapter) and tokenizer; unlike the Trainer's own, without pickled training arguments."""
        if not self.args.should_save:
            return
        folder = output_dir or self.args.output_dir
        model = self.accelerator.unwrap_model(self.model)
        # peft would ask the hub whether the base model's embeddings were resized; ours never are
        more = {'save_embedding_layers': False} if isinstance(model, Adapted) else {}
        model.save_pretrained(folder, state_dict=state_dict, **more)
        starts.fit_to_base(model, Path(folder))
        if self.processing_class is not None:
            try:
                self.processing_class.save_pretrained(folder)
            except Exception as e:
                if type(e) is not Exception:
                    raise
                raise OSError(f'the tokenizer: {e}') from e  # its Rust library has no other class for a full disk

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if self.is_deepspeed_enabled:
            self.model_wrapped.save_checkpoint(output_dir)
        elif self.is_fsdp_enabled:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        elif self.args.should_save:
            save_tree(Path(output_dir), 'optimizer', self.optimizer.state_dict())
        if self.args.should_save:
            save_tree(Path(output_dir), 'scheduler', self.lr_scheduler.state_dict())
            model = self.accelerator.unwrap_model(self.model)
            if prompted(model) is not None:
                save_tree(Path(output_dir), _PROMPT, trained_state(model))
            if self._step_hook is not None:
                save_tree(Path(output_dir), 'tuner', self._step_hook.state_dict())

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        if self.is_fsdp_enabled:
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        if not self.is_deepspeed_enabled:  # DeepSpeed reads its own
            if not (Path(checkpoint) / 'optimizer.json').is_file():
                raise SwiftError(f'{checkpoint} has no optimizer state (--save_only_model true leaves it out), so the '
                                 'run can\'t go on exactly; --resume_only_model true starts anew from its weights.')
            self.optimizer.load_state_dict(load_tree(Path(checkpoint), 'optimizer'))
        self.lr_scheduler.load_state_dict(load_tree(Path(checkpoint), 'scheduler'))
        if self._step_hook is not None:
            self._step_hook.load_state_dict(load_tree(Path(checkpoint), 'tuner'))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
        """Weights; of a prompt the network that makes it, because the adapter's file has only what comes out. Adapters
        whose start had changed the base are taken apart again."""
        bare = self.accelerator.unwrap_model(model or self.model)
        if isinstance(bare, SwiftModel):
            bare.load_weights(Path(resume_from_checkpoint))
            return
        if starts.resume(bare, Path(resume_from_checkpoint)):
            return
        if prompted(bare) is None:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        if not (Path(resume_from_checkpoint) / f'{_PROMPT}.json').is_file():
            raise SwiftError(f'{resume_from_checkpoint} has the finished prompt but not the network that makes it '
                             '(--save_only_model true leaves it out), so training can\'t go on from it.')
        load_trained_state(bare, load_tree(Path(resume_from_checkpoint), _PROMPT))

    def _save_scaler(self, output_dir: str) -> None:
        if self.args.should_save and self.accelerator.scaler is not None:
            save_tree(Path(output_dir), 'scaler', self.accelerator.scaler.state_dict())

    def _load_scaler(self, checkpoint: str | None) -> None:
        if checkpoint is not None and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(load_tree(Path(checkpoint), 'scaler'))

    def _save_rng_state(self, output_dir: str) -> None:
        Path(output_dir).mkdir(parents=True, exist_ok=True)  # on a node that does not share the writer's disk
        save_tree(Path(output_dir), f'rng_state_{self.args.process_index}', random_state())

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        name = f'rng_state_{self.args.process_index}'
        if not (Path(checkpoint) / f'{name}.json').is_file():
            logger.warning('%s has no %s.json (another number of processes?): random numbers start anew.',
                           checkpoint, name)
            return
        set_random_state(load_tree(Path(checkpoint), name))


def check_weights(folder: Path) -> None:
    """Read every weight of a checkpoint back.

    Raises:
        SwiftError: there are none, or one is empty.
        NonFiniteError: one holds NaN or Inf.
    """
    files = [path for path in folder.glob('*.safetensors') if re.match(r'(adapter_)?model', path.name)]
    if not files:
        raise SwiftError(f'No weights were written to {folder}.')
    for path in files:
        with safe_open(path, framework='pt') as file:
            for name in file.keys():
                tensor = file.get_tensor(name)
                if tensor.numel() == 0:
                    raise SwiftError(f'{name} was written empty to {path}; nothing was kept.')
                if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                    raise NonFiniteError(f'{name} holds NaN or Inf, so no checkpoint was written. The last good one '
                                         'is untouched; lower --learning_rate or look at the rows of the last steps.')


def rotate(run_dir: Path, limit: int | None, best: str | None) -> None:
    """Keep the newest ``limit`` checkpoints of a run, the best one counted among them; None keeps all."""
    checkpoints = checkpoints_of(run_dir)
    if limit is None or len(checkpoints) <= limit:
        return
    kept = {Path(best).name} if best else set()
    for path in reversed(checkpoints):
        if len(kept | {path.name}) <= max(limit, 1) or path == checkpoints[-1]:
            kept.add(path.name)
    for path in checkpoints:
        if path.name not in kept:
            remove_folder(path)


def checkpoints_of(run_dir: Path) -> list[Path]:
    """``checkpoint-N`` folders of a run, by step."""
    found = [(int(match[1]), path) for path in run_dir.glob('checkpoint-*')
             if (match := re.fullmatch(r'checkpoint-(\d+)', path.name))]
    return [path for _, path in sorted(found)]


def resumable(path: Path) -> Path:
    """The checkpoint to resume from: ``path`` itself, or the newest whole one of a run folder.

    Raises:
        SwiftError: nothing there is whole; the message says what is wrong with each and which one is.
    """
    if (path / TRAINER_STATE).is_file() or path.name.startswith('checkpoint-'):
        problem = verify_manifest(path)
        if problem is None:
            return path
        others = [p for p in checkpoints_of(path.parent) if p != path and verify_manifest(p) is None]
        hint = f' Resume from {others[-1]} instead.' if others else ''
        raise SwiftError(f'--resume_from_checkpoint {path} can\'t be used: {problem}.{hint}')
    problems = []
    for checkpoint in reversed(checkpoints_of(path)):
        problem = verify_manifest(checkpoint)
        if problem is None:
            return checkpoint
        problems.append(problem)
    raise SwiftError(f'--resume_from_checkpoint {path}: no whole checkpoint there'
                     + (f' ({"; ".join(problems)})' if problems else '') + '.')
