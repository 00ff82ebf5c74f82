"""What the optimizers here share: a step that is made parameter by parameter, and AdamW's own part of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle


class ByParameter(torch.optim.Optimizer):
    """An optimizer whose step is made of independent steps of single parameters; a subclass has :meth:`update`.

    Its state is a tree of tensors, numbers and lists, so that it can be written without pickle.
    """

    def update(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        """Change one parameter, whose gradient is there, and its state."""
        raise NotImplementedError

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group['params']:
                if parameter.grad is not None:
                    self.update(parameter, group)
        return loss

    def step_in_backward(self) -> list[RemovableHandle]:
        """From now on change each parameter as soon as its gradient is complete, and drop that gradient at once.

        The gradients of a model are never in memory together (Lv et al. 2023, LOMO). ``step`` then finds nothing left
        to do. There must be one backward a step, and nothing that looks at all gradients before: no accumulation, no
        clipping by the norm of all, no loss scaling, no averaging over processes.

        Returns:
            What undoes it, by ``handle.remove()``.
        """
        def hook(number: int) -> Callable[[torch.Tensor], None]:
            @torch.no_grad()
            def step(parameter: nn.Parameter) -> None:
                self.update(parameter, self.param_groups[number])  # by number: loading a state makes new groups
                parameter.grad = None
            return step

        return [parameter.register_post_accumulate_grad_hook(hook(number))
                for number, group in enumerate(self.param_groups) for parameter in group['params']]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As of any optimizer, but tensors keep their types: torch would turn codes and float32 moments of a
        half-precision parameter into that parameter's type."""
        super().load_state_dict(state_dict)
        numbers = [number for group in state_dict['param_groups'] for number in group['params']]
        parameters = [parameter for group in self.param_groups for parameter in group['params']]
        for number, parameter in zip(numbers, parameters, strict=True):
            for name, value in state_dict['state'].get(number, {}).items():
                if isinstance(value, torch.Tensor):
                    self.state[parameter][name] = value.to(parameter.device, copy=True)


def adam_moments(exp_avg: torch.Tensor, exp_avg_sq: torch.Tensor, gradient: torch.Tensor,
                 betas: tuple[float, float]) -> None:
    """``m = b1 m + (1 - b1) g`` and ``v = b2 v + (1 - b2) g^2``, in place; all of one shape."""
    exp_avg.lerp_(gradient, 1 - betas[0])
    exp_avg_sq.mul_(betas[1]).addcmul_(gradient, gradient, value=1 - betas[1])


def adam_direction(exp_avg: torch.Tensor, exp_avg_sq: torch.Tensor, step: int, betas: tuple[float, float],
                   eps: float) -> torch.Tensor:
    """``m' / (sqrt(v') + eps)`` with the bias of both corrected: ``m' = m / (1 - b1^t)``, ``v' = v / (1 - b2^t)``.

    Args:
        step: t, the first is 1.
    """
    root = (exp_avg_sq / (1 - betas[1]**step)).sqrt_().add_(eps)
    return root.reciprocal_().mul_(exp_avg).div_(1 - betas[0]**step)


def drop_state_of_frozen(optimizer: torch.optim.Optimizer) -> None:
    """Free the moments of parameters that no longer need a gradient, and those gradients.

    For schedules that train some blocks at a time: memory is that of the blocks being trained, and a block that comes
    back starts with fresh moments.
    """
    for group in optimizer.param_groups:
        for parameter in group['params']:
            if not parameter.requires_grad:
                optimizer.state.pop(parameter, None)
                parameter.grad = None
