"""Time of the elementwise kernels of a decoder block: ours, eager PyTorch, and torch.compile and Liger where asked for.

    python scripts/benchmark/elementwise.py [--output FILE] [--compile] [--models 0.5B 7B] [--tiny]

One GPU, bfloat16, the shapes of Qwen2.5-0.5B, 1.5B and 7B. GB/s are the bytes that an operation must move (each input
read once, each result written once) over the time, for every way the same number: what a way moves beyond that makes it
slower. The ideal is those bytes at 3.0 TB/s, what a copy reaches on an H100. Backward passes of other people are timed
through autograd. Each kernel is compared with plain PyTorch first. `--compile` adds torch.compile, whose compilation is
outside what is timed. `--tiny` is the dry run for a machine without a GPU.
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import importlib.util
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from swift.kernels import gated, norm, rotary  # noqa: E402

PEAK_BYTES = 3.0e12
EPS, RANK, DROP = 1e-6, 16, (0.05, 2 ** 33 + 7)
CUDA = torch.cuda.is_available()
DEVICE = torch.device('cuda' if CUDA else 'cpu')


@dataclass(frozen=True)
class Shape:
    tokens: int
    width: int  # D
    intermediate: int  # I
    heads: tuple[int, int]  # Hq, Hk
    head_dim: int


SHAPES = {'0.5B': Shape(16_384, 896, 4864, (14, 2), 64), '1.5B': Shape(16_384, 1536, 8960, (12, 2), 128),
          '7B': Shape(8192, 3584, 18_944, (28, 4), 128)}
TINY = {'tiny': Shape(64, 96, 160, (4, 2), 16)}


@dataclass(frozen=True)
class Operation:
    """One row of the table.

    Attributes:
        elements: that must be moved, in the dtype of the run.
        ours: given a backend, does it once.
        formula: what others compute in the forward, of ``inputs``; None: nothing to compare with.
        gradients: of the formula's results, where the operation is a backward.
        liger: as ``formula``.
    """

    name: str
    elements: int
    ours: Callable[[str], object]
    formula: Callable[..., object] | None = None
    inputs: tuple[torch.Tensor, ...] = ()
    gradients: tuple[torch.Tensor, ...] = ()
    liger: Callable[..., object] | None = field(default=None)


def rms_norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """As transformers' LlamaRMSNorm."""
    wide = x.float()
    return weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + EPS)).to(x.dtype)


