"""Attention that sees documents, for models of transformers: chosen by name, told about each line by the forward.

A line of several rows reaches the model with its :class:`Documents` and with a mask that says nothing, so that
transformers neither derives a [1, 1, T, T] mask from position ids nor waits for the device to look at them. What is not
such a line (padded batches, generation) goes the way it went before.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.flex_attention import flex_attention_forward
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import eager_mask, flex_attention_mask, sdpa_mask
from transformers.utils import logging as transformers_logging

from swift.kernels.varlen import Documents, Implementation, attend

# what may come beside the tensors and changes nothing in what a line's attention is
_WITHOUT_MEANING = frozenset({
    'cu_seq_lens_q', 'cu_seq_lens_k', 'max_length_q', 'max_length_k', 'position_ids', 'use_cache', 'logits_to_keep',
    'return_dict', 'output_hidden_states', 'output_router_logits', 'cache_position', 'input_ids', 'num_items_in_batch'})


@dataclass(frozen=True)
class _Base:
    """An attention of transformers that can be told about documents.

    Attributes:
        name: under which ours is registered in its place. No name of transformers may be a part of it: it looks.
        implementation: of :func:`swift.kernels.varlen.attend`.
        otherwise: what computes a batch that is no line of documents.
        mask: what makes the masks of those.
    """

    name: str
    implementation: Implementation | None
    otherwise: Callable[..., tuple[Tensor, Tensor | None]]
    mask: Callable[..., Any]


def documents_seen(documents: Documents) -> dict[str, Any]:
    """What the forward of a model is given beside a line: the documents, their usual names, and no mask.

    The mask is an empty [1, 1, 1, 0]: a mask with four dimensions is passed on as it is, and one without a number in it
    fails wherever someone means to use it.
    """
    return {'documents': documents, 'attention_mask': documents.starts.new_zeros((1, 1, 1, 0), dtype=torch.bool),
            'cu_seq_lens_q': documents.starts, 'cu_seq_lens_k': documents.starts,
            'max_length_q': documents.longest, 'max_length_k': documents.longest}


def document_attention(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, *,
                       base: _Base, seen: list[Call] | None = None, documents: Documents | None = None,
                       dropout: float = 0.0, scaling: float | None = None, is_causal: bool | None = None,
                       **kwargs: Any) -> tuple[Tensor, Tensor | None]:
    """An attention function as transformers calls it.

    Args:
        module: the attention layer.
        query: [1, H_q, T, d]; key, value: [1, H_kv, T, d].
        attention_mask: of a batch that is no line of documents.
        base: what computes that.
        seen: what was asked for is noted here.
        documents: of the line, or None.
        dropout, scaling, is_causal: as usual; further ``sliding_window``, ``softcap`` and ``s_aux`` (sinks).

    Returns:
        [1, T, H_q, d], and None for the weights.

    Raises:
        ValueError: the layer asks for something of its attention that this function does not know.
    """
    causal = bool(vars(module).get('is_causal', True) if is_causal is None else is_causal)
    if documents is None:
        return base.otherwise(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling,
                              is_causal=is_causal, **kwargs)
    window, softcap, sinks = (kwargs.pop(name, None) for name in ('sliding_window', 'softcap', 's_aux'))
    _check_known(module, kwargs)
    if query.shape[0] != 1 or query.shape[2] != key.shape[2]:
        raise ValueError(f'Documents are those of one line, got queries {list(query.shape)} and keys '
                         f'{list(key.shape)}')
    if seen is not None:
        seen.append(Call(vars(module).get('layer_idx'), window))
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    out = attend(q, k, v, documents, scale=scaling, window=window, softcap=softcap, sinks=sinks, dropout=dropout,
                 causal=causal, implementation=base.implementation)
    return out[None], None


@dataclass(frozen=True)
class Call:
    """What a layer asked of its attention.

    Attributes:
        layer: its number, or None where it has none.
        window: how many tokens a token sees, or None for all.
    """

    layer: int | None
    window: int | None


def padded_formula(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, *,
                   dropout: float = 0.0, scaling: float | None = None, is_causal: bool | None = None,
                   sliding_window: int | None = None, softcap: float | None = None, s_aux: Tensor | None = None,
                   **kwargs: Any) -> tuple[Tensor, Tensor]:
    """Attention of a padded batch written out, for models whose own way has no name that another function can call.

    The mask is that of :func:`transformers.masking_utils.eager_mask`: [B, 1, T, S], added to the scores. All that is
    causal or a window is in it.
    """
    _check_known(module, kwargs)
    groups = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(groups, 1) if groups > 1 else x for x in (key, value))
    scores = (query @ key.transpose(2, 3)) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if attention_mask is not None:
        scores = scores + attention_mask
    if s_aux is not None:
        scores = torch.cat([scores, s_aux.to(scores.dtype).view(1, -1, 1, 1).expand(*scores.shape[:3], 1)], -1)
    p = scores.softmax(-1, dtype=torch.float32)[..., :key.shape[2]].to(query.dtype)
    p = nn.functional.dropout(p, dropout, module.training)
    return (p @ value).transpose(1, 2).contiguous(), p


def _check_known(module: nn.Module, further: dict[str, Any]) -> None:
    unknown = sorted(name for name, value in further.items()
                     if name not in _WITHOUT_MEANING and value is not None and value is not False)
    if unknown:
        raise ValueError(f'{type(module).__name__} asks for {", ".join(unknown)}, which attention of documents does '
                         'not know')


# By the name that a model has without us. The functions of the packages look for that name in the model: they can't be
# called under another one, so what is no line goes through SDPA there.
_BASES = {'sdpa': _Base('swift_documents', None, sdpa_attention_forward, sdpa_mask),
          'eager': _Base('swift_documents_plain', None, padded_formula, eager_mask),
          'flex_attention': _Base('swift_documents_flex', 'flex', flex_attention_forward, flex_attention_mask),
          'flash_attention_2': _Base('swift_documents_fa2', 'flash_attention_2', sdpa_attention_forward, sdpa_mask),
          'flash_attention_3': _Base('swift_documents_fa3', 'flash_attention_3', sdpa_attention_forward, sdpa_mask)}


@dataclass(frozen=True)
class Switched:
    """Models whose attention sees documents now, and the names of what they had."""

    models: tuple[PreTrainedModel, ...]
    before: tuple[str, ...]

    def restore(self) -> None:
        for model, name in zip(self.models, self.before, strict=True):
            _set(model, name)


def see_documents(model: PreTrainedModel, seen: list[Call] | None = None) -> Switched | str:
    """Let the language model in ``model`` attend by documents, wherever it is told of some.

    The choice is a name in the model's configuration that is never saved.

    Args:
        model: without wrappers.
        seen: for a trial: every call with documents is noted here.

    Returns:
        What undoes it; or why it can't be done, as the end of a sentence.
    """
    text = model.config.get_text_config()
    models = [m for m in model.modules() if isinstance(m, PreTrainedModel) and type(m.config) is type(text)]
    bases = {_registered(m.config._attn_implementation) for m in models}
    if not bases <= _BASES.keys():
        return f'its attention is {" and ".join(sorted(bases - _BASES.keys()))}'
    switched = Switched(tuple(models), tuple(m.config._attn_implementation for m in models))
    for one, name in zip(models, switched.before, strict=True):
        base = _BASES[_registered(name)]
        ours = base.name if seen is None else f'{base.name}_on_trial'
        AttentionInterface.register(ours, functools.partial(document_attention, base=base, seen=seen))
        AttentionMaskInterface.register(ours, base.mask)
        _set(one, ours)
        if one.config._attn_implementation != ours:
            switched.restore()
            return 'its attention can not be chosen by name'
    return switched


def _registered(name: str) -> str:
    """The name of transformers that one of ours stands for."""
    ours = {base.name: theirs for theirs, base in _BASES.items()}
    return ours.get(name.removesuffix('_on_trial'), name)


def _set(model: PreTrainedModel, name: str) -> None:
    """Without the warning to a model that can't: the caller looks."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        model.set_attn_implementation(name)
    finally:
        transformers_logging.set_verbosity(verbosity)
