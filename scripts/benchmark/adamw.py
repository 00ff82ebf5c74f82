"""Time of an optimizer step with clipping: torch's AdamW, ours, and the check for NaN on the host or on the device.

    python scripts/benchmark/adamw.py [--output FILE] [--tiny]

One GPU, the trained tensors of Qwen2.5-0.5B and 1.5B, in full (bfloat16) and as LoRA of rank 16 on every linear layer
(336 and 392 small float32 tensors). A step is: norm, clipping, check, update. "GPU" is the time between two events
around it, "host" how long the call holds up Python, which is what the next forward waits for. The bytes are those that
the formula needs: read and write weight and moments, read the gradient once for the norm and once for the step. The
ideal is these bytes at 3.0 TB/s. Of every way it is told what share of the way of float64 its weights go in three
steps: all of it is right in the mean, and less is what rounding to nearest loses. `--tiny` is the dry run for a machine
without a GPU (plain PyTorch, no Triton).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch import nn  # noqa: E402

from swift.kernels.adamw import choose_backend  # noqa: E402
from swift.trainers.adamw import AdamW  # noqa: E402
from swift.trainers.guard import StepGuard  # noqa: E402

CUDA = torch.cuda.is_available()
DEVICE = torch.device('cuda' if CUDA else 'cpu')
BANDWIDTH = 3.0e12  # of a copy, measured on one H100
MAX_NORM = 1.0
ADAM = {'lr': 1e-5, 'betas': (0.9, 0.95), 'eps': 1e-8, 'weight_decay': 0.1}
# width, width of the MLP, blocks, width of keys and values, vocabulary (one table, tied)
MODELS = {'0.5B': (896, 4864, 24, 128, 151_936), '1.5B': (1536, 8960, 28, 256, 151_936)}
TINY = {'tiny': (64, 128, 2, 32, 512)}
WARM_UP, ROUNDS = 3, 20

Step = Callable[[int], None]


def linears(width: int, mlp: int, blocks: int, kv: int, vocabulary: int) -> list[tuple[int, int]]:
    """(out, in) of every linear layer."""
    return [(width, width), (kv, width), (kv, width), (width, width), (mlp, width), (mlp, width), (width, mlp)] * blocks


def shapes_of(model: tuple[int, int, int, int, int], lora: bool) -> list[tuple[int, ...]]:
    """Shapes of what is trained."""
    width, _, blocks, kv, vocabulary = model
    if lora:
        return [shape for out, into in linears(*model) for shape in ((16, into), (out, 16))]
    others = [(width,), (kv,), (kv,), (width,), (width,)] * blocks  # biases of q, k and v, and two norms
    return [(vocabulary, width), *linears(*model), *others, (width,)]


def torch_way(parameters: list[nn.Parameter], **options: bool) -> Step:
    """What the Trainer does, with the check on the host before the step."""
    optimizer = torch.optim.AdamW(parameters, **ADAM, **options)

    def step(number: int) -> None:
        norm = nn.utils.clip_grad_norm_(parameters, MAX_NORM)
        if not torch.isfinite(norm):
            raise ArithmeticError('NaN')
        optimizer.step()
    return step


def guarded(parameters: list[nn.Parameter], optimizer: torch.optim.Optimizer) -> Step:
    guard = StepGuard(optimizer, DEVICE, MAX_NORM, world=1)
    losses = torch.ones(1, device=DEVICE)

    def step(number: int) -> None:
        guard.before_step(losses, number)
        optimizer.step()
    return step


def ways(dtype: torch.dtype) -> dict[str, Callable[[list[nn.Parameter]], Step]]:
    found = {'torch foreach': lambda p: torch_way(p, foreach=True),
             'torch fused': lambda p: torch_way(p, fused=True),
             'torch fused, guarded': lambda p: guarded(p, torch.optim.AdamW(p, **ADAM, fused=True)),
             'ours (adamw_torch)': lambda p: guarded(p, AdamW(p, **ADAM))}
    if dtype == torch.bfloat16:
        found['adamw_bf16'] = lambda p: guarded(p, AdamW(p, **ADAM, state_dtype=torch.bfloat16, stochastic=True))
        found['adamw_sr'] = lambda p: guarded(p, AdamW(p, **ADAM, state_dtype=torch.float32, stochastic=True))
    return found


def parameters_of(shapes: list[tuple[int, ...]], dtype: torch.dtype) -> list[nn.Parameter]:
    generator = torch.Generator(DEVICE).manual_seed(0)
    parameters = []
    for shape in shapes:
        parameter = nn.Parameter((torch.randn(shape, generator=generator, device=DEVICE) * 0.02).to(dtype))
        parameter.grad = (torch.randn(shape, generator=generator, device=DEVICE) * 1e-3).to(dtype)
        parameters.append(parameter)
    return parameters


def share_of(make: Callable[[list[nn.Parameter]], Step], dtype: torch.dtype) -> float:
    """How far weights go in three steps, in the mean, over how far they go in float64."""
    parameters = parameters_of([(1024, 512), (5,), (64, 64)], dtype)
    exact = [nn.Parameter(parameter.detach().double()) for parameter in parameters]
    start = [parameter.detach().clone() for parameter in exact]
    oracle, step = torch.optim.AdamW(exact, **ADAM), make(parameters)
    for number in (1, 2, 3):
        for parameter, double in zip(parameters, exact, strict=True):
            double.grad = parameter.grad.double()  # clipping may have changed it: the same once more
        step(number)
        nn.utils.clip_grad_norm_(exact, MAX_NORM)
        oracle.step()
    way = torch.cat([(one - old).flatten() for one, old in zip(exact, start, strict=True)]).detach()
    gone = torch.cat([(one.double() - old).flatten() for one, old in zip(parameters, start, strict=True)]).detach()
    return ((gone * way.sign()).mean() / way.abs().mean()).item()


def measure(step: Step, rounds: int) -> dict[str, float | None]:
    """Median milliseconds on the GPU and of the host, and MB at the peak beyond weights, gradients and moments."""
    for number in range(1, WARM_UP + 1):
        step(number)
    if not CUDA:
        started = time.perf_counter()
        step(WARM_UP + 1)
        return {'gpu_ms': None, 'host_ms': round((time.perf_counter() - started) * 1e3, 3), 'peak_mb': None}
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before, gpu, host = torch.cuda.memory_allocated(), [], []
    for number in range(rounds):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda._sleep(20_000_000)  # ten milliseconds of work before it, as a backward is
        started = time.perf_counter()
        begin.record()
        step(WARM_UP + 1 + number)
        end.record()
        host.append((time.perf_counter() - started) * 1e3)
        torch.cuda.synchronize()
        gpu.append(begin.elapsed_time(end))
    return {'gpu_ms': round(statistics.median(gpu), 3), 'gpu_ms_least': round(min(gpu), 3),
            'gpu_ms_most': round(max(gpu), 3), 'host_ms': round(statistics.median(host), 3),
            'peak_mb': round((torch.cuda.max_memory_allocated() - before) / 1e6, 1)}


def bytes_of(shapes: list[tuple[int, ...]], dtype: torch.dtype, moments: torch.dtype) -> int:
    numbers = sum(torch.Size(shape).numel() for shape in shapes)
    return numbers * (2 * dtype.itemsize + 2 * dtype.itemsize + 4 * moments.itemsize)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--output', type=Path)
    parser.add_argument('--tiny', action='store_true')
    args = parser.parse_args()
    rows, shares = [], {}
    print('| trained | tensors | way | GPU ms | ideal | host ms | peak MB |\n|---|---|---|---|---|---|---|', flush=True)
    for (name, model), lora in ((pair, lora) for pair in (TINY if args.tiny else MODELS).items()
                                for lora in (False, True)):
        dtype = torch.float32 if lora else torch.bfloat16
        shapes = shapes_of(model, lora)
        for way, make in ways(dtype).items():
            moments = torch.float32 if way == 'adamw_sr' else dtype
            shares.setdefault(f'{way}, {str(dtype).removeprefix("torch.")}', round(share_of(make, dtype), 4))
            size = bytes_of(shapes, dtype, moments)
            try:
                found = measure(make(parameters_of(shapes, dtype)), 2 if args.tiny else ROUNDS)
            except torch.OutOfMemoryError:
                found = {'gpu_ms': None, 'host_ms': None, 'peak_mb': None, 'problem': 'out of memory'}
            rows.append({'model': name, 'trained': 'LoRA r16' if lora else 'full', 'tensors': len(shapes),
                         'numbers': sum(torch.Size(shape).numel() for shape in shapes), 'dtype': str(dtype), 'way': way,
                         'bytes': size, 'ideal_ms': round(size / BANDWIDTH * 1e3, 3), **found})
            row = rows[-1]
            print(f'| {name} {row["trained"]} | {row["tensors"]} | {way} | {row["gpu_ms"]} | {row["ideal_ms"]} | '
                  f'{row["host_ms"]} | {row["peak_mb"]} |', flush=True)
            if CUDA:
                torch.cuda.empty_cache()
    for way, share in shares.items():
        print(f'{way}: goes {100 * share:.1f} % of the way of float64')
    versions = {'python': platform.python_version(), 'torch': torch.__version__,
                'device': torch.cuda.get_device_name() if CUDA else platform.processor() or 'cpu',
                'backend': choose_backend(DEVICE, torch.bfloat16)}
    try:
        versions['triton'] = importlib.metadata.version('triton')
    except importlib.metadata.PackageNotFoundError:
        pass
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps({'versions': versions, 'shares': shares, 'rows': rows}, indent=1) + '\n',
                               encoding='utf-8')


if __name__ == '__main__':
    main()
