"""NEFTune (Jain et al. 2023, Noisy Embeddings Improve Instruction Finetuning): noise on the embeddings in training.

``x' = x + a / sqrt(L d) e`` for the embeddings x ``[batch, L, d]`` and e uniform in ``[-1, 1]``. There are no weights:
it goes beside other tuners, or on a model that is trained whole, which it leaves trainable. The command line has it as
``--neftune_noise_alpha``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from swift.tuners.native import Handle, NativeConfig, NativeTuner, find_modules
from swift.tuners.registry import LIBRARY, Library
from swift.utils.errors import UsageError


@dataclass(frozen=True)
class NEFTuneConfig(NativeConfig):
    """
    Attributes:
        target_modules: the modules whose outputs get noise; by default the largest embedding table, that of the tokens.
        noise_alpha: a, the size of the noise.
    """

    swift_type = 'neftune'
    freezes = False

    noise_alpha: float = 5.0

    def build(self, model: nn.Module) -> NativeTuner:
        return NEFTuneTuner(model, self)


class NEFTuneTuner(NativeTuner):
    """No weights: hooks that do something while the model is in training mode."""

    def __init__(self, model: nn.Module, config: NEFTuneConfig) -> None:
        super().__init__()
        tables = {name: module for name, module in model.named_modules() if isinstance(module, nn.Embedding)}
        if not tables and not config.target_modules:
            raise UsageError(f'{type(model).__name__} has no embedding table; name the modules in target_modules.')
        self.names = (list(find_modules(model, config.target_modules)) if config.target_modules
                      else [max(tables, key=lambda name: tables[name].num_embeddings)])
        self.alpha = config.noise_alpha

    def attach(self, model: nn.Module) -> list[Handle]:
        def hook(module: nn.Module, _inputs: tuple, output: Tensor) -> Tensor:
            return with_noise(output, self.alpha) if module.training else output
        return [model.get_submodule(name).register_forward_hook(hook) for name in self.names]

    def merge(self, model: nn.Module) -> None:
        """Nothing is left of it."""


def with_noise(embeddings: Tensor, alpha: float) -> Tensor:
    """``embeddings`` ``[..., L, d]`` plus uniform noise of at most ``alpha / sqrt(L d)``."""
    bound = alpha / math.sqrt(embeddings.shape[-2] * embeddings.shape[-1])
    return embeddings + torch.empty_like(embeddings).uniform_(-bound, bound)


LIBRARY.add(Library(NEFTuneConfig))
