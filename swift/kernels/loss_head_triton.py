"""The pass of the loss head over a chunk of logits as one Triton kernel; imported only where Triton is.

A program has one row. It reads the row twice, a block at a time: for maximum, normaliser, sum and likeliest token, then
to put the gradient in the place of the logits. The second reading finds a row of 152k 16-bit logits (300 kB) in the
L2 cache, so that memory sees one read and one write. Everything is computed in float32.

The normaliser over blocks is that of Milakov and Gimelshein (Online normalizer calculation for softmax, 2018).
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from swift.kernels.loss_head import LossTerms

BLOCK = 8192
"""Logits that a program holds at a time."""

WARPS = 16
"""Warps that hold them: with 512 threads 16 numbers a thread."""


@triton.jit
def _transformed(z, SCALE: tl.constexpr, SOFTCAP: tl.constexpr):
    """f(z), before which columns outside the row must be masked."""
    u = z.to(tl.float32) * SCALE
    if SOFTCAP > 0:
        u = SOFTCAP * (2 * tl.sigmoid(2 * u / SOFTCAP) - 1)  # tanh, which not every version of Triton has
    return u


@triton.jit
def _row(z_ptr, stride, targets_ptr, weights_ptr, losses_ptr, right_ptr, grad_scale, V: tl.constexpr,
         SCALE: tl.constexpr, SOFTCAP: tl.constexpr, SMOOTHING: tl.constexpr, Z_LOSS: tl.constexpr,
         WITH_GRADIENT: tl.constexpr, WITH_RIGHT: tl.constexpr, BLOCK: tl.constexpr):
    n = tl.program_id(0).to(tl.int64)
    row_ptr = z_ptr + n * stride
    target = tl.load(targets_ptr + n)
    columns = tl.arange(0, BLOCK)

    largest = tl.full((), float('-inf'), tl.float32)
    total = tl.full((), 0.0, tl.float32)  # of exp(u - largest)
    added = tl.full((), 0.0, tl.float32)  # of u
    best = tl.full((), 0, tl.int32)
    for begin in range(0, V, BLOCK):
        inside = begin + columns < V
        u = _transformed(tl.load(row_ptr + begin + columns, mask=inside, other=0.0), SCALE, SOFTCAP)
        if SMOOTHING > 0:
            added += tl.sum(tl.where(inside, u, 0.0), 0)
        u = tl.where(inside, u, float('-inf'))
        if WITH_RIGHT:
            top, where = tl.max(u, 0, return_indices=True, return_indices_tie_break_left=True)
            best = tl.where(top > largest, begin + where, best)  # of equals the first, as torch.argmax
        else:
            top = tl.max(u, 0)
        above = tl.maximum(largest, top)
        total = total * tl.exp(largest - above) + tl.sum(tl.exp(u - above), 0)
        largest = above

    lse = largest + tl.log(total)
    at_target = _transformed(tl.load(row_ptr + target), SCALE, SOFTCAP)
    tl.store(losses_ptr + n, lse - (1 - SMOOTHING) * at_target - SMOOTHING * added / V + Z_LOSS * lse * lse)
    if WITH_RIGHT:
        tl.store(right_ptr + n, (best == target).to(tl.int8))
    if WITH_GRADIENT:
        outer = tl.load(weights_ptr + n) * grad_scale * SCALE
        factor = outer * (1 + 2 * Z_LOSS * lse)
        tl.debug_barrier()  # no thread writes before all have read the target's logit
        for begin in range(0, V, BLOCK):
            inside = begin + columns < V
            u = _transformed(tl.load(row_ptr + begin + columns, mask=inside, other=0.0), SCALE, SOFTCAP)
            gradient = factor * tl.exp(u - lse) - outer * SMOOTHING / V
            gradient = tl.where(begin + columns == target, gradient - outer * (1 - SMOOTHING), gradient)
            if SOFTCAP > 0:
                gradient *= 1 - (u / SOFTCAP) * (u / SOFTCAP)
            tl.store(row_ptr + begin + columns, gradient.to(z_ptr.dtype.element_ty), mask=inside)


def triton_pass(z: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, terms: LossTerms,
                grad_scale: float | None, losses: torch.Tensor, right: torch.Tensor | None) -> None:
    """As :func:`swift.kernels.loss_head.plain_pass`; ``z`` has its last dimension contiguous, ``losses`` is float32."""
    flags = (losses if right is None else right).view(torch.uint8)  # Triton has no pointers to bool
    _row[(z.shape[0],)](
        z, z.stride(0), targets, weights, losses, flags, 1.0 if grad_scale is None else grad_scale, V=z.shape[1],
        SCALE=terms.scale, SOFTCAP=terms.softcap or 0.0, SMOOTHING=terms.label_smoothing, Z_LOSS=terms.z_loss,
        WITH_GRADIENT=grad_scale is not None, WITH_RIGHT=right is not None,
        BLOCK=min(BLOCK, triton.next_power_of_2(z.shape[1])), num_warps=WARPS)
