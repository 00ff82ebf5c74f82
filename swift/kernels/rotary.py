"""Rotary embedding of queries and keys in a packed q|k|v, with RMSNorm of each head before it where a model has that.

    n = x rstd (c + w),  rstd = 1 / sqrt(mean_d x_d^2 + eps)             (QK-norm: Qwen3, Gemma 3)
    y_1 = n_1 cos - n_2 sin,  y_2 = n_2 cos + n_1 sin                    for each pair (1, 2) of the first R dimensions

    dn_1 = dy_1 cos + dy_2 sin,  dn_2 = dy_2 cos - dy_1 sin              (the transpose, whatever cos^2 + sin^2 is)
    dx = rstd (g - x rstd mean_d(g x rstd)),  g = dn (c + w),  dw = sum dn x rstd

Pair i is (i, i + R / 2), as in transformers' Llama, or (2 i, 2 i + 1) (``interleaved``: GLM, Cohere, GPT-J); dimensions
beyond R pass. Su et al., RoFormer (2021); Henry et al., Query-key normalization (2020). Everything is computed in
float32 (float64 for float64) and rounded once.

In this file: T tokens, Hq heads of queries and Hk of keys and of values, d the size of a head, R <= d what is rotated.
"""

from __future__ import annotations

import torch

from swift.kernels.backend import Backend, choose, disagreement


