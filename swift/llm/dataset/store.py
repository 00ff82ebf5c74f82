"""The cache of prepared data: standard rows, then token ids, as memory-mapped Arrow files named by what made them.

An artefact is a folder ``<cache>/data/<kind>/<key>/data`` whose key is a hash of everything its content depends on, and
of nothing else (not of paths, not of ``--output_dir``). It is built once under a file lock, in a temporary folder that
is renamed when it is whole, and never changed afterwards. No process group is needed, or may be open, for that.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from filelock import FileLock, Timeout
from tqdm import tqdm

from swift.llm.dataset.convert import ColumnsError, describe_formats, dump_row
from swift.llm.dataset.rejects import ReasonCount, RejectCounter, Rejection, read_rejections, read_summary, to_lines
from swift.llm.dataset.source import Source
from swift.utils import env, files
from swift.utils.errors import RowError, SwiftError
from swift.utils.logging import get_logger

TOKENS_VERSION = '1'  # of the layout below; the rows' version is a hash of the code that makes them
_BATCH_ROWS, _BATCH_CHARACTERS = 1000, 8 << 20  # what one record batch holds at most
_FIRST_ROWS = 20  # when none of these has columns that we know, the rest is not read

_ROWS = pa.schema([('text', pa.large_string()), ('file', pa.int32()), ('row', pa.int64())])
_TOKENS = pa.schema([
    ('input_ids', pa.list_(pa.int32())),
    ('run_lengths', pa.list_(pa.int32())),  # the weights, run-length encoded: they are a few spans a row
    ('run_weights', pa.list_(pa.float32())),
    ('length', pa.int32()),
    ('index', pa.int64()),  # of the row in the artefact of standard rows; ascending
    ('file', pa.int32()),
    ('row', pa.int64()),
])
logger = get_logger()


class EncodedRow(Protocol):
    """What a template makes of a row: ``input_ids`` int32 [T], ``weights`` float32 [T]."""

    input_ids: np.ndarray
    weights: np.ndarray


class Encoder(Protocol):
    """The part of a template that this package needs."""

    def encode_batch(self, rows: Sequence[dict[str, Any]]) -> Sequence[EncodedRow | RowError]: ...

    def fingerprint(self) -> str: ...


class ArrowFile:
    """Random access to the rows of an Arrow file through a memory map; opened when first used, in each process anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: tuple[list[pa.RecordBatch], np.ndarray] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {'path': self.path, '_opened': None}

    def __len__(self) -> int:
        return int(self._open()[1][-1])

    def find(self, i: int) -> tuple[pa.RecordBatch, int]:
        """(record batch, position in it) of row ``i``."""
        batches, starts = self._open()
        if not 0 <= i < starts[-1]:
            raise IndexError(f'row {i} of {starts[-1]}')
        k = int(np.searchsorted(starts, i, side='right')) - 1
        return batches[k], i - int(starts[k])

    def column(self, name: str) -> np.ndarray:
        """A column of numbers, whole; the pages of other columns are not touched."""
        batches, _ = self._open()
        dtype = batches[0].schema.field(name).type.to_pandas_dtype() if batches else np.int64
        return np.concatenate([np.empty(0, dtype), *(batch.column(name).to_numpy() for batch in batches)])

    def _open(self) -> tuple[list[pa.RecordBatch], np.ndarray]:
        if self._opened is None:
            reader = pa.ipc.open_file(pa.memory_map(str(self.path)))
            batches = [reader.get_batch(k) for k in range(reader.num_record_batches)]
            self._opened = batches, np.cumsum([0, *(batch.num_rows for batch in batches)])
        return self._opened


class Artefact:
    """A finished folder of the cache: an Arrow file, the rejected rows, and ``meta.json`` with the counts."""

    def __init__(self, folder: Path, key: str) -> None:
        self.key = key
        self.folder = folder
        self.meta: dict[str, Any] = files.read_json(folder / 'meta.json')
        self.file = ArrowFile(folder / 'rows.arrow')

    def __len__(self) -> int:
        return len(self.file)

    @property
    def rejected(self) -> int:
        return self.meta['rejected']

    def reasons(self) -> list[ReasonCount]:
        return read_summary(self.meta['reasons'])

    def rejections(self) -> Iterator[Rejection]:
        return read_rejections(self.folder / 'rejected.jsonl')


class RowStore(Artefact):
    """Standard rows. ``meta['formats']`` counts the rows, those set aside too, by the format they were read as."""

    def row(self, i: int) -> dict[str, Any]:
        batch, at = self.file.find(i)
        return json.loads(batch.column('text')[at].as_py())

    def characters(self, i: int) -> int:
        batch, at = self.file.find(i)
        return len(batch.column('text')[at].as_py())

    def origin(self, i: int) -> tuple[int, int]:
        """(file number, row number in that file)."""
        batch, at = self.file.find(i)
        return batch.column('file')[at].as_py(), batch.column('row')[at].as_py()


