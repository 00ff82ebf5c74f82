"""A step of NaN or Inf is left out on the device, and the host hears of it one step later.

Looking at the loss and the norm before each step makes the host wait until the device has done everything, and then
the device wait for the host: a gap in every step. Here both stay on the device. An optimizer that takes ``found_inf``
leaves the step out by itself; the flag stays up, so that no later step is made either. A copy of loss and norm travels
to the host beside the next step's work and is looked at before the next step, row of the log, evaluation or checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.distributed.tensor import DTensor

from swift.kernels.adamw import clipping_scale, square_sum
from swift.trainers.adamw import AdamW
from swift.utils.errors import NonFiniteError

HINT = ('Lower --learning_rate, use --torch_dtype bfloat16 or float32 instead of float16, or look at the rows of this '
        'step.')


def not_finite(what: str, value: float, step: int) -> NonFiniteError:
    return NonFiniteError(f'The {what} became {value} at step {step}; training stopped and nothing of this step is '
                          f'saved. {HINT}')


@dataclass(frozen=True)
class _Report:
    """Loss, norm and flag of a step, on the way to the host.

    Attributes:
        numbers: float32 [3]; pinned, when it comes from a GPU.
        arrived: None where nothing is on the way.
    """

    step: int
    numbers: torch.Tensor
    arrived: torch.cuda.Event | None


class StepGuard:
    """Clipping and the check of one optimizer's steps, without waiting for the device.

    Args:
        optimizer: ours, or torch's AdamW with fused=True.
        device: of the loss.
        max_norm: what the gradient is clipped to; 0 is off.
        world: processes that train together; each leaves out what one of them leaves out.
    """

    def __init__(self, optimizer: AdamW | torch.optim.AdamW, device: torch.device, max_norm: float, world: int) -> None:
        self._optimizer = optimizer
        self._max_norm = max_norm
        self._world = world
        self._bad = torch.zeros((), device=device)
        self._report: _Report | None = None
        optimizer.found_inf = self._bad
        optimizer.grad_scale = None

    @torch.no_grad()
    def before_step(self, losses: torch.Tensor, step: int) -> torch.Tensor:
        """Prepare the optimizer for its step number ``step``.

        Args:
            losses: of the step's micro-batches, on the device.

        Returns:
            The norm of the whole gradient, before it is clipped; scalar, on the device.

        Raises:
            NonFiniteError: about the step before this one; the weights are still those from before it.
        """
        self.check()
        norm = self._norm()
        bad = 1 - (losses.isfinite().all() & norm.isfinite()).float()
        if self._world > 1:
            torch.distributed.all_reduce(bad, op=torch.distributed.ReduceOp.MAX)
        torch.maximum(self._bad, bad, out=self._bad)
        if self._max_norm > 0:
            self._optimizer.grad_scale = clipping_scale(norm, self._max_norm)
        self._report = _report(step, torch.stack([losses.sum().float(), norm, self._bad]))
        return norm

    def check(self) -> None:
        """Look at the newest step; waits until the device has come to it.

        Raises:
            NonFiniteError: its loss or gradient was NaN or infinite. The weights are still those from before it, and
                stay so.
        """
        report, self._report = self._report, None
        if report is None:
            return
        if report.arrived is not None:
            report.arrived.synchronize()
        loss, norm, bad = report.numbers.tolist()
        if not bad:
            return
        self._report = report  # whoever asks again hears it again
        if not torch.isfinite(torch.tensor(loss)):
            raise not_finite('loss', loss, report.step)
        if not torch.isfinite(torch.tensor(norm)):
            raise not_finite('gradient', norm, report.step)
        raise NonFiniteError(f'The loss or gradient of another process became NaN or infinite at step {report.step}; '
                             f'training stopped and nothing of this step is saved. {HINT}')

    def _norm(self) -> torch.Tensor:
        if isinstance(self._optimizer, AdamW):
            return self._optimizer.gradient_norm().to(self._bad.device)
        gradients = [parameter.grad for group in self._optimizer.param_groups for parameter in group['params']
                     if parameter.grad is not None]
        return square_sum(gradients).sqrt().float().to(self._bad.device)


def guard_of(optimizer: torch.optim.Optimizer, device: torch.device, max_norm: float, world: int) -> StepGuard | None:
    """The guard of an optimizer that can leave out a step by itself; None for any other, and for sharded weights."""
    ours = isinstance(optimizer, AdamW)
    fused = type(optimizer) is torch.optim.AdamW and bool(optimizer.defaults['fused'])
    sharded = any(isinstance(parameter, DTensor) for group in optimizer.param_groups for parameter in group['params'])
    return StepGuard(optimizer, device, max_norm, world) if (ours or fused) and not sharded else None


def _report(step: int, numbers: torch.Tensor) -> _Report:
    if numbers.device.type != 'cuda':
        return _Report(step, numbers, None)
    on_host = numbers.to('cpu', non_blocking=True)  # into pinned memory
    arrived = torch.cuda.Event()
    arrived.record()
    return _Report(step, on_host, arrived)