def rotate(qkv: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, *, heads: tuple[int, int], head_dim: int,
           inverse: bool = False, interleaved: bool = False, paired_tables: bool = False,
           q_weight: torch.Tensor | None = None, k_weight: torch.Tensor | None = None, eps: float = 1e-6,
           offset: float = 0.0, out: torch.Tensor | None = None,
           backend: Backend | None = None) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Rotate queries and keys. Moves 2 T (Hq + Hk) d elements, and T R of the tables.

    Args:
        qkv: [T, (Hq + 2 Hk) d], rows as far apart as they like.
        cos, sin: [T, R], of which R / 2 columns are read.
        heads: Hq and Hk.
        head_dim: d.
        inverse: rotate back (the transpose).
        interleaved: which dimensions make a pair, see above.
        paired_tables: both columns of a pair lie beside each other in cos and sin (Cohere), and not R / 2 apart (Llama,
            GLM).
        q_weight, k_weight: [d] of the norms of queries and keys; both or none.
        eps, offset: of these norms.
        out: [T, (Hq + Hk) d] to write q|k into. None: without norms the place where they are, with them a new tensor,
            since the backward needs what was normalised.
        backend: None takes what :func:`backend_for` says.

    Returns:
        q|k [T, (Hq + Hk) d], without norms and ``out`` a part of ``qkv``; and rstd [T, Hq + Hk] in float32, or None
        without norms. Values stay where they are.

    Raises:
        ValueError: shapes or strides don't fit.
    """
    hq, hk = heads
    both = (hq + hk) * head_dim
    if qkv.ndim != 2 or qkv.shape[1] != both + hk * head_dim or (qkv.numel() and qkv.stride(1) != 1):
        raise ValueError(f'rotate: qkv must be [T, {both + hk * head_dim}] for {hq} + 2 x {hk} heads of {head_dim}, '
                         f'with its last dimension contiguous, got {list(qkv.shape)} with strides '
                         f'{list(qkv.stride())}.')
    tokens = qkv.shape[0]
    cos, sin = _tables('rotate', cos, sin, tokens, head_dim, paired_tables)
    normed = _norms('rotate', q_weight, k_weight, head_dim)
    if out is None:
        out = qkv.new_empty(tokens, both) if normed else qkv[:, :both]
    elif out.shape != (tokens, both) or (out.numel() and out.stride(1) != 1):
        raise ValueError(f'rotate: out must be [{tokens}, {both}] with its last dimension contiguous, got '
                         f'{list(out.shape)} with strides {list(out.stride())}.')
    if (backend or backend_for(qkv)) == 'triton':
        from swift.kernels import rotary_triton  # imports triton, which only accelerators have

        rstd = rotary_triton.forward(qkv, cos, sin, heads, head_dim, inverse, interleaved, q_weight, k_weight, eps,
                                     offset, out)
        return out, rstd
    wide = _wide(qkv)
    x, rstd = qkv[:, :both].unflatten(1, (hq + hk, head_dim)).to(wide), None
    if q_weight is not None and k_weight is not None:
        rstd = x.square().mean(2).add_(eps).rsqrt_()
        x = x * rstd[:, :, None] * (_per_head(q_weight, k_weight, heads, wide) + offset)
    out.copy_(_turned(x, cos.to(wide), sin.to(wide), inverse, interleaved).flatten(1))
    return out, rstd


def rotate_backward(dq: torch.Tensor, dk: torch.Tensor, dv: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, *,
                    interleaved: bool = False, paired_tables: bool = False, qkv: torch.Tensor | None = None,
                    rstd: torch.Tensor | None = None, q_weight: torch.Tensor | None = None,
                    k_weight: torch.Tensor | None = None, offset: float = 0.0, weight_grad: bool = False,
                    out: torch.Tensor | None = None, backend: Backend | None = None,
                    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
    """The gradient of q|k|v before rotation and norm. Moves 2 T (Hq + 2 Hk) d elements, with norms T (Hq + Hk) d more.

    Args:
        dq, dk, dv: [T, Hq, d], [T, Hk, d], [T, Hk, d], last dimensions contiguous.
        cos, sin, interleaved, paired_tables: as for :func:`rotate`.
        qkv, rstd, q_weight, k_weight, offset: with norms, what the forward was given and found; else None.
        weight_grad: also sum up the gradients of the norms' weights, in the same pass and the same bits every time.
        out: [T, (Hq + 2 Hk) d] to write into; may be the tensor that dq, dk and dv are parts of, in this order.
        backend: None takes what :func:`backend_for` says.

    Returns:
        dqkv [T, (Hq + 2 Hk) d]; gradients [d] of the norms' weights in float32, or None.

    Raises:
        ValueError: shapes or strides don't fit.
    """
    tokens, hq, head_dim = dq.shape
    hk = dk.shape[1]
    for name, tensor, count in (('dq', dq, hq), ('dk', dk, hk), ('dv', dv, hk)):
        if tensor.shape != (tokens, count, head_dim) or (tensor.numel() and head_dim > 1 and tensor.stride(2) != 1):
            raise ValueError(f'rotate_backward: {name} must be [{tokens}, {count}, {head_dim}] with its last dimension '
                             f'contiguous, got {list(tensor.shape)} with strides {list(tensor.stride())}.')
    width = (hq + 2 * hk) * head_dim
    cos, sin = _tables('rotate_backward', cos, sin, tokens, head_dim, paired_tables)
    normed = _norms('rotate_backward', q_weight, k_weight, head_dim)
    if normed != (rstd is not None) or normed != (qkv is not None):
        raise ValueError('rotate_backward: qkv, rstd, q_weight and k_weight go together: give all or none.')
    out = dq.new_empty(tokens, width) if out is None else out
    for name, tensor in (('qkv', qkv), ('out', out)):
        if tensor is not None and (tensor.shape != (tokens, width) or (tensor.numel() and tensor.stride(1) != 1)):
            raise ValueError(f'rotate_backward: {name} must be [{tokens}, {width}] with its last dimension contiguous, '
                             f'got {list(tensor.shape)} with strides {list(tensor.stride())}.')
    if (backend or backend_for(dq)) == 'triton':
        from swift.kernels import rotary_triton

        return out, *rotary_triton.backward(dq, dk, dv, cos, sin, interleaved, qkv, rstd, q_weight, k_weight, offset,
                                            weight_grad and normed, out)
    wide = _wide(dq)
    gradient = _turned(torch.cat([dq, dk], 1).to(wide), cos.to(wide), sin.to(wide), True, interleaved)
    of_weights: tuple[torch.Tensor | None, torch.Tensor | None] = (None, None)
    if qkv is not None and rstd is not None and q_weight is not None and k_weight is not None:
        x = qkv[:, :(hq + hk) * head_dim].unflatten(1, (hq + hk, head_dim)).to(wide) * rstd[:, :, None]
        if weight_grad:
            of_weights = tuple(part.sum((0, 1)) for part in (gradient * x).split([hq, hk], 1))
        gradient = gradient * (_per_head(q_weight, k_weight, (hq, hk), wide) + offset)
        gradient = (gradient - x * (gradient * x).mean(2, keepdim=True)).mul_(rstd[:, :, None])
    out[:, (hq + hk) * head_dim:].copy_(dv.flatten(1))
    out[:, :(hq + hk) * head_dim].copy_(gradient.flatten(1))
    return out, *of_weights


def backend_for(x: torch.Tensor) -> Backend:
    """Who computes for tensors like ``x``."""
    return choose('The rotary embedding', x.device, x.dtype, check)


def check(device: torch.device, dtype: torch.dtype) -> str | None:
    """Compare the Triton kernels with plain PyTorch on ``device``, on odd sizes; returns what is wrong, or None."""
    tokens, hq, hk, head_dim = 19, 3, 2, 80
    generator = torch.Generator().manual_seed(0)
    qkv, gradient = (torch.randn(tokens, (hq + 2 * hk) * head_dim, generator=generator).to(device, dtype)
                     for _ in range(2))
    angle = torch.randn(tokens, 24, generator=generator).repeat(1, 2)
    cos, sin = angle.cos().to(device, dtype), angle.sin().to(device, dtype)
    weights = [torch.randn(head_dim, generator=generator).to(device, dtype) for _ in range(2)]
    parts = gradient.unflatten(1, (hq + 2 * hk, head_dim)).split([hq, hk, hk], 1)

    def run(backend: Backend) -> list[torch.Tensor]:
        found = []
        for interleaved in (False, True):
            given = {'interleaved': interleaved, 'backend': backend}
            norms = {'q_weight': weights[0], 'k_weight': weights[1], 'offset': 1.0}
            found += [rotate(qkv.clone(), cos, sin, heads=(hq, hk), head_dim=head_dim, **given)[0],
                      rotate_backward(*parts, cos, sin, **given)[0]]
            normed, rstd = rotate(qkv, cos, sin, heads=(hq, hk), head_dim=head_dim, **norms, **given)
            found += [normed, rstd, *rotate_backward(*parts, cos, sin, qkv=qkv, rstd=rstd, weight_grad=True, **norms,
                                                     **given)]
        return found

    return disagreement(run, dtype)


def _turned(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, inverse: bool, interleaved: bool) -> torch.Tensor:
    """Rotate the first dimensions of each head of ``x`` [T, H, d]; ``cos`` and ``sin`` [T, R / 2]."""
    half = cos.shape[1]
    first, second = ((slice(0, 2 * half, 2), slice(1, 2 * half, 2)) if interleaved
                     else (slice(0, half), slice(half, 2 * half)))
    cos, sin = cos[:, None], -sin[:, None] if inverse else sin[:, None]
    turned = torch.empty_like(x, memory_format=torch.contiguous_format)
    turned[..., first] = x[..., first] * cos - x[..., second] * sin
    turned[..., second] = x[..., second] * cos + x[..., first] * sin
    turned[..., 2 * half:] = x[..., 2 * half:]
    return turned


def _per_head(q_weight: torch.Tensor, k_weight: torch.Tensor, heads: tuple[int, int],
              dtype: torch.dtype) -> torch.Tensor:
    """[Hq + Hk, d]."""
    return torch.cat([weight.to(dtype).expand(count, -1)
                      for weight, count in zip((q_weight, k_weight), heads, strict=True)])


def _tables(name: str, cos: torch.Tensor, sin: torch.Tensor, tokens: int, head_dim: int,
            paired: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """One column for each pair of dimensions."""
    if (cos.ndim != 2 or cos.shape != sin.shape or cos.shape[0] != tokens or cos.shape[1] % 2
            or not 0 < cos.shape[1] <= head_dim):
        raise ValueError(f'{name}: cos and sin must be [{tokens}, R] with R even and at most {head_dim}, got '
                         f'{list(cos.shape)} and {list(sin.shape)}.')
    part = slice(0, None, 2) if paired else slice(0, cos.shape[1] // 2)
    return cos[:, part], sin[:, part]


def _norms(name: str, q_weight: torch.Tensor | None, k_weight: torch.Tensor | None, head_dim: int) -> bool:
    """Whether there are norms."""
    if q_weight is None and k_weight is None:
        return False
    if q_weight is None or k_weight is None or q_weight.shape != (head_dim,) or k_weight.shape != (head_dim,):
        given = [None if weight is None else list(weight.shape) for weight in (q_weight, k_weight)]
        raise ValueError(f'{name}: q_weight and k_weight must both be [{head_dim}] or both None, got {given}.')
    return True


def _wide(x: torch.Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32
