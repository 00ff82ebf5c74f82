"""Where a model goes and what it computes in: device, device map, dtype, attention. It never sees a checkpoint."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import torch

from swift.utils import env
from swift.utils.errors import MissingExtraError, UsageError
from swift.utils.logging import get_logger

logger = get_logger()

DTYPES = {'bfloat16': torch.bfloat16, 'float16': torch.float16, 'float32': torch.float32}
_PLACEMENTS = ('auto', 'balanced', 'balanced_low_0', 'sequential')
_FLASH_PACKAGES = {'flash_attention_2': ('flash_attn', 'flash-attn'),
                   'flash_attention_3': ('flash_attn_interface', 'flash-attn-3')}


def accelerator_kind() -> str | None:
    """``'cuda'``, ``'npu'``, ... of the accelerator that can be used now; None on a CPU-only machine.

    Apple's ``mps`` counts as none: it has no bf16 and no distributed backend that this project uses.
    """
    if not torch.accelerator.is_available():
        return None
    kind = torch.accelerator.current_accelerator().type
    return None if kind == 'mps' else kind


def choose_dtype(name: str, *, preferred: str = '') -> torch.dtype:
    """The dtype to compute in; ``auto`` is fp32 on a CPU, else bf16 where the device has it, else fp16.

    Args:
        name: ``--torch_dtype``.
        preferred: what the publisher of the model computes in on an accelerator; '' is nothing in particular.
    """
    if name != 'auto':
        return DTYPES[name]
    kind = accelerator_kind()
    if kind is None:
        return torch.float32
    if preferred in ('float16', 'float32'):  # bf16 is what is taken anyway, where the device has it
        return DTYPES[preferred]
    if kind == 'cuda' and not torch.cuda.is_bf16_supported(including_emulation=False):
        logger.info('This GPU has no bf16: computing in fp16.')
        return torch.float16
    return torch.bfloat16


def choose_attention(name: str) -> str | None:
    """The attention implementation to ask transformers for; None is SDPA, or eager where a model has no SDPA.

    Raises:
        MissingExtraError: a flash-attention package was asked for and is not installed.
        UsageError: flash or flex attention was asked for on a CPU.
    """
    if name == 'auto':
        return None
    if name in (*_FLASH_PACKAGES, 'flex_attention') and accelerator_kind() is None:
        raise UsageError(f'--attn_impl {name} runs on an accelerator, and there is none here. Use --attn_impl sdpa.')
    if name in _FLASH_PACKAGES:
        module, package = _FLASH_PACKAGES[name]
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(f'--attn_impl {name} needs the package {package!r}, which is not installed. '
                                    f'Install it with: pip install {package}   or use --attn_impl sdpa.')
    return name


def choose_device_map(typed: str | None, max_memory: list[str], *, sharded: bool) -> dict[str, Any]:
    """Keyword arguments of ``from_pretrained`` that place the model.

    One process and one accelerator: all on it. Several accelerators a process: spread over them, each process of
    a group taking every ``LOCAL_WORLD_SIZE``-th one. No accelerator: nothing, which means the CPU.

    Args:
        typed: ``--device_map``: a placement name, a device, JSON, or a JSON file of module name -> device.
        max_memory: ``--max_memory``: one size ("20GiB") a device, in device order, or one JSON map.
        sharded: DeepSpeed ZeRO-3 or FSDP will place the weights itself.
    """
    if sharded:
        if typed or max_memory:
            raise UsageError('--device_map and --max_memory cannot be used with DeepSpeed ZeRO-3 or FSDP, '
                             'which place the weights themselves.')
        return {}
    kind, rank = accelerator_kind(), max(env.local_rank(), 0)
    limits = _parse_max_memory(max_memory)
    if typed:
        return {'device_map': _parse_device_map(typed, rank), **({'max_memory': limits} if limits else {})}
    if kind is None:
        return {}
    mine = list(range(rank, torch.accelerator.device_count(), env.local_world_size()))
    if not mine:
        raise UsageError(f'LOCAL_RANK is {rank}, but only {torch.accelerator.device_count()} {kind} devices are '
                         'visible. Lower NPROC_PER_NODE or show more devices.')
    if len(mine) == 1 and not limits:
        return {'device_map': {'': f'{kind}:{mine[0]}'}}
    return {'device_map': 'auto', 'max_memory': limits or _free_memory(kind, mine)}


def _free_memory(kind: str, devices: list[int]) -> dict[int | str, int]:
    """Bytes free on each of our devices; a tenth is kept back for activations."""
    module = torch.get_device_module(kind)
    return {device: int(module.mem_get_info(device)[0] * 0.9) for device in devices}


def _parse_max_memory(sizes: list[str]) -> dict[int | str, Any]:
    if len(sizes) != 1 or not sizes[0].startswith('{'):
        return dict(enumerate(sizes))
    try:
        mapping = json.loads(sizes[0])
    except json.JSONDecodeError as e:
        raise UsageError(f'--max_memory is not valid JSON: {e}') from e
    return {int(device) if device.isdigit() else device: size for device, size in mapping.items()}


def _parse_device_map(typed: str, rank: int) -> str | dict[str, Any]:
    text = typed.strip()
    if text in _PLACEMENTS:
        return text
    if text.endswith('.json'):
        path = Path(text).expanduser()
        if not path.is_file():
            raise UsageError(f'--device_map: no such file: {path}')
        text = path.read_text(encoding='utf-8')
    if text.startswith('{'):
        try:
            mapping = json.loads(text)
        except json.JSONDecodeError as e:
            raise UsageError(f'--device_map is not valid JSON: {e}') from e
        # a map is written once for every process: whole numbers count from the first device of each
        return {name: device + rank if type(device) is int else device for name, device in mapping.items()}
    try:
        return {'': str(torch.device(text))}
    except RuntimeError as e:
        raise UsageError(f'--device_map {typed!r} is no device, no JSON, no .json file and none of '
                         f'{", ".join(_PLACEMENTS)}.') from e
