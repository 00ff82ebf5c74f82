"""SHiRA (Bhardwaj et al. 2024): a few weights of every layer are trained in place of a product of matrices.

``W + S`` with S [out, in] zero but for r * (out + in) entries at random places, as many as a LoRA of rank r has. It
starts at zero. Nothing is computed beside the layer, and several such adapters hardly touch each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swift.tuners.registry import TUNERS, Tuner

if TYPE_CHECKING:
    from peft import ShiraConfig


@dataclass(frozen=True)
class ShiraOptions:
    """Every field but the first two has the name of its flag.

    Attributes:
        shira_seed: seed of the places.
    """

    targets: list[str] | str
    modules_to_save: list[str]
    shira_rank: int = 32
    shira_seed: int = 42


def _shira(options: ShiraOptions) -> ShiraConfig:
    from peft import ShiraConfig
    return ShiraConfig(
        task_type='CAUSAL_LM', target_modules=options.targets, modules_to_save=options.modules_to_save or None,
        r=options.shira_rank, random_seed=options.shira_seed)


TUNERS.add(Tuner(name='shira', options=ShiraOptions, build=_shira))
