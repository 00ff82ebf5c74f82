"""The gated activation's passes as Triton kernels; imported only where Triton is. See :mod:`swift.kernels.gated`.

Each element is read once and written once: 3 T I elements in the forward, 5 T I in the backward, 6 T I with a. An
adapter's part is made tile by tile with tensor cores from [ROWS, r] and [r, COLUMNS], which come from the L2 cache;
with r = 16 that is an eighth of the bytes of the tile itself. Its dropout mask costs arithmetic, no bytes.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from swift.kernels.dropout_triton import keep_mask
from swift.kernels.gated import kept_scale

TILE = 4096
"""Elements of a program, at most COLUMNS of them in a row."""

COLUMNS = 1024

DOT_TILE = (32, 128)
"""Rows and columns of a program that makes an adapter's part: near to square, so that few bytes come from the cache."""

PER_THREAD = 16

_TWO_K = tl.constexpr(1.5957691216057308)  # 2 sqrt(2 / pi)
_CUBE = tl.constexpr(0.044715)
_ROOT_HALF = tl.constexpr(0.7071067811865476)
_DENSITY = tl.constexpr(0.3989422804014327)  # 1 / sqrt(2 pi)


@triton.jit
def _gate(g, KIND: tl.constexpr):
    if KIND == 'silu':
        s = tl.sigmoid(g)
    elif KIND == 'gelu_tanh':
        s = tl.sigmoid(_TWO_K * g * (1 + _CUBE * g * g))
    else:
        s = 0.5 * (1 + tl.erf(g * _ROOT_HALF))
    return s


@triton.jit
def _slope(g, s, KIND: tl.constexpr):
    if KIND == 'silu':
        slope = s + g * s * (1 - s)
    elif KIND == 'gelu_tanh':
        slope = s + g * s * (1 - s) * (_TWO_K * (1 + 3 * _CUBE * g * g))
    else:
        slope = s + g * _DENSITY * tl.exp(-0.5 * g * g)
    return slope


