"""Training rows read, converted and encoded as they are needed (``--streaming``); nothing is cached.

The order depends on the seed, the epoch and the data only. Every process reads the whole stream and the data loader
shares it out, so that the order is the same for any number of them.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from swift.llm.args.groups import DataArgs
from swift.llm.dataset import mix
from swift.llm.dataset.convert import dump_row
from swift.llm.dataset.read import RawRow
from swift.llm.dataset.rejects import REJECTED, RejectCounter, Rejection
from swift.llm.dataset.report import DataReport, SourceReport, check_rejected, no_rows_error
from swift.llm.dataset.source import Source
from swift.llm.dataset.store import EncodedRow, Encoder, batched
from swift.utils import env
from swift.utils.errors import RowError, SwiftError

_ENCODED_TOGETHER = 64  # rows
_JUDGED_AFTER = 200  # rows seen before --max_rejected_ratio can stop a stream that goes on

Item = tuple[int, int, RawRow]  # data set, file in it, row


class StreamedDataset(IterableDataset):
    """Encoded rows of the stream, shuffled through a buffer. No length; ``set_epoch`` gives another order.

    ``report`` counts what this process has seen of the first epoch (with loader workers, each counts its own share).
    """

    def __init__(self, sources: Sequence[Source], template: Encoder, args: DataArgs, *, seed: int,
                 run_dir: Path | None) -> None:
        self._sources, self._template, self._args = tuple(sources), template, args
        self._seed, self._run_dir = seed, run_dir
        self._epoch = 0
        self._skip = args.streaming_val_size
        self.report = DataReport([SourceReport(source.label, {}, 0, 0) for source in sources])

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def head(self) -> list[dict[str, Any]]:
        """The first ``--streaming_val_size`` rows of the stream, encoded; they are no part of the iteration."""
        rejects = [RejectCounter() for _ in self._sources]
        items = itertools.islice(self._merged(np.random.default_rng([self._seed, 0])), self._skip)
        return list(self._encoded(items, rejects, [SourceReport(s.label, {}, 0, 0) for s in self._sources]))

    def sample(self, count: int) -> list[dict[str, Any]]:
        """The first ``count`` standard rows that can be encoded, sought among the first rows of the stream."""
        found: list[dict[str, Any]] = []
        head = itertools.islice(self._merged(np.random.default_rng([self._seed, 0])), 10 * count)
        for batch in batched(head, count):
            rows = []
            for k, _, raw in batch:
                with contextlib.suppress(RowError):  # counted when the stream is read for training
                    rows.append(self._sources[k].build(*self._sources[k].recognise(raw)))
            encoded = self._template.encode_batch(rows)
            found += [row for row, one in zip(rows, encoded, strict=True) if not isinstance(one, RowError)]
            if len(found) >= count:
                break
        return found[:count]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        rng = np.random.default_rng([self._seed, self._epoch])
        items = itertools.islice(self._merged(np.random.default_rng([self._seed, 0])), self._skip, None)
        items = shuffled(items, self._args.shuffle_buffer_size, rng)
        if worker is not None:
            items = itertools.islice(items, worker.id, None, worker.num_workers)
        rejects = [RejectCounter(self._writer(source)) for source in self._sources]
        reports = [SourceReport(source.label, {}, 0, 0) for source in self._sources]
        if self._epoch == 0:
            self.report.sources = reports
        kept = 0
        for row in self._encoded(items, rejects, reports):
            kept += 1
            yield row
        self._judge(rejects, reports, at_end=True)
        if not kept and worker is None:
            raise no_rows_error(reports[0]) if reports[0].read else SwiftError('The stream has no rows to train on.')

    def _merged(self, rng: np.random.Generator) -> Iterator[Item]:
        streams = [self._rows(k) for k in range(len(self._sources))]
        if not self._args.interleave_prob:
            yield from itertools.chain.from_iterable(streams)
            return
        mix.check_probabilities(self._args.interleave_prob, len(streams))
        exhausted: set[int] = set()
        while True:
            for k in rng.choice(len(streams), size=1024, p=self._args.interleave_prob).tolist():
                item = next(streams[k], None)
                if item is None:
                    exhausted.add(k)
                    if self._args.stopping_strategy == 'first_exhausted' or len(exhausted) == len(streams):
                        return
                    streams[k] = self._rows(k)
                    item = next(streams[k], None)
                    if item is None:
                        raise SwiftError(f'{self._sources[k].label} has no rows.')
                yield item

    def _rows(self, k: int) -> Iterator[Item]:
        """The rows of a data set: all of them, or the first ``#N``, begun again where there are fewer."""
        source = self._sources[k]

        def once() -> Iterator[Item]:
            return ((k, file, raw) for file, raw in source.rows())

        return once() if source.spec.count is None else itertools.islice(_repeated(once), source.spec.count)

    def _encoded(self, items: Iterator[Item], rejects: list[RejectCounter],
                 reports: list[SourceReport]) -> Iterator[dict[str, Any]]:
        for batch in batched(items, _ENCODED_TOGETHER):
            usable: list[tuple[Item, dict[str, Any]]] = []
            for item in batch:
                k, file, raw = item
                reports[k].read += 1
                try:
                    row, form = self._sources[k].recognise(raw)
                    reports[k].formats[form] = reports[k].formats.get(form, 0) + 1
                    row = self._sources[k].build(row, form)
                    dump_row(row)
                except RowError as e:
                    rejects[k].add(file, raw.number, str(e), raw.value)
                    continue
                usable.append((item, row))
            results = self._template.encode_batch([row for _, row in usable])
            for ((k, file, raw), row), encoded in zip(usable, results, strict=True):
                if isinstance(encoded, RowError):
                    rejects[k].add(file, raw.number, str(encoded), row)
                    continue
                reports[k].converted += 1
                yield _as_dict(encoded, raw.number)
            self._judge(rejects, reports, at_end=False)

    def _judge(self, rejects: list[RejectCounter], reports: list[SourceReport], *, at_end: bool) -> None:
        for counter, report in zip(rejects, reports, strict=True):
            report.reasons = counter.reasons()
        if at_end or sum(report.read for report in reports) >= _JUDGED_AFTER:
            check_rejected(DataReport(reports), self._args.max_rejected_ratio, self._run_dir)

    def _writer(self, source: Source) -> Any:
        if self._run_dir is None or self._epoch or not env.is_main_process():
            return None

        def write(rejection: Rejection) -> None:
            with open(self._run_dir / REJECTED, 'a', encoding='utf-8') as file:  # loader workers append to one file
                file.write(json.dumps(rejection.line(source.name_of), ensure_ascii=False) + '\n')

        return write


def _repeated(start: Callable[[], Iterator[Item]]) -> Iterator[Item]:
    """The items again and again; no items stay none."""
    while True:
        found = False
        for item in start():
            found = True
            yield item
        if not found:
            return


def shuffled(items: Iterator[Any], size: int, rng: np.random.Generator) -> Iterator[Any]:
    """Items in an order that is random within a buffer of ``size`` of them."""
    buffer = list(itertools.islice(items, size))
    for item in items:
        at = int(rng.integers(len(buffer)))
        yield buffer[at]
        buffer[at] = item
    for at in rng.permutation(len(buffer)).tolist():
        yield buffer[at]


def _as_dict(encoded: EncodedRow, number: int) -> dict[str, Any]:
    return {'input_ids': encoded.input_ids, 'weights': encoded.weights, 'row': number}
