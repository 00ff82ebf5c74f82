"""The memory model: bytes of a training step by class, before anything is allocated, and which recomputing they allow.

    peak = weights + gradients + optimizer + kept activations + max(head, one block's backward, optimizer's temporaries)

Kept activations are those that wait in memory for the backward. A policy of recomputing says which (a token and block,
D hidden, Q = heads x d, K = kv heads x d, I intermediate, in numbers of the computing type; lse is float32):

    full       D                            the block's input
    selective  2 D + 2 Q + 2 K + lse        and after attention, q, k, v, attention's output
    light      selective + 2 I              gate and up projections
    none       light + 2 D + I              normalised inputs, gated activation

That is what our block kernel keeps. The blocks of transformers keep more (:func:`plain_kept_bytes`) and know ``none``
and ``full`` (gradient checkpointing). No function above the last section needs torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from swift.kernels.loss_head import buffer_bytes

Policy = Literal['none', 'light', 'selective', 'full']
POLICIES: tuple[Policy, ...] = ('none', 'light', 'selective', 'full')  # the cheapest in time first
MARGIN = 0.08
"""Share of the memory that stays free: fragments of the allocator, and what the model doesn't know."""

RESERVE = 600_000_000
"""Bytes of the CUDA context and of the workspaces of cuBLAS and NCCL."""

GIB = 2**30


@dataclass(frozen=True)
class BlockShape:
    """Sizes of one decoder block of the usual kind (attention, gated MLP, a norm before each) and of the whole.

    Attributes:
        hidden, query, key, intermediate: D, Q, K and I above.
        heads: of the queries; ``kv_heads``: of keys and values.
        layers, vocabulary: how many.
        itemsize: bytes of a number that is computed with (2 for bfloat16).
        normed_heads: queries and keys pass a norm (Qwen3).
    """

    hidden: int
    query: int
    key: int
    intermediate: int
    heads: int
    kv_heads: int
    layers: int
    vocabulary: int
    itemsize: int = 2
    normed_heads: bool = False


@dataclass(frozen=True)
class Trained:
    """What is trained.

    Attributes:
        numbers: parameters that are trained; ``itemsize``: bytes of one.
        weights: the matrices of the blocks themselves (full training).
        head: the output head's matrix.
        adapter_inputs, adapter_rank: of the LoRA layers in one block, their inputs and ranks added up.
        mask_bytes: that dropout keeps for a number of an adapter's input: 0 without, 1 on a GPU.
    """

    numbers: int
    itemsize: int
    weights: bool
    head: bool
    adapter_inputs: int = 0
    adapter_rank: int = 0
    mask_bytes: int = 0


@dataclass(frozen=True)
class Run:
    """A training step to be estimated.

    Attributes:
        shape, trained: see there.
        weight_bytes: of all parameters as they are stored.
        optim: the value of ``--optim``.
        tokens: positions of the largest micro-batch of one process.
        block_kernel: blocks are computed by our kernel, so that all policies are there.
        fused_head: the loss is computed without whole logits.
        gradients: there is a buffer for the gradients of all parameters (not with an optimizer in the backward).
    """

    shape: BlockShape
    trained: Trained
    weight_bytes: int
    optim: str
    tokens: int
    block_kernel: bool = False
    fused_head: bool = True
    gradients: bool = True

    @property
    def policies(self) -> tuple[Policy, ...]:
        return POLICIES if self.block_kernel else ('none', 'full')


@dataclass(frozen=True)
class Estimate:
    """Bytes by class at the peak of a step.

    Attributes:
        weights, gradients, optimizer: of parameters, for the whole step.
        activations: kept for the backward.
        passing: the largest of what comes and goes: the head, one block's backward, the optimizer's temporaries.
        reserve: what isn't torch's.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    passing: int
    reserve: int = RESERVE

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.activations + self.passing + self.reserve


def kept_bytes(shape: BlockShape, policy: Policy, adapter_rank: int = 0) -> int:
    """Bytes a token and block that our block kernel keeps; ``xA`` of the adapters is kept where a block's inside is."""
    if policy == 'full':
        return shape.hidden * shape.itemsize
    numbers = 2 * shape.hidden + 2 * shape.query + 2 * shape.key + adapter_rank
    if policy in ('light', 'none'):
        numbers += 2 * shape.intermediate
    if policy == 'none':
        numbers += 2 * shape.hidden + shape.intermediate
    return numbers * shape.itemsize + 4 * shape.heads


