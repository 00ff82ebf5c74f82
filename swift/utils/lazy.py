"""Public names of a package that are imported when they are first used (PEP 562)."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(namespace: dict[str, Any], exports: Mapping[str, str]) -> tuple[Callable[[str], Any],
                                                                               Callable[[], list[str]]]:
    """The ``__getattr__`` and ``__dir__`` of a package.

    Args:
        namespace: the package's ``globals()``; an imported name is kept there.
        exports: public name -> the module that defines it.
    """
    def find(name: str) -> Any:
        if name not in exports:
            raise AttributeError(f'module {namespace["__name__"]!r} has no attribute {name!r}; it has: '
                                 f'{", ".join(sorted(exports))}')
        namespace[name] = getattr(importlib.import_module(exports[name]), name)
        return namespace[name]

    def names() -> list[str]:
        return sorted({*namespace, *exports})

    return find, names
