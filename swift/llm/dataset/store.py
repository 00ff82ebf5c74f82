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
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
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
        self._lists: dict[tuple[int, str], tuple[np.ndarray, np.ndarray]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {'path': self.path, '_opened': None, '_lists': {}}

    def __len__(self) -> int:
        return int(self._open()[1][-1])

    def find(self, i: int) -> tuple[pa.RecordBatch, int]:
        """(record batch, position in it) of row ``i``."""
        k, at = self.place(i)
        return self.batch(k), at

    def batch(self, k: int) -> pa.RecordBatch:
        return self._open()[0][k]

    def place(self, i: int) -> tuple[int, int]:
        """(number of the record batch, position in it) of row ``i``."""
        starts = self._open()[1]
        if not 0 <= i < starts[-1]:
            raise IndexError(f'row {i} of {starts[-1]}')
        k = int(starts.searchsorted(i, side='right')) - 1
        return k, i - int(starts[k])

    def cell(self, k: int, at: int, name: str) -> np.ndarray:
        """A list in a column of lists, as a view of the map. Arrow's own way to it takes ten times as long."""
        if (k, name) not in self._lists:
            column = self.batch(k).column(name)
            self._lists[k, name] = column.offsets.to_numpy(), column.values.to_numpy()
        offsets, values = self._lists[k, name]
        return values[offsets[at]:offsets[at + 1]]

    def column(self, name: str) -> np.ndarray:
        """A column of numbers, whole; the pages of other columns are not touched."""
        batches, _ = self._open()
        dtype = batches[0].schema.field(name).type.to_pandas_dtype() if batches else np.int64
        return np.concatenate([np.empty(0, dtype), *(batch.column(name).to_numpy() for batch in batches)])

    def starts(self) -> np.ndarray:
        """The number of the first row of each record batch, int64."""
        return self._open()[1][:-1]

    def sizes(self) -> np.ndarray:
        """Bytes a row on average in each record batch, float64; known from the batches' headers."""
        return np.array([batch.nbytes / max(batch.num_rows, 1) for batch in self._open()[0]], np.float64)

    def read(self, ids: np.ndarray) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
        """(record batch, positions in it) for ``ids`` (ascending), each batch read once and then forgotten."""
        if not len(ids):
            return
        starts = self._open()[1]
        owner = np.searchsorted(starts, ids, side='right') - 1
        borders = np.flatnonzero(np.diff(owner, prepend=-1, append=-1))
        with pa.OSFile(str(self.path)) as file:
            reader = pa.ipc.open_file(file)
            for start, stop in zip(borders, borders[1:], strict=False):
                k = int(owner[start])
                yield reader.get_batch(k), ids[start:stop] - starts[k]

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

    def origin(self, i: int) -> tuple[int, int]:
        """(file number, row number in that file)."""
        batch, at = self.file.find(i)
        return batch.column('file')[at].as_py(), batch.column('row')[at].as_py()

    def batches(self) -> tuple[np.ndarray, np.ndarray]:
        """(number of the first row, int64; bytes a row on average, float64) of each record batch; reads no row."""
        return self.file.starts(), self.file.sizes()

    def slices(self, ids: np.ndarray) -> Iterator[tuple[list[str], np.ndarray, np.ndarray]]:
        """(texts, file numbers, row numbers) of the rows ``ids`` (ascending), a record batch at a time.

        Read, not mapped: what a pass over all rows has touched does not stay in the memory of the process.
        """
        for batch, positions in self.file.read(ids):
            chosen = batch if len(positions) == batch.num_rows else batch.take(pa.array(positions))
            yield (chosen.column('text').to_pylist(), chosen.column('file').to_numpy(),
                   chosen.column('row').to_numpy())


class TokenStore(Artefact):
    """Encoded rows: ids and weights."""

    def row(self, i: int) -> dict[str, Any]:
        """``{"input_ids": int32 [T], "weights": float32 [T], "row": int}``."""
        k, at = self.file.place(i)
        weights = np.repeat(self.file.cell(k, at, 'run_weights'), self.file.cell(k, at, 'run_lengths'))
        return {'input_ids': self.file.cell(k, at, 'input_ids').copy(), 'weights': weights,
                'row': self.file.batch(k).column('row')[at].as_py()}

    def lengths(self) -> np.ndarray:
        """Tokens of every row, int32."""
        return self.file.column('length')

    def indices(self) -> np.ndarray:
        """The index of every row in the store of standard rows, ascending, int64."""
        return self.file.column('index')


def row_store(source: Source) -> RowStore:
    """The standard rows of a source, converted now unless they are in the cache.

    Raises:
        SwiftError: the files are broken or have columns that fit no format.
    """
    key = source.content_key()
    return RowStore(_cached('rows', key, f'reading {source.label}', lambda folder: _build_rows(source, folder)), key)


def token_store(rows: RowStore, ids: np.ndarray, template: Encoder, label: str, *,
                num_proc: int | None = 1) -> TokenStore:
    """The rows ``ids`` (unique, ascending) encoded by ``template``, now unless they are in the cache.

    ``num_proc`` processes do it, None is one a core.
    """
    chosen = 'all' if len(ids) == len(rows) else hashlib.sha256(ids.astype('<i8').tobytes()).hexdigest()
    key = files.sha256_text('tokens', TOKENS_VERSION, rows.key, chosen, template.fingerprint())
    build = _TokenBuild(rows, ids, template, label, cores() if num_proc is None else num_proc)
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

    def write_serialised(self, batch: pa.Buffer) -> None:
        """A record batch as :func:`_serialised` gives it."""
        read = pa.ipc.read_record_batch(batch, self._schema)
        if read.num_rows:
            self._file.write_batch(read)
            self.rows += read.num_rows

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
                    raise SwiftError(f'{source.spec.flag} {source.spec.text}: {e}.\n{describe_formats()}') from e
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
    """Encoded rows as a serialised record batch of ``_TOKENS``, and the rows that could not be encoded."""

    batch: bytes
    rejected: list[tuple[int, int, str, str]]
    rows: int


class _TokenBuild:
    """Encodes chosen rows into a folder.

    Writing a conversation out and finding its trained tokens is Python, which holds the interpreter, and about as much
    work as the tokenizer's own. So the rows go to processes, one a core, whose tokenizers use one thread each; what
    fits one batch is encoded here, where the tokenizer uses every core. Processes are forked and given numbers only;
    they return Arrow's own bytes.
    """

    def __init__(self, rows: RowStore, ids: np.ndarray, template: Encoder, label: str, num_proc: int) -> None:
        self.rows, self.ids, self.template, self.label, self.num_proc = rows, ids, template, label, num_proc

    def __call__(self, folder: Path) -> None:
        with (_Writer(folder, _TOKENS) as writer, open(folder / 'rejected.jsonl', 'w', encoding='utf-8') as file,
              _progress(f'tokenising {self.label}', len(self.ids)) as bar):
            rejects = RejectCounter(to_lines(file))
            for chunk in self._encoded():
                writer.write_serialised(pa.py_buffer(chunk.batch))
                for rejection in chunk.rejected:
                    rejects.add(*rejection)
                bar.update(chunk.rows)
        _write_meta(folder, writer.rows, rejects, {})

    def _encoded(self) -> Iterator[_Chunk]:
        spans = self.spans()
        workers = min(self.num_proc, len(spans))
        if workers <= 1:
            yield from map(self.encode, spans)
            return
        global _forked
        _forked = self  # reaches the workers by the fork, not through a pipe
        try:
            with ProcessPoolExecutor(workers, multiprocessing.get_context('fork'), _begin_worker) as pool:
                yield from _in_order(pool, spans, ahead=2 * workers)
        except BrokenProcessPool as e:
            raise SwiftError(f'A process that was tokenising {self.label} has died, most likely for want of memory. '
                             f'Fewer of them need less: --dataset_num_proc {max(1, workers // 2)}.') from e
        finally:
            _forked = None

    def spans(self) -> list[tuple[int, int]]:
        """(start, stop) in ``ids`` of what is encoded together: bounded in rows, and in bytes as far as is known
        without reading them.
        """
        starts, sizes = self.rows.batches()
        spans: list[tuple[int, int]] = []
        borders = np.searchsorted(self.ids, np.append(starts, len(self.rows)))
        begun, characters = 0, 0.0
        for k, (start, stop) in enumerate(zip(borders.tolist(), borders[1:].tolist(), strict=False)):
            added = (stop - start) * sizes[k]
            if start > begun and (stop - begun > _BATCH_ROWS or characters + added > _BATCH_CHARACTERS):
                spans.append((begun, start))
                begun, characters = start, 0.0
            characters += added
        return [*spans, (begun, len(self.ids))] if begun < len(self.ids) else spans

    def encode(self, span: tuple[int, int]) -> _Chunk:
        """Encode the rows ``ids[start:stop]``."""
        chosen = self.ids[slice(*span)]
        read = list(self.rows.slices(chosen))
        texts = [text for part in read for text in part[0]]
        files_of, numbers = (np.concatenate([part[k] for part in read]) for k in (1, 2))
        ids, weights, kept, rejected = [], [], [], []
        for at, encoded in enumerate(self.template.encode_batch([json.loads(text) for text in texts])):
            if isinstance(encoded, RowError):
                rejected.append((int(files_of[at]), int(numbers[at]), str(encoded), texts[at][:1000]))
                continue
            ids.append(encoded.input_ids)
            weights.append(encoded.weights)
            kept.append(at)
        lengths = np.array([len(one) for one in ids], np.int32)
        run_lengths_, run_weights, runs = _runs(weights, lengths)
        columns = [_lists(_joined(ids, np.int32), lengths), _lists(run_lengths_, runs), _lists(run_weights, runs),
                   *(pa.array(column) for column in (lengths, chosen[kept], files_of[kept], numbers[kept]))]
        batch = pa.RecordBatch.from_arrays(columns, schema=_TOKENS)
        return _Chunk(batch.serialize().to_pybytes(), rejected, len(texts))


_forked: _TokenBuild | None = None


def _begin_worker() -> None:
    os.environ['TOKENIZERS_PARALLELISM'] = 'false'  # the processes are the parallelism here


def _encode_in_worker(span: tuple[int, int]) -> _Chunk:
    return _forked.encode(span)


def _in_order(pool: ProcessPoolExecutor, spans: Iterable[tuple[int, int]], *, ahead: int) -> Iterator[_Chunk]:
    """The chunks in order, at most ``ahead`` of them begun and not yet taken: a slow disk must not fill memory."""
    begun: deque[Future[_Chunk]] = deque()
    for span in spans:
        begun.append(pool.submit(_encode_in_worker, span))
        if len(begun) > ahead:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def run_lengths(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(lengths int32 [R], values float32 [R]) of the runs of equal values in ``weights`` [T]."""
    return _runs([weights], np.array([len(weights)], np.int32))[:2]


def _runs(weights: list[np.ndarray], lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The runs of many rows at once, end to end: (lengths int32 [R], values float32 [R], runs a row int32 [N])."""
    joined = _joined(weights, np.float32)
    ends = np.cumsum(lengths, dtype=np.int64)
    begins = np.ones(len(joined), bool)
    begins[1:] = joined[1:] != joined[:-1]
    begins[ends[ends < len(joined)]] = True  # a row begins a run, whatever was before it
    starts = np.flatnonzero(begins)
    counts = np.diff(np.searchsorted(starts, ends), prepend=0)
    return np.diff(starts, append=len(joined)).astype(np.int32), joined[starts], counts.astype(np.int32)


def _joined(arrays: list[np.ndarray], kind: type[np.generic]) -> np.ndarray:
    return np.concatenate(arrays, dtype=kind) if arrays else np.empty(0, kind)


def _lists(values: np.ndarray, lengths: np.ndarray) -> pa.ListArray:
    """``values`` cut into lists of ``lengths``."""
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))


def _progress(doing: str, total: int | None = None) -> tqdm:
    # disable=None: no bar where standard error is no terminal. Whichever process builds shows it: there is only one.
    return tqdm(desc=doing, total=total, unit='row', disable=None)


def batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of ``size`` items, the last one shorter."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
