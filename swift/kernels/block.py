"""A whole decoder block as one operator with a forward and a backward written by hand.

    h1 = norm(x) w1;  q|k|v = rotate(h1 Wqkv^T + b);  o = attention(q, k, v) of each document
    x2 = x + o Wo^T;  h2 = norm(x2) w2;  g|u = h2 Wgu^T;  y = x2 + (act(g) * u) Wd^T

with LoRA adapters on any of the layers (:mod:`swift.kernels.linear_group`). What autograd would do in a hundred small
steps is done in few: projections of one input are one matmul and so is their gradient, residual sums happen inside the
norms and their backwards, the gradient of g|u takes the place of g|u, adapters ride along, and nothing is saved that
can be made again by one cheap pass.

Saved a token and block, in numbers (D hidden, Q = heads * head size, K = key heads * head size, I inner size, E the
adapters' columns, at rank r 7 r):

    recompute     saved                                            made again in the backward
    none          4 D + 2 Q + 2 K + 2 I + E   everything             the activation (inside its backward)
    light         2 D + 2 Q + 2 K + 2 I + E                          and the two norms
    selective     2 D + 2 Q + 2 K + E                                and g|u
    full          D                                                  everything but the last matmul

It knows neither models nor adapters' classes: :mod:`swift.trainers.blocks` puts it into a model.

Ideas from: llmq (recompute of norms and activations), unsloth (gradients in the place of activations), Megatron-LM
(selective recompute, arXiv 2205.05198).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from swift.kernels.gated import gated, gated_backward
from swift.kernels.linear_group import LinearGroup
from swift.kernels.lora import Drop
from swift.kernels.norm import add_rms_norm, rms_norm, rms_norm_backward
from swift.kernels.offload import HostMemory, Kept
from swift.kernels.rotary import rotate, rotate_backward
from swift.kernels.varlen import Documents, attend

Recompute = Literal['none', 'light', 'selective', 'full']


@dataclass(frozen=True)
class BlockSpec:
    """What the parts of a block do.

    Attributes:
        heads, kv_heads, head_dim: of the attention.
        eps: of the norms.
        activation: of the gate, as :func:`swift.kernels.gated.gated` names it.
        norm_offset: norms multiply by (offset + weight); 1 for Gemma.
        scale: of the attention's scores; None is one over the root of head_dim.
        window: tokens that a token sees, itself included; None is all before it.
        rotates: False for blocks without positions.
        interleaved: pairs of the rotation lie side by side.
    """

    heads: int
    kv_heads: int
    head_dim: int
    eps: float
    activation: str = 'silu'
    norm_offset: float = 0.0
    scale: float | None = None
    window: int | None = None
    rotates: bool = True
    interleaved: bool = False


@dataclass(frozen=True)
class Norms:
    """Weights of the norms: before the attention, before the gated layers; of each head of q and k where there are."""

    first: nn.Parameter
    second: nn.Parameter
    q: nn.Parameter | None = None
    k: nn.Parameter | None = None


@dataclass(frozen=True)
class DecoderBlock:
    """Weights and kind of one block."""

    spec: BlockSpec
    norms: Norms
    qkv: LinearGroup
    out: LinearGroup
    gate_up: LinearGroup
    down: LinearGroup

    @property
    def groups(self) -> tuple[LinearGroup, LinearGroup, LinearGroup, LinearGroup]:
        return self.qkv, self.out, self.gate_up, self.down

    def parameters(self) -> list[nn.Parameter | None]:
        """All parameters, in the order of the gradients of :func:`_backward`."""
        norms = [self.norms.first, self.norms.second, self.norms.q, self.norms.k]
        return norms + [parameter for group in self.groups for parameter in group.parameters()]


def run_block(block: DecoderBlock, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, documents: Documents, *,
              training: bool, recompute: Recompute = 'light', offload: HostMemory | None = None) -> torch.Tensor:
    """The block on packed rows.

    Args:
        block: :meth:`LinearGroup.copies` of its groups were made since its adapters changed.
        x: [N, D], the tokens of all documents one after another, in the dtype of the weights.
        cos, sin: [N, rotated dimensions] of each token's position.
        documents: where each document begins.
        training: dropout is on.
        recompute: see the top of the file.
        offload: where x waits for the backward when recompute is 'full'; None is the device.

    Returns:
        [N, D], differentiable once in x and in the parameters that want a gradient.
    """
    drops = _draw(block) if training else (None,) * 4
    task = _Task(block, cos, sin, documents, drops, recompute, offload)
    with torch.autocast(x.device.type, enabled=False):
        if not torch.is_grad_enabled():
            return _forward(task, x, _Saved(x), graph=False)
        return _Block.apply(x, task, *block.parameters())


@dataclass(frozen=True)
class _Task:
    block: DecoderBlock
    cos: torch.Tensor
    sin: torch.Tensor
    documents: Documents
    drops: tuple[Drop | None, ...]
    recompute: Recompute
    offload: HostMemory | None


@dataclass
class _Saved:
    """Between forward and backward; each part is let go as soon as the backward has used it."""

    x: torch.Tensor | None
    h1: torch.Tensor | None = None
    rstd1: torch.Tensor | None = None
    xa_qkv: torch.Tensor | None = None
    qkv: torch.Tensor | None = None  # before the norms of heads, where there are
    head_rstd: torch.Tensor | None = None
    qkv_leaves: tuple[torch.Tensor, ...] = ()
    attended: torch.Tensor | None = None  # with the graph of the attention alone
    xa_out: torch.Tensor | None = None
    x2: torch.Tensor | None = None
    rstd2: torch.Tensor | None = None
    h2: torch.Tensor | None = None
    xa_gate_up: torch.Tensor | None = None
    gate_up: torch.Tensor | None = None
    xa_down: torch.Tensor | None = None
    used: bool = field(default=False)


def _draw(block: DecoderBlock) -> tuple[Drop | None, ...]:
    """Seeds from the CPU's generator: no device waits, and whoever restores its state gets the same masks."""
    if not any(group.dropout for group in block.groups):
        return (None,) * 4
    seeds = torch.randint(2**31 - 1, (4,)).tolist()
    return tuple(Drop(group.dropout, seed) if group.dropout else None
                 for group, seed in zip(block.groups, seeds, strict=True))


