"""Parameter groups of the optimizer."""

from __future__ import annotations

from typing import Any

from torch import nn


def lora_plus_groups(model: nn.Module, decayed: set[str], ratio: float, *, weight_decay: float,
                     learning_rate: float) -> list[dict[str, Any]]:
    """Trainable parameters in at most four groups; LoRA's B matrices learn ``ratio`` times as fast as the rest.

    LoRA+: Hayou, Ghosh, Yu 2024.

    Args:
        decayed: names that get weight decay.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            faster = 'lora_B' in name
            groups.setdefault((name in decayed, faster), []).append(parameter)
    return [{'params': parameters, 'weight_decay': weight_decay if decays else 0.0,
             'lr': learning_rate * (ratio if faster else 1.0)}
            for (decays, faster), parameters in groups.items()]
