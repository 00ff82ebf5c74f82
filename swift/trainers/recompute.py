"""Which activations are computed again in the backward: decided here, once a run, from the flag or the memory model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
from swift.trainers.processes import agree
from swift.tuners.api import base_model
from swift.tuners.model import SwiftModel
from swift.utils.logging import get_logger

logger = get_logger()

ENOUGH_TOKENS = 16_384
"""Tokens of a micro-batch beyond which matmuls and launches gain nothing more."""


def wants_recompute(policy: str) -> bool:
    """``--recompute`` for a library that only knows on and off: by default on where memory is dear."""
    return torch.accelerator.is_available() if policy == 'auto' else policy != 'none'


@dataclass(frozen=True)
class Known:
    """What the memory of a run depends on beside its rows.

    Attributes:
        model: as it will be trained, with adapters.
        optim: the optimizer that is taken.
        device, dtype: where and in what is computed.
        sharded: parameters are spread over processes, so that the memory model doesn't hold.
        fused_head: the loss is computed without whole logits.
        gradients: there is a buffer for all gradients.
        block_kernel: blocks are computed by our kernel, which knows light and selective.
    """

    model: nn.Module
    optim: str
    device: torch.device
    dtype: torch.dtype
    sharded: bool = False
    fused_head: bool = True
    gradients: bool = True
    block_kernel: bool = False

    def run_of(self, tokens: int | None) -> Run | None:
        """The run with micro-batches of at most so many tokens; None where the memory model doesn't hold."""
        if self.sharded or tokens is None or is_spread(base_model(self.model)):
            return None
        return describe_run(self.model, self.optim, tokens, dtype=self.dtype, fused_head=self.fused_head,
                            gradients=self.gradients, block_kernel=self.block_kernel)


def decide_recompute(known: Known, train: TrainArgs, tokens_per_micro_batch: int | None) -> Policy:
    """The policy of a run, told in one line where it was not typed.

    Args:
        train: its ``recompute`` is what was asked for; ``auto`` takes the cheapest that fits.
        tokens_per_micro_batch: positions of the largest one; None where it can't be known.
    """
    if train.recompute in ('light', 'selective') and not known.block_kernel:
        logger.warning('--recompute %s needs the block kernel, which does not serve this run: whole blocks are '
                       'computed again (full).', train.recompute)
        return 'full'
    if train.recompute != 'auto':
        return train.recompute
    if train.offload_activations:
        return 'full'
    if not torch.accelerator.is_available():
        return 'none'
    free, run = available_bytes(known.device), known.run_of(tokens_per_micro_batch)
    if free is None or run is None:
        logger.info('Recompute: full; how much memory this run needs is not known beforehand. --recompute none is '
                    'faster where it fits.')
        return 'full'
    policy = choose_recompute(free, run)
    needs = ', '.join(f'{name} needs {estimate(run, name).total / GIB:.1f} GiB' for name in run.policies)
    logger.info('Recompute: %s; with at most %d tokens a micro-batch %s, and of %.1f GiB %d %% are to stay free.',
                policy, run.tokens, needs, free / GIB, 100 * MARGIN)
    return policy


def rows_of_a_line(known: Known, train: TrainArgs, rows: Dataset, max_length: int) -> int:
    """How many rows of a step one micro-batch of a process takes where nobody typed it: the step stays the same.

    As many as divide the step evenly, have no more than ``ENOUGH_TOKENS`` in the mean, and fit without computing
    matmuls twice; all processes take what the first one finds.
    """
    typed = train.per_device_train_batch_size
    total = typed * train.gradient_accumulation_steps
    free = available_bytes(known.device)
    if free is None or not isinstance(rows, EncodedDataset) or train.packing or train.max_tokens_per_batch:
        return typed
    found = typed
    for count in (n for n in range(typed + 1, total + 1) if total % n == 0):
        run = known.run_of(tokens_per_micro_batch(
            rows, replace(train, per_device_train_batch_size=count), max_length, padded=False))
        policy = None if run is None else 'light' if known.block_kernel else 'none'
        if (run is None or count * float(rows.lengths.mean()) > ENOUGH_TOKENS
                or estimate(run, policy).total > free * (1 - MARGIN)):
            break
        found = count
    found = agree(found)
    if found != typed:
        logger.info('A step of %d rows is cut into %d micro-batches of %d rows, which fit; --batch_size types another '
                    'cut.', total, total // found, found)
    return found


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
