"""Rows that can't be used: written down one by one, counted by reason. Knows nothing about why a row was refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

REJECTED = 'rejected.jsonl'  # in the run folder
_EXAMPLES = 3  # rows shown for a reason
_REASONS = 100  # reasons kept apart; what comes after them is counted together
_SHOWN = 300  # characters of an offending row


@dataclass(frozen=True)
class Rejection:
    """One row set aside; ``data`` is the beginning of it, kept for the first rows of a reason only."""

    file: int
    row: int
    reason: str
    data: str = ''

    def line(self, name_of: Callable[[int], str]) -> dict[str, Any]:
        """The line of a run's ``rejected.jsonl``; ``name_of`` names a file by its number."""
        return {'source': name_of(self.file), 'row': self.row, 'reason': self.reason}

    def to_dict(self) -> dict[str, Any]:
        return {'file': self.file, 'row': self.row, 'reason': self.reason, 'data': self.data}


@dataclass
class ReasonCount:
    """A reason, how many rows had it, and the first of them."""

    reason: str
    count: int = 0
    examples: list[Rejection] = field(default_factory=list)


class RejectCounter:
    """Counts rejections by reason in bounded memory, and hands each to ``write``.

    Reasons that differ in numbers only ("3021 tokens", "4077 tokens") are one reason.
    """

    def __init__(self, write: Callable[[Rejection], None] | None = None) -> None:
        self.total = 0
        self._write = write
        self._reasons: dict[str, ReasonCount] = {}

    def add(self, file: int, row: int, reason: str, data: Any = None) -> None:
        self.total += 1
        key = re.sub(r'\d+', '#', reason)
        if key not in self._reasons and len(self._reasons) >= _REASONS:
            key = reason = 'other reasons'
        entry = self._reasons.setdefault(key, ReasonCount(reason))
        entry.count += 1
        if len(entry.examples) < _EXAMPLES:
            entry.examples.append(Rejection(file, row, reason, shorten(data)))
        if self._write is not None:
            self._write(Rejection(file, row, reason))

    def reasons(self) -> list[ReasonCount]:
        """The reasons, the commonest first."""
        return sorted(self._reasons.values(), key=lambda reason: -reason.count)

    def summary(self) -> list[dict[str, Any]]:
        """:meth:`reasons` as JSON."""
        return [{'reason': r.reason, 'count': r.count, 'examples': [e.to_dict() for e in r.examples]}
                for r in self.reasons()]


def read_summary(value: list[dict[str, Any]]) -> list[ReasonCount]:
    """What :meth:`RejectCounter.summary` wrote."""
    return [ReasonCount(r['reason'], r['count'], [Rejection(**e) for e in r['examples']]) for r in value]


def to_lines(file: TextIO) -> Callable[[Rejection], None]:
    """A ``write`` for :class:`RejectCounter` that makes lines of JSON."""
    return lambda rejection: print(json.dumps(rejection.to_dict(), ensure_ascii=False), file=file)


def read_rejections(path: Path) -> Iterator[Rejection]:
    """The lines that :func:`to_lines` wrote, one at a time."""
    with open(path, encoding='utf-8') as file:
        for line in file:
            yield Rejection(**json.loads(line))


def shorten(data: Any) -> str:
    """The beginning of a row as JSON, ASCII only where the text is broken."""
    if data is None:
        return ''
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, default=str)
    text = text.encode('utf-8', 'backslashreplace').decode()
    return text if len(text) <= _SHOWN else f'{text[:_SHOWN]}...'


def describe(reasons: Iterable[tuple[str, ReasonCount]], limit: int = 3) -> str:
    """The ``limit`` commonest of (data set, reason), each with row numbers and the beginning of those rows."""
    lines = []
    for label, reason in sorted(reasons, key=lambda pair: -pair[1].count)[:limit]:
        rows = 'row' if reason.count == 1 else 'rows'
        lines.append(f'  {reason.count} {rows} of {label}: {reason.reason}')
        lines += [f'    row {example.row}: {example.data}'.rstrip(': ') for example in reason.examples]
    return '\n'.join(lines)
