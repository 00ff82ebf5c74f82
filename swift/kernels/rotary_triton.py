"""Rotary embedding and QK-norm as Triton kernels; imported only where Triton is. See :mod:`swift.kernels.rotary`.

A row of a tile is one head of one token, its two halves beside each other in two tensors, so that norm and rotation
need no exchange between programs: 2 T (Hq + Hk) d elements are moved in the forward, 2 T (Hq + 2 Hk) d in the backward,
with norms T (Hq + Hk) d more. Heads of one token are neighbours, so the tables (T R / 2 of each) come from memory once
and from the cache for the other heads. The backward takes every row from where its gradient is (dq, dk or dv) with
three masked loads, of which two touch no memory.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from swift.kernels.norm_triton import multiprocessors

TILE = 4096
"""Elements of a program."""

PER_THREAD = 16

PROGRAMS_PER_SM = 2
"""How many programs sum up the norms' weight gradients on each multiprocessor."""


@triton.jit
def _load_pairs(row_ptr, here, HALF: tl.constexpr, HALF_BLOCK: tl.constexpr, ROWS: tl.constexpr,
                INTERLEAVED: tl.constexpr):
    """The two halves of what is rotated, [ROWS, HALF_BLOCK] each in float32; ``row_ptr`` and ``here`` are [ROWS, 1]."""
    if INTERLEAVED:
        column = tl.arange(0, 2 * HALF_BLOCK)[None, :]  # neighbours are loaded together and then taken apart
        x = tl.load(row_ptr + column, mask=here & (column < 2 * HALF), other=0.0).to(tl.float32)
        first, second = tl.split(tl.reshape(x, (ROWS, HALF_BLOCK, 2)))
    else:
        column = tl.arange(0, HALF_BLOCK)[None, :]
        first = tl.load(row_ptr + column, mask=here & (column < HALF), other=0.0).to(tl.float32)
        second = tl.load(row_ptr + column + HALF, mask=here & (column < HALF), other=0.0).to(tl.float32)
    return first, second


@triton.jit
def _store_pairs(row_ptr, first, second, here, HALF: tl.constexpr, HALF_BLOCK: tl.constexpr, ROWS: tl.constexpr,
                 INTERLEAVED: tl.constexpr):
    element = row_ptr.dtype.element_ty
    if INTERLEAVED:
        column = tl.arange(0, 2 * HALF_BLOCK)[None, :]
        x = tl.reshape(tl.join(first.to(element), second.to(element)), (ROWS, 2 * HALF_BLOCK))
        tl.store(row_ptr + column, x, mask=here & (column < 2 * HALF))
    else:
        column = tl.arange(0, HALF_BLOCK)[None, :]
        tl.store(row_ptr + column, first.to(element), mask=here & (column < HALF))
        tl.store(row_ptr + column + HALF, second.to(element), mask=here & (column < HALF))


