"""How many floating-point operations training one token of a model needs: those of its matrix products.

A linear layer with N weights costs 2 N a token in the forward, 2 N for the gradient of its input and 2 N for that of
its weight. So full training costs 6 N, an adapter 4 N for the frozen weight and 6 N' for its own, and layers below the
lowest trained one 2 N. Attention between a query and a key costs ``2 heads (d_qk + d_v)`` in the forward and twice that
in the backward; a document of length l has ``l^2 / 2`` such pairs, or ``w l - w^2 / 2`` with a window w < l. The output
head counts for trained tokens only: the others need no logits.

What is computed twice to save memory, padding and everything that is no matrix product (norms, activations, softmax,
the optimizer) count nothing. These are the conventions of PaLM (arXiv 2204.02311, appendix B) with the causal half of
attention, as llmq and torchtune count.

It knows modules and configurations of transformers models, nothing of batches or devices.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

_ACTIVE_EXPERTS = ('num_experts_per_tok', 'top_k_experts', 'moe_topk', 'moe_top_k')
_BLOCK = re.compile(r'(?:^|\.)(\d+)(?:\.|$)')
_EXPERT = re.compile(r'(.*\bexperts)(?:\.(\d+))?(?:\.|$)')
_GATED = re.compile(r'\b(gate_proj|up_proj|gate_up_proj)\b')
_WITHOUT_PAIRS = ('linear_attention', 'mamba', 'conv', 'recurrent', 'moe', 'mlp')  # kinds of layers without attention
_BEFORE_BLOCKS = -1.0


@dataclass(frozen=True)
class AttentionWork:
    """FLOPs of a pair of query and key, summed over the layers with one window.

    Attributes:
        window: keys that a query sees at most, itself included; None for all before it.
        total: forward and, where one is needed, backward.
        again: forward of the layers that have a backward.
    """

    window: int | None
    total: float
    again: float


@dataclass(frozen=True)
class TokenWork:
    """What training costs.

    Attributes:
        linear: FLOPs a token in linear layers, the output head aside.
        head: FLOPs a trained token in the output head.
        attention: see :class:`AttentionWork`.
        again: FLOPs a token of the forward of linear layers in blocks that have a backward: what recomputing whole
            blocks adds, beside ``AttentionWork.again``.
        again_gated: the part of it in gate and up projections.
    """

    linear: float
    head: float
    attention: tuple[AttentionWork, ...]
    again: float
    again_gated: float

    def flops(self, lengths: np.ndarray, trained: float) -> float:
        """FLOPs of training documents of these lengths, with so many trained tokens."""
        pairs = sum(part.total * attended_pairs(lengths, part.window) for part in self.attention)
        return float(self.linear * lengths.sum() + self.head * trained + pairs)

    def recomputed(self, lengths: np.ndarray, policy: str) -> float:
        """FLOPs that a policy of recomputing adds ('none', 'light', 'selective', 'full')."""
        if policy == 'full':
            return float(self.again * lengths.sum()
                         + sum(part.again * attended_pairs(lengths, part.window) for part in self.attention))
        return float(self.again_gated * lengths.sum()) if policy == 'selective' else 0.0


def attended_pairs(lengths: np.ndarray, window: int | None) -> float:
    """``sum of l^2 / 2``, or ``w l - w^2 / 2`` for a document that is longer than the window w."""
    lengths = np.asarray(lengths, dtype=np.float64)
    seen = lengths if window is None else np.minimum(lengths, window)
    return float((seen * lengths - seen * seen / 2).sum())


def token_work(model: PreTrainedModel, trains_before: bool = False) -> TokenWork | None:
    """Count a model as it is about to be trained.

    Args:
        model: a causal language model without wrappers; adapters may be inside. On any device, meta included.
        trains_before: something outside of it, in front of its first block, is trained (virtual tokens).

    Returns:
        None where it can't be told: a mixture of experts whose configuration names no number of active ones.
    """
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    values = config_values(model.config)
    active = next((values[name] for name in _ACTIVE_EXPERTS if isinstance(values.get(name), int)), None)
    lowest = _BEFORE_BLOCKS if trains_before else _lowest_trained_block(model, decoder, head)
    linear = again = again_gated = 0.0
    for name, size, trained, experts in _matrices(decoder):
        if experts and active is None:
            return None
        size *= min(active / experts, 1.0) if experts else 1.0
        has_backward = _block(name, math.inf) >= lowest
        linear += size * (2 + 2 * has_backward + 2 * trained)
        if has_backward and _block(name, None) is not None:
            again += 2 * size
            again_gated += 2 * size * bool(_GATED.search(name))
    of_head = sum(size * (4 + 2 * trained) for _, size, trained, _ in _matrices(head)) if head is not None else 0.0
    return TokenWork(linear, of_head, _attention(values, lowest), again, again_gated)


def config_values(config: PreTrainedConfig) -> dict[str, Any]:
    """Values of the configuration of the language model, under the usual names where a model has its own (GPT-2)."""
    text = config.get_text_config(decoder=True)
    values = text.to_dict()
    return values | {usual: values[own] for usual, own in text.attribute_map.items() if own in values}


def head_dims(values: dict[str, Any]) -> tuple[int, int]:
    """Width of one head's queries and keys, and of its values."""
    if values.get('qk_nope_head_dim') and values.get('v_head_dim'):  # multi-head latent attention
        return values['qk_nope_head_dim'] + (values.get('qk_rope_head_dim') or 0), values['v_head_dim']
    one = values.get('head_dim') or values['hidden_size'] // values['num_attention_heads']
    return one, one


