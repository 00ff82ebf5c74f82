"""Methods that train what is large, or first, in a weight: PSOFT and Super-Tuning; and BEFT, which trains biases.

Shapes: W [out, in], rank r.

PSOFT: ``W + (alpha / r) B (R - I) A`` with A, B [r, in], [out, r] from the first r singular vectors of W, frozen, and R
[r, r] trained: orthogonal, between two vectors of magnitudes.

Super-Tuning (arXiv 2607.09287): the share ``1 - sparsity`` of entries of W that are largest (or smallest) in magnitude
is trained; with a rank, a LoRA beside it.

BEFT: ``W x + b`` with b [out] trained, also where the layer has no bias; such a layer can not hold it when merged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swift.tuners.registry import TUNERS, Tuner

if TYPE_CHECKING:
    from peft import BeftConfig, PsoftConfig, SupertuningConfig


@dataclass(frozen=True)
class PsoftOptions:
    """Every field but the first two has the name of its flag.

    Attributes:
        psoft_orth: keep R orthogonal.
        psoft_mag_a, psoft_mag_b: train the vector of magnitudes on that side of it.
    """

    targets: list[str] | str
    modules_to_save: list[str]
    psoft_rank: int = 32
    psoft_alpha: int = 32
    psoft_dropout: float = 0.0
    psoft_orth: bool = True
    psoft_mag_a: bool = True
    psoft_mag_b: bool = True


def _psoft(options: PsoftOptions) -> PsoftConfig:
    from peft import PsoftConfig
    return PsoftConfig(
        task_type='CAUSAL_LM', target_modules=options.targets, modules_to_save=options.modules_to_save or None,
        r=options.psoft_rank, psoft_alpha=options.psoft_alpha, psoft_dropout=options.psoft_dropout,
        psoft_orth=options.psoft_orth, psoft_mag_a=options.psoft_mag_a, psoft_mag_b=options.psoft_mag_b)


@dataclass(frozen=True)
class SupertuningOptions:
    """Every field but the first two has the name of its flag.

    Attributes:
        supertuning_rank: of the LoRA beside it, scaled by 2; None for none.
    """

    targets: list[str] | str
    modules_to_save: list[str]
    supertuning_sparsity: float = 0.99
    supertuning_select_top: bool = True
    supertuning_rank: int | None = None


def _supertuning(options: SupertuningOptions) -> SupertuningConfig:
    from peft import SupertuningConfig
    return SupertuningConfig(
        task_type='CAUSAL_LM', target_modules=options.targets, modules_to_save=options.modules_to_save or None,
        sparsity=options.supertuning_sparsity, select_top=options.supertuning_select_top, r=options.supertuning_rank)


@dataclass(frozen=True)
class BeftOptions:
    """Every field but the first two has the name of its flag."""

    targets: list[str] | str
    modules_to_save: list[str]


def _beft(options: BeftOptions) -> BeftConfig:
    from peft import BeftConfig
    return BeftConfig(
        task_type='CAUSAL_LM', target_modules=options.targets, modules_to_save=options.modules_to_save or None)


TUNERS.add(Tuner(name='psoft', options=PsoftOptions, build=_psoft))
TUNERS.add(Tuner(name='supertuning', options=SupertuningOptions, build=_supertuning))
TUNERS.add(Tuner(name='beft', options=BeftOptions, build=_beft))
