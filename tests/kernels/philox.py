"""The dropout mask of the kernels in numpy, from its definition: the oracle.

Philox4x32-10 of Salmon et al. (Parallel random numbers: as easy as 1, 2, 3, 2011) with the row as its counter gives
the key of a row; two or three folded products of 64 bits tell the columns apart.
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


def _fold(x: np.ndarray, factor: int) -> np.ndarray:
    product = x * np.uint64(factor)
    return (product >> np.uint64(32)) ^ (product & _LOW)


def keep_mask(seed: int, rows: int, columns: int, group: int, p: float, first_row: int = 0) -> torch.Tensor:
    """[rows, columns] bool, as swift.kernels.dropout_triton makes it."""
    key = [word[:, None] for word in philox(np.arange(first_row, first_row + rows, dtype=np.uint64), seed)]
    number = _fold(_fold(np.arange(columns, dtype=np.uint64) ^ key[0], 0xD2511F53) ^ key[1], 0xCD9E8D57)
    if group >= 2:
        number = _fold(number ^ key[2], 0x9E3779B1)
    half = number & np.uint64(0xFFFF) if group % 2 else number >> np.uint64(16)
    return torch.from_numpy(half.astype(np.int64) >= round(p * 65536))
