"""SC-Tuning of SCEdit (Jiang et al. 2023): small networks on the skip connections of a UNet, the rest stays frozen.

``x' = x + T(x)`` with ``T(x) = W_up gelu(W_down x + b_down) + b_up`` on the channels of a skip connection
``[batch, dim, height, width]``, W_down ``[down_ratio dim, dim]``; W_up is zero at the start, so that it starts as the
base model. In ``decoder`` mode the skip connection is the last part of the channels that a layer of the decoder is
given (what was concatenated), in ``encoder`` and ``identity`` mode it is what a layer of the encoder gives. With hints
(the CSC tuner of the paper, for control images) ``x' = x + T(x + c)`` with the detached output c of a module of the
model: that of ms-swift probes the hint and does not use it. Gradients need only pass the decoder; it can't be merged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from swift.tuners.bottleneck import Bottleneck, added
from swift.tuners.native import (
    Handle,
    NativeConfig,
    NativeTuner,
    change_input,
    change_output,
    device_of,
    find_modules,
    item_at,
)
from swift.tuners.registry import LIBRARY, Library
from swift.tuners.widths import width_of
from swift.utils.errors import UsageError

_MODES = ('encoder', 'decoder', 'identity')
_DECODER = r'up_blocks\.\d+\.resnets\.\d+'  # of the UNets of diffusers


@dataclass(frozen=True)
class SCETuningConfig(NativeConfig):
    """
    Attributes:
        target_modules: full names in order, or an expression; a list of modules means its last one. By default every
            residual layer of the decoder of a UNet of diffusers (mode ``decoder``).
        dims: channels of the skip connections, one for all or one for each target; by default seen from the layers.
        hint_modules: as many modules as targets, in the same order, whose outputs are the hints.
        tuner_mode: ``decoder``, ``encoder`` or ``identity`` (as encoder).
        tuner_op: ``SCEAdapter``, the only one.
        down_ratio: size in between as a share of dim.
    """

    swift_type = 'scetuning'

    dims: int | list[int] | None = None
    hint_modules: list[str] | str | None = None
    tuner_mode: str = 'decoder'
    tuner_op: str = 'SCEAdapter'
    down_ratio: float = 1.0

    def build(self, model: nn.Module) -> NativeTuner:
        if self.tuner_mode not in _MODES:
            raise UsageError(f'tuner_mode is {self.tuner_mode!r}; it takes {", ".join(_MODES)}.')
        if self.tuner_op != 'SCEAdapter':
            raise UsageError(f'tuner_op is {self.tuner_op!r}; there is SCEAdapter.')
        if not self.down_ratio > 0:
            raise UsageError(f'down_ratio is {self.down_ratio}; it is more than 0.')
        return SCETuner(model, self)


class SCETuner(NativeTuner):
    """One small network for each skip connection."""

    unmergeable = 'its small networks run on skip connections. Use it as it is.'

    def __init__(self, model: nn.Module, config: SCETuningConfig) -> None:
        super().__init__()
        self.decodes = config.tuner_mode == 'decoder'
        self.names = _targets(model, config)
        self.hints = _in_order(model, config.hint_modules) if config.hint_modules else []
        if self.hints and len(self.hints) != len(self.names):
            raise UsageError(f'hint_modules: {len(self.hints)} modules for {len(self.names)} targets.')
        dims = config.dims if isinstance(config.dims, list) else [config.dims] * len(self.names)
        if len(dims) != len(self.names):
            raise UsageError(f'dims has {len(dims)} sizes for {len(self.names)} targets.')
        if None in dims:
            dims = skip_channels(model, self.names) if self.decodes else [
                width_of(model, name, 'dims') for name in self.names]
        self.tuners = nn.ModuleList([
            SCEAdapter(dim, max(1, int(dim * config.down_ratio)), device_of(model.get_submodule(name)))
            for dim, name in zip(dims, self.names, strict=True)])
        self._hinted: dict[str, Tensor] = {}

    def attach(self, model: nn.Module) -> list[Handle]:
        handles = [self._watch(model, name) for name in dict.fromkeys(self.hints)]
        change = change_input if self.decodes else change_output
        return handles + [change(model.get_submodule(name), self._edit(number))
                          for number, name in enumerate(self.names)]

    def _watch(self, model: nn.Module, name: str) -> Handle:
        def keep(_module: nn.Module, _inputs: tuple, output: Any) -> None:
            self._hinted[name] = item_at(output, None).detach()
        return model.get_submodule(name).register_forward_hook(keep)

    def _edit(self, number: int):
        tuner = self.tuners[number]

        def edit(hidden: Tensor) -> Tensor:
            hint = self._hint(number)
            if not self.decodes:
                return tuner(hidden, hint)
            skip = hidden[:, -tuner.dim:]
            return torch.cat((hidden[:, :-tuner.dim], tuner(skip, hint)), dim=1)
        return edit

    def _hint(self, number: int) -> Tensor | None:
        if not self.hints:
            return None
        name = self.hints[number]
        if name not in self._hinted:
            raise UsageError(f'scetuning: {self.names[number]} ran before its hint {name}.')
        return self._hinted[name]


class SCEAdapter(nn.Module):
    """``x + T(x)``, or ``x + T(x + c)`` with a hint c of the same shape."""

    def __init__(self, dim: int, length: int, device: torch.device) -> None:
        super().__init__()
        self.dim = dim
        self.bottleneck = Bottleneck(dim, length, device=device)

    def forward(self, skip: Tensor, hint: Tensor | None = None) -> Tensor:
        return added(skip, self.bottleneck(skip if hint is None else skip + hint))


def skip_channels(model: nn.Module, names: list[str]) -> list[int]:
    """Channels of the skip connections that layers of a decoder get behind their own, for UNets of diffusers.

    A layer ``up_blocks.i.resnets.j`` gets the output of the layer before it, and the skip connection. The first gets
    that of the middle, which has the channels of its own output.

    Raises:
        UsageError: the model has no such decoder, or one of ``names`` is not in it.
    """
    layers = [name for name, _ in model.named_modules() if re.fullmatch(_DECODER, name)]
    lost = next((name for name in names if name not in layers), None)
    if lost is not None:
        raise UsageError(f'How many channels of the input of {lost} are a skip connection can be seen in UNets of '
                         'diffusers alone (up_blocks.0.resnets.0); give dims.')
    channels, before = {}, None
    for name in layers:
        given = next(inner.in_channels for inner in model.get_submodule(name).modules()
                     if isinstance(inner, nn.modules.conv._ConvNd))
        gives = width_of(model, name)
        channels[name] = given - (gives if before is None else before)
        before = gives
    return [channels[name] for name in names]


def _targets(model: nn.Module, config: SCETuningConfig) -> list[str]:
    """Full names; a list of modules is stood for by its last one."""
    if not config.target_modules and config.tuner_mode != 'decoder':
        raise UsageError(f'tuner_mode {config.tuner_mode}: name the layers of the encoder in target_modules.')
    names = _in_order(model, config.target_modules or _DECODER)
    for number, name in enumerate(names):
        while isinstance(model.get_submodule(name), nn.ModuleList):
            name = f'{name}.{len(model.get_submodule(name)) - 1}'
        names[number] = name
    return names


def _in_order(model: nn.Module, targets: list[str] | str) -> list[str]:
    """Full names in the order of a list, or in that of the model."""
    if isinstance(targets, str):
        return list(find_modules(model, targets))
    return [name for wanted in targets for name in find_modules(model, [wanted])]


LIBRARY.add(Library(SCETuningConfig))
