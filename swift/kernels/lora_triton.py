"""The skinny products of LoRA with dropout as Triton kernels; imported only where Triton is.

All three are bound by memory: the arithmetic of a tile of x is 2 G r operations a number, next to nothing. A program
reads a tile of x (or dx) once and serves all adapters of the group from it, each under its own mask.

- down: a program has a block of rows and goes along the width; its sums are [rows, r] for each adapter.
- a_grad: a program has a block of columns and goes along a part of the tokens; the sums of the parts lie apart in
  float32 and are added afterwards, always in the same order.
- up_grad: a program has a tile of dx.

The factor 1 / (1 - p) comes last, on the sums. Ranks are padded to 16 or a power of two inside the kernels.
"""

from __future__ import annotations

import functools

import torch
import triton
import triton.language as tl

from swift.kernels.dropout_triton import keep_mask
from swift.kernels.lora import Drop

ROWS, WIDE, NARROW = 64, 128, 64
"""Tile of x: rows, columns for one adapter of usual rank, columns for several, long ones and float32."""

LEAST_PART, MOST_PART = 256, 2048
"""Tokens that a program of a_grad sums; powers of two, so that few kernels are compiled as batches vary."""

STAGES = 4
"""Tiles on their way from memory at a time."""

_MOST_COLUMNS_OF_SUMS = 256  # G * padded rank that a program keeps in registers


@triton.jit
def _dropped(x, seed, row, col, columns, GROUP: tl.constexpr, p):
    return tl.where(keep_mask(seed, row, col, columns, GROUP, p), x, 0.0).to(x.dtype)


@triton.jit
def _tile_of_a(a_ptr, a_stride, group, rank, col, D, RANK: tl.constexpr):
    """A_g^T of some columns, [columns, ranks]: ``rank`` is [1, ranks] and ``col`` [columns, 1]."""
    return tl.load(a_ptr + (group * RANK + rank) * a_stride + col, mask=(rank < RANK) & (col < D), other=0.0)


@triton.jit
def _store_sums(out_ptr, out_stride, sums, group, row, rank, N, scale, RANK: tl.constexpr):
    tl.store(out_ptr + row.to(tl.int64) * out_stride + group * RANK + rank,
             (sums * scale).to(out_ptr.dtype.element_ty), mask=(row < N) & (rank < RANK))


