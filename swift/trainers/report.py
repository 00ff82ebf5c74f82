"""What a run reached of what its device can do, what was lost where, and which flag changes it.

Shares are of the time of the training steps, the first logged row left out, and add up to one:

    useful      FLOPs that training needed, at the measured peak
    data_wait   waiting for rows
    padding     positions of no row, at the speed of all others
    recompute   what was computed twice, at that speed
    the rest    by the share of time at the CPU's pace: launches; by bytes over bandwidth: the optimizer; else kernels

Pure functions of what :mod:`swift.trainers.meter` measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from swift.trainers.hardware import Device
from swift.trainers.meter import Span, log_row
from swift.utils.versions import installed

REPORT_FILE = 'report.json'
_SMALL_BATCH = 8192  # tokens; below this matrix products of small models don't fill a large GPU
_WORTH_TELLING = 0.01
_TOLD = {'data_wait': 'waiting for data', 'padding': 'padding', 'recompute': 'computing activations twice',
         'launches': 'the GPU waiting for launches', 'optimizer': 'the optimizer',
         'kernels': 'matrix products below the peak, and other kernels'}


@dataclass(frozen=True)
class Loss:
    """Time that was not training.

    Attributes:
        name: data_wait, padding, recompute, launches, optimizer or kernels.
        share: of the time, from 0 to 1.
        remedy: what would change it.
    """

    name: str
    share: float
    remedy: str


def useful_share(span: Span, device: Device, processes: int) -> float | None:
    """What was reached of the measured peak; None where peak or FLOPs aren't known."""
    return span.mfu(device.measured, processes)


def losses(span: Span, device: Device, *, processes: int = 1, recompute: str = 'none',
           optimizer_bytes: float = 0.0) -> list[Loss]:
    """Where time went, the largest first.

    Args:
        span: steps of training.
        device: its peaks.
        processes: that trained together.
        recompute: the policy in force.
        optimizer_bytes: that a step of the optimizer moves.
    """
    seconds = max(span.seconds, 1e-9)
    wait = min(span.waited / seconds, 1.0)
    padding = (1 - wait) * (1 - span.tokens / span.positions) if span.positions else 0.0
    computed = span.flops + span.recomputed
    again = (1 - wait - padding) * span.recomputed / computed if computed else 0.0
    found = {'data_wait': wait, 'padding': padding, 'recompute': again}
    useful = useful_share(span, device, processes)
    if useful is not None:
        rest = max(1 - useful - wait - padding - again, 0.0)
        launches = rest * (span.launch_bound or 0.0)
        stepping = span.steps * optimizer_bytes / device.bandwidth / seconds if device.bandwidth else 0.0
        stepping = min(stepping, rest - launches)
        found |= {'launches': launches, 'optimizer': stepping, 'kernels': rest - launches - stepping}
    tokens = span.positions / max(span.micro_batches * processes, 1)
    remedies = _remedies(tokens, span.micro_batches > span.steps, recompute)
    return sorted((Loss(name, share, remedies[name]) for name, share in found.items()), key=lambda loss: -loss.share)


def _remedies(tokens: float, accumulates: bool, recompute: str) -> dict[str, str]:
    """What to type against each loss, for micro-batches of so many tokens."""
    larger = 'a larger --per_device_train_batch_size' + (
        ' with fewer --gradient_accumulation_steps' if accumulates else '')
    lighter = {'full': '--recompute selective, light or none', 'selective': '--recompute light or none'}
    return {
        'data_wait': '--dataloader_num_workers 2; rows that are read from a slow disk wait for it',
        'padding': '--padding_free true where the model allows it, or rows of like length in a micro-batch',
        'recompute': f'{lighter.get(recompute, "--recompute none")}, with fewer rows in a micro-batch where memory is '
                     'short',
        'launches': f'{larger}: {tokens:.0f} tokens are little work for each launch',
        'optimizer': 'more --gradient_accumulation_steps (another step) or an --optim with smaller states',
        'kernels': f'{larger}: products of {tokens:.0f} tokens are far from the peak' if tokens < _SMALL_BATCH else
                   'norms, attention, adapters and the loss beside the large products; docs/performance.md'}


def make_report(*, span: Span, first: Span | None, device: Device, processes: int, recompute: str,
                in_force: Sequence[str], optimizer_bytes: float, last_row: dict[str, Any]) -> dict[str, Any]:
    """All figures of a run, as ``report.json`` has them."""
    useful = useful_share(span, device, processes)
    columns = {name: round(value, 4) for name, value in log_row(span, device, processes).items()}
    return {
        'reached(%)': None if useful is None else round(100 * useful, 2),
        'losses': [{'name': loss.name, 'share(%)': round(100 * loss.share, 2), 'remedy': loss.remedy}
                   for loss in losses(span, device, processes=processes, recompute=recompute,
                                      optimizer_bytes=optimizer_bytes)],
        'in_force': list(in_force),
        'device': {'name': device.name, 'dtype': str(device.dtype).removeprefix('torch.'), 'processes': processes,
                   'datasheet(TFLOP/s)': _tera(device.datasheet), 'measured(TFLOP/s)': _tera(device.measured)},
        **columns,
        'memory': {name: value for name, value in last_row.items() if name.startswith('memory')},
        'steps': asdict(span), 'first_row': asdict(first) if first is not None else None,
        'versions': {'torch': torch.__version__, 'transformers': installed('transformers')},
    }


def summary(report: dict[str, Any]) -> list[str]:
    """The lines that end a run."""
    device = report['device']
    told = []
    if report['reached(%)'] is not None:
        sheet = (f'; {report["mfu(%)"]:.0f} % of the datasheet\'s {device["datasheet(TFLOP/s)"]:.0f}'
                 if 'mfu(%)' in report else '')
        told.append(f'This run reached {report["reached(%)"]:.0f} % of what this {_kind(device["name"])} can do '
                    f'(a {device["dtype"]} matrix product: {device["measured(TFLOP/s)"]:.3g} TFLOP/s measured{sheet}).')
    largest = [loss for loss in report['losses'] if loss['share(%)'] >= 100 * _WORTH_TELLING][:2]
    told += [f'{place}: {_TOLD[loss["name"]]} {loss["share(%)"]:.0f} % ({loss["remedy"]}).'
             for place, loss in zip(('Largest loss', 'Next'), largest, strict=False)]
    return [*told, f'In force: {"; ".join(report["in_force"])}. Every figure is in {REPORT_FILE}.']


def _kind(name: str) -> str:
    return 'CPU' if name.endswith(' threads') else 'GPU'


def _tera(flops: float | None) -> float | None:
    return None if flops is None else round(flops / 1e12, 4)