@triton.jit
def _forward(qkv_ptr, cos_ptr, sin_ptr, q_weight_ptr, k_weight_ptr, out_ptr, rstd_ptr, rows, qkv_stride, cos_stride,
             sin_stride, out_stride, eps, offset, HQ: tl.constexpr, HK: tl.constexpr, D: tl.constexpr,
             HALF: tl.constexpr, HALF_BLOCK: tl.constexpr, REST: tl.constexpr, REST_BLOCK: tl.constexpr,
             ROWS: tl.constexpr, STEP: tl.constexpr, INTERLEAVED: tl.constexpr, INVERSE: tl.constexpr,
             NORM: tl.constexpr, IN_PLACE: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    here = row < rows
    token = (row // (HQ + HK)).to(tl.int64)
    head = row % (HQ + HK)
    x_ptr = qkv_ptr + (token * qkv_stride + head * D)[:, None]
    y_ptr = out_ptr + (token * out_stride + head * D)[:, None]
    x1, x2 = _load_pairs(x_ptr, here[:, None], HALF, HALF_BLOCK, ROWS, INTERLEAVED)
    pair = tl.arange(0, HALF_BLOCK)
    inside = here[:, None] & (pair < HALF)[None, :]
    cos = tl.load(cos_ptr + (token * cos_stride)[:, None] + pair[None, :] * STEP, mask=inside, other=0.0).to(tl.float32)
    sin = tl.load(sin_ptr + (token * sin_stride)[:, None] + pair[None, :] * STEP, mask=inside, other=0.0).to(tl.float32)
    if INVERSE:
        sin = -sin
    if NORM or not IN_PLACE:
        if REST > 0:
            beyond = 2 * HALF + tl.arange(0, REST_BLOCK)
            inside_rest = here[:, None] & (beyond < D)[None, :]
            x3 = tl.load(x_ptr + beyond[None, :], mask=inside_rest, other=0.0).to(tl.float32)
    if NORM:
        squares = tl.sum(x1 * x1 + x2 * x2, 1)
        if REST > 0:
            squares += tl.sum(x3 * x3, 1)
        rstd = 1 / tl.sqrt(squares / D + eps)
        tl.store(rstd_ptr + row, rstd, mask=here)
        is_q = (head < HQ)[:, None]
        first = pair * 2 if INTERLEAVED else pair
        second = first + (1 if INTERLEAVED else HALF)
        x1 *= rstd[:, None] * _weight(q_weight_ptr, k_weight_ptr, is_q, first, pair < HALF, offset)
        x2 *= rstd[:, None] * _weight(q_weight_ptr, k_weight_ptr, is_q, second, pair < HALF, offset)
        if REST > 0:
            x3 *= rstd[:, None] * _weight(q_weight_ptr, k_weight_ptr, is_q, beyond, beyond < D, offset)
    tl.debug_barrier()  # the result may go where the input was
    _store_pairs(y_ptr, x1 * cos - x2 * sin, x2 * cos + x1 * sin, here[:, None], HALF, HALF_BLOCK, ROWS, INTERLEAVED)
    if NORM or not IN_PLACE:
        if REST > 0:
            tl.store(y_ptr + beyond[None, :], x3.to(out_ptr.dtype.element_ty), mask=inside_rest)


@triton.jit
def _weight(q_weight_ptr, k_weight_ptr, is_q, column, inside, offset):
    """[ROWS, columns]: the weight of the norm that each row has, with the offset."""
    q = tl.load(q_weight_ptr + column, mask=inside, other=0.0).to(tl.float32)
    k = tl.load(k_weight_ptr + column, mask=inside, other=0.0).to(tl.float32)
    return tl.where(is_q, q[None, :], k[None, :]) + offset


@triton.jit
def _backward(dq_ptr, dk_ptr, dv_ptr, cos_ptr, sin_ptr, qkv_ptr, rstd_ptr, q_weight_ptr, k_weight_ptr, out_ptr,
              partial_ptr, rows, tiles, dq_token, dq_head, dk_token, dk_head, dv_token, dv_head, cos_stride, sin_stride,
              qkv_stride, out_stride, offset, HQ: tl.constexpr, HK: tl.constexpr, D: tl.constexpr, HALF: tl.constexpr,
              HALF_BLOCK: tl.constexpr, REST: tl.constexpr, REST_BLOCK: tl.constexpr, ROWS: tl.constexpr,
              STEP: tl.constexpr, INTERLEAVED: tl.constexpr, NORM: tl.constexpr, WEIGHT_GRAD: tl.constexpr):
    pair = tl.arange(0, HALF_BLOCK)
    is_pair = pair < HALF
    first = pair * 2 if INTERLEAVED else pair
    second = first + (1 if INTERLEAVED else HALF)
    beyond = 2 * HALF + tl.arange(0, REST_BLOCK)
    if WEIGHT_GRAD:
        dq_w1 = tl.zeros((HALF_BLOCK,), tl.float32)
        dq_w2 = tl.zeros((HALF_BLOCK,), tl.float32)
        dk_w1 = tl.zeros((HALF_BLOCK,), tl.float32)
        dk_w2 = tl.zeros((HALF_BLOCK,), tl.float32)
        dq_w3 = tl.zeros((REST_BLOCK,), tl.float32)
        dk_w3 = tl.zeros((REST_BLOCK,), tl.float32)
    tile = tl.program_id(0)
    while tile < tiles:  # a range over numbers known at run time is not for Triton's interpreter
        row = tile * ROWS + tl.arange(0, ROWS)
        here = row < rows
        token = (row // (HQ + 2 * HK)).to(tl.int64)
        head = row % (HQ + 2 * HK)
        is_q = (here & (head < HQ))[:, None]
        is_k = (here & (head >= HQ) & (head < HQ + HK))[:, None]
        is_v = (here & (head >= HQ + HK))[:, None]
        q_ptr = dq_ptr + (token * dq_token + head * dq_head)[:, None]
        k_ptr = dk_ptr + (token * dk_token + (head - HQ) * dk_head)[:, None]
        v_ptr = dv_ptr + (token * dv_token + (head - HQ - HK) * dv_head)[:, None]
        q1, q2 = _load_pairs(q_ptr, is_q, HALF, HALF_BLOCK, ROWS, INTERLEAVED)  # zeros in rows that are others'
        k1, k2 = _load_pairs(k_ptr, is_k, HALF, HALF_BLOCK, ROWS, INTERLEAVED)
        v1, v2 = _load_pairs(v_ptr, is_v, HALF, HALF_BLOCK, ROWS, INTERLEAVED)
        y1 = q1 + k1 + v1
        y2 = q2 + k2 + v2
        turns = (is_q | is_k) & is_pair[None, :]  # values are turned by nothing
        cos = tl.load(cos_ptr + (token * cos_stride)[:, None] + pair[None, :] * STEP, mask=turns,
                      other=1.0).to(tl.float32)
        sin = tl.load(sin_ptr + (token * sin_stride)[:, None] + pair[None, :] * STEP, mask=turns,
                      other=0.0).to(tl.float32)
        g1 = y1 * cos + y2 * sin
        g2 = y2 * cos - y1 * sin
        if REST > 0:
            column = beyond[None, :]
            g3 = tl.load(q_ptr + column, mask=is_q & (column < D), other=0.0).to(tl.float32)
            g3 += tl.load(k_ptr + column, mask=is_k & (column < D), other=0.0).to(tl.float32)
            g3 += tl.load(v_ptr + column, mask=is_v & (column < D), other=0.0).to(tl.float32)
        if NORM:
            rotated = is_q | is_k
            rstd = tl.load(rstd_ptr + token * (HQ + HK) + head, mask=here & (head < HQ + HK), other=0.0)[:, None]
            x_ptr = qkv_ptr + (token * qkv_stride + head * D)[:, None]
            x1, x2 = _load_pairs(x_ptr, rotated, HALF, HALF_BLOCK, ROWS, INTERLEAVED)
            x1 *= rstd
            x2 *= rstd
            w1 = g1 * _weight(q_weight_ptr, k_weight_ptr, is_q, first, is_pair, offset)
            w2 = g2 * _weight(q_weight_ptr, k_weight_ptr, is_q, second, is_pair, offset)
            mean = tl.sum(w1 * x1 + w2 * x2, 1)
            if REST > 0:
                x3 = tl.load(x_ptr + column, mask=rotated & (column < D), other=0.0).to(tl.float32) * rstd
                w3 = g3 * _weight(q_weight_ptr, k_weight_ptr, is_q, beyond, beyond < D, offset)
                mean += tl.sum(w3 * x3, 1)
            mean = (mean / D)[:, None]
            if WEIGHT_GRAD:
                dq_w1 += tl.sum(tl.where(is_q, g1 * x1, 0.0), 0)
                dq_w2 += tl.sum(tl.where(is_q, g2 * x2, 0.0), 0)
                dk_w1 += tl.sum(tl.where(is_k, g1 * x1, 0.0), 0)
                dk_w2 += tl.sum(tl.where(is_k, g2 * x2, 0.0), 0)
                if REST > 0:
                    dq_w3 += tl.sum(tl.where(is_q, g3 * x3, 0.0), 0)
                    dk_w3 += tl.sum(tl.where(is_k, g3 * x3, 0.0), 0)
            g1 = tl.where(rotated, rstd * (w1 - x1 * mean), g1)
            g2 = tl.where(rotated, rstd * (w2 - x2 * mean), g2)
            if REST > 0:
                g3 = tl.where(rotated, rstd * (w3 - x3 * mean), g3)
        tl.debug_barrier()  # the result may go where the gradients were
        to_ptr = out_ptr + (token * out_stride + head * D)[:, None]
        _store_pairs(to_ptr, g1, g2, here[:, None], HALF, HALF_BLOCK, ROWS, INTERLEAVED)
        if REST > 0:
            tl.store(to_ptr + column, g3.to(out_ptr.dtype.element_ty), mask=here[:, None] & (column < D))
        tile += tl.num_programs(0)
    if WEIGHT_GRAD:
        of_q = partial_ptr + tl.program_id(0) * 2 * D
        tl.store(of_q + first, dq_w1, mask=is_pair)
        tl.store(of_q + second, dq_w2, mask=is_pair)
        tl.store(of_q + D + first, dk_w1, mask=is_pair)
        tl.store(of_q + D + second, dk_w2, mask=is_pair)
        if REST > 0:
            tl.store(of_q + beyond, dq_w3, mask=beyond < D)
            tl.store(of_q + D + beyond, dk_w3, mask=beyond < D)


def forward(qkv: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, heads: tuple[int, int], head_dim: int,
            inverse: bool, interleaved: bool, q_weight: torch.Tensor | None, k_weight: torch.Tensor | None, eps: float,
            offset: float, out: torch.Tensor) -> torch.Tensor | None:
    """Write q|k to ``out``; returns rstd or None. ``cos`` and ``sin`` have a column for each pair."""
    (hq, hk), tokens = heads, qkv.shape[0]
    normed = q_weight is not None
    rstd = qkv.new_empty(tokens, hq + hk, dtype=torch.float32) if normed else None
    if tokens == 0:
        return rstd
    shape, warps = _shape(cos, head_dim)
    rows = tokens * (hq + hk)
    _forward[(triton.cdiv(rows, shape['ROWS']),)](
        qkv, cos, sin, q_weight if normed else qkv, k_weight if normed else qkv, out, rstd if normed else qkv, rows,
        qkv.stride(0), cos.stride(0), sin.stride(0), out.stride(0), eps, offset, HQ=hq, HK=hk, INTERLEAVED=interleaved,
        INVERSE=inverse, NORM=normed, IN_PLACE=out.data_ptr() == qkv.data_ptr(), **shape, num_warps=warps)
    return rstd


def backward(dq: torch.Tensor, dk: torch.Tensor, dv: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor,
             interleaved: bool, qkv: torch.Tensor | None, rstd: torch.Tensor | None, q_weight: torch.Tensor | None,
             k_weight: torch.Tensor | None, offset: float, weight_grad: bool,
             out: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Write dqkv to ``out``; returns the gradients of the norms' weights or None."""
    tokens, hq, head_dim = dq.shape
    hk = dk.shape[1]
    normed = rstd is not None
    if tokens == 0:
        zeros = torch.zeros(2, head_dim, dtype=torch.float32, device=dq.device)
        return (zeros[0], zeros[1]) if weight_grad else (None, None)
    shape, warps = _shape(cos, head_dim)
    rows = tokens * (hq + 2 * hk)
    programs = tiles = triton.cdiv(rows, shape['ROWS'])
    if weight_grad:
        programs = min(tiles, multiprocessors(dq.device) * PROGRAMS_PER_SM)
    partial = torch.empty(programs if weight_grad else 0, 2, head_dim, dtype=torch.float32, device=dq.device)
    _backward[(programs,)](
        dq, dk, dv, cos, sin, qkv if normed else dq, rstd if normed else dq, q_weight if normed else dq,
        k_weight if normed else dq, out, partial if weight_grad else dq, rows, tiles, *dq.stride()[:2],
        *dk.stride()[:2], *dv.stride()[:2], cos.stride(0), sin.stride(0), qkv.stride(0) if normed else 0,
        out.stride(0), offset, HQ=hq, HK=hk, INTERLEAVED=interleaved, NORM=normed, WEIGHT_GRAD=weight_grad, **shape,
        num_warps=warps)
    return tuple(partial.sum(0)) if weight_grad else (None, None)


def _shape(cos: torch.Tensor, head_dim: int) -> tuple[dict[str, int], int]:
    """The tile, as the kernels' constants, and its warps."""
    half = cos.shape[1]
    rest = head_dim - 2 * half
    half_block = triton.next_power_of_2(half)
    rest_block = triton.next_power_of_2(rest) if rest else 1
    width = triton.next_power_of_2(2 * half_block + (rest_block if rest else 0))
    rows = max(TILE // width, 1)
    return ({'D': head_dim, 'HALF': half, 'HALF_BLOCK': half_block, 'REST': rest, 'REST_BLOCK': rest_block,
             'ROWS': rows, 'STEP': cos.stride(1)}, max(rows * width // (32 * PER_THREAD), 1))
