"""What became of the rows of a run, in numbers and words. Knows counts only."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from swift.llm.dataset.convert import describe_formats
from swift.llm.dataset.rejects import REJECTED, ReasonCount, describe
from swift.utils.errors import SwiftError


@dataclass
class SourceReport:
    """One data set.

    Attributes:
        label: how the user named it.
        formats: rows by the format they were read as.
        read: rows in the files.
        converted: rows that could be read as a conversation.
        reasons: why the others, and those that could not be encoded, were set aside.
        wanted: different rows that were chosen for this run.
        encoded: those of them that could be encoded.
    """

    label: str
    formats: dict[str, int]
    read: int
    converted: int
    reasons: list[ReasonCount] = field(default_factory=list)
    wanted: int = 0
    encoded: int = 0

    def add_encoded(self, wanted: int, encoded: int, reasons: list[ReasonCount]) -> None:
        self.wanted, self.encoded = wanted, encoded
        self.reasons = [*self.reasons, *reasons]

    @property
    def rejected(self) -> int:
        return self.read - self.converted + self.wanted - self.encoded

    def read_as(self) -> str:
        """``"1000 rows, read as query/response"``."""
        names = ' and '.join(self.formats)
        return f'{self.read} rows, read as {names}' if names else f'{self.read} rows, no format recognised'

    def line(self) -> str:
        """``"a.jsonl: 1000 rows, read as query/response, 998 ok; 2 set aside: an empty response (2, first row 7)"``."""
        text = f'{self.label}: {self.read_as()}, {self.converted} ok'
        if self.wanted and (self.wanted != self.converted or self.encoded != self.wanted):
            text += f'; {self.encoded} of {self.wanted} chosen rows encoded'
        if self.rejected:
            why = ', '.join(f'{reason.reason} ({reason.count}, first row {reason.examples[0].row})'
                            for reason in self.reasons[:3])
            text += f'; {self.rejected} set aside: {why}'
        return text


@dataclass
class DataReport:
    """All data sets of a run."""

    sources: list[SourceReport]

    @property
    def rejected(self) -> int:
        return sum(source.rejected for source in self.sources)

    @property
    def rejected_ratio(self) -> float:
        """The share of rows lost on the way from file to token ids.

        Conversion sees whole files, encoding the chosen rows only, so the two shares are measured apart and chained.
        """
        converted = _share(sum(s.converted for s in self.sources), sum(s.read for s in self.sources))
        encoded = _share(sum(s.encoded for s in self.sources), sum(s.wanted for s in self.sources))
        return 1 - converted * encoded

    def log(self, logger: logging.Logger) -> None:
        for source in self.sources:
            logger.info('%s', source.line())


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def no_rows_error(report: SourceReport) -> SwiftError:
    """Every row was set aside, or there was none."""
    if not report.rejected:
        return SwiftError(f'{report.label} has no rows.')
    formats = '' if report.formats else f'\n{describe_formats()}'
    return SwiftError(f'No row of {report.label} can be used ({report.read_as()}). The commonest reasons:\n'
                      f'{describe((report.label, reason) for reason in report.reasons)}{formats}')


def check_rejected(report: DataReport, limit: float, run_dir: Path | None) -> None:
    """Stop a run that loses too many rows.

    Raises:
        SwiftError: more than ``limit`` of the rows were set aside.
    """
    if report.rejected_ratio <= limit + 1e-9:  # 1 - 0.95 is a little more than 0.05
        return
    listed = f'All are listed in {run_dir / REJECTED}. ' if run_dir else ''
    raise SwiftError(
        f'{report.rejected} rows can\'t be used: {report.rejected_ratio:.1%} of the data, more than '
        f'--max_rejected_ratio {limit:g}. The commonest reasons:\n'
        f'{describe((source.label, reason) for source in report.sources for reason in source.reasons)}\n'
        f'{listed}Mend the data, or raise --max_rejected_ratio.')
