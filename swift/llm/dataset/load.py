"""``--dataset`` and its options -> training and evaluation rows as token ids. Knows no model and no trainer.

    specs -> sources -> standard rows (cached) -> choice of rows -> token ids (cached) -> mixed order
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from swift.llm.args.groups import DataArgs
from swift.llm.dataset import mix
from swift.llm.dataset.encoded import EncodedDataset, MemoryStore, StandardRows
from swift.llm.dataset.hub import HubAccess
from swift.llm.dataset.rejects import REJECTED
from swift.llm.dataset.report import DataReport, SourceReport, check_rejected, no_rows_error
from swift.llm.dataset.source import Source, extend_registry, open_sources
from swift.llm.dataset.store import Encoder, RowStore, TokenStore, row_store, token_store
from swift.llm.dataset.stream import StreamedDataset
from swift.utils import env
from swift.utils.errors import SwiftError, UsageError
from swift.utils.logging import get_logger

logger = get_logger()
_NONE = np.empty(0, np.int64)
SAMPLE_ROWS = 20


@dataclass(frozen=True)
class Datasets:
    """What a run trains on and what it evaluates on; either may be None. ``report`` says what became of every row.

    ``sample`` holds the first training rows as standard rows, at most ``SAMPLE_ROWS``. ``identity`` is the same for the
    same training tokens: a hash of data, template and options a data set (a stream has none).
    """

    train: EncodedDataset | StreamedDataset | None
    eval: EncodedDataset | None
    report: DataReport
    sample: list[dict[str, Any]] = field(default_factory=list)
    identity: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Part:
    """One data set, converted, and which of its rows are used for what."""

    source: Source
    rows: RowStore
    choice: mix.Choice
    report: SourceReport


@dataclass(frozen=True)
class EncodedPart:
    """One data set, encoded: positions in ``tokens`` of the rows that could be used."""

    part: Part
    tokens: TokenStore
    train: np.ndarray
    eval: np.ndarray


def load_datasets(args: DataArgs, template: Encoder, *, seed: int, run_dir: Path | None, with_train: bool = True,
                  access: HubAccess | None = None) -> Datasets:
    """Find, read, convert, split, encode and mix the data sets of a run.

    To be called before a process group is open: one process prepares while the others wait for a file lock.

    Args:
        args: which data and how.
        template: encodes standard rows.
        seed: used unless ``--data_seed`` is given.
        run_dir: gets ``rejected.jsonl``; None writes nothing.
        with_train: False prepares validation rows only.
        access: how hubs are reached.

    Raises:
        UsageError: a data set is not known, or an option doesn't fit.
        SwiftError: a file is broken, no row of a data set can be used, or too many can't.
    """
    extend_registry(args)
    access, seed = access or HubAccess(), seed if args.data_seed is None else args.data_seed
    mixes = args.train_dataset_mix_ratio > 0 and with_train
    if args.streaming and with_train:
        if mixes:
            raise UsageError('--train_dataset_mix_ratio is a share of rows that a stream doesn\'t know the number of; '
                             'with --streaming name the other data set too: --dataset mine.jsonl ms-bench#1000.')
        return _load_stream(args, template, seed, run_dir, access)
    if args.lazy_tokenize:
        logger.info('--lazy_tokenize: rows are tokenised once into the cache and read from there when they are used.')
    parts = _train_parts(args, seed, access) if with_train or not args.val_dataset else []
    if mixes:
        parts += _general_parts(parts, args, seed, access)
    trained_parts = len(parts) if with_train else 0
    parts += _val_parts(args, seed, access)
    encoded = [_encode(part, template, with_train, args.dataset_num_proc) for part in parts]
    report = DataReport([part.report for part in parts])
    _write_rejected(encoded, run_dir)
    report.log(logger)
    check_rejected(report, args.max_rejected_ratio, run_dir)
    trained = encoded[:trained_parts]
    return Datasets(_train(trained, args, seed) if with_train else None, _eval(encoded), report, _sample(trained),
                    [one.tokens.key for one in trained])


def load_rows(args: DataArgs, *, seed: int, access: HubAccess | None = None) -> StandardRows:
    """The validation rows of a run as standard rows, not encoded.

    They are those of ``--val_dataset``, which need no answer, else what a training run with the same options splits off
    ``--dataset``.

    Raises:
        UsageError, SwiftError: as :func:`load_datasets`.
    """
    extend_registry(args)
    access, seed = access or HubAccess(), seed if args.data_seed is None else args.data_seed
    parts = _val_parts(args, seed, access, answer_required=False) or _train_parts(args, seed, access)
    report = DataReport([part.report for part in parts])
    report.log(logger)
    check_rejected(report, args.max_rejected_ratio, None)
    return StandardRows([part.rows for part in parts], *_order([part.choice.eval for part in parts]))


def _train_parts(args: DataArgs, seed: int, access: HubAccess) -> list[Part]:
    """``--dataset``, converted and divided. The division depends on seed and rows only, on no tokenizer."""
    if not args.dataset:
        raise UsageError('--dataset is missing: name a file, a folder, a registered data set or a hub id.')
    ratio = 0.0 if args.val_dataset else args.split_dataset_ratio
    parts = []
    for i, source in enumerate(open_sources(args.dataset, args, access)):
        rows = row_store(source)
        choice = mix.choose(len(rows), source.spec.count, ratio, np.random.default_rng([seed, i]))
        parts.append(_part(source, rows, choice))
    return parts


def _general_parts(parts: Sequence[Part], args: DataArgs, seed: int, access: HubAccess) -> list[Part]:
    """Rows of ``--train_dataset_mix_ds``, a share of those that ``parts`` train, drawn from all of them together."""
    sources = open_sources(args.train_dataset_mix_ds, args, access, flag='--train_dataset_mix_ds')
    rows = [row_store(source) for source in sources]
    wanted = int(sum(len(part.choice.train) for part in parts) * args.train_dataset_mix_ratio)
    drawn = mix.draw([len(one) for one in rows], wanted, np.random.default_rng([seed, 0, 3]))
    return [_part(source, one, mix.Choice(chosen, _NONE))
            for source, one, chosen in zip(sources, rows, drawn, strict=True)]


def _val_parts(args: DataArgs, seed: int, access: HubAccess, *, answer_required: bool = True) -> list[Part]:
    parts = []
    sources = open_sources(args.val_dataset, args, access, answer_required=answer_required, flag='--val_dataset')
    for i, source in enumerate(sources):
        rows = row_store(source)
        chosen = mix.choose(len(rows), source.spec.count, 0.0, np.random.default_rng([seed, i, 1])).train
        parts.append(_part(source, rows, mix.Choice(_NONE, chosen)))
    return parts


def _part(source: Source, rows: RowStore, choice: mix.Choice) -> Part:
    report = SourceReport(source.label, rows.meta['formats'], len(rows) + rows.rejected, len(rows), rows.reasons())
    if not len(rows):
        raise no_rows_error(report)
    return Part(source, rows, choice, report)


def _encode(part: Part, template: Encoder, with_train: bool, num_proc: int | None) -> EncodedPart:
    train = part.choice.train if with_train else _NONE
    wanted = np.unique(np.concatenate([train, part.choice.eval]))
    tokens = token_store(part.rows, wanted, template, part.source.label, num_proc=num_proc)
    part.report.add_encoded(len(wanted), len(tokens), tokens.reasons())
    if len(wanted) and not len(tokens):
        raise no_rows_error(part.report)
    survivors = tokens.indices()
    return EncodedPart(part, tokens, _positions(survivors, train), _positions(survivors, part.choice.eval))


def _positions(survivors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Where each of ``rows`` is among ``survivors`` (ascending); rows that are not there are left out."""
    at = np.searchsorted(survivors, rows)
    found = at < len(survivors)
    found[found] = survivors[at[found]] == rows[found]
    return at[found]


