"""Part: chosen modules are trained whole, as copies that can be switched off and saved alone.

``y = f(x; W + dW)``, W of the whole module trained; where a LoRA is too little and full training too much (a norm, a
head, a vision projector, one block). It starts as the base model and merges exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from swift.tuners.copies import ModuleCopies
from swift.tuners.native import NativeConfig, NativeTuner
from swift.tuners.registry import TUNERS, Tuner


@dataclass(frozen=True)
class PartConfig(NativeConfig):
    """Modules in ``target_modules`` are trained; there is nothing else to set."""

    swift_type = 'part'

    def build(self, model: nn.Module) -> NativeTuner:
        return ModuleCopies(model, self.target_modules)


@dataclass(frozen=True)
class PartOptions:
    """Every field but the first two has the name of its flag."""

    targets: list[str] | str
    modules_to_save: list[str]


def _part(options: PartOptions) -> PartConfig:
    return PartConfig(target_modules=options.targets, modules_to_save=options.modules_to_save)


TUNERS.add(Tuner(name='part', options=PartOptions, build=_part, whole_modules=True, native=PartConfig))
