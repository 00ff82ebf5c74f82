"""What the device can do at best: peaks of datasheets, and matrix products measured on the device itself."""

from __future__ import annotations

import platform
import re
import time
from dataclasses import dataclass

import torch

from swift.utils import env
from swift.utils.errors import SwiftError
from swift.utils.files import read_json, write_json
from swift.utils.logging import get_logger

logger = get_logger()

PEAKS_FILE = 'matmul_peaks.json'
_SECONDS = {'cpu': 0.1, 'cuda': 0.3}
_SIZES = {'cpu': (512,), 'cuda': (8192, 4096, 2048)}


@dataclass(frozen=True)
class Datasheet:
    """Dense peaks, without sparsity and with float32 sums; None where the tensor cores don't have the type.

    Attributes:
        bf16, fp16, fp32: TFLOP/s; fp32 without TF32.
        bandwidth: of the memory, TB/s.
    """

    bf16: float | None
    fp16: float | None
    fp32: float | None
    bandwidth: float

    def flops(self, dtype: torch.dtype) -> float | None:
        """FLOP/s in this dtype."""
        peak = {torch.bfloat16: self.bf16, torch.float16: self.fp16, torch.float32: self.fp32}.get(dtype)
        return None if peak is None else peak * 1e12


# By the name that torch.cuda.get_device_name gives, the first that matches. From NVIDIA's product datasheets (H100,
# H200, H20, A100, A30, A40, A10, L4, L40, L40S, V100, T4, HGX B200), the Ada and Ampere architecture whitepapers (RTX)
# and AMD's datasheets; figures with sparsity are halved.
DATASHEETS: tuple[tuple[str, Datasheet], ...] = tuple((name, Datasheet(*figures)) for name, figures in {
    r'\bB200\b': (2250, 2250, 75, 7.7),
    r'\bH200 NVL\b': (835, 835, 60, 4.8),
    r'\bH200\b': (989, 989, 67, 4.8),
    r'\bH100 PCIe\b': (756, 756, 51, 2.0),
    r'\bH100 NVL\b': (835, 835, 60, 3.9),
    r'\bH[18]00\b': (989, 989, 67, 3.35),
    r'\bH20\b': (148, 148, 44, 4.0),
    r'\bA[18]00\b.*\b40GB': (312, 312, 19.5, 1.555),
    r'\bA[18]00\b': (312, 312, 19.5, 1.935),
    r'\bA30\b': (165, 165, 10.3, 0.933),
    r'\bA40\b': (149.7, 149.7, 37.4, 0.696),
    r'\bA10\b': (125, 125, 31.2, 0.6),
    r'\bRTX A6000\b': (154.8, 154.8, 38.7, 0.768),
    r'\bL40S\b': (362, 362, 91.6, 0.864),
    r'\bL40\b': (181, 181, 90.5, 0.864),
    r'\bL4\b': (121, 121, 30.3, 0.3),
    r'\bV100-PCIE\b': (None, 112, 14, 0.9),
    r'\bV100\b': (None, 125, 15.7, 0.9),
    r'\bT4\b': (None, 65, 8.1, 0.32),
    r'\bRTX 5090$': (209.5, 209.5, 104.8, 1.792),
    r'\bRTX 4090$': (165.2, 165.2, 82.6, 1.008),
    r'\bRTX 3090$': (71, 71, 35.6, 0.936),
    r'\bMI300X\b': (1307, 1307, 163, 5.3),
}.items())


@dataclass(frozen=True)
class Device:
    """Where a run computes, and at most how fast.

    Attributes:
        name: of the product.
        dtype: in which its matrix products are.
        datasheet: FLOP/s, None where the name isn't in the table.
        measured: FLOP/s of a large square matrix product, None where it couldn't be measured.
        bandwidth: bytes/s of its memory, None like ``datasheet``.
    """

    name: str
    dtype: torch.dtype
    datasheet: float | None = None
    measured: float | None = None
    bandwidth: float | None = None


def find_device(device: torch.device, dtype: torch.dtype) -> Device:
    """Look the device up in the table, and measure it (at most a second; remembered for the next run)."""
    name = device_name(device)
    sheet = datasheet(name)
    measured = matmul_peak(device, dtype)
    if sheet is None:
        return Device(name, dtype, measured=measured)
    return Device(name, dtype, sheet.flops(dtype), measured, sheet.bandwidth * 1e12)


def device_name(device: torch.device) -> str:
    if device.type == 'cuda':
        return torch.cuda.get_device_name(device)
    if device.type == 'cpu':
        return f'{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads'
    return device.type


def datasheet(name: str) -> Datasheet | None:
    """The entry of a GPU's name; None for one that is not listed, or for a part of one (MIG)."""
    if re.search(r'\bMIG\b', name):
        return None
    return next((sheet for pattern, sheet in DATASHEETS if re.search(pattern, name)), None)


def matmul_peak(device: torch.device, dtype: torch.dtype) -> float | None:
    """FLOP/s of a square matrix product of random numbers, measured once per device, torch and dtype.

    Random numbers, because a GPU multiplies zeros at less power and so at a higher clock. The figure is kept in
    ``matmul_peaks.json`` in the cache of swift (``SWIFT_CACHE``); remove the file to measure again.
    """
    file = env.cache_dir() / PEAKS_FILE
    key = f'{device_name(device)}, torch {torch.__version__}, {str(dtype).removeprefix("torch.")}'
    known: dict[str, float] = {}
    try:
        known = read_json(file)
        if known[key] > 0:
            return float(known[key])
    except (SwiftError, KeyError, TypeError):  # nothing was measured yet, or it is unreadable
        known = known if isinstance(known, dict) else {}
    peak = _measure(device, dtype)
    if peak is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, {**known, key: peak})
        except OSError as e:  # a cache that can't be written costs this measurement at the next start
            logger.debug('%s could not be written: %s', file, e)
    return peak


def _measure(device: torch.device, dtype: torch.dtype) -> float | None:
    if device.type not in _SIZES:
        return None
    for size in _SIZES[device.type]:
        try:
            seconds = _fastest_product(device, dtype, size, _SECONDS[device.type])
        except torch.OutOfMemoryError:
            continue
        finally:
            if device.type == 'cuda':  # the log must show the peak of training, not of this
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats(device)
        return 2 * size**3 / seconds
    return None


def _fastest_product(device: torch.device, dtype: torch.dtype, size: int, budget: float) -> float:
    """Seconds of the fastest of as many products as go into the budget, after two to warm up."""
    generator = torch.Generator(device).manual_seed(0)
    left, right = (torch.randn(size, size, device=device, generator=generator).to(dtype) for _ in range(2))
    out = torch.empty_like(left)
    best, end = float('inf'), None
    for turn in range(1000):
        begin = time.perf_counter()
        torch.mm(left, right, out=out)
        if device.type == 'cuda':
            torch.cuda.synchronize(device)
        now = time.perf_counter()
        if turn >= 2:
            best, end = min(best, now - begin), end or now + budget
            if now > end:
                break
    return best
