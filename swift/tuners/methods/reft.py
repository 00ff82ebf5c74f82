"""ReFT: the hidden state behind chosen blocks is edited in a subspace of few dimensions; no weight is touched.

Representation Finetuning (Wu et al. 2024, arXiv:2404.03592), with the names that the authors' package pyreft gives the
interventions. h is what a block gives back, [rows, positions, d]; R [r, d] has orthonormal rows; V [r, d] has not;
W [r, d] and b [r] are a linear layer; f is an activation (``act_fn``, none by default).

    LoreftIntervention     h + R^T (f(W h + b) - R h)
    NoreftIntervention     h + V^T (f(W h + b) - V h)
    ConsreftIntervention   h + R^T (b - R h)
    LobireftIntervention   h + R^T b
    DireftIntervention     h + R^T f(W h + b)
    NodireftIntervention   h + V^T f(W h + b)

R^T is the first r columns of a product of r Householder reflections, whose vectors are trained and saved. pyreft uses
``torch.nn.utils.parametrizations.orthogonal`` for it, which keeps a d x d matrix for each block, and whose signs are a
trained diagonal cut to integers: under weight decay, which is on by default here, R becomes zero in one step.
Everything starts at random, so that the model does not start as the base model. All is in fp32 whatever the model is
in; pyreft keeps W in bf16 by default. pyreft drops out of the whole result, h included, and so does ``dropout`` here.

Every position is edited, in training and in answering, as in SWIFT's training. pyreft can edit the first and last
positions of the prompt alone; which these are is not known inside a model whose rows share lines and hold answers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from swift.tuners.native import Handle, NativeConfig, NativeTuner, change_output, device_of
from swift.tuners.registry import TUNERS, Tuner
from swift.tuners.targets import blocks_at, find_blocks
from swift.utils.errors import UsageError
from swift.utils.registry import suggest

ACTIVATIONS = {'linear': nn.Identity, 'gelu': nn.GELU, 'relu': nn.ReLU, 'sigmoid': nn.Sigmoid, 'silu': nn.SiLU,
               'tanh': nn.Tanh}


@dataclass(frozen=True)
class Kind:
    """How an intervention is made.

    Attributes:
        rotates: it projects on orthonormal rows.
        reads: what it writes depends on h by a linear layer; else it is a vector.
        replaces: what h has in the subspace is taken away first.
    """

    rotates: bool
    reads: bool
    replaces: bool


KINDS: dict[str, Kind] = {
    'LoreftIntervention': Kind(rotates=True, reads=True, replaces=True),
    'NoreftIntervention': Kind(rotates=False, reads=True, replaces=True),
    'ConsreftIntervention': Kind(rotates=True, reads=False, replaces=True),
    'LobireftIntervention': Kind(rotates=True, reads=False, replaces=False),
    'DireftIntervention': Kind(rotates=True, reads=True, replaces=False),
    'NodireftIntervention': Kind(rotates=False, reads=True, replaces=False),
}


@dataclass(frozen=True)
class ReftConfig(NativeConfig):
    """Settings of ReFT; ``target_modules`` has no meaning here.

    Attributes:
        layer_key: name of the list of blocks; empty: the largest list of the model.
        layers: blocks behind which h is edited, counted from 0; empty: all.
        r: dimensions of the subspace.
        intervention_type: one of :data:`KINDS`.
        args: JSON map of further settings: ``dropout``; ``act_fn``, one of :data:`ACTIVATIONS`, for those with W;
            ``add_bias``, whether V has a bias.
        hidden_size: d; None: the width of the blocks' normalisations.
    """

    swift_type = 'reft'

    layer_key: str = ''
    layers: list[int] = field(default_factory=list)
    r: int = 4
    intervention_type: str = 'LoreftIntervention'
    args: str | None = None
    hidden_size: int | None = None

    def build(self, model: nn.Module) -> ReftTuner:
        if self.intervention_type not in KINDS:
            raise UsageError(f'intervention_type {self.intervention_type!r} is not known.'
                             f'{suggest(self.intervention_type, KINDS)} Known: {", ".join(KINDS)}.')
        kind = KINDS[self.intervention_type]
        settings = read_args(self.args, kind)
        path = self.layer_key or find_blocks(model)
        blocks = blocks_at(model, path, '--reft_layer_key')
        chosen = self.layers or list(range(len(blocks)))
        if lost := [index for index in chosen if not 0 <= index < len(blocks)]:
            raise UsageError(f'layers: {path} has no block {lost[0]}; there are 0 to {len(blocks) - 1} '
                             '(--reft_layers).')
        width = self.hidden_size or _width(blocks[0], path)
        if self.r > width:
            raise UsageError(f'r {self.r} is more than the width of the hidden state, {width} (--reft_rank).')
        return ReftTuner(path, {index: Intervention(width, self.r, kind, **settings).to(device_of(blocks[index]))
                                for index in chosen})


def read_args(args: str | None, kind: Kind) -> dict[str, Any]:
    """Raises:
        UsageError: it is no JSON map, or has a setting that this kind of intervention hasn't.
    """
    try:
        values = json.loads(args or '{}')
    except ValueError as e:
        raise UsageError(f'args is not JSON ({e}): {args} (--reft_args)') from e
    known = {'dropout': lambda value: isinstance(value, (int, float)) and 0 <= value < 1}
    if kind.reads:
        known['act_fn'] = lambda value: value in (*ACTIVATIONS, None)
    if not kind.rotates:
        known['add_bias'] = lambda value: isinstance(value, bool)
    wrong = [values] if not isinstance(values, dict) else [
        f'{name}: {value}' for name, value in values.items() if name not in known or not known[name](value)]
    if wrong:
        raise UsageError(f'args: {wrong[0]} is none of the settings of this intervention: dropout below 1'
                         + (f', act_fn one of {", ".join(ACTIVATIONS)}' if 'act_fn' in known else '')
                         + (', add_bias true or false' if 'add_bias' in known else '') + ' (--reft_args).')
    return values


class Rotation(nn.Module):
    """Orthonormal rows: ``(H_1 ... H_r)[:, :r]^T`` with ``H_k = 1 - 2 v_k v_k^T / (v_k^T v_k)``.

    ``v_k`` is zero above its entry k, one there, and trained below. They start as those of a random matrix of normal
    numbers, which makes the rows evenly distributed.
    """

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.geqrf(torch.randn(width, rank)).a)  # (d, r)

    def forward(self) -> Tensor:  # (r, d)
        below = self.vectors.tril(-1)
        scales = 2 / (1 + below.square().sum(0))
        return torch.linalg.householder_product(below, scales).T


class Intervention(nn.Module):
    """One edit of a hidden state; the formula is that of ``kind``.

    Args:
        width: d.
        rank: r.
    """

    def __init__(self, width: int, rank: int, kind: Kind, *, dropout: float = 0.0, act_fn: str | None = None,
                 add_bias: bool = False) -> None:
        super().__init__()
        self.kind = kind
        self.rotation = Rotation(width, rank) if kind.rotates else None
        self.projection = None if kind.rotates else nn.Linear(width, rank, bias=add_bias)
        self.source = nn.Linear(width, rank) if kind.reads else None
        self.bias = None if kind.reads else nn.Parameter(torch.rand(rank))
        self.act = ACTIVATIONS[act_fn or 'linear']()
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor) -> Tensor:  # [..., d] -> [..., d]
        h = hidden.to(torch.float32) if hidden.dtype in (torch.float16, torch.bfloat16) else hidden
        rows = self.rotation() if self.rotation is not None else self.projection.weight  # R or V: (r, d)
        bias = None if self.projection is None else self.projection.bias
        new = self.act(self.source(h)) if self.source is not None else self.bias  # (..., r) or (r)
        if self.kind.replaces:
            new = new - functional.linear(h, rows, bias)
        return self.dropout((h + new @ rows).to(hidden.dtype))


class ReftTuner(NativeTuner):
    """Interventions behind blocks.

    Args:
        path: name of the list of blocks.
        interventions: by the number of the block.
    """

    unmergeable = 'it edits the hidden states between blocks, which no weight of the model does.'

    def __init__(self, path: str, interventions: dict[int, Intervention]) -> None:
        super().__init__()
        self.path = path
        self.interventions = nn.ModuleDict({str(index): module for index, module in interventions.items()})

    def attach(self, model: nn.Module) -> list[Handle]:
        return [change_output(model.get_submodule(f'{self.path}.{index}'), module)
                for index, module in self.interventions.items()]


def _width(block: nn.Module, path: str) -> int:
    """Raises:
        UsageError: the block has no normalisation of its own.
    """
    widths = [weight.shape[0] for child in block.children() for weight in list(child.parameters())[:1]
              if weight.dim() == 1]
    if not widths:
        raise UsageError(f'The width of the hidden state behind {path} is not known: its blocks have no normalisation. '
                         'Give hidden_size (--reft_hidden_size).')
    return widths[0]


@dataclass(frozen=True)
class ReftOptions:
    """Every field but the first has the name of its flag."""

    modules_to_save: list[str]
    reft_layer_key: str = ''
    reft_layers: list[int] = field(default_factory=list)
    reft_rank: int = 4
    reft_intervention_type: str = 'LoreftIntervention'
    reft_args: str | None = None
    reft_hidden_size: int | None = None


def _reft(options: ReftOptions) -> ReftConfig:
    return ReftConfig(
        layer_key=options.reft_layer_key, layers=options.reft_layers, r=options.reft_rank, args=options.reft_args,
        intervention_type=options.reft_intervention_type, hidden_size=options.reft_hidden_size,
        modules_to_save=options.modules_to_save)


TUNERS.add(Tuner(name='reft', options=ReftOptions, build=_reft, native=ReftConfig))