def plain_kept_bytes(shape: BlockShape, trained: Trained) -> int:
    """The same for a block of transformers in 16 bits without recomputing, with peft's LoRA in float32.

    Norms keep their input in float32; gate, its activation and up are kept for the product; a trained matrix keeps its
    input, and a trained norm what it scales; each adapter keeps an input of its own, and dropout a mask.
    """
    b = shape.itemsize
    total = 2 * (4 * shape.hidden + 4) + (2 * shape.query + 2 * shape.key + 3 * shape.intermediate) * b
    total += 4 * shape.heads
    if shape.normed_heads:
        total += (shape.query + shape.key) * (4 + b * trained.weights) + 4 * (shape.heads + shape.kv_heads)
    if trained.weights:
        total += (4 * shape.hidden + shape.intermediate) * b
    return total + trained.adapter_inputs * (b + trained.mask_bytes) + trained.adapter_rank * b


def state_bytes(optim: str, numbers: int, itemsize: int) -> int:
    """Bytes of an optimizer's state for so many trained numbers; for one that isn't known those of AdamW."""
    if 'sgd' in optim or 'adafactor' in optim:  # Adafactor keeps rows and columns
        return 0
    each = 1 if '8bit' in optim else 2 if optim.endswith('bf16') else itemsize
    return numbers * each * (1 if any(name in optim for name in ('lion', 'rmsprop', 'adagrad')) else 2)


def estimate(run: Run, policy: Policy) -> Estimate:
    """Bytes of a step under a policy.

    Raises:
        ValueError: the policy needs the block kernel.
    """
    if policy not in run.policies:
        raise ValueError(f'{policy} needs the block kernel; without it there are {", ".join(run.policies)}.')
    shape, trained = run.shape, run.trained
    inside = kept_bytes(shape, 'none', trained.adapter_rank) if run.block_kernel else plain_kept_bytes(shape, trained)
    kept = inside if policy == 'none' else kept_bytes(shape, policy, trained.adapter_rank)
    # One block at a time: what is computed again, and the gradients of its widest part
    backward = inside - kept + (3 * shape.intermediate + 2 * shape.hidden) * shape.itemsize
    of_head = _head_bytes(run) + (0 if run.fused_head else 12 * run.tokens * shape.vocabulary)
    head_grad = trained.head * shape.vocabulary * shape.hidden * 4
    stepping = 0 if 'fused' in run.optim else trained.numbers * trained.itemsize  # a root of all second moments at once
    activations = run.tokens * (kept * shape.layers + 3 * shape.hidden * shape.itemsize)
    gradients = trained.numbers * trained.itemsize if run.gradients else 0
    passing = max(max(of_head, run.tokens * backward) + head_grad, stepping - activations)
    return Estimate(run.weight_bytes, gradients, state_bytes(run.optim, trained.numbers, trained.itemsize), activations,
                    passing)


def choose_recompute(free_bytes: float, run: Run) -> Policy:
    """The policy that costs the least time among those that fit into the memory with a margin; ``full`` if none does.

    Args:
        free_bytes: what training may use, weights included.
    """
    for policy in run.policies:
        if estimate(run, policy).total <= free_bytes * (1 - MARGIN):
            return policy
    return 'full'


