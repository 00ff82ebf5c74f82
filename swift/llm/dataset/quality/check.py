"""Rows of data sets -> what is wrong with them, in one pass and in memory that grows by some bytes a row only.

A row is converted and encoded by the same code as for training; this package adds what training does not look at.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from swift.llm.dataset import mix
from swift.llm.dataset.convert import dump_row
from swift.llm.dataset.quality import inspect
from swift.llm.dataset.quality.duplicates import ExactDuplicates, NearDuplicates
from swift.llm.dataset.quality.findings import KINDS, Findings
from swift.llm.dataset.quality.inspect import ControlTokens
from swift.llm.dataset.quality.lengths import Lengths
from swift.llm.dataset.quality.overlap import EvaluationSet
from swift.llm.dataset.read import RawRow
from swift.llm.dataset.rejects import RejectCounter
from swift.llm.dataset.source import Source
from swift.llm.dataset.store import EncodedRow, Encoder, batched
from swift.utils.errors import RowError

_TOGETHER = 1000  # rows encoded at a time
_ORDERS = 8  # orders of turns that are listed
_NAMED = {'assistant': 'a', 'user': 'u', 'system': 's', 'tool': 't'}


@dataclass(frozen=True)
class Limits:
    """``--max_length`` (None is no limit) and ``--truncation_strategy``."""

    max_length: int | None = None
    truncation: str = 'delete'


@dataclass
class SourceResult:
    """What was found in one data set.

    Attributes:
        label: how the user named it.
        read: rows looked at.
        of: rows that can be used in its files, where only some were chosen (``#N``), else None.
        ok: rows without an error.
        unusable: rows that training would set aside.
        good: rows that ``--fix`` keeps.
        formats: rows by the format they were read as.
        reasons: why rows are unusable.
        orders: rows by the order of their turns.
    """

    label: str
    read: int = 0
    of: int | None = None
    ok: int = 0
    unusable: int = 0
    good: int = 0
    formats: dict[str, int] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)
    reasons: RejectCounter = field(default_factory=RejectCounter)
    lengths: Lengths = field(default_factory=lambda: Lengths('characters'))
    orders: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def errors(self) -> int:
        """Rows with an error; a data set without rows counts as one."""
        return self.read - self.ok or int(not self.read)


class Checker:
    """Looks at data sets one after the other; a duplicate may be of a row of an earlier one.

    Args:
        template: encodes standard rows without a limit of length; None counts characters.
        limits: what happens to long rows.
        controls: the added tokens of the tokenizer.
        allowed_in_answers: control tokens that an answer may hold.
        evaluation: rows that must not be trained on.
        near: finds near duplicates.
        keep: takes every good row, as JSON (``--fix``).
    """

    def __init__(self, template: Encoder | None = None, limits: Limits | None = None, *,
                 controls: ControlTokens | None = None, allowed_in_answers: frozenset[str] = frozenset(),
                 evaluation: EvaluationSet | None = None, near: NearDuplicates | None = None,
                 keep: Callable[[str], None] | None = None) -> None:
        self.results: list[SourceResult] = []
        self._template, self._limits = template, limits or Limits()
        self._controls, self._allowed = controls, allowed_in_answers
        self._evaluation, self._near, self._keep = evaluation, near, keep
        self._exact = ExactDuplicates()
        self._origins: list[tuple[int, int, int]] = []  # (data set, file, row) of every usable row
        self._sources: list[Source] = []

    def check(self, source: Source, chosen: np.ndarray | None = None) -> SourceResult:
        """Look at every row of a data set, or at the ``chosen`` of its usable ones (bool [N])."""
        result = SourceResult(source.label, of=None if chosen is None else len(chosen))
        result.lengths.unit = 'characters' if self._template is None else 'tokens'
        self.results.append(result)
        self._sources.append(source)
        for batch in batched(self._converted(source, result, chosen), _TOGETHER):
            encoded: Sequence[EncodedRow | RowError | None] = [None] * len(batch)
            if self._template is not None:
                encoded = self._template.encode_batch([row for *_, row in batch])
            for (file, raw, row), tokens in zip(batch, encoded, strict=True):
                self._look(source, result, file, raw, row, tokens)
        return result

    def finish(self) -> None:
        """What is known only after the last row: near duplicates."""
        if self._near is None:
            return
        for number, earlier, similarity in self._near.pairs():
            k, file, row = self._origins[number]
            self.results[k].findings.add('near_duplicate', self._sources[k].name_of(file), row,
                                         f'{similarity:.0%} as {self._name(earlier)}')

    def _converted(self, source: Source, result: SourceResult,
                   chosen: np.ndarray | None) -> Iterator[tuple[int, RawRow, dict[str, Any]]]:
        """The rows that can be used, and ``result`` told of the others."""
        usable = 0
        for file, raw in source.rows():
            row = form = None
            try:
                known, form = source.recognise(raw)
                row = source.build(known, form)
                dump_row(row)
                usable += 1
            except RowError as e:
                if chosen is None:
                    _count_format(result, form)
                    self._refuse(source, result, file, raw, form, str(e))
                continue
            if chosen is None or usable <= len(chosen) and chosen[usable - 1]:
                _count_format(result, form)
                yield file, raw, row

    def _refuse(self, source: Source, result: SourceResult, file: int, raw: RawRow, form: str | None,
                reason: str) -> None:
        """A row that can't be converted: the most telling of the kinds that fit."""
        value = raw.value if isinstance(raw.value, dict) and raw.error is None else None
        kind, what = 'unusable', reason
        if value is not None:
            missing = self._missing(source, file, value)
            order = inspect.unusual_order(inspect.raw_roles(value))
            if inspect.is_blank(value):
                kind = 'empty'
            elif missing:
                kind, what = 'missing_media', missing
            elif inspect.lacks_answer(_renamed(source, raw), form):
                kind = 'no_answer'
            elif order is not None:
                kind, what = 'bad_roles', order
        result.read += 1
        self._set_aside(source, result, file, raw, kind, what, reason, raw.value)

    def _set_aside(self, source: Source, result: SourceResult, file: int, raw: RawRow, kind: str, what: str,
                   reason: str, data: Any) -> None:
        result.unusable += 1
        result.findings.add(kind, source.name_of(file), raw.number, what, reason if kind == 'unusable' else '')
        result.reasons.add(file, raw.number, reason, data)
        result.left_out[kind] = result.left_out.get(kind, 0) + 1

    def _look(self, source: Source, result: SourceResult, file: int, raw: RawRow, row: dict[str, Any],
              tokens: EncodedRow | RowError | None) -> None:
        """A row that can be converted."""
        result.read += 1
        name, findings, messages = source.name_of(file), result.findings, row['messages']
        order = ''.join(_NAMED[turn['role']] for turn in messages)
        order = order if len(order) <= _ORDERS else f'{order[:_ORDERS]}...'
        result.orders[order] = result.orders.get(order, 0) + 1
        if isinstance(tokens, RowError):
            self._set_aside(source, result, file, raw, 'unusable', str(tokens), str(tokens), row)
            return
        lost = self._measure(result, tokens, messages)
        if lost is not None:
            self._set_aside(source, result, file, raw, *lost, lost[1], row)
            return

        number, kinds = len(self._origins), []
        self._origins.append((len(self.results) - 1, file, raw.number))

        def found(kind: str, what: str, detail: str = '') -> None:
            findings.add(kind, name, raw.number, what, detail)
            kinds.append(kind)

        if self._limits.max_length is not None and tokens is not None:
            if (over := len(tokens.input_ids) - self._limits.max_length) > 0:
                found('truncated', f'{len(tokens.input_ids)} tokens, {over} of them cut')
        if missing := self._missing(source, file, raw.value):
            found('missing_media', missing)
        if self._evaluation is not None and (overlap := self._evaluation.find(row)):
            if overlap.words is None:
                found('in_evaluation', f'is {overlap.row}')
            else:
                found('shares_words', f'with {overlap.row}: {overlap.words}')
        first = self._exact.add(number, row)
        if first is not None:
            found('duplicate', f'as {self._name(first)}')
        elif self._near is not None:
            self._near.add(number, row)
        self._look_inside(row, raw, found, findings)
        result.ok += not any(KINDS[kind].severity == 'error' for kind in kinds)
        out = next((kind for kind in kinds if KINDS[kind].left_out), None)
        if out is not None:
            result.left_out[out] = result.left_out.get(out, 0) + 1
            return
        result.good += 1
        if self._keep is not None:
            self._keep(dump_row(row))

    def _look_inside(self, row: dict[str, Any], raw: RawRow, found: Callable[..., None], findings: Findings) -> None:
        messages = row['messages']
        if controls := inspect.control_tokens(messages, self._controls, self._allowed):
            found('control_tokens', f'{controls[0][0]} in "{controls[0][1]}"')
            for token, _ in controls:
                findings.note('control_tokens', token)
        if role := inspect.blank_turn(messages):
            found('blank_turn', f'of {role}')
        problem = inspect.unusual_order([turn['role'] for turn in messages])
        if problem is None and inspect.calls_without_result(messages):
            problem = 'a call without its result'
        if problem is not None:
            found('unusual_roles', problem, problem)
        if mismatch := inspect.tag_mismatch(raw.value):
            found('media_tags', mismatch)

    def _measure(self, result: SourceResult, tokens: EncodedRow | None,
                 messages: Sequence[dict[str, Any]]) -> tuple[str, str] | None:
        """Count a row's length; (kind, reason) when ``--max_length`` leaves nothing of it to train."""
        lengths, limit = result.lengths, self._limits.max_length
        if tokens is None:
            lengths.values.append(sum(len(turn['content']) for turn in messages))
            return None
        length = len(tokens.input_ids)
        lengths.values.append(length)
        if limit is None or length <= limit:
            lengths.trained += int(np.count_nonzero(tokens.weights))
            return None
        lengths.over += 1
        if self._limits.truncation == 'delete':
            lengths.cut += length
            return 'over_max_length', f'{length} tokens, over --max_length {limit}'
        lengths.cut += length - limit
        kept = tokens.weights[-limit:] if self._limits.truncation == 'left' else tokens.weights[:limit]
        trained = int(np.count_nonzero(kept[1:]))  # nothing comes before the first token, so it can't be predicted
        lengths.trained += trained
        if not trained:
            return 'nothing_left', f'nothing to train is left after truncation to --max_length {limit}'
        return None

    @staticmethod
    def _missing(source: Source, file: int, value: Any) -> str | None:
        """The first media file of a raw row that is not there."""
        beside = source.files[file].parent
        return next((path for path in inspect.media_paths(value) if inspect.missing_file(path, beside)), None)

    def _name(self, number: int) -> str:
        k, file, row = self._origins[number]
        return f'{self._sources[k].name_of(file)}, row {row}'


def chosen_rows(source: Source, rng: np.random.Generator) -> np.ndarray | None:
    """Which of the usable rows ``#N`` of a data set takes (bool [N]); None where it takes all.

    They are those of a training run with the same seed and ``--split_dataset_ratio 0``.
    """
    if source.spec.count is None:
        return None
    usable = 0
    for _, raw in source.rows():
        try:
            dump_row(source.build(*source.recognise(raw)))
            usable += 1
        except RowError:
            continue
    mask = np.zeros(usable, bool)
    mask[mix.choose(usable, source.spec.count, 0.0, rng).train] = True
    return mask


def read_evaluation(sources: Sequence[Source], n: int, seed: int) -> EvaluationSet:
    """The rows of ``--val_dataset``; those that can't be used are left out."""
    evaluation = EvaluationSet(n)
    for i, source in enumerate(sources):
        source = dataclasses.replace(source, answer_required=False)
        chosen, usable = chosen_rows(source, np.random.default_rng([seed, i, 1])), 0
        for file, raw in source.rows():
            try:
                row = source.build(*source.recognise(raw))
                dump_row(row)
            except RowError:
                continue
            usable += 1
            if chosen is None or chosen[usable - 1]:
                evaluation.add(f'{source.name_of(file)}, row {raw.number}', row)
    return evaluation


def _renamed(source: Source, raw: RawRow) -> dict[str, Any]:
    """A raw row that can't be converted, with its columns renamed where that is possible."""
    try:
        return dataclasses.replace(source, answer_required=False).recognise(raw)[0]
    except RowError:
        return raw.value


def _count_format(result: SourceResult, form: str | None) -> None:
    if form is not None:
        result.formats[form] = result.formats.get(form, 0) + 1

