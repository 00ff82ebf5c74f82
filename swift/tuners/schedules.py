"""Schedules that train some blocks of a model at a time: LISA and BAdam.

A schedule freezes and frees parameters between optimizer steps; the optimizer is an ordinary one over all of them. What
frozen parameters had of gradients and moments is freed by :func:`swift.tuners.optimizers.base.drop_state_of_frozen`,
which a training loop calls after ``after_optimizer``, so that both take the memory of the blocks being trained.

Which blocks are trained is a function of the seed and the number of steps made, so that all processes choose alike and
a resumed run goes on exactly.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from typing import Any, Literal

import torch
from torch import nn

from swift.tuners.targets import find_blocks
from swift.utils.errors import UsageError


class BlockSchedule:
    """Trains the blocks that ``choose`` names for a period of steps, then those of the next. A :class:`StepHook`.

    Parameters that need no gradient when this is made never will; parameters outside the blocks stay as they are.
    Make the optimizer before ``begin``, while it still sees all that will be trained.

    Args:
        model: has a list of blocks.
        choose: number of the period (the first is 0) -> numbers of its blocks.
        interval: optimizer steps in a period.
    """

    def __init__(self, model: nn.Module, choose: Callable[[int], Collection[int]], interval: int) -> None:
        self._blocks = [[parameter for parameter in block.parameters() if parameter.requires_grad]
                        for block in model.get_submodule(find_blocks(model))]
        self._choose = choose
        self._interval = interval
        self._steps = 0

    def begin(self, total_steps: int) -> None:
        self._switch()

    def penalty(self) -> torch.Tensor:
        return torch.zeros(())

    def after_optimizer(self, step: int) -> None:
        self._steps = step
        if step % self._interval == 0:
            self._switch()

    def state_dict(self) -> dict[str, Any]:
        return {'steps': self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._steps = state['steps']

    def active(self) -> list[int]:
        """Numbers of the blocks that the next step trains, ascending."""
        return sorted(self._choose(self._steps // self._interval))

    def _switch(self) -> None:
        chosen = {id(parameter) for number in self.active() for parameter in self._blocks[number]}
        for block in self._blocks:
            for parameter in block:  # one that two blocks share is trained with either
                parameter.requires_grad_(id(parameter) in chosen)
                if not parameter.requires_grad:
                    parameter.grad = None


def lisa(model: nn.Module, activated_layers: int, step_interval: int, seed: int) -> BlockSchedule:
    """LISA (Pan et al. 2024, arXiv 2403.17919): embeddings, head and final norm always, and so many blocks drawn anew
    every ``step_interval`` steps, each set of blocks equally likely.

    Raises:
        UsageError: the model has fewer blocks.
    """
    count = len(model.get_submodule(find_blocks(model)))
    if activated_layers > count:
        raise UsageError(f'--lisa_activated_layers {activated_layers}: the model has {count} blocks.')
    return BlockSchedule(model, lambda period: random.Random(f'{seed}:{period}').sample(range(count), activated_layers),
                         step_interval)


def badam(model: nn.Module, switch_interval: int, mode: Literal['descending', 'ascending', 'random'],
          seed: int) -> BlockSchedule:
    """BAdam (Luo, Yu, Li 2024, arXiv 2404.02827): one block at a time, ``switch_interval`` steps each.

    Block coordinate descent with Adam in each block; its moments start from zero with the block. ``random`` goes
    through all blocks in a new order each time. As in the paper's code, embeddings, head and final norm stay frozen.
    """
    inside = {id(parameter) for parameter in model.get_submodule(find_blocks(model)).parameters()}
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.requires_grad and id(parameter) in inside)
    count = len(model.get_submodule(find_blocks(model)))

    def choose(period: int) -> list[int]:
        lap, place = divmod(period, count)
        order = random.Random(f'{seed}:{lap}').sample(range(count), count) if mode == 'random' else range(count)
        return [order[count - 1 - place] if mode == 'descending' else order[place]]
    return BlockSchedule(model, choose, switch_interval)
