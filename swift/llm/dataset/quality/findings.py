"""What a check can find, how bad it is, and how often it was found. Knows no row format."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

SAMPLES = 3  # rows shown for a kind of finding
_SHOWN = 200  # characters of what is shown of a row

Severity = Literal['error', 'warning']


@dataclass(frozen=True)
class Kind:
    """One kind of finding.

    Attributes:
        name: its key in the JSON report.
        severity: an ``error`` makes the exit code 1, a ``warning`` does not.
        text: what is said of the rows, after their number.
        left_out: ``--fix`` leaves such rows out.
    """

    name: str
    severity: Severity
    text: str
    left_out: bool


KINDS: dict[str, Kind] = {kind.name: kind for kind in (
    Kind('unusable', 'error', 'that can\'t be read or encoded', True),
    Kind('empty', 'error', 'without text', True),
    Kind('no_answer', 'error', 'without an answer', True),
    Kind('bad_roles', 'error', 'with turns in an order that can\'t be trained', True),
    Kind('missing_media', 'error', 'with a media file that is not there', True),
    Kind('over_max_length', 'error', 'over --max_length, which training deletes', True),
    Kind('nothing_left', 'error', 'losing every trained token at --max_length', True),
    Kind('in_evaluation', 'error', 'of the evaluation set', True),
    Kind('shares_words', 'error', 'with a run of words of the evaluation set', True),
    Kind('duplicate', 'warning', 'equal to an earlier row', True),
    Kind('near_duplicate', 'warning', 'nearly equal to an earlier row', False),
    Kind('truncated', 'warning', 'cut at --max_length', False),
    Kind('control_tokens', 'warning', 'with a control token spelled in a content', False),
    Kind('blank_turn', 'warning', 'with a turn without text', False),
    Kind('unusual_roles', 'warning', 'with an unusual order of turns', False),
    Kind('media_tags', 'warning', 'with another number of media tags than of media', False),
)}


@dataclass
class Finding:
    """One kind of finding in one data set: how many rows, and the first of them as (file, row, what)."""

    kind: Kind
    count: int = 0
    samples: list[tuple[str, int, str]] = field(default_factory=list)
    details: dict[str, int] = field(default_factory=dict)
    """How often each named thing was found (a control token, an order of turns, a reason), if there is such a name."""

    def to_dict(self) -> dict[str, Any]:
        value = {'kind': self.kind.name, 'severity': self.kind.severity, 'rows': self.count,
                 'text': f'{_rows(self.count)} {self.kind.text}',
                 'samples': [{'file': file, 'row': row, 'what': what} for file, row, what in self.samples]}
        return value | ({'details': self.commonest()} if self.details else {})

    def commonest(self, limit: int = 20) -> dict[str, int]:
        return dict(sorted(self.details.items(), key=lambda item: -item[1])[:limit])

    def lines(self) -> list[str]:
        named = ', '.join(f'{name} ({count})' for name, count in self.commonest(5).items())
        lines = [f'  {self.kind.severity}: {_rows(self.count)} {self.kind.text}{": " if named else ""}{named}']
        return lines + [f'    row {row}: {what}' for _, row, what in self.samples]


class Findings:
    """The findings of one data set, in bounded memory."""

    def __init__(self) -> None:
        self._found: dict[str, Finding] = {}

    def add(self, kind: str, file: str, row: int, what: str, detail: str = '') -> None:
        """One row; ``what`` is shown for the first few, ``detail`` is a name that is counted."""
        finding = self._found.setdefault(kind, Finding(KINDS[kind]))
        finding.count += 1
        if len(finding.samples) < SAMPLES:
            finding.samples.append((file, row, shown(what)))
        if detail:
            self.note(kind, detail)

    def note(self, kind: str, detail: str, count: int = 1) -> None:
        """Count one more named thing of a row that has been added."""
        details = self._found[kind].details
        if detail not in details and len(details) >= 1000:
            detail = 'others'
        details[detail] = details.get(detail, 0) + count

    def all(self) -> list[Finding]:
        """In the order of ``KINDS``: errors first."""
        return [self._found[name] for name in KINDS if name in self._found]

    def rows(self, severity: Severity) -> int:
        """Findings of this severity; a row with two of them counts twice."""
        return sum(finding.count for finding in self._found.values() if finding.kind.severity == severity)


def shown(text: str) -> str:
    """The beginning of a text on one line."""
    line = ' '.join(text[:2 * _SHOWN].split())
    line = line.encode('utf-8', 'backslashreplace').decode()
    return line if len(line) <= _SHOWN else f'{line[:_SHOWN]}...'


def _rows(count: int) -> str:
    return '1 row' if count == 1 else f'{count} rows'
