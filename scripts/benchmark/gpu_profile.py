"""A trace of torch.profiler -> milliseconds a step by kernel and by class of kernel. It starts no profiler."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

_ON_DEVICE = ('kernel', 'gpu_memcpy', 'gpu_memset')
_MATMUL = re.compile(r'gemm|gemv|nvjet|cublas|matmul|splitk|xmma|wgmma|cutlass', re.IGNORECASE)
# The first that is found in a kernel's name; matmuls are told apart by their shapes before.
_CLASSES = [(name, re.compile(pattern, re.IGNORECASE)) for name, pattern in (
    ('attention', r'flash|fmha|attention|attn|sdpa|varlen'),
    ('lora', r'lora|dropout|philox|bernoulli'),
    ('head', r'cross_?entropy|loss_head|soft_?max|nll|logsumexp|argmax'),
    ('norm', r'rms_?norm|layer_?norm|(^|_)norm'),
    ('activation', r'swiglu|geglu|silu|gelu|gated'),
    ('rotary', r'rope|rotary'),
    ('optimizer', r'adam|multi_tensor|foreach|lpnorm|stochastic_round'),
    ('matmul', _MATMUL.pattern),
    ('copies, casts, elementwise', r'elementwise|copy|cast|fill|memcpy|memset|catarray|index|gather|scatter|reduce|'
                                   r'vectorized|embedding|_add|_mul'))]
_LOW_RANK, _VOCABULARY = 64, 100_000


def class_of(kernel: str, shapes: Iterable[list[int]]) -> str:
    """The class of a kernel.

    Args:
        kernel: its name.
        shapes: of the inputs of the operator that started it, where known. A matmul with a side of at most 64 is one
            of LoRA's, one with a side of at least 100,000 is the output head's.
    """
    if _MATMUL.search(kernel) and not _CLASSES[0][1].search(kernel):
        sides = [side for shape in shapes if len(shape) >= 2 for side in shape[-2:]]
        if sides and max(sides) >= _VOCABULARY:
            return 'matmul of the head'
        return 'lora' if sides and min(sides) <= _LOW_RANK else 'matmul'
    return next((name for name, pattern in _CLASSES if pattern.search(kernel)), 'other')


def summary(trace: dict[str, Any], *, steps: int, step_ms: float, top: int = 25) -> dict[str, Any]:
    """Where the time of a step goes.

    Args:
        trace: a Chrome trace of ``steps`` steps, with shapes.
        steps: how many.
        step_ms: milliseconds of a step when no profiler looks on; the device's idle share is taken of it.
        top: kernels that are listed.

    Returns:
        ``kernels`` (name, class, ms and launches a step), ``classes`` (ms a step), ``busy_ms`` (a step, overlapping
        kernels counted once), ``launches`` a step, ``idle`` share of a step. Without a GPU the operators of the CPU
        take the place of kernels; they contain one another, so that their sum is more than the step.
    """
    events = [event for event in trace['traceEvents'] if event.get('ph') == 'X']
    shapes = {event['args']['External id']: event['args'].get('Input Dims', [])
              for event in events if event.get('cat') == 'cpu_op' and 'External id' in event.get('args', {})}
    kernels = [event for event in events if event.get('cat') in _ON_DEVICE]
    kernels = kernels or [event for event in events if event.get('cat') == 'cpu_op']
    times: dict[tuple[str, str], float] = defaultdict(float)
    launches: dict[tuple[str, str], int] = defaultdict(int)
    for event in kernels:
        found = shapes.get(event.get('args', {}).get('External id'), [])
        key = (event['name'], class_of(event['name'], [shape for shape in found if isinstance(shape, list)]))
        times[key] += event['dur'] / 1e3 / steps
        launches[key] += 1
    classes: dict[str, float] = defaultdict(float)
    for (_, kind), milliseconds in times.items():
        classes[kind] += milliseconds
    busy = _covered((event['ts'], event['ts'] + event['dur']) for event in kernels) / 1e3 / steps
    listed = sorted(times, key=times.get, reverse=True)[:top]
    return {
        'kernels': [{'name': name[:120], 'class': kind, 'ms': round(times[name, kind], 3),
                     'launches': round(launches[name, kind] / steps, 1)} for name, kind in listed],
        'classes': {kind: round(classes[kind], 2) for kind in sorted(classes, key=classes.get, reverse=True)},
        'busy_ms': round(busy, 2), 'step_ms': round(step_ms, 2), 'launches': round(len(kernels) / steps),
        'idle': round(max(0.0, 1 - busy / step_ms), 3)}


def _covered(spans: Iterable[tuple[float, float]]) -> float:
    """Length of the union of spans."""
    total, end = 0.0, float('-inf')
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def as_text(found: dict[str, Any]) -> str:
    lines = [f'step {found["step_ms"]:.1f} ms, device busy {found["busy_ms"]:.1f} ms, idle {found["idle"]:.1%}, '
             f'{found["launches"]} launches']
    lines += [f'  {milliseconds:9.2f} ms  {kind}' for kind, milliseconds in found['classes'].items()]
    lines += [f'  {row["ms"]:9.3f} ms {row["launches"]:7.1f}x  {row["class"]:18.18}  {row["name"]:.90}'
              for row in found['kernels']]
    return '\n'.join(lines)
