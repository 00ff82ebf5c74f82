"""Linear layers with LoRA that read the same input, as one operator.

    y_l = x W_l^T + bias_l + sum_i s_i (k_i * x) A_i^T B_i^T        i: adapters of layer l, k_i: dropout mask / (1 - p)

    dx   = sum_l dy_l W_l + sum_i k_i * (s_i dy B_i) A_i
    dA_i = (s_i dy B_i)^T (k_i * x)        dB_i = s_i dy^T (k_i * x) A_i^T        dW_l = dy_l^T x

x is read once for the A's of all layers, B's part is added into y by the matmul itself, and dx is one sum over the
layers. Saved are x, which whoever made it has anyway, and xA [N, r]; masks come again from their seed, and a quantised
weight is made dense in the forward and once more in the backward, never kept.

Ideas from: peft (what is computed), unsloth and axolotl (one operator, the sum inside the matmul), LoRAFusion
(arXiv 2510.00206: dropout from a seed), DoRA (arXiv 2402.09353).

In this file: N tokens, D width, r rank. It knows nothing about models, modules or peft.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from swift.kernels.backend import Backend
from swift.kernels.lora import MOST_GROUPS, Drop, a_grad, b_grad, down, new_seed, up_grad

Dense = Callable[[torch.dtype], torch.Tensor]
"""Makes a quantised weight dense: [out, D] in the dtype that it is asked for."""


@dataclass(frozen=True)
class Adapter:
    """What is added to a layer.

    Attributes:
        a: [r, D].
        b: [out, r].
        scaling: s, alpha / r (alpha / sqrt(r) with rsLoRA).
        p: probability of dropout of the input; 0 in evaluation.
    """

    a: torch.Tensor
    b: torch.Tensor
    scaling: float = 1.0
    p: float = 0.0


@dataclass(frozen=True)
class Layer:
    """A linear layer.

    Attributes:
        weight: [out, D]; or what makes it dense, which gets no gradient; or None where ``output`` is given.
        adapters: any number.
        bias: [out] or None.
        output: [..., out] what another library computed for this layer; the sum with the adapters' part is new.
    """

    weight: torch.Tensor | Dense | None
    adapters: tuple[Adapter, ...] = ()
    bias: torch.Tensor | None = None
    output: torch.Tensor | None = None

    def __post_init__(self) -> None:
        if (self.weight is None) == (self.output is None):
            raise ValueError('A layer has either a weight or a given output.')


def lora_linear(x: torch.Tensor, layers: Sequence[Layer], *, backend: Backend | None = None) -> list[torch.Tensor]:
    """The outputs of layers that read the same ``x``.

    Args:
        x: [..., D].
        layers: see :class:`Layer`. Under autocast their tensors may have any dtype, and it is computed in that of
            autocast; without it all must have the dtype of ``x``.
        backend: who drops out; None takes :func:`swift.kernels.lora.choose_backend`.

    Returns:
        [..., out] for each layer, differentiable once in ``x`` and in every tensor of the layers.

    Raises:
        ValueError: shapes or dtypes don't fit.
    """
    device = x.device.type
    autocast = torch.is_autocast_enabled(device) and x.dtype != torch.float64
    dtype = torch.get_autocast_dtype(device) if autocast else x.dtype
    bases: list[torch.Tensor | None] = []
    adapters: list[torch.Tensor] = []
    parts: list[_Part] = []
    for number, layer in enumerate(layers):
        bases += [layer.weight if isinstance(layer.weight, torch.Tensor) else None, layer.bias, layer.output]
        for adapter in layer.adapters:
            adapters += [adapter.a, adapter.b]
            parts.append(_Part(number, adapter.a.shape[0], adapter.scaling, adapter.p))
    if not autocast:
        _check_dtypes(x, bases + adapters)
    groups = tuple(_Group(members, rank, Drop(p, new_seed()) if p else None)
                   for members, rank, p in _grouped(tuple(parts)))
    plan = _Plan(dtype, tuple(None if isinstance(layer.weight, torch.Tensor) else layer.weight for layer in layers),
                 tuple(parts), groups, backend, torch.is_grad_enabled())
    with _without_autocast(device):
        return list(_LoraLinear.apply(plan, x, *bases, *adapters))


class _Part(NamedTuple):
    """An adapter without its tensors."""

    layer: int
    rank: int
    scaling: float
    p: float


class _Group(NamedTuple):
    """Adapters that pass over x together."""

    members: tuple[int, ...]  # places among all adapters
    rank: int  # the largest of theirs; A and xA of the others are padded to it
    drop: Drop | None


class _Plan(NamedTuple):
    dtype: torch.dtype
    dense: tuple[Dense | None, ...]  # for each layer
    parts: tuple[_Part, ...]
    groups: tuple[_Group, ...]
    backend: Backend | None
    with_gradient: bool


@functools.lru_cache(maxsize=1024)
def _grouped(parts: tuple[_Part, ...]) -> list[tuple[tuple[int, ...], int, float]]:
    """(members, largest rank, p) of the groups: adapters of one p, four at a time where they drop out."""
    found = []
    for p in dict.fromkeys(part.p for part in parts):
        members = tuple(index for index, part in enumerate(parts) if part.p == p)
        step = MOST_GROUPS if p else len(members)
        for begin in range(0, len(members), step):
            some = members[begin:begin + step]
            found.append((some, max(parts[index].rank for index in some), p))
    return found


def _check_dtypes(x: torch.Tensor, tensors: list[torch.Tensor | None]) -> None:
    for tensor in tensors:
        if tensor is not None and tensor.dtype != x.dtype:
            raise ValueError(f'x is {x.dtype} and a tensor of a layer {tensor.dtype}; without autocast they must be '
                             'the same.')


def _without_autocast(device: str) -> AbstractContextManager:
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()


class _LoraLinear(torch.autograd.Function):
    """``tensors``: weight, bias and given output of each layer, then A and B of each adapter; None where there is none.
    """

    @staticmethod
    def forward(ctx, plan: _Plan, x: torch.Tensor, *tensors: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
        first = 3 * len(plan.dense)  # place of the first A
        rows = x.reshape(-1, x.shape[-1]).to(plan.dtype)  # (N, D)
        lows = [down(rows, _joined(plan, group, tensors[first::2]), groups=len(group.members), drop=group.drop,
                     backend=plan.backend) for group in plan.groups]  # xA, (N, G * r)
        outputs = [_base(plan, layer, x.shape, rows, *tensors[3 * layer:3 * layer + 3])
                   for layer in range(len(plan.dense))]
        for group, low in zip(plan.groups, lows, strict=True):
            for place, index in enumerate(group.members):
                part, b = plan.parts[index], tensors[first + 2 * index + 1].to(plan.dtype)
                y = outputs[part.layer]
                y.view(-1, y.shape[-1]).addmm_(_slice(low, group, place, part), b.t(), alpha=part.scaling)
        if plan.with_gradient:
            needs = ctx.needs_input_grad[2:]
            needs_rows = any(needs[:first:3]) or any(needs[first::2])
            needs_lows = any(needs[first + 1::2])
            ctx.save_for_backward(rows if needs_rows else None, *(lows if needs_lows else [None] * len(lows)),
                                  *tensors[:first:3], *tensors[first:])
        ctx.plan, ctx.shape, ctx.device = plan, x.shape, x.device.type
        ctx.dtypes = [None if tensor is None else tensor.dtype for tensor in (x, *tensors)]
        ctx.set_materialize_grads(False)
        return tuple(outputs)  # none is a view: a model may scale its queries in place

    @staticmethod
    @once_differentiable
    def backward(ctx, *above: torch.Tensor | None):
        plan: _Plan = ctx.plan
        layers, first = len(plan.dense), 3 * len(plan.dense)
        rows, *saved = ctx.saved_tensors
        lows, weights, adapters = (saved[:len(plan.groups)], saved[len(plan.groups):len(plan.groups) + layers],
                                   saved[len(plan.groups) + layers:])
        needs_x, *needs = ctx.needs_input_grad[1:]
        grads: list[torch.Tensor | None] = [None] * len(needs)
        with _without_autocast(ctx.device):
            dys = [None if dy is None else dy.reshape(-1, dy.shape[-1]).to(plan.dtype) for dy in above]
            dx = _through_weights(plan, weights, dys) if needs_x else None
            for layer, dy in enumerate(dys):
                if dy is None:
                    continue
                if needs[3 * layer]:
                    grads[3 * layer] = b_grad(dy, rows, ctx.dtypes[1 + 3 * layer])
                if needs[3 * layer + 1]:
                    grads[3 * layer + 1] = dy.sum(0, dtype=torch.promote_types(plan.dtype, torch.float32))
                if needs[3 * layer + 2]:
                    grads[3 * layer + 2] = above[layer]
            for group, xa in zip(plan.groups, lows, strict=True):
                low = _low(plan, group, adapters[1::2], dys)
                if low is None:
                    continue
                a = _joined(plan, group, adapters[::2])
                if any(needs[first + 2 * index] for index in group.members):
                    da = a_grad(low, rows, groups=len(group.members), drop=group.drop, backend=plan.backend,
                                out_dtype=torch.promote_types(plan.dtype, torch.float32))
                for place, index in enumerate(group.members):
                    part = plan.parts[index]
                    if dys[part.layer] is None:
                        continue
                    if needs[first + 2 * index]:
                        grads[first + 2 * index] = da[place * group.rank:place * group.rank + part.rank]
                    if needs[first + 2 * index + 1]:
                        db = b_grad(dys[part.layer], _slice(xa, group, place, part),
                                    torch.promote_types(plan.dtype, torch.float32))
                        grads[first + 2 * index + 1] = db.mul_(part.scaling)
                if needs_x:
                    begins = dx is None
                    dx = low.new_empty(low.shape[0], a.shape[1]) if begins else dx
                    up_grad(low, a, dx, groups=len(group.members), drop=group.drop, overwrite=begins,
                            backend=plan.backend)
        dx = None if dx is None else dx.view(ctx.shape)
        return None, *(None if grad is None else grad.to(dtype)
                       for grad, dtype in zip((dx, *grads), ctx.dtypes, strict=True))


def _base(plan: _Plan, layer: int, shape: torch.Size, rows: torch.Tensor, weight: torch.Tensor | None,
          bias: torch.Tensor | None, output: torch.Tensor | None) -> torch.Tensor:
    """[..., out], contiguous, that may be written to and is a view of nothing; ``shape`` is that of the input."""
    if output is not None:
        return output.to(plan.dtype, copy=True, memory_format=torch.contiguous_format)
    w = plan.dense[layer](plan.dtype) if weight is None else weight.to(plan.dtype)
    y = rows.new_empty(*shape[:-1], w.shape[0])
    if bias is None:
        torch.mm(rows, w.t(), out=y.view(-1, w.shape[0]))
    else:
        torch.addmm(bias.to(plan.dtype), rows, w.t(), out=y.view(-1, w.shape[0]))
    return y


def _through_weights(plan: _Plan, weights: Sequence[torch.Tensor | None],
                     dys: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    """``sum_l dy_l W_l``; None where no layer has a weight here."""
    dx = None
    for dense, weight, dy in zip(plan.dense, weights, dys, strict=True):
        if dy is None or (dense is None and weight is None):
            continue
        w = dense(plan.dtype) if weight is None else weight.to(plan.dtype)
        dx = torch.mm(dy, w) if dx is None else dx.addmm_(dy, w)
        del w  # a dense copy is gone before the next one is made
    return dx


def _low(plan: _Plan, group: _Group, bs: Sequence[torch.Tensor],
         dys: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    """``s_i dy B_i`` of the members side by side, [N, G * r]; None where no gradient comes to any of them."""
    some = next((dys[plan.parts[index].layer] for index in group.members if dys[plan.parts[index].layer] is not None),
                None)
    if some is None:
        return None
    low = some.new_empty(some.shape[0], len(group.members) * group.rank)
    for place, index in enumerate(group.members):
        part, dy = plan.parts[index], dys[plan.parts[index].layer]
        if part.rank < group.rank or dy is None:
            low[:, place * group.rank:(place + 1) * group.rank] = 0
        if dy is not None:
            here = _slice(low, group, place, part)
            torch.addmm(here, dy, bs[index].to(plan.dtype), beta=0, alpha=part.scaling, out=here)
    return low


def _joined(plan: _Plan, group: _Group, matrices: Sequence[torch.Tensor]) -> torch.Tensor:
    """The A of a group under each other, [G * r, D] in the dtype that is computed in."""
    found = []
    for index in group.members:
        a = matrices[index].to(plan.dtype)
        found.append(a if a.shape[0] == group.rank else F.pad(a, (0, 0, 0, group.rank - a.shape[0])))
    return found[0] if len(found) == 1 else torch.cat(found)


def _slice(low: torch.Tensor, group: _Group, place: int, part: _Part) -> torch.Tensor:
    """The columns of one member."""
    return low[:, place * group.rank:place * group.rank + part.rank]
