"""Res-Tuning (Jiang et al. 2023), its bypass: a small network fed by the frozen model, trained without a pass back.

With x_0 the hidden states at the root and x_1 ... x_L those at the stems (the outputs of the blocks), none of which get
gradients, ``b_0 = x_0`` and ``b_i = T_i(x_i) + V_i(b_(i-1))`` with tuners T_i (lateral) and V_i (vertical), by default
``T(x) = x + W_up gelu(W_down x)``. b_L takes the place of the target: as in ms-swift, with the head of an encoder
retrained beside it. With ``gated`` (ours, for models that are to start as they are) ``b_i = s_i T_i(x_i) +
(1 - s_i) V_i(b_(i-1))``, s_i = sigmoid of a trained number that starts at 0, and the target becomes ``h + g b_L`` with
a trained vector g ``[dim]`` that starts at zero.

Because the frozen model is outside the graph, its activations are not kept: memory is that of the tuners. Hidden
states are ``[batch, length, dim]``, or ``[batch, dim, height, width]``, where ``use_upsample`` brings b_i to the size
of x_(i+1). It can't be merged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from swift.tuners.bottleneck import Bottleneck, added, channels_last
from swift.tuners.native import (
    Handle,
    NativeConfig,
    NativeTuner,
    change_input,
    change_output,
    device_of,
    find_modules,
)
from swift.tuners.registry import TUNERS, Tuner
from swift.tuners.targets import block_parts, find_blocks, norm_names
from swift.tuners.widths import width_of
from swift.utils.errors import UsageError
from swift.utils.registry import suggest

_HOOKS = ('input', 'output')


@dataclass(frozen=True)
class ResTuningConfig(NativeConfig):
    """
    Attributes:
        target_modules: the one module whose input or output becomes that of the bypass, a full name or an expression;
            by default the normalisation after the blocks.
        dims: size of the hidden states, or one for each stem; by default seen from the stems.
        root_modules: where the bypass begins, a full name or an expression (the first module that matches); by default
            the input of the first stem.
        root_modules_hook: its ``input`` or ``output``.
        stem_modules: full names in order, or an expression; by default every block.
        stem_modules_hook: their ``input`` or ``output``.
        target_modules_hook: ``input`` or ``output`` of the target.
        target_hidden_pos: where the hidden states are in it: index, keyword or key.
        tuner_cfg: the kind of the tuners, for all or one for each stem: ``res_adapter``, ``res_group_adapter``,
            ``identity``, ``zero``, one of these with settings (``{"res_adapter": {"adapter_length": 32}}``), or a kind
            for each place (``{"lateral_cfg": ..., "vertical_cfg": ..., "aux_cfg": ...}``).
        use_upsample: bring the bypass to the size of the next stem (images).
        upsample_out_channels: channels after that, for each stem; a convolution makes them, zero at the start.
        zero_init_last: the last tuners add nothing at the start.
        use_bypass: True; tuners inside the blocks, which this method also has, are those of ``adapter``.
        gated: see above.
    """

    swift_type = 'restuning'

    dims: int | list[int] | None = None
    root_modules: str | None = None
    root_modules_hook: str = 'input'
    stem_modules: list[str] | str | None = None
    stem_modules_hook: str = 'output'
    target_modules_hook: str = 'input'
    target_hidden_pos: int | str | None = None
    tuner_cfg: list | dict | str | None = None
    use_upsample: bool = False
    upsample_out_channels: list[int] | None = None
    zero_init_last: bool = False
    use_bypass: bool = True
    gated: bool = False

    def build(self, model: nn.Module) -> NativeTuner:
        for name in ('root_modules_hook', 'stem_modules_hook', 'target_modules_hook'):
            if vars(self)[name] not in _HOOKS:
                raise UsageError(f'{name} is {vars(self)[name]!r}; it takes input or output.')
        if not self.use_bypass:
            raise UsageError('use_bypass false: tuners inside the blocks are what AdapterConfig makes.')
        return ResTuner(model, self)


class ResTuner(NativeTuner):
    """The bypass, and what it has seen of a pass through the model so far."""

    unmergeable = 'it runs beside the model. Use it as it is.'

    def __init__(self, model: nn.Module, config: ResTuningConfig) -> None:
        super().__init__()
        self.config = config
        self.stems = _stems(model, config)
        self.root = next(iter(find_modules(model, config.root_modules))) if config.root_modules else None
        self.target = _target(model, config)
        dims = config.dims if isinstance(config.dims, list) else [
            config.dims or width_of(model, name, 'dims') for name in self.stems]
        if len(dims) != len(self.stems):
            raise UsageError(f'dims has {len(dims)} sizes for {len(self.stems)} stems.')
        self.bypass = Bypass(dims, config).to(device_of(model.get_submodule(self.target)))
        self._seen: dict[int, Tensor] = {}  # detached; 0 is the root

    def attach(self, model: nn.Module) -> list[Handle]:
        root, hook = ((self.stems[0], 'input') if self.root is None else (self.root, self.config.root_modules_hook))
        handles = [self._watch(model, root, hook, 0)]
        handles += [self._watch(model, name, self.config.stem_modules_hook, number)
                    for number, name in enumerate(self.stems, 1)]
        change = change_input if self.config.target_modules_hook == 'input' else change_output
        return [*handles, change(model.get_submodule(self.target), self._replaced, self.config.target_hidden_pos)]

    def _watch(self, model: nn.Module, name: str, hook: str, number: int) -> Handle:
        def keep(values: Any) -> None:
            value = values[0] if isinstance(values, (tuple, list)) else values
            self._seen[number] = value.detach()
        module = model.get_submodule(name)
        if hook == 'output':
            return module.register_forward_hook(lambda _module, _inputs, output: keep(output))
        return module.register_forward_pre_hook(
            lambda _module, args, kwargs: keep(args or next(iter(kwargs.values()))), with_kwargs=True)

    def _replaced(self, hidden: Tensor) -> Tensor:
        missing = [number for number in range(len(self.stems) + 1) if number not in self._seen]
        if missing:
            name = ['the root', *self.stems][missing[0]]
            raise UsageError(f'restuning: {self.target} ran before {name}; the target comes after root and stems.')
        seen = [self._seen.pop(number) for number in range(len(self.stems) + 1)]
        return self.bypass(hidden, seen)


class Bypass(nn.Module):
    """Steps from the root along the stems.

    Args:
        dims: size of the hidden states at each stem.
        config: the kind of the tuners, see :class:`ResTuningConfig`.
    """

    def __init__(self, dims: list[int], config: ResTuningConfig) -> None:
        super().__init__()
        self.steps = nn.ModuleList([
            BypassStep(dim, config, number, is_last=number == len(dims) - 1) for number, dim in enumerate(dims)])
        self.gate = nn.Parameter(torch.zeros(dims[-1])) if config.gated else None

    def forward(self, hidden: Tensor, seen: list[Tensor]) -> Tensor:
        """``hidden`` is what the target has without it; ``seen`` the root and the stems."""
        bypass = seen[0]
        for number, step in enumerate(self.steps, 1):
            larger = seen[number + 1].shape[2:] if number + 1 < len(seen) else None
            bypass = step(seen[number], bypass, larger)
        if self.gate is None:
            return bypass.to(hidden.dtype)
        return added(hidden, channels_last(bypass, lambda rows: rows * self.gate))


class BypassStep(nn.Module):
    """``b' = T(x) + V(b)``, after which the auxiliary tuner may change its size."""

    def __init__(self, dim: int, config: ResTuningConfig, number: int, *, is_last: bool) -> None:
        super().__init__()
        one = config.tuner_cfg[number] if isinstance(config.tuner_cfg, list) else config.tuner_cfg
        places = one if isinstance(one, dict) and one.keys() & {'lateral_cfg', 'vertical_cfg', 'aux_cfg'} else {
            'lateral_cfg': one or 'res_adapter', 'vertical_cfg': one or 'res_adapter',
            'aux_cfg': 'upsample' if config.use_upsample and not is_last else None}
        zero = config.zero_init_last and is_last
        self.lateral = _tuner(places.get('lateral_cfg'), dim, number, zero=zero)
        self.vertical = _tuner(places.get('vertical_cfg'), dim, number, zero=zero)
        channels = config.upsample_out_channels
        self.larger = Upsample(dim, channels[number] if channels else None) if places.get('aux_cfg') else None
        self.balance = nn.Parameter(torch.zeros(())) if config.gated else None

    def forward(self, stem: Tensor, bypass: Tensor, size: torch.Size | None) -> Tensor:
        lateral, vertical = self.lateral(stem), self.vertical(bypass)
        if self.balance is None:
            mixed = lateral + vertical
        else:
            share = self.balance.sigmoid()
            mixed = share * lateral + (1 - share) * vertical
        return mixed if self.larger is None else self.larger(mixed, size)


