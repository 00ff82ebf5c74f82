"""Which activations are computed again in the backward: decided here, once a run, from the flag or the memory model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from peft import LoraConfig, PeftModel
from torch import nn
from torch.utils.data import Dataset

from swift.llm.args.groups import TrainArgs
from swift.llm.dataset.encoded import EncodedDataset
from swift.trainers.batching import is_spread
from swift.trainers.flops import config_values
from swift.trainers.memory import (
    GIB,
    MARGIN,
    Policy,
    Run,
    available_bytes,
    block_shape,
    choose_recompute,
    estimate,
    largest_batch,
    tensor_bytes,
    trained_of,
)
from swift.tuners.api import base_model
from swift.tuners.model import SwiftModel
from swift.utils.logging import get_logger

logger = get_logger()


def wants_recompute(policy: str) -> bool:
    """``--recompute`` for a library that only knows on and off: by default on where memory is dear."""
    return torch.accelerator.is_available() if policy == 'auto' else policy != 'none'


def decide_recompute(model: nn.Module, train: TrainArgs, tokens_per_micro_batch: int | None, *, device: torch.device,
                     dtype: torch.dtype, sharded: bool = False, fused_head: bool = True, gradients: bool = True,
                     block_kernel: bool = False) -> Policy:
    """The policy of a run, told in one line where it was not typed.

    Args:
        model: as it will be trained, with adapters.
        train: its ``recompute`` is what was asked for; ``auto`` takes the cheapest that fits.
        tokens_per_micro_batch: positions of the largest one; None where it can't be known.
        device, dtype: where and in what is computed.
        sharded: parameters are spread over processes, so that the memory model doesn't hold.
        fused_head: the loss is computed without whole logits.
        gradients: there is a buffer for all gradients.
        block_kernel: blocks are computed by our kernel, which knows light and selective.
    """
    if train.recompute in ('light', 'selective') and not block_kernel:
        logger.warning('--recompute %s needs the block kernel, which does not serve this run: whole blocks are '
                       'computed again (full).', train.recompute)
        return 'full'
    if train.recompute != 'auto':
        return train.recompute
    if train.offload_activations:
        return 'full'
    if not torch.accelerator.is_available():
        return 'none'
    free = available_bytes(device)
    run = None if sharded or is_spread(base_model(model)) or tokens_per_micro_batch is None else describe_run(
        model, train.optim, tokens_per_micro_batch, dtype=dtype, fused_head=fused_head, gradients=gradients,
        block_kernel=block_kernel)
    if free is None or run is None:
        logger.info('Recompute: full; how much memory this run needs is not known beforehand. --recompute none is '
                    'faster where it fits.')
        return 'full'
    policy = choose_recompute(free, run)
    needs = ', '.join(f'{name} needs {estimate(run, name).total / GIB:.1f} GiB' for name in run.policies)
    logger.info('Recompute: %s; with at most %d tokens a micro-batch %s, and of %.1f GiB %d %% are to stay free.',
                policy, run.tokens, needs, free / GIB, 100 * MARGIN)
    return policy


def describe_run(model: nn.Module, optim: str, tokens: int, *, dtype: torch.dtype, fused_head: bool,
                 gradients: bool, block_kernel: bool) -> Run | None:
    """What the memory model needs; None for what it doesn't hold for: other blocks, adapters other than LoRA."""
    bare = base_model(model)
    if isinstance(model, SwiftModel) or (isinstance(model, PeftModel) and not all(
            type(config) is LoraConfig and not config.use_dora for config in model.peft_config.values())):
        return None
    normed = any(name.endswith('.q_norm') for name, _ in bare.named_modules())
    shape = block_shape(config_values(bare.config), dtype.itemsize, normed_heads=normed)
    if shape is None:
        return None
    return Run(shape, trained_of(bare, shape.layers, bare.get_output_embeddings()),
               sum(map(tensor_bytes, bare.parameters())), optim, tokens, block_kernel, fused_head, gradients)


def tokens_per_micro_batch(rows: Dataset, train: TrainArgs, max_length: int, *, padded: bool) -> int | None:
    """Positions of the largest micro-batch that rows can make; None where nothing bounds them."""
    count = train.per_device_train_batch_size
    line = train.packing_length if train.packing else train.max_tokens_per_batch
    if line:
        return count * line
    if isinstance(rows, EncodedDataset):
        lengths: Sequence[int] = rows.lengths.tolist()
        return largest_batch(lengths, count, padded=padded)
    return count * max_length if max_length > 0 else None