def add_rms_norm(x: torch.Tensor, y: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    total = x + y
    return total, rms_norm(total, weight)


def swiglu(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.silu(gate) * up


def turned(q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """As transformers' apply_rotary_pos_emb, of [T, H, d]."""
    def half(x: torch.Tensor) -> torch.Tensor:
        first, second = x.chunk(2, -1)
        return torch.cat([-second, first], -1)

    return tuple(x * cos[:, None] + half(x) * sin[:, None] for x in (q, k))


def normed_and_turned(q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, q_weight: torch.Tensor,
                      k_weight: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return turned(rms_norm(q, q_weight), rms_norm(k, k_weight), cos, sin)


def liger_functions() -> dict[str, Callable[..., object]]:
    if not CUDA or importlib.util.find_spec('liger_kernel') is None:
        return {}
    from liger_kernel.ops.rms_norm import LigerRMSNormFunction
    from liger_kernel.ops.rope import LigerRopeFunction
    from liger_kernel.ops.swiglu import LigerSiLUMulFunction

    def rope(q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> object:
        # it takes [1, H, T, d] and turns in place: each round turns further, which is the same work
        return LigerRopeFunction.apply(q.transpose(0, 1)[None], k.transpose(0, 1)[None], cos[None], sin[None])

    return {'norm': lambda x, weight: LigerRMSNormFunction.apply(x, weight, EPS, 0.0, 'llama', False),
            'gated': lambda gate, up: LigerSiLUMulFunction.apply(gate, up), 'rotary': rope}


def operations(shape: Shape, dtype: torch.dtype) -> list[Operation]:
    generator = torch.Generator(DEVICE).manual_seed(0)

    def random(*size: int, grad: bool = False) -> torch.Tensor:
        return torch.randn(size, generator=generator, device=DEVICE, dtype=dtype).requires_grad_(grad)

    return [*of_norm(shape, random), *of_gated(shape, random), *of_rotary(shape, random)]


def of_norm(shape: Shape, random: Callable[..., torch.Tensor]) -> list[Operation]:
    t, d = shape.tokens, shape.width
    x, y, dy, residual = (random(t, d) for _ in range(4))
    weight = random(d)
    rstd = norm.rms_norm(x, weight, EPS, backend='torch')[1]
    leaves = (x.clone().requires_grad_(), weight.clone().requires_grad_())
    frozen = (leaves[0], weight)
    liger = liger_functions().get('norm')

    def backward(backend: str, weight_grad: bool, **more: torch.Tensor) -> object:
        return norm.rms_norm_backward(dy, x, weight, rstd, weight_grad=weight_grad, backend=backend, **more)

    return [
        Operation('rms_norm', 2 * t * d, lambda backend: norm.rms_norm(x, weight, EPS, backend=backend), rms_norm,
                  (x, weight), liger=liger),
        Operation('add_rms_norm', 4 * t * d, lambda backend: norm.add_rms_norm(x, y, weight, EPS, backend=backend),
                  add_rms_norm, (x, y, weight)),
        Operation('rms_norm_backward', 3 * t * d, lambda backend: backward(backend, False), rms_norm, frozen, (dy,),
                  liger),
        Operation('rms_norm_backward, weight', 3 * t * d, lambda backend: backward(backend, True), rms_norm, leaves,
                  (dy,), liger),
        Operation('rms_norm_backward, weight, residual', 4 * t * d,
                  lambda backend: backward(backend, True, residual=residual))]


def of_gated(shape: Shape, random: Callable[..., torch.Tensor]) -> list[Operation]:
    t, i = shape.tokens, shape.intermediate
    gu, da = random(t, 2 * i), random(t, i)
    low, low_weight = random(t, RANK), random(RANK, i)
    out, act = torch.empty_like(gu), torch.empty_like(da)
    leaves = tuple(half.contiguous().requires_grad_() for half in gu.chunk(2, 1))
    liger = liger_functions().get('gated')

    def backward(backend: str, **more: object) -> object:
        return gated.gated_backward(da, gu, 'silu', out=out, backend=backend, **more)

    adapter = {'low': low, 'low_weight': low_weight}
    thin = RANK * (t + i)
    return [
        Operation('swiglu', 3 * t * i, lambda backend: gated.gated(gu, 'silu', out=act, backend=backend), swiglu,
                  tuple(leaf.detach() for leaf in leaves), liger=liger),
        Operation('swiglu_backward', 5 * t * i, backward, swiglu, leaves, (da,), liger),
        Operation('swiglu_backward, act', 6 * t * i, lambda backend: backward(backend, act_out=act)),
        Operation('swiglu_backward, act, LoRA', 6 * t * i + thin,
                  lambda backend: backward(backend, act_out=act, **adapter)),
        Operation('swiglu_backward, act, LoRA, dropout', 6 * t * i + thin,
                  lambda backend: backward(backend, act_out=act, drop=DROP, **adapter))]


def of_rotary(shape: Shape, random: Callable[..., torch.Tensor]) -> list[Operation]:
    t, (hq, hk), d = shape.tokens, shape.heads, shape.head_dim
    qkv, gradient = random(t, (hq + 2 * hk) * d), random(t, (hq + 2 * hk) * d)
    angle = torch.arange(t, device=DEVICE)[:, None] / 10_000 ** (torch.arange(0, d, 2, device=DEVICE) / d)
    cos, sin = (table.repeat(1, 2).to(qkv.dtype) for table in (angle.cos(), angle.sin()))
    weights = random(d), random(d)
    parts = [part.contiguous() for part in gradient.unflatten(1, (hq + 2 * hk, d)).split([hq, hk, hk], 1)]
    leaves = tuple(part.contiguous().requires_grad_()
                   for part in qkv.unflatten(1, (hq + 2 * hk, d)).split([hq, hk, hk], 1)[:2])
    norms = {'q_weight': weights[0], 'k_weight': weights[1]}
    given = {'heads': shape.heads, 'head_dim': d}
    rstd = rotary.rotate(qkv, cos, sin, backend='torch', **norms, **given)[1]
    both, packed, tables = t * (hq + hk) * d, t * (hq + 2 * hk) * d, t * d
    plain = (*(leaf.detach() for leaf in leaves), cos, sin)
    liger = liger_functions().get('rotary')
    weighted = tuple(weight.clone().requires_grad_() for weight in weights)
    return [
        Operation('rotate', 2 * both + tables, lambda backend: rotary.rotate(qkv, cos, sin, backend=backend, **given),
                  turned, plain, liger=liger),
        # what others do ends with the gradients of queries and keys apart: packing them with dv is not in their time
        Operation('rotate_backward', 2 * packed + tables,
                  lambda backend: rotary.rotate_backward(*parts, cos, sin, backend=backend), turned,
                  (*leaves, cos, sin), tuple(parts[:2])),
        Operation('rotate, QK-norm', 2 * both + tables,
                  lambda backend: rotary.rotate(qkv, cos, sin, backend=backend, **norms, **given), normed_and_turned,
                  (*plain, *weights)),
        Operation('rotate_backward, QK-norm', 2 * packed + both + tables,
                  lambda backend: rotary.rotate_backward(*parts, cos, sin, qkv=qkv, rstd=rstd, weight_grad=True,
                                                         backend=backend, **norms), normed_and_turned,
                  (*leaves, cos, sin, *weighted), tuple(parts[:2]))]


def through_autograd(function: Callable[..., object], operation: Operation) -> Callable[[], object]:
    """The forward without a graph, or the backward of a graph that is made here once."""
    if not operation.gradients:
        def forward() -> object:
            with torch.no_grad():
                return function(*operation.inputs)

        return forward
    results = function(*operation.inputs)
    results = results if isinstance(results, tuple) else (results,)
    gradients = [gradient.reshape(result.shape) for gradient, result in zip(operation.gradients, results, strict=True)]
    leaves = [leaf for leaf in operation.inputs if leaf.requires_grad]
    return lambda: torch.autograd.grad(results, leaves, gradients, retain_graph=True)


def ways(operation: Operation, compiled: bool) -> dict[str, Callable[[], Callable[[], object]]]:
    """What makes each way's call; making it may fail, and may compile."""
    found: dict[str, Callable[[], Callable[[], object]]] = {}
    if CUDA:
        found['ours, Triton'] = lambda: functools.partial(operation.ours, 'triton')
    found['ours, torch'] = lambda: functools.partial(operation.ours, 'torch')
    if operation.formula is not None:
        found['eager'] = lambda: through_autograd(operation.formula, operation)
        if compiled:
            found['compile'] = lambda: through_autograd(torch.compile(operation.formula, dynamic=False), operation)
    if operation.liger is not None:
        found['Liger'] = lambda: through_autograd(operation.liger, operation)
    return found


def milliseconds(call: Callable[[], object]) -> float:
    if CUDA:
        from triton.testing import do_bench

        return do_bench(call, warmup=25, rep=100, return_mode='median')
    call()
    started = time.perf_counter()
    for _ in range(3):
        call()
    return (time.perf_counter() - started) / 3 * 1e3


def measure(model: str, shape: Shape, dtype: torch.dtype, compiled: bool) -> list[dict]:
    rows = []
    for operation in operations(shape, dtype):
        moved = operation.elements * dtype.itemsize
        for way, make in ways(operation, compiled).items():
            row = {'model': model, 'tokens': shape.tokens, 'operation': operation.name, 'way': way, 'mb': moved / 1e6,
                   'ideal_ms': round(moved / PEAK_BYTES * 1e3, 4)}
            try:
                ms = milliseconds(make())
            except Exception as e:  # of another package, or of a kernel that this machine can't compile: go on
                row['problem'] = f'{type(e).__name__}: {str(e)[:300]}'
            else:
                row |= {'ms': round(ms, 4), 'gb_per_s': round(moved / ms / 1e6, 1)}
            rows.append(row)
            print(line(row), flush=True)
        if CUDA:
            torch.cuda.empty_cache()
    return rows


def line(row: dict) -> str:
    head = f'| {row["model"]} | {row["operation"]} | {row["way"]} | {row["mb"]:.0f} |'
    if 'problem' in row:
        return f'{head} {row["problem"].splitlines()[0]} | | |'
    return f'{head} {row["ms"]:.3f} | {row["gb_per_s"]:.0f} | {100 * row["ideal_ms"] / row["ms"]:.0f} % |'


def versions() -> dict[str, str]:
    found = {'python': platform.python_version(), 'torch': torch.__version__,
             'device': torch.cuda.get_device_name() if CUDA else platform.processor() or 'cpu'}
    for package in ('triton', 'liger-kernel'):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--output', type=Path)
    parser.add_argument('--compile', action='store_true')
    parser.add_argument('--models', nargs='+', choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument('--tiny', action='store_true')
    args = parser.parse_args()
    shapes = TINY if args.tiny else {name: SHAPES[name] for name in args.models}
    dtype = torch.float32 if args.tiny else torch.bfloat16
    checks = {}
    if CUDA:
        for name, module in (('norm', norm), ('gated', gated), ('rotary', rotary)):
            checks[name] = module.check(DEVICE, dtype)
            print(f'{name}: {checks[name] or "agrees with plain PyTorch"}', flush=True)
    print('| model | operation | way | MB | ms | GB/s | of ideal |\n|---|---|---|---|---|---|---|', flush=True)
    rows = [row for name, shape in shapes.items() for row in measure(name, shape, dtype, args.compile)]
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        result = {'versions': versions(), 'dtype': str(dtype), 'checks': checks, 'rows': rows}
        args.output.write_text(json.dumps(result, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
