"""IA3 (Liu et al. 2022): every layer's outputs are multiplied with a trained vector.

``y = l * (W x)`` with l [out]; of feed-forward layers the inputs instead, ``y = W (l * x)`` with l [in]. l starts at
one. It trains very few weights (0.01 to 0.1 %).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from swift.tuners.registry import TUNERS, Tuner
from swift.utils.errors import UsageError

if TYPE_CHECKING:
    from peft import IA3Config


@dataclass(frozen=True)
class Ia3Options:
    """Every field but the first two has the name of its flag.

    Attributes:
        ia3_feedforward_modules: names among the targets whose inputs are scaled.
    """

    targets: list[str] | str
    modules_to_save: list[str]
    ia3_feedforward_modules: list[str] = field(default_factory=list)


def _ia3(options: Ia3Options) -> IA3Config:
    from peft import IA3Config
    lost = [name for name in options.ia3_feedforward_modules if name not in options.targets]
    if lost and isinstance(options.targets, list):
        raise UsageError(f'--ia3_feedforward_modules {lost[0]} is none of the target modules: '
                         f'{", ".join(options.targets)}.')
    return IA3Config(
        task_type='CAUSAL_LM', target_modules=options.targets, modules_to_save=options.modules_to_save or None,
        feedforward_modules=options.ia3_feedforward_modules)


TUNERS.add(Tuner(name='ia3', options=Ia3Options, build=_ia3))
