"""The dropout mask of the kernels in plain PyTorch: again from a seed, but not the numbers of the Triton mask.

Philox element by element takes a CPU about a hundred times as long as the generator that it has. A layer draws both its
masks, that of the forward and that of the backward, on one backend, so they agree either way.
"""

from __future__ import annotations

import torch


def plain_keep_mask(seed: int, rows: int, columns: int, group: int, p: float, device: torch.device) -> torch.Tensor:
    """[rows, columns] bool: which elements are kept; see :func:`swift.kernels.dropout_triton.keep_mask`."""
    generator = torch.Generator(device).manual_seed(4 * seed + group)
    return torch.rand(rows, columns, generator=generator, device=device) >= p
