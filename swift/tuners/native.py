"""What a tuner of ours is: weights beside a model, put into effect by hooks and taken off again without a trace.

peft replaces layers; the tuners here (``swift/tuners/methods`` has a file each) never change a class, a forward method
or a frozen weight. A tuner is described by a :class:`NativeConfig`, which is what ``adapter_config.json`` holds, and
its weights are those of a :class:`NativeTuner`, which is what ``adapter_model.safetensors`` holds.
"""

from __future__ import annotations

import dataclasses
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from swift.utils.errors import UsageError
from swift.utils.registry import suggest

if TYPE_CHECKING:
    from typing import Self


class Handle(Protocol):
    """Takes back what put a tuner into effect; torch's own handles of hooks are such."""

    def remove(self) -> None: ...


class NativeTuner(nn.Module, ABC):
    """The weights of one tuner. It does not hold the model it acts on.

    Attributes:
        replaces: it puts modules in the place of others, so that it comes before tuners that hook into modules.
        renames: modules of the model have other names meanwhile, so that it comes last.
        unmergeable: why it can't become part of ordinary weights; empty where :meth:`merge` does that.
    """

    replaces: ClassVar[bool] = False
    renames: ClassVar[bool] = False
    unmergeable: ClassVar[str] = ''

    @abstractmethod
    def attach(self, model: nn.Module) -> list[Handle]:
        """Put it into effect on ``model``. Removing the handles, last one first, leaves the model as it was."""

    def merge(self, model: nn.Module) -> None:
        """Make ``model`` (where it is not attached) for good what it is with this tuner."""
        raise NotImplementedError(type(self).__name__)


@dataclass(frozen=True)
class NativeConfig(ABC):
    """Settings of a tuner of ours; a subclass adds its fields, all of them values of JSON.

    Attributes:
        swift_type: the name of the method, told by the class.
        target_modules: full names or their last parts after a dot, or one regular expression for whole names.
        modules_to_save: modules trained as copies and saved whole beside the tuner.
        freezes: the model's own weights are not trained beside it; told by the class.
    """

    swift_type: ClassVar[str]
    freezes: ClassVar[bool] = True

    target_modules: list[str] | str = dataclasses.field(default_factory=list)
    modules_to_save: list[str] = dataclasses.field(default_factory=list)

    @abstractmethod
    def build(self, model: nn.Module) -> NativeTuner:
        """A tuner with fresh weights, on the devices of the modules that it is for.

        Raises:
            UsageError: the settings don't fit this model.
        """

    def to_json(self) -> dict[str, Any]:
        return {'swift_type': self.swift_type, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Raises:
            UsageError: a field is unknown; nothing is guessed from settings of a newer version.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in known and name != 'swift_type':
                raise UsageError(f'{cls.swift_type} has no setting {name!r}.{suggest(name, known)}')
        return cls(**{name: value for name, value in values.items() if name != 'swift_type'})


def find_modules(model: nn.Module, targets: Sequence[str] | str) -> dict[str, nn.Module]:
    """Modules by name, by peft's rule: a whole name or its end after a dot; or one expression for whole names.

    Layers that peft has put around others go by the name that they replaced.

    Raises:
        UsageError: nothing is found.
    """
    named = {name: module for name, module in model.named_modules() if name}
    if isinstance(targets, str):
        pattern = re.compile(targets)
        found = {name: module for name, module in named.items() if pattern.fullmatch(name)}
    else:
        found = {name: module for name, module in named.items()
                 if any(name == target or name.endswith(f'.{target}') for target in targets)}
    if not found:
        parts = {name.rpartition('.')[2] for name in named}
        words = targets if isinstance(targets, str) else ', '.join(targets)
        hint = '' if isinstance(targets, str) else suggest(next(iter(targets), ''), parts)
        raise UsageError(f'target_modules {words or "(empty)"}: no module of {type(model).__name__} is called '
                         f'so.{hint}')
    return found


def change_output(module: nn.Module, change: Callable[[Tensor], Tensor], position: int | str | None = None) -> Handle:
    """Let ``change`` see and replace the output of a module.

    Args:
        position: where the tensor is in an output of several: index of a tuple (None: the first) or key of a dict.
    """
    def hook(_module: nn.Module, _inputs: tuple, output: Any) -> Any:
        return replace_item(output, position, change)
    return module.register_forward_hook(hook)


def change_input(module: nn.Module, change: Callable[[Tensor], Tensor], position: int | str | None = None) -> Handle:
    """Let ``change`` see and replace an input of a module before it runs.

    Args:
        position: index of a positional argument, or name of a keyword; None: the first of all.
    """
    def hook(_module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        place = input_place(args, kwargs, position)
        if isinstance(place, str):
            return args, {**kwargs, place: change(kwargs[place])}
        return (*args[:place], change(args[place]), *args[place + 1:]), kwargs
    return module.register_forward_pre_hook(hook, with_kwargs=True)


def input_place(args: tuple, kwargs: dict[str, Any], position: int | str | None) -> int | str:
    """Where an input is in a call: index of a positional argument or name of a keyword.

    Raises:
        UsageError: the call has no such input.
    """
    place = position if position is not None or args else next(iter(kwargs), None)
    place = 0 if place is None else place
    if place not in (kwargs if isinstance(place, str) else range(len(args))):
        raise UsageError(f'The module is called without the input {place!r}: it gets {len(args)} positional arguments '
                         f'and {", ".join(kwargs) or "no keywords"}.')
    return place


def input_at(args: tuple, kwargs: dict[str, Any], position: int | str | None) -> Any:
    """The input of a call that ``position`` means, see :func:`input_place`."""
    place = input_place(args, kwargs, position)
    return kwargs[place] if isinstance(place, str) else args[place]


def item_at(values: Any, position: int | str | None) -> Tensor:
    """The tensor that :func:`replace_item` replaces."""
    if isinstance(values, Tensor):
        return values
    if isinstance(values, dict):
        return values[next(iter(values)) if position is None else position]
    return values[0 if position is None else int(position)]


def replace_item(values: Any, position: int | str | None, change: Callable[[Tensor], Tensor]) -> Any:
    """``values`` with one tensor changed: itself, or one of a tuple, list or dict (of which a new one is made)."""
    if isinstance(values, Tensor):
        return change(values)
    if isinstance(values, dict):
        key = next(iter(values)) if position is None else position
        changed = type(values)(values)
        changed[key] = change(values[key])
        return changed
    index = 0 if position is None else int(position)
    return type(values)((*values[:index], change(values[index]), *values[index + 1:]))


def device_of(module: nn.Module) -> torch.device:
    """Where the first weight of a module is; the default device for one without weights."""
    weight = next(module.parameters(), None)
    return torch.get_default_device() if weight is None else weight.device


def safe_key(name: str) -> str:
    """A module's name as a key of :class:`torch.nn.ModuleDict`, which takes no dots."""
    return name.replace('.', '/')
