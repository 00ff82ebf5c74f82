"""The dropout mask of the kernels in plain PyTorch: again from a seed, but not the numbers of the Triton mask.

Philox element by element takes a CPU about a hundred times as long as the generator that it has. A layer draws both its
masks, that of the forward and that of the backward, on one backend, so they agree either way.
"""

from __future__ import annotations

import torch


def plain_keep_mask(seed: int, rows: int, columns: int, group: int, p: float, device: torch.device) -> torch.Tensor:
    """[rows, columns] bool: which elements are kept; see :func:`swift.kernels.dropout_triton.keep_mask`."""
    generator = torch.Generator(device).manual_seed(4 * seed + group)
    # 16 bits an element, four elements a draw: the generator of a CPU takes as long for 64 bits as for one number, and
    # one number an element was a sixth of a step. The chance is p to within 1 / 131,072.
    drawn = torch.empty(-(-rows * columns // 4), dtype=torch.int64, device=device)
    drawn.random_(-2 ** 63, None, generator=generator)
    numbers = drawn.view(torch.int16)[:rows * columns].view(rows, columns)
    return numbers >= min(round(p * 2 ** 16), 2 ** 16 - 1) - 2 ** 15
