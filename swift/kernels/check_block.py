"""The fused block and the attention over documents against the formulas in float64, for ``swift doctor --kernels``."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from swift.kernels.block import BlockSpec, DecoderBlock, Norms, run_block
from swift.kernels.linear_group import Adapter, LinearGroup, Member
from swift.kernels.small_copies import SmallCopies
from swift.kernels.varlen import Documents, attend

LENGTHS = (5, 1, 70, 33)
_WIDTH, _INNER, _HEADS, _KV_HEADS, _SIZE, _RANK, _SCALING = 72, 136, 4, 2, 16, 5, 2.0


def plain_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Causal attention of each document: q [N, Hq, d], k and v [N, Hk, d] -> [N, Hq, d], softmax by its formula."""
    groups = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    parts = []
    for a, b, c in zip(q.split(LENGTHS), k.split(LENGTHS), v.split(LENGTHS), strict=True):
        scores = torch.einsum('ihd,jhd->hij', a, b) / a.shape[2] ** 0.5
        later = torch.ones_like(scores[0], dtype=torch.bool).triu(1)
        parts.append(torch.einsum('hij,jhd->ihd', scores.masked_fill(later, float('-inf')).softmax(-1), c))
    return torch.cat(parts)


def attention(device: torch.device, dtype: torch.dtype) -> tuple[dict[str, torch.Tensor], list[torch.Tensor]]:
    """Values and gradients of attention over documents: ours by name, and those expected."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((_HEADS, _SIZE), (_KV_HEADS, _SIZE), (_KV_HEADS, _SIZE))
    tensors = [torch.randn(sum(LENGTHS), *shape, generator=generator).to(device, dtype) for shape in shapes]
    dy = torch.randn(sum(LENGTHS), _HEADS, _SIZE, generator=generator).to(device, dtype)
    ours = [tensor.clone().requires_grad_() for tensor in tensors]
    plain = [tensor.double().requires_grad_() for tensor in tensors]
    y, expected = attend(*ours, Documents.of(LENGTHS).to(device)), plain_attention(*plain)
    found = [y, *torch.autograd.grad(y, ours, dy)]
    names = ('value', 'gradient of q', 'gradient of k', 'gradient of v')
    return (dict(zip(names, found, strict=True)),
            [expected, *torch.autograd.grad(expected, plain, dy.double())])


def block(device: torch.device, dtype: torch.dtype) -> tuple[dict[str, torch.Tensor], list[torch.Tensor]]:
    """Values and gradients of a block with adapters on every layer: ours by name, and those expected."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int, scale: float = 1.0) -> nn.Parameter:
        return nn.Parameter((torch.randn(*shape, generator=generator) * scale).to(device, dtype))

    q, k = _HEADS * _SIZE, _KV_HEADS * _SIZE
    shapes = {'q': (q, _WIDTH), 'k': (k, _WIDTH), 'v': (k, _WIDTH), 'o': (_WIDTH, q), 'gate': (_INNER, _WIDTH),
              'up': (_INNER, _WIDTH), 'down': (_WIDTH, _INNER)}
    layers = {name: (drawn(*shape, scale=shape[1] ** -0.5), drawn(_RANK, shape[1], scale=shape[1] ** -0.5),
                     drawn(shape[0], _RANK, scale=0.1)) for name, shape in shapes.items()}
    norms = [nn.Parameter(1 + drawn(_WIDTH, scale=0.1).detach()) for _ in range(2)]
    x, dy = drawn(sum(LENGTHS), _WIDTH), drawn(sum(LENGTHS), _WIDTH).detach()
    angles = torch.cat([torch.arange(n) for n in LENGTHS])[:, None] / 50 ** torch.linspace(0, 1, _SIZE // 2)
    tables = [torch.cat([part, part], 1).to(device, dtype) for part in (angles.cos(), angles.sin())]
    trained = [x, *norms, *(tensor for layer in layers.values() for tensor in layer)]
    plain = [tensor.detach().double().requires_grad_() for tensor in trained]
    expected = _formula(plain, list(shapes), [table.double() for table in tables])
    wanted = torch.autograd.grad(expected, plain, dy.double())

    def group(*names: str, extend: bool) -> LinearGroup:
        return LinearGroup([Member(layers[name][0], None, Adapter(*layers[name][1:], _SCALING, 0.0))
                            for name in names], extend=extend)

    made = DecoderBlock(BlockSpec(_HEADS, _KV_HEADS, _SIZE, 1e-6), Norms(*norms), group('q', 'k', 'v', extend=True),
                        group('o', extend=False), group('gate', 'up', extend=True), group('down', extend=False))
    SmallCopies(copy for part in made.groups for copy in part.copies()).make()
    y = run_block(made, x, *tables, Documents.of(LENGTHS).to(device), training=False)
    names = ['x', 'first norm', 'second norm', *(f'{name} {part}' for name in shapes for part in ('weight', 'A', 'B'))]
    found = {'value': y} | dict(zip([f'gradient of {name}' for name in names],
                                    torch.autograd.grad(y, trained, dy), strict=True))
    return found, [expected, *wanted]


def _formula(tensors: list[torch.Tensor], names: list[str], tables: list[torch.Tensor]) -> torch.Tensor:
    x, first, second, *rest = tensors
    layers = {name: rest[3 * n:3 * n + 3] for n, name in enumerate(names)}
    cos, sin = (table[:, None] for table in tables)

    def linear(name: str, h: torch.Tensor) -> torch.Tensor:
        weight, a, b = layers[name]
        return h @ weight.t() + _SCALING * (h @ a.t()) @ b.t()

    def norm(h: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return h * torch.rsqrt(h.square().mean(1, keepdim=True) + 1e-6) * weight

    def turned(h: torch.Tensor) -> torch.Tensor:
        left, right = h.chunk(2, -1)
        return h * cos + torch.cat([-right, left], -1) * sin

    h = norm(x, first)
    q, k, v = (linear(name, h).unflatten(1, (-1, _SIZE)) for name in ('q', 'k', 'v'))
    x = x + linear('o', plain_attention(turned(q), turned(k), v).flatten(1))
    h = norm(x, second)
    return x + linear('down', F.silu(linear('gate', h)) * linear('up', h))
