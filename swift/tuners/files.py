"""Adapter folders: which there are, what may be read from them, and tuners of ours as JSON and safetensors.

A folder holds ``adapter_config.json`` and ``adapter_model.safetensors``, as peft writes them; in a configuration of
ours ``swift_type`` names the method. Further adapters lie in sub-folders of their names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_PREFIX_MAPPING
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from swift.tuners.native import NativeConfig
from swift.tuners.registry import native_config
from swift.utils.errors import SwiftError, UsageError

CONFIG, WEIGHTS = 'adapter_config.json', 'adapter_model.safetensors'
DEFAULT = 'default'
_LARGEST_CONFIG = 2**24  # bytes; configurations have some hundred, one with a rank for every module a megabyte
# names of saved weights that peft's table of prefixes lacks: shared projections, prompts, vectors of single tokens
_MORE_PARTS = {'VERA': ('vera_',), 'PVERA': ('pvera_',), 'MULTITASK_PROMPT_TUNING': ('prefix_task_',)}
_PARTS = ('prompt_embeddings', 'trainable_tokens_')
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
    below = sorted(path.parent.name for path in folder.glob(f'*/{CONFIG}') if not path.parent.is_symlink())
    here = [DEFAULT] if (folder / CONFIG).is_file() else []
    return here + [name for name in below if _NAME.fullmatch(name) and name != DEFAULT]


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of the adapter in ``folder``, after a look at what else is there.

    Raises:
        UsageError: the folder holds no adapter, one whose weights are a pickle file, or one that would run code, read
            other files or ask a hub.
        SwiftError: its configuration is unreadable.
    """
    for name in (CONFIG, WEIGHTS):
        _check_link(folder, name)
    if not (folder / CONFIG).is_file():
        raise UsageError(f'{folder} holds no adapter: it has no {CONFIG}.')
    if not (folder / WEIGHTS).is_file():
        if (folder / 'adapter_model.bin').is_file():
            raise UsageError(f'{folder} has its weights as adapter_model.bin, a pickle file, which can run code when '
                             f'it is read. Only {WEIGHTS} is loaded: save the adapter again as safetensors where '
                             'you trust it.')
        raise UsageError(f'{folder} holds no adapter weights: it has no {WEIGHTS}.')
    if (folder / CONFIG).stat().st_size > _LARGEST_CONFIG:
        raise SwiftError(f'The adapter in {folder} can not be loaded: {CONFIG} has more than '
                         f'{_LARGEST_CONFIG / 2**20:.0f} MB, as none has.')
    try:
        config = json.loads((folder / CONFIG).read_text(encoding='utf-8'))
    except RecursionError as e:
        raise SwiftError(f'The adapter in {folder} can not be loaded: {CONFIG} is nested too deeply.') from e
    except (ValueError, OSError) as e:
        raise SwiftError(f'The adapter in {folder} can not be loaded: {CONFIG} is unreadable ({e}).') from e
    if not isinstance(config, dict):
        raise SwiftError(f'The adapter in {folder} can not be loaded: {CONFIG} holds no object.')
    core = config.get('megatron_core')
    if core not in (None, 'megatron.core'):  # peft imports the module that this names
        raise UsageError(f'{folder / CONFIG} sets megatron_core, with which peft imports the Python module that it '
                         f'names ({str(core)[:80]}). Nothing was imported. Remove the setting.')
    if 'swift_type' not in config:
        _check_reads_nothing_else(folder, config)
    return config


def _check_link(folder: Path, name: str) -> None:
    """Raises:
        UsageError: the file is a link that leads out of the folder, and not into the cache of a hub that keeps it.
    """
    target, home = (folder / name).resolve(), folder.resolve()
    kept = [place.parent.parent / 'blobs' for place in (home, *home.parents) if place.parent.name == 'snapshots']
    if not any(target.is_relative_to(place) for place in (home, *kept)):
        raise UsageError(f'{folder / name} is a link to a file outside its folder ({target}). Nothing was read. Put '
                         'the file itself there, or give the folder that it leads to.')