class TokenStore(Artefact):
    """Encoded rows: ids and weights."""

    def row(self, i: int) -> dict[str, Any]:
        """``{"input_ids": int32 [T], "weights": float32 [T], "row": int}``."""
        batch, at = self.file.find(i)
        weights = np.repeat(_cell(batch, 'run_weights', at), _cell(batch, 'run_lengths', at))
        return {'input_ids': _cell(batch, 'input_ids', at).copy(), 'weights': weights,
                'row': batch.column('row')[at].as_py()}

    def lengths(self) -> np.ndarray:
        """Tokens of every row, int32."""
        return self.file.column('length')

    def indices(self) -> np.ndarray:
        """The index of every row in the store of standard rows, ascending, int64."""
        return self.file.column('index')


def _cell(batch: pa.RecordBatch, name: str, at: int) -> np.ndarray:
    column = batch.column(name)
    start, end = column.offsets[at].as_py(), column.offsets[at + 1].as_py()
    return column.values.to_numpy()[start:end]


def row_store(source: Source) -> RowStore:
    """The standard rows of a source, converted now unless they are in the cache.

    Raises:
        SwiftError: the files are broken or have columns that fit no format.
    """
    key = source.content_key()
    return RowStore(_cached('rows', key, f'reading {source.label}', lambda folder: _build_rows(source, folder)), key)


def token_store(rows: RowStore, ids: np.ndarray, template: Encoder, label: str, *, num_proc: int = 1) -> TokenStore:
    """The rows ``ids`` (unique, ascending) encoded by ``template``, now unless they are in the cache."""
    chosen = 'all' if len(ids) == len(rows) else hashlib.sha256(ids.astype('<i8').tobytes()).hexdigest()
    key = files.sha256_text('tokens', TOKENS_VERSION, rows.key, chosen, template.fingerprint())
    build = _TokenBuild(rows, ids, template, label, num_proc)
    return TokenStore(_cached('tokens', key, f'tokenising {label}', build), key)


def _cached(kind: str, key: str, doing: str, build: Callable[[Path], None]) -> Path:
    """The folder of an artefact; the first process builds it while the others wait for its lock."""
    home = env.cache_dir() / 'data' / kind / key
    folder = home / 'data'
    if _is_whole(folder):
        return folder
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = FileLock(home / 'lock')
        while not lock.is_locked:
            try:
                lock.acquire(timeout=30)
            except Timeout:
                logger.warning('Rank %d waits for another process that is %s.', max(env.rank(), 0), doing)
        try:
            if not _is_whole(folder):
                files.remove_leftovers(home)
                with files.new_folder(folder) as temporary:
                    build(temporary)
                    files.write_manifest(temporary)
        finally:
            lock.release()
    except OSError as e:
        if e.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        raise SwiftError(f'Prepared data can\'t be written to {home}: {e.strerror}. Make room, or set SWIFT_CACHE to '
                         'another folder.') from e
    return folder


def _is_whole(folder: Path) -> bool:
    """Every file of the manifest is there with its size; hashing all of it at every start would cost minutes."""
    manifest = folder / files.MANIFEST
    if not manifest.is_file():
        return False
    listed = files.read_json(manifest)['files']
    return all((folder / name).is_file() and (folder / name).stat().st_size == entry['size']
               for name, entry in listed.items())


