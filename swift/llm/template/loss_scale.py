"""What is trained, and how much: ``--loss_scale``, and the ``loss`` and ``loss_scale`` of single messages.

A base strategy chooses the turns; tables of words, which follow it after ``+``, weigh the words of the answers.
Where a turn stands in the text is the renderer's business; its pieces say whose answer they are.
"""

from __future__ import annotations

import bisect
import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from swift.llm.protocol import Message
from swift.llm.template.word_weights import WORD_TABLES, WordTable, definitions, read_table
from swift.utils.errors import RowError, UsageError
from swift.utils.registry import suggest

if TYPE_CHECKING:
    from swift.llm.template.segments import Rendered, Segment


# ----------------------------------------------------------------------------------------------- which strategy

@dataclass(frozen=True)
class Strategy:
    """``--loss_scale``, read.

    Attributes:
        base: which turns are trained, a name in ``BASES``.
        tables: what words weigh; the weights of several tables multiply.
    """

    base: str = 'default'
    tables: tuple[WordTable, ...] = ()

    def definition(self) -> str:
        """Everything that decides about weights, as text; the contents of files included."""
        return json.dumps([self.base, definitions(self.tables)])


def _assistant_turns(messages: Sequence[Message]) -> list[bool]:
    return [m.role == 'assistant' for m in messages]


def _last_round(messages: Sequence[Message]) -> list[bool]:
    last_question = max((i for i, m in enumerate(messages) if m.role == 'user'), default=-1)
    return [m.role == 'assistant' and i > last_question for i, m in enumerate(messages)]


def _everything(messages: Sequence[Message]) -> list[bool]:
    return [True] * len(messages)


BASES: dict[str, Callable[[Sequence[Message]], list[bool]]] = {
    'default': _assistant_turns,
    'last_round': _last_round,
    'all': _everything,
}
_SPELLINGS = {'last_round_with_ignore_empty_think': 'last_round+ignore_empty_think'}  # of SWIFT 3


def parse_strategy(text: str) -> Strategy:
    """Read ``BASE+TABLE+...``; without a base it is ``default``. A table is a name in ``WORD_TABLES`` or a JSON file.

    Raises:
        UsageError: no such name, or a file that can't be used.
    """
    parts = _SPELLINGS.get(text, text).split('+')
    base = parts.pop(0) if parts[0] in BASES else 'default'
    tables = []
    while parts:
        # The name of a file may hold a plus.
        files = [] if parts[0] in WORD_TABLES else [(n, Path('+'.join(parts[:n])).expanduser())
                                                    for n in range(len(parts), 0, -1)]
        taken, path = next(((n, path) for n, path in files if path.is_file()), (1, None))
        tables.append(_known_table(parts[0], text) if path is None else read_table(path))
        parts = parts[taken:]
    return Strategy(base, tuple(tables))


def _known_table(name: str, text: str) -> WordTable:
    if name in WORD_TABLES:
        return WORD_TABLES.get(name)
    if name in BASES:
        raise UsageError(f'--loss_scale got {text!r}: {name!r} chooses the turns, and has to come first.')
    if name.endswith('.json'):
        raise UsageError(f'--loss_scale got {text!r}: there is no file {name}.')
    known = [*BASES, *WORD_TABLES.names()]
    raise UsageError(f'--loss_scale got {text!r}; it takes {", ".join(BASES)}, and after it or alone, joined with "+", '
                     f'{", ".join(WORD_TABLES.names())} or a JSON file.{suggest(name, known)}')


# --------------------------------------------------------------------------------------------- weights of turns

@dataclass(frozen=True)
class TurnWeights:
    """Weights in the loss.

    Attributes:
        turns: one weight a message, for its content and (assistant only) the terminator that follows it.
        control: the weight of every text between contents that ends no trained answer.
    """

    turns: tuple[float, ...]
    control: float = 0.0


def turn_weights(messages: Sequence[Message], strategy: Strategy | str) -> TurnWeights:
    """Weigh every message.

    A message's own ``loss`` beats the base of the strategy, for every role; its ``loss_scale`` multiplies.

    Raises:
        RowError: a ``loss`` is not true or false, or a ``loss_scale`` is not a finite number >= 0.
    """
    base = (parse_strategy(strategy) if isinstance(strategy, str) else strategy).base
    turns = tuple(_weight(i, m, by_base) for i, (m, by_base) in enumerate(zip(messages, BASES[base](messages),
                                                                               strict=True)))
    return TurnWeights(turns, control=1.0 if base == 'all' else 0.0)


