"""MiSS (Kang, Yin 2024), formerly Bone: a layer adds one small matrix to blocks of its input.

The input x [in] is summed over in / r pieces of size r, and ``y = W x + M^T sum(x)`` with M [r, out] trained. It starts
at zero. With ``init_weights bat`` the matrix is multiplied with the weights (``W + W M + M`` by blocks), which trains
better and needs more memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swift.tuners.registry import TUNERS, Tuner

if TYPE_CHECKING:
    from peft import MissConfig


@dataclass(frozen=True)
class MissOptions:
    """Every field but the first two has the name of its flag.

    Attributes:
        lora_rank: r, the name that SWIFT has for it.
        init_weights: true, or bat.
    """

    targets: list[str] | str
    modules_to_save: list[str]
    lora_rank: int = 8
    miss_dropout: float = 0.0
    init_weights: str = 'true'


def _miss(options: MissOptions) -> MissConfig:
    from peft import MissConfig
    return MissConfig(
        task_type='CAUSAL_LM', target_modules=options.targets, modules_to_save=options.modules_to_save or None,
        r=options.lora_rank, miss_dropout=options.miss_dropout,
        init_weights=True if options.init_weights == 'true' else options.init_weights)


TUNERS.add(Tuner(name='miss', options=MissOptions, build=_miss))