class _Block(torch.autograd.Function):

    @staticmethod
    def forward(ctx, x: torch.Tensor, task: _Task, *parameters: torch.Tensor | None) -> torch.Tensor:
        ctx.task = task
        ctx.saved = saved = _Saved(x)
        ctx.wants_x = x.requires_grad
        ctx.kept = None
        if task.recompute == 'full':
            if task.offload is not None:
                saved.x, ctx.kept = None, task.offload.put(x)
            return _forward(task, x, _Saved(x), graph=False)
        y = _forward(task, x, saved)
        if task.recompute != 'none':
            saved.h1 = saved.h2 = None
        if task.recompute == 'selective':
            saved.gate_up = None
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy: torch.Tensor):
        saved, task = ctx.saved, ctx.task
        if saved.used:
            raise RuntimeError('The gradient of a block was taken a second time; what it saves is used up by the '
                               'first.')
        if ctx.kept is not None:
            kept: Kept = ctx.kept
            saved.x, ctx.kept = task.offload.get(kept), None
        if task.recompute == 'full':
            _forward(task, saved.x, saved, last=False)
        saved.used = True
        dx, grads = _backward(task, saved, dy.contiguous(), ctx.wants_x)
        return dx, None, *grads


def _forward(task: _Task, x: torch.Tensor, saved: _Saved, *, last: bool = True,
             graph: bool = True) -> torch.Tensor | None:
    """The whole block; without ``last`` only what the backward reads, without ``graph`` nothing for a backward."""
    block, spec, (drop_qkv, drop_out, _, drop_down) = task.block, task.block.spec, task.drops
    saved.h1, saved.rstd1 = _normed(block.qkv, x, block.norms.first, spec)
    qkv, saved.xa_qkv = block.qkv.forward(saved.h1, drop_qkv)
    _attention(task, qkv, saved, graph)
    o = saved.attended.detach().flatten(1)
    branch, saved.xa_out = block.out.forward(o, drop_out)
    h2 = block.gate_up.buffer(x.shape[0])
    saved.x2, _, saved.rstd2 = add_rms_norm(x, branch, block.norms.second, spec.eps, offset=spec.norm_offset,
                                            out=h2[:, :block.gate_up.inputs])
    del branch
    saved.h2 = h2
    _gate_up(task, saved)
    if not last and not block.down.columns:
        return None
    buffer = block.down.buffer(x.shape[0])
    act = gated(saved.gate_up, spec.activation, out=buffer[:, :block.down.inputs])
    if not last:
        saved.xa_down = block.down.down_only(act, drop_down)
        return None
    y, saved.xa_down = block.down.forward(buffer, drop_down)
    return y.add_(saved.x2)


