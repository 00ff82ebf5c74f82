"""NEFTune (Jain et al. 2023, arXiv 2310.05914): uniform noise on the embeddings while training.

For a row of L tokens with embeddings X [L, d]: ``X + alpha / sqrt(L d) U``, U uniform in [-1, 1]. L is the length of
the row itself, as in the paper: padding doesn't count, and rows that share a line each have their own. (transformers
takes the width of the batch instead, so that noise would depend on what a row was batched with.)
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle


def row_lengths(shape: torch.Size, position_ids: torch.Tensor | None = None,
                attention_mask: torch.Tensor | None = None) -> torch.Tensor:
    """How long the row is that each position belongs to, int64 [B, T].

    Args:
        shape: [B, T].
        position_ids: [B, T]; a new row begins wherever they are 0. Not looked at beside a mask.
        attention_mask: [B, T], 1 for tokens and 0 for padding.
    """
    if attention_mask is not None and attention_mask.ndim == 2:
        return attention_mask.sum(1, keepdim=True).clamp(min=1).expand(shape).to(torch.int64)
    if position_ids is None or position_ids.ndim != 2:
        return torch.full(shape, shape[1], dtype=torch.int64)
    position_ids = position_ids.expand(shape)
    starts = position_ids == 0
    starts[:, 0] = True
    numbers = starts.flatten().cumsum(0) - 1
    return torch.bincount(numbers)[numbers].view(shape)


def add_noise(embeddings: torch.Tensor, lengths: torch.Tensor, alpha: float) -> torch.Tensor:
    """``embeddings`` [B, T, d] with noise; ``lengths`` [B, T] are those of :func:`row_lengths`."""
    scale = alpha / (lengths.to(embeddings.device, torch.float32) * embeddings.shape[-1]).sqrt()
    noise = torch.empty_like(embeddings).uniform_(-1, 1)
    return embeddings + noise * scale[..., None].to(embeddings.dtype)


def noisy_embeddings(model: nn.Module, embedding: nn.Module, alpha: float) -> list[RemovableHandle]:
    """Add noise to what ``embedding`` gives whenever it is in training mode.

    Args:
        model: its forward takes ``position_ids`` or ``attention_mask`` by name, from which lengths of rows are known.
        embedding: the module in it that turns ids [B, T] into embeddings [B, T, d].
        alpha: magnitude; 5 to 15 is usual.

    Returns:
        What undoes it, by ``handle.remove()``.
    """
    seen: dict[str, torch.Tensor | None] = {}

    def look(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        seen.update(position_ids=kwargs.get('position_ids'), attention_mask=kwargs.get('attention_mask'))

    def disturb(module: nn.Module, args: tuple, embeddings: torch.Tensor) -> torch.Tensor | None:
        if not module.training:
            return None
        return add_noise(embeddings, row_lengths(embeddings.shape[:2], **seen), alpha)

    return [model.register_forward_pre_hook(look, with_kwargs=True), embedding.register_forward_hook(disturb)]
