"""Relatives of LoRA that use its product of two matrices in another way: DeLoRA, HiRA and GraLoRA.

Shapes: W [out, in], A [r, in], B [out, r].

DeLoRA (Bini, Girrbach, Akata 2025): ``W + (l / r) |W| B diag(1 / (|b_i| |a_i|)) A``: every rank has unit norm and one
trained number l bounds how far the layer can go from W.

HiRA (Huang et al. 2025): ``W + W * (B A)`` with the Hadamard product, so that the difference can have the rank of W.

GraLoRA (Jung et al. 2025): W is cut into k x k blocks, each with a LoRA of rank r / k: as many weights as LoRA, up to
k times its rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swift.tuners.registry import TUNERS, Tuner

if TYPE_CHECKING:
    from peft import DeloraConfig, GraloraConfig, HiraConfig


@dataclass(frozen=True)
class DeloraOptions:
    """Every field but the first two has the name of its flag.

    Attributes:
        delora_lambda: start of l.
    """

    targets: list[str] | str
    modules_to_save: list[str]
    delora_rank: int = 8
    delora_lambda: int = 15
    delora_dropout: float = 0.0


def _delora(options: DeloraOptions) -> DeloraConfig:
    from peft import DeloraConfig
    return DeloraConfig(
        task_type='CAUSAL_LM', target_modules=options.targets, modules_to_save=options.modules_to_save or None,
        r=options.delora_rank, delora_lambda=options.delora_lambda, module_dropout=options.delora_dropout)


@dataclass(frozen=True)
class HiraOptions:
    """Every field but the first two has the name of its flag."""

    targets: list[str] | str
    modules_to_save: list[str]
    hira_rank: int = 32
    hira_dropout: float = 0.0


def _hira(options: HiraOptions) -> HiraConfig:
    from peft import HiraConfig
    return HiraConfig(
        task_type='CAUSAL_LM', target_modules=options.targets, modules_to_save=options.modules_to_save or None,
        r=options.hira_rank, hira_dropout=options.hira_dropout)


@dataclass(frozen=True)
class GraloraOptions:
    """Every field but the first two has the name of its flag.

    Attributes:
        gralora_k: blocks a side; divides gralora_rank and inputs and outputs of every layer.
    """

    targets: list[str] | str
    modules_to_save: list[str]
    gralora_rank: int = 32
    gralora_alpha: int = 64
    gralora_dropout: float = 0.0
    gralora_k: int = 2


def _gralora(options: GraloraOptions) -> GraloraConfig:
    from peft import GraloraConfig
    return GraloraConfig(
        task_type='CAUSAL_LM', target_modules=options.targets, modules_to_save=options.modules_to_save or None,
        r=options.gralora_rank, alpha=options.gralora_alpha, gralora_dropout=options.gralora_dropout,
        gralora_k=options.gralora_k)


TUNERS.add(Tuner(name='delora', options=DeloraOptions, build=_delora))
TUNERS.add(Tuner(name='hira', options=HiraOptions, build=_hira))
TUNERS.add(Tuner(name='gralora', options=GraloraOptions, build=_gralora))
