"""Put a trainer together from model, rows and arguments: the only place that knows all of its parts."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase
from transformers.integrations import TensorBoardCallback
from transformers.trainer_callback import PrinterCallback

from swift.llm.args.groups import TrainArgs
from swift.llm.args.optimizing import backward_flag, steps_in_backward
from swift.llm.template.collate import collate
from swift.trainers.arguments import training_arguments
from swift.trainers.base import SwiftTrainer
from swift.trainers.batching import StepPlan, forward_takes, is_spread, keeps_rows_apart
from swift.trainers.callbacks import LastStepCallback, LogFileCallback, LoopCallback, ProgressCallback, StepHookCallback
from swift.trainers.deepspeed import deepspeed_config, shards_parameters
from swift.trainers.head import fuse_head
from swift.trainers.optimizers import OptimizerPlan
from swift.tuners.api import base_model
from swift.tuners.noise import noisy_embeddings
from swift.tuners.prompts import logits_in_front, prompted
from swift.tuners.registry import StepHook
from swift.utils import env
from swift.utils.errors import UsageError
from swift.utils.extras import available
from swift.utils.logging import get_logger

logger = get_logger()


def build_trainer(model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, train_rows: Dataset,
                  eval_rows: Dataset | None, train: TrainArgs, *, run_dir: Path, seed: int, data_seed: int,
                  mixed_precision: torch.dtype, padding_free: bool | None,
                  optimizer_plan: OptimizerPlan, step_hook: StepHook | None = None, as_it_is: bool = False,
                  complete_checkpoint: Callable[[Path], None]) -> SwiftTrainer:
    """A trainer that is ready for ``.train()``.

    Args:
        model: prepared (adapter or trainable weights chosen).
        train_rows, eval_rows: encoded rows, map-style or a stream; no evaluation without eval_rows.
        train: resolved training arguments.
        run_dir, seed, data_seed, mixed_precision: see :func:`swift.trainers.arguments.training_arguments`.
        padding_free: as typed; None tries whether this model can.
        optimizer_plan: which optimizer.
        step_hook: of a tuning method that changes with the steps.
        as_it_is: another library made the model's forward its own: rows are padded, logits are whole, and recomputing
            is its business.
        complete_checkpoint: writes what else belongs into a checkpoint.
    """
    evaluates = eval_rows is not None and train.eval_strategy != 'no'
    arguments = training_arguments(train, run_dir=run_dir, seed=seed, data_seed=data_seed,
                                   mixed_precision=mixed_precision, evaluates=evaluates)
    if steps_in_backward(train.optim, optimizer_plan.settings) and mixed_precision == torch.float16:
        raise UsageError(f'{backward_flag(optimizer_plan.settings)} does not go with float16, whose gradients are '
                         'scaled; use --torch_dtype bfloat16 or float32.')
    plan = StepPlan(train.per_device_train_batch_size, train.gradient_accumulation_steps,
                    rank=max(env.rank(), 0), world=env.world_size())
    bare = base_model(model)
    if wants_recompute(train.gradient_checkpointing) and not as_it_is:
        enable_recompute(bare)
    if train.neftune_noise_alpha:  # by the length of each row, which the Trainer's own noise doesn't know
        noisy_embeddings(model, bare.get_input_embeddings(), train.neftune_noise_alpha)
    sharded = shards_parameters(deepspeed_config(train.deepspeed) if train.deepspeed else None) or bool(train.fsdp)
    one_line = not as_it_is and _padding_free(model, padding_free, sharded=sharded)
    in_front = None if prompted(model) is None else logits_in_front(model)
    fused = None if as_it_is else fuse_head(bare, train.fused_loss_head, sharded=sharded)
    trainer = SwiftTrainer(
        model=model, args=arguments, train_dataset=train_rows, eval_dataset=eval_rows, processing_class=tokenizer,
        data_collator=functools.partial(collate, pad_id=tokenizer.pad_token_id, padding_free=one_line,
                                        in_front=in_front),
        plan=plan, data_seed=data_seed,
        # of a model on several devices the head lies on another one than the positions that it would be indexed with
        head_takes_positions=not as_it_is and forward_takes(bare, 'logits_to_keep') and not is_spread(bare),
        accuracy=train.acc_strategy, accuracy_steps=train.acc_steps, optimizer_plan=optimizer_plan, step_hook=step_hook,
        head=None if fused is None else fused.head, tries_head=sharded and fused is not None,
        complete_checkpoint=complete_checkpoint)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(LoopCallback(trainer.start_epoch, trainer.end_step))
    if step_hook is not None:
        trainer.add_callback(StepHookCallback(step_hook, trainer.step_was_made))
    trainer.add_callback(LastStepCallback(evaluates, saves=train.save_strategy != 'no'))
    trainer.add_callback(LogFileCallback(run_dir, draws=_has('matplotlib', 'images/ stays empty')))
    if not train.disable_tqdm:
        trainer.add_callback(ProgressCallback())
    if 'tensorboard' in train.report_to and env.is_main_process() and _has('tensorboard', 'runs/ stays empty'):
        from torch.utils.tensorboard import SummaryWriter

        trainer.add_callback(TensorBoardCallback(SummaryWriter(train.logging_dir or str(run_dir / 'runs'))))
    return trainer


def wants_recompute(typed: bool | None) -> bool:
    """``--gradient_checkpointing``, by default on where memory is dear: on an accelerator."""
    return torch.accelerator.is_available() if typed is None else typed


def enable_recompute(model: torch.nn.Module) -> None:
    """Forget activations in the forward and compute them again in the backward, without the reentrant engine."""
    with warnings.catch_warnings():
        # transformers 5.23 calls it activation_checkpointing_enable; our floor 5.17 knows only this name.
        warnings.simplefilter('ignore', FutureWarning)
        model.gradient_checkpointing_enable({'use_reentrant': False})


def _padding_free(model: torch.nn.Module, typed: bool | None, *, sharded: bool) -> bool:
    """Whether rows share a line; decided once, told once."""
    if typed is False:
        return False
    if sharded:
        reason = 'its parameters are sharded, so it can not be tried beforehand'
    elif prompted(model) is not None:
        reason = 'each row has virtual tokens of its own in front'
    elif keeps_rows_apart(base_model(model)):
        logger.info('Padding-free batches: tried on this model, rows that share a line do not see each other.')
        return True
    else:
        reason = 'rows that share a line would see each other in this model'
    (logger.warning if typed else logger.info)('Batches are padded: %s.', reason)
    return False


def _has(package: str, consequence: str) -> bool:
    if available(package):
        return True
    logger.info('%s is not installed: %s. pip install %s', package, consequence, package)
    return False