def _normed(group: LinearGroup, x: torch.Tensor, weight: torch.Tensor,
            spec: BlockSpec) -> tuple[torch.Tensor, torch.Tensor]:
    buffer = group.buffer(x.shape[0])
    _, rstd = rms_norm(x, weight, spec.eps, offset=spec.norm_offset, out=buffer[:, :group.inputs])
    return buffer, rstd


def _gate_up(task: _Task, saved: _Saved) -> None:
    saved.gate_up, saved.xa_gate_up = task.block.gate_up.forward(saved.h2, task.drops[2])


def _attention(task: _Task, qkv: torch.Tensor, saved: _Saved, graph: bool) -> None:
    """Rotates and attends; keeps a graph of the attention alone, so that every implementation of it serves."""
    spec, norms = task.block.spec, task.block.norms
    heads, kv_heads, size = spec.heads, spec.kv_heads, spec.head_dim
    split = heads * size, kv_heads * size, kv_heads * size
    if norms.q is not None:
        qk, saved.head_rstd = rotate(qkv, task.cos, task.sin, heads=(heads, kv_heads), head_dim=size,
                                     interleaved=spec.interleaved, q_weight=norms.q, k_weight=norms.k, eps=spec.eps,
                                     offset=spec.norm_offset)
        saved.qkv = qkv
        q, k = qk.split(split[:2], 1)
        v = qkv[:, -split[2]:]
    else:
        if spec.rotates:
            rotate(qkv, task.cos, task.sin, heads=(heads, kv_heads), head_dim=size, interleaved=spec.interleaved)
        q, k, v = qkv.split(split, 1)
    saved.qkv_leaves = tuple(part.view(len(part), -1, size).detach().requires_grad_(graph) for part in (q, k, v))
    with torch.set_grad_enabled(graph):
        saved.attended = attend(*saved.qkv_leaves, task.documents, scale=spec.scale, window=spec.window)


