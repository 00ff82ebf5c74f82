"""Adapters whose difference is a product of small matrices other than LoRA's: LoHa and LoKr, as in LyCORIS.

Shapes: W [out, in], rank r, scale s = alpha / r.

LoHa (Hyeon-Woo, Ye-Bin, Oh 2022, FedPara): ``W + s * (A1 B1) * (A2 B2)`` with the Hadamard product; A [out, r],
B [r, in]. The difference can have rank r**2 with the weights of two LoRAs.

LoKr (Edalati et al. 2022, KronA; Yeh et al. 2024): ``W + s * kron(C, A B)`` with C [out1, in1], A [out2, r],
B [r, in2], out = out1 * out2 and in = in1 * in2. Very few weights, full rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swift.tuners.registry import TUNERS, Tuner

if TYPE_CHECKING:
    from peft import LoHaConfig, LoKrConfig


@dataclass(frozen=True)
class LohaOptions:
    """Every field but the first two has the name of its flag.

    Attributes:
        loha_rank_dropout: probability that a rank is left out in a step.
        loha_module_dropout: probability that a layer goes without its adapter in a step.
    """

    targets: list[str] | str
    modules_to_save: list[str]
    loha_rank: int = 8
    loha_alpha: int = 8
    loha_rank_dropout: float = 0.0
    loha_module_dropout: float = 0.0


def _loha(options: LohaOptions) -> LoHaConfig:
    from peft import LoHaConfig
    return LoHaConfig(
        task_type='CAUSAL_LM', target_modules=options.targets, modules_to_save=options.modules_to_save or None,
        r=options.loha_rank, alpha=options.loha_alpha, rank_dropout=options.loha_rank_dropout,
        module_dropout=options.loha_module_dropout)


@dataclass(frozen=True)
class LokrOptions:
    """Every field but the first two has the name of its flag.

    Attributes:
        lokr_decompose_both: C is a product of two matrices of rank r as well.
        lokr_decompose_factor: how sizes are cut in two; -1: as near to the root as they can be.
    """

    targets: list[str] | str
    modules_to_save: list[str]
    lokr_rank: int = 8
    lokr_alpha: int = 8
    lokr_rank_dropout: float = 0.0
    lokr_module_dropout: float = 0.0
    lokr_decompose_both: bool = False
    lokr_decompose_factor: int = -1


def _lokr(options: LokrOptions) -> LoKrConfig:
    from peft import LoKrConfig
    return LoKrConfig(
        task_type='CAUSAL_LM', target_modules=options.targets, modules_to_save=options.modules_to_save or None,
        r=options.lokr_rank, alpha=options.lokr_alpha, rank_dropout=options.lokr_rank_dropout,
        module_dropout=options.lokr_module_dropout, decompose_both=options.lokr_decompose_both,
        decompose_factor=options.lokr_decompose_factor)


TUNERS.add(Tuner(name='loha', options=LohaOptions, build=_loha))
TUNERS.add(Tuner(name='lokr', options=LokrOptions, build=_lokr))