def block_shape(values: Mapping[str, Any], itemsize: int, *, normed_heads: bool = False) -> BlockShape | None:
    """Sizes from the values of a configuration; None for a model whose blocks aren't of the usual kind."""
    needed = ('hidden_size', 'intermediate_size', 'num_attention_heads', 'num_hidden_layers', 'vocab_size')
    experts = ('num_experts_per_tok', 'top_k_experts', 'moe_topk', 'moe_top_k', 'qk_nope_head_dim')
    kinds = set(values.get('layer_types') or ()) - {'full_attention', 'sliding_attention', 'chunked_attention'}
    if kinds or any(not isinstance(values.get(name), int) for name in needed) or any(map(values.get, experts)):
        return None
    heads = values['num_attention_heads']
    kv = values.get('num_key_value_heads') or heads
    d = values.get('head_dim') or values['hidden_size'] // heads
    return BlockShape(values['hidden_size'], heads * d, kv * d, values['intermediate_size'], heads, kv,
                      values['num_hidden_layers'], values['vocab_size'], itemsize, normed_heads)


def largest_batch(lengths: Sequence[int], rows: int, *, padded: bool) -> int:
    """Positions of the largest micro-batch of so many rows: the longest rows side by side, or all as long as one."""
    longest = sorted(lengths, reverse=True)[:rows]
    return (rows * longest[0] if padded else sum(longest)) if longest else 0


# ---- with torch: what a model holds

@dataclass(frozen=True)
class Held:
    """Bytes on the device of a model that is trained, by class; gradients as large as they will be."""

    weights: int
    gradients: int
    optimizer: int


def held_bytes(model: nn.Module, optimizer: torch.optim.Optimizer | None, *, gradients: bool = True) -> Held:
    """Count parameters, their gradients and the optimizer's state.

    Args:
        gradients: False where no buffer holds all of them (an optimizer in the backward).
    """
    parameters = list(model.parameters())
    of_gradients = sum(tensor_bytes(p) for p in parameters if p.requires_grad) if gradients else 0
    states = list(_tensors(optimizer.state.values())) if optimizer is not None else []
    return Held(sum(map(tensor_bytes, parameters)), of_gradients,
                sum(tensor_bytes(tensor) for tensor in states if tensor.device.type == parameters[0].device.type))


def tensor_bytes(tensor: torch.Tensor) -> int:
    """Bytes on this device; of a tensor that is spread over devices those of its part."""
    if torch.distributed.is_available():
        from torch.distributed.tensor import DTensor

        if isinstance(tensor, DTensor):
            tensor = tensor.to_local()
    return tensor.numel() * tensor.element_size()


def _tensors(values: Iterable[Any]) -> Iterable[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, dict):
            yield from _tensors(value.values())
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def trained_of(model: nn.Module, layers: int, head: nn.Module | None) -> Trained:
    """What of ``model`` is trained; of the LoRA layers of all blocks the mean of one."""
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    adapters = [p for name, p in trained if '.lora_A.' in name]
    dropout = any(module.p > 0 for name, module in model.named_modules()
                  if isinstance(module, nn.Dropout) and '.lora_dropout.' in name)
    on_cpu = any(p.device.type == 'cpu' for p in adapters)  # where the mask is of the input's type
    return Trained(
        numbers=sum(p.numel() for _, p in trained), itemsize=max((p.element_size() for _, p in trained), default=0),
        weights=any(p.ndim == 2 and '.lora_' not in name and '.layers.' in f'.{name}' for name, p in trained),
        head=head is not None and any(p.requires_grad and p.ndim == 2 for p in head.parameters()),
        adapter_inputs=-(-sum(p.shape[1] for p in adapters) // layers),
        adapter_rank=-(-sum(p.shape[0] for p in adapters) // layers),
        mask_bytes=(4 if on_cpu else 1) * dropout)


def available_bytes(device: torch.device) -> int | None:
    """Memory that this process may have on the device: what is free and what torch has; None where that is unknown."""
    if device.type != 'cuda':
        return None
    return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)


def _head_bytes(run: Run) -> int:
    dtype = {2: torch.bfloat16, 4: torch.float32}[run.shape.itemsize]
    return buffer_bytes(run.tokens, run.tokens, run.shape.hidden, run.shape.vocabulary, dtype) if run.fused_head else 0