def _block(name: str, otherwise: float | None) -> float | None:
    """The number of the block that a module of the decoder is in ('layers.3.mlp.up_proj': 3)."""
    match = _BLOCK.search(name)
    return float(match[1]) if match else otherwise


def _lowest_trained_block(model: nn.Module, decoder: nn.Module, head: nn.Module | None) -> float:
    """Number of the lowest block that needs a backward: -1 with all of them, infinite with none.

    The whole of the lowest one counts, though what comes before its first trained weight needs no backward.
    """
    inside = {id(parameter) for parameter in decoder.parameters()}
    of_head = {id(parameter) for parameter in head.parameters()} if head is not None else set()
    if any(parameter.requires_grad and id(parameter) not in inside | of_head for parameter in model.parameters()):
        return _BEFORE_BLOCKS  # a tower or what is between it and the language model
    passed = False
    for name, parameter in decoder.named_parameters():
        number = _block(name, None)
        passed = passed or number is not None
        if parameter.requires_grad:
            return number if number is not None else (math.inf if passed else _BEFORE_BLOCKS)
    return math.inf


def _matrices(root: nn.Module) -> Iterator[tuple[str, int, bool, int]]:
    """Name, number of weights, whether trained, and among how many experts (0: none) of every matrix under ``root``."""
    for name, module in root.named_modules():
        if isinstance(module, nn.Embedding) or '.original_module' in f'.{name}':  # that of peft's modules_to_save
            continue
        own = dict(module.named_parameters(recurse=False))
        sizes = vars(module)
        if isinstance(module, nn.Linear) or (
                {'in_features', 'out_features'} <= sizes.keys() and next(module.children(), None) is None):
            # By its sizes: a quantised weight is packed into another shape
            trained = any(parameter.requires_grad for key, parameter in own.items() if key != 'bias')
            yield name, sizes['in_features'] * sizes['out_features'], trained, _experts(root, name)
            continue
        for key, parameter in own.items():
            if parameter.ndim == 3 and _EXPERT.search(name):  # [E, out, in]
                yield f'{name}.{key}', parameter.numel(), parameter.requires_grad, parameter.shape[0]
            elif parameter.ndim == 2 and not key.endswith('bias'):  # GPT-2's layers, routers
                yield f'{name}.{key}', parameter.numel(), parameter.requires_grad, _experts(root, name)


def _experts(root: nn.Module, name: str) -> int:
    """How many experts a layer is one of; 0 for a layer that every token passes."""
    match = _EXPERT.match(name)
    return len(root.get_submodule(match[1])) if match and match[2] else 0


def _attention(values: dict[str, Any], lowest: float) -> tuple[AttentionWork, ...]:
    layers, heads = values.get('num_hidden_layers'), values.get('num_attention_heads')
    if not isinstance(layers, int) or not isinstance(heads, int) or not isinstance(values.get('hidden_size'), int):
        return ()  # no attention, or a configuration of another kind: its attention counts nothing
    d_qk, d_v = head_dims(values)
    pair = 2.0 * heads * (d_qk + d_v)
    total: Counter[int | None] = Counter()
    again: Counter[int | None] = Counter()
    for layer, kind in enumerate(values.get('layer_types') or [None] * layers):
        if kind in _WITHOUT_PAIRS:
            continue
        window = values.get('attention_chunk_size') if kind == 'chunked_attention' else (
            values.get('sliding_window') if kind in (None, 'sliding_attention') else None)
        total[window] += pair * (3 if layer >= lowest else 1)
        again[window] += pair * (layer >= lowest)
    return tuple(AttentionWork(window, total[window], again[window]) for window in total)
