"""Adapters whose difference is learnt in another basis: FourierFT, WaveFT and C3A.

Shapes: W [out, in].

FourierFT (Gao et al. 2024): ``W + s * Re(ifft2(F))`` where F [out, in] is zero but for n random entries, which are
trained. They start normal, as in the paper: the start is not the base model.

WaveFT (Bilican et al. 2025): the same with an inverse wavelet transform; the n entries start at zero.

C3A (Chen et al. 2024): ``W + C``, where C consists of circulant blocks [b, b], each made from b trained weights and
applied by FFT in O(b log b). The blocks start Xavier-uniform: the start is not the base model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swift.tuners.registry import TUNERS, Tuner

if TYPE_CHECKING:
    from peft import C3AConfig, FourierFTConfig, WaveFTConfig


@dataclass(frozen=True)
class FourierftOptions:
    """Every field but the first two has the name of its flag.

    Attributes:
        fourier_n_frequency: n, of every layer.
        fourier_scaling: s.
    """

    targets: list[str] | str
    modules_to_save: list[str]
    fourier_n_frequency: int = 2000
    fourier_scaling: float = 300.0


def _fourierft(options: FourierftOptions) -> FourierFTConfig:
    from peft import FourierFTConfig
    return FourierFTConfig(
        task_type='CAUSAL_LM', target_modules=options.targets, modules_to_save=options.modules_to_save or None,
        n_frequency=options.fourier_n_frequency, scaling=options.fourier_scaling)


@dataclass(frozen=True)
class WaveftOptions:
    """Every field but the first two has the name of its flag.

    Attributes:
        waveft_n_frequency: n, of every layer.
        waveft_scaling: s.
    """

    targets: list[str] | str
    modules_to_save: list[str]
    waveft_n_frequency: int = 2592
    waveft_scaling: float = 25.0


def _waveft(options: WaveftOptions) -> WaveFTConfig:
    from peft import WaveFTConfig
    return WaveFTConfig(
        task_type='CAUSAL_LM', target_modules=options.targets, modules_to_save=options.modules_to_save or None,
        n_frequency=options.waveft_n_frequency, scaling=options.waveft_scaling)


@dataclass(frozen=True)
class C3aOptions:
    """Every field but the first two has the name of its flag.

    Attributes:
        c3a_block_size: b; divides inputs and outputs of every layer.
    """

    targets: list[str] | str
    modules_to_save: list[str]
    c3a_block_size: int = 256


def _c3a(options: C3aOptions) -> C3AConfig:
    from peft import C3AConfig
    return C3AConfig(
        task_type='CAUSAL_LM', target_modules=options.targets, modules_to_save=options.modules_to_save or None,
        block_size=options.c3a_block_size)


TUNERS.add(Tuner(name='fourierft', options=FourierftOptions, build=_fourierft))
TUNERS.add(Tuner(name='waveft', options=WaveftOptions, build=_waveft))
TUNERS.add(Tuner(name='c3a', options=C3aOptions, build=_c3a))
