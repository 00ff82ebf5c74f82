"""Adapters (Houlsby et al. 2019, Parameter-Efficient Transfer Learning for NLP): small networks in the blocks.

``h' = h + W_up act(W_down h + b_down) + b_up`` for the output h ``[batch, length, dim]`` of a module, with W_down
``[adapter_length, dim]`` and W_up ``[dim, adapter_length]``; images ``[batch, dim, height, width]`` alike. The paper
puts one behind the attention and one behind the MLP of each block; behind the MLP alone is nearly as good (Pfeiffer et
al. 2021) and the default here, as in ms-swift. W_up is zero at the start, so that it starts as the base model. The
activation keeps it from being part of the weights: it can't be merged.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from swift.tuners.bottleneck import Bottleneck, added
from swift.tuners.native import Handle, NativeConfig, NativeTuner, change_output, device_of, find_modules, safe_key
from swift.tuners.registry import TUNERS, Tuner
from swift.tuners.targets import block_parts
from swift.tuners.widths import width_of
from swift.utils.errors import UsageError


@dataclass(frozen=True)
class AdapterConfig(NativeConfig):
    """
    Attributes:
        target_modules: what gets an adapter behind it; by default the MLP of every block.
        dim: size of the hidden states; by default seen from the layers of each module.
        hidden_pos: where they are in the output of a module that gives several: index or key; by default the first.
        method_name: ``forward``, and nothing else: other methods of a module can't be hooked into.
        adapter_length: size of the small network in between.
        act_layer: its activation.
    """

    swift_type = 'adapter'

    dim: int | None = None
    hidden_pos: int | str | None = None
    method_name: str = 'forward'
    adapter_length: int = 128
    act_layer: str = 'gelu'

    def build(self, model: nn.Module) -> NativeTuner:
        if self.method_name != 'forward':
            raise UsageError(f'method_name {self.method_name}: an adapter is put behind forward; name the module whose '
                             'forward gives these hidden states in target_modules.')
        return AdapterTuner(model, self)


class AdapterTuner(NativeTuner):
    """One bottleneck for each target."""

    unmergeable = 'an activation stands between its two matrices. Use it as it is.'

    def __init__(self, model: nn.Module, config: AdapterConfig) -> None:
        super().__init__()
        found = find_modules(model, config.target_modules or block_parts(model, 'MLP'))
        self.position = config.hidden_pos
        self.bottlenecks = nn.ModuleDict({
            safe_key(name): Bottleneck(config.dim or width_of(model, name), config.adapter_length, config.act_layer,
                                       device=device_of(module))
            for name, module in found.items()})

    def attach(self, model: nn.Module) -> list[Handle]:
        return [change_output(model.get_submodule(key.replace('/', '.')), partial(_adapted, bottleneck), self.position)
                for key, bottleneck in self.bottlenecks.items()]


def _adapted(bottleneck: Bottleneck, hidden: Tensor) -> Tensor:
    return added(hidden, bottleneck(hidden))


@dataclass(frozen=True)
class AdapterOptions:
    """Every field but the first two has the name of its flag.

    Attributes:
        adapter_act: activation of the small network.
        adapter_length: its size in between.
    """

    targets: list[str] | str
    modules_to_save: list[str]
    adapter_act: str = 'gelu'
    adapter_length: int = 128


def _adapter(options: AdapterOptions) -> AdapterConfig:
    return AdapterConfig(target_modules=options.targets, modules_to_save=options.modules_to_save,
                         act_layer=options.adapter_act, adapter_length=options.adapter_length)


TUNERS.add(Tuner(name='adapter', options=AdapterOptions, build=_adapter, default_targets=('MLP',), whole_modules=True,
                 native=AdapterConfig))
