"""The causal language-model loss: weighted, summed over tokens, divided by the step's tokens elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from swift.kernels.fused_head import FusedHead
from swift.llm.model.attention import documents_seen


@dataclass(frozen=True)
class LossParts:
    """What one micro-batch adds to its step; tensors on the model's device.

    Attributes:
        weighted_nll: sum over trained tokens of weight * negative log-likelihood, scalar with gradient.
        correct: how many trained tokens (or whole rows) are the likeliest prediction, scalar.
        total: out of how many, scalar.
    """

    weighted_nll: torch.Tensor
    correct: torch.Tensor
    total: torch.Tensor


def causal_lm_loss(model: nn.Module, batch: dict[str, Any], *, head_takes_positions: bool,
                   accuracy: str | None = 'token', head: FusedHead | None = None) -> LossParts:
    """Run ``model`` on a micro-batch of :func:`swift.llm.template.collate.collate` and sum its loss.

    ``nll_n = logsumexp(z_n) - z_n[target_n]`` in float32, where ``z_n`` are the logits at the position before the
    target; the sum is ``sum_n weight_n * nll_n``.

    Args:
        model: a causal language model (or DDP, DeepSpeed around one); its forward returns ``.logits`` [B, K, V].
        batch: what ``collate`` gives; with documents only for a model that attends by them, see
            :func:`swift.trainers.apart.share_a_line`.
        head_takes_positions: the forward takes ``logits_to_keep``, so that only K positions pass the output head.
        accuracy: 'token', 'sentence' (all trained tokens of a row right) or None to count nothing.
        head: the fused loss head that is in the model; None computes the loss from logits.
    """
    inputs = {name: batch[name] for name in ('input_ids', 'position_ids', 'attention_mask') if name in batch}
    if 'documents' in batch:
        inputs |= documents_seen(batch['documents'].to(batch['input_ids'].device, non_blocking=True))
    if head is not None:
        weighted_nll, right = _by_fused_head(model, inputs, batch, head, counts=accuracy is not None)
    else:
        weighted_nll, right = _by_logits(model, inputs, batch, head_takes_positions, counts=accuracy is not None)
    counted = batch['weights'] > 0
    if right is None:
        correct = total = counted.new_zeros((), dtype=torch.float32)
    else:
        correct, total = _count(right, counted, batch['row_index'], accuracy)
    return LossParts(weighted_nll, correct, total)


def _by_logits(model: nn.Module, inputs: dict[str, Any], batch: dict[str, torch.Tensor],
               head_takes_positions: bool, *, counts: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
    if head_takes_positions:
        logits = model(**inputs, use_cache=False, logits_to_keep=batch['keep']).logits
    else:
        logits = model(**inputs, use_cache=False).logits[:, batch['keep']]
    logits = logits[batch['batch_index'], batch['keep_index']].float()
    nll = F.cross_entropy(logits, batch['targets'], reduction='none')
    right = logits.detach().argmax(-1) == batch['targets'] if counts else None
    return (nll * batch['weights']).sum(), right


def _by_fused_head(model: nn.Module, inputs: dict[str, Any], batch: dict[str, torch.Tensor], head: FusedHead,
                   *, counts: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
    positions = batch['keep'][batch['keep_index']]
    with head.task(batch['batch_index'], positions, batch['targets'], batch['weights'], accuracy=counts) as task:
        output = model(**inputs, use_cache=False).logits
    found = head.loss_of(task, output)
    return found.loss, found.right


def trained_tokens(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """How many tokens of a micro-batch are trained, scalar float32: what the step's loss is divided by."""
    return (batch['weights'] > 0).sum().float()


def _count(right: torch.Tensor, counted: torch.Tensor, row_index: torch.Tensor,
           accuracy: str) -> tuple[torch.Tensor, torch.Tensor]:
    if accuracy == 'token':  # without picking rows out, for whose number the host would wait
        return (right & counted).sum().float(), counted.sum().float()
    right, row_index = right[counted], row_index[counted]
    rows = row_index.unique()
    wrong_rows = row_index[~right].unique()
    total = torch.tensor(len(rows), device=right.device, dtype=torch.float32)
    return total - len(wrong_rows), total