class ResAdapter(nn.Module):
    """``x + w W_up gelu(W_down x)``.

    Args:
        dim: size of the hidden states.
        adapter_length: size in between, or one for each stem.
        adapter_weight: w: None (1), ``scale``, ``scale_channel`` (trained), ``scalar_0.5`` (a number), ``gate``
            (sigmoid of a linear layer, its mean over the positions).
        number: which stem.
        zero: W_up is zero at the start.
    """

    def __init__(self, dim: int, number: int, *, zero: bool, adapter_length: int | list[int] = 32,
                 adapter_weight: str | None = None) -> None:
        super().__init__()
        length = adapter_length[number] if isinstance(adapter_length, list) else adapter_length
        self.bottleneck = Bottleneck(dim, length, zero_up=zero)
        self.weight = AdapterWeight(dim, adapter_weight)

    def forward(self, x: Tensor) -> Tensor:
        return added(x, channels_last(self.bottleneck(x), self.weight))


class ResGroupAdapter(nn.Module):
    """As :class:`ResAdapter`, one bottleneck shared by ``head`` groups of channels, ``scale_factor`` times as wide.

    Channel ``c * head + h`` is the c-th of group h, as in ms-swift.
    """

    def __init__(self, dim: int, number: int, *, zero: bool, head: int = 4, scale_factor: int = 2,
                 adapter_weight: str | None = None) -> None:
        super().__init__()
        if dim % head:
            raise UsageError(f'res_group_adapter: head {head} does not divide {dim} channels.')
        self.head = head
        self.bottleneck = Bottleneck(dim // head, dim // head * scale_factor, zero_up=zero)
        self.weight = AdapterWeight(dim, adapter_weight)

    def forward(self, x: Tensor) -> Tensor:
        return added(x, channels_last(x, self._correction))

    def _correction(self, rows: Tensor) -> Tensor:
        groups = rows.unflatten(-1, (-1, self.head)).transpose(-1, -2)  # [..., head, dim / head]
        wide = self.bottleneck.up(self.bottleneck.act(self.bottleneck.down(groups.to(self.bottleneck.up.weight.dtype))))
        return self.weight(wide.transpose(-1, -2).flatten(-2))


class AdapterWeight(nn.Module):
    """The factor of an adapter, ``[..., dim]`` -> ``[..., dim]``."""

    def __init__(self, dim: int, kind: str | None) -> None:
        super().__init__()
        kinds = (None, 'gate', 'scale', 'scale_channel')
        number = kind.removeprefix('scalar_') if kind else ''
        if kind not in kinds and not (kind.startswith('scalar_') and number.replace('.', '', 1).isdigit()):
            raise UsageError(f'adapter_weight {kind!r}: there are gate, scale, scale_channel and scalar_0.5.')
        self.kind = kind
        self.number = float(number) if kind not in kinds else 1.0
        self.scale = nn.Parameter(torch.ones(1 if kind == 'scale' else dim)) if kind in kinds[2:] else None
        self.gate = nn.Linear(dim, 1).float() if kind == 'gate' else None

    def forward(self, rows: Tensor) -> Tensor:
        if self.scale is not None:
            return rows * self.scale
        if self.gate is not None:
            positions = tuple(range(1, rows.dim() - 1))
            return rows * self.gate(rows).sigmoid().mean(dim=positions, keepdim=True)
        return rows * self.number


class Upsample(nn.Module):
    """Images ``[batch, dim, height, width]`` to another size, each point that of its nearest; doubled without one.

    Args:
        channels: channels after it, made by a convolution of 3 x 3 that is zero at the start; None: as before.
    """

    def __init__(self, dim: int, channels: int | None) -> None:
        super().__init__()
        self.convolution = None if channels is None else nn.Conv2d(dim, channels, 3, padding=1).float()
        if self.convolution is not None:
            nn.init.zeros_(self.convolution.weight)
            nn.init.zeros_(self.convolution.bias)

    def forward(self, x: Tensor, size: torch.Size | None) -> Tensor:
        larger = nn.functional.interpolate(x, size) if size else nn.functional.interpolate(x, scale_factor=2)
        if self.convolution is None:
            return larger
        return self.convolution(larger.to(self.convolution.weight.dtype)).to(x.dtype)


class Zero(nn.Module):
    """Nothing of this input."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


_KINDS = {'res_adapter': ResAdapter, 'res_group_adapter': ResGroupAdapter}


def _tuner(choice: str | dict | None, dim: int, number: int, *, zero: bool) -> nn.Module:
    """A tuner of the kind that ``tuner_cfg`` names.

    Raises:
        UsageError: there is no such kind, or it has no such setting.
    """
    kind, settings = next(iter(choice.items())) if isinstance(choice, dict) and choice else (choice, {})
    if kind in (None, 'identity', {}):
        return nn.Identity()
    if kind == 'zero':
        return Zero()
    if kind not in _KINDS:
        raise UsageError(f'tuner_cfg: there is no tuner {kind!r}.{suggest(str(kind), _KINDS)} There are '
                         'res_adapter, res_group_adapter, identity and zero.')
    try:
        return _KINDS[kind](dim, number, zero=zero, **(settings if isinstance(settings, dict) else {}))
    except TypeError as e:
        raise UsageError(f'tuner_cfg: {kind} has no such setting: {e}') from e


def _stems(model: nn.Module, config: ResTuningConfig) -> list[str]:
    """Full names, in the order of the list, or in that of the model."""
    if config.stem_modules is None:
        return block_parts(model, 'BLOCK')
    if isinstance(config.stem_modules, str):
        return list(find_modules(model, config.stem_modules))
    return [name for wanted in config.stem_modules for name in find_modules(model, [wanted])]


def _target(model: nn.Module, config: ResTuningConfig) -> str:
    """Full name of the target, by default the normalisation beside the list of blocks, after it.

    Raises:
        UsageError: there is none, or there are several.
    """
    if config.target_modules:
        found = list(find_modules(model, config.target_modules))
    else:
        path = find_blocks(model).rpartition('.')[0]
        beside = [name for name, _ in (model.get_submodule(path) if path else model).named_children()]
        blocks = beside.index(find_blocks(model).rpartition('.')[2])
        norms = set(norm_names(model))
        found = [full for name in beside[blocks + 1:] if (full := f'{path}.{name}' if path else name) in norms]
    if len(found) != 1:
        raise UsageError(f'restuning needs one target_modules, after all stems; found {", ".join(found) or "none"}.')
    return found[0]


@dataclass(frozen=True)
class ResTuningOptions:
    """Every field but the first has the name of its flag.

    Attributes:
        restuning_length: size of the small networks in between.
    """

    modules_to_save: list[str]
    restuning_length: int = 32


def _restuning(options: ResTuningOptions) -> ResTuningConfig:
    return ResTuningConfig(modules_to_save=options.modules_to_save, gated=True,
                           tuner_cfg={'res_adapter': {'adapter_length': options.restuning_length}})


TUNERS.add(Tuner(name='restuning', options=ResTuningOptions, build=_restuning, native=ResTuningConfig))
