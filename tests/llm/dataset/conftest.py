"""A template that needs no tokenizer, and files to read."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swift.utils.errors import RowError


@dataclass(frozen=True)
class StubEncoded:
    input_ids: np.ndarray
    weights: np.ndarray


@dataclass
class StubTemplate:
    """One id a character, the assistant's characters trained. ``calls`` counts the rows encoded by this process."""

    max_length: int = 10_000
    name: str = 'stub'
    calls: int = 0

    def fingerprint(self) -> str:
        return f'{self.name}-{self.max_length}'

    def encode_batch(self, rows: list[dict[str, Any]]) -> list[StubEncoded | RowError]:
        self.calls += len(rows)
        return [self._encode(row) for row in rows]

    def _encode(self, row: dict[str, Any]) -> StubEncoded | RowError:
        text = ''.join(turn['content'] for turn in row['messages'])
        if len(text) > self.max_length:
            return RowError(f'{len(text)} tokens are more than --max_length {self.max_length}')
        weights = [turn.get('loss_scale', 1.0) if turn['role'] == 'assistant' else 0.0
                   for turn in row['messages'] for _ in turn['content']]
        return StubEncoded(np.array([ord(c) for c in text], np.int32), np.array(weights, np.float32))

    @staticmethod
    def text_of(encoded: dict[str, Any]) -> str:
        return ''.join(map(chr, encoded['input_ids'].tolist()))


@pytest.fixture
def stub() -> type[StubTemplate]:
    return StubTemplate


@pytest.fixture
def write_jsonl(tmp_path: Path) -> Callable[..., Path]:
    """``write_jsonl(rows, 'name.jsonl')``: rows as dicts, or as text to be written as it stands."""
    def write(rows: list[Any], name: str = 'rows.jsonl') -> Path:
        path = tmp_path / name
        lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
        path.write_text('\n'.join(lines) + '\n', encoding='utf-8')
        return path

    return write


@pytest.fixture
def write_chat(write_jsonl: Callable[..., Path]) -> Callable[..., Path]:
    """``write_chat(100)``: rows "q7" -> "r7", without an answer where ``bad(i)`` is true."""
    def write(count: int, name: str = 'rows.jsonl', bad: Callable[[int], bool] = lambda i: False) -> Path:
        return write_jsonl([{'query': f'q{i}', 'response': '' if bad(i) else f'r{i}'} for i in range(count)], name)

    return write
