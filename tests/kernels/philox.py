"""The numbers of Triton's generator, in numpy, from the definition: the oracle of the dropout mask.

Philox4x32-10 of Salmon et al. (Parallel random numbers: as easy as 1, 2, 3, 2011); counter offset, key seed.
"""

from __future__ import annotations

import numpy as np
import torch

_LOW = np.uint64(0xFFFFFFFF)


def philox(offset: np.ndarray, seed: int) -> list[np.ndarray]:
    """Four uint32 for each offset (uint64)."""
    half = np.uint64(32)
    c = [offset & _LOW, offset >> half, np.zeros_like(offset), np.zeros_like(offset)]
    key = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        low, high = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(high >> half) ^ c[1] ^ np.uint64(key[0]), high & _LOW, (low >> half) ^ c[3] ^ np.uint64(key[1]),
             low & _LOW]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def keep_mask(seed: int, rows: int, columns: int, group: int, p: float) -> torch.Tensor:
    """[rows, columns] bool, as swift.kernels.dropout_triton makes it."""
    offset = np.arange(rows * columns, dtype=np.uint64).reshape(rows, columns)
    number = philox(offset, seed)[group].astype(np.uint32).view(np.int32).astype(np.int64)
    uniform = np.where(number < 0, -number - 1, number) * 4.6566127342e-10  # in [0, 1): the sign bit folded in
    return torch.from_numpy(uniform >= p)