@triton.jit
def _forward(gate_ptr, up_ptr, out_ptr, rows, gate_stride, up_stride, out_stride, WIDTH: tl.constexpr,
             KIND: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    across: tl.constexpr = (WIDTH + COLUMNS - 1) // COLUMNS
    row = (tl.program_id(0) // across * ROWS + tl.arange(0, ROWS))[:, None]
    column = (tl.program_id(0) % across * COLUMNS + tl.arange(0, COLUMNS))[None, :]
    inside = (row < rows) & (column < WIDTH)
    start = row.to(tl.int64)
    g = tl.load(gate_ptr + start * gate_stride + column, mask=inside, other=0.0).to(tl.float32)
    u = tl.load(up_ptr + start * up_stride + column, mask=inside, other=0.0).to(tl.float32)
    a = g * _gate(g, KIND) * u
    tl.debug_barrier()  # the result may go where an input was
    tl.store(out_ptr + start * out_stride + column, a.to(out_ptr.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=['seed'])
def _backward(da_ptr, gate_ptr, up_ptr, dgate_ptr, dup_ptr, act_ptr, low_ptr, low_weight_ptr, rows, da_stride,
              gate_stride, up_stride, dgate_stride, dup_stride, act_stride, low_stride, low_weight_stride, seed, p,
              scale, WIDTH: tl.constexpr, KIND: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
              WITH_ACT: tl.constexpr, RANK: tl.constexpr, BLOCK_RANK: tl.constexpr, DROP: tl.constexpr):
    across: tl.constexpr = (WIDTH + COLUMNS - 1) // COLUMNS
    row = (tl.program_id(0) // across * ROWS + tl.arange(0, ROWS))[:, None]
    column = (tl.program_id(0) % across * COLUMNS + tl.arange(0, COLUMNS))[None, :]
    inside = (row < rows) & (column < WIDTH)
    start = row.to(tl.int64)
    g = tl.load(gate_ptr + start * gate_stride + column, mask=inside, other=0.0).to(tl.float32)
    u = tl.load(up_ptr + start * up_stride + column, mask=inside, other=0.0).to(tl.float32)
    d = tl.load(da_ptr + start * da_stride + column, mask=inside, other=0.0).to(tl.float32)
    if RANK > 0:
        added = tl.zeros((ROWS, COLUMNS), tl.float32)
        for begin in range(0, RANK, BLOCK_RANK):
            k = begin + tl.arange(0, BLOCK_RANK)
            low = tl.load(low_ptr + start * low_stride + k[None, :], mask=(row < rows) & (k < RANK)[None, :], other=0.0)
            weight = tl.load(low_weight_ptr + k[:, None] * low_weight_stride + column,
                             mask=(k < RANK)[:, None] & (column < WIDTH), other=0.0)
            added = tl.dot(low, weight, added, input_precision='ieee')
        if DROP:
            added = tl.where(keep_mask(seed, row, column, WIDTH, 0, p), added * scale, 0.0)
        d += added
    s = _gate(g, KIND)
    dgate = d * u * _slope(g, s, KIND)
    dup = d * g * s
    tl.debug_barrier()  # results may go where the inputs were
    tl.store(dgate_ptr + start * dgate_stride + column, dgate.to(dgate_ptr.dtype.element_ty), mask=inside)
    tl.store(dup_ptr + start * dup_stride + column, dup.to(dup_ptr.dtype.element_ty), mask=inside)
    if WITH_ACT:
        tl.store(act_ptr + start * act_stride + column, (g * s * u).to(act_ptr.dtype.element_ty), mask=inside)


def forward(gate: torch.Tensor, up: torch.Tensor, kind: str, out: torch.Tensor) -> None:
    """Write ``f(gate) * up`` to ``out``; all [T, I]."""
    rows, width = gate.shape
    if gate.numel() == 0:
        return
    together, columns = _tile(width)
    _forward[(triton.cdiv(rows, together) * triton.cdiv(width, columns),)](
        gate, up, out, rows, gate.stride(0), up.stride(0), out.stride(0), WIDTH=width, KIND=kind, ROWS=together,
        COLUMNS=columns, num_warps=together * columns // (32 * PER_THREAD))


def backward(da: torch.Tensor, gate: torch.Tensor, up: torch.Tensor, kind: str, dgate: torch.Tensor,
             dup: torch.Tensor, act: torch.Tensor | None, low: torch.Tensor | None, low_weight: torch.Tensor | None,
             drop: tuple[float, int] | None) -> None:
    """Write the gradients, and a where ``act`` is given. See :func:`swift.kernels.gated.gated_backward`."""
    rows, width = gate.shape
    if gate.numel() == 0:
        return
    together, columns = _tile(width)
    rank = 0
    if low is not None and low_weight is not None:
        low = low if low.stride(1) == 1 else low.contiguous()
        low_weight = low_weight if low_weight.stride(1) == 1 else low_weight.contiguous()
        rank = low.shape[1]
        together, columns = DOT_TILE
    else:
        low = low_weight = da
    p, seed = drop or (0.0, 0)
    act_or_any = da if act is None else act
    _backward[(triton.cdiv(rows, together) * triton.cdiv(width, columns),)](
        da, gate, up, dgate, dup, act_or_any, low, low_weight, rows, da.stride(0), gate.stride(0), up.stride(0),
        dgate.stride(0), dup.stride(0), act_or_any.stride(0), low.stride(0), low_weight.stride(0), seed, p,
        kept_scale(p), WIDTH=width, KIND=kind, ROWS=together, COLUMNS=columns, WITH_ACT=act is not None, RANK=rank,
        BLOCK_RANK=min(max(triton.next_power_of_2(rank), 16), 64), DROP=p > 0,
        num_warps=together * columns // (32 * PER_THREAD))


def _tile(width: int) -> tuple[int, int]:
    columns = min(triton.next_power_of_2(width), COLUMNS)
    return TILE // columns, columns
