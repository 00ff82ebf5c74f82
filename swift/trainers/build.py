"""Put a trainer together from model, rows and arguments: the only place that knows all of its parts."""

from __future__ import annotations

import functools
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
from swift.trainers.batching import StepPlan
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
from swift.trainers.meter import Meter, marks_for
from swift.trainers.optimizers import OptimizerPlan, default_optimizer
from swift.trainers.prepare import as_it_is, prepare
from swift.tuners.api import base_model
from swift.tuners.noise import noisy_embeddings
from swift.tuners.registry import StepHook
from swift.utils import env
from swift.utils.errors import UsageError
from swift.utils.extras import available
from swift.utils.logging import get_logger

logger = get_logger()


def build_trainer(model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, train_rows: Dataset,
                  eval_rows: Dataset | None, train: TrainArgs, *, run_dir: Path, seed: int, data_seed: int,
                  mixed_precision: torch.dtype, padding_free: bool | None, attention: str = 'auto',
                  optimizer_plan: OptimizerPlan, step_hook: StepHook | None = None, of_other_library: bool = False,
                  max_length: int = -1, may_regroup: bool = False,
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
        of_other_library: another library made the model's forward its own: rows are padded, logits are whole, and
            recomputing is its business.
        max_length: tokens that a row has at most, -1 for no limit; for rows that are not counted beforehand.
        may_regroup: nobody typed how a step is cut into micro-batches, so that fewer and larger ones may be made.
        complete_checkpoint: writes what else belongs into a checkpoint.
    """
    evaluates = eval_rows is not None and train.eval_strategy != 'no'
    arguments = training_arguments(train, run_dir=run_dir, seed=seed, data_seed=data_seed,
                                   mixed_precision=mixed_precision, evaluates=evaluates)
    if steps_in_backward(train.optim, optimizer_plan.settings) and mixed_precision == torch.float16:
        raise UsageError(f'{backward_flag(optimizer_plan.settings)} does not go with float16, whose gradients are '
                         'scaled; use --torch_dtype bfloat16 or float32.')
    if train.neftune_noise_alpha:  # by the length of each row, which the Trainer's own noise doesn't know
        noisy_embeddings(model, base_model(model).get_input_embeddings(), train.neftune_noise_alpha)
    sharded = shards_parameters(deepspeed_config(train.deepspeed) if train.deepspeed else None) or bool(train.fsdp)
    gradients = not steps_in_backward(train.optim, optimizer_plan.settings)
    optim = train.optim or default_optimizer(model, sharded=sharded)
    running = as_it_is(train, optim) if of_other_library else prepare(
        model, train, train_rows, padding_free=padding_free, attention=attention, dtype=mixed_precision,
        device=arguments.device, optim=optim, max_length=max_length,
        sharded=sharded, gradients=gradients, may_regroup=may_regroup)
    train = running.train
    arguments.per_device_train_batch_size = train.per_device_train_batch_size
    arguments.gradient_accumulation_steps = train.gradient_accumulation_steps
    plan = StepPlan(train.per_device_train_batch_size, train.gradient_accumulation_steps,
                    rank=max(env.rank(), 0), world=env.world_size(),
                    pack_length=train.packing_length if train.packing else train.max_tokens_per_batch)
    work = None if of_other_library else token_work(base_model(model), trains_before=running.in_front is not None)
    meter = Meter(find_device(arguments.device, mixed_precision), work, recompute=running.recompute,
                  processes=plan.world, marks=marks_for(arguments.device))
    trainer = SwiftTrainer(
        model=model, args=arguments, train_dataset=train_rows, eval_dataset=eval_rows, processing_class=tokenizer,
        data_collator=functools.partial(collate, pad_id=tokenizer.pad_token_id, padding_free=running.padding_free,
                                        documents=running.documents, in_front=running.in_front),
        plan=plan, data_seed=data_seed, head_takes_positions=running.head_takes_positions,
        accuracy=train.acc_strategy, accuracy_steps=train.acc_steps, optimizer_plan=optimizer_plan, step_hook=step_hook,
        head=running.head, tries_head=running.tries_head, meter=meter, gradients_whole=gradients,
        complete_checkpoint=complete_checkpoint)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(LoopCallback(trainer.start_epoch, trainer.end_step))
    if step_hook is not None:
        trainer.add_callback(StepHookCallback(step_hook, trainer.step_was_made))
    trainer.add_callback(LastStepCallback(evaluates, saves=train.save_strategy != 'no'))
    trainer.add_callback(LogFileCallback(run_dir, draws=_has('matplotlib', 'images/ stays empty')))
    trainer.add_callback(ReportCallback(run_dir, meter, running.in_force))
    if not train.disable_tqdm:
        trainer.add_callback(ProgressCallback())
    if 'tensorboard' in train.report_to and env.is_main_process() and _has('tensorboard', 'runs/ stays empty'):
        from torch.utils.tensorboard import SummaryWriter

        trainer.add_callback(TensorBoardCallback(SummaryWriter(train.logging_dir or str(run_dir / 'runs'))))
    return trainer


def _has(package: str, consequence: str) -> bool:
    if available(package):
        return True
    logger.info('%s is not installed: %s. pip install %s', package, consequence, package)
    return False
