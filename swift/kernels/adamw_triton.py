"""AdamW as a Triton kernel over many tensors at once; imported only where Triton is.

Tensors are not laid side by side: the kernel gets a table of their addresses. A program has 4,096 numbers of one
tensor, reads weight, gradient and both moments once and writes three of them, so that a step costs the bytes of one
pass. Where there is only one tensor (a step in the backward) its address is an argument, and no table has to reach the
device.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Sequence

import torch
import triton
import triton.language as tl

from swift.kernels.adamw import CHUNK, QUARTER, ROUNDS, Adam, Slot

_TYPES = {torch.float32: tl.float32, torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}
_WARPS = 4
_VECTOR = 16  # bytes of a load, and numbers that sizes are compared in


@triton.jit
def _stored(x, noise, TYPE: tl.constexpr, STOCHASTIC: tl.constexpr):
    """float32 as it is kept; ``noise`` is uniform in [0, 2^16)."""
    if TYPE == tl.bfloat16:
        bits = x.to(tl.uint32, bitcast=True)
        if STOCHASTIC:
            bits += noise
        else:  # to nearest, ties to even; Triton's interpreter does not carry into the exponent
            bits += 0x7FFF + ((bits >> 16) & 1)
        x = (bits & 0xFFFF0000).to(tl.float32, bitcast=True)
    return x.to(TYPE)


@triton.jit
def _chunk(w_ptr, g_ptr, m_ptr, v_ptr, chunk, size, number, scale_ptr, step_size, shrink, beta1, rest1, beta2, rest2,
           eps, root, seed, step, STOCHASTIC_W: tl.constexpr, STOCHASTIC_M: tl.constexpr, ROUNDS: tl.constexpr,
           QUARTER: tl.constexpr):
    """The step of chunk number ``chunk`` (int64) of a tensor of ``size`` numbers."""
    places = tl.arange(0, QUARTER)
    scale = 1.0
    if scale_ptr is not None:
        scale = tl.load(scale_ptr)
    if STOCHASTIC_W or STOCHASTIC_M:
        r0, r1, r2, r3 = tl.philox(seed, (chunk * QUARTER + places).to(tl.uint32), step, number, 0, ROUNDS)
    for quarter in tl.static_range(4):
        offsets = (chunk * 4 + quarter) * QUARTER + places
        inside = offsets < size
        w = tl.load(w_ptr + offsets, mask=inside, other=0.0).to(tl.float32)
        g = tl.load(g_ptr + offsets, mask=inside, other=0.0).to(tl.float32)
        m = tl.load(m_ptr + offsets, mask=inside, other=0.0).to(tl.float32)
        v = tl.load(v_ptr + offsets, mask=inside, other=0.0).to(tl.float32)
        if scale_ptr is not None:
            g = g / scale
        m = beta1 * m + rest1 * g
        v = beta2 * v + rest2 * g * g
        w = shrink * w - step_size * (m / (tl.sqrt(v) / root + eps))
        if STOCHASTIC_W or STOCHASTIC_M:
            if quarter == 0:
                word = r0
            elif quarter == 1:
                word = r1
            elif quarter == 2:
                word = r2
            else:
                word = r3
            low = word & 0xFFFF
            high = word >> 16
        else:
            low = 0
            high = 0
        tl.store(w_ptr + offsets, _stored(w, low, w_ptr.dtype.element_ty, STOCHASTIC_W), mask=inside)
        tl.store(m_ptr + offsets, _stored(m, high, m_ptr.dtype.element_ty, STOCHASTIC_M), mask=inside)
        tl.store(v_ptr + offsets, _stored(v, low ^ high, v_ptr.dtype.element_ty, STOCHASTIC_M), mask=inside)


@triton.jit
def _address(table_ptr, place, TYPE: tl.constexpr, ALIGNED: tl.constexpr):
    pointer = tl.load(table_ptr + place).to(tl.pointer_type(TYPE))
    if ALIGNED:
        pointer = tl.multiple_of(pointer, 16)
    return pointer


@triton.jit
def _size(sizes_ptr, tensor, ALIGNED: tl.constexpr):
    size = tl.load(sizes_ptr + tensor)
    if ALIGNED:
        size = tl.multiple_of(size, 16)
    return size


@triton.jit(do_not_specialize=['count', 'seed', 'step'])
def _step_many(table_ptr, count, owners_ptr, firsts_ptr, sizes_ptr, scale_ptr, skip_ptr, step_size, shrink, beta1,
               rest1, beta2, rest2, eps, root, seed, step, W: tl.constexpr, G: tl.constexpr, M: tl.constexpr,
               ALIGNED: tl.constexpr, STOCHASTIC_W: tl.constexpr, STOCHASTIC_M: tl.constexpr, ROUNDS: tl.constexpr,
               QUARTER: tl.constexpr):
    """``table``: rows of ``count`` int64, addresses of w, g, m and v, and the tensors' numbers."""
    skip = 0.0
    if skip_ptr is not None:
        skip = tl.load(skip_ptr)
    if skip == 0:
        program = tl.program_id(0)
        tensor = tl.load(owners_ptr + program)
        chunk = (program - tl.load(firsts_ptr + tensor)).to(tl.int64)
        _chunk(_address(table_ptr, tensor, W, ALIGNED), _address(table_ptr, count + tensor, G, ALIGNED),
               _address(table_ptr, 2 * count + tensor, M, ALIGNED), _address(table_ptr, 3 * count + tensor, M, ALIGNED),
               chunk, _size(sizes_ptr, tensor, ALIGNED), tl.load(table_ptr + 4 * count + tensor).to(tl.int32),
               scale_ptr, step_size, shrink, beta1, rest1, beta2, rest2, eps, root, seed, step, STOCHASTIC_W,
               STOCHASTIC_M, ROUNDS, QUARTER)


