"""DeepSpeed presets by name. "auto" is filled in by transformers from the training arguments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from swift.utils.errors import UsageError
from swift.utils.files import read_json
from swift.utils.registry import suggest

_COMMON = {
    'fp16': {'enabled': 'auto', 'loss_scale': 0, 'initial_scale_power': 16, 'hysteresis': 2, 'min_loss_scale': 1},
    'bf16': {'enabled': 'auto'},
    'gradient_accumulation_steps': 'auto', 'gradient_clipping': 'auto',
    'train_batch_size': 'auto', 'train_micro_batch_size_per_gpu': 'auto',
    # We build the optimizer ourselves, so that the same --optim means the same with and without DeepSpeed.
    'zero_allow_untested_optimizer': True, 'zero_force_ds_cpu_optimizer': False,
    'steps_per_print': 2**31 - 1,
}
_ZERO2 = {'stage': 2, 'allgather_partitions': True, 'overlap_comm': True, 'reduce_scatter': True,
          'contiguous_gradients': True}
_ZERO3 = {'stage': 3, 'overlap_comm': True, 'contiguous_gradients': True, 'reduce_bucket_size': 'auto',
          'stage3_prefetch_bucket_size': 'auto', 'stage3_param_persistence_threshold': 'auto',
          # what is saved must be loadable without DeepSpeed
          'stage3_gather_16bit_weights_on_model_save': True}
_TO_CPU = {'device': 'cpu', 'pin_memory': True}

PRESETS: dict[str, dict[str, Any]] = {
    'zero1': {**_ZERO2, 'stage': 1},
    'zero2': _ZERO2,
    'zero3': _ZERO3,
    'zero2-offload': {**_ZERO2, 'offload_optimizer': _TO_CPU},
    'zero3-offload': {**_ZERO3, 'offload_optimizer': _TO_CPU, 'offload_param': _TO_CPU},
}


def deepspeed_config(value: str) -> dict[str, Any]:
    """The configuration for ``--deepspeed``: a preset (``zero2``, ``default-zero2``, ``zero2_offload`` ...), a JSON
    file or JSON text.

    Raises:
        UsageError: none of these.
    """
    name = value.removeprefix('default-').replace('_', '-')
    if name in PRESETS:
        return {**_COMMON, 'zero_optimization': dict(PRESETS[name])}
    if value.lstrip().startswith('{'):
        return json_map('deepspeed', value)
    if Path(value).is_file():
        return read_json(Path(value))
    raise UsageError(f'--deepspeed {value} is neither a preset ({", ".join(PRESETS)}) nor a JSON file or text.'
                     f'{suggest(name, PRESETS)}')


def json_map(flag: str, text: str) -> dict[str, Any]:
    """A flag's value that is a JSON object.

    Raises:
        UsageError: it isn't one.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as e:
        raise UsageError(f'--{flag} is not JSON ({e}): {text}') from e
    if not isinstance(value, dict):
        raise UsageError(f'--{flag} takes a JSON map, got {text}')
    return value


def shards_parameters(config: dict[str, Any] | None) -> bool:
    """Whether no rank holds whole parameters (ZeRO-3)."""
    return bool(config) and config.get('zero_optimization', {}).get('stage') == 3
