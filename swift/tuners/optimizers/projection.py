"""Gradients in a smaller space: bases from a singular value decomposition, and random ones.

Shapes: a gradient G is [m, n], its rank is r. A left basis P is [m, r], a right one Q is [r, n]; the projected gradient
is ``P^T G`` [r, n], ``G Q^T`` [m, r], or with both ``P^T G Q^T`` [r, r].
"""

from __future__ import annotations

import math

import torch
from torch import nn

from swift.utils.errors import NonFiniteError, UsageError

SIDES = ('std', 'reverse_std', 'left', 'right', 'full')


def sides(shape: torch.Size, kind: str) -> tuple[bool, bool]:
    """Whether there is a left and a right basis.

    ``std`` shortens the longer side's states most: right for a tall matrix (m >= n), left for a wide one;
    ``reverse_std`` the other way round; ``full`` has both.

    Raises:
        UsageError: an unknown kind.
    """
    if kind not in SIDES:
        raise UsageError(f'The projection takes {", ".join(SIDES)}; got {kind!r}.')
    tall = shape[0] >= shape[1]
    left = {'std': not tall, 'reverse_std': tall, 'left': True, 'right': False, 'full': True}[kind]
    return left, not left or kind == 'full'


def singular_bases(gradient: torch.Tensor, rank: int, kind: str) -> dict[str, torch.Tensor]:
    """The first singular vectors of a gradient, in its type: ``left`` [m, r] and/or ``right`` [r, n].

    A singular vector is known but for its sign; each gets the one that makes its largest entry positive, so that
    libraries and devices agree and moments of an earlier basis still fit.

    Raises:
        NonFiniteError: the gradient has NaN or Inf.
    """
    matrix = gradient.float()
    if not torch.isfinite(matrix).all():
        raise NonFiniteError('A gradient has NaN or Inf, so that it has no singular vectors. Lower --learning_rate.')
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    left, right = sides(gradient.shape, kind)
    bases = {}
    if left:
        bases['left'] = _signed(u[:, :rank], dim=0).to(gradient.dtype).contiguous()
    if right:
        bases['right'] = _signed(v[:rank], dim=1).to(gradient.dtype).contiguous()
    return bases


def _signed(vectors: torch.Tensor, dim: int) -> torch.Tensor:
    largest = vectors.gather(dim, vectors.abs().argmax(dim, keepdim=True))
    return vectors * torch.where(largest < 0, -1.0, 1.0)


def random_bases(shape: torch.Size, rank: int, kind: str, seed: int, *, device: torch.device,
                 dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """A basis of independent normal numbers with variance 1 / r, which keeps lengths on average.

    The same for the same seed on the same kind of device, so that only the seed need be kept.
    """
    left, right = sides(shape, kind)
    if left and right:
        raise UsageError('A random projection has one side: std, reverse_std, left or right.')
    generator = torch.Generator(device).manual_seed(seed)
    size = (shape[0], rank) if left else (rank, shape[1])
    basis = torch.randn(size, generator=generator, device=device).div_(math.sqrt(rank)).to(dtype)
    return {'left' if left else 'right': basis}


def project(gradient: torch.Tensor, bases: dict[str, torch.Tensor]) -> torch.Tensor:
    """[m, n] -> the smaller space."""
    low = bases['left'].T @ gradient if 'left' in bases else gradient
    return low @ bases['right'].T if 'right' in bases else low


def project_back(low: torch.Tensor, bases: dict[str, torch.Tensor]) -> torch.Tensor:
    """The smaller space -> [m, n], in the type of the bases."""
    full = bases['left'] @ low.to(bases['left'].dtype) if 'left' in bases else low
    return full.to(bases['right'].dtype) @ bases['right'] if 'right' in bases else full


def check_matrices(group: dict) -> None:
    """Raises:
        UsageError: a parameter that should be projected is no matrix.
    """
    for parameter in group['params']:
        if isinstance(parameter, nn.Parameter) and parameter.ndim != 2:
            raise UsageError(f'Only matrices can be projected to a rank, got a parameter of shape '
                             f'{tuple(parameter.shape)}; put it into a group without a rank.')