def _train(parts: Sequence[EncodedPart], args: DataArgs, seed: int) -> EncodedDataset:
    positions = [part.train for part in parts]
    if not sum(map(len, positions)):
        raise SwiftError('No row is left to train on after the validation rows were taken. Give more rows, or '
                         '--split_dataset_ratio 0.')
    order = _order(positions)
    if args.interleave_prob:
        rng = np.random.default_rng([seed, 0, 2])
        order = _order(positions, mix.interleave([len(p) for p in positions], args.interleave_prob,
                                                 args.stopping_strategy, rng))
    return EncodedDataset([part.tokens for part in parts], *order)


def _sample(parts: Sequence[EncodedPart]) -> list[dict[str, Any]]:
    """The first training rows of each data set, as many of each."""
    share = -(-SAMPLE_ROWS // max(len(parts), 1))
    rows = [one.part.rows.row(int(i)) for one in parts for i in one.tokens.indices()[one.train[:share]]]
    return rows[:SAMPLE_ROWS]


def _eval(parts: Sequence[EncodedPart]) -> EncodedDataset | None:
    which, position = _order([part.eval for part in parts])
    return EncodedDataset([part.tokens for part in parts], which, position) if len(which) else None


def _order(positions: Sequence[np.ndarray],
           order: tuple[np.ndarray, np.ndarray] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(store, position in it) of every row, in ``order``, or one data set after the other."""
    which, at = order or mix.concatenate([len(p) for p in positions])
    result = np.zeros(len(which), np.int64)
    for k, position in enumerate(positions):
        result[which == k] = position[at[which == k]]
    return which, result


def _write_rejected(encoded: Sequence[EncodedPart], run_dir: Path | None) -> None:
    """``rejected.jsonl`` of the run: every row that was set aside, when now or when the cache was made."""
    if run_dir is None or not env.is_main_process():
        return
    run_dir.mkdir(parents=True, exist_ok=True)
    with open(run_dir / REJECTED, 'w', encoding='utf-8') as file:
        for one in encoded:
            for store in (one.part.rows, one.tokens):
                for rejection in store.rejections():
                    file.write(json.dumps(rejection.line(one.part.source.name_of), ensure_ascii=False) + '\n')


def _load_stream(args: DataArgs, template: Encoder, seed: int, run_dir: Path | None, access: HubAccess) -> Datasets:
    """Training rows stream. Validation rows are those of ``--val_dataset``, else the first ``--streaming_val_size``;
    ``--split_dataset_ratio`` means nothing where the number of rows is not known.
    """
    if not args.dataset:
        raise UsageError('--dataset is missing: name a file, a folder, a registered data set or a hub id.')
    if run_dir is not None and env.is_main_process():
        run_dir.mkdir(parents=True, exist_ok=True)
        (run_dir / REJECTED).write_text('', encoding='utf-8')
    train = StreamedDataset(open_sources(args.dataset, args, access), template, args, seed=seed, run_dir=run_dir)
    evaluation = None
    if args.val_dataset:
        parts = _val_parts(args, seed, access)
        evaluation = _eval([_encode(part, template, False, args.dataset_num_proc) for part in parts])
    elif rows := train.head():
        evaluation = EncodedDataset([MemoryStore(rows)], *mix.concatenate([len(rows)]))
    return Datasets(train, evaluation, train.report, train.sample(SAMPLE_ROWS))
