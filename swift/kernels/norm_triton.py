"""RMSNorm's passes as Triton kernels; imported only where Triton is. See :mod:`swift.kernels.norm` for the formulas.

A program has whole rows in registers, so every element is read once and written once. The forward moves 2 T D elements
(4 T D with the addition), the backward 3 T D (4 T D with a residual); besides, T reciprocals of 4 bytes and, with the
weight's gradient, PROGRAMS x D partial sums of 4 bytes written and read.
"""

from __future__ import annotations

import functools

import torch
import triton
import triton.language as tl

LEAST_TILE = 2048
"""Elements that a program has at least: narrow rows go several to a program, so that loads are in flight at once."""

PER_THREAD = 16
"""Elements of a tile that a thread holds, in each tensor: two loads of 16 bytes."""

PROGRAMS_PER_SM = {2048: 6, 4096: 3}
"""How many programs sum up a weight's gradient on each multiprocessor, by the elements of a tile; 1 for larger ones. As
many as its registers hold at once (80 a thread), so that all start and end together."""


@triton.jit
def _forward(x_ptr, y_ptr, total_ptr, weight_ptr, out_ptr, rstd_ptr, rows, x_stride, y_stride, total_stride,
             out_stride, eps, offset, D: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr, ADD: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, BLOCK)
    inside = (row < rows)[:, None] & (column < D)[None, :]
    start = row.to(tl.int64)[:, None]
    x = tl.load(x_ptr + start * x_stride + column[None, :], mask=inside, other=0.0).to(tl.float32)
    if ADD:
        x += tl.load(y_ptr + start * y_stride + column[None, :], mask=inside, other=0.0).to(tl.float32)
        rounded = x.to(total_ptr.dtype.element_ty)
        x = rounded.to(tl.float32)
    weight = tl.load(weight_ptr + column, mask=column < D, other=0.0).to(tl.float32) + offset
    rstd = 1 / tl.sqrt(tl.sum(x * x, 1) / D + eps)
    y = x * rstd[:, None] * weight[None, :]
    tl.debug_barrier()  # results may go where the inputs were
    if ADD:
        tl.store(total_ptr + start * total_stride + column[None, :], rounded, mask=inside)
    tl.store(out_ptr + start * out_stride + column[None, :], y.to(out_ptr.dtype.element_ty), mask=inside)
    tl.store(rstd_ptr + row, rstd, mask=row < rows)


@triton.jit
def _backward(dy_ptr, x_ptr, weight_ptr, rstd_ptr, residual_ptr, out_ptr, partial_ptr, rows, tiles, dy_stride,
              x_stride, residual_stride, out_stride, offset, D: tl.constexpr, BLOCK: tl.constexpr,
              ROWS: tl.constexpr, RESIDUAL: tl.constexpr, WEIGHT_GRAD: tl.constexpr):
    column = tl.arange(0, BLOCK)
    weight = tl.load(weight_ptr + column, mask=column < D, other=0.0).to(tl.float32) + offset
    dweight = tl.zeros((ROWS, BLOCK), tl.float32)
    tile = tl.program_id(0)
    while tile < tiles:  # a range over numbers known at run time is not for Triton's interpreter
        row = tile * ROWS + tl.arange(0, ROWS)
        inside = (row < rows)[:, None] & (column < D)[None, :]
        start = row.to(tl.int64)[:, None]
        dy = tl.load(dy_ptr + start * dy_stride + column[None, :], mask=inside, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + start * x_stride + column[None, :], mask=inside, other=0.0).to(tl.float32)
        rstd = tl.load(rstd_ptr + row, mask=row < rows, other=0.0)[:, None]
        normed = x * rstd
        if WEIGHT_GRAD:
            dweight += dy * normed
        gradient = dy * weight[None, :]
        mean = tl.sum(gradient * normed, 1) / D
        dx = rstd * (gradient - normed * mean[:, None])
        if RESIDUAL:
            dx += tl.load(residual_ptr + start * residual_stride + column[None, :], mask=inside,
                          other=0.0).to(tl.float32)
        tl.debug_barrier()  # the result may go where an input was
        tl.store(out_ptr + start * out_stride + column[None, :], dx.to(out_ptr.dtype.element_ty), mask=inside)
        tile += tl.num_programs(0)
    if WEIGHT_GRAD:
        tl.store(partial_ptr + tl.program_id(0) * D + column, tl.sum(dweight, 0), mask=column < D)


def forward(x: torch.Tensor, y: torch.Tensor | None, total: torch.Tensor | None, weight: torch.Tensor, eps: float,
            offset: float, out: torch.Tensor) -> torch.Tensor:
    """Write the norm of ``x`` (of ``x + y``, written to ``total``) to ``out``; returns rstd."""
    rows, width = x.shape
    rstd = torch.empty(rows, dtype=torch.float32, device=x.device)
    if rows == 0:
        return rstd
    block, together, warps = tile_of(width)
    add = y is not None and total is not None
    y, total = (y, total) if add else (x, out)
    _forward[(triton.cdiv(rows, together),)](
        x, y, total, weight, out, rstd, rows, x.stride(0), y.stride(0), total.stride(0), out.stride(0), eps, offset,
        D=width, BLOCK=block, ROWS=together, ADD=add, num_warps=warps)
    return rstd


def backward(dy: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, rstd: torch.Tensor, offset: float,
             residual: torch.Tensor | None, weight_grad: bool, out: torch.Tensor) -> torch.Tensor | None:
    """Write dx to ``out``; returns dw or None."""
    rows, width = x.shape
    if rows == 0:
        return torch.zeros(width, dtype=torch.float32, device=x.device) if weight_grad else None
    block, together, warps = tile_of(width)
    tiles = triton.cdiv(rows, together)
    programs = tiles
    if weight_grad:
        programs = min(tiles, multiprocessors(x.device) * PROGRAMS_PER_SM.get(block * together, 1))
    partial = torch.empty(programs if weight_grad else 0, width, dtype=torch.float32, device=x.device)
    _backward[(programs,)](
        dy, x, weight, rstd, dy if residual is None else residual, out, partial if weight_grad else rstd, rows, tiles,
        dy.stride(0), x.stride(0), 0 if residual is None else residual.stride(0), out.stride(0), offset, D=width,
        BLOCK=block, ROWS=together, RESIDUAL=residual is not None, WEIGHT_GRAD=weight_grad, num_warps=warps)
    return partial.sum(0) if weight_grad else None


def tile_of(width: int) -> tuple[int, int, int]:
    """Columns, rows and warps of a program for rows of ``width`` elements."""
    block = triton.next_power_of_2(width)
    together = max(LEAST_TILE // block, 1)
    return block, together, min(max(block * together // (32 * PER_THREAD), 1), 32)


@functools.cache
def multiprocessors(device: torch.device) -> int:
    """Of a GPU; for the interpreter a few, so that programs take several tiles."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == 'cuda' else 1
