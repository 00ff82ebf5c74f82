"""The one launch of :mod:`swift.kernels.small_copies`; imported only where Triton is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from swift.kernels.small_copies import Copy

_BLOCK = 1024
_TYPES = {torch.float32: tl.float32, torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}


@dataclass(frozen=True)
class Table:
    """Copies between the same two types.

    Attributes:
        places: [5, n] int64: address of the source, of the target, rows, columns, stride of the target's rows.
        factors: [n] float32.
        owners: [programs] int32, whose block it is; ``firsts``: [n] int32, first program of each.
    """

    places: torch.Tensor
    factors: torch.Tensor
    owners: torch.Tensor
    firsts: torch.Tensor
    source: torch.dtype
    target: torch.dtype


@triton.jit
def _copy(places_ptr, count, factors_ptr, owners_ptr, firsts_ptr, SOURCE: tl.constexpr, TARGET: tl.constexpr,
          BLOCK: tl.constexpr):
    program = tl.program_id(0)
    owner = tl.load(owners_ptr + program)
    source = tl.load(places_ptr + owner).to(tl.pointer_type(SOURCE))
    target = tl.load(places_ptr + count + owner).to(tl.pointer_type(TARGET))
    rows = tl.load(places_ptr + 2 * count + owner)
    columns = tl.load(places_ptr + 3 * count + owner)
    stride = tl.load(places_ptr + 4 * count + owner)
    number = (program - tl.load(firsts_ptr + owner)).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = number < rows * columns
    x = tl.load(source + number, mask=inside, other=0.0).to(tl.float32) * tl.load(factors_ptr + owner)
    tl.store(target + number // columns * stride + number % columns, x.to(TARGET), mask=inside)


def tables(copies: Sequence[Copy]) -> list[Table]:
    """What the kernel reads, on the device of the copies.

    Raises:
        ValueError: a source is not contiguous.
    """
    found = []
    for types in dict.fromkeys((copy.source.dtype, copy.target.dtype) for copy in copies):
        these = [copy for copy in copies if (copy.source.dtype, copy.target.dtype) == types]
        if not all(copy.source.is_contiguous() and copy.target.stride(1) == 1 for copy in these):
            raise ValueError('Sources must be contiguous, and so must be the rows of their targets.')
        device = these[0].source.device
        places = [[copy.source.data_ptr() for copy in these], [copy.target.data_ptr() for copy in these],
                  [copy.source.shape[0] for copy in these], [copy.source.shape[1] for copy in these],
                  [copy.target.stride(0) for copy in these]]
        blocks = torch.tensor([triton.cdiv(copy.source.numel(), _BLOCK) for copy in these])
        owners = torch.repeat_interleave(torch.arange(len(these)), blocks)
        found.append(Table(
            torch.tensor(places, dtype=torch.int64).to(device),
            torch.tensor([copy.factor for copy in these], dtype=torch.float32).to(device),
            owners.to(device, torch.int32), (blocks.cumsum(0) - blocks).to(device, torch.int32), *types))
    return found


def copy_all(table: Table) -> None:
    _copy[(len(table.owners),)](table.places, table.places.shape[1], table.factors, table.owners, table.firsts,
                                SOURCE=_TYPES[table.source], TARGET=_TYPES[table.target], BLOCK=_BLOCK, num_warps=4)
