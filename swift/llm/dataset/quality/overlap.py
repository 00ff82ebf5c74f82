"""Training rows that are in an evaluation set: equal ones, and those that share a run of words with one.

Runs of 13 words, and leaving out runs that many evaluation rows share, follow the study of contamination in "Language
Models are Few-Shot Learners" (Brown et al., 2020, appendix C).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swift.llm.dataset.quality.words import contents, digest, runs, words_of

_SHORTEST = 8  # words: a shorter text is compared whole only
_COMMON = 10  # a run that is in more evaluation rows than this is a phrase of the task


@dataclass(frozen=True)
class Overlap:
    """Which evaluation row (as "file, row N"), and the words in common where the rows are not equal."""

    row: str
    words: str | None = None


class EvaluationSet:
    """The evaluation rows, as numbers that stand for texts; about 100 bytes a word.

    Args:
        n: words in a run that counts; 0 compares whole rows only.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._names: list[str] = []
        self._whole: dict[int, int] = {}
        self._questions: dict[int, int] = {}
        self._runs: dict[int, dict[int, int]] = {}  # words in a run -> run -> first row that has it
        self._counts: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._names)

    def add(self, name: str, row: Mapping[str, Any]) -> None:
        """One evaluation row; an answer is not needed."""
        at = len(self._names)
        self._names.append(name)
        texts, question = _normal(contents(row['messages'])), _normal(contents(row['messages'], 'user'))
        self._whole.setdefault(digest(texts), at)
        if sum(map(len, question)) and (_is_long(question) or texts == question):
            self._questions.setdefault(digest(question), at)
        own: set[int] = set()
        for text in texts:
            words = text.split()
            n = min(self._n, len(words))
            if n >= min(_SHORTEST, self._n) > 0:
                table = self._runs.setdefault(n, {})
                for run in runs(words, n):
                    key = digest([run])
                    table.setdefault(key, at)
                    own.add(key)
        for key in own:
            self._counts[key] = self._counts.get(key, 0) + 1

    def find(self, row: Mapping[str, Any]) -> Overlap | None:
        """The evaluation row that this training row has, or shares words with."""
        texts = _normal(contents(row['messages']))
        at = self._whole.get(digest(texts))
        if at is None:
            at = self._questions.get(digest(_normal(contents(row['messages'], 'user'))))
        if at is not None:
            return Overlap(self._names[at])
        for text in texts:
            words = text.split()
            for n, table in self._runs.items():
                for run in runs(words, n):
                    key = digest([run])
                    if key in table and self._counts[key] <= _COMMON:
                        return Overlap(self._names[table[key]], run)
        return None


def _normal(texts: Sequence[str]) -> list[str]:
    return [' '.join(words_of(text)) for text in texts]


def _is_long(texts: Sequence[str]) -> bool:
    return sum(len(text.split()) for text in texts) >= _SHORTEST
