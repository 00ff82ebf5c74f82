"""The skinny products of LoRA, with dropout inside.

G adapters (a group: of q, k and v, say) read the same x. With the mask k_g of adapter g, 0 or 1 / (1 - p):

    down     xA_g = (k_g * x) A_g^T                  [N, r]   forward
    up_grad  dx += sum_g k_g * (low_g A_g)           [N, D]   backward; low_g = s_g dy_g B_g
    a_grad   dA_g = low_g^T (k_g * x)                [r, D]   backward
    b_grad   dB = dy^T xA                            [out, r] backward, without the factor s

Each adapter has a mask of its own, as each layer of peft has. Masks are not stored: they come from a seed again. Each
product reads x (or dx) once for the whole group. Without dropout they are plain matmuls. Nothing here is recorded by
autograd: :mod:`swift.kernels.lora_linear` is.

In this file: N tokens, D width of the input, G adapters, r their rank (smaller ones are padded with zeros).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from swift.kernels.backend import Backend, choose, not_running
from swift.kernels.dropout import plain_keep_mask

MOST_GROUPS = 4
"""Adapters that have masks of their own under one seed."""


@dataclass(frozen=True)
class Drop:
    """Dropout of the inputs of a group.

    Attributes:
        p: probability of an input to be dropped, from 0 to 1.
        seed: the same seed gives the same mask, on the same backend and device.
    """

    p: float
    seed: int

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise ValueError(f'The probability of dropout must be from 0 to 1, got {self.p}.')

    @property
    def scale(self) -> float:
        """What is kept is multiplied by it: 1 / (1 - p)."""
        return 1 / (1 - self.p) if self.p < 1 else 0.0


def new_seed() -> int:
    """A seed from torch's generator of the CPU: recomputing under the saved state of that draws the same again.

    Above 2^33, so that Triton types every seed as int64 and compiles a kernel once.
    """
    return int(torch.randint(2 ** 33, 2 ** 60, ()))


def down(x: torch.Tensor, a: torch.Tensor, *, groups: int, drop: Drop | None = None, out: torch.Tensor | None = None,
         backend: Backend | None = None) -> torch.Tensor:
    """``xa[:, g] = dropout_g(x) @ a_g^T``.

    Args:
        x: [N, D], rows may be further apart than D.
        a: [G * r, D].
        groups: G, up to 4 with dropout.
        drop: None for none.
        out: [N, G * r] to write into, rows may be further apart.
        backend: None takes :func:`choose_backend`.

    Returns:
        [N, G * r] in the dtype of ``x``, or ``out``.
    """
    ranks = _rank(a, groups, x.shape[1], drop)
    if out is None:
        out = x.new_empty((x.shape[0], a.shape[0]))
    if not _drops(drop):
        return torch.mm(x, a.t(), out=out)
    if _backend(backend, x) == 'triton':
        from swift.kernels.lora_triton import triton_down

        triton_down(x, a, groups, drop, out)
        return out
    for group in range(groups):
        part = slice(group * ranks, (group + 1) * ranks)
        out[:, part] = torch.mm(_dropped(x, drop, group), a[part].t())
    return out


def up_grad(low: torch.Tensor, a: torch.Tensor, dx: torch.Tensor, *, groups: int, drop: Drop | None = None,
            overwrite: bool = False, backend: Backend | None = None) -> None:
    """In place ``dx += sum_g keep_g * (low_g @ a_g) / (1 - p)``.

    Args:
        low: [N, G * r], gradient of what :func:`down` gives; rows may be further apart.
        a: [G * r, D].
        dx: [N, D], rows may be further apart.
        groups, drop, backend: as for :func:`down`.
        overwrite: dx holds nothing yet, so that it is written without being read.
    """
    ranks = _rank(a, groups, dx.shape[1], drop)
    if not _drops(drop):
        if overwrite:
            torch.mm(low, a, out=dx)
        else:
            dx.addmm_(low, a)
        return
    if _backend(backend, dx) == 'triton':
        from swift.kernels.lora_triton import triton_up_grad

        triton_up_grad(low, a, dx, groups, drop, overwrite)
        return
    if overwrite:
        dx.zero_()
    for group in range(groups):
        part = slice(group * ranks, (group + 1) * ranks)
        dx.add_(torch.mm(low[:, part], a[part]).mul_(_keep(dx, drop, group)), alpha=drop.scale)


def a_grad(low: torch.Tensor, x: torch.Tensor, *, groups: int, drop: Drop | None = None,
           out_dtype: torch.dtype = torch.float32, backend: Backend | None = None) -> torch.Tensor:
    """``da_g = low_g^T @ dropout_g(x)``, summed over tokens in float32, in an order that does not change.

    Args:
        low: [N, G * r].
        x: [N, D], rows may be further apart.
        groups, drop, backend: as for :func:`down`.
        out_dtype: of what is returned.

    Returns:
        [G * r, D].
    """
    ranks = low.shape[1] // groups
    if low.shape[1] != groups * ranks:
        raise ValueError(f'low has {low.shape[1]} columns, which {groups} groups do not divide.')
    if not _drops(drop):
        return _mm(low.t(), x, out_dtype)
    if _backend(backend, x) == 'triton':
        from swift.kernels.lora_triton import triton_a_grad

        return triton_a_grad(low, x, groups, drop).to(out_dtype)
    parts = [_mm(low[:, group * ranks:(group + 1) * ranks].t(), _dropped(x, drop, group), out_dtype)
             for group in range(groups)]
    return torch.cat(parts)


def b_grad(dy: torch.Tensor, xa: torch.Tensor, out_dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """``dB = dy^T @ xa``: [N, out] and [N, r] to [out, r]."""
    if not dy.is_cuda:  # a CPU multiplies few rows by many columns up to thirteen times as fast as the reverse
        return _mm(xa.t(), dy, out_dtype).t().contiguous()
    return _mm(dy.t(), xa, out_dtype)


def _dropped(x: torch.Tensor, drop: Drop, group: int) -> torch.Tensor:
    return torch.mul(x, _keep(x, drop, group)).mul_(drop.scale)


def _keep(x: torch.Tensor, drop: Drop, group: int) -> torch.Tensor:
    return plain_keep_mask(drop.seed, *x.shape, group, drop.p, x.device)


def _mm(left: torch.Tensor, right: torch.Tensor, out_dtype: torch.dtype) -> torch.Tensor:
    """``left @ right``; on CUDA the matmul itself gives the sums in ``out_dtype`` where that is wider."""
    if left.dtype == out_dtype:
        return torch.mm(left, right)
    if left.is_cuda and out_dtype == torch.float32 and left.dtype in (torch.float16, torch.bfloat16):
        return torch.mm(left, right, out_dtype=out_dtype)
    return torch.mm(left, right).to(out_dtype)


def _drops(drop: Drop | None) -> bool:
    return drop is not None and drop.p > 0


def _rank(a: torch.Tensor, groups: int, width: int, drop: Drop | None) -> int:
    if a.ndim != 2 or a.shape[1] != width or a.shape[0] % groups:
        raise ValueError(f'a must be [{groups} * r, {width}], got {list(a.shape)}.')
    if _drops(drop) and groups > MOST_GROUPS:
        raise ValueError(f'With dropout a group has at most {MOST_GROUPS} adapters, got {groups}.')
    return a.shape[0] // groups


def _backend(asked: Backend | None, tensor: torch.Tensor) -> Backend:
    return asked or choose_backend(tensor.device, tensor.dtype)


def choose_backend(device: torch.device, dtype: torch.dtype) -> Backend:
    """Triton where its kernels run and are right on this device, else plain PyTorch; told once."""
    return choose('LoRA with dropout', device, dtype, check)


def check(device: torch.device, dtype: torch.dtype) -> str | None:
    """Compare the Triton kernels on ``device`` with plain matmuls under the mask that they use themselves.

    Returns:
        What is wrong, or None.
    """
    groups, ranks, tokens, width = 3, 8, 70, 70
    drop = Drop(0.25, 2 ** 40 + 7)
    generator = torch.Generator().manual_seed(0)
    x, low, a, dx = (torch.randn(shape, generator=generator).to(device, dtype) for shape in (
        (tokens, width), (tokens, groups * ranks), (groups * ranks, width), (tokens, width)))
    ours = dx.clone()
    try:
        from swift.kernels import lora_triton

        masks = [lora_triton.mask(tokens, width, drop, group, device) for group in range(groups)]
        xa = down(x, a, groups=groups, drop=drop, backend='triton')
        up_grad(low, a, ours, groups=groups, drop=drop, backend='triton')
        da = a_grad(low, x, groups=groups, drop=drop, backend='triton')
    except Exception as e:  # errors of a compiler and of a driver have no base in common; whatever it is, it is told
        return not_running(e)
    for group, mask in enumerate(masks):
        if not 0.2 < 1 - mask.float().mean() < 0.3:
            return 'its mask does not drop as many as it should'
        if any(0.9 < (mask == other).float().mean() for other in masks[:group]):
            return 'its masks are not independent'
    tolerance = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}[dtype]
    expected_dx, parts = dx.double(), [slice(g * ranks, (g + 1) * ranks) for g in range(groups)]
    kept = [x.double() * mask * drop.scale for mask in masks]
    for mask, part in zip(masks, parts, strict=True):
        expected_dx = expected_dx + (low[:, part].double() @ a[part].double()) * mask * drop.scale
    expected = {'down': (xa, torch.cat([k @ a[p].double().t() for k, p in zip(kept, parts, strict=True)], 1)),
                'up_grad': (ours, expected_dx),
                'a_grad': (da, torch.cat([low[:, p].double().t() @ k for k, p in zip(kept, parts, strict=True)]))}
    for name, (one, other) in expected.items():
        if not (one.double() - other).abs().max() <= tolerance * other.abs().max():
            return f'{name} differs from plain PyTorch\'s'
    return None