def _weight(index: int, message: Message, by_base: bool) -> float:
    if message.loss not in (None, True, False):  # 0 and 1 are equal to these and welcome
        raise RowError(f'message {index} has loss {message.loss!r}; it takes true or false')
    weight = float(by_base if message.loss is None else message.loss)
    if message.loss_scale is None:
        return weight
    if not isinstance(message.loss_scale, int | float) or not 0 <= message.loss_scale < math.inf:
        raise RowError(f'message {index} has loss_scale {message.loss_scale!r}; it takes a number, 0 or more')
    return weight * message.loss_scale


# --------------------------------------------------------------------------------------------- weights of words

def weigh(rendered: Rendered, messages: Sequence[Message], strategy: Strategy, ends: Sequence[str] = ()) -> Rendered:
    """The conversation with the words of its answers weighed; text, authors and starts of answers stay as they are.

    Only what stands in a trained answer is looked at: its reasoning, content and calls, in the order of the text.
    What ends it keeps the weight of the turn, and so does an answer whose message has a ``loss_scale`` of its own.

    Args:
        rendered: with the weights of turns.
        messages: those that were rendered; ``Segment.message`` counts them.
        strategy: its ``tables`` are applied.
        ends: texts that end an answer, EOS among them.
    """
    if not strategy.tables:
        return rendered
    weighed = {words for table in strategy.tables for words, _, _ in table.literals}
    ends = [end for end in ends if end.strip() not in weighed]  # Observation:, say, ends a call of ReAct
    answers: dict[int, list[Segment]] = {}
    for segment in rendered.segments:
        if segment.weight and segment.message >= 0 and messages[segment.message].loss_scale is None:
            answers.setdefault(segment.message, []).append(segment)
    spans = {i: _Spans.of(''.join(s.text for s in answer), len(_terminator(answer, ends)), _question(messages, i),
                          strategy.tables) for i, answer in answers.items()}
    at = dict.fromkeys(spans, 0)  # how far each answer has been read
    segments: list[Segment] = []
    for segment in rendered.segments:
        if not segment.weight or segment.message not in spans:
            segments.append(segment)
            continue
        segments += _cut(segment, at[segment.message], spans[segment.message])
        at[segment.message] += len(segment.text)
    return dataclasses.replace(rendered, segments=tuple(segments))


@dataclass(frozen=True)
class _Spans:
    """An answer in spans of one factor each: where every span ends in the text, and its factor."""

    ends: tuple[int, ...]
    factors: tuple[float, ...]

    @classmethod
    def of(cls, text: str, terminator: int, query: str, tables: Sequence[WordTable]) -> _Spans:
        """``terminator``: how many characters at the end keep their weight."""
        ends, factors = (len(text),), (1.0,)
        words = text[:len(text) - terminator]
        for table in tables:
            pieces = [*table.pieces(words, query), (text[len(words):], 1.0)]
            own_ends, total = [], 0
            for piece, _ in pieces:
                total += len(piece)
                own_ends.append(total)
            merged = sorted({*ends, *own_ends} - {0})
            factors = tuple(factors[bisect.bisect_left(ends, end)] * pieces[bisect.bisect_left(own_ends, end)][1]
                            for end in merged)
            ends = tuple(merged)
        return cls(ends, factors)


def _cut(segment: Segment, start: int, spans: _Spans) -> Iterator[Segment]:
    """A segment that begins ``start`` characters into its answer, cut where the factor changes."""
    done = 0
    while done < len(segment.text):
        k = bisect.bisect_right(spans.ends, start + done)
        factor = spans.factors[k]
        while k + 1 < len(spans.ends) and spans.factors[k + 1] == factor:
            k += 1
        end = min(spans.ends[k] - start, len(segment.text))
        yield dataclasses.replace(segment, text=segment.text[done:end], weight=segment.weight * factor,
                                  begins_answer=segment.begins_answer and not done)
        done = end


def _terminator(answer: Sequence[Segment], ends: Sequence[str]) -> str:
    """What the template wrote at the end of an answer to end it."""
    tail = ''
    for segment in reversed(answer):
        if segment.kind != 'control':
            break
        tail = segment.text + tail
    written = tail.rstrip()
    longest = max((len(end.strip()) for end in ends if written.endswith(end.strip())), default=0)
    return tail[max(0, len(written) - longest):] if longest else ''


def _question(messages: Sequence[Message], index: int) -> str:
    return next((m.content for m in reversed(messages[:index]) if m.role == 'user'), '')
