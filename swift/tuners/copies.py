"""Modules trained as copies: while they are attached they stand where the originals were, which stay as they are."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from swift.tuners.native import Handle, NativeTuner, find_modules, safe_key
from swift.utils.errors import UsageError


@dataclass(frozen=True)
class _Replacement:
    parent: nn.Module
    name: str
    original: nn.Module

    def remove(self) -> None:
        self.parent.add_module(self.name, self.original)


@dataclass(frozen=True)
class _Forget:
    modules: nn.ModuleDict

    def remove(self) -> None:
        self.modules.clear()


def replace_module(model: nn.Module, name: str, module: nn.Module) -> Handle:
    """Put ``module`` where ``model`` has the sub-module ``name``; the handle puts the original back."""
    path, _, last = name.rpartition('.')
    parent = model.get_submodule(path)
    original = parent.get_submodule(last)
    parent.add_module(last, module)
    return _Replacement(parent, last, original)


class ModuleCopies(NativeTuner):
    """Trained copies of the modules that ``targets`` names, see :func:`swift.tuners.native.find_modules`.

    A module inside another one that is named too is left to that one. Copies are trained in fp32 where the model is in
    16 bit, and give back what they were given.

    Raises:
        UsageError: nothing is called so, or it has no weights.
    """

    replaces = True

    def __init__(self, model: nn.Module, targets: Sequence[str] | str) -> None:
        super().__init__()
        found = find_modules(model, targets)
        outer = [name for name in found if not any(name.startswith(f'{other}.') for other in found)]
        empty = [name for name in outer if next(found[name].parameters(), None) is None]
        if empty:
            raise UsageError(f'{empty[0]} has no weights of its own to train.')
        self.copies = nn.ModuleDict({safe_key(name): trainable_copy(found[name]) for name in outer})
        self.originals = nn.ModuleDict()  # those that a copy stands for: they go to other devices with the model

    def attach(self, model: nn.Module) -> list[Handle]:
        for key in self.copies:
            self.originals[key] = model.get_submodule(key.replace('/', '.'))
        replaced = [replace_module(model, key.replace('/', '.'), module) for key, module in self.copies.items()]
        return [_Forget(self.originals), *replaced]

    def merge(self, model: nn.Module) -> None:
        """Put the copies in for good, in the types of the originals; one that shares its weight with another module
        (a tied output head) no longer does, because only the copy was trained."""
        for key, module in self.copies.items():
            original = model.get_submodule(key.replace('/', '.'))
            merged = copy_module(original)
            copy_values(module, merged)
            replace_module(model, key.replace('/', '.'), merged)


def copy_module(module: nn.Module) -> nn.Module:
    """A deep copy that shares the config of the model, which is one for all modules and may be changed later."""
    configs = [vars(inner)['config'] for inner in module.modules() if 'config' in vars(inner)]
    return copy.deepcopy(module, {id(config): config for config in configs})


@torch.no_grad()
def copy_values(source: nn.Module, target: nn.Module) -> None:
    """Weights and buffers of a module into those of a like one, in its types."""
    for new, old in zip(target.parameters(), source.parameters(), strict=True):
        new.copy_(old)
    for new, old in zip(target.buffers(), source.buffers(), strict=True):
        new.copy_(old)


def trainable_copy(module: nn.Module) -> nn.Module:
    """A copy in fp32, so that small updates are not rounded away; what it gives back is in the type of the original."""
    twin = copy_module(module)
    dtype = next(module.parameters()).dtype
    for parameter in twin.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.float()
            parameter.requires_grad_(True)
    if dtype in (torch.float16, torch.bfloat16):
        twin.register_forward_pre_hook(_with_floats_as(torch.float32), with_kwargs=True)
        twin.register_forward_hook(lambda _module, _inputs, output: _cast(output, dtype))
    return twin


def _with_floats_as(dtype: torch.dtype):
    def hook(_module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        return (args, kwargs) if torch.is_autocast_enabled() else (_cast(args, dtype), _cast(kwargs, dtype))
    return hook


def _cast(value, dtype: torch.dtype):
    """Every floating tensor inside tuples, lists and dicts as ``dtype``; everything else as it is."""
    if isinstance(value, torch.Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, dict):
        return type(value)({key: _cast(item, dtype) for key, item in value.items()})
    if isinstance(value, (tuple, list)):
        return type(value)([_cast(item, dtype) for item in value])
    return value
