"""How long rows are, as numbers and as a picture. Knows numbers only."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from swift.utils.extras import require

_BINS = 40
PICTURE = 'lengths.png'


@dataclass
class Lengths:
    """The lengths of the rows of one data set, and what ``--max_length`` does to them. 4 bytes a row.

    Attributes:
        unit: tokens, or characters where there is no tokenizer.
        trained: how many of the tokens are trained.
        over: rows over ``--max_length``.
        cut: tokens of theirs that are lost.
    """

    unit: str
    values: array = field(default_factory=lambda: array('i'))
    trained: int = 0
    over: int = 0
    cut: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Shortest, quantiles, longest, sum, histogram; empty where there is no row."""
        if not self.values:
            return {}
        numbers = np.frombuffer(self.values, np.int32)
        low, middle, high, higher, top = np.percentile(numbers, [0, 50, 95, 99, 100]).tolist()
        counts, edges = self.histogram()
        value = {'unit': self.unit, 'shortest': int(low), 'median': middle, 'p95': high, 'p99': higher,
                 'longest': int(top), 'all': int(numbers.sum(dtype=np.int64)),
                 'histogram': {'edges': np.round(edges, 2).tolist(), 'rows': counts.tolist()}}
        return value | ({'trained': self.trained} if self.unit == 'tokens' else {})

    def histogram(self) -> tuple[np.ndarray, np.ndarray]:
        """(rows a bin, edges of the bins)."""
        numbers = np.frombuffer(self.values, np.int32)
        return np.histogram(numbers, bins=min(_BINS, max(1, int(numbers.max()))), range=(0, int(numbers.max()) + 1))

    def line(self) -> str:
        low, middle, high, top = np.percentile(np.frombuffer(self.values, np.int32), [0, 50, 95, 100])
        return (f'{self.unit} a row: shortest {low:.0f}, median {middle:.0f}, 95 % under {high:.0f}, '
                f'longest {top:.0f}; {sum(self.values)} in all')


def draw(lengths: Sequence[tuple[str, Lengths]], max_length: int | None, folder: Path) -> Path | None:
    """The histogram of every data set in ``folder/lengths.png``, 8 x 5 inches; None where there is no row.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    require('matplotlib', needed_by='The histogram of --output_dir')
    from matplotlib.figure import Figure  # 0.5 s of import that a check without a picture need not pay

    drawn = [(label, one) for label, one in lengths if one.values]
    if not drawn:
        return None
    figure = Figure(figsize=(8, 5), dpi=100)
    unit = drawn[0][1].unit
    axes = figure.add_subplot(title='Length of rows', xlabel=unit, ylabel='rows')
    for label, one in drawn:
        axes.stairs(*one.histogram(), label=f'{label} ({len(one.values)})', fill=len(drawn) == 1)
    if max_length is not None:
        axes.axvline(max_length, color='#cb181d', linestyle='--', label=f'--max_length {max_length}')
    axes.legend()
    axes.grid(alpha=0.3)
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / PICTURE)
    return folder / PICTURE
