"""Adapters that put trained positions in front of each row: where those are, how to generate with them, what to save.

They hold for peft's prompt learning (prompt tuning, prefix tuning, p-tuning and their kin). v is the number of virtual
tokens. Two kinds differ in where the v positions go:

* in the row: v trained embeddings in front of those of the row, so that logits come out [B, v + T, V];
* in the cache: trained keys and values [B, heads, v, d] of every layer, so that logits stay [B, T, V].

In both the row itself begins at position v.
"""

from __future__ import annotations

from typing import Any

import torch
from peft import PeftModel, PeftType
from torch import nn

from swift.tuners.model import SwiftModel

_IN_CACHE = (PeftType.PREFIX_TUNING, PeftType.CARTRIDGE)


def prompted(model: nn.Module) -> PeftModel | None:
    """The part of ``model`` whose active adapter puts positions in front of each row; None where there is none."""
    inner = model.model if isinstance(model, SwiftModel) else model
    return inner if isinstance(inner, PeftModel) and inner.active_peft_config.is_prompt_learning else None


def virtual_tokens(model: nn.Module) -> int:
    """v, by which a row must be shorter than the positions that the model has; 0 for any other model."""
    prompt = prompted(model)
    return 0 if prompt is None else prompt.active_peft_config.num_virtual_tokens


def logits_in_front(model: nn.Module) -> int:
    """How many logits of ``model(input_ids)`` come before those of the row: v, or 0 where they are in the cache."""
    prompt = prompted(model)
    return 0 if prompt is not None and prompt.active_peft_config.peft_type in _IN_CACHE else virtual_tokens(model)


def generation_inputs(model: nn.Module, input_ids: torch.Tensor, mask: torch.Tensor, *,
                      copies: int = 1) -> dict[str, torch.Tensor | Any]:
    """What the *base* model's ``generate`` takes so that it answers as ``model`` does, each row as if it were alone.

    peft's own ``generate`` puts the virtual tokens in front of the padding and lets positions run over it, so that in a
    left-padded batch a row is at another distance from its prompt than it was in training.

    Args:
        model: its active adapter is a prompt.
        input_ids, mask: [B, T], left-padded.
        copies: rows that ``generate`` makes of each (beams, or several answers).

    Returns:
        ``input_ids`` and ``attention_mask`` [B, v + T], with v positions in front of which the ids mean nothing, and
        either ``inputs_embeds`` [B, v + T, hidden] or ``past_key_values`` of v positions.
    """
    rows, v, prompt = len(input_ids), virtual_tokens(model), prompted(model)
    blank, seen = input_ids.new_zeros((rows, v)), mask.new_ones((rows, v))
    with torch.no_grad():
        if logits_in_front(model) == 0:
            # the cache has its v positions first; positions of the row follow from the mask and do not count padding
            return {'input_ids': torch.cat([blank, input_ids], 1), 'attention_mask': torch.cat([seen, mask], 1),
                    'past_key_values': prompt.get_prompt(batch_size=rows * copies)}
        words = prompt.word_embeddings(input_ids)  # [B, T, hidden]
        virtual = prompt.get_prompt(batch_size=rows).to(words.dtype)  # [B, v, hidden]
    padding = (mask == 0).sum(1, keepdim=True)  # [B, 1]
    # position p of the longer row takes padding, then the prompt, then the words: a gather keeps all rows in one step
    place = torch.arange(v + input_ids.shape[1], device=mask.device)[None] - padding  # [B, v + T], 0 is the first
    source = torch.where(place < 0, v, torch.where(place < v, place, place + padding))
    embeds = torch.cat([virtual, words], 1).gather(1, source[..., None].expand(-1, -1, words.shape[-1]))
    return {'input_ids': torch.cat([blank, input_ids], 1), 'attention_mask': (place >= 0).to(mask.dtype),
            'inputs_embeds': embeds}


def trained_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """Every trained tensor by its name.

    What peft saves of a prompt is what comes out of its encoder; training goes on from what is inside it.
    """
    return {name: parameter.detach() for name, parameter in model.named_parameters() if parameter.requires_grad}


@torch.no_grad()
def load_trained_state(model: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Put back what :func:`trained_state` gave.

    Raises:
        KeyError, RuntimeError: it is that of another adapter.
    """
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.copy_(state[name])
