"""Which rows, in which order: sampling, splitting and mixing as index arrays. Knows numbers only, never a row.

Everything here is a pure function of its arguments and of the generator it is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from swift.utils.errors import UsageError


@dataclass(frozen=True)
class Choice:
    """Row indices of one data set, ``np.int64``: those to train on (repeats allowed), those to evaluate on."""

    train: np.ndarray
    eval: np.ndarray


def choose(total: int, count: int | None, val_ratio: float, rng: np.random.Generator) -> Choice:
    """Split and sample ``total`` rows.

    Validation rows are taken first, max(int(n * ratio), 1) of the n = min(total, count) rows, and never trained on; the
    rest is then sampled to ``count`` less the validation rows. One row alone is not split.

    Args:
        total: rows there are.
        count: rows wanted (``#N``), None for all of them in their order.
        val_ratio: share for validation, 0 for none.
    """
    wanted = total if count is None else count
    limit = min(total, wanted)
    held_out = max(int(limit * val_ratio), 1) if val_ratio > 0 and limit > 1 else 0
    rows = np.arange(total, dtype=np.int64)
    validation = np.empty(0, np.int64)
    if held_out:
        picked = rng.permutation(total)[:held_out]
        validation = np.sort(picked)
        rows = np.delete(rows, picked)
    return Choice(rows if count is None else sample(rows, wanted - held_out, rng), validation)


def sample(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` of ``rows``: without replacement, or as whole repeats and a random remainder when there are fewer."""
    if not len(rows):
        return rows
    repeats, remainder = divmod(count, len(rows))
    return np.concatenate([np.tile(rows, repeats), rng.permutation(rows)[:remainder]])


def draw(lengths: list[int], count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """``count`` rows of several data sets taken together, without repeats: ascending positions in each.

    All rows where there are no more than ``count``.
    """
    drawn = np.sort(rng.permutation(sum(lengths))[:max(count, 0)])
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return [drawn[(drawn >= start) & (drawn < end)] - start for start, end in zip(starts, starts[1:], strict=False)]


def concatenate(lengths: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """(data set, position) of every row, one data set after the other."""
    which = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    position = np.concatenate([np.arange(n, dtype=np.int64) for n in lengths] or [np.empty(0, np.int64)])
    return which, position


def interleave(lengths: list[int], probabilities: list[float], stopping: Literal['first_exhausted', 'all_exhausted'],
               rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(data set, position) of every row, the data set of each drawn with ``probabilities``.

    Ends with the last row of the first data set that runs out, or, for ``all_exhausted``, of the last one; then those
    that ran out earlier start again.

    Raises:
        UsageError: the probabilities don't fit the data sets.
    """
    check_probabilities(probabilities, len(lengths))
    share = np.asarray(probabilities, dtype=np.float64)
    sizes, taken, pieces, positions = np.asarray(lengths, np.int64), np.zeros(len(lengths), np.int64), [], []
    if not sizes.all():
        raise UsageError('--interleave_prob: a data set has no rows left, so it can\'t be drawn from.')
    block = int(sizes.sum()) + 1
    while True:
        drawn = rng.choice(len(lengths), size=block, p=share / share.sum()).astype(np.int32)
        hits = drawn[:, None] == np.arange(len(lengths), dtype=np.int32)[None, :]
        # position of each draw inside its own data set
        place = taken[drawn] + np.take_along_axis(np.cumsum(hits, axis=0), drawn[:, None], axis=1)[:, 0] - 1
        ends = [np.flatnonzero(hits[:, k] & (place == sizes[k] - 1)) for k in range(len(lengths))]
        ended = [e[0] if len(e) else (-1 if taken[k] >= sizes[k] else block) for k, e in enumerate(ends)]
        last = min(ended) if stopping == 'first_exhausted' else max(ended)
        stop = block if last == block else int(last) + 1
        pieces.append(drawn[:stop])
        positions.append(place[:stop] % sizes[drawn[:stop]])
        if stop < block or last == block - 1:
            return np.concatenate(pieces), np.concatenate(positions)
        taken += hits.sum(axis=0)


def check_probabilities(probabilities: list[float], datasets: int) -> None:
    """Refuse probabilities that don't fit.

    Raises:
        UsageError: not one positive number a data set, or they don't add up to 1.
    """
    if len(probabilities) != datasets:
        raise UsageError(f'--interleave_prob got {len(probabilities)} numbers for {datasets} data sets; it takes one '
                         'for each.')
    if min(probabilities) <= 0 or abs(sum(probabilities) - 1) > 1e-6:
        shown = ' '.join(map(str, probabilities))
        raise UsageError(f'--interleave_prob {shown}: it takes positive numbers that add up to 1.')
