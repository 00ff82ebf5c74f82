"""AdamW as an optimizer: the step of :mod:`swift.kernels.adamw` over parameter groups, and its state."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from swift.kernels.adamw import Adam, Slot, adamw_step, square_sum
from swift.kernels.backend import Backend
from swift.tuners.optimizers.base import ByParameter

_MOMENTS = ('exp_avg', 'exp_avg_sq')


class AdamW(ByParameter):
    """AdamW whose step is one pass over memory and never waits for the device.

    With the defaults its numbers are those of torch.optim.AdamW, and each can read the other's state.

    Args:
        params, lr, betas, eps, weight_decay: as of torch.optim.AdamW.
        state_dtype: what both moments are kept in; None is the type of each parameter, as torch does.
        stochastic: round bfloat16 weights and moments stochastically. The noise depends on ``seed``, step, and place
            of the number alone.
        seed: of the noise.
        backend: see :func:`swift.kernels.adamw.adamw_step`.

    Attributes:
        grad_scale: scalar float32 that gradients are divided by in the next step, None for 1; as torch's fused
            optimizers have it.
        found_inf: scalar float32; where it is not 0 a step changes no weight and no moment, though ``step`` is
            counted. During a backward that steps, it becomes 1 with the first gradient that is NaN or infinite.
    """

    def __init__(self, params: Iterable[nn.Parameter] | Iterable[dict[str, Any]], lr: float = 1e-3, *,
                 betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 1e-2,
                 state_dtype: torch.dtype | None = None, stochastic: bool = False, seed: int = 0,
                 backend: Backend | None = None) -> None:
        super().__init__(params, {'lr': lr, 'betas': betas, 'eps': eps, 'weight_decay': weight_decay})
        self.grad_scale: torch.Tensor | None = None
        self.found_inf: torch.Tensor | None = None
        self._state_dtype = state_dtype
        self._stochastic = stochastic
        self._seed = seed & (2**63 - 1)
        self._backend = backend
        self._numbers: dict[nn.Parameter, int] = {}
        self._squares: torch.Tensor | None = None  # of the gradients that a backward has stepped

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step(group, [parameter for parameter in group['params'] if parameter.grad is not None])
        return loss

    def update(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        """One parameter of a backward: its gradient is looked at, stepped, and counted in :meth:`gradient_norm`."""
        squares = square_sum([parameter.grad], backend=self._backend)
        self._squares = squares if self._squares is None else self._squares + squares.to(self._squares.device)
        if self.found_inf is not None:
            bad = (~squares.isfinite()).to(self.found_inf.device, torch.float32)
            torch.maximum(self.found_inf, bad, out=self.found_inf)
        self._step(group, [parameter])

    @torch.no_grad()
    def gradient_norm(self) -> torch.Tensor:
        """The 2-norm of all gradients, scalar float32 on their device; after a backward that stepped, of those that it
        has stepped since the last call."""
        squares, self._squares = self._squares, None
        if squares is None:
            squares = square_sum([parameter.grad for group in self.param_groups for parameter in group['params']
                                  if parameter.grad is not None], backend=self._backend)
        return squares.sqrt().float()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As of any optimizer. Moments come in the type that this optimizer keeps, whichever they were written in, and
        a count of steps may be a tensor, as torch's is."""
        super().load_state_dict(state_dict)
        for parameter, state in self.state.items():
            state['step'] = int(state['step'])
            for name in _MOMENTS:
                state[name] = state[name].to(self._state_dtype or parameter.dtype)

    def _step(self, group: dict[str, Any], parameters: list[nn.Parameter]) -> None:
        by_step: dict[int, list[Slot]] = {}
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                dtype = self._state_dtype or parameter.dtype
                state.update(step=0, **{name: torch.zeros(parameter.shape, dtype=dtype, device=parameter.device)
                                        for name in _MOMENTS})
            state['step'] += 1
            by_step.setdefault(state['step'], []).append(Slot(
                parameter.detach(), parameter.grad, state['exp_avg'], state['exp_avg_sq'], self._number(parameter)))
        for step, slots in by_step.items():
            adam = Adam(step, group['lr'], tuple(group['betas']), group['eps'], group['weight_decay'],
                        self._stochastic, self._seed)
            adamw_step(slots, adam, scale=self.grad_scale, skip=self.found_inf, backend=self._backend)

    def _number(self, parameter: nn.Parameter) -> int:
        if parameter not in self._numbers:
            everything = [parameter for group in self.param_groups for parameter in group['params']]
            self._numbers = {parameter: number for number, parameter in enumerate(everything)}
        return self._numbers[parameter]
