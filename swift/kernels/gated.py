"""The gated activation of a feed-forward layer (SwiGLU, GeGLU), forward and backward, without autograd.

    a = f(g) u
    dg = d u f'(g),  du = d f(g),  d = da + keep (low @ low_weight) / (1 - p)

    silu       f(g) = g s,  s = sigmoid(g)                                       f' = s + g s (1 - s)
    gelu_tanh  f(g) = g s,  s = sigmoid(2 k (g + 0.044715 g^3)), k = sqrt(2/pi)  f' = s + g s (1 - s) s'
    gelu       f(g) = g s,  s = (1 + erf(g / sqrt 2)) / 2                        f' = s + g exp(-g^2 / 2) / sqrt(2 pi)

The second part of d is what a LoRA adapter on the down-projection gives to its input: added here it costs no pass over
[T, I] of its own. Shazeer, GLU variants improve transformer (2020); Hendrycks and Gimpel, Gaussian error linear units
(2016), whose tanh form is written with a sigmoid here: (1 + tanh z) / 2 = sigmoid(2 z). Everything is computed in
float32 (float64 for float64) and rounded once. Gradients in the place of gate and up, and a made again instead of
saved, are ideas of unsloth.

In this file: T rows (tokens), I the width of the layer, r the rank of an adapter. Last dimensions are contiguous, rows
as far apart as they like. It knows nothing about layers and models.
"""

from __future__ import annotations

import math
from typing import Literal

import torch

from swift.kernels.backend import Backend, choose, disagreement
from swift.kernels.dropout import plain_keep_mask

Kind = Literal['silu', 'gelu_tanh', 'gelu']

KINDS: dict[str, Kind] = {'silu': 'silu', 'swish': 'silu', 'gelu': 'gelu', 'gelu_pytorch_tanh': 'gelu_tanh',
                          'gelu_new': 'gelu_tanh', 'gelu_fast': 'gelu_tanh'}
"""The kind for the name of an activation in transformers' configurations (``hidden_act``)."""

_TWO_K = 2 * math.sqrt(2 / math.pi)
_CUBE = 0.044715


def gated(gu: torch.Tensor, kind: Kind, *, out: torch.Tensor | None = None,
          backend: Backend | None = None) -> torch.Tensor:
    """``f(gate) * up``. Moves 3 T I elements.

    Args:
        gu: [T, 2 I], gate in the left half and up in the right.
        kind: f.
        out: [T, I] to write into, or None.
        backend: None takes what :func:`backend_for` says.

    Returns:
        a [T, I] in the dtype of ``gu`` (or of ``out``).

    Raises:
        ValueError: shapes or strides don't fit, or there is no such kind.
    """
    gate, up = _halves('gated', gu)
    return gated_pair(gate, up, kind, out=out, backend=backend)


def gated_pair(gate: torch.Tensor, up: torch.Tensor, kind: Kind, *, out: torch.Tensor | None = None,
               backend: Backend | None = None) -> torch.Tensor:
    """:func:`gated` of two tensors of [T, I]; ``out`` may be one of them."""
    _fit('gated', kind, gate.shape, gate=gate, up=up, out=out)
    out = torch.empty_like(gate, memory_format=torch.contiguous_format) if out is None else out
    if (backend or backend_for(gate)) == 'triton':
        from swift.kernels import gated_triton  # imports triton, which only accelerators have

        gated_triton.forward(gate, up, kind, out)
        return out
    g, u = gate.to(_wide(gate)), up.to(_wide(gate))
    return out.copy_((g * _gate(g, kind)).mul_(u))


def gated_backward(da: torch.Tensor, gu: torch.Tensor, kind: Kind, *, out: torch.Tensor | None = None,
                   act_out: torch.Tensor | None = None, low: torch.Tensor | None = None,
                   low_weight: torch.Tensor | None = None, drop: tuple[float, int] | None = None,
                   backend: Backend | None = None) -> torch.Tensor:
    """The gradient of gate and up, and the activation again. Moves 5 T I elements, with ``act_out`` 6 T I.

    Args:
        da: [T, I], the gradient of a, or what of it is not from an adapter.
        gu: [T, 2 I], as in the forward.
        kind: f.
        out: [T, 2 I] to write into; may be ``gu`` itself.
        act_out: [T, I] that receives a; may be ``da`` itself. None: a is not made.
        low: [T, r], the gradient of the adapter's inner product, its scale in it; None: no adapter.
        low_weight: [r, I], the adapter's A, in the dtype of ``low``.
        drop: probability and seed of the adapter's dropout, whose mask is
            :func:`swift.kernels.dropout_triton.keep_mask` of group 0 (plain: ``plain_keep_mask``); None: no dropout.
        backend: None takes what :func:`backend_for` says.

    Returns:
        dgate | dup, [T, 2 I].

    Raises:
        ValueError: shapes, strides or dtypes don't fit, or there is no such kind.
    """
    gate, up = _halves('gated_backward', gu)
    if out is None:
        out = torch.empty_like(gu, memory_format=torch.contiguous_format)
    dgate, dup = _halves('gated_backward', out)
    gated_pair_backward(da, gate, up, kind, dgate=dgate, dup=dup, act_out=act_out, low=low, low_weight=low_weight,
                        drop=drop, backend=backend)
    return out


