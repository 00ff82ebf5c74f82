"""Which rows make an optimizer step, on which rank, in which micro-batch.

The order of rows depends on the seed, the epoch and the number of rows alone. Ranks, micro-batches and accumulation
only cut one order into pieces, so every split of the same step holds the same rows.
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn
from torch.utils.data import Dataset, IterableDataset, Sampler


@dataclass(frozen=True)
class StepPlan:
    """How the rows of one optimizer step are cut.

    Attributes:
        batch_size: rows in a micro-batch of one rank; packed sequences, where rows are packed.
        accumulation: micro-batches of one rank in a step.
        rank, world: this process among all.
        pack_length: tokens that a packed sequence has at most; None where rows are not packed.
    """

    batch_size: int
    accumulation: int
    rank: int = 0
    world: int = 1
    pack_length: int | None = None

    @property
    def rows_per_step(self) -> int:
        """Rows (packed sequences) of all ranks in a step."""
        return self.batch_size * self.accumulation * self.world


class StepBatchSampler(Sampler[list[tuple[int, bool]]]):
    """Yields micro-batches of ``(row, counted)`` for one rank, step after step.

    The last step of an epoch may hold fewer rows. Its micro-batches are dealt to the ranks in turn; a rank for which
    nothing is left carries a row with ``counted`` False, because every rank must take part in every backward.

    Args:
        n_rows: rows of the data set.
        plan: the cut.
        seed: of the order.
        shuffle: False keeps the order of the data set.
        drop_last: leave out the last, smaller step.
    """

    def __init__(self, n_rows: int, plan: StepPlan, *, seed: int, shuffle: bool = True,
                 drop_last: bool = False) -> None:
        self._n_rows = n_rows
        self._plan = plan
        self._seed = seed
        self._shuffle = shuffle
        self._drop_last = drop_last and n_rows >= plan.rows_per_step
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def order(self) -> np.ndarray:
        """Row numbers of this epoch, int64 [n_rows]."""
        if not self._shuffle:
            return np.arange(self._n_rows)
        return np.random.default_rng([self._seed, self._epoch]).permutation(self._n_rows)

    def __len__(self) -> int:
        full, rest = divmod(self._n_rows, self._plan.rows_per_step)
        last = 0 if self._drop_last else math.ceil(rest / (self._plan.batch_size * self._plan.world))
        return full * self._plan.accumulation + last

    def __iter__(self) -> Iterator[list[tuple[int, bool]]]:
        plan, order = self._plan, self.order()
        for start in range(0, len(order), plan.rows_per_step):
            rows = order[start:start + plan.rows_per_step]
            if self._drop_last and len(rows) < plan.rows_per_step:
                return
            for micro in range(0, len(rows), plan.batch_size * plan.world):
                mine = rows[micro + plan.rank * plan.batch_size:][:plan.batch_size]
                yield [(int(row), True) for row in mine] or [(int(rows[0]), False)]


class CountedRows(Dataset):
    """A map-style data set addressed by the sampler's ``(row, counted)``."""

    def __init__(self, rows: Dataset) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, key: tuple[int, bool]) -> dict[str, Any]:
        row, counted = key
        return {**self._rows[row], 'counted': counted}


class RankStream(IterableDataset):
    """Every ``world``-th row of a stream that is read again and again (see :func:`endless`), starting at ``rank``."""

    def __init__(self, stream: IterableDataset, plan: StepPlan) -> None:
        self._stream = stream
        self._plan = plan

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return itertools.islice(endless(self._stream), self._plan.rank, None, self._plan.world)


def endless(stream: IterableDataset) -> Iterator[dict[str, Any]]:
    """The rows of a stream, pass after pass.

    One endless iteration, because ``--max_steps`` ends it: no step is cut short where the stream begins anew, ranks
    stay together there, and a resumed run finds its row by counting, in whichever pass it is.
    """
    number, number_before = 0, -1
    for epoch in itertools.count():
        if number == number_before:  # nothing in a whole pass: a loader worker may have no row to read
            return
        number_before = number
        stream.set_epoch(epoch)
        for row in stream:
            yield row
            number += 1


def forward_takes(model: nn.Module, name: str) -> bool:
    """Whether the forward of a transformers model (not of a wrapper around it) names this argument."""
    return name in inspect.signature(model.forward).parameters


def is_spread(model: nn.Module) -> bool:
    """Whether layers of one model lie on several devices (accelerate's ``device_map``)."""
    return len(set(vars(model).get('hf_device_map', {}).values())) > 1
