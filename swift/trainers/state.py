"""Optimizer, scheduler, scaler and random-number state <-> safetensors and JSON. No pickle on either side.

A state dict is a tree of dicts and lists whose leaves are tensors or JSON values. Tensors go to ``NAME.safetensors``
under their path in the tree; everything else goes to ``NAME.json``, with ``{"__tensor__": path}`` where a tensor was.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from swift.utils.errors import SwiftError
from swift.utils.files import read_json, write_json

_TENSOR, _INT_KEYS = '__tensor__', '__int_keys__'


def save_tree(folder: Path, name: str, tree: dict[str, Any]) -> None:
    """Write a state dict as ``NAME.json`` and, where it has tensors, ``NAME.safetensors``.

    Raises:
        SwiftError: a leaf is neither a tensor nor a JSON value.
    """
    tensors: dict[str, torch.Tensor] = {}
    plain = _strip(tree, '', tensors, name)
    if tensors:
        save_file(tensors, folder / f'{name}.safetensors')
    write_json(folder / f'{name}.json', plain)


def load_tree(folder: Path, name: str) -> dict[str, Any]:
    """Read what :func:`save_tree` wrote; tensors are on the CPU."""
    plain = read_json(folder / f'{name}.json')
    tensors = {}
    path = folder / f'{name}.safetensors'
    if path.is_file():
        with safe_open(path, framework='pt') as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}
    return _restore(plain, tensors)


def random_state() -> dict[str, Any]:
    """The state of Python's, numpy's and torch's generators, every accelerator of this process included."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    state = {'python': {'version': version, 'words': torch.tensor(words, dtype=torch.int64), 'gauss': gauss},
             'numpy': {'name': name, 'keys': torch.from_numpy(keys.astype(np.int64)), 'position': position,
                       'has_gauss': has_gauss, 'cached': cached},
             'torch': torch.random.get_rng_state()}
    if torch.accelerator.is_available():
        state['accelerator'] = torch.get_device_module().get_rng_state()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Put every generator back to a :func:`random_state`."""
    python, numpy = state['python'], state['numpy']
    random.setstate((python['version'], tuple(python['words'].tolist()), python['gauss']))
    np.random.set_state((numpy['name'], numpy['keys'].numpy().astype(np.uint32), numpy['position'],
                         numpy['has_gauss'], numpy['cached']))
    torch.random.set_rng_state(state['torch'])
    if 'accelerator' in state and torch.accelerator.is_available():
        torch.get_device_module().set_rng_state(state['accelerator'])


def _strip(value: Any, path: str, tensors: dict[str, torch.Tensor], name: str) -> Any:
    if isinstance(value, torch.Tensor):
        tensors[path] = value.detach().cpu().contiguous().clone()
        return {_TENSOR: path}
    if isinstance(value, dict):
        plain = {str(key): _strip(item, f'{path}.{key}' if path else str(key), tensors, name)
                 for key, item in value.items()}
        return {_INT_KEYS: plain} if value and all(isinstance(key, int) for key in value) else plain
    if isinstance(value, list | tuple):
        return [_strip(item, f'{path}.{i}', tensors, name) for i, item in enumerate(value)]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise SwiftError(f'The {name} state holds a {type(value).__name__} at {path!r}, which can be written neither as a '
                     'tensor nor as JSON; save without it by --save_only_model true, or choose another --optim.')


def _restore(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, dict):
        if _TENSOR in value:
            return tensors[value[_TENSOR]]
        if _INT_KEYS in value:
            return {int(key): _restore(item, tensors) for key, item in value[_INT_KEYS].items()}
        return {key: _restore(item, tensors) for key, item in value.items()}
    if isinstance(value, list):
        return [_restore(item, tensors) for item in value]
    return value
