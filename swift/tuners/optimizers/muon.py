"""Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) for hidden matrices, AdamW for all else, as one.

For a hidden weight W [m, n] with momentum B: ``B <- mu B + (1 - mu) G``, ``O`` = the orthogonal matrix nearest to
``(1 - mu) G + mu B``, found by ``ns_steps`` Newton-Schulz steps in bfloat16, and ``W <- (1 - lr wd) W - lr a O``. With
``adjust_lr`` "match_rms_adamw" (Liu et al. 2025) ``a = 0.2 sqrt(max(m, n))``, so that a learning rate and a weight
decay found for AdamW fit both halves; "original" has ``a = sqrt(max(1, m / n))``.

States are ``m n`` numbers, half of AdamW's. Embeddings, the output head, vectors and stacks of matrices are AdamW's.
The arithmetic is torch's own (``torch.optim.Muon``, ``torch.optim.AdamW``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch

from swift.utils.errors import UsageError


class MuonAdamW(torch.optim.Optimizer):
    """Two optimizers with one list of groups and one state, for loops, schedules and checkpoints that know one.

    Args:
        params: groups; those with ``'muon': True`` hold hidden matrices.
        lr, weight_decay: of groups that don't say.
        momentum, ns_steps, adjust_lr: Muon's.
        betas, eps: AdamW's.

    Raises:
        UsageError: no group is Muon's, or one of these holds something that is no matrix.
    """

    def __init__(self, params: Iterable[dict[str, Any]], lr: float = 1e-3, *, weight_decay: float = 0.0,
                 momentum: float = 0.95, ns_steps: int = 5,
                 adjust_lr: Literal['match_rms_adamw', 'original'] = 'match_rms_adamw',
                 betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        groups = [dict(group) for group in params]
        hidden = [group for group in groups if group.get('muon')]
        others = [group for group in groups if not group.get('muon')]
        if not hidden:
            raise UsageError('Muon is for hidden matrices, and there is none among the trained parameters; '
                             'use --optim adamw_torch.')
        try:
            self._muon = torch.optim.Muon(hidden, lr=lr, weight_decay=weight_decay, momentum=momentum,
                                          ns_steps=ns_steps, adjust_lr_fn=adjust_lr)
        except ValueError as e:
            raise UsageError(f'Muon does not take this: {e}') from e
        self._adamw = torch.optim.AdamW(others, lr=lr, weight_decay=weight_decay, betas=betas, eps=eps
                                        ) if others else None
        for group in self._muon.param_groups:
            group['muon'] = True
        rest = self._adamw.param_groups if self._adamw is not None else []
        super().__init__([*self._muon.param_groups, *rest], {'lr': lr, 'weight_decay': weight_decay, 'muon': False})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for inner, is_muon in ((self._muon, True), (self._adamw, False)):
            if inner is not None:
                # both look at the groups and the state of the whole, which loading a state replaces
                inner.param_groups = [group for group in self.param_groups if group['muon'] == is_muon]
                inner.state = self.state
                inner.step()
        return loss
