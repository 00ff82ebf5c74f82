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

from swift.kernels.loss_head import choose_backend
from swift.llm.args.groups import TrainArgs
from swift.llm.args.optimizing import backward_flag, steps_in_backward
from swift.llm.args.packing_rules import packs
from swift.llm.template.collate import collate
from swift.trainers.apart import OneLine, share_a_line
from swift.trainers.arguments import training_arguments
from swift.trainers.base import SwiftTrainer
from swift.trainers.batching import StepPlan, forward_takes, is_spread
from swift.trainers.blocks import fuse_blocks
from swift.trainers.callbacks import (
    LastStepCallback,
    LogFileCallback,
    LoopCallback,
    ProgressCallback,
    ReportCallback,
    StepHookCallback,
)
from swift.trainers.deepspeed import deepspeed_config, shards_parameters
from swift.trainers.flops import token_work
from swift.trainers.hardware import find_device
from swift.trainers.head import fuse_head
from swift.trainers.meter import Meter, marks_for
from swift.trainers.optimizers import OptimizerPlan
from swift.trainers.recompute import decide_recompute, tokens_per_micro_batch, wants_recompute
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
                  mixed_precision: torch.dtype, padding_free: bool | None, attention: str = 'auto',
                  optimizer_plan: OptimizerPlan, step_hook: StepHook | None = None, as_it_is: bool = False,
                  max_length: int = -1,
                  complete_checkpoint: Callable[[Path], None]) -> SwiftTrainer:
    """A trainer that is ready for ``.train()``.

    Args:
        model: prepared (adapter or trainable weights chosen).
        train_rows, eval_rows: encoded rows, map-style or a stream; no evaluation without eval_rows.
        train: resolved training arguments.
        run_dir, seed, data_seed, mixed_precision: see :func:`swift.trainers.arguments.training_arguments`.
        padding_free: as typed; None tries whether this model can.
        attention: ``--attn_impl`` as typed. 'sdpa' and 'eager' are kept as transformers has them; with every other the
            model attends by documents where it can.
        optimizer_plan: which optimizer.
        step_hook: of a tuning method that changes with the steps.
        as_it_is: another library made the model's forward its own: rows are padded, logits are whole, and recomputing
            is its business.
        max_length: tokens that a row has at most, -1 for no limit; for rows that are not counted beforehand.
        complete_checkpoint: writes what else belongs into a checkpoint.
    """
    evaluates = eval_rows is not None and train.eval_strategy != 'no'
    arguments = training_arguments(train, run_dir=run_dir, seed=seed, data_seed=data_seed,
                                   mixed_precision=mixed_precision, evaluates=evaluates)
    if steps_in_backward(train.optim, optimizer_plan.settings) and mixed_precision == torch.float16:
        raise UsageError(f'{backward_flag(optimizer_plan.settings)} does not go with float16, whose gradients are '
                         'scaled; use --torch_dtype bfloat16 or float32.')
    plan = StepPlan(train.per_device_train_batch_size, train.gradient_accumulation_steps,
                    rank=max(env.rank(), 0), world=env.world_size(),
                    pack_length=train.packing_length if train.packing else train.max_tokens_per_batch)
    bare = base_model(model)
    if train.neftune_noise_alpha:  # by the length of each row, which the Trainer's own noise doesn't know
        noisy_embeddings(model, bare.get_input_embeddings(), train.neftune_noise_alpha)
    sharded = shards_parameters(deepspeed_config(train.deepspeed) if train.deepspeed else None) or bool(train.fsdp)
    one_line = None if as_it_is else _padding_free(model, padding_free, attention, mixed_precision, sharded=sharded,
                                                   packs=packs(train))
    in_front = None if prompted(model) is None else logits_in_front(model)
    fused = None if as_it_is else fuse_head(bare, train.fused_loss_head, sharded=sharded)
    by_documents = one_line is not None and one_line.documents
    blocks = fuse_blocks(bare, train.fused_blocks, sharded=sharded) if by_documents else None
    gradients_whole = not steps_in_backward(train.optim, optimizer_plan.settings)
    if as_it_is:
        recompute = 'full' if wants_recompute(train.recompute) else 'none'
    else:
        recompute = decide_recompute(
            model, train, tokens_per_micro_batch(train_rows, train, max_length, padded=one_line is None),
            device=arguments.device, dtype=mixed_precision, sharded=sharded, fused_head=fused is not None,
            gradients=gradients_whole, block_kernel=blocks is not None)
    if blocks is not None:
        blocks.keep(recompute, offload=train.offload_activations)
    elif recompute == 'full' and not as_it_is:
        enable_recompute(bare)
    in_force = ['loss head of the model' if fused is None else
                f'fused loss head ({choose_backend(arguments.device, mixed_precision)})',
                f'attention {bare.config._attn_implementation}',
                'blocks of the model' if blocks is None else 'fused blocks', f'optimizer {train.optim}', f'recompute {recompute}',
                f'batches {"padding-free" if one_line else "padded"}']
    meter = Meter(find_device(arguments.device, mixed_precision),
                  None if as_it_is else token_work(bare, trains_before=in_front is not None), recompute=recompute,
                  processes=plan.world, marks=marks_for(arguments.device))
    trainer = SwiftTrainer(
        model=model, args=arguments, train_dataset=train_rows, eval_dataset=eval_rows, processing_class=tokenizer,
        data_collator=functools.partial(collate, pad_id=tokenizer.pad_token_id, padding_free=one_line is not None,
                                        documents=by_documents, in_front=in_front),
        plan=plan, data_seed=data_seed,
        # of a model on several devices the head lies on another one than the positions that it would be indexed with
        head_takes_positions=not as_it_is and forward_takes(bare, 'logits_to_keep') and not is_spread(bare),
        accuracy=train.acc_strategy, accuracy_steps=train.acc_steps, optimizer_plan=optimizer_plan, step_hook=step_hook,
        head=None if fused is None else fused.head, tries_head=sharded and fused is not None, meter=meter,
        gradients_whole=gradients_whole,
        complete_checkpoint=complete_checkpoint)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(LoopCallback(trainer.start_epoch, trainer.end_step))
    if step_hook is not None:
        trainer.add_callback(StepHookCallback(step_hook, trainer.step_was_made))
    trainer.add_callback(LastStepCallback(evaluates, saves=train.save_strategy != 'no'))
    trainer.add_callback(LogFileCallback(run_dir, draws=_has('matplotlib', 'images/ stays empty')))
    trainer.add_callback(ReportCallback(run_dir, meter, in_force))
    if not train.disable_tqdm:
        trainer.add_callback(ProgressCallback())
    if 'tensorboard' in train.report_to and env.is_main_process() and _has('tensorboard', 'runs/ stays empty'):
        from torch.utils.tensorboard import SummaryWriter

        trainer.add_callback(TensorBoardCallback(SummaryWriter(train.logging_dir or str(run_dir / 'runs'))))
    return trainer


