"""Time and peak memory of layers with LoRA, forward and backward: peft's, ours, and the layers without adapters.

    python scripts/benchmark/lora.py [--output FILE] [--tune] [--tiny]

One H100, bfloat16 weights that are frozen, rank 16, q/k/v, o, gate/up and down of Qwen2.5-0.5B, 1.5B and 7B, 8k and
16k tokens, without dropout and with 0.05, adapters in bfloat16 (`--fp32_adapters`: in float32 under autocast, as
`swift sft` trains them). Memory is what is allocated at the peak beyond inputs and weights, gradients included.
"Base" are the same layers without adapters, the floor; `adapters_ms` is what a way takes beyond it, beside the time
that its bytes take at 3.0 TB/s. Every way is compared with float32 first. `--tune` times each skinny product with
dropout alone over tiles, warps and stages. `--tiny` is the dry run for a machine without a GPU.
"""

from __future__ import annotations

import argparse
import copy
import functools
import importlib.metadata
import importlib.util
import itertools
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from peft import LoraConfig  # noqa: E402
from peft.tuners.lora import Linear  # noqa: E402
from torch import nn  # noqa: E402

from swift.kernels.lora import Drop, a_grad, choose_backend, down, up_grad  # noqa: E402
from swift.kernels.lora_linear import Adapter, Layer, lora_linear  # noqa: E402

WIDTHS = {'0.5B': (896, 128, 4864), '1.5B': (1536, 256, 8960), '7B': (3584, 512, 18_944)}  # model, keys, MLP
TOKENS = (8192, 16_384)
DROPOUT = (0.0, 0.05)
RANK = 16
BYTES_A_SECOND = 3.0e12
WARM_UP, ROUNDS = 3, 9
CUDA = torch.cuda.is_available()
DEVICE = torch.device('cuda' if CUDA else 'cpu')

Way = Callable[[torch.Tensor, list[Linear]], list[torch.Tensor]]


@dataclass(frozen=True)
class Shape:
    """Layers that read the same input: its width and theirs."""

    name: str
    width: int
    outs: tuple[int, ...]


def shapes_of(width: int, keys: int, mlp: int) -> list[Shape]:
    return [Shape('q/k/v', width, (width, keys, keys)), Shape('o', width, (width,)),
            Shape('gate/up', width, (mlp, mlp)), Shape('down', mlp, (width,))]


def layers_of(shape: Shape, p: float, dtype: torch.dtype, adapters: torch.dtype, rank: int) -> list[Linear]:
    torch.manual_seed(0)
    found = []
    for out in shape.outs:
        config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=p, init_lora_weights='gaussian')
        with torch.device(DEVICE):
            layer = Linear(nn.Linear(shape.width, out, bias=False), 'default', config, r=rank, lora_alpha=2 * rank)
        layer.base_layer.requires_grad_(False).to(dtype)
        layer.lora_A.to(adapters)
        layer.lora_B.to(adapters)
        nn.init.normal_(layer.lora_B['default'].weight, std=0.02)
        found.append(layer)
    return found


def base(x: torch.Tensor, layers: list[Linear]) -> list[torch.Tensor]:
    return [layer.base_layer(x) for layer in layers]


def peft(x: torch.Tensor, layers: list[Linear]) -> list[torch.Tensor]:
    return [layer(x) for layer in layers]


def described(layer: Linear) -> Layer:
    p = layer.lora_dropout['default'].p if isinstance(layer.lora_dropout['default'], nn.Dropout) else 0.0
    return Layer(layer.base_layer.weight, (Adapter(layer.lora_A['default'].weight, layer.lora_B['default'].weight,
                                                   layer.scaling['default'], p),))


def ours(backend: str, together: bool = True) -> Way:
    def way(x: torch.Tensor, layers: list[Linear]) -> list[torch.Tensor]:
        if together:
            return lora_linear(x, [described(layer) for layer in layers], backend=backend)
        return [lora_linear(x, [described(layer)], backend=backend)[0] for layer in layers]

    return way


