"""A typed registry of frozen entries: add, get, iterate, discover, suggest.

It knows nothing about what the entries are. Modules of ``package`` are imported at the first look-up, so that
adding one thing means adding one file.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from swift.utils.errors import UsageError


class Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar('T', bound=Named)


def suggest(word: str, known: Iterable[str], limit: int = 3) -> str:
    """``" Did you mean 'a' or 'b'?"`` for the nearest known words, or an empty string."""
    by_key = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), by_key, n=limit, cutoff=0.6)
    return f' Did you mean {" or ".join(repr(by_key[key]) for key in near)}?' if near else ''


def _letters(name: str) -> str:
    return ''.join(character for character in name.lower() if character.isalnum())


class Registry(Generic[T]):
    """Entries by exact name, or by an alias of it.

    Args:
        kind: what an entry is, for messages ("template", "data set").
        package: dotted name of a package whose modules register entries when imported, or None.
        loose: a name that is unknown as it stands finds the one entry that has the same letters and digits
            ("Llama-3.1" finds "llama3_1").
    """

    def __init__(self, kind: str, package: str | None = None, *, loose: bool = False) -> None:
        self.kind = kind
        self._loose = loose
        self._package = package
        self._entries: dict[str, T] = {}
        self._aliases: dict[str, str] = {}
        self._discovered = package is None

    def add(self, entry: T) -> T:
        """Register ``entry``.

        Raises:
            UsageError: another entry has this name.
        """
        if entry.name in self._entries or entry.name in self._aliases:
            raise UsageError(f'There is already a {self.kind} called {entry.name!r}; choose another name.')
        self._entries[entry.name] = entry
        return entry

    def alias(self, alias: str, name: str) -> None:
        """Let :meth:`get` find the entry ``name`` by ``alias`` too; :meth:`names` does not list it.

        Raises:
            UsageError: something else has this name.
        """
        if alias in self._entries or self._aliases.get(alias, name) != name:
            raise UsageError(f'There is already a {self.kind} called {alias!r}; choose another name.')
        self._aliases[alias] = name

    def get(self, name: str) -> T:
        """The entry called ``name``.

        Raises:
            UsageError: no such entry; the message suggests near names.
        """
        entries = self._all()
        found = self._find(name)
        if found is None:
            raise UsageError(f'Unknown {self.kind} {name!r}.{suggest(name, [*entries, *self._aliases])}')
        return entries[found]

    def _find(self, name: object) -> str | None:
        entries = self._all()
        if not isinstance(name, str) or name in entries:
            return name if isinstance(name, str) else None
        if name in self._aliases or not self._loose:
            return self._aliases.get(name)
        spelled = _letters(name)
        found = {self._aliases.get(known, known) for known in (*entries, *self._aliases) if _letters(known) == spelled}
        return found.pop() if len(found) == 1 else None

    def aliases(self) -> dict[str, str]:
        """Alias -> name."""
        self._all()
        return dict(self._aliases)

    def names(self) -> list[str]:
        return list(self._all())

    def __contains__(self, name: object) -> bool:
        return self._find(name) is not None

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._all().values()))

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> dict[str, T]:
        if not self._discovered:
            self._discovered = True  # set first: a module being imported may itself look something up
            package = importlib.import_module(self._package)
            for module in sorted(info.name for info in pkgutil.iter_modules(package.__path__)):
                importlib.import_module(f'{self._package}.{module}')
        return self._entries
