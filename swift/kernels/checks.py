"""What ``swift doctor --kernels`` runs: every kernel of ours against plain PyTorch on the user's device.

A check computes loss and gradients of a few odd sizes by the kernel and plainly, and says what differs. A new kernel
adds a line to ``CHECKS``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from swift.kernels import adamw, check_block, gated, lora, loss_head, norm, rotary

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4, torch.float16: 5e-3, torch.bfloat16: 3e-2}
"""Largest difference from the result in float64, as a share of its largest number."""


@dataclass(frozen=True)
class Check:
    """One kernel.

    Attributes:
        name: of the kernel.
        run: ``(device, dtype) -> what is wrong, or None``.
        devices: types of devices that the kernel is for.
    """

    name: str
    run: Callable[[torch.device, torch.dtype], str | None]
    devices: tuple[str, ...] = ('cpu', 'cuda')


@dataclass(frozen=True)
class Result:
    """What a check found: ``problem`` is None where all agrees; ``skipped`` where it isn't for this device."""

    name: str
    dtype: torch.dtype
    problem: str | None
    skipped: bool
    seconds: float


def check_linear_nll(device: torch.device, dtype: torch.dtype) -> str | None:
    """The whole loss head: loss and gradients of hidden states, weight and bias over several chunks."""
    generator = torch.Generator().manual_seed(0)
    tokens, width, vocabulary = 300, 72, 1003
    hidden = torch.randn(tokens, width, generator=generator)
    weight = torch.randn(vocabulary, width, generator=generator).div_(width**0.5)
    bias = torch.randn(vocabulary, generator=generator)
    targets = torch.randint(vocabulary, (tokens,), generator=generator).to(device)
    weights = torch.rand(tokens, generator=generator).to(device)

    def leaves(kind: torch.dtype) -> list[torch.Tensor]:
        # Both compute with the numbers that this dtype has
        return [tensor.to(device, dtype).to(kind).requires_grad_() for tensor in (hidden, weight, bias)]

    ours, plain = leaves(dtype), leaves(torch.float64)
    loss = loss_head.linear_nll(ours[0], ours[1], targets, weights, bias=ours[2], memory=2**20).loss
    nll = F.cross_entropy(F.linear(*plain), targets, reduction='none')
    expected = (nll * weights.double()).sum()
    found, wanted = torch.autograd.grad(loss, ours), torch.autograd.grad(expected, plain)
    return disagreement({'loss': loss, 'gradient of the hidden states': found[0], 'gradient of the weight': found[1],
                         'gradient of the bias': found[2]}, [expected, *wanted], dtype)


def disagreement(found: dict[str, torch.Tensor], expected: list[torch.Tensor], dtype: torch.dtype) -> str | None:
    """Name the first tensor that is further from what is expected than ``TOLERANCE`` allows, or is no number."""
    for (name, ours), plain in zip(found.items(), expected, strict=True):
        away = ((ours.double() - plain.double()).abs().max() / plain.double().abs().max().clamp(min=1e-30)).item()
        if not away <= TOLERANCE[dtype]:
            return f'the {name} is {away:.1e} of its largest number away from plain PyTorch\'s'
    return None


def check_attention(device: torch.device, dtype: torch.dtype) -> str | None:
    """Attention over documents."""
    return disagreement(*check_block.attention(device, dtype), dtype)


def check_fused_block(device: torch.device, dtype: torch.dtype) -> str | None:
    """A decoder block with adapters."""
    return disagreement(*check_block.block(device, dtype), dtype)


CHECKS: tuple[Check, ...] = (
    Check('loss head', check_linear_nll),
    Check('attention over documents', check_attention),
    Check('fused block', check_fused_block),
    Check('loss head, Triton pass', loss_head.check, devices=('cuda',)),
    Check('norm', norm.check, devices=('cuda',)),
    Check('gated activation', gated.check, devices=('cuda',)),
    Check('rotation', rotary.check, devices=('cuda',)),
    Check('LoRA products', lora.check, devices=('cuda',)),
    Check('AdamW', adamw.check, devices=('cuda',)),
)


def dtypes_of(device: torch.device) -> tuple[torch.dtype, ...]:
    """What kernels compute in on this device."""
    if device.type == 'cuda' and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16, torch.float16, torch.float32
    return (torch.float16, torch.float32) if device.type == 'cuda' else (torch.float32, torch.bfloat16)


def run_checks(device: torch.device) -> Iterator[Result]:
    """Run every check in every dtype of the device, one after the other.

    A check that raises has found a problem, whatever it raises: drivers and compilers have errors of their own.
    """
    for check in CHECKS:
        for dtype in dtypes_of(device):
            begin, problem, skipped = time.perf_counter(), None, device.type not in check.devices
            if not skipped:
                try:
                    problem = check.run(device, dtype)
                except Exception as e:
                    problem = f'{type(e).__name__}: {(str(e).splitlines() or [""])[0]}'
            yield Result(check.name, dtype, problem, skipped, time.perf_counter() - begin)
