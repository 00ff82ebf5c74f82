"""AdamW over many tensors in few launches, with clipping and the check for NaN folded in, and nothing sent to the host.

    g = G / s                                   s >= 1 clips to a norm c: s = max(1, (|G| + 1e-6) / c)
    m <- b1 m + (1 - b1) g
    v <- b2 v + (1 - b2) g^2
    w <- (1 - lr d) w - lr / (1 - b1^t) m / (sqrt(v / (1 - b2^t)) + eps)

(Loshchilov and Hutter, Decoupled weight decay regularization, 2017; the clipping is torch.nn.utils.clip_grad_norm_'s.)
Everything is computed in float32 and then stored as what ``w``, ``m`` and ``v`` are kept in. bfloat16 has 8 bits: at a
learning rate of 1e-5 most steps are below half of the last one and rounding to nearest loses them, step after step.
Stochastic rounding keeps them in the mean (Gupta et al., Deep learning with limited numerical precision, 2015): add 16
random bits to the lower half of a float32 and cut that half off, so that x becomes the neighbour above with the
probability of its distance to the one below. llmq and torchao train with weights and moments kept so.

The random bits are Philox4x32 with 7 rounds (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011) of key
``seed`` and counter (place, step, number of the tensor, 0): the same on every process, device and backend, and after a
resume. A call gives four words, one for an element each in the four quarters of a chunk of 4,096; of its word an
element takes the lower half for ``w``, the upper one for ``m``, and the exclusive or of both, which depends on neither
alone, for ``v``.

It knows nothing about models or trainers; the optimizer is :class:`swift.trainers.adamw.AdamW`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from swift.kernels.backend import Backend, choose, not_running

QUARTER = 1024
"""Elements that take the same word of their Philox calls."""

CHUNK = 4 * QUARTER
"""Elements of a program; a chunk lies in one tensor."""

ROUNDS = 7
"""Of Philox: the fewest with which Philox4x32 passes BigCrush (table 2 of the paper)."""

_BLOCK = 32 * CHUNK  # what the plain way takes at a time, so that it stays near a cache
_FAST = (torch.float32, torch.bfloat16, torch.float16)
_LOW = 0xFFFFFFFF


@dataclass(frozen=True)
class Slot:
    """One tensor that is trained; all four have one shape and device.

    Attributes:
        parameter, exp_avg, exp_avg_sq: w, m and v, changed in place; m and v are contiguous.
        gradient: G, dense.
        number: tells tensors apart, so that no two get the same noise.
    """

    parameter: torch.Tensor
    gradient: torch.Tensor
    exp_avg: torch.Tensor
    exp_avg_sq: torch.Tensor
    number: int = 0


@dataclass(frozen=True)
class Adam:
    """The numbers of a step.

    Attributes:
        step: t, the first is 1.
        lr, betas, eps, weight_decay: the formula's; lr above 0 is not asked for.
        stochastic: round stochastically whatever of w, m and v is bfloat16; all else is rounded to nearest.
        seed: of the noise, from 0 to 2^63 - 1.
    """

    step: int
    lr: float
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    stochastic: bool = False
    seed: int = 0

    @property
    def shrink(self) -> float:
        return 1 - self.lr * self.weight_decay

    @property
    def step_size(self) -> float:
        return self.lr / (1 - self.betas[0] ** self.step)

    @property
    def root(self) -> float:
        """``sqrt(1 - b2^t)``."""
        return (1 - self.betas[1] ** self.step) ** 0.5


def adamw_step(slots: Sequence[Slot], adam: Adam, *, scale: torch.Tensor | None = None,
               skip: torch.Tensor | None = None, backend: Backend | None = None) -> None:
    """Make one step of all tensors.

    Args:
        scale: s, scalar float32 that gradients are divided by; None is 1. Gradients themselves are not changed.
        skip: scalar float32; where it is not 0, nothing is changed at all.
        backend: who computes; None takes :func:`choose_backend` for each tensor. A weight whose memory is not in
            order is left to plain PyTorch.

    Raises:
        ValueError: a gradient is sparse, or shapes differ.
    """
    fast: dict[torch.device, list[Slot]] = {}
    for slot in slots:
        if slot.gradient.is_sparse or slot.gradient.shape != slot.parameter.shape:
            raise ValueError(f'AdamW takes dense gradients of the shape of their parameter, '
                             f'{list(slot.parameter.shape)}; got {list(slot.gradient.shape)}, {slot.gradient.layout}.')
        if _backend_of(slot, backend) == 'triton':
            fast.setdefault(slot.parameter.device, []).append(slot)
        else:
            _plain_step(slot, adam, _on(scale, slot.parameter.device), _on(skip, slot.parameter.device))
    for device, of_device in fast.items():
        from swift.kernels.adamw_triton import triton_step  # imports triton, which only accelerators have

        triton_step(of_device, adam, _on(scale, device), _on(skip, device))


def square_sum(gradients: Sequence[torch.Tensor], *, backend: Backend | None = None) -> torch.Tensor:
    """Sum of the squares of all numbers of all tensors: a float64 scalar on the first one's device.

    NaN or infinite where one of them is, or where a square exceeds float32.
    """
    fast: dict[torch.device, list[torch.Tensor]] = {}
    sums: list[torch.Tensor] = []
    for gradient in gradients:
        if (backend or choose_backend(gradient.device, gradient.dtype)) == 'triton':
            fast.setdefault(gradient.device, []).append(gradient)
        else:
            precise = torch.promote_types(gradient.dtype, torch.float32)
            sums.append(torch.linalg.vector_norm(gradient, dtype=precise).double().square())
    for of_device in fast.values():
        from swift.kernels.adamw_triton import triton_square_sum

        sums.append(triton_square_sum(of_device))
    if not sums:
        return torch.zeros((), dtype=torch.float64)
    first = gradients[0].device
    return torch.stack([_on(one, first) for one in sums]).sum()


def clipping_scale(norm: torch.Tensor, max_norm: float) -> torch.Tensor:
    """s of :func:`adamw_step` for a gradient of this norm (scalar), as float32."""
    return ((norm + 1e-6) / max_norm).clamp(min=1.0).float()


def rounded(values: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """float32 rounded stochastically to bfloat16.

    Args:
        noise: int32, each uniform in [0, 2^16).
    """
    bits = values.view(torch.int32) + noise
    return (bits & -0x10000).view(torch.float32).to(torch.bfloat16)  # exact: the lower half is empty


def words(count: int, first: int, step: int, number: int, seed: int, device: torch.device) -> torch.Tensor:
    """The random words of ``count`` elements from element ``first`` on, a multiple of 4,096: int64 in [0, 2^32)."""
    chunks = -(-count // CHUNK)
    places = torch.arange(chunks * QUARTER, device=device) + first // 4
    return torch.stack(philox(places, step, number, seed)).view(4, chunks, QUARTER).transpose(0, 1).reshape(-1)[:count]


def philox(places: torch.Tensor, step: int, number: int, seed: int) -> list[torch.Tensor]:
    """The four words of each place (int64 in [0, 2^32)), each in [0, 2^32)."""
    c0, c1 = places, torch.full_like(places, step)
    c2, c3 = torch.full_like(places, number), torch.zeros_like(places)
    k0, k1 = seed & _LOW, seed >> 32
    for _ in range(ROUNDS):
        # int64 wraps around at 2^64, which leaves the 64 bits of an unsigned product
        a, b = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1 = ((b >> 32) & _LOW) ^ c1 ^ k0, b & _LOW
        c2, c3 = ((a >> 32) & _LOW) ^ c3 ^ k1, a & _LOW
        k0, k1 = (k0 + 0x9E3779B9) & _LOW, (k1 + 0xBB67AE85) & _LOW
    return [c0, c1, c2, c3]


def _plain_step(slot: Slot, adam: Adam, scale: torch.Tensor | None, skip: torch.Tensor | None) -> None:
    """What the Triton kernel is compared with; float64 parameters stay float64."""
    if skip is not None and skip.device.type == 'cpu':
        if skip.item():
            return
        skip = None
    w = slot.parameter.detach().contiguous().view(-1)
    g, m, v = (tensor.reshape(-1) for tensor in (slot.gradient, slot.exp_avg, slot.exp_avg_sq))
    for begin in range(0, w.numel(), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        _plain_block(w[part], g[part], m[part], v[part], begin, slot.number, adam, scale, skip)
    if not slot.parameter.is_contiguous():
        slot.parameter.detach().copy_(w.view(slot.parameter.shape))


def _plain_block(w: torch.Tensor, g: torch.Tensor, m: torch.Tensor, v: torch.Tensor, first: int, number: int,
                 adam: Adam, scale: torch.Tensor | None, skip: torch.Tensor | None) -> None:
    precise = torch.promote_types(w.dtype, torch.float32)
    gradient = g.to(precise) if scale is None else g.to(precise) / scale
    exp_avg = torch.lerp(m.to(precise), gradient, 1 - adam.betas[0])
    exp_avg_sq = (v.to(precise) * adam.betas[1]).addcmul_(gradient, gradient, value=1 - adam.betas[1])
    denominator = exp_avg_sq.sqrt().div_(adam.root).add_(adam.eps)
    weight = (w.to(precise) * adam.shrink).addcdiv_(exp_avg, denominator, value=-adam.step_size)
    noises: tuple[torch.Tensor | None, ...] = (None, None, None)
    if adam.stochastic and torch.bfloat16 in (w.dtype, m.dtype, v.dtype):
        random = words(w.numel(), first, adam.step, number, adam.seed, w.device)
        low, high = random & 0xFFFF, random >> 16
        noises = tuple(noise.to(torch.int32) for noise in (low, high, low ^ high))
    for kept, value, noise in zip((w, m, v), (weight, exp_avg, exp_avg_sq), noises, strict=True):
        if noise is not None and kept.dtype == torch.bfloat16:
            value = rounded(value, noise)
        kept.copy_(value if skip is None else torch.where(skip != 0, kept, value.to(kept.dtype)))


def _on(scalar: torch.Tensor | None, device: torch.device) -> torch.Tensor | None:
    return None if scalar is None else scalar.to(device, non_blocking=True)


def _backend_of(slot: Slot, asked: Backend | None) -> Backend:
    if not slot.parameter.is_contiguous() or slot.exp_avg.dtype not in _FAST:
        return 'torch'
    return asked or choose_backend(slot.parameter.device, slot.parameter.dtype)


def choose_backend(device: torch.device, dtype: torch.dtype) -> Backend:
    """Triton on CUDA where it is installed and right on this device, else plain PyTorch; told once."""
    return choose('AdamW', device, dtype, check)


def check(device: torch.device, dtype: torch.dtype) -> str | None:
    """Compare the Triton kernels with plain PyTorch on ``device``, on odd sizes, with and without noise.

    Returns:
        What is wrong, or None.
    """
    generator = torch.Generator().manual_seed(0)
    shapes = ((3, 1000), (CHUNK + 16,), (17,))
    drawn = [[torch.randn(shape, generator=generator) for _ in range(3)] for shape in shapes]
    found: list[list[torch.Tensor]] = []
    try:
        for backend in ('torch', 'triton'):
            results = []
            for moments in (torch.float32, torch.bfloat16):
                slots = [Slot(w.to(device, dtype, copy=True), g.to(device, dtype), m.to(device, moments, copy=True),
                              m.abs().to(device, moments), number) for number, (w, g, m) in enumerate(drawn)]
                norm = square_sum([slot.gradient for slot in slots], backend=backend).sqrt()
                adam = Adam(step=3, lr=0.01, weight_decay=0.1, stochastic=moments == torch.bfloat16, seed=7)
                adamw_step(slots, adam, scale=clipping_scale(norm, 1.0), skip=torch.zeros((), device=device),
                           backend=backend)
                adamw_step(slots, adam, skip=torch.ones((), device=device), backend=backend)
                results += [norm] + [tensor for slot in slots for tensor in (slot.parameter, slot.exp_avg,
                                                                             slot.exp_avg_sq)]
            found.append([tensor.float().cpu() for tensor in results])
    except Exception as e:  # errors of a compiler and of a driver have no base in common; whatever it is, it is told
        return not_running(e)
    for number, (plain, fast) in enumerate(zip(*found, strict=True), 1):
        # One number in a thousand may be rounded to the other neighbour, where the last bits of float32 differ.
        far = (plain - fast).abs() > 1e-5 * plain.abs().clamp(min=1e-2)
        near = (plain - fast).abs() <= 2e-2 * plain.abs().clamp(min=1e-2)
        if far.float().mean() > 2e-3 or not near.all():
            return f'result {number} of {len(found[0])} differs from plain PyTorch\'s'
    return None
