"""Visual Prompt Tuning (Jia et al. 2022): learned tokens among those of an encoder's layers.

A layer gets ``[P_i, x]`` instead of the hidden states x ``[batch, n, dim]``, with P_i ``[prompt_length, dim]`` trained
for each chosen layer (the deep form of the paper; choose the first layer alone for its shallow form). The next chosen
layer replaces what the one before had put in, and the tokens stay to the end; with ``extract_embedding`` each layer's
are taken out behind it, so that the shapes of the model stay. It does not start as the base model and can't be
merged. For a language model take peft's prompt tuning (``--sft_type prompt_tuning``): its prompts need no change of
masks, positions and caches in every layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from swift.tuners.native import (
    Handle,
    NativeConfig,
    NativeTuner,
    change_output,
    device_of,
    find_modules,
    input_at,
    input_place,
    safe_key,
)
from swift.tuners.registry import LIBRARY, Library
from swift.tuners.targets import block_parts
from swift.tuners.widths import width_of
from swift.utils.errors import UsageError


@dataclass(frozen=True)
class PromptConfig(NativeConfig):
    """
    Attributes:
        target_modules: the layers, in the order in which they run; by default every block.
        dim: size of the hidden states, or one for each layer; by default seen from each layer.
        embedding_pos: where they are in the call of a layer: index or keyword; by default the first input.
        attention_mask_pos: where the attention mask is (None: there is none, or it is not given). It becomes longer in
            its last dimension, and in the one before where that counts the same tokens.
        attention_mask_value: what the mask has for the prompt: 0 where masks are added, true or 1 where they choose.
        prompt_length: tokens in each layer.
        attach_front: they come before the others. A model that reads its first token (the class token of a ViT) wants
            False or ``extract_embedding``.
        extract_embedding: take the prompt out again behind each layer.
    """

    swift_type = 'prompt'

    dim: int | list[int] | None = None
    embedding_pos: int | str | None = None
    attention_mask_pos: int | str | None = None
    attention_mask_value: float | int | bool = 0.0
    prompt_length: int = 16
    attach_front: bool = True
    extract_embedding: bool = False

    def build(self, model: nn.Module) -> NativeTuner:
        return PromptTuner(model, self)


class PromptTuner(NativeTuner):
    """One prompt for each layer."""

    unmergeable = 'it adds tokens to the rows of the model. Use it as it is.'

    def __init__(self, model: nn.Module, config: PromptConfig) -> None:
        super().__init__()
        if config.prompt_length < 1:
            raise UsageError(f'prompt_length is {config.prompt_length}; it takes at least 1.')
        found = find_modules(model, config.target_modules or block_parts(model, 'BLOCK'))
        dims = config.dim if isinstance(config.dim, list) else [config.dim] * len(found)
        if len(dims) != len(found):
            raise UsageError(f'dim has {len(dims)} sizes for {len(found)} layers.')
        self.config = config
        self.prompts = nn.ModuleDict({
            safe_key(name): Prompt(config.prompt_length, dim or width_of(model, name), device_of(module))
            for dim, (name, module) in zip(dims, found.items(), strict=True)})

    def attach(self, model: nn.Module) -> list[Handle]:
        handles: list[Handle] = []
        for number, (key, prompt) in enumerate(self.prompts.items()):
            module = model.get_submodule(key.replace('/', '.'))
            replaces = number > 0 and not self.config.extract_embedding
            handles.append(module.register_forward_pre_hook(self._hook(prompt, replaces), with_kwargs=True))
            if self.config.extract_embedding:
                handles.append(change_output(module, self._without))
        return handles

    def _hook(self, prompt: Prompt, replaces: bool):
        config = self.config

        def hook(_module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict]:
            place = input_place(args, kwargs, config.embedding_pos)
            hidden = input_at(args, kwargs, place)
            changes = {place: prompt(self._without(hidden) if replaces else hidden, config.attach_front)}
            if config.attention_mask_pos is not None:
                mask = input_at(args, kwargs, config.attention_mask_pos)
                if mask is not None:
                    changes[input_place(args, kwargs, config.attention_mask_pos)] = self._longer(mask)
            args = tuple(changes.get(index, value) for index, value in enumerate(args))
            return args, kwargs | {key: value for key, value in changes.items() if isinstance(key, str)}
        return hook

    def _without(self, hidden: Tensor) -> Tensor:
        length = self.config.prompt_length
        return hidden[:, length:] if self.config.attach_front else hidden[:, :-length]

    def _longer(self, mask: Tensor) -> Tensor:
        """``[batch, n]`` or ``[batch, heads, 1 or n, n]`` with places for the prompt."""
        length = self.config.prompt_length
        squares = mask.dim() > 2 and mask.shape[-1] == mask.shape[-2] > 1
        sides = [length, 0] if self.config.attach_front else [0, length]
        return nn.functional.pad(mask, sides * (2 if squares else 1), value=self.config.attention_mask_value)


class Prompt(nn.Module):
    """``[length, dim]`` numbers, uniform at the start as in the paper."""

    def __init__(self, length: int, dim: int, device: torch.device | None = None) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.empty(length, dim, device=device, dtype=torch.float32))
        nn.init.xavier_uniform_(self.tokens)

    def forward(self, hidden: Tensor, front: bool) -> Tensor:
        """``hidden`` ``[batch, n, dim]`` with the prompt before or behind it."""
        tokens = self.tokens.to(hidden.dtype).expand(len(hidden), -1, -1)
        return torch.cat((tokens, hidden) if front else (hidden, tokens), dim=1)


LIBRARY.add(Library(PromptConfig))
