"""How a model is run in training: how rows lie in a batch, which kernels are in force, what is computed again.

Everything here is tried on the model itself before the first step, decided once and told once.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.utils.data import Dataset

from swift.kernels.fused_head import FusedHead
from swift.kernels.loss_head import choose_backend
from swift.llm.args.groups import TrainArgs
from swift.llm.args.packing_rules import packs
from swift.trainers.apart import OneLine, share_a_line
from swift.trainers.batching import forward_takes, is_spread
from swift.trainers.blocks import fuse_blocks
from swift.trainers.fast_lora import fuse_adapters
from swift.trainers.head import fuse_head
from swift.trainers.recompute import Known, decide_recompute, rows_of_a_line, tokens_per_micro_batch, wants_recompute
from swift.tuners.api import base_model
from swift.tuners.prompts import logits_in_front, prompted
from swift.utils.errors import UsageError
from swift.utils.logging import get_logger

logger = get_logger()


@dataclass(frozen=True)
class Running:
    """What was decided.

    Attributes:
        train: the arguments, with the cut of a step that fits.
        padding_free: rows share a line; ``documents``: and attention is told where they begin.
        in_front: see :func:`swift.llm.template.collate.collate`.
        head: the fused loss head, or None; ``tries_head``: it is still to be compared with the plain loss.
        head_takes_positions: see :func:`swift.trainers.loss.causal_lm_loss`.
        recompute: what is computed again in the backward.
        in_force: the kernels, for the report.
    """

    train: TrainArgs
    padding_free: bool
    documents: bool
    in_front: int | None
    head: FusedHead | None
    tries_head: bool
    head_takes_positions: bool
    recompute: str
    in_force: tuple[str, ...]


def as_it_is(train: TrainArgs, optim: str) -> Running:
    """Of a model whose forward another library made its own: padded rows, whole logits, its own recomputing."""
    recompute = 'full' if wants_recompute(train.recompute) else 'none'
    return Running(train, False, False, None, None, False, False, recompute,
                   ('everything of the other library', f'optimizer {optim}', 'batches padded'))


def prepare(model: nn.Module, train: TrainArgs, rows: Dataset, *, padding_free: bool | None, attention: str,
            dtype: torch.dtype, device: torch.device, optim: str, max_length: int, sharded: bool, gradients: bool,
            may_regroup: bool) -> Running:
    """Put into a model what serves it, and decide the rest.

    Args:
        model: with adapters; its blocks and its output layer may be replaced.
        train: resolved arguments.
        rows: of the training.
        padding_free, attention: ``--padding_free`` and ``--attn_impl`` as typed.
        dtype, device: what is computed in, and where.
        optim: the optimizer that will be taken.
        max_length: tokens that a row has at most, -1 for no limit.
        sharded: parameters are spread over processes by ZeRO-3 or FSDP.
        gradients: there is a buffer for all gradients.
        may_regroup: nobody typed how a step is cut into micro-batches.
    """
    if train.offload_activations and device.type != 'cuda':
        raise UsageError(f'--offload_activations true copies between a GPU of CUDA and the host; this run is on '
                         f'{device.type}. Leave it out.')
    bare = base_model(model)
    line = _padding_free(model, padding_free, attention, dtype, sharded=sharded, packs=packs(train))
    fused = fuse_head(bare, train.fused_loss_head, sharded=sharded)
    documents = line is not None and line.documents
    blocks = fuse_blocks(bare, train.fused_blocks, sharded=sharded, computed_in=dtype) if documents else None
    # beside fused blocks there is nothing to win, and on a CPU its Python costs more than it saves
    adapters = None
    if blocks is None and (train.fused_lora or device.type != 'cpu'):
        adapters = fuse_adapters(bare, train.fused_lora, mixed_precision=dtype, sharded=sharded)
    known = Known(model, optim, device, dtype, sharded=sharded, fused_head=fused is not None, gradients=gradients,
                  block_kernel=blocks is not None)
    if may_regroup and line is not None:
        together = rows_of_a_line(known, train, rows, max_length)
        train = replace(train, per_device_train_batch_size=together, gradient_accumulation_steps=(
            train.per_device_train_batch_size * train.gradient_accumulation_steps // together))
    recompute = decide_recompute(known, train, tokens_per_micro_batch(rows, train, max_length, padded=line is None))
    if blocks is not None:
        blocks.keep(recompute, offload=train.offload_activations)
    else:
        if train.offload_activations:
            raise UsageError('--offload_activations true needs fused blocks, which do not serve this run. Leave it '
                             'out; --recompute full alone keeps one tensor a block.')
        if recompute == 'full':
            enable_recompute(bare)
    kernels = (
        'loss head of the model' if fused is None else f'fused loss head ({choose_backend(device, dtype)})',
        'blocks of the model' if blocks is None else 'fused blocks',
        *(() if adapters is None else ('fused LoRA',)), f'attention {bare.config._attn_implementation}',
        f'optimizer {optim}', f'recompute {recompute}', f'batches {"padded" if line is None else "padding-free"}')
    return Running(
        train, line is not None, documents, None if prompted(model) is None else logits_in_front(model),
        None if fused is None else fused.head, sharded and fused is not None,
        # of a model on several devices the head lies on another one than the positions that it would be indexed with
        forward_takes(bare, 'logits_to_keep') and not is_spread(bare), recompute, kernels)


def enable_recompute(model: nn.Module) -> None:
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