def _attention_backward(task: _Task, saved: _Saved, do: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Gradient of q|k|v [N, (heads + 2 kv_heads) * head_dim] before norms and rotation, and of the norms of heads."""
    spec, norms = task.block.spec, task.block.norms
    dq, dk, dv = torch.autograd.grad(saved.attended, saved.qkv_leaves, do.view_as(saved.attended))
    saved.attended, saved.qkv_leaves = None, ()
    if norms.q is None and not spec.rotates:
        return torch.cat([part.flatten(1) for part in (dq, dk, dv)], 1), None, None
    trained = norms.q is not None and (norms.q.requires_grad or norms.k.requires_grad)
    found = rotate_backward(dq, dk, dv, task.cos, task.sin, interleaved=spec.interleaved, qkv=saved.qkv,
                            rstd=saved.head_rstd, q_weight=norms.q, k_weight=norms.k, offset=spec.norm_offset,
                            weight_grad=trained)
    saved.qkv = saved.head_rstd = None
    return found


def _backward(task: _Task, saved: _Saved, dy: torch.Tensor,
              wants_x: bool) -> tuple[torch.Tensor | None, list[torch.Tensor | None]]:
    """``dy`` [N, D] -> the gradients of x and of the parameters, in their order."""
    block, spec, norms = task.block, task.block.spec, task.block.norms
    drop_qkv, drop_out, drop_gate_up, drop_down = task.drops

    down = block.down
    if saved.gate_up is None:
        saved.h2 = block.gate_up.buffer(len(dy))
        rms_norm(saved.x2, norms.second, spec.eps, offset=spec.norm_offset,
                 out=saved.h2[:, :block.gate_up.inputs])
        _gate_up(task, saved)
    low = down.low(dy)
    da = down.input_grad(dy, low, drop_down)
    dgu = gated_backward(da, saved.gate_up, spec.activation, out=saved.gate_up,
                         act_out=da if down.needs_input() else None)  # from here on da is the activation
    of_down = down.parameter_grads(dy, da, saved.xa_down, low, drop_down)
    saved.gate_up = saved.xa_down = None
    del da, low

    dh2, of_gate_up = _group_backward(block.gate_up, dgu, saved.xa_gate_up, drop_gate_up, lambda: _again(
        saved.h2, saved.x2, norms.second, spec, block.gate_up))
    del dgu
    dx2, of_second = rms_norm_backward(dh2, saved.x2, norms.second, saved.rstd2, offset=spec.norm_offset, residual=dy,
                                       weight_grad=norms.second.requires_grad)
    saved.h2 = saved.x2 = saved.xa_gate_up = None
    del dh2

    o = saved.attended.detach().flatten(1)
    do, of_out = _group_backward(block.out, dx2, saved.xa_out, drop_out, lambda: o)
    dqkv, of_q, of_k = _attention_backward(task, saved, do)
    del do
    dh1, of_qkv = _group_backward(block.qkv, dqkv, saved.xa_qkv, drop_qkv, lambda: _again(
        saved.h1, saved.x, norms.first, spec, block.qkv), wants_input=wants_x or norms.first.requires_grad)
    del dqkv
    dx, of_first = None, None
    if dh1 is not None:
        dx, of_first = rms_norm_backward(dh1, saved.x, norms.first, saved.rstd1, offset=spec.norm_offset, residual=dx2,
                                         weight_grad=norms.first.requires_grad)
    saved.x = saved.h1 = saved.xa_qkv = saved.xa_out = None
    of_norms = [None if grad is None else grad.to(weight.dtype) for grad, weight in
                zip((of_first, of_second, of_q, of_k), (norms.first, norms.second, norms.q, norms.k), strict=True)]
    return dx if wants_x else None, of_norms + of_qkv + of_out + of_gate_up + of_down


def _group_backward(group: LinearGroup, dy: torch.Tensor, xa: torch.Tensor | None, drop: Drop | None,
                    source: Callable[[], torch.Tensor],
                    wants_input: bool = True) -> tuple[torch.Tensor | None, list[torch.Tensor | None]]:
    """Gradients of a group's input and parameters; ``source`` gives its input again."""
    low = group.low(dy)
    x = source() if group.needs_input() else None
    grads = group.parameter_grads(dy, x, xa, low, drop)
    del x
    return group.input_grad(dy, low, drop) if wants_input else None, grads


def _again(kept: torch.Tensor | None, x: torch.Tensor, weight: torch.Tensor, spec: BlockSpec,
           group: LinearGroup) -> torch.Tensor:
    """The normed input of a group [N, D]: as it was kept, or made again."""
    if kept is not None:
        return kept[:, :group.inputs]
    return rms_norm(x, weight, spec.eps, offset=spec.norm_offset)[0]
