"""What a check found, as text and as JSON; and the good rows as a file."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swift.llm.dataset.convert import describe_formats
from swift.llm.dataset.quality.check import Limits, SourceResult
from swift.llm.dataset.quality.findings import KINDS
from swift.llm.dataset.rejects import describe
from swift.utils.errors import SwiftError, UsageError

REPORT = 'data_check.json'
_REASONS = 10  # shown
_ORDERS = 5
_UNUSABLE = ('unusable', 'empty', 'no_answer', 'bad_roles', 'missing_media', 'over_max_length', 'nothing_left')


def describe_result(result: SourceResult, limits: Limits) -> str:
    """One data set, in lines."""
    rows = f'{result.read} rows' if result.of is None else f'{result.read} of {result.of} usable rows'
    rows = '1 row' if rows == '1 rows' else rows
    names = ' and '.join(result.formats)
    read_as = f'read as {names}' if names else 'no format recognised'
    lines = [f'{result.label}: {rows}, {read_as}, {result.ok} ok, {result.unusable} can\'t be used']
    if not result.read:
        lines.append('  error: there are no rows')
    if result.lengths.values:
        lines.append(f'  {result.lengths.line()}')
    if result.lengths.over:
        verb = 'deleted' if limits.truncation == 'delete' else f'cut at the {limits.truncation}'
        lines.append(f'  {result.lengths.over} rows over --max_length {limits.max_length} are {verb}, '
                     f'{result.lengths.cut} tokens are lost')
    if result.unusable:
        lines.append(describe(((result.label, reason) for reason in result.reasons.reasons()), limit=_REASONS))
    for finding in result.findings.all():
        if finding.kind.name == 'unusable':
            continue  # told by reason above
        told = finding.lines()
        # rows set aside are shown above with their reason and text
        lines += told[:1] if finding.kind.name in _UNUSABLE and finding.kind.name != 'missing_media' else told
    if len(result.orders) > 1:
        orders = sorted(result.orders.items(), key=lambda item: -item[1])
        listed = ', '.join(f'{order} ({count})' for order, count in orders[:_ORDERS])
        lines.append(f'  orders of turns: {listed}{", ..." if len(orders) > _ORDERS else ""}')
    if result.read and not result.formats:
        lines.append(describe_formats())
    return '\n'.join(lines)


def result_to_dict(result: SourceResult, limits: Limits) -> dict[str, Any]:
    """One data set, as JSON."""
    cut = {'max_length': limits.max_length, 'strategy': limits.truncation, 'rows': result.lengths.over,
           'tokens_cut': result.lengths.cut}
    return {
        'label': result.label, 'rows': result.read, 'ok': result.ok, 'unusable': result.unusable,
        'chosen_from': result.of, 'formats': result.formats, 'lengths': result.lengths.to_dict(),
        'truncation': None if limits.max_length is None else cut,
        'findings': [finding.to_dict() for finding in result.findings.all()],
        'reasons': [{'reason': r.reason, 'rows': r.count} for r in result.reasons.reasons()],
        'orders_of_turns': dict(sorted(result.orders.items(), key=lambda item: -item[1])[:20]),
    }


def describe_fix(results: Sequence[SourceResult], target: Path) -> str:
    """What ``--fix`` wrote, how many rows it left out, and why."""
    left_out = fix_to_dict(results, target)['left_out']
    why = ', '.join(f'{count} {KINDS[kind].text}' for kind, count in left_out.items())
    return (f'{target}: {sum(result.good for result in results)} rows written, {sum(left_out.values())} left out'
            f'{": " if why else ""}{why}')


def fix_to_dict(results: Sequence[SourceResult], target: Path) -> dict[str, Any]:
    left_out = {name: count for name in KINDS if (count := sum(result.left_out.get(name, 0) for result in results))}
    return {'file': str(target), 'rows': sum(result.good for result in results), 'left_out': left_out}


class RowFile:
    """Lines of JSON on their way into a new file; ``add`` takes one row."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def add(self, line: str) -> None:
        self._file.write(f'{line}\n')


def check_target(target: Path) -> None:
    """Raises:
        UsageError: there is a file already, or it could not be read back as rows.
    """
    if target.suffix.lower() != '.jsonl':
        raise UsageError(f'--fix {target}: the file holds one row a line, so its name has to end in .jsonl.')
    if os.path.lexists(target):
        raise UsageError(f'--fix {target} exists and is not overwritten. Name another file, or remove it.')
    if not target.parent.is_dir():
        raise UsageError(f'--fix {target}: there is no folder {target.parent}.')


@contextmanager
def new_row_file(target: Path) -> Iterator[RowFile]:
    """A file that is whole or not there: written under another name and linked to its own when all of it is on disk.

    Raises:
        UsageError: as :func:`check_target`; also when somebody has made the file meanwhile.
        SwiftError: it can't be written.
    """
    check_target(target)
    temporary = target.with_name(f'.tmp-{target.name}-{uuid.uuid4().hex[:8]}')
    try:
        with open(temporary, 'x', encoding='utf-8') as file:
            yield RowFile(file)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, target)  # unlike a rename, it never replaces a file
    except FileExistsError as e:
        raise UsageError(f'--fix {target} exists and is not overwritten. Name another file, or remove it.') from e
    except OSError as e:
        raise SwiftError(f'--fix {target} can\'t be written: {e.strerror}.') from e
    finally:
        temporary.unlink(missing_ok=True)