@triton.jit(do_not_specialize=['number', 'seed', 'step'])
def _step_one(w_ptr, g_ptr, m_ptr, v_ptr, size, number, scale_ptr, skip_ptr, step_size, shrink, beta1, rest1, beta2,
              rest2, eps, root, seed, step, STOCHASTIC_W: tl.constexpr, STOCHASTIC_M: tl.constexpr,
              ROUNDS: tl.constexpr, QUARTER: tl.constexpr):
    skip = 0.0
    if skip_ptr is not None:
        skip = tl.load(skip_ptr)
    if skip == 0:
        _chunk(w_ptr, g_ptr, m_ptr, v_ptr, tl.program_id(0).to(tl.int64), size, number, scale_ptr, step_size, shrink,
               beta1, rest1, beta2, rest2, eps, root, seed, step, STOCHASTIC_W, STOCHASTIC_M, ROUNDS, QUARTER)


@triton.jit
def _squares(pointer, chunk, size, CHUNK: tl.constexpr):
    offsets = chunk * CHUNK + tl.arange(0, CHUNK)
    x = tl.load(pointer + offsets, mask=offsets < size, other=0.0).to(tl.float32)
    return tl.sum(x * x, 0)


@triton.jit
def _squares_many(table_ptr, owners_ptr, firsts_ptr, sizes_ptr, sums_ptr, G: tl.constexpr, ALIGNED: tl.constexpr,
                  CHUNK: tl.constexpr):
    program = tl.program_id(0)
    tensor = tl.load(owners_ptr + program)
    chunk = (program - tl.load(firsts_ptr + tensor)).to(tl.int64)
    tl.store(sums_ptr + program, _squares(_address(table_ptr, tensor, G, ALIGNED), chunk,
                                          _size(sizes_ptr, tensor, ALIGNED), CHUNK))


@triton.jit
def _squares_one(g_ptr, size, sums_ptr, CHUNK: tl.constexpr):
    program = tl.program_id(0)
    tl.store(sums_ptr + program, _squares(g_ptr, program.to(tl.int64), size, CHUNK))


