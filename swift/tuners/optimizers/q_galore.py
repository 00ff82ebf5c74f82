"""Q-GaLore (Zhang et al. 2024, arXiv 2407.08296): GaLore with coded states and bases, and fewer decompositions.

Of the paper's four parts three are here:

- the basis is kept in ``proj_bits`` bits, in groups of ``proj_group_size`` numbers (4 bits: two to a byte);
- each weight finds its own pace: when the first singular vectors of the last ``queue_size`` bases had a mean cosine of
  at least ``cos_threshold`` with the one before, the gap to the next basis grows by ``gamma_proj``;
- the moments are kept in 8 bits, in blocks of 256 with dynamic codes (states of fewer than 4096 numbers stay float32).
  What is kept of the second moment is its root: in the moment itself, numbers of a hundred-millionth of the largest
  would become 0, and the step divides by their root.

The fourth, weights in INT8 with stochastic rounding, is left out: without kernels that multiply by codes, every forward
would build the weights again, and checkpoints would no longer be those of the model. Weights keep their type.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from swift.tuners.optimizers.codes import Even, from_dynamic, from_even, to_dynamic, to_even
from swift.tuners.optimizers.galore import GaLoreAdamW
from swift.tuners.optimizers.projection import singular_bases

_SMALL = 4096


class QGaLoreAdamW(GaLoreAdamW):
    """GaLore in few bits.

    Args:
        params, (others): see :class:`GaLoreAdamW`.
        proj_quant: keep the bases in codes.
        proj_bits, proj_group_size: of these codes.
        cos_threshold, gamma_proj, queue_size: when the gap between two bases grows, and by what.
    """

    def __init__(self, params: Iterable[nn.Parameter] | Iterable[dict[str, Any]], lr: float = 1e-3, *,
                 proj_quant: bool = True, proj_bits: int = 4, proj_group_size: int = 256, cos_threshold: float = 0.4,
                 gamma_proj: float = 2, queue_size: int = 5, **options: Any) -> None:
        self._proj_bits = proj_bits if proj_quant else None
        self._group_size = proj_group_size
        self._cos_threshold, self._gamma, self._queue_size = cos_threshold, gamma_proj, queue_size
        super().__init__(params, lr, **options)

    def new_bases(self, state: dict[str, Any], gradient: torch.Tensor, group: dict[str, Any]) -> None:
        bases = singular_bases(gradient, group['rank'], group['proj_type'])
        first = bases['left'][:, 0] if 'left' in bases else bases['right'][0]
        self._adapt_gap(state, first, group['update_proj_gap'])
        for side, basis in bases.items():
            if self._proj_bits is None:
                state[side] = basis
            else:
                even = to_even(basis, self._proj_bits, self._group_size)
                state |= {f'{side}_codes': even.codes, f'{side}_steps': even.steps, f'{side}_zeros': even.zeros,
                          f'{side}_shape': list(basis.shape)}

    def _adapt_gap(self, state: dict[str, Any], first: torch.Tensor, gap: int) -> None:
        gap = state.get('gap', gap)
        cosines = state.get('cosines', [])
        if 'first' in state:
            cosines = [*cosines, F.cosine_similarity(state['first'], first, dim=0).item()][-self._queue_size:]
            if len(cosines) == self._queue_size and sum(cosines) / self._queue_size >= self._cos_threshold:
                gap = int(gap * self._gamma)
        state |= {'gap': gap, 'cosines': cosines, 'first': first.clone()}

    def bases(self, state: dict[str, Any]) -> dict[str, torch.Tensor]:
        if self._proj_bits is None:
            return super().bases(state)
        return {side: from_even(Even(state[f'{side}_codes'], state[f'{side}_steps'], state[f'{side}_zeros']),
                                self._proj_bits, self._group_size, state[f'{side}_shape'])
                for side in ('left', 'right') if f'{side}_codes' in state}

    def moments(self, state: dict[str, Any], gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if gradient.numel() < _SMALL:
            return super().moments(state, gradient)
        if 'exp_avg_codes' not in state:
            return torch.zeros_like(gradient), torch.zeros_like(gradient)
        root = from_dynamic(state['root_codes'], state['root_largest'], gradient.shape, signed=False)
        return (from_dynamic(state['exp_avg_codes'], state['exp_avg_largest'], gradient.shape, signed=True),
                root.square_())

    def keep_moments(self, state: dict[str, Any], exp_avg: torch.Tensor, exp_avg_sq: torch.Tensor) -> None:
        if exp_avg.numel() >= _SMALL:
            state['exp_avg_codes'], state['exp_avg_largest'] = to_dynamic(exp_avg, signed=True)
            state['root_codes'], state['root_largest'] = to_dynamic(exp_avg_sq.sqrt(), signed=False)
