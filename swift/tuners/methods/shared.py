"""Adapters that share matrices between layers: VeRA, RandLoRA (random, frozen ones) and VB-LoRA (a bank of vectors).

Shapes: W [out, in], rank r.

VeRA (Kopiczko, Blankevoort, Asano 2024): ``W + diag(b) B diag(d) A`` with A [r, in] and B [out, r] random, frozen and
the same for all layers; only d [r] and b [out] are trained. b starts at zero.

RandLoRA (Albert et al. 2025): ``W + s * sum_i B_i diag(l_i) A diag(g_i)`` over as many frozen random bases as give
full rank; the diagonals l_i [r] and g_i [min(out, in)] are trained, s = alpha / r.

VB-LoRA (Li, Han, Ji 2024): the columns of LoRA's A and B are mixtures of the top k of h vectors [b] of a bank that all
layers share; the bank and the logits of the mixtures are trained. It does not start as the base model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swift.tuners.registry import TUNERS, Tuner

if TYPE_CHECKING:
    from peft import RandLoraConfig, VBLoRAConfig, VeraConfig


@dataclass(frozen=True)
class VeraOptions:
    """Every field but the first two has the name of its flag.

    Attributes:
        vera_projection_prng_key: seed of A and B, which are saved beside the vectors.
        vera_d_initial: start of d.
    """

    targets: list[str] | str
    modules_to_save: list[str]
    vera_rank: int = 256
    vera_projection_prng_key: int = 0
    vera_dropout: float = 0.0
    vera_d_initial: float = 0.1


def _vera(options: VeraOptions) -> VeraConfig:
    from peft import VeraConfig
    return VeraConfig(
        task_type='CAUSAL_LM', target_modules=options.targets, modules_to_save=options.modules_to_save or None,
        r=options.vera_rank, projection_prng_key=options.vera_projection_prng_key, vera_dropout=options.vera_dropout,
        d_initial=options.vera_d_initial)


@dataclass(frozen=True)
class RandloraOptions:
    """Every field but the first two has the name of its flag.

    Attributes:
        randlora_rank: of one basis; smaller means more bases and more trained weights.
        randlora_sparse: bases of -1, 0 and 1.
    """

    targets: list[str] | str
    modules_to_save: list[str]
    randlora_rank: int = 32
    randlora_alpha: int = 640
    randlora_dropout: float = 0.0
    randlora_projection_prng_key: int = 0
    randlora_sparse: bool = False


def _randlora(options: RandloraOptions) -> RandLoraConfig:
    from peft import RandLoraConfig
    return RandLoraConfig(
        task_type='CAUSAL_LM', target_modules=options.targets, modules_to_save=options.modules_to_save or None,
        r=options.randlora_rank, randlora_alpha=options.randlora_alpha, randlora_dropout=options.randlora_dropout,
        projection_prng_key=options.randlora_projection_prng_key, sparse=options.randlora_sparse)


@dataclass(frozen=True)
class VbloraOptions:
    """Every field but the first two has the name of its flag.

    Attributes:
        vblora_vector_length: b; divides inputs and outputs of every layer.
        vblora_num_vectors: h.
        vblora_topk: k.
    """

    targets: list[str] | str
    modules_to_save: list[str]
    vblora_rank: int = 4
    vblora_num_vectors: int = 256
    vblora_vector_length: int = 256
    vblora_topk: int = 2
    vblora_dropout: float = 0.0


def _vblora(options: VbloraOptions) -> VBLoRAConfig:
    from peft import VBLoRAConfig
    return VBLoRAConfig(
        task_type='CAUSAL_LM', target_modules=options.targets, modules_to_save=options.modules_to_save or None,
        r=options.vblora_rank, num_vectors=options.vblora_num_vectors, vector_length=options.vblora_vector_length,
        topk=options.vblora_topk, vblora_dropout=options.vblora_dropout)


TUNERS.add(Tuner(name='vera', options=VeraOptions, build=_vera))
TUNERS.add(Tuner(name='randlora', options=RandloraOptions, build=_randlora))
TUNERS.add(Tuner(name='vblora', options=VbloraOptions, build=_vblora))