def ways() -> dict[str, Way]:
    found = {'base': base, 'peft': peft, 'ours, torch': ours('torch')}
    if CUDA and choose_backend(DEVICE, torch.bfloat16) == 'triton':
        found |= {'ours': ours('triton'), 'ours, one by one': ours('triton', together=False)}
    return found


def step(way: Way, x: torch.Tensor, layers: list[Linear], above: list[torch.Tensor], autocast: bool) -> None:
    with torch.autocast(DEVICE.type, torch.bfloat16, enabled=autocast):
        outputs = way(x, layers)
    wanted = [x] if way is base else [x, *(p for layer in layers for p in layer.parameters() if p.requires_grad)]
    torch.autograd.grad(outputs, wanted, above)


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


def measure(call: Callable[[], object], rounds: int) -> dict[str, float | None]:
    seconds_of(call, WARM_UP if CUDA else 1)
    before = 0
    if CUDA:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    times = seconds_of(call, rounds)
    return {'ms': round(statistics.median(times) * 1e3, 4), 'ms_least': round(min(times) * 1e3, 4),
            'ms_most': round(max(times) * 1e3, 4),
            'peak_mb': round((torch.cuda.max_memory_allocated() - before) / 1e6, 1) if CUDA else None}


def predicted_bytes(shape: Shape, tokens: int, rank: int, size: int) -> int:
    """What the adapters of a group move beyond the base's matmuls, in :func:`lora_linear`.

    x is read by down and by a_grad, dx read and written by up_grad, y read and written by the sum with B's part, dy
    read for low and for dB; xA and low (four readings and writings each) are little.
    """
    return tokens * size * (2 * shape.width + 2 * shape.width + sum(4 * out for out in shape.outs)
                            + 8 * rank * len(shape.outs))


def errors_of(way: Way, shape: Shape, dtype: torch.dtype, rank: int) -> dict[str, float]:
    """Relative distance to float32 of outputs, dx and gradients of adapters, without dropout."""
    layers = layers_of(shape, 0.0, dtype, dtype, rank)
    x = torch.randn(512, shape.width, device=DEVICE).to(dtype).requires_grad_()
    above = [torch.randn(512, out, device=DEVICE).to(dtype) for out in shape.outs]
    found = []
    exact = [copy.deepcopy(layer).float() for layer in layers]
    for given, some in ((x, layers), (x.detach().float().requires_grad_(), exact)):
        outputs = (peft if some is not layers else way)(given, some)
        wanted = [given, *(p for layer in some for p in layer.parameters() if p.requires_grad)]
        found.append([torch.cat([y.flatten() for y in outputs]),
                      *torch.autograd.grad(outputs, wanted, [dy.to(outputs[0].dtype) for dy in above])])
    names = ['output', 'dx'] + ['adapter'] * (len(found[0]) - 2)
    errors: dict[str, float] = {}
    for name, one, other in zip(names, *found, strict=True):
        errors[name] = max(errors.get(name, 0.0), ((one.float() - other).norm() / other.norm()).item())
    return errors


def compare(args: argparse.Namespace) -> dict:
    widths, tokens, dtype, rounds, rank = WIDTHS, TOKENS, torch.bfloat16, ROUNDS, args.rank
    if args.tiny:
        widths, tokens, dtype, rounds, rank = {'tiny': (64, 16, 96)}, (32,), torch.float32, 2, 4
    adapters = torch.float32 if args.fp32_adapters else dtype
    errors = {name: errors_of(way, shapes_of(*next(iter(widths.values())))[0], dtype, rank)
              for name, way in ways().items() if way is not base}
    print(json.dumps(errors, indent=1), flush=True)
    rows = []
    print('| model | layers | tokens | p | way | ms | beyond base | bytes at 3 TB/s | peak MB |\n' + '|---' * 9 + '|')
    for (model, width), count, p in itertools.product(widths.items(), tokens, DROPOUT):
        for shape in shapes_of(*width):
            layers = layers_of(shape, p, dtype, adapters, rank)
            x = torch.randn(count, shape.width, device=DEVICE).to(dtype).requires_grad_()
            above = [torch.randn(count, out, device=DEVICE).to(dtype) for out in shape.outs]
            floor = 0.0
            for name, way in ways().items():
                found = measure(functools.partial(step, way, x, layers, above, args.fp32_adapters), rounds)
                floor = found['ms'] if way is base else floor
                ideal = predicted_bytes(shape, count, rank, dtype.itemsize) / BYTES_A_SECOND * 1e3
                rows.append({'model': model, 'layers': shape.name, 'tokens': count, 'p': p, 'way': name, **found,
                             'adapters_ms': round(found['ms'] - floor, 4),
                             'ideal_ms': 0.0 if way is base else round(ideal, 4)})
                print(line(rows[-1]), flush=True)
    return {'errors': errors, 'rows': rows, 'rank': rank, 'dtype': str(dtype), 'adapters': str(adapters)}


