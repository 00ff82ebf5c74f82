"""DoRA (arXiv 2402.09353) of a linear layer, from products that are skinny.

    y = bias + m / ||W + s B A|| (x W^T + s x A^T B^T)                       m: [out], norms over rows of W + s B A

The norm is a constant in the backward (section 4.3 of the paper). Its square is taken apart, so that no matrix of the
size of W is made (peft multiplies an identity of D x D through A and B for it):

    ||W + s B A||^2 = ||W||^2 + 2 s rowsum((W A^T) * B) + s^2 rowsum((B (A A^T)) * B)

With dropout x is another one in the part that is adapted, so that W is multiplied twice, as in peft:

    y = x W^T + bias + (m / ||.|| - 1) d W^T + m / ||.|| s d A^T B^T          d = dropout(x)
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from swift.kernels.lora_linear import Adapter, Layer, lora_linear


def dora_linear(x: torch.Tensor, layer: Layer, magnitude: torch.Tensor) -> torch.Tensor:
    """The output of a layer with one adapter and a magnitude.

    Args:
        x: [..., D].
        layer: with a weight (or what makes it dense) and one adapter.
        magnitude: m, [out].

    Returns:
        [..., out], differentiable in ``x``, the tensors of the layer and ``magnitude``.
    """
    adapter, = layer.adapters
    norm = row_norms(layer, adapter, x.dtype)
    factor = magnitude / norm
    if not adapter.p:
        y, = lora_linear(x, [Layer(layer.weight, layer.adapters)])
        adapted = y * factor
        return (adapted if layer.bias is None else adapted + layer.bias).to(y.dtype)
    dropped = F.dropout(x, adapter.p)
    plain, = lora_linear(x, [Layer(layer.weight, (), layer.bias)])
    base, = lora_linear(dropped, [Layer(layer.weight)])
    low = F.linear(F.linear(dropped, adapter.a), adapter.b) * adapter.scaling
    return (plain + (factor - 1) * base + factor * low).to(plain.dtype)


@torch.no_grad()
def row_norms(layer: Layer, adapter: Adapter, dtype: torch.dtype) -> torch.Tensor:
    """``||W + s B A||`` of every row, [out], in float32 (float64 for such weights), rounded to ``dtype``."""
    weight = layer.weight if isinstance(layer.weight, torch.Tensor) else layer.weight(dtype)
    wide = torch.promote_types(weight.dtype, torch.float32)
    with torch.autocast(weight.device.type, enabled=False):
        a, b = adapter.a.to(wide), adapter.b.to(wide)
        across = (torch.mm(weight, a.to(weight.dtype).t()).to(wide) * b).sum(1)
        square = torch.linalg.vector_norm(weight, dim=1, dtype=wide).square()
        square += 2 * adapter.scaling * across + adapter.scaling ** 2 * (torch.mm(b, torch.mm(a, a.t())) * b).sum(1)
    return square.clamp(min=0).sqrt().to(dtype)
