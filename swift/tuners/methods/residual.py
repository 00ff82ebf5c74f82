"""Changes of a weight that depend on the weight: GLoRA, DEFT and PEANuT.

Shapes: W [out, in], rank r.

GLoRA (Chavan et al. 2023): ``W + W * A + B``, and for the bias ``b + b * D + E + W C``; each of A to E low-rank, a
vector, a constant or left out.

DEFT: ``(I - P relu(P)^T) W + P R`` with P [out, r] and R [r, in] trained, R starting so that W is unchanged up to
rounding. With qr the orthogonal basis of P takes the place of P.

PEANuT (weight-aware neural tweakers): ``W + s f(W)`` with a small network f over the columns of W: A [r, out],
``depth`` layers on either side, B [out, r], between them a nonlinear function.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swift.tuners.registry import TUNERS, Tuner

if TYPE_CHECKING:
    from peft import DeftConfig, GloraConfig, PeanutConfig


@dataclass(frozen=True)
class GloraOptions:
    """Every field but the first two has the name of its flag."""

    targets: list[str] | str
    modules_to_save: list[str]
    glora_rank: int = 8
    glora_config_A_B: str = 'lora'
    glora_config_C: str = 'lora'
    glora_config_D_E: str = 'constant'


def _glora(options: GloraOptions) -> GloraConfig:
    from peft import GloraConfig
    return GloraConfig(
        task_type='CAUSAL_LM', target_modules=options.targets, modules_to_save=options.modules_to_save or None,
        r=options.glora_rank, config_A_B=options.glora_config_A_B, config_C=options.glora_config_C,
        config_D_E=options.glora_config_D_E)


@dataclass(frozen=True)
class DeftOptions:
    """Every field but the first two has the name of its flag."""

    targets: list[str] | str
    modules_to_save: list[str]
    deft_rank: int = 8
    deft_decomposition_method: str = 'relu'
    deft_dropout: float = 0.0


def _deft(options: DeftOptions) -> DeftConfig:
    from peft import DeftConfig
    return DeftConfig(
        task_type='CAUSAL_LM', target_modules=options.targets, modules_to_save=options.modules_to_save or None,
        r=options.deft_rank, decomposition_method=options.deft_decomposition_method, deft_dropout=options.deft_dropout)


@dataclass(frozen=True)
class PeanutOptions:
    """Every field but the first two has the name of its flag."""

    targets: list[str] | str
    modules_to_save: list[str]
    peanut_rank: int = 32
    peanut_depth: int = 0
    peanut_act_fn: str = 'relu'
    peanut_scaling: float = 1.0


def _peanut(options: PeanutOptions) -> PeanutConfig:
    from peft import PeanutConfig
    return PeanutConfig(
        task_type='CAUSAL_LM', target_modules=options.targets, modules_to_save=options.modules_to_save or None,
        r=options.peanut_rank, depth=options.peanut_depth, act_fn=options.peanut_act_fn, scaling=options.peanut_scaling)


TUNERS.add(Tuner(name='glora', options=GloraOptions, build=_glora))
TUNERS.add(Tuner(name='deft', options=DeftOptions, build=_deft))
TUNERS.add(Tuner(name='peanut', options=PeanutOptions, build=_peanut))
