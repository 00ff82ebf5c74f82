"""Time and peak memory of the loss head, forward and backward: plain, ours, and other people's where installed.

    python scripts/benchmark/loss_head.py [--output FILE] [--tune] [--tiny]

One H100, bfloat16, the head of Qwen2.5-0.5B, 1.5B and 7B, 2k, 8k and 32k tokens, the weight frozen (LoRA) and trained.
Memory is what is allocated at the peak beyond the inputs, the gradients of the hidden states (and weight) included.
The ideal is the arithmetic of the matmuls at 790 TFLOP/s: two of them with a frozen weight, three with a trained one.
Every way's loss and gradient are compared with float32 on the smallest number of tokens; one that fails is told and
goes without a row. `--tune` times the Triton pass alone over blocks and warps, and the head over memory budgets.
`--tiny` is the dry run for a machine without a GPU. Triton needs a warm-up of seconds, which is outside what is timed.
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import importlib.util
import itertools
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from swift.kernels import loss_head  # noqa: E402
from swift.kernels.loss_head import MEMORY, PLAIN, linear_nll  # noqa: E402

SHAPES = {'0.5B': (896, 151_936), '1.5B': (1536, 151_936), '7B': (3584, 152_064)}
TOKENS = (2048, 8192, 32_768)
PEAK_FLOPS = 790e12
WARM_UP, ROUNDS = 3, 7
CUDA = torch.cuda.is_available()
DEVICE = torch.device('cuda' if CUDA else 'cpu')

Way = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def plain(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """What transformers does: all logits, once more in float32, cross-entropy."""
    return (F.cross_entropy(F.linear(hidden, weight).float(), targets, reduction='none') * weights).sum()


def ours(backend: str, memory: int = MEMORY) -> Way:
    return lambda hidden, weight, targets, weights: linear_nll(hidden, weight, targets, weights, backend=backend,
                                                               memory=memory).loss


def liger() -> Way:
    from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

    loss = LigerFusedLinearCrossEntropyLoss(reduction='sum')
    return lambda hidden, weight, targets, weights: loss(weight, hidden, targets)


def cut_cross_entropy() -> Way:
    from cut_cross_entropy import linear_cross_entropy

    return lambda hidden, weight, targets, weights: linear_cross_entropy(hidden, weight, targets, reduction='sum')


def ways() -> dict[str, Way]:
    found: dict[str, Way] = {'plain': plain, 'ours, torch': ours('torch')}
    if CUDA and importlib.util.find_spec('triton'):
        found['ours, Triton'] = ours('triton')
    if CUDA and importlib.util.find_spec('liger_kernel'):
        found['Liger'] = liger()
    if CUDA and importlib.util.find_spec('cut_cross_entropy'):
        found['Cut Cross-Entropy'] = cut_cross_entropy()
    return found


def inputs(tokens: int, width: int, vocabulary: int, trained: bool, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """Hidden states of unit size and a weight that gives logits of standard deviation 3, as trained models have."""
    generator = torch.Generator(DEVICE).manual_seed(0)
    hidden = torch.randn(tokens, width, generator=generator, device=DEVICE, dtype=dtype)
    weight = torch.randn(vocabulary, width, generator=generator, device=DEVICE, dtype=dtype) * (3 / width ** 0.5)
    targets = torch.randint(vocabulary, (tokens,), generator=generator, device=DEVICE)
    return (hidden.requires_grad_(), weight.requires_grad_(trained), targets,
            torch.ones(tokens, device=DEVICE))


def step(way: Way, given: tuple[torch.Tensor, ...]) -> None:
    wanted = [tensor for tensor in given[:2] if tensor.requires_grad]
    torch.autograd.grad(way(*given) / len(given[0]), wanted)


def seconds_of(call: Callable[[], object], rounds: int) -> list[float]:
    found = []
    for _ in range(rounds):
        if CUDA:
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            call()
            end.record()
            torch.cuda.synchronize()
            found.append(begin.elapsed_time(end) / 1000)
        else:
            started = time.perf_counter()
            call()
            found.append(time.perf_counter() - started)
    return found


def measure(way: Way, given: tuple[torch.Tensor, ...], rounds: int) -> dict[str, float | str | None]:
    """Median milliseconds, their spread, and bytes at the peak beyond the inputs; or why there is nothing."""
    try:
        seconds_of(lambda: step(way, given), WARM_UP if CUDA else 1)
        if CUDA:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
        times = seconds_of(lambda: step(way, given), rounds)
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return {'ms': None, 'problem': 'out of memory'}
    return {'ms': round(statistics.median(times) * 1e3, 3), 'ms_least': round(min(times) * 1e3, 3),
            'ms_most': round(max(times) * 1e3, 3),
            'peak_mb': round((torch.cuda.max_memory_allocated() - before) / 1e6, 1) if CUDA else None}


def errors_of(way: Way, shape: tuple[int, int], tokens: int, dtype: torch.dtype) -> dict[str, float]:
    """Relative differences to float32 on the same 16-bit inputs: of the loss, and of gradients over their norm."""
    hidden, weight, targets, weights = inputs(tokens, *shape, True, dtype)
    exact = [tensor.detach().float().requires_grad_() for tensor in (hidden, weight)]
    tf32 = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    expected_loss = plain(*exact, targets, weights)
    expected = torch.autograd.grad(expected_loss, exact)
    torch.backends.cuda.matmul.allow_tf32 = tf32
    loss = way(hidden, weight, targets, weights)
    gradients = torch.autograd.grad(loss, (hidden, weight))
    return {'loss': abs(loss.item() / expected_loss.item() - 1)} | {
        name: ((one.float() - other).norm() / other.norm()).item()
        for name, one, other in zip(('hidden', 'weight'), gradients, expected, strict=True)}


def compare(shapes: dict[str, tuple[int, int]], tokens: Iterable[int], dtype: torch.dtype,
            rounds: int) -> tuple[dict[str, dict[str, float]], list[dict]]:
    errors: dict[str, dict[str, float]] = {}
    usable: dict[str, Way] = {}
    for name, way in ways().items():
        try:
            errors[name] = errors_of(way, next(iter(shapes.values())), min(tokens), dtype)
            usable[name] = way
        except Exception as e:  # of another package, or of a kernel that this machine can't compile: the table goes on
            print(f'{name} does not run: {type(e).__name__}: {str(e)[:300]}', flush=True)
            errors[name] = {'problem': f'{type(e).__name__}: {str(e)[:300]}'}
    rows = []
    for (model, shape), count, trained in itertools.product(shapes.items(), tokens, (False, True)):
        given = inputs(count, *shape, trained, dtype)
        ideal = (6 if trained else 4) * count * shape[0] * shape[1] / PEAK_FLOPS * 1e3
        for name, way in usable.items():
            rows.append({'model': model, 'width': shape[0], 'vocabulary': shape[1], 'tokens': count,
                         'weight': 'trained' if trained else 'frozen', 'way': name, 'ideal_ms': round(ideal, 3),
                         **measure(way, given, rounds)})
            print(line(rows[-1]), flush=True)
    return errors, rows


def line(row: dict) -> str:
    head = f'| {row["model"]} | {row["tokens"]} | {row["weight"]} | {row["way"]} |'
    if row['ms'] is None:
        return f'{head} {row["problem"]} | | |'
    memory = '' if row['peak_mb'] is None else f'{row["peak_mb"]:.0f}'
    return f'{head} {row["ms"]:.2f} | {100 * row["ideal_ms"] / row["ms"]:.0f} % | {memory} |'


def tune(shape: tuple[int, int], tokens: int, dtype: torch.dtype) -> dict[str, list[dict]]:
    """The Triton pass alone over blocks and warps; the whole head over memory budgets."""
    from swift.kernels import loss_head_triton

    width, vocabulary = shape
    rows = (1024 if CUDA else 4)
    z = torch.randn(rows, vocabulary, device=DEVICE).to(dtype)
    targets = torch.randint(vocabulary, (rows,), device=DEVICE)
    weights, losses = torch.ones(rows, device=DEVICE), torch.empty(rows, device=DEVICE)
    right = torch.empty(rows, dtype=torch.bool, device=DEVICE)
    passes = []
    usual = loss_head_triton.BLOCK, loss_head_triton.WARPS
    for block, warps in itertools.product((2048, 4096, 8192, 16_384, 32_768), (4, 8, 16, 32)):
        loss_head_triton.BLOCK, loss_head_triton.WARPS = block, warps
        call = functools.partial(loss_head_triton.triton_pass, z, targets, weights, PLAIN, 1.0, losses, right)
        seconds_of(call, WARM_UP)
        seconds = statistics.median(seconds_of(call, ROUNDS))
        passes.append({'block': block, 'warps': warps, 'ms': round(seconds * 1e3, 3),
                       'gb_per_s': round(2 * z.numel() * z.element_size() / seconds / 1e9, 1)})
        print(f'pass over [{rows}, {vocabulary}], block {block}, {warps} warps: {passes[-1]["ms"]} ms, '
              f'{passes[-1]["gb_per_s"]} GB/s of one read and one write', flush=True)
    loss_head_triton.BLOCK, loss_head_triton.WARPS = usual
    budgets = []
    for trained, mib in itertools.product((False, True), (128, 256, 448, 1024, 2048)):
        given = inputs(tokens, width, vocabulary, trained, dtype)
        chunk = loss_head.chunk_rows(tokens, given[0], given[1], dtype, mib * 2 ** 20)
        budgets.append({'weight': 'trained' if trained else 'frozen', 'memory_mib': mib, 'chunk_rows': chunk,
                        **measure(ours('triton', mib * 2 ** 20), given, ROUNDS)})
        print(json.dumps(budgets[-1]), flush=True)
    return {'passes': passes, 'budgets': budgets}


def versions() -> dict[str, str]:
    found = {'python': platform.python_version(), 'torch': torch.__version__,
             'device': torch.cuda.get_device_name() if CUDA else platform.processor() or 'cpu'}
    for package in ('triton', 'liger-kernel', 'cut-cross-entropy'):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--output', type=Path)
    parser.add_argument('--tune', action='store_true')
    parser.add_argument('--tiny', action='store_true')
    args = parser.parse_args()
    shapes, tokens, dtype, rounds = SHAPES, TOKENS, torch.bfloat16, ROUNDS
    if args.tiny:
        shapes, tokens, dtype, rounds = {'tiny': (64, 5003)}, (64, 512), torch.float32, 2
    print('| head of | tokens | weight | way | ms | of ideal | peak MB |\n|---|---|---|---|---|---|---|', flush=True)
    errors, rows = compare(shapes, tokens, dtype, rounds)
    for name, found in errors.items():
        print(f'{name}: {found}')
    result = {'versions': versions(), 'dtype': str(dtype), 'memory': MEMORY, 'errors': errors, 'rows': rows}
    if args.tune and CUDA:
        result['tune'] = {model: tune(shapes[model], 8192, dtype) for model in ('0.5B', '7B')}
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(result, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
