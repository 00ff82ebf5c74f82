"""Adapter folders: which there are, what may be read from them, and tuners of ours as JSON and safetensors.

A folder holds ``adapter_config.json`` and ``adapter_model.safetensors``, as peft writes them; in a configuration of
ours ``swift_type`` names the method. Further adapters lie in sub-folders of their names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from swift.tuners.native import NativeConfig
from swift.tuners.registry import native_config
from swift.utils.errors import SwiftError, UsageError

CONFIG, WEIGHTS = 'adapter_config.json', 'adapter_model.safetensors'
DEFAULT = 'default'
_NAME = re.compile(r'[\w-]+')


def check_name(name: str) -> None:
    """Raises:
        UsageError: ``name`` can't be the name of an adapter, which is part of file names and of module names.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f'{name!r} can not be the name of an adapter: letters, digits, _ and - are.')


def place_of(folder: Path, name: str) -> Path:
    """Where an adapter lies below the folder of all."""
    check_name(name)
    return folder if name == DEFAULT else folder / name


def adapters_in(folder: Path) -> list[str]:
    """Names of the adapters in a folder: ``default`` for that of the folder itself, then those of sub-folders."""
    below = sorted(path.parent.name for path in folder.glob(f'*/{CONFIG}'))
    here = [DEFAULT] if (folder / CONFIG).is_file() else []
    return here + [name for name in below if _NAME.fullmatch(name) and name != DEFAULT]


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of the adapter in ``folder``, after a look at what else is there.

    Raises:
        UsageError: the folder holds no adapter, one whose weights are a pickle file, or one that would run code.
        SwiftError: its configuration is unreadable.
    """
    if not (folder / CONFIG).is_file():
        raise UsageError(f'{folder} holds no adapter: it has no {CONFIG}.')
    if not (folder / WEIGHTS).is_file():
        if (folder / 'adapter_model.bin').is_file():
            raise UsageError(f'{folder} has its weights as adapter_model.bin, a pickle file, which can run code when '
                             f'it is read. Only {WEIGHTS} is loaded: save the adapter again as safetensors where '
                             'you trust it.')
        raise UsageError(f'{folder} holds no adapter weights: it has no {WEIGHTS}.')
    try:
        config = json.loads((folder / CONFIG).read_text(encoding='utf-8'))
    except (ValueError, OSError) as e:
        raise SwiftError(f'The adapter in {folder} can not be loaded: {CONFIG} is unreadable ({e}).') from e
    if not isinstance(config, dict):
        raise SwiftError(f'The adapter in {folder} can not be loaded: {CONFIG} holds no object.')
    core = config.get('megatron_core')
    if core not in (None, 'megatron.core'):  # peft imports the module that this names
        raise UsageError(f'{folder / CONFIG} sets megatron_core, with which peft imports the Python module that it '
                         f'names ({str(core)[:80]}). Nothing was imported. Remove the setting.')
    return config


def write_native(folder: Path, config: NativeConfig, weights: Mapping[str, Tensor]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / WEIGHTS,
              metadata={'format': 'pt'})
    (folder / CONFIG).write_text(json.dumps(config.to_json(), indent=2) + '\n', encoding='utf-8')


def native_from(folder: Path, values: dict[str, Any]) -> NativeConfig:
    """The configuration of ours that ``read_config`` read.

    Raises:
        SwiftError: this version has no such method, or not this setting.
    """
    try:
        return native_config(values['swift_type']).from_json(values)
    except (UsageError, TypeError, ValueError) as e:
        raise SwiftError(f'The adapter in {folder} can not be loaded: {e}') from e


def load_native(folder: Path, wanted: Mapping[str, Tensor]) -> None:
    """Fill the tensors of a tuner with the weights in ``folder``; all of them, and nothing else.

    Raises:
        SwiftError: the file is damaged, or belongs to another model or other settings.
    """
    try:
        weights = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as e:
        raise SwiftError(f'The adapter in {folder} can not be loaded: {WEIGHTS} is damaged ({e}).') from e
    problem = next((f'{name} is missing' for name in wanted if name not in weights), None) \
        or next((f'{name} is unknown' for name in weights if name not in wanted), None) \
        or next((f'{name} is {list(weights[name].shape)} there and {list(tensor.shape)} here'
                 for name, tensor in wanted.items() if weights[name].shape != tensor.shape), None)
    if problem:
        raise SwiftError(f'The adapter in {folder} can not be loaded onto this model: {problem}.')
    for name, tensor in wanted.items():
        tensor.copy_(weights[name])