def line(row: dict) -> str:
    memory = '' if row['peak_mb'] is None else row['peak_mb']
    return (f'| {row["model"]} | {row["layers"]} | {row["tokens"]} | {row["p"]} | {row["way"]} | {row["ms"]:.3f} | '
            f'{row["adapters_ms"]:.3f} | {row["ideal_ms"]:.3f} | {memory} |')


def tune(rank: int) -> list[dict]:
    """Each skinny product with dropout alone, over tiles, warps and stages: GB/s of x read once (dx read and written).
    """
    from swift.kernels import lora_triton

    rows, usual = [], lora_triton._tile
    for (model, (width, _, mlp)), groups, dropped in itertools.product(WIDTHS.items(), (1, 3), (True, False)):
        for columns in {width, mlp} if groups == 1 else {width}:
            tokens, drop = 8192, Drop(0.05, 2 ** 40) if dropped else None
            x = torch.randn(tokens, columns, device=DEVICE, dtype=torch.bfloat16)
            a = torch.randn(groups * rank, columns, device=DEVICE, dtype=torch.bfloat16)
            low = torch.randn(tokens, groups * rank, device=DEVICE, dtype=torch.bfloat16)
            calls = {'down': lambda x=x, a=a, g=groups, d=drop: down(x, a, groups=g, drop=d),
                     'up_grad': lambda x=x, a=a, g=groups, d=drop, low=low: up_grad(low, a, x, groups=g, drop=d),
                     'a_grad': lambda x=x, g=groups, d=drop, low=low: a_grad(low, x, groups=g, drop=d)}
            grid = itertools.product((64, 128), (4, 8), (2, 3, 4)) if dropped else [(0, 0, 0)]
            for (block, warps, stages), (name, call) in itertools.product(grid, calls.items()):
                if dropped:
                    lora_triton._tile = lambda *given, b=block, w=warps, s=stages: usual(*given) | {
                        'COLUMNS': b, 'num_warps': w, 'num_stages': s}
                try:
                    seconds_of(call, WARM_UP)
                    seconds = statistics.median(seconds_of(call, ROUNDS))
                except Exception as e:  # a tile that does not fit on this machine: the table goes on
                    print(f'{name} {block} {warps} {stages}: {type(e).__name__}', flush=True)
                    continue
                moved = x.numel() * x.element_size() * (2 if name == 'up_grad' else 1)
                rows.append({'model': model, 'product': name, 'width': columns, 'groups': groups, 'dropout': dropped,
                             'columns': block, 'warps': warps, 'stages': stages, 'ms': round(seconds * 1e3, 4),
                             'gb_per_s': round(moved / seconds / 1e9, 1)})
                print(json.dumps(rows[-1]), flush=True)
            lora_triton._tile = usual
    return rows


def versions() -> dict[str, str]:
    found = {'python': platform.python_version(), 'torch': torch.__version__,
             'device': torch.cuda.get_device_name() if CUDA else platform.processor() or 'cpu'}
    for package in ('triton', 'peft'):
        if importlib.util.find_spec(package):
            found[package] = importlib.metadata.version(package)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--output', type=Path)
    parser.add_argument('--rank', type=int, default=RANK)
    parser.add_argument('--fp32_adapters', action='store_true')
    parser.add_argument('--tune', action='store_true')
    parser.add_argument('--tiny', action='store_true')
    args = parser.parse_args()
    result = {'versions': versions(), **compare(args)}
    if args.tune and CUDA:
        result['tune'] = tune(args.rank)
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(result, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
