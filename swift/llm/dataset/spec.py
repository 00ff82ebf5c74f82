"""The grammar of one word of ``--dataset``. Knows paths and punctuation, not what a name stands for.

    [HF|MS::] name | hub id | path [: subset1/subset2 ...] [# rows]
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from swift.utils.errors import UsageError

HUBS = ('HF', 'MS')


@dataclass(frozen=True)
class DatasetSpec:
    """One data set as the user named it.

    Attributes:
        text: the whole word, for messages.
        name: a registered name, a hub id or a path.
        hub: the hub that was asked for, None leaves it to ``--use_hf``.
        subsets: named subsets, none means the default of the data set.
        count: rows wanted, None means all.
        path: ``name`` as an existing file or folder, None when it is not one.
        flag: what the word was given with, for messages.
    """

    text: str
    name: str
    hub: Literal['HF', 'MS'] | None = None
    subsets: tuple[str, ...] = ()
    count: int | None = None
    path: Path | None = None
    flag: str = '--dataset'


def parse_spec(text: str, flag: str = '--dataset') -> DatasetSpec:
    """Read one spec. An existing path wins at every step, so file names may contain ``#`` and ``:``.

    Raises:
        UsageError: the word is empty, the row count is no positive number or the hub is unknown.
    """
    if not text.strip():
        raise UsageError(f'{flag} got an empty word; it takes a file, a folder, a registered name or a hub id.')
    rest, count = text, None
    if not (path := _existing(rest)) and '#' in rest:
        rest, _, number = text.rpartition('#')
        count = _count(number, f'{flag} {text}')
        path = _existing(rest)
    if path:
        return DatasetSpec(text, rest, count=count, path=path, flag=flag)

    hub = None
    if '::' in rest:
        prefix, _, rest = rest.partition('::')
        hub = prefix.strip().upper()
        if hub not in HUBS:
            raise UsageError(f'{flag} {text}: unknown hub {prefix!r}; it takes {" or ".join(HUBS)}, as in '
                             'HF::owner/name.')
        path = _existing(rest)
    subsets: tuple[str, ...] = ()
    if not path and ':' in rest:
        rest, _, names = rest.partition(':')
        subsets = tuple(name for name in names.split('/') if name)
        path = _existing(rest)
    return DatasetSpec(text, rest, hub, subsets, count, path, flag)


def split_words(words: Iterable[str]) -> list[str]:
    """One word a data set: SWIFT 2 also took several in one, with commas between them. An existing path stays whole."""
    found: list[str] = []
    for word in words:
        head, _, number = word.rpartition('#')
        whole = _existing(word) or (number.isdigit() and _existing(head))
        found += [word] if whole or ',' not in word else [part.strip() for part in word.split(',') if part.strip()]
    return found


def anchored(text: str) -> str:
    """The same data sets for a reader in any working folder: a relative path becomes an absolute one."""
    words = split_words([text])
    if len(words) > 1:
        return ','.join(map(anchored, words))
    spec = parse_spec(text)
    if spec.path is None or not text.startswith(spec.name):
        return text
    return str(spec.path.absolute()) + text[len(spec.name):]


def _existing(text: str) -> Path | None:
    path = Path(text).expanduser()
    return path if text and path.exists() else None


def _count(number: str, where: str) -> int:
    if not (number.isascii() and number.isdigit()) or int(number) == 0:
        raise UsageError(f'{where}: {number!r} after the # is no number of rows; it takes a whole number '
                         'from 1.')
    return int(number)
