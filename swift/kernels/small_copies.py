"""Many small matrices copied in one launch: each cast to the type of its target and scaled.

The adapters of a model are some four hundred matrices that are trained in float32 and multiplied in 16 bit. Copied one
by one they cost as many launches in front of every forward; a table of addresses makes one of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from swift.utils.extras import available


@dataclass(frozen=True)
class Copy:
    """``target = factor * source``, both [rows, columns]; rows of the target may be further apart."""

    source: torch.Tensor
    target: torch.Tensor
    factor: float


class SmallCopies:
    """Copies that are made again and again between the same memory."""

    def __init__(self, copies: Iterable[Copy]) -> None:
        self._copies = tuple(copies)
        self._tables: list = []
        self._places: tuple[int, ...] = ()

    @torch.no_grad()
    def make(self) -> None:
        """Make all copies."""
        if not self._copies:
            return
        if not self._copies[0].source.is_cuda or not available('triton'):
            for copy in self._copies:
                torch.mul(copy.source, copy.factor, out=copy.target)
            return
        from swift.kernels.small_copies_triton import copy_all, tables

        places = tuple(copy.source.data_ptr() for copy in self._copies)
        if places != self._places:  # a parameter got other memory
            self._tables, self._places = tables(self._copies), places
        for table in self._tables:
            copy_all(table)
