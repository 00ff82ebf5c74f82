"""APOLLO and APOLLO-Mini (Zhu et al. 2024, arXiv 2412.05270): SGD's memory, AdamW's pace.

AdamW mostly tells how large the step of a channel is. That needs no exact moments: for W [m, n], m <= n, with gradient
G and a random P [m, r] of independent N(0, 1/r), moments M, V [r, n] are those of ``R = P^T G``, and::

    R' = M / (sqrt(V) + eps)
    s  = |R'_j| / |R_j|  for each column j             (APOLLO)        or        |R'| / |R|          (APOLLO-Mini)
    D  = s G, made at most 1.01 times as large as the last one (the limiter of Fira, Chen et al. 2024)
    W <- (1 - lr wd) W - lr sqrt(scale) c D            with Adam's correction c = sqrt(1 - b2^t) / (1 - b1^t)

A tall W is taken from the other side. P comes from a new seed every ``update_proj_gap`` steps and is never kept. States
are ``2 r n + 1`` numbers; Mini has rank 1 and scale 128. What isn't a matrix is trained by plain AdamW.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from swift.tuners.optimizers.base import ByParameter, adam_direction, adam_moments
from swift.tuners.optimizers.projection import check_matrices, project, random_bases

_GROWTH = 1.01
_TINY = 1e-8


class Apollo(ByParameter):
    """AdamW whose step sizes are told by moments in a small random space, for the groups that have a ``rank``.

    Args:
        params: parameters or groups; a group with ``rank`` (above 0) holds matrices only.
        lr, betas, eps, weight_decay: AdamW's.
        rank: for groups that don't say; 0 is plain AdamW.
        update_proj_gap: steps between two random spaces.
        scale: its root is multiplied to the step.
        per_tensor: one size for a whole matrix (Mini) instead of one for each channel.
        seed: of the random spaces; each parameter has its own sequence by its place among all.

    Raises:
        UsageError: a parameter of a group with a rank is no matrix.
    """

    def __init__(self, params: Iterable[nn.Parameter] | Iterable[dict[str, Any]], lr: float = 1e-3, *,
                 betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0,
                 rank: int = 0, update_proj_gap: int = 200, scale: float = 1.0, per_tensor: bool = False,
                 seed: int = 0) -> None:
        super().__init__(params, {'lr': lr, 'betas': betas, 'eps': eps, 'weight_decay': weight_decay, 'rank': rank,
                                  'update_proj_gap': update_proj_gap, 'scale': scale, 'per_tensor': per_tensor})
        for group in self.param_groups:
            if group['rank']:
                check_matrices(group)
        everything = [parameter for group in self.param_groups for parameter in group['params']]
        self._seeds = {parameter: seed + number * 2**32 for number, parameter in enumerate(everything)}

    def update(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        state, gradient = self.state[parameter], parameter.grad
        step, betas, eps = state.get('step', 0), group['betas'], group['eps']
        low = gradient.float()
        if group['rank']:
            bases = random_bases(gradient.shape, group['rank'], 'std',
                                 self._seeds[parameter] + step // group['update_proj_gap'],
                                 device=gradient.device, dtype=torch.float32)
            low = project(low, bases)
        if 'exp_avg' not in state:
            state['exp_avg'], state['exp_avg_sq'] = torch.zeros_like(low), torch.zeros_like(low)
        state['step'] = step = step + 1
        adam_moments(state['exp_avg'], state['exp_avg_sq'], low, betas)
        if group['rank']:
            size = self._size(state, low, gradient.shape, group)
            limited = self._limited(state, gradient.float() * size)
            correction = math.sqrt(1 - betas[1]**step) / (1 - betas[0]**step)
            direction = limited.mul_(math.sqrt(group['scale']) * correction)
        else:
            direction = adam_direction(state['exp_avg'], state['exp_avg_sq'], step, betas, eps)
        parameter.mul_(1 - group['lr'] * group['weight_decay']).add_(direction, alpha=-group['lr'])

    def _size(self, state: dict[str, Any], low: torch.Tensor, shape: torch.Size, group: dict[str, Any]) -> torch.Tensor:
        """s: [1, n], [m, 1] or a scalar."""
        scaled = state['exp_avg'] / (state['exp_avg_sq'].sqrt() + group['eps'])
        if group['per_tensor']:
            return scaled.norm() / (low.norm() + _TINY)
        dim = 0 if shape[0] < shape[1] else 1
        return scaled.norm(dim=dim, keepdim=True) / (low.norm(dim=dim, keepdim=True) + _TINY)

    def _limited(self, state: dict[str, Any], direction: torch.Tensor) -> torch.Tensor:
        norm = direction.norm()
        if 'last_norm' in state:
            excess = (norm / (state['last_norm'] + _TINY)).clamp(min=_GROWTH) / _GROWTH
            direction, norm = direction / excess, norm / excess
        state['last_norm'] = norm
        return direction
