"""RMSNorm of rows, alone and after an addition, forward and backward, without autograd.

    y = x rstd (c + w),  rstd = 1 / sqrt(mean_d x_d^2 + eps)

    g = dy (c + w),  n = x rstd
    dx = rstd (g - n mean_d(g n)) + r,  dw = sum_t dy n

c is 0 for Llama's layer and 1 for Gemma's; r is the gradient that skips the norm (the residual stream's). Zhang and
Sennrich, Root mean square layer normalization (2019). Everything is computed in float32 (float64 for float64) and
rounded once, when it is stored; transformers' LlamaRMSNorm rounds n before it multiplies by the weight.

In this file: T rows (tokens), D their width. Tensors of [T, D] have their last dimension contiguous and rows as far
apart as they like, so that a result may be written into a wider buffer. It knows nothing about layers and models.
"""

from __future__ import annotations

import torch

from swift.kernels.backend import Backend, choose, disagreement


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float, *, offset: float = 0.0,
             out: torch.Tensor | None = None, backend: Backend | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """RMSNorm of rows. Moves 2 T D elements and T reciprocals.

    Args:
        x: [T, D].
        weight: [D], of any floating dtype.
        eps: added to the mean square.
        offset: c, added to the weight.
        out: [T, D] to write into; may be ``x``.
        backend: None takes what :func:`backend_for` says.

    Returns:
        y [T, D] in the dtype of ``x`` (or of ``out``), and rstd [T] in float32, which the backward needs.

    Raises:
        ValueError: shapes or strides don't fit.
    """
    _fit('rms_norm', x.shape, weight, x=x, out=out)
    out = torch.empty_like(x, memory_format=torch.contiguous_format) if out is None else out
    if (backend or backend_for(x)) == 'triton':
        from swift.kernels import norm_triton  # imports triton, which only accelerators have

        return out, norm_triton.forward(x, None, None, weight, eps, offset, out)
    return out, _plain_norm(x.to(_wide(x)), weight, eps, offset, out)


def add_rms_norm(x: torch.Tensor, y: torch.Tensor, weight: torch.Tensor, eps: float, *, offset: float = 0.0,
                 total: torch.Tensor | None = None, out: torch.Tensor | None = None,
                 backend: Backend | None = None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """RMSNorm of a sum. Moves 4 T D elements.

    Args:
        x: [T, D], the residual stream.
        y: [T, D], what a sublayer adds to it.
        weight, eps, offset, backend: as for :func:`rms_norm`.
        total: [T, D] to write the sum into; may be ``x`` or ``y``.
        out: [T, D] to write the norm into; may be whichever of ``x`` and ``y`` is not ``total``.

    Returns:
        ``x + y`` rounded to the dtype of ``x``; the norm of that rounded sum, as transformers takes it; rstd [T].

    Raises:
        ValueError: shapes or strides don't fit.
    """
    _fit('add_rms_norm', x.shape, weight, x=x, y=y, total=total, out=out)
    total = torch.empty_like(x, memory_format=torch.contiguous_format) if total is None else total
    out = torch.empty_like(x, memory_format=torch.contiguous_format) if out is None else out
    if (backend or backend_for(x)) == 'triton':
        from swift.kernels import norm_triton

        return total, out, norm_triton.forward(x, y, total, weight, eps, offset, out)
    torch.add(x, y, out=total)
    return total, out, _plain_norm(total.to(_wide(x)), weight, eps, offset, out)


def rms_norm_backward(dy: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, rstd: torch.Tensor, *,
                      offset: float = 0.0, residual: torch.Tensor | None = None, weight_grad: bool = True,
                      out: torch.Tensor | None = None,
                      backend: Backend | None = None) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The gradient of RMSNorm's input, with what comes past the norm added, and of its weight.

    Moves 3 T D elements, 4 T D with a residual. The weight's gradient is summed in the same pass, by a few hundred
    programs each for itself, and then over them: the same bits every time.

    Args:
        dy: [T, D], the gradient of the norm.
        x: [T, D], what was normalised (of :func:`add_rms_norm` the sum).
        weight, offset, backend: as for :func:`rms_norm`.
        rstd: [T], from the forward.
        residual: [T, D] added to dx, or None.
        weight_grad: also sum up dw.
        out: [T, D] to write into; may be ``dy``, ``residual`` or ``x``.

    Returns:
        dx [T, D] in the dtype of ``x`` (or of ``out``), and dw [D] in float32 (float64 for such rows) or None.

    Raises:
        ValueError: shapes or strides don't fit.
    """
    _fit('rms_norm_backward', x.shape, weight, dy=dy, x=x, residual=residual, out=out)
    if rstd.shape != x.shape[:1]:
        raise ValueError(f'rms_norm_backward: rstd must be {list(x.shape[:1])}, got {list(rstd.shape)}.')
    out = torch.empty_like(x, memory_format=torch.contiguous_format) if out is None else out
    if (backend or backend_for(x)) == 'triton':
        from swift.kernels import norm_triton

        return out, norm_triton.backward(dy, x, weight, rstd, offset, residual, weight_grad, out)
    wide = _wide(x)
    gradient = dy.to(wide)
    normed = x.to(wide) * rstd[:, None].to(wide)
    dweight = (gradient * normed).sum(0) if weight_grad else None
    gradient = gradient * (weight.to(wide) + offset)
    mean = (gradient * normed).mean(1, keepdim=True)
    dx = normed.mul_(mean).neg_().add_(gradient).mul_(rstd[:, None])
    out.copy_(dx if residual is None else dx.add_(residual))
    return out, dweight


def backend_for(x: torch.Tensor) -> Backend:
    """Who computes for rows like ``x``."""
    return choose('RMSNorm', x.device, x.dtype, check)


def check(device: torch.device, dtype: torch.dtype) -> str | None:
    """Compare the Triton kernels with plain PyTorch on ``device``, on odd sizes; returns what is wrong, or None."""
    generator = torch.Generator().manual_seed(0)
    x, y, dy = (torch.randn(11, 1537, generator=generator).to(device, dtype) for _ in range(3))
    weight = torch.randn(1537, generator=generator).to(device, dtype)

    def run(backend: Backend) -> list[torch.Tensor]:
        total, normed, rstd = add_rms_norm(x, y, weight, 1e-6, offset=1.0, backend=backend)
        dx, dweight = rms_norm_backward(dy, total, weight, rstd, offset=1.0, residual=y, backend=backend)
        return [*rms_norm(x, weight, 1e-6, backend=backend), total, normed, rstd, dx, dweight]

    return disagreement(run, dtype)


def _plain_norm(x: torch.Tensor, weight: torch.Tensor, eps: float, offset: float, out: torch.Tensor) -> torch.Tensor:
    """Writes ``out``; returns rstd. ``x`` is in the dtype that is computed in."""
    rstd = x.square().mean(1).add_(eps).rsqrt_()
    out.copy_((x * rstd[:, None]).mul_(weight.to(x.dtype) + offset))
    return rstd


def _wide(x: torch.Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _fit(name: str, shape: torch.Size, weight: torch.Tensor, **rows: torch.Tensor | None) -> None:
    if len(shape) != 2 or weight.shape != shape[1:]:
        raise ValueError(f'{name}: rows must be [T, D] and weight [D], got {list(shape)} and {list(weight.shape)}.')
    for key, tensor in rows.items():
        if tensor is not None and (tensor.shape != shape or (shape[1] > 1 and tensor.stride(1) != 1)):
            raise ValueError(f'{name}: {key} must be {list(shape)} with its last dimension contiguous, got '
                             f'{list(tensor.shape)} with strides {list(tensor.stride())}.')