@triton.jit(do_not_specialize=['N', 'seed'])
def _down(x_ptr, x_stride, a_ptr, a_stride, out_ptr, out_stride, N, seed, p, scale, D: tl.constexpr,
          FIRST: tl.constexpr, GROUPS: tl.constexpr, RANK: tl.constexpr, PADDED: tl.constexpr, ROWS: tl.constexpr,
          COLUMNS: tl.constexpr):
    """FIRST is the group of the first adapter here: its channel of the mask."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    rank = tl.arange(0, PADDED)[None, :]
    x_row = x_ptr + row.to(tl.int64) * x_stride
    sums0 = tl.zeros((ROWS, PADDED), tl.float32)
    sums1 = sums0
    sums2 = sums0
    sums3 = sums0
    for begin in range(0, D, COLUMNS):
        col = begin + tl.arange(0, COLUMNS)[None, :]
        deep = begin + tl.arange(0, COLUMNS)[:, None]
        x = tl.load(x_row + col, mask=(row < N) & (col < D), other=0.0)
        a = _tile_of_a(a_ptr, a_stride, 0, rank, deep, D, RANK)
        sums0 = tl.dot(_dropped(x, seed, row, col, D, FIRST, p), a, sums0, input_precision='ieee')
        if GROUPS > 1:
            a = _tile_of_a(a_ptr, a_stride, 1, rank, deep, D, RANK)
            sums1 = tl.dot(_dropped(x, seed, row, col, D, FIRST + 1, p), a, sums1, input_precision='ieee')
        if GROUPS > 2:
            a = _tile_of_a(a_ptr, a_stride, 2, rank, deep, D, RANK)
            sums2 = tl.dot(_dropped(x, seed, row, col, D, FIRST + 2, p), a, sums2, input_precision='ieee')
        if GROUPS > 3:
            a = _tile_of_a(a_ptr, a_stride, 3, rank, deep, D, RANK)
            sums3 = tl.dot(_dropped(x, seed, row, col, D, FIRST + 3, p), a, sums3, input_precision='ieee')
    _store_sums(out_ptr, out_stride, sums0, 0, row, rank, N, scale, RANK)
    if GROUPS > 1:
        _store_sums(out_ptr, out_stride, sums1, 1, row, rank, N, scale, RANK)
    if GROUPS > 2:
        _store_sums(out_ptr, out_stride, sums2, 2, row, rank, N, scale, RANK)
    if GROUPS > 3:
        _store_sums(out_ptr, out_stride, sums3, 3, row, rank, N, scale, RANK)


@triton.jit(do_not_specialize=['N', 'seed'])
def _up_grad(low_ptr, low_stride, a_ptr, a_stride, dx_ptr, dx_stride, N, seed, p, scale, D: tl.constexpr,
             FIRST: tl.constexpr, GROUPS: tl.constexpr, RANK: tl.constexpr, PADDED: tl.constexpr,
             ROWS: tl.constexpr, COLUMNS: tl.constexpr, OVERWRITE: tl.constexpr):
    # columns first: programs that run together share rows of low, and all of a lies in the cache
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)[:, None]
    col = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    across = tl.arange(0, PADDED)[None, :]
    deep = tl.arange(0, PADDED)[:, None]
    low_row = low_ptr + row.to(tl.int64) * low_stride
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for group in tl.static_range(GROUPS):
        low = tl.load(low_row + group * RANK + across, mask=(row < N) & (across < RANK), other=0.0)
        a = tl.load(a_ptr + (group * RANK + deep) * a_stride + col, mask=(deep < RANK) & (col < D), other=0.0)
        product = tl.dot(low, a, input_precision='ieee')
        total += tl.where(keep_mask(seed, row, col, D, FIRST + group, p), product, 0.0)
    place = dx_ptr + row.to(tl.int64) * dx_stride + col
    inside = (row < N) & (col < D)
    dx = total * scale
    if not OVERWRITE:
        dx += tl.load(place, mask=inside, other=0.0).to(tl.float32)
    tl.store(place, dx.to(dx_ptr.dtype.element_ty), mask=inside)


@triton.jit
def _rows_of_low(low_ptr, low_stride, group, rank, row, N, RANK: tl.constexpr):
    """low_g^T of some rows, [ranks, rows]: ``rank`` is [ranks, 1] and ``row`` [1, rows]."""
    return tl.load(low_ptr + row.to(tl.int64) * low_stride + group * RANK + rank, mask=(rank < RANK) & (row < N),
                   other=0.0)


@triton.jit(do_not_specialize=['N', 'seed'])
def _a_grad(low_ptr, low_stride, x_ptr, x_stride, out_ptr, part_stride, N, seed, p, scale, D: tl.constexpr,
            PART: tl.constexpr, FIRST: tl.constexpr, GROUPS: tl.constexpr, RANK: tl.constexpr, PADDED: tl.constexpr,
            ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """PART rows are summed by a program into its own ``out[program_id(1)]``, [GROUPS * RANK, D]."""
    col = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    rank = tl.arange(0, PADDED)[:, None]
    first = tl.program_id(1) * PART
    sums0 = tl.zeros((PADDED, COLUMNS), tl.float32)
    sums1 = sums0
    sums2 = sums0
    sums3 = sums0
    for begin in range(0, PART, ROWS):
        row = first + begin + tl.arange(0, ROWS)[:, None]
        across = first + begin + tl.arange(0, ROWS)[None, :]
        x = tl.load(x_ptr + row.to(tl.int64) * x_stride + col, mask=(row < N) & (col < D), other=0.0)
        low = _rows_of_low(low_ptr, low_stride, 0, rank, across, N, RANK)
        sums0 = tl.dot(low, _dropped(x, seed, row, col, D, FIRST, p), sums0, input_precision='ieee')
        if GROUPS > 1:
            low = _rows_of_low(low_ptr, low_stride, 1, rank, across, N, RANK)
            sums1 = tl.dot(low, _dropped(x, seed, row, col, D, FIRST + 1, p), sums1, input_precision='ieee')
        if GROUPS > 2:
            low = _rows_of_low(low_ptr, low_stride, 2, rank, across, N, RANK)
            sums2 = tl.dot(low, _dropped(x, seed, row, col, D, FIRST + 2, p), sums2, input_precision='ieee')
        if GROUPS > 3:
            low = _rows_of_low(low_ptr, low_stride, 3, rank, across, N, RANK)
            sums3 = tl.dot(low, _dropped(x, seed, row, col, D, FIRST + 3, p), sums3, input_precision='ieee')
    out = out_ptr + tl.program_id(1).to(tl.int64) * part_stride + rank * D + col
    inside = (rank < RANK) & (col < D)
    tl.store(out, sums0 * scale, mask=inside)
    if GROUPS > 1:
        tl.store(out + RANK * D, sums1 * scale, mask=inside)
    if GROUPS > 2:
        tl.store(out + 2 * RANK * D, sums2 * scale, mask=inside)
    if GROUPS > 3:
        tl.store(out + 3 * RANK * D, sums3 * scale, mask=inside)


@triton.jit(do_not_specialize=['N', 'seed'])
def _mask(out_ptr, N, seed, p, D: tl.constexpr, GROUP: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    col = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    kept = keep_mask(seed, row, col, D, GROUP, p)
    tl.store(out_ptr + row.to(tl.int64) * D + col, kept.to(tl.uint8), mask=(row < N) & (col < D))


def mask(rows: int, width: int, drop: Drop, group: int, device: torch.device) -> torch.Tensor:
    """The mask that the kernels use, [rows, width] bool: to look at, no kernel reads it."""
    out = torch.empty((rows, width), dtype=torch.uint8, device=device)
    if out.numel():
        _mask[(triton.cdiv(rows, ROWS), triton.cdiv(width, 256))](out, rows, drop.seed, drop.p, D=width, GROUP=group,
                                                                  ROWS=ROWS, COLUMNS=256)
    return out.bool()


def triton_down(x: torch.Tensor, a: torch.Tensor, groups: int, drop: Drop, out: torch.Tensor) -> None:
    """As :func:`swift.kernels.lora.down`; the last dimension of every tensor is contiguous."""
    (tokens, width), rank = x.shape, a.shape[0] // groups
    if not tokens:
        return
    for first, count in _slices_of(groups, rank):
        part = slice(first * rank, (first + count) * rank)
        tile = _tile(x, count, rank)
        a_part, out_part = a[part], out[:, part]
        _down[(triton.cdiv(tokens, ROWS),)](
            x, x.stride(0), a_part, a_part.stride(0), out_part, out_part.stride(0), tokens, drop.seed, drop.p,
            drop.scale, D=width, FIRST=first, GROUPS=count, **tile)


def triton_up_grad(low: torch.Tensor, a: torch.Tensor, dx: torch.Tensor, groups: int, drop: Drop,
                   overwrite: bool) -> None:
    """As :func:`swift.kernels.lora.up_grad`."""
    (tokens, width), rank = dx.shape, a.shape[0] // groups
    if not dx.numel():
        return
    tile = _tile(dx, groups, rank)
    grid = (triton.cdiv(width, tile['COLUMNS']), triton.cdiv(tokens, ROWS))
    _up_grad[grid](low, low.stride(0), a, a.stride(0), dx, dx.stride(0), tokens, drop.seed, drop.p, drop.scale,
                   D=width, FIRST=0, GROUPS=groups, OVERWRITE=overwrite, **tile)


def triton_a_grad(low: torch.Tensor, x: torch.Tensor, groups: int, drop: Drop) -> torch.Tensor:
    """As :func:`swift.kernels.lora.a_grad`, in float32."""
    (tokens, width), rank = x.shape, low.shape[1] // groups
    if not x.numel():
        return x.new_zeros((low.shape[1], width), dtype=torch.float32)
    found = []
    for first, count in _slices_of(groups, rank):
        tile = _tile(x, count, rank)
        blocks = triton.cdiv(width, tile['COLUMNS'])
        wanted = max(2 * _processors(x.device) // blocks, 1)  # two programs to a processor
        part = min(max(triton.next_power_of_2(triton.cdiv(tokens, wanted)), LEAST_PART), MOST_PART)
        parts = triton.cdiv(tokens, part)
        sums = x.new_empty((parts, count * rank, width), dtype=torch.float32)
        low_part = low[:, first * rank:(first + count) * rank]
        _a_grad[(blocks, parts)](
            low_part, low_part.stride(0), x, x.stride(0), sums, sums.stride(0), tokens, drop.seed, drop.p,
            drop.scale, D=width, PART=part, FIRST=first, GROUPS=count, **tile)
        found.append(sums.sum(0) if parts > 1 else sums[0])
    return torch.cat(found) if len(found) > 1 else found[0]


def _tile(x: torch.Tensor, groups: int, rank: int) -> dict[str, int]:
    """Sizes of a program: constants of the kernel and how it is run. Such that ptxas spills nothing at 16 bits."""
    padded = _padded(rank)
    wide = groups == 1 and padded <= 64 and x.dtype != torch.float32
    many = groups * padded > 128
    return {'RANK': rank, 'PADDED': padded, 'ROWS': ROWS, 'COLUMNS': WIDE if wide else NARROW,
            'num_warps': 8 if many else 4, 'num_stages': 2 if many else STAGES}


def _padded(rank: int) -> int:
    return max(triton.next_power_of_2(rank), 16)


def _slices_of(groups: int, rank: int) -> list[tuple[int, int]]:
    """(first, count) of the groups that a program serves at once: all, unless their ranks are too large."""
    count = max(min(groups, _MOST_COLUMNS_OF_SUMS // _padded(rank)), 1)
    return [(first, min(count, groups - first)) for first in range(0, groups, count)]


@functools.cache
def _processors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == 'cuda' else 4
