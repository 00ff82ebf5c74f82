"""LN-tuning (Zhao et al. 2024): the normalisations are trained, everything else is frozen.

``y = g * norm(x) + b``: g [hidden] (and b, where the layer has one) of every normalisation is trained as a copy that
can be switched off. It starts as the base model. Its default targets are the normalisations, not the linear layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swift.tuners.registry import TUNERS, Tuner

if TYPE_CHECKING:
    from peft import LNTuningConfig


@dataclass(frozen=True)
class LnTuningOptions:
    """Every field but the first two has the name of its flag."""

    targets: list[str] | str
    modules_to_save: list[str]


def _ln_tuning(options: LnTuningOptions) -> LNTuningConfig:
    from peft import LNTuningConfig
    return LNTuningConfig(
        task_type='CAUSAL_LM', target_modules=options.targets, modules_to_save=options.modules_to_save or None)


TUNERS.add(Tuner(name='ln_tuning', options=LnTuningOptions, build=_ln_tuning, default_targets=('LN',)))
