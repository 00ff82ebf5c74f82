"""The loss head: from hidden states to the summed loss of the trained tokens, without the matrix of logits.

    z_n = f(W h_n + b),  f(u) = s u, or c tanh(s u / c) with soft-capping
    nll_n = lse(z_n) - z_n[t_n],  lse(z) = log sum_v exp(z_v)
    loss_n = (1 - e) nll_n + e (lse(z_n) - mean_v z_nv) + k lse(z_n)^2
    L = sum_n w_n loss_n

    dL/dz_nv = w_n (p_nv (1 + 2 k lse(z_n)) - (1 - e) [v = t_n] - e / V),  p = softmax(z)

Rows go through the head in chunks: a matmul writes the logits of a chunk into a buffer, one pass over the buffer takes
what the loss needs and puts the gradient in the place of the logits, and two more matmuls take it to the hidden states
and (where it is trained) to the weight. So the gradients are ready when the forward ends, the logits of a chunk are
never computed twice, and the backward only multiplies by what comes from above.

Ideas from: Liger-Kernel (gradient in the forward, in the place of the logits), torchtune and TRL (chunks), Cut Your
Losses (arXiv 2411.09009: nothing of size N x V), llmq (few large chunks), PaLM (arXiv 2204.02311: z-loss).

In this file: N trained tokens, M rows of hidden states, D their width, V the vocabulary, C the rows of a chunk.
It knows nothing about models, batches or the trainer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch.autograd.function import once_differentiable

from swift.kernels.backend import Backend, choose, not_running

MEMORY = 448 * 2**20
"""Bytes that the head may use at a time by default: logits of a chunk and gradient of the hidden states."""

_LEAST_ROWS = 128  # below this a matmul waits for the weight's bytes on every accelerator
_BLOCK_BYTES = {'cpu': 2 * 2**20, 'cuda': 64 * 2**20}  # what the plain pass takes at a time, in float32: near a cache
_HALF_SCALE = 256.0  # float16 has no numbers for the probabilities of rare tokens; the matmul takes it out again


@dataclass(frozen=True)
class HeadLoss:
    """What the head found.

    Attributes:
        loss: L, scalar float32 (float64 for such hidden states), with gradient.
        right: [N] whether the target is the likeliest token (the first one among equals); None where not asked for.
    """

    loss: torch.Tensor
    right: torch.Tensor | None


@dataclass(frozen=True)
class LossTerms:
    """What is done to logits, and what is added to the loss.

    Attributes:
        scale: s, logits are multiplied by it (Cohere; one over Granite's ``logits_scaling``).
        softcap: c, or None (Gemma 2).
        label_smoothing: e, from 0 to 1.
        z_loss: k, weight of the squared log-normaliser.
    """

    scale: float = 1.0
    softcap: float | None = None
    label_smoothing: float = 0.0
    z_loss: float = 0.0

    def __post_init__(self) -> None:
        if self.softcap is not None and not self.softcap > 0:
            raise ValueError(f'softcap must be above 0 or None, got {self.softcap}.')
        if not 0 <= self.label_smoothing <= 1:
            raise ValueError(f'label_smoothing must be from 0 to 1, got {self.label_smoothing}.')


PLAIN = LossTerms()


def linear_nll(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, *,
               bias: torch.Tensor | None = None, rows: torch.Tensor | None = None, terms: LossTerms = PLAIN,
               accuracy: bool = True, memory: int = MEMORY, backend: Backend | None = None,
               weight_grad_dtype: torch.dtype = torch.float32) -> HeadLoss:
    """Sum of the weighted losses of N tokens under a linear head.

    Args:
        hidden: [M, D].
        weight: [V, D]; under autocast it may have another dtype than what is computed in.
        targets: [N] int64, each in [0, V).
        weights: [N] weight of each token's loss.
        bias: [V] or None.
        rows: [N] int64, which row of ``hidden`` predicts each target, no row twice; None: N = M, all in their order.
            Rows that are not listed cost nothing and get gradient 0.
        terms: soft-capping, scale, smoothing, z-loss.
        accuracy: find out which predictions are right.
        memory: bytes for buffers; smaller means more and smaller chunks.
        backend: who makes the pass over a chunk; None takes :func:`choose_backend`.
        weight_grad_dtype: what the gradient of ``weight`` is summed in over the chunks.

    Returns:
        The loss is differentiable once, in ``hidden``, ``weight`` and ``bias``.

    Raises:
        ValueError: shapes or dtypes don't fit.
    """
    if hidden.ndim != 2 or weight.ndim != 2 or hidden.shape[1] != weight.shape[1]:
        raise ValueError(f'hidden must be [M, D] and weight [V, D], got {list(hidden.shape)} and {list(weight.shape)}.')
    tokens = hidden.shape[0] if rows is None else rows.shape[0]
    if targets.shape != (tokens,) or weights.shape != (tokens,):
        raise ValueError(f'targets and weights must be [{tokens}], got {list(targets.shape)} and '
                         f'{list(weights.shape)}.')
    device = hidden.device.type
    autocast = torch.is_autocast_enabled(device)
    dtype = torch.get_autocast_dtype(device) if autocast else weight.dtype
    if not autocast and hidden.dtype != weight.dtype:
        raise ValueError(f'hidden is {hidden.dtype} and weight {weight.dtype}; without autocast they must be the same.')
    plan = _Plan(dtype, terms, accuracy, backend or choose_backend(hidden.device, dtype),
                 chunk_rows(tokens, hidden, weight, dtype, memory), weight_grad_dtype, torch.is_grad_enabled())
    with torch.autocast(device, enabled=False):
        loss, right = _LinearNll.apply(hidden, weight, bias, targets, weights, rows, plan)
    return HeadLoss(loss, right if accuracy else None)


def chunk_rows(tokens: int, hidden: torch.Tensor, weight: torch.Tensor, dtype: torch.dtype, memory: int) -> int:
    """C: as many rows as the memory allows beside the gradient of the hidden states, the last chunk not much smaller.

    ``C * V * bytes of a logit + M * D * bytes of a hidden state <= memory``, but at least 128 rows at a time.
    """
    left = memory - hidden.numel() * hidden.element_size()
    per_row = weight.shape[0] * dtype.itemsize + 2 * weight.shape[1] * dtype.itemsize
    if dtype != torch.float32 and hidden.device.type == 'cpu':
        per_row += 4 * weight.shape[0]  # the gradient once more in float32: see _add_product
    rows = max(left // per_row // _LEAST_ROWS * _LEAST_ROWS, _LEAST_ROWS)
    chunks = max(math.ceil(tokens / rows), 1)
    return max(min(math.ceil(tokens / chunks / _LEAST_ROWS) * _LEAST_ROWS, rows, tokens), 1)


def buffer_bytes(tokens: int, positions: int, width: int, vocabulary: int, dtype: torch.dtype, *,
                 memory: int = MEMORY) -> int:
    """Bytes that the head holds at its peak beside the gradient of the weight: the promise that a test measures.

    Args:
        tokens: N.
        positions: M.
        width, vocabulary: D and V.
        dtype: of hidden states and weight, on an accelerator.
        memory: as for :func:`linear_nll`.
    """
    hidden = torch.empty(positions, width, dtype=dtype, device='meta')
    rows = chunk_rows(tokens, hidden, torch.empty(vocabulary, width, dtype=dtype, device='meta'), dtype, memory)
    return (rows * vocabulary + positions * width + 2 * rows * width) * dtype.itemsize


@dataclass(frozen=True)
class _Plan:
    dtype: torch.dtype
    terms: LossTerms
    accuracy: bool
    backend: Backend
    rows: int
    weight_grad_dtype: torch.dtype
    with_gradient: bool


class _LinearNll(torch.autograd.Function):

    @staticmethod
    def forward(ctx, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, targets: torch.Tensor,
                weights: torch.Tensor, rows: torch.Tensor | None, plan: _Plan) -> tuple[torch.Tensor, torch.Tensor]:
        wants = [wanted and plan.with_gradient for wanted in ctx.needs_input_grad[:3]]
        precise = torch.float64 if plan.dtype == torch.float64 else torch.float32
        vocabulary, tokens = weight.shape[0], targets.shape[0]
        w, b = weight.to(plan.dtype), None if bias is None else bias.to(plan.dtype)
        weights = weights.to(precise)
        scale = _HALF_SCALE if plan.dtype == torch.float16 else 1.0
        grads = _Gradients.begin(hidden, weight, bias, wants, plan, precise, tokens)
        logits = hidden.new_empty((min(plan.rows, tokens), vocabulary), dtype=plan.dtype)  # (C, V)
        pass_over = _pass_of(plan.backend)
        losses = hidden.new_empty(tokens, dtype=precise)
        right = torch.empty(tokens, dtype=torch.bool, device=hidden.device)
        for part in _slices(tokens, plan.rows):
            source = part if rows is None else rows[part]
            h = hidden[source].to(plan.dtype)  # (C, D)
            z = logits[:h.shape[0]]
            if b is None:
                torch.mm(h, w.t(), out=z)
            else:
                torch.addmm(b, h, w.t(), out=z)
            pass_over(z, targets[part], weights[part], plan.terms, scale if any(wants) else None, losses[part],
                      right[part] if plan.accuracy else None)
            grads.add(z, h, w, source, 1 / scale)
        ctx.save_for_backward(*grads.tensors())
        ctx.scale = scale
        ctx.dtypes = [None if tensor is None else tensor.dtype for tensor in (hidden, weight, bias)]
        ctx.mark_non_differentiable(right)
        return (losses * weights).sum(), right

    @staticmethod
    @once_differentiable
    def backward(ctx, above: torch.Tensor, _: torch.Tensor):
        # Not in place: a caller may hold the first result when it asks for a second one. The chunk's logits are gone
        # by now, so that the peak is not here.
        hidden, weight, bias = ctx.saved_tensors
        of_hidden, of_weight, of_bias = ctx.dtypes
        return (_times(hidden, above / ctx.scale, of_hidden), _times(weight, above, of_weight),
                _times(bias, above, of_bias), None, None, None, None)


@dataclass
class _Gradients:
    """Sums over the chunks; each None where it is not wanted."""

    hidden: torch.Tensor | None  # (M, D)
    weight: torch.Tensor | None  # (V, D)
    bias: torch.Tensor | None  # (V,)

    @classmethod
    def begin(cls, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, wants: list[bool],
              plan: _Plan, precise: torch.dtype, tokens: int) -> _Gradients:
        # One chunk alone is summed inside the matmul; only float16 has no room for what is small before it is scaled.
        wide = tokens > plan.rows or plan.dtype == torch.float16
        sums = torch.promote_types(plan.weight_grad_dtype, plan.dtype) if wide else plan.dtype
        listed = tokens < hidden.shape[0]
        return cls((torch.zeros_like if listed else torch.empty_like)(hidden) if wants[0] else None,
                   torch.zeros_like(weight, dtype=sums) if wants[1] else None,
                   torch.zeros_like(bias, dtype=precise) if wants[2] and bias is not None else None)

    def add(self, z: torch.Tensor, h: torch.Tensor, w: torch.Tensor, source: slice | torch.Tensor,
            unscale: float) -> None:
        """Add a chunk: ``z`` [C, V] is its gradient over ``unscale``, ``h`` [C, D] its hidden states.

        The gradient of the hidden states stays over ``unscale``, so that float16 keeps what is small.
        """
        if self.hidden is not None:
            self.hidden[source] = torch.mm(z, w).to(self.hidden.dtype)
        if self.weight is not None:
            _add_product(self.weight, z.t(), h, unscale)
        if self.bias is not None:
            self.bias.add_(z.sum(0, dtype=self.bias.dtype), alpha=unscale)

    def tensors(self) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
        return self.hidden, self.weight, self.bias


def _add_product(total: torch.Tensor, left: torch.Tensor, right: torch.Tensor, factor: float) -> None:
    """``total += factor * left @ right`` with the sum in the dtype of ``total``, which may be wider than theirs."""
    if total.dtype == left.dtype:
        total.addmm_(left, right, alpha=factor)
    elif total.is_cuda:  # the wide sum is the matmul's own
        torch.addmm(total, left, right, out_dtype=total.dtype, alpha=factor, out=total)
    else:
        total.addmm_(left.to(total.dtype), right.to(total.dtype), alpha=factor)


def _times(grad: torch.Tensor | None, above: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor | None:
    if grad is None:
        return None
    # As a vector of one number ``above`` keeps its dtype; as a scalar it would be rounded to that of a 16-bit ``grad``
    # first, and every gradient of the model be wrong by the same up to 0.4 %.
    return torch.mul(grad, above.reshape(1), out=torch.empty_like(grad, dtype=dtype))


def _slices(length: int, step: int) -> Iterator[slice]:
    return (slice(begin, min(begin + step, length)) for begin in range(0, length, step))


def plain_pass(z: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, terms: LossTerms,
               grad_scale: float | None, losses: torch.Tensor, right: torch.Tensor | None) -> None:
    """One pass over the logits of a chunk, in plain PyTorch: what the Triton kernel is compared with.

    Args:
        z: [C, V] ``W h + b``; becomes ``grad_scale * dL/d(W h + b)``, or anything when that is None.
        targets: [C].
        weights: [C], in the dtype that is computed in.
        terms: see :class:`LossTerms`.
        grad_scale: factor on the gradient; None wants none.
        losses: [C], becomes the loss of each row, not weighted.
        right: [C] bool, becomes whether the target is the largest; None is not asked for.
    """
    bytes_at_a_time = _BLOCK_BYTES.get(z.device.type, _BLOCK_BYTES['cuda'])
    block = max(bytes_at_a_time // (z.shape[1] * weights.element_size()), 1)
    for part in _slices(z.shape[0], block):
        losses[part] = _plain_block(z[part], targets[part], weights[part], terms, grad_scale,
                                    None if right is None else right[part])


def _plain_block(z: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, terms: LossTerms,
                 grad_scale: float | None, right: torch.Tensor | None) -> torch.Tensor:
    """The same for a few rows; returns their losses. Where dtypes agree everything happens in ``z`` itself."""
    vocabulary, target = z.shape[1], targets[:, None]
    u = z.to(weights.dtype)
    if terms.scale != 1:
        u.mul_(terms.scale)
    slope = None
    if terms.softcap is not None:
        u.div_(terms.softcap).tanh_()
        slope = 1 - u.square() if grad_scale is not None else None
        u.mul_(terms.softcap)
    if right is not None:
        best = u.argmax(1)
        torch.eq(best, targets, out=right)
        largest = u.gather(1, best[:, None])
    else:
        largest = u.amax(1, keepdim=True)
    at_target = u.gather(1, target)
    mean = u.mean(1, keepdim=True) if terms.label_smoothing else 0.0
    total = u.sub_(largest).exp_().sum(1, keepdim=True)
    lse = largest + total.log()
    loss = lse - (1 - terms.label_smoothing) * at_target - terms.label_smoothing * mean + terms.z_loss * lse.square()
    if grad_scale is not None:
        outer = (grad_scale * terms.scale) * weights[:, None]
        u.mul_(outer * (1 + 2 * terms.z_loss * lse) / total)
        if terms.label_smoothing:
            u.sub_(outer * (terms.label_smoothing / vocabulary))
        u.scatter_add_(1, target, (terms.label_smoothing - 1) * outer)
        if slope is not None:
            u.mul_(slope)
        if u.dtype != z.dtype:
            z.copy_(u)
    return loss[:, 0]


def _pass_of(backend: Backend) -> Callable[..., None]:
    if backend == 'torch':
        return plain_pass
    from swift.kernels.loss_head_triton import triton_pass  # imports triton, which only accelerators have

    return triton_pass


def choose_backend(device: torch.device, dtype: torch.dtype) -> Backend:
    """Triton on CUDA where it is installed and right on this device, else plain PyTorch; told once."""
    return choose('The loss head', device, dtype, check)


def check(device: torch.device, dtype: torch.dtype) -> str | None:
    """Compare the Triton kernel with the plain pass on ``device``, on odd sizes.

    Returns:
        What is wrong, or None.
    """
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 32_003, generator=generator).mul_(4).to(device, dtype)
    targets = torch.tensor([0, 1, 16_384, 32_001, 32_002], device=device)
    weights = torch.tensor([1.0, 0.5, 2.0, 0.0, 1.0], device=device)
    terms = LossTerms(scale=0.5, softcap=30.0, label_smoothing=0.1, z_loss=1e-3)
    found = []
    for backend in ('torch', 'triton'):
        z, losses = logits.clone(), torch.empty(5, device=device)
        right = torch.empty(5, dtype=torch.bool, device=device)
        try:
            _pass_of(backend)(z, targets, weights, terms, 1.0, losses, right)
            found.append((z.float().cpu(), losses.cpu(), right.cpu()))
        except (RuntimeError, OSError, ImportError) as e:  # no compiler, no driver, another architecture
            return not_running(e)
    (z, losses, right), (other_z, other_losses, other_right) = found
    tolerance = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}[dtype]
    if not torch.allclose(losses, other_losses, rtol=1e-4) or not torch.equal(right, other_right):
        return 'its losses differ from plain PyTorch\'s'
    if not (z - other_z).abs().max() <= tolerance * z.abs().max():
        return 'its gradients differ from plain PyTorch\'s'
    return None
