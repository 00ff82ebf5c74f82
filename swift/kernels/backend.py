"""Who computes: plain PyTorch, or a Triton kernel where it runs and agrees. Decided once for a device and dtype."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Literal

import torch

from swift.utils.extras import available
from swift.utils.logging import get_logger

logger = get_logger()

Backend = Literal['torch', 'triton']

Check = Callable[[torch.device, torch.dtype], str | None]
"""Compares the Triton kernel with plain PyTorch on a device; returns what is wrong, or None."""


@functools.cache
def choose(name: str, device: torch.device, dtype: torch.dtype, check: Check) -> Backend:
    """Triton on CUDA where it is installed and right on this device, else plain PyTorch; told once.

    Args:
        name: of the operator, as a sentence begins ('The loss head').
        device, dtype: where and in what it will run. float64 is left to PyTorch, since kernels compute in float32.
        check: what the kernel must pass.
    """
    if device.type != 'cuda' or dtype == torch.float64:
        return 'torch'
    problem = check(device, dtype) if available('triton') else 'Triton is not installed'
    if problem is None:
        return 'triton'
    logger.warning('%s runs without its Triton kernel: %s.', name, problem)
    return 'torch'


def disagreement(run: Callable[[Backend], Sequence[torch.Tensor]], dtype: torch.dtype) -> str | None:
    """Run an operator both ways and compare what it returns.

    Args:
        run: returns the results of one backend; the same inputs each time.
        dtype: what results are rounded to, which sets how near they must be.

    Returns:
        What is wrong, as the end of a sentence, or None.
    """
    tolerance = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}[dtype]
    try:
        plain, fast = ([tensor.float().cpu() for tensor in run(backend)] for backend in ('torch', 'triton'))
    except Exception as e:  # errors of a compiler and of a driver have no base in common; whatever it is, it is told
        return not_running(e)
    for number, (one, other) in enumerate(zip(plain, fast, strict=True), 1):
        if not (one - other).abs().max() <= tolerance * one.abs().max():
            return f'result {number} of {len(plain)} differs from plain PyTorch\'s'
    return None


def not_running(error: Exception) -> str:
    """How a check tells that a kernel failed: with the first line of the message."""
    return f'it does not run here ({str(error).splitlines()[0] if str(error) else type(error).__name__})'
