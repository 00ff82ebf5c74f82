"""Files -> raw rows, one at a time, in flat memory. Knows file formats, not what the columns mean.

Row numbers start at 1; in a .jsonl or .txt file the row number is the line number.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from swift.utils.errors import SwiftError

_CHUNK = 1 << 20  # characters of a JSON array read at a time
_BATCH = 500  # rows of a Parquet file decoded at a time


@dataclass(frozen=True)
class RawRow:
    """A row as read, or the reason why this row alone could not be; ``value`` is then what can be shown of it."""

    number: int
    value: Any = None
    error: str | None = None


def read_rows(path: Path) -> Iterator[RawRow]:
    """The rows of one file; the format is told by its extension.

    Raises:
        SwiftError: the file is missing, has an unknown extension, or is broken so that the rest can't be read.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise SwiftError(f'{path}: unknown kind of file {path.suffix!r}; rows are read from {", ".join(READERS)}.')
    if not path.is_file():
        raise SwiftError(f'No such file: {path}')
    try:
        yield from reader(path)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as e:
        raise SwiftError(f'{path} can\'t be read as {path.suffix.lower()}: {e}') from e


def _jsonl(path: Path) -> Iterator[RawRow]:
    with open(path, 'rb') as file:  # bytes: only \n ends a line, and one line that is not UTF-8 stays one bad row
        for number, line in enumerate(file, 1):
            if number == 1:
                line = line.removeprefix(b'\xef\xbb\xbf')
            if not line.strip():
                continue
            try:
                row = RawRow(number, json.loads(line.decode()))
            except UnicodeDecodeError:
                row = RawRow(number, _shown(line), error='the line is not UTF-8 text')
            except json.JSONDecodeError as e:
                row = RawRow(number, _shown(line), error=f'broken JSON: {e.msg}')
            except RecursionError:
                row = RawRow(number, _shown(line), error='broken JSON: nested too deep')
            yield row


def _shown(line: bytes) -> str:
    return line[:1000].decode(errors='replace').strip()


def _json(path: Path) -> Iterator[RawRow]:
    """A JSON array of rows; also what is often called .json and has one row a line."""
    with open(path, encoding='utf-8-sig') as file:
        first = ''
        while not first.strip() and (character := file.read(1)):
            first = character
        if first == '[':
            yield from _array(file, path)
            return
    if not first:
        raise SwiftError(f'{path} is empty; a JSON file must be an array of rows, or hold one row a line.')
    if first != '{':
        raise SwiftError(f'{path} starts with {first!r}; a JSON file must be an array of rows, or hold one row a line.')
    with open(path, 'rb') as file:
        line = file.readline().decode('utf-8-sig', 'replace')
    try:
        json.loads(line)
    except json.JSONDecodeError as e:
        raise SwiftError(f'{path} is one JSON object; it must be an array of rows, or hold one row a line.') from e
    yield from _jsonl(path)


def _array(file: Any, path: Path) -> Iterator[RawRow]:
    """The elements of an array whose ``[`` has been read; at most one element and one chunk are in memory."""
    decoder, window, number = json.JSONDecoder(), _Window(file), 0
    while True:
        mark = window.peek()
        if mark == ']':
            return
        if number and mark != ',':
            raise SwiftError(f'{path}:{window.line()}: broken JSON after row {number}: expected "," or "]", got '
                             f'{mark or "the end"!r}.')
        if number:
            window.skip()
            window.peek()
        number += 1
        yield RawRow(number, window.decode(decoder, path, number))


class _Window:
    """The unread part of a text file, with how many lines came before it."""

    def __init__(self, file: Any) -> None:
        self._file, self._text, self._at, self._lines = file, '', 0, 1

    def peek(self) -> str:
        """The next character that is not white space, or '' at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in ' \t\r\n':
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._grow(_CHUNK):
                return ''

    def skip(self) -> None:
        self._at += 1

    def line(self, ahead: int = 0) -> int:
        return self._lines + self._text.count('\n', 0, self._at + ahead)

    def decode(self, decoder: json.JSONDecoder, path: Path, number: int) -> Any:
        """The JSON value that starts here, growing the window until it is whole."""
        size = _CHUNK
        while True:
            try:
                value, self._at = decoder.raw_decode(self._text, self._at)
                return value
            except json.JSONDecodeError as e:
                # A fault far from the end of the window, other than a string that goes on, stays one with more text.
                cut = e.pos >= len(self._text) - 16 or e.msg.startswith('Unterminated string')
                if not cut or not self._grow(size):
                    line = self.line(max(0, e.pos - self._at))
                    raise SwiftError(f'{path}:{line}: broken JSON in row {number}: {e.msg}. '
                                     'The rows after it can\'t be told apart; mend the file or make it .jsonl.') from e
                size *= 2  # an element of n characters is tried log(n) times

    def _grow(self, size: int) -> bool:
        more = self._file.read(size)
        self._lines += self._text.count('\n', 0, self._at)
        self._text, self._at = self._text[self._at:] + more, 0
        return bool(more)


def _csv(path: Path) -> Iterator[RawRow]:
    csv.field_size_limit(2**31 - 1)
    with open(path, encoding='utf-8-sig', newline='') as file:
        reader = csv.DictReader(file)  # every cell is text: "NA" and "null" stay words
        try:
            for number, row in enumerate(reader, 1):
                if None in row:
                    yield RawRow(number, error='the row has more cells than the header')
                else:
                    yield RawRow(number, row)
        except csv.Error as e:
            raise SwiftError(f'{path}:{reader.line_num}: broken CSV: {e}') from e


def _txt(path: Path) -> Iterator[RawRow]:
    with open(path, 'rb') as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                yield RawRow(number, {'text': line.decode('utf-8-sig' if number == 1 else 'utf-8').rstrip('\r\n')})
            except UnicodeDecodeError:
                yield RawRow(number, error='the line is not UTF-8 text')


def _parquet(path: Path) -> Iterator[RawRow]:
    with pq.ParquetFile(path) as file:
        yield from _numbered(file.iter_batches(batch_size=_BATCH))


def _arrow(path: Path) -> Iterator[RawRow]:
    """Arrow's stream format, which the hub libraries keep their prepared files in, or its file format."""
    with pa.memory_map(str(path)) as source:
        if source.read(6) == b'ARROW1':
            reader = pa.ipc.open_file(source)
            batches: Iterator[pa.RecordBatch] = (reader.get_batch(i) for i in range(reader.num_record_batches))
        else:
            source.seek(0)
            batches = iter(pa.ipc.open_stream(source))
        yield from _numbered(batches)


def _numbered(batches: Iterator[pa.RecordBatch]) -> Iterator[RawRow]:
    number = 0
    for batch in batches:
        for start in range(0, batch.num_rows, _BATCH):
            for row in batch.slice(start, _BATCH).to_pylist():
                number += 1
                yield RawRow(number, row)


READERS: dict[str, Callable[[Path], Iterator[RawRow]]] = {
    '.jsonl': _jsonl, '.json': _json, '.csv': _csv, '.parquet': _parquet, '.arrow': _arrow, '.txt': _txt}
