"""Rows put together into sequences of at most so many tokens, and such sequences into steps.

It knows lengths, not what rows mean. Two plans use it: ``--packing true``, where a micro-batch holds so many packed
sequences, and ``--max_tokens_per_batch N``, where it is one sequence of N tokens. A packed sequence is called a bin
here. Within a bin, rows don't see each other: the collator gives each its own positions.

Packed are lengths, not rows. Best fit decreasing looks at the sorted lengths only, so which lengths share a bin, and
how many bins there are, is the same in every epoch; an epoch deals the rows of one length to the places of that length
anew and shuffles the bins. So an epoch's number of micro-batches is known before it begins and never changes, every row
is in each epoch once, and rows still get other neighbours.
"""

from __future__ import annotations

import bisect
import heapq
import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import IterableDataset, Sampler

from swift.llm.dataset.encoded import EncodedDataset
from swift.trainers.batching import StepBatchSampler, StepPlan, endless
from swift.utils.errors import UsageError

_WINDOW = 512 * 1024  # tokens that a stream looks ahead: fills to 99.9 %, holds 4 MB, is read in a second or two
_WINDOW_BINS = 16  # at least


def best_fit_decreasing(lengths: np.ndarray, capacity: int, *, started: int = 0) -> np.ndarray:
    """Pack the longest first, each where the least room that suffices is left; a new bin where none does.

    At most 11/9 of the fewest possible bins (Johnson 1974); on rows of mixed lengths nearly all bins are full. Rows of
    one length are placed together, so a million rows take about a second.

    Args:
        lengths: tokens of each row, int [N], none above ``capacity``.
        capacity: tokens of a bin.
        started: tokens that bin 0 has already; 0 starts with no bin.

    Returns:
        The bin of the k-th longest row, int64 [N]; bins count from 0.
    """
    values, counts = np.unique(np.maximum(lengths, 1), return_counts=True)
    bins_with: dict[int, list[int]] = {}  # room -> bins
    rooms: list[int] = []  # its keys, ascending
    n_bins = 0

    def put(room: int, bins: list[int]) -> None:
        if room in bins_with:
            bins_with[room] += bins
        elif bins:
            bins_with[room] = bins
            bisect.insort(rooms, room)

    if started:
        n_bins = 1
        put(capacity - started, [0])
    placed: list[np.ndarray] = []
    for length, count in zip(values[::-1].tolist(), counts[::-1].tolist(), strict=True):
        while count:
            at = bisect.bisect_left(rooms, length)
            if at == len(rooms):
                new = math.ceil(count / (capacity // length))
                put(capacity, list(range(n_bins, n_bins + new)))
                n_bins += new
            room = rooms[at]
            bins = bins_with[room]
            each = room // length  # a bin that took one has less room now and fits better still
            full = min(len(bins), count // each)
            taken = [bins.pop() for _ in range(full)]
            placed.append(np.repeat(np.array(taken, np.int64), each))
            count -= full * each
            if count and bins:  # fewer than fill the next one
                last = bins.pop()
                placed.append(np.full(count, last, np.int64))
                put(room - count * length, [last])
                count = 0
            if not bins:
                del bins_with[room]
                rooms.remove(room)
            put(room - each * length, taken)
    return np.concatenate(placed) if placed else np.zeros(0, np.int64)


def spread(lengths: np.ndarray, parts: int) -> np.ndarray:
    """The part of each row, int64 [N], so that parts have nearly the same tokens: the longest first, each to the part
    that has the least."""
    loads = [(0, part) for part in range(parts)]
    part_of = np.zeros(len(lengths), np.int64)
    for row in np.argsort(-lengths, kind='stable').tolist():
        load, part = loads[0]
        part_of[row] = part
        heapq.heapreplace(loads, (load + int(lengths[row]), part))
    return part_of


def deal(tokens: np.ndarray, plan: StepPlan) -> np.ndarray:
    """Which units of a step this rank takes, int64 [layers]: one of every ``world``, evenly.

    By falling size, ``world`` at a time, to the ranks forth and back; so those that run at the same time are of nearly
    the same size, and no rank gets the larger one each time.

    Args:
        tokens: of each unit, [layers * world].
    """
    layers = np.argsort(-tokens, kind='stable').reshape(-1, plan.world)
    layers[1::2] = layers[1::2, ::-1]
    return layers[:, plan.rank]


class PackedSampler(Sampler[list[tuple[int, bool]]]):
    """Yields micro-batches of ``(row, counted)`` for one rank, as :class:`StepBatchSampler` does, of packed rows.

    A step takes the next ``batch_size * accumulation * world`` bins of the epoch's order, whichever way it is cut, and
    deals them to the ranks evenly. The rows of the last step, which may have fewer bins, are spread over as many
    micro-batches as those bins need, so that every rank takes part; where there are fewer rows than that, a rank
    carries a row with ``counted`` False. The emptiest bin goes into that last step, where it does no harm.

    Args:
        lengths: tokens of each row, int [N].
        plan: the cut; its ``pack_length`` is the size of a bin.
        seed: of the order.
        shuffle: False deals rows and bins in their own order.
        drop_last: leave out the last, smaller step.

    Raises:
        UsageError: a row is longer than a bin.
    """

    def __init__(self, lengths: np.ndarray, plan: StepPlan, *, seed: int, shuffle: bool = True,
                 drop_last: bool = False) -> None:
        self._lengths = np.asarray(lengths, np.int64)
        self._plan = plan
        self._seed = seed
        self._shuffle = shuffle
        self._epoch = 0
        check_fits(int(self._lengths.max(initial=0)), plan.pack_length)
        bin_of = best_fit_decreasing(self._lengths, plan.pack_length)
        self._by_bin = np.argsort(bin_of, kind='stable')
        self._starts = np.concatenate([[0], np.cumsum(np.bincount(bin_of))]).astype(np.int64)
        self._fill = np.bincount(bin_of, weights=np.sort(self._lengths)[::-1]).astype(np.int64)  # tokens of each bin
        self._drop_last = drop_last and self.n_bins >= plan.rows_per_step

    @property
    def n_bins(self) -> int:
        """Packed sequences of an epoch."""
        return len(self._fill)

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        full, rest = divmod(self.n_bins, self._plan.rows_per_step)
        return full * self._plan.accumulation + (0 if self._drop_last else self._micro_batches(rest))

    def __iter__(self) -> Iterator[list[tuple[int, bool]]]:
        rows, bins = self._order()
        size = self._plan.rows_per_step
        whole = len(bins) // size * size
        for start in range(0, whole, size):
            step = bins[start:start + size]
            mine = step[deal(self._fill[step], self._plan)].reshape(-1, self._plan.batch_size)
            for micro in mine:
                yield [(row, True) for b in micro for row in self._rows_of(rows, b).tolist()]
        if whole < len(bins) and not self._drop_last:
            yield from self._last(rows, bins[whole:])

    def _order(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows by bin and bins in the order of this epoch, int64 [N] and [n_bins]."""
        rng = np.random.default_rng([self._seed, self._epoch])
        rows, bins = np.arange(len(self._lengths)), np.arange(self.n_bins)
        if self._shuffle:
            rows, bins = rng.permutation(rows), rng.permutation(bins)
        rows = rows[np.argsort(-self._lengths[rows], kind='stable')][self._by_bin]
        if not self._drop_last and len(bins):
            emptiest = int(np.argmin(self._fill))
            bins = np.concatenate([bins[bins != emptiest], [emptiest]])
        return rows, bins

    def _rows_of(self, rows: np.ndarray, b: int) -> np.ndarray:
        return rows[self._starts[b]:self._starts[b + 1]]

    def _micro_batches(self, n_bins: int) -> int:
        return math.ceil(n_bins / (self._plan.batch_size * self._plan.world))

    def _last(self, rows: np.ndarray, bins: np.ndarray) -> Iterator[list[tuple[int, bool]]]:
        plan = self._plan
        parts = self._micro_batches(len(bins)) * plan.world
        bins = bins[np.argsort(-self._fill[bins], kind='stable')]
        members = [self._rows_of(rows, b) for b in bins]
        left = np.concatenate(members)
        part_of = spread(self._lengths[left], parts)
        tokens = np.bincount(part_of, weights=self._lengths[left], minlength=parts)
        if tokens.max() > plan.batch_size * plan.pack_length:  # then bins stay as they are
            part_of = np.repeat(np.arange(len(bins)) % parts, [len(m) for m in members])
            tokens = np.bincount(part_of, weights=self._lengths[left], minlength=parts)
        for part in deal(tokens, plan):
            yield [(row, True) for row in left[part_of == part].tolist()] or [(int(left[0]), False)]


class PackedStream(IterableDataset):
    """Micro-batches of one rank, packed from a stream that is read again and again (see :func:`endless`).

    Every rank reads and packs the whole stream in the same way and takes its share of each step, so ranks agree without
    talking, and a resumed run finds its micro-batch by counting.

    Args:
        stream: encoded rows.
        plan, seed: as of :class:`PackedSampler`.
    """

    def __init__(self, stream: IterableDataset, plan: StepPlan, *, seed: int) -> None:
        self._stream = stream
        self._plan = plan
        self._seed = seed

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        plan = self._plan
        bins = packed(endless(self._stream), plan.pack_length, seed=self._seed)
        while len(step := list(itertools.islice(bins, plan.rows_per_step))) == plan.rows_per_step:
            mine = deal(np.array([tokens_of(b) for b in step]), plan)
            for micro in mine.reshape(-1, plan.batch_size):
                yield [row for at in micro for row in step[at]]


def packed(rows: Iterator[dict[str, Any]], capacity: int, *, seed: int,
           window: int | None = None) -> Iterator[list[dict[str, Any]]]:
    """Bins of a stream of rows: each row once, soon after it came, in an order that depends on seed and stream only.

    Rows of ``window`` tokens are packed at a time, and the next ones are read little by little while these bins are
    asked for. The emptiest bin is held back and filled up by the next window, so each row waits for one more window at
    most.

    Raises:
        UsageError: a row is longer than a bin.
    """
    window = max(_WINDOW, _WINDOW_BINS * capacity) if window is None else window
    held: list[dict[str, Any]] = []
    ahead = _Ahead(rows, capacity)
    for number in itertools.count():
        ahead.read(window)
        taken = ahead.take()
        if not taken:
            break
        bins = _pack_rows(taken, held, capacity)
        emptiest = int(np.argmin([tokens_of(b) for b in bins]))
        held = [] if held and emptiest == 0 else bins.pop(emptiest)
        for given, at in enumerate(np.random.default_rng([seed, number]).permutation(len(bins)).tolist(), start=1):
            yield bins[at]
            ahead.read(window * given // len(bins))
    if held:
        yield held


class _Ahead:
    """Rows of the next window."""

    def __init__(self, rows: Iterator[dict[str, Any]], capacity: int) -> None:
        self._rows = rows
        self._capacity = capacity
        self._read: list[dict[str, Any]] = []
        self._tokens = 0

    def read(self, tokens: int) -> None:
        """Read on until there are so many tokens, or no rows."""
        while self._tokens < tokens and (row := next(self._rows, None)) is not None:
            check_fits(len(row['input_ids']), self._capacity)
            self._read.append(row)
            self._tokens += len(row['input_ids'])

    def take(self) -> list[dict[str, Any]]:
        taken, self._read, self._tokens = self._read, [], 0
        return taken


def _pack_rows(rows: list[dict[str, Any]], first: list[dict[str, Any]], capacity: int) -> list[list[dict[str, Any]]]:
    """Bins of ``rows``; what is in ``first`` is part of the first bin."""
    lengths = np.array([len(row['input_ids']) for row in rows])
    bin_of = best_fit_decreasing(lengths, capacity, started=tokens_of(first))
    bins = [[*first]] if first else []
    bins += [[] for _ in range(int(bin_of.max()) + 1 - len(bins))]
    for at, b in zip(np.argsort(-lengths, kind='stable').tolist(), bin_of.tolist(), strict=True):
        bins[b].append(rows[at])
    return bins


def tokens_of(rows: list[dict[str, Any]]) -> int:
    return sum(len(row['input_ids']) for row in rows)


def check_fits(tokens: int, capacity: int) -> None:
    """Raises:
        UsageError: a row of so many tokens doesn't fit into a bin.
    """
    if tokens > capacity:
        raise UsageError(f'A row has {tokens} tokens, and rows are packed into at most {capacity}: lower --max_length, '
                         'or raise --packing_length or --max_tokens_per_batch, whichever was given.')


def step_sampler(rows: EncodedDataset, plan: StepPlan, *, seed: int, shuffle: bool = True,
                 drop_last: bool = False) -> StepBatchSampler | PackedSampler:
    """What cuts ``rows`` into the micro-batches of ``plan``, packed or not."""
    if plan.pack_length is None:
        return StepBatchSampler(len(rows), plan, seed=seed, shuffle=shuffle, drop_last=drop_last)
    return PackedSampler(rows.lengths, plan, seed=seed, shuffle=shuffle, drop_last=drop_last)
