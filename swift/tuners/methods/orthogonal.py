"""Orthogonal fine-tuning: the weights of a layer are rotated, their angles to each other stay. OFT, BOFT and HRA.

Shapes: W [out, in]; R [in, in] is orthogonal, starts as the identity, and ``W' = W R``.

OFT (Qiu et al. 2023; v2: Qiu et al. 2025): R is block-diagonal; each block is the Cayley transform
``(I + Q)(I - Q)^-1`` of a skew-symmetric Q [b, b], by default its Neumann series of five terms.

BOFT (Liu et al. 2024): R is a product of m block-diagonal factors with permutations between them (a butterfly),
which reaches more rotations than one factor with the same weights.

HRA (Yuan, Liu, Xu 2024): R is a product of r Householder reflections ``I - 2 u u^T / |u|^2``, u [in]; r is even, so
that equal pairs cancel at the start. Those pairs cancel up to rounding, so the start is the base model to about 1e-6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swift.tuners.registry import TUNERS, Tuner

if TYPE_CHECKING:
    from peft import BOFTConfig, HRAConfig, OFTConfig


@dataclass(frozen=True)
class OftOptions:
    """Every field but the first two has the name of its flag.

    Attributes:
        oft_block_size: b; divides the inputs of every layer.
        oft_dropout: probability that a block stays as the identity in a step.
        oft_coft: keep the rotation within oft_eps of the identity.
        oft_block_share: one block for the whole layer.
    """

    targets: list[str] | str
    modules_to_save: list[str]
    oft_block_size: int = 32
    oft_dropout: float = 0.0
    oft_coft: bool = False
    oft_eps: float = 6e-05
    oft_block_share: bool = False


def _oft(options: OftOptions) -> OFTConfig:
    from peft import OFTConfig
    return OFTConfig(
        task_type='CAUSAL_LM', target_modules=options.targets, modules_to_save=options.modules_to_save or None,
        oft_block_size=options.oft_block_size, module_dropout=options.oft_dropout, coft=options.oft_coft,
        eps=options.oft_eps, block_share=options.oft_block_share)


@dataclass(frozen=True)
class BoftOptions:
    """Every field but the first two has the name of its flag.

    Attributes:
        boft_block_size: size of a block, or 0 where boft_block_num is given; divides the inputs of every layer.
        boft_block_num: blocks a layer, or 0 where boft_block_size is given.
        boft_n_butterfly_factor: m.
    """

    targets: list[str] | str
    modules_to_save: list[str]
    boft_block_size: int = 4
    boft_block_num: int = 0
    boft_n_butterfly_factor: int = 1
    boft_dropout: float = 0.0


def _boft(options: BoftOptions) -> BOFTConfig:
    from peft import BOFTConfig
    return BOFTConfig(
        task_type='CAUSAL_LM', target_modules=options.targets, modules_to_save=options.modules_to_save or None,
        boft_block_size=options.boft_block_size, boft_block_num=options.boft_block_num,
        boft_n_butterfly_factor=options.boft_n_butterfly_factor, boft_dropout=options.boft_dropout)


@dataclass(frozen=True)
class HraOptions:
    """Every field but the first two has the name of its flag.

    Attributes:
        hra_rank: reflections a layer; even.
        hra_gram_schmidt: make the reflections orthogonal to each other.
    """

    targets: list[str] | str
    modules_to_save: list[str]
    hra_rank: int = 8
    hra_gram_schmidt: bool = False


def _hra(options: HraOptions) -> HRAConfig:
    from peft import HRAConfig
    return HRAConfig(
        task_type='CAUSAL_LM', target_modules=options.targets, modules_to_save=options.modules_to_save or None,
        r=options.hra_rank, apply_GS=options.hra_gram_schmidt)


TUNERS.add(Tuner(name='oft', options=OftOptions, build=_oft))
TUNERS.add(Tuner(name='boft', options=BoftOptions, build=_boft))
TUNERS.add(Tuner(name='hra', options=HraOptions, build=_hra))
