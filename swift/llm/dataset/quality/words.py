"""Texts -> words, the unit in which rows are compared. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

# A word is a run of letters and digits; in writing without spaces every character is one.
_WORD = re.compile(r'[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0e7f]|[^\W_]+')
_UNSPACED = re.compile(r'([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0e7f])')


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case and without punctuation."""
    return _WORD.findall(_UNSPACED.sub(r' \1 ', text).lower())


def runs(words: Sequence[str], n: int) -> Iterator[str]:
    """Every run of ``n`` words as one text."""
    return (' '.join(words[i:i + n]) for i in range(len(words) - n + 1))


def digest(parts: Iterable[str]) -> int:
    """64 bits that stand for a list of texts: of a million lists, two different ones meet with a chance of 3e-8."""
    hashed = hashlib.blake2b(digest_size=8)
    for part in parts:
        raw = part.encode('utf-8', 'surrogatepass')
        hashed.update(len(raw).to_bytes(8, 'big'))  # the length keeps ("ab", "c") apart from ("a", "bc")
        hashed.update(raw)
    return int.from_bytes(hashed.digest(), 'big')


def contents(messages: Sequence[Mapping[str, Any]], *roles: str) -> list[str]:
    """The contents of the turns of these roles, of all but the system's where none is named."""
    return [turn['content'] for turn in messages if (turn['role'] in roles if roles else turn['role'] != 'system')]
