"""Our training arguments -> transformers.TrainingArguments: the only place that knows both names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from swift.llm.args.groups import TrainArgs
from swift.llm.args.optimizing import OWN_OPTIMIZERS
from swift.trainers.deepspeed import deepspeed_config, json_map
from swift.utils.errors import UsageError


def training_arguments(train: TrainArgs, *, run_dir: Path, seed: int, data_seed: int, mixed_precision: torch.dtype,
                       evaluates: bool) -> TrainingArguments:
    """Build the Trainer's arguments.

    Args:
        train: with every None that has a derived default already resolved (``args.derive.effective``).
        run_dir: where checkpoints go.
        seed: of weights and dropout; ``data_seed``: of the order of rows.
        mixed_precision: float32 for none, bfloat16 or float16 for autocast.
        evaluates: whether there are rows to evaluate on.

    Raises:
        UsageError: transformers refuses a combination; the message is its own.
    """
    options: dict[str, Any] = {
        'output_dir': str(run_dir), 'seed': seed, 'data_seed': data_seed, 'full_determinism': train.full_determinism,
        'use_cpu': not torch.accelerator.is_available(),
        'per_device_train_batch_size': train.per_device_train_batch_size,
        'per_device_eval_batch_size': train.per_device_eval_batch_size or train.per_device_train_batch_size,
        'gradient_accumulation_steps': train.gradient_accumulation_steps,
        'num_train_epochs': train.num_train_epochs, 'max_steps': train.max_steps,
        'learning_rate': train.learning_rate, 'weight_decay': train.weight_decay,
        'optim': 'adamw_torch' if train.optim in (None, *OWN_OPTIMIZERS) else train.optim,
        'adam_beta1': train.adam_beta1, 'adam_beta2': train.adam_beta2, 'adam_epsilon': train.adam_epsilon,
        'max_grad_norm': train.max_grad_norm, 'lr_scheduler_type': train.lr_scheduler_type,
        'lr_scheduler_kwargs': json_map('lr_scheduler_kwargs', train.lr_scheduler_kwargs or '{}'),
        # transformers reads a value below 1 as a ratio
        'warmup_steps': train.warmup_steps or train.warmup_ratio,
        'eval_strategy': train.eval_strategy if evaluates else 'no', 'eval_steps': train.eval_steps,
        'save_strategy': train.save_strategy, 'save_steps': train.save_steps,
        'save_total_limit': None if train.save_total_limit == -1 else train.save_total_limit,
        'save_only_model': train.save_only_model, 'save_on_each_node': train.save_on_each_node,
        'metric_for_best_model': 'loss' if evaluates else None, 'greater_is_better': False if evaluates else None,
        'logging_steps': train.logging_steps, 'logging_first_step': True, 'logging_nan_inf_filter': False,
        'bf16': mixed_precision == torch.bfloat16, 'fp16': mixed_precision == torch.float16,
        'ignore_data_skip': train.ignore_data_skip, 'remove_unused_columns': False,
        'dataloader_num_workers': train.dataloader_num_workers or 0, 'dataloader_drop_last': train.dataloader_drop_last,
        'dataloader_pin_memory': train.dataloader_pin_memory and torch.accelerator.is_available(),
        'deepspeed': deepspeed_config(train.deepspeed) if train.deepspeed else None,
        'fsdp': train.fsdp or None, 'fsdp_config': train.fsdp_config,
        'ddp_backend': train.ddp_backend, 'ddp_timeout': train.ddp_timeout,
        'ddp_find_unused_parameters': train.ddp_find_unused_parameters or False,
        'ddp_broadcast_buffers': train.ddp_broadcast_buffers or False,
        'include_num_input_tokens_seen': train.include_num_input_tokens_seen,
        'average_tokens_across_devices': False,  # the step's token count is ours (SwiftTrainer.get_batch_samples)
        'disable_tqdm': True,  # our own bar
        'report_to': [name for name in train.report_to if name not in ('tensorboard', 'none')],
    }
    try:
        arguments = TrainingArguments(**(options | train.hf_options))
    except (ValueError, TypeError) as e:
        raise UsageError(f'The training arguments do not fit together: {e}') from e
    if arguments.n_gpu > 1:
        # Several GPUs in one process hold the layers of one model (--device_map). The Trainer would copy a model that
        # fits into the first one to all of them (nn.DataParallel) unless it is told, as it tells itself elsewhere.
        arguments._n_gpu = 1
    return arguments