def triton_step(slots: Sequence[Slot], adam: Adam, scale: torch.Tensor | None, skip: torch.Tensor | None) -> None:
    """As :func:`swift.kernels.adamw.adamw_step`, for contiguous tensors of one device."""
    buckets: dict[tuple, list[tuple[Slot, torch.Tensor]]] = {}
    for slot in slots:
        gradient = slot.gradient.contiguous()
        tensors = (slot.parameter, gradient, slot.exp_avg, slot.exp_avg_sq)
        key = (slot.parameter.dtype, gradient.dtype, slot.exp_avg.dtype, _aligned(tensors))
        if slot.parameter.numel():
            buckets.setdefault(key, []).append((slot, gradient))
    beta1, beta2 = adam.betas
    numbers = {'step_size': adam.step_size, 'shrink': adam.shrink, 'beta1': beta1, 'rest1': 1 - beta1, 'beta2': beta2,
               'rest2': 1 - beta2, 'eps': adam.eps, 'root': adam.root, 'seed': adam.seed, 'step': adam.step}
    for (weight_type, gradient_type, moment_type, aligned), bucket in buckets.items():
        device = bucket[0][0].parameter.device
        common = {**numbers, 'scale_ptr': scale, 'skip_ptr': skip, 'ROUNDS': ROUNDS, 'QUARTER': QUARTER,
                  'STOCHASTIC_W': adam.stochastic and weight_type == torch.bfloat16,
                  'STOCHASTIC_M': adam.stochastic and moment_type == torch.bfloat16, 'num_warps': _WARPS}
        with _device(device):
            if len(bucket) == 1:
                slot, gradient = bucket[0]
                size = slot.parameter.numel()
                _step_one[(triton.cdiv(size, CHUNK),)](slot.parameter.detach(), gradient, slot.exp_avg, slot.exp_avg_sq,
                                                       size, slot.number, **common)
                continue
            owners, firsts, sizes = _layout(tuple(slot.parameter.numel() for slot, _ in bucket), device)
            table = _table([[slot.parameter.data_ptr() for slot, _ in bucket],
                            [gradient.data_ptr() for _, gradient in bucket],
                            [slot.exp_avg.data_ptr() for slot, _ in bucket],
                            [slot.exp_avg_sq.data_ptr() for slot, _ in bucket],
                            [slot.number for slot, _ in bucket]], device)
            _step_many[(owners.numel(),)](table, len(bucket), owners, firsts, sizes, W=_TYPES[weight_type],
                                          G=_TYPES[gradient_type], M=_TYPES[moment_type], ALIGNED=aligned, **common)


def triton_square_sum(gradients: Sequence[torch.Tensor]) -> torch.Tensor:
    """As :func:`swift.kernels.adamw.square_sum`, for tensors of one device."""
    device = gradients[0].device
    buckets: dict[tuple, list[torch.Tensor]] = {}
    for gradient in (gradient.contiguous() for gradient in gradients):
        if gradient.numel():
            buckets.setdefault((gradient.dtype, _aligned((gradient,))), []).append(gradient)
    sums = [torch.zeros(1, device=device)]
    for (dtype, aligned), bucket in buckets.items():
        with _device(device):
            if len(bucket) == 1:
                size = bucket[0].numel()
                sums.append(torch.empty(triton.cdiv(size, CHUNK), device=device))
                _squares_one[(sums[-1].numel(),)](bucket[0], size, sums[-1], CHUNK=CHUNK, num_warps=_WARPS)
                continue
            owners, firsts, sizes = _layout(tuple(gradient.numel() for gradient in bucket), device)
            sums.append(torch.empty(owners.numel(), device=device))
            table = _table([[gradient.data_ptr() for gradient in bucket]], device)
            _squares_many[(owners.numel(),)](table, owners, firsts, sizes, sums[-1], G=_TYPES[dtype], ALIGNED=aligned,
                                             CHUNK=CHUNK, num_warps=_WARPS)
    return torch.cat(sums).sum(dtype=torch.float64)


@functools.lru_cache(maxsize=32)
def _layout(sizes: tuple[int, ...], device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of tensors of these sizes: the tensor of each program and the first program of each tensor (int32), the sizes."""
    programs = torch.tensor([triton.cdiv(size, CHUNK) for size in sizes])
    owners = torch.repeat_interleave(torch.arange(len(sizes)), programs)
    firsts = programs.cumsum(0) - programs
    return owners.int().to(device), firsts.int().to(device), torch.tensor(sizes, dtype=torch.int64).to(device)


def _table(rows: list[list[int]], device: torch.device) -> torch.Tensor:
    """int64 on the device; from pinned memory, so that the host does not wait for the copy."""
    host = torch.tensor(rows, dtype=torch.int64, pin_memory=device.type == 'cuda')
    return host.to(device, non_blocking=True)


def _aligned(tensors: Iterable[torch.Tensor]) -> bool:
    """Whether 16 bytes can be loaded at a time, to the end."""
    return all(tensor.data_ptr() % _VECTOR == 0 and tensor.numel() % _VECTOR == 0 for tensor in tensors)


def _device(device: torch.device) -> contextlib.AbstractContextManager:
    return torch.cuda.device(device) if device.type == 'cuda' else contextlib.nullcontext()
