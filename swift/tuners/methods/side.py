"""Side-Tuning (Zhang et al. 2020): a small network beside frozen modules, its output mixed into theirs.

``y = s f(x) + (1 - s) g(x)`` with f the frozen module, g the side network and ``s = sigmoid(alpha)``, alpha trained.
g is ``mlp``, two linear layers with a GELU between them for hidden states ``[..., dim]``, or ``fcn4``, four
convolutions for images ``[batch, 3, height, width]`` with an output ``[batch, dim]``. The last layer of ``mlp`` is zero
at the start, so that with the default alpha of 4 a model starts as 98 % of itself; not just as the base model. g is no
sum with weights of f: it can't be merged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from swift.tuners.native import (
    Handle,
    NativeConfig,
    NativeTuner,
    device_of,
    find_modules,
    input_at,
    replace_item,
    safe_key,
)
from swift.tuners.registry import TUNERS, Tuner
from swift.tuners.targets import block_parts
from swift.tuners.widths import width_of
from swift.utils.errors import UsageError

_NETWORKS = ('fcn4', 'mlp')
_WHOLE_MODEL = 'model'  # a key of the side network beside the model itself, which has no name


@dataclass(frozen=True)
class SideConfig(NativeConfig):
    """
    Attributes:
        target_modules: what gets a network beside it; by default the model itself for ``fcn4``, and the MLP of every
            block for ``mlp``.
        dim: size of their outputs; by default seen from the layers of each module.
        side_module_name: ``fcn4`` or ``mlp``. (The third of ms-swift, a pretrained AlexNet, would be downloaded.)
        source_hidden_pos: the input that the side network reads: index or keyword.
        target_hidden_pos: where the output to mix it into is, of a module that gives several: index or key.
        alpha: start of the mixture: sigmoid(alpha) of the frozen module. That of ms-swift is 0: half and half.
    """

    swift_type = 'side'

    dim: int | None = None
    side_module_name: str = 'fcn4'
    source_hidden_pos: int | str = 0
    target_hidden_pos: int | str = 0
    alpha: float = 4.0

    def build(self, model: nn.Module) -> NativeTuner:
        if self.side_module_name not in _NETWORKS:
            raise UsageError(f'side_module_name {self.side_module_name}: there are fcn4 (for images) and mlp (for '
                             'hidden states).')
        return SideTuner(model, self)


class SideTuner(NativeTuner):
    """One side network for each target."""

    unmergeable = 'its network runs beside the model. Use it as it is.'

    def __init__(self, model: nn.Module, config: SideConfig) -> None:
        super().__init__()
        if config.target_modules:
            names = list(find_modules(model, config.target_modules))
        else:
            names = [''] if config.side_module_name == 'fcn4' else block_parts(model, 'MLP')
        self.source, self.target = config.source_hidden_pos, config.target_hidden_pos
        self.networks = nn.ModuleDict({
            safe_key(name) or _WHOLE_MODEL: SideNetwork(
                config.side_module_name, config.dim or width_of(model, name), config.alpha).to(
                    device_of(model.get_submodule(name)))
            for name in names})

    def attach(self, model: nn.Module) -> list[Handle]:
        return [self._beside(model if key == _WHOLE_MODEL else model.get_submodule(key.replace('/', '.')), network)
                for key, network in self.networks.items()]

    def _beside(self, module: nn.Module, network: nn.Module) -> Handle:
        def hook(_module: nn.Module, args: tuple, kwargs: dict[str, Any], output: Any) -> Any:
            source = input_at(args, kwargs, self.source)
            return replace_item(output, self.target, lambda main: network(source, main))
        return module.register_forward_hook(hook, with_kwargs=True)


class SideNetwork(nn.Module):
    """The mixture of one module's output and a side network's.

    Args:
        kind: ``fcn4`` or ``mlp``.
        dim: size of the output.
        alpha: start of alpha.
    """

    def __init__(self, kind: str, dim: int, alpha: float) -> None:
        super().__init__()
        self.network = _fcn4(dim) if kind == 'fcn4' else _mlp(dim)
        self.alpha = nn.Parameter(torch.tensor(float(alpha)))

    def forward(self, source: Tensor, main: Tensor) -> Tensor:
        """``source`` is what the frozen module was given, ``main`` what it gave; where that is ``[batch, tokens,
        dim]``, what an image gives is mixed into each token."""
        side = self.network(source.to(self.alpha.dtype))
        if side.dim() == 2 and main.dim() == 3:
            side = side[:, None]
        share = self.alpha.sigmoid()
        return (share * main + (1 - share) * side).to(main.dtype)


def _mlp(dim: int) -> nn.Module:
    network = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim)).float()
    nn.init.zeros_(network[-1].weight)
    nn.init.zeros_(network[-1].bias)
    return network


def _fcn4(dim: int) -> nn.Module:
    layers: list[nn.Module] = []
    for inputs, outputs, stride, padding in ((3, 16, 1, 1), (16, 16, 2, 0), (16, 32, 2, 0), (32, 64, 1, 0)):
        layers += [nn.Conv2d(inputs, outputs, 3, stride=stride, padding=padding, bias=False),
                   nn.GroupNorm(2, outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, dim)).float()


@dataclass(frozen=True)
class SideOptions:
    """Every field but the first two has the name of its flag.

    Attributes:
        side_alpha: start of the mixture.
    """

    targets: list[str] | str
    modules_to_save: list[str]
    side_alpha: float = 4.0


def _side(options: SideOptions) -> SideConfig:
    return SideConfig(target_modules=options.targets, modules_to_save=options.modules_to_save, side_module_name='mlp',
                      alpha=options.side_alpha)


TUNERS.add(Tuner(name='side', options=SideOptions, build=_side, default_targets=('MLP',), whole_modules=True,
                 native=SideConfig))