def enable_recompute(model: torch.nn.Module) -> None:
    """Forget activations in the forward and compute them again in the backward, without the reentrant engine."""
    with warnings.catch_warnings():
        # transformers 5.23 calls it activation_checkpointing_enable; our floor 5.17 knows only this name.
        warnings.simplefilter('ignore', FutureWarning)
        model.gradient_checkpointing_enable({'use_reentrant': False})


def _padding_free(model: torch.nn.Module, typed: bool | None, attention: str, computed_in: torch.dtype, *,
                  sharded: bool, packs: str | None) -> OneLine | None:
    """How rows share a line, or None when batches are padded; decided once, told once.

    Raises:
        UsageError: they may not, and ``packs``, a flag with its value, needs that.
    """
    if typed is False:
        return None
    if sharded:
        reason = 'its parameters are sharded, so it can not be tried beforehand'
    elif prompted(model) is not None:
        reason = 'each row has virtual tokens of its own in front'
    else:
        bare = base_model(model)
        found = share_a_line(bare, by_documents=attention not in ('sdpa', 'eager'),
                             autocast=None if computed_in == torch.float32 else computed_in)
        if found.problem is None:
            logger.info('Padding-free batches: tried on this model, rows that share a line do not see each other. %s',
                        'Attention goes row by row.' if found.documents else
                        f'They are kept apart by a mask of the whole line: {found.remark}.')
            return found
        reason = found.problem
    if packs is not None:
        raise UsageError(f'{packs} puts rows into one line, which this run can not have: {reason}. Leave it out; '
                         'batches are padded then.')
    (logger.warning if typed else logger.info)('Batches are padded: %s.', reason)
    return None


def _has(package: str, consequence: str) -> bool:
    if available(package):
        return True
    logger.info('%s is not installed: %s. pip install %s', package, consequence, package)
    return False
