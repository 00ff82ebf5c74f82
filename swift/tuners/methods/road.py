"""RoAd (Liao, Monz 2024): pairs of outputs are rotated and scaled.

For each pair (h1, h2) of the outputs of a layer: ``h1' = a (cos(t) h1 - sin(t) h2)`` and
``h2' = a (sin(t) h1 + cos(t) h2)`` with a and t trained: one of each for a pair (road_1), or two or four (road_2,
road_4). It starts as the identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swift.tuners.registry import TUNERS, Tuner

if TYPE_CHECKING:
    from peft import RoadConfig


@dataclass(frozen=True)
class RoadOptions:
    """Every field but the first two has the name of its flag.

    Attributes:
        road_group_size: first and second half of so many outputs are the pairs; divides the outputs of every
            layer.
    """

    targets: list[str] | str
    modules_to_save: list[str]
    road_variant: str = 'road_1'
    road_group_size: int = 64


def _road(options: RoadOptions) -> RoadConfig:
    from peft import RoadConfig
    return RoadConfig(
        task_type='CAUSAL_LM', target_modules=options.targets, modules_to_save=options.modules_to_save or None,
        variant=options.road_variant, group_size=options.road_group_size)


TUNERS.add(Tuner(name='road', options=RoadOptions, build=_road))