def gated_pair_backward(da: torch.Tensor, gate: torch.Tensor, up: torch.Tensor, kind: Kind, *, dgate: torch.Tensor,
                        dup: torch.Tensor, act_out: torch.Tensor | None = None, low: torch.Tensor | None = None,
                        low_weight: torch.Tensor | None = None, drop: tuple[float, int] | None = None,
                        backend: Backend | None = None) -> None:
    """:func:`gated_backward` with gate and up, and their gradients, in tensors of their own; all of [T, I]."""
    _fit('gated_backward', kind, gate.shape, da=da, gate=gate, up=up, dgate=dgate, dup=dup, act_out=act_out)
    _fit_low(gate.shape, low, low_weight, drop)
    if (backend or backend_for(gate)) == 'triton':
        from swift.kernels import gated_triton

        gated_triton.backward(da, gate, up, kind, dgate, dup, act_out, low, low_weight, drop)
        return
    wide = _wide(gate)
    g, u, d = gate.to(wide), up.to(wide), da.to(wide)
    if low is not None and low_weight is not None:
        d = d + _from_adapter(low.to(wide), low_weight.to(wide), drop)
    s = _gate(g, kind)
    f = g * s
    slope = _slope(g, s, f, kind)
    activation = f * u if act_out is not None else None
    dgate.copy_(slope.mul_(u).mul_(d))  # g and u may be what is written over: both are read by now, or are copies
    dup.copy_(f.mul_(d))
    if act_out is not None and activation is not None:
        act_out.copy_(activation)


def backend_for(x: torch.Tensor) -> Backend:
    """Who computes for rows like ``x``."""
    return choose('The gated activation', x.device, x.dtype, check)


def check(device: torch.device, dtype: torch.dtype) -> str | None:
    """Compare the Triton kernels with plain PyTorch on ``device``, on odd sizes; returns what is wrong, or None."""
    generator = torch.Generator().manual_seed(0)
    gu, da = (torch.randn(37, width, generator=generator).to(device, dtype) for width in (522, 261))
    low, low_weight = (torch.randn(*shape, generator=generator).to(device, dtype) for shape in ((37, 5), (5, 261)))

    def run(backend: Backend) -> list[torch.Tensor]:
        found = []
        for kind in ('silu', 'gelu_tanh', 'gelu'):
            act = torch.empty_like(da)
            found += [gated(gu, kind, backend=backend), act,
                      gated_backward(da, gu, kind, act_out=act, low=low, low_weight=low_weight, backend=backend)]
        return found

    return disagreement(run, dtype)


def _gate(g: torch.Tensor, kind: Kind) -> torch.Tensor:
    """s, with f = g s."""
    if kind == 'silu':
        return torch.sigmoid(g)
    if kind == 'gelu_tanh':
        return (g * g).mul_(_TWO_K * _CUBE).add_(_TWO_K).mul_(g).sigmoid_()
    return (g * math.sqrt(0.5)).erf_().add_(1).mul_(0.5)


def _slope(g: torch.Tensor, s: torch.Tensor, f: torch.Tensor, kind: Kind) -> torch.Tensor:
    """f', a new tensor."""
    if kind == 'silu':
        return s + f * (1 - s)
    if kind == 'gelu_tanh':
        return s + (f * (1 - s)).mul_((g * g).mul_(3 * _TWO_K * _CUBE).add_(_TWO_K))
    return s + (g * g).mul_(-0.5).exp_().mul_(g).mul_(1 / math.sqrt(2 * math.pi))


def _from_adapter(low: torch.Tensor, low_weight: torch.Tensor, drop: tuple[float, int] | None) -> torch.Tensor:
    product = low @ low_weight
    if drop is None:
        return product
    p, seed = drop
    keep = plain_keep_mask(seed, *product.shape, group=0, p=p, device=product.device)
    return product.mul_(keep).mul_(kept_scale(p))


def kept_scale(p: float) -> float:
    """What is not dropped is multiplied by it."""
    return 1 / (1 - p) if p < 1 else 0.0


def _wide(x: torch.Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _halves(name: str, gu: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    if gu.ndim != 2 or gu.shape[1] % 2:
        raise ValueError(f'{name}: gate and up together must be [T, 2 I], got {list(gu.shape)}.')
    width = gu.shape[1] // 2
    return gu[:, :width], gu[:, width:]


def _fit(name: str, kind: str, shape: torch.Size, **rows: torch.Tensor | None) -> None:
    if kind not in ('silu', 'gelu_tanh', 'gelu'):
        raise ValueError(f'{name}: kind must be silu, gelu_tanh or gelu, got {kind!r}.')
    for key, tensor in rows.items():
        if tensor is not None and (len(shape) != 2 or tensor.shape != shape
                                   or (shape[1] > 1 and tensor.stride(1) != 1)):
            raise ValueError(f'{name}: {key} must be [T, I], here {list(shape)}, with its last dimension contiguous, '
                             f'got {list(tensor.shape)} with strides {list(tensor.stride())}.')


def _fit_low(shape: torch.Size, low: torch.Tensor | None, low_weight: torch.Tensor | None,
             drop: tuple[float, int] | None) -> None:
    if (low is None) != (low_weight is None) or (low is None and drop is not None):
        raise ValueError('gated_backward: low and low_weight go together, and drop only with them.')
    if low is None or low_weight is None:
        return
    if low.ndim != 2 or low.shape[0] != shape[0] or low_weight.shape != (low.shape[1], shape[1]):
        raise ValueError(f'gated_backward: low must be [{shape[0]}, r] and low_weight [r, {shape[1]}], got '
                         f'{list(low.shape)} and {list(low_weight.shape)}.')
    if low.dtype != low_weight.dtype:
        raise ValueError(f'gated_backward: low is {low.dtype} and low_weight {low_weight.dtype}; cast one of them.')
    if drop is not None and not 0 <= drop[0] <= 1:
        raise ValueError(f'gated_backward: the probability of dropout must be from 0 to 1, got {drop[0]}.')
