"""Methods that train a few vectors over random, frozen projections: TinyLoRA and Uni-LoRA.

Shapes: W [out, in], rank r.

TinyLoRA (arXiv 2602.04118): ``W + B R A`` with A, B from the first r singular vectors and values of W and
``R = sum_i v_i P_i`` [r, r]; P is random and frozen, only v [u] is trained, one a layer or shared among layers.

Uni-LoRA (arXiv 2506.00799): all entries of LoRA's matrices of all layers are entries of one trained vector [theta],
each at a random, frozen index. It does not start as the base model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swift.tuners.registry import TUNERS, Tuner

if TYPE_CHECKING:
    from peft import TinyLoraConfig, UniLoraConfig


@dataclass(frozen=True)
class TinyloraOptions:
    """Every field but the first two has the name of its flag.

    Attributes:
        tinylora_u: length of v.
        tinylora_weight_tying: 0 is a v for each layer, 1 one for all.
    """

    targets: list[str] | str
    modules_to_save: list[str]
    tinylora_rank: int = 2
    tinylora_u: int = 64
    tinylora_weight_tying: float = 0.0
    tinylora_dropout: float = 0.0
    tinylora_projection_seed: int = 42


def _tinylora(options: TinyloraOptions) -> TinyLoraConfig:
    from peft import TinyLoraConfig
    return TinyLoraConfig(
        task_type='CAUSAL_LM', target_modules=options.targets, modules_to_save=options.modules_to_save or None,
        r=options.tinylora_rank, u=options.tinylora_u, weight_tying=options.tinylora_weight_tying,
        tinylora_dropout=options.tinylora_dropout, projection_seed=options.tinylora_projection_seed)


@dataclass(frozen=True)
class UniloraOptions:
    """Every field but the first two has the name of its flag.

    Attributes:
        unilora_theta_d_length: of the vector; all that is trained.
    """

    targets: list[str] | str
    modules_to_save: list[str]
    unilora_rank: int = 4
    unilora_theta_d_length: int = 256
    unilora_dropout: float = 0.0
    unilora_proj_seed: int = 42


def _unilora(options: UniloraOptions) -> UniLoraConfig:
    from peft import UniLoraConfig
    return UniLoraConfig(
        task_type='CAUSAL_LM', target_modules=options.targets, modules_to_save=options.modules_to_save or None,
        r=options.unilora_rank, theta_d_length=options.unilora_theta_d_length, unilora_dropout=options.unilora_dropout,
        proj_seed=options.unilora_proj_seed)


TUNERS.add(Tuner(name='tinylora', options=TinyloraOptions, build=_tinylora))
TUNERS.add(Tuner(name='unilora', options=UniloraOptions, build=_unilora))
