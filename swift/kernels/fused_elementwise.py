"""RMSNorm and the gated feed-forward layer as modules in the place of a model's own, on one instance, until taken out.

For models whose blocks have no kernel of their own. Parameters and children stay the same objects under their names, so
checkpoints, optimizers and adapters see no difference. It knows no model families: the caller says which modules are
what.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from swift.kernels.gated import Kind, gated_pair, gated_pair_backward
from swift.kernels.norm import rms_norm, rms_norm_backward


def norm_of(x: torch.Tensor, weight: torch.Tensor, eps: float, offset: float = 0.0) -> torch.Tensor:
    """:func:`swift.kernels.norm.rms_norm` of [..., D], differentiable once; saves ``x`` and a number for each row."""
    return _Norm.apply(x, weight, eps, offset)


def gated_of(gate: torch.Tensor, up: torch.Tensor, kind: Kind) -> torch.Tensor:
    """``f(gate) * up`` of [..., I], differentiable once; saves the two."""
    return _Gated.apply(gate, up, kind)


class _Norm(torch.autograd.Function):

    @staticmethod
    def forward(ctx, x: torch.Tensor, weight: torch.Tensor, eps: float, offset: float) -> torch.Tensor:
        rows = _rows(x)
        y, rstd = rms_norm(rows, weight, eps, offset=offset)
        ctx.save_for_backward(rows, weight, rstd)
        ctx.offset = offset
        return y.view(x.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy: torch.Tensor):
        rows, weight, rstd = ctx.saved_tensors
        dx, dweight = rms_norm_backward(_rows(dy), rows, weight, rstd, offset=ctx.offset,
                                        weight_grad=ctx.needs_input_grad[1])
        return dx.view(dy.shape), None if dweight is None else dweight.to(weight.dtype), None, None


class _Gated(torch.autograd.Function):

    @staticmethod
    def forward(ctx, gate: torch.Tensor, up: torch.Tensor, kind: Kind) -> torch.Tensor:
        g, u = _rows(gate), _rows(up)
        ctx.save_for_backward(g, u)
        ctx.kind = kind
        return gated_pair(g, u, kind).view(gate.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx, da: torch.Tensor):
        g, u = ctx.saved_tensors
        # Not in the place of gate and up: a second backward through the same graph would find gradients there.
        dgate, dup = torch.empty_like(g), torch.empty_like(u)
        gated_pair_backward(_rows(da), g, u, ctx.kind, dgate=dgate, dup=dup)
        return dgate.view(da.shape), dup.view(da.shape), None


def _rows(x: torch.Tensor) -> torch.Tensor:
    """[..., D] as [T, D] with the last dimension contiguous."""
    rows = x.reshape(-1, x.shape[-1])
    return rows if rows.shape[1] <= 1 or rows.stride(1) == 1 else rows.contiguous()


class FusedRMSNorm(nn.Module):
    """An RMSNorm that is one kernel forward and one backward.

    The result has the dtype of the input, also where the weight is wider (transformers' Llama gives the wider one).

    Args:
        norm: the layer in whose place it stands; ``weight`` is its own.
        eps: its epsilon.
        offset: what it adds to the weight: 1 for Gemma's, else 0.
    """

    def __init__(self, norm: nn.Module, eps: float, offset: float = 0.0) -> None:
        super().__init__()
        self.weight = norm.get_parameter('weight')
        self.eps, self.offset = eps, offset
        self.train(norm.training)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., D] to the same."""
        return norm_of(x, self.weight, self.eps, self.offset)

    def extra_repr(self) -> str:
        return f'{tuple(self.weight.shape)}, eps={self.eps}, offset={self.offset}'


class FusedGatedMLP(nn.Module):
    """A feed-forward layer ``down_proj(f(gate_proj(x)) * up_proj(x))`` whose activation is one kernel each way.

    Args:
        mlp: the layer in whose place it stands; its three projections become this one's, under their names.
        kind: f.
    """

    def __init__(self, mlp: nn.Module, kind: Kind) -> None:
        super().__init__()
        self.gate_proj = mlp.get_submodule('gate_proj')
        self.up_proj = mlp.get_submodule('up_proj')
        self.down_proj = mlp.get_submodule('down_proj')
        self.kind = kind
        self.train(mlp.training)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., D] to the same."""
        return self.down_proj(gated_of(self.gate_proj(x), self.up_proj(x), self.kind))


@dataclass(frozen=True)
class Replaced:
    """Modules of a model that stand in the place of its own.

    Attributes:
        modules: for each name the model's own module and what stands there.
    """

    model: nn.Module
    modules: dict[str, tuple[nn.Module, nn.Module]]

    def restore(self) -> None:
        """Put the model's own modules back, with the parameters and children of now."""
        for name, (original, fused) in self.modules.items():
            for key, parameter in fused.named_parameters(recurse=False):
                setattr(original, key, parameter)
            for key, child in fused.named_children():
                setattr(original, key, child)
            original.train(fused.training)
            self.model.set_submodule(name, original)


def replace(model: nn.Module, fused: Mapping[str, nn.Module]) -> Replaced:
    """Put modules in the place of those of the same names.

    Raises:
        ValueError: a module has hooks, which would no longer be called; nothing is replaced then.
    """
    originals = {name: model.get_submodule(name) for name in fused}
    for name, module in originals.items():
        if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks:
            raise ValueError(f'{name} has hooks, so no fused module can stand in its place: remove them first.')
    for name, module in fused.items():
        model.set_submodule(name, module)
    return Replaced(model, {name: (originals[name], module) for name, module in fused.items()})