class _Writer:
    """Rows -> an Arrow file, a batch at a time."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self.rows = 0
        self._schema = schema
        self._sink = pa.OSFile(str(folder / 'rows.arrow'), 'wb')
        self._file = pa.ipc.new_file(self._sink, schema)

    def write(self, columns: list[pa.Array | list]) -> None:
        if len(columns[0]):
            arrays = [column if isinstance(column, pa.Array) else pa.array(column, field.type)
                      for column, field in zip(columns, self._schema, strict=True)]
            self._file.write_batch(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
            self.rows += len(columns[0])

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._sink.close()


def _build_rows(source: Source, folder: Path) -> None:
    formats: dict[str, int] = {}
    unknown_columns = 0
    with (_Writer(folder, _ROWS) as writer, open(folder / 'rejected.jsonl', 'w', encoding='utf-8') as file,
          _progress(f'reading {source.label}') as bar):
        rejects = RejectCounter(to_lines(file))
        batch: list[tuple[str, int, int]] = []
        characters = 0
        for number, raw in source.rows():
            bar.update()
            try:
                row, form = source.recognise(raw)
                formats[form] = formats.get(form, 0) + 1
                text = dump_row(source.build(row, form))
            except RowError as e:
                rejects.add(number, raw.number, str(e), raw.value)
                unknown_columns += isinstance(e, ColumnsError)
                if unknown_columns == rejects.total == _FIRST_ROWS and not formats:
                    raise SwiftError(f'--dataset {source.spec.text}: {e}.\n{describe_formats()}') from e
                continue
            batch.append((text, number, raw.number))
            characters += len(text)
            if len(batch) >= _BATCH_ROWS or characters >= _BATCH_CHARACTERS:
                writer.write([list(column) for column in zip(*batch, strict=True)])
                batch, characters = [], 0
        if batch:
            writer.write([list(column) for column in zip(*batch, strict=True)])
    _write_meta(folder, writer.rows, rejects, formats)


def _write_meta(folder: Path, kept: int, rejects: RejectCounter, formats: dict[str, int]) -> None:
    files.write_json(folder / 'meta.json', {'kept': kept, 'rejected': rejects.total, 'reasons': rejects.summary(),
                                            'formats': formats})


class _Chunk(NamedTuple):
    """Encoded rows, packed into flat arrays."""

    ids: list[np.ndarray]
    run_lengths: list[np.ndarray]
    run_weights: list[np.ndarray]
    index: list[int]
    file: list[int]
    row: list[int]
    rejected: list[tuple[int, int, str, str]]


class _TokenBuild:
    """Encodes chosen rows into a folder.

    One process by default: encoding a batch already uses every core for the tokenizer itself. More processes are worth
    it where rendering rows is the slow part; they are forked, and given (start, stop) pairs only.
    """

    def __init__(self, rows: RowStore, ids: np.ndarray, template: Encoder, label: str, num_proc: int) -> None:
        self.rows, self.ids, self.template, self.label, self.num_proc = rows, ids, template, label, num_proc

    def __call__(self, folder: Path) -> None:
        with (_Writer(folder, _TOKENS) as writer, open(folder / 'rejected.jsonl', 'w', encoding='utf-8') as file,
              _progress(f'tokenising {self.label}', len(self.ids)) as bar):
            rejects = RejectCounter(to_lines(file))
            for chunk in self._encoded():
                lengths = [len(ids) for ids in chunk.ids]
                writer.write([_lists(chunk.ids, pa.int32()), _lists(chunk.run_lengths, pa.int32()),
                              _lists(chunk.run_weights, pa.float32()), lengths, chunk.index, chunk.file, chunk.row])
                for rejection in chunk.rejected:
                    rejects.add(*rejection)
                bar.update(len(lengths) + len(chunk.rejected))
        _write_meta(folder, writer.rows, rejects, {})

    def _encoded(self) -> Iterator[_Chunk]:
        if self.num_proc <= 1:
            yield from map(self.encode, self._ranges())
            return
        global _forked
        _forked = self  # reaches the workers by the fork, not through a pipe
        try:
            with multiprocessing.get_context('fork').Pool(self.num_proc, _begin_worker) as pool:
                yield from pool.imap(_encode_in_worker, self._ranges())
        finally:
            _forked = None

    def _ranges(self) -> Iterator[tuple[int, int]]:
        start, characters = 0, 0
        for at, i in enumerate(self.ids.tolist()):
            characters += self.rows.characters(i)
            if at + 1 - start >= _BATCH_ROWS or characters >= _BATCH_CHARACTERS:
                yield start, at + 1
                start, characters = at + 1, 0
        if start < len(self.ids):
            yield start, len(self.ids)

    def encode(self, span: tuple[int, int]) -> _Chunk:
        """Encode the rows ``ids[start:stop]``."""
        chosen = self.ids[slice(*span)].tolist()
        rows = [self.rows.row(i) for i in chosen]
        chunk = _Chunk([], [], [], [], [], [], [])
        for i, row, encoded in zip(chosen, rows, self.template.encode_batch(rows), strict=True):
            file, number = self.rows.origin(i)
            if isinstance(encoded, RowError):
                chunk.rejected.append((file, number, str(encoded), json.dumps(row, ensure_ascii=False)[:1000]))
                continue
            lengths, weights = run_lengths(encoded.weights)
            for column, value in zip(chunk, (encoded.input_ids, lengths, weights, i, file, number), strict=False):
                column.append(value)
        return chunk


_forked: _TokenBuild | None = None


def _begin_worker() -> None:
    os.environ['TOKENIZERS_PARALLELISM'] = 'false'  # the processes are the parallelism here


def _encode_in_worker(span: tuple[int, int]) -> _Chunk:
    return _forked.encode(span)


def run_lengths(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(lengths int32 [R], values float32 [R]) of the runs of equal values in ``weights`` [T]."""
    starts = np.flatnonzero(np.r_[True, weights[1:] != weights[:-1]][:len(weights)])
    return np.diff(np.r_[starts, len(weights)]).astype(np.int32), weights[starts].astype(np.float32)


def _lists(arrays: list[np.ndarray], kind: pa.DataType) -> pa.ListArray:
    offsets = np.cumsum([0, *(len(array) for array in arrays)], dtype=np.int64).astype(np.int32)
    values = np.concatenate(arrays) if arrays else np.empty(0)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values, kind))


def _progress(doing: str, total: int | None = None) -> tqdm:
    # disable=None: no bar where standard error is no terminal. Whichever process builds shows it: there is only one.
    return tqdm(desc=doing, total=total, unit='row', disable=None)


def batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of ``size`` items, the last one shorter."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
