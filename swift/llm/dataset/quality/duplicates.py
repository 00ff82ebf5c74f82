"""Rows that are equal, and rows that are nearly equal. Knows texts by number, not where they came from."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from swift.llm.dataset.convert import OTHER_CHATS
from swift.llm.dataset.quality.words import contents, digest, runs, words_of
from swift.utils.extras import require

_PERMUTATIONS = 128  # the standard error of an estimated similarity of 0.8 is 0.035
_SHINGLE = 5  # words
_COMPARED_COLUMNS = ('messages', 'tools', 'rejected_response', 'rejected_tools', *OTHER_CHATS)
_COMPARED = 50_000  # pairs of signatures compared at a time


class ExactDuplicates:
    """Finds rows whose conversations and tools are those of an earlier row. About 100 bytes a row.

    Rejected answers and other conversations count: one answer that is better than two others is two rows. A label or a
    channel does not make another row of the same text.
    """

    def __init__(self) -> None:
        self._first: dict[int, int] = {}

    def add(self, number: int, row: Mapping[str, Any]) -> int | None:
        """The number of the first row that is equal to this one, None where this one is the first."""
        compared = [row.get(name) for name in _COMPARED_COLUMNS]
        key = digest([json.dumps(compared, ensure_ascii=False, sort_keys=True)])
        first = self._first.setdefault(key, number)
        return None if first == number else first


class NearDuplicates:
    """Finds rows that share most of their runs of five words.

    MinHash (Broder, "On the resemblance and containment of documents", 1997) estimates the share of common runs; rows
    that agree in a band of their signatures are compared. ``datasketch`` makes the signatures and chooses the bands.
    About 0.5 KB a row.

    Args:
        threshold: the Jaccard similarity of two rows from which they count.

    Raises:
        MissingExtraError: datasketch is not installed.
    """

    def __init__(self, threshold: float) -> None:
        require('datasketch', needed_by='Looking for near duplicates')
        from datasketch import MinHash, MinHashLSH  # brings scipy, which takes a second to import

        self._threshold = threshold
        self._empty = MinHash(num_perm=_PERMUTATIONS, seed=1, hashfunc=zlib.crc32)
        chosen = MinHashLSH(threshold=threshold, num_perm=_PERMUTATIONS)
        self._bands, self._band_rows = chosen.b, chosen.r
        self._signatures: list[np.ndarray] = []
        self._numbers: list[int] = []

    def add(self, number: int, row: Mapping[str, Any]) -> None:
        words = [word for text in contents(row['messages']) for word in words_of(text)]
        if not words:
            return
        shingles = set(runs(words, _SHINGLE)) or {' '.join(words)}
        signature = self._empty.copy()
        signature.update_batch([shingle.encode('utf-8', 'surrogatepass') for shingle in shingles])
        self._signatures.append(signature.hashvalues.astype(np.uint32))
        self._numbers.append(number)

    def pairs(self) -> list[tuple[int, int, float]]:
        """(row, an earlier row, similarity) of every row that has such an earlier row, in order."""
        if not self._signatures:
            return []
        signatures = np.stack(self._signatures)
        earlier = np.full(len(signatures), -1, np.int64)
        similarity = np.zeros(len(signatures), np.float32)
        for band in range(self._bands):
            rows, partners = _neighbours(signatures[:, band * self._band_rows:(band + 1) * self._band_rows])
            for start in range(0, len(rows), _COMPARED):
                a, b = rows[start:start + _COMPARED], partners[start:start + _COMPARED]
                alike = (signatures[a] == signatures[b]).mean(axis=1, dtype=np.float32)
                better = (alike >= self._threshold) & (alike > similarity[a])
                earlier[a[better]], similarity[a[better]] = b[better], alike[better]
        return [(self._numbers[i], self._numbers[earlier[i]], float(similarity[i]))
                for i in np.flatnonzero(earlier >= 0).tolist()]


def _neighbours(band: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(row, earlier row) for rows that are equal in a band [N, R]: each with the first of its group, and with the one
    before it.
    """
    keys = np.zeros(len(band), np.uint64)
    for column in band.T:
        keys = keys * np.uint64(0x9E3779B97F4A7C15) + column  # modulo 2**64
    order = np.argsort(keys, kind='stable')
    same = keys[order][1:] == keys[order][:-1]
    at = np.flatnonzero(same) + 1
    firsts = np.maximum.accumulate(np.where(np.r_[False, same], 0, np.arange(len(order))))
    rows = np.concatenate([order[at], order[at]])
    return rows, np.concatenate([order[firsts[at]], order[at - 1]])
