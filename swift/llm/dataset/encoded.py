"""Encoded and standard rows of several stores as one data set in a fixed order. Knows positions, not what rows mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from torch.utils.data import Dataset

from swift.llm.dataset.store import RowStore


class Store(Protocol):
    """Encoded rows by position."""

    def row(self, i: int) -> dict[str, Any]: ...

    def lengths(self) -> np.ndarray: ...


class EncodedDataset(Dataset):
    """Rows of one or more stores in a fixed order.

    ``[i]`` is ``{"input_ids": int32 [T], "weights": float32 [T], "row": int}``; ``lengths`` int32 [N] are the T of all
    rows. Only two numbers a row are in memory.
    """

    def __init__(self, stores: Sequence[Store], which: np.ndarray, position: np.ndarray) -> None:
        self._stores = tuple(stores)
        self._which = which
        self._position = position
        self.lengths = np.zeros(len(which), np.int32)
        for k, store in enumerate(self._stores):
            self.lengths[which == k] = store.lengths()[position[which == k]]

    def __len__(self) -> int:
        return len(self._which)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return self._stores[self._which[i]].row(int(self._position[i]))


class StandardRows(Sequence[dict[str, Any]]):
    """Standard rows, not encoded, in a fixed order: what ``swift infer`` answers."""

    def __init__(self, stores: Sequence[RowStore], which: np.ndarray, position: np.ndarray) -> None:
        self._stores, self._which, self._position = tuple(stores), which, position

    def __len__(self) -> int:
        return len(self._which)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return self._stores[self._which[i]].row(int(self._position[i]))


class MemoryStore:
    """Encoded rows in memory: the few validation rows from the head of a stream."""

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        self._rows = tuple(rows)

    def row(self, i: int) -> dict[str, Any]:
        return self._rows[i]

    def lengths(self) -> np.ndarray:
        return np.array([len(row['input_ids']) for row in self._rows], np.int32)