def _check_reads_nothing_else(folder: Path, config: Mapping[str, Any]) -> None:
    """Settings with which peft 0.21 loads more than the two files of an adapter. Others that name files or
    repositories (a tokenizer, the cache of a start, the base model) are read only where an adapter is made.

    Raises:
        UsageError: there is one.
        SwiftError: peft has no such kind of adapter.
    """
    kind, named = config.get('peft_type'), None
    if not isinstance(kind, str) or kind not in PEFT_TYPE_TO_CONFIG_MAPPING:
        raise SwiftError(f'The adapter in {folder} can not be loaded: peft_type in {CONFIG} is {str(kind)[:80]!r}, '
                         'which peft does not have.')
    if kind == 'XLORA':
        named = 'adapters', config.get('adapters')
    elif kind == 'SHADOW' and config.get('shadow_model', 'mirror') != 'mirror':
        named = 'shadow_model', config['shadow_model']
    elif kind == 'MULTITASK_PROMPT_TUNING' and config.get('prompt_tuning_init_state_dict_path') is not None:
        named = 'prompt_tuning_init_state_dict_path', config['prompt_tuning_init_state_dict_path']
    if named:
        raise UsageError(f'{folder / CONFIG} sets {named[0]}, with which peft loads more than this adapter '
                         f'({str(named[1])[:80]}). Nothing was loaded.')


def check_peft_weights(folder: Path, config: Mapping[str, Any], base: Mapping[str, Tensor]) -> None:
    """See that the weights in ``folder`` are those of an adapter. peft loads whatever has the name of a parameter.

    Weights of the base model beside them, which peft saves for resized vocabularies, may be there where they are equal
    to the model's own.

    Args:
        config: what :func:`read_config` gave.
        base: weights of the model that the adapter goes on, other adapters included.

    Raises:
        UsageError: one would replace a weight of the base model or of another adapter, or is none of this kind.
        SafetensorError: the file is damaged.
    """
    kind = config['peft_type']
    parts = (PEFT_TYPE_TO_PREFIX_MAPPING[kind], *_MORE_PARTS.get(kind, ()), *_PARTS)
    saved = config.get('modules_to_save')
    # peft takes every module whose name ends so: norm is input_layernorm, too
    saved = [f'{name}.' for name in saved if isinstance(name, str)] if isinstance(saved, list) else []
    biases = config.get('bias', 'none') != 'none'
    own = {_plain(name): tensor for name, tensor in base.items()}
    with safe_open(folder / WEIGHTS, 'pt') as weights:
        for key in weights.keys():  # noqa: SIM118 - it is a file, not a mapping
            name = next((name for name in (_plain(key), _plain(key.removeprefix('base_model.'))) if name in own), None)
            if any(word in key for word in saved) or biases and key.endswith('.bias'):
                continue
            if name is None and any(part.startswith(parts) for part in key.split('.')):
                continue
            if name is not None and _equal(weights.get_tensor(key), own[name]):
                continue
            if name is not None and config.get('ensure_weight_tying') and _is_twin(weights, key, saved):
                continue
            problem = f'belongs to no adapter of the kind {kind}' if name is None else (
                "would replace one of the base model or of another adapter")
            raise UsageError(f'{folder / WEIGHTS} holds a weight {key!r}, which {problem}. Nothing was loaded.')


def _plain(key: str) -> str:
    """The name of a weight in the base model without what peft puts around and into it."""
    parts = key.removeprefix('base_model.model.').split('.')
    return '.'.join(part for part in parts if part not in ('base_layer', 'original_module'))


def _is_twin(weights: safe_open, key: str, saved: Sequence[str]) -> bool:
    """Whether it is the other end of a tied table of which one end is trained whole: the same numbers."""
    tensor = weights.get_tensor(key)
    return any(_equal(tensor, weights.get_tensor(other)) for other in weights.keys()  # noqa: SIM118
               if other != key and other.endswith('.weight') and any(word in other for word in saved))


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one.to(other.device, other.dtype), other)


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
