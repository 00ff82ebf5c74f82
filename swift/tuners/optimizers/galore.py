"""GaLore (Zhao et al. 2024, arXiv 2403.03507): AdamW whose moments live in a small space of the gradient.

For a weight W [m, n] with gradient G and rank r, every ``update_proj_gap`` steps::

    P = first r left singular vectors of G          [m, r]   (or Q [r, n], the right ones; see ``projection.sides``)

and in each step, with AdamW's moments M, V [r, n] of the projected gradient ``R = P^T G``::

    W <- (1 - lr wd) W - lr scale P (M' / (sqrt(V') + eps))

All weights are trained in full; states are ``2 r n + m r`` numbers instead of AdamW's ``2 m n``. Moments are kept when
the basis changes, as in the paper. With ``full`` a gradient is diagonal in its own bases, so that in the first step
AdamW blows up the rounding beside the diagonal to full size; one-sided bases don't have that. What isn't a matrix is
trained by plain AdamW, in a group without a rank.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from swift.tuners.optimizers.base import ByParameter, adam_direction, adam_moments
from swift.tuners.optimizers.projection import check_matrices, project, project_back, sides, singular_bases


class GaLoreAdamW(ByParameter):
    """AdamW, in a small space for the groups that have a ``rank``.

    Args:
        params: parameters or groups. A group with ``rank`` (above 0) is projected and may set ``update_proj_gap``,
            ``scale`` and ``proj_type``, too; all of its parameters are matrices.
        lr, betas, eps, weight_decay: AdamW's.
        rank: for groups that don't say; 0 is plain AdamW.
        update_proj_gap: steps between two bases.
        scale: of the step that comes back (the paper's alpha).
        proj_type: std, reverse_std, left, right or full.

    Raises:
        UsageError: an unknown ``proj_type``, or a projected parameter that is no matrix.
    """

    def __init__(self, params: Iterable[nn.Parameter] | Iterable[dict[str, Any]], lr: float = 1e-3, *,
                 betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0,
                 rank: int = 0, update_proj_gap: int = 50, scale: float = 1.0, proj_type: str = 'std') -> None:
        super().__init__(params, {'lr': lr, 'betas': betas, 'eps': eps, 'weight_decay': weight_decay, 'rank': rank,
                                  'update_proj_gap': update_proj_gap, 'scale': scale, 'proj_type': proj_type})
        for group in self.param_groups:
            if group['rank']:
                sides(torch.Size((1, 1)), group['proj_type'])
                check_matrices(group)

    def update(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        state, gradient = self.state[parameter], parameter.grad
        step = state.get('step', 0)
        bases: dict[str, torch.Tensor] = {}
        if group['rank']:
            if step % state.get('gap', group['update_proj_gap']) == 0:
                self.new_bases(state, gradient, group)
            bases = self.bases(state)
            gradient = project(gradient, bases)
        gradient = gradient.float()
        exp_avg, exp_avg_sq = self.moments(state, gradient)
        state['step'] = step + 1
        adam_moments(exp_avg, exp_avg_sq, gradient, group['betas'])
        direction = adam_direction(exp_avg, exp_avg_sq, step + 1, group['betas'], group['eps'])
        self.keep_moments(state, exp_avg, exp_avg_sq)
        if bases:
            direction = project_back(direction, bases).mul_(group['scale'])
        parameter.mul_(1 - group['lr'] * group['weight_decay']).add_(direction, alpha=-group['lr'])

    # What a subclass keeps in another form

    def new_bases(self, state: dict[str, Any], gradient: torch.Tensor, group: dict[str, Any]) -> None:
        """Find the bases of this gradient and keep them in ``state``."""
        state.update(singular_bases(gradient, group['rank'], group['proj_type']))

    def bases(self, state: dict[str, Any]) -> dict[str, torch.Tensor]:
        """The bases in ``state``, as numbers."""
        return {side: state[side] for side in ('left', 'right') if side in state}

    def moments(self, state: dict[str, Any], gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Both moments, float32, zeros at first; they may be changed in place."""
        if 'exp_avg' not in state:
            state['exp_avg'], state['exp_avg_sq'] = torch.zeros_like(gradient), torch.zeros_like(gradient)
        return state['exp_avg'], state['exp_avg_sq']

    def keep_moments(self, state: dict[str, Any], exp_avg: torch.Tensor, exp_avg_sq: torch.Tensor) -> None:
        """Called with what ``moments`` gave, after it changed."""
