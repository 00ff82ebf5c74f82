"""How one argument is declared: default, help, unit and range beside each other, checked when a group is built.

It knows nothing about command lines or about what an argument means.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Union

from swift.utils.errors import UsageError
from swift.utils.registry import suggest


class ArgumentsError(UsageError):
    """One or more wrong arguments, all told at once; each is one line of ``problems``."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        lines = ''.join(f'\n  - {problem}' for problem in self.problems)
        super().__init__(self.problems[0] if len(self.problems) == 1 else f'{len(self.problems)} problems:{lines}')


def opt(default: Any, help: str, *, unit: str = '', at_least: float | None = None, above: float | None = None,
        at_most: float | None = None, below: float | None = None) -> Any:
    """A dataclass field with the text and the range that belong to it.

    Args:
        default: the default; a list is copied for every instance.
        help: one or two sentences, shown by ``--help`` and in the command reference.
        unit: what a number counts ("tokens", "steps").
        at_least, above, at_most, below: the range of a number (inclusive, exclusive, inclusive, exclusive).
    """
    metadata = {'help': help, 'unit': unit,
                'range': {'at_least': at_least, 'above': above, 'at_most': at_most, 'below': below}}
    if isinstance(default, (list, dict)):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Kind:
    """The type of an argument, taken apart.

    Attributes:
        item: bool, int, float, str or dict; for a list the type of its items.
        is_list: several words are taken.
        optional: None is a value, meaning "decide for me".
        choices: the only words allowed, or empty.
    """

    item: type
    is_list: bool = False
    optional: bool = False
    choices: tuple[str, ...] = ()


def kind_of(annotation: Any) -> Kind:
    """Take an annotation apart.

    Raises:
        TypeError: an annotation that the command line can't carry.
    """
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        rest = [a for a in inner if a is not type(None)]
        if len(rest) == 1 and len(inner) == 2:
            return dataclasses.replace(kind_of(rest[0]), optional=True)
    if origin is list and inner[0] in (str, float, int):
        return Kind(inner[0], is_list=True)
    if origin is Literal:
        return Kind(str, choices=inner)
    if annotation in (bool, int, float, str):
        return Kind(annotation)
    if origin is dict or annotation is dict:
        return Kind(dict)
    raise TypeError(f'{annotation!r} is no type of an argument; use bool, int, float, str, Literal, list or "| None".')


@functools.cache
def kinds(group: type) -> dict[str, Kind]:
    """Name -> :class:`Kind` of every field of a group."""
    hints = typing.get_type_hints(group)
    return {f.name: kind_of(hints[f.name]) for f in dataclasses.fields(group)}


def range_text(field: dataclasses.Field) -> str:
    """``"at least 1"``, ``"above 0 and at most 1"``, or an empty string."""
    limits = field.metadata.get('range', {})
    parts = [f'{word.replace("_", " ")} {value:g}' for word, value in limits.items() if value is not None]
    return ' and '.join(parts)


def _outside(value: float, limits: dict[str, float | None]) -> bool:
    low, above, high, below = limits['at_least'], limits['above'], limits['at_most'], limits['below']
    return (not math.isfinite(value) or (low is not None and value < low) or (above is not None and value <= above)
            or (high is not None and value > high) or (below is not None and value >= below))


def _type_problem(name: str, value: Any, kind: Kind) -> str | None:
    if value is None:
        return None if kind.optional else f'--{name} needs a value, got none.'
    accepted = (int, float) if kind.item is float else kind.item
    items = value if kind.is_list else [value]
    fits = isinstance(items, list) and all(
        isinstance(item, accepted) and (kind.item is bool or not isinstance(item, bool)) for item in items)
    if fits:
        return None
    return f'--{name} takes {"a list of " if kind.is_list else ""}{kind.item.__name__}, got {value!r}.'


class Group:
    """Base of every argument group: checks types, choices and ranges when built, naming the flag."""

    def __post_init__(self) -> None:
        problems = []
        for field in dataclasses.fields(self):
            value, kind = self.__dict__[field.name], kinds(type(self))[field.name]
            problem = _type_problem(field.name, value, kind)
            if problem:
                problems.append(problem)
            elif value is not None and kind.choices and value not in kind.choices:
                problems.append(f'--{field.name} takes {", ".join(kind.choices)}; got {value!r}.'
                                f'{suggest(value, kind.choices)}')
            elif value is not None and kind.item in (int, float) and 'range' in field.metadata:
                items = value if kind.is_list else [value]
                unit = f' ({field.metadata["unit"]})' if field.metadata['unit'] else ''
                wanted = range_text(field) or 'a finite number'
                problems += [f'--{field.name} must be {wanted}{unit}, got {item}.'
                             for item in items if _outside(item, field.metadata['range'])]
        problems = problems or list(self.further_problems())
        if problems:
            raise ArgumentsError(problems)

    def further_problems(self) -> Sequence[str]:
        """Checks among the fields of one group that a range can't say; a group may override it."""
        return ()
