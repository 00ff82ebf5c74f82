"""What single words of an answer weigh in the loss: tables of keywords, and how one is applied.

Pure text in, pieces with weights out; knows nothing about messages, templates or tokens.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swift.utils.errors import UsageError
from swift.utils.registry import Registry

Pieces = list[tuple[str, float]]


@dataclass(frozen=True)
class WordTable:
    """Weights of words. What is in no entry weighs 1.

    The first kind that applies decides: a query, then literals, then spans in front of the first literal.

    Attributes:
        name: registry key, or the path of the file.
        literals: (words, their weight, weight of the text from there to the next literal). Where two of them begin
            at one place, the longer one counts.
        spans: (regular expression, weight of what it matches); ``.`` matches line ends, ``^`` the start of the answer.
            The leftmost match counts, the earlier entry where two begin at one place.
        queries: (words, weight of a whole answer to a question with these words in it).
        source: where the weights come from.
    """

    name: str
    literals: tuple[tuple[str, float, float], ...] = ()
    spans: tuple[tuple[str, float], ...] = ()
    queries: tuple[tuple[str, float], ...] = ()
    source: str = ''
    _literal: re.Pattern[str] | None = field(init=False, repr=False, compare=False, default=None)
    _spans: tuple[tuple[re.Pattern[str], float], ...] = field(init=False, repr=False, compare=False, default=())

    def __post_init__(self) -> None:
        words = sorted((words for words, _, _ in self.literals), key=len, reverse=True)
        if words:
            object.__setattr__(self, '_literal', re.compile('|'.join(map(re.escape, words))))
        object.__setattr__(self, '_spans', tuple((re.compile(pattern, re.DOTALL), w) for pattern, w in self.spans))

    def pieces(self, text: str, query: str = '') -> Pieces:
        """Cut an answer into pieces with their weights; joined, they are ``text``.

        Args:
            text: the answer.
            query: the question that it answers.
        """
        for words, weight in self.queries:
            if words in query:
                return [(text, weight)]
        found = [] if self._literal is None else list(self._literal.finditer(text))
        pieces = self._by_spans(text[:found[0].start()] if found else text)
        weights = {words: (own, following) for words, own, following in self.literals}
        for match, end in zip(found, [*(m.start() for m in found[1:]), len(text)], strict=False):
            own, following = weights[match.group()]
            pieces += [(match.group(), own), (text[match.end():end], following)]
        return [(piece, weight) for piece, weight in pieces if piece]

    def _by_spans(self, text: str) -> Pieces:
        pieces: Pieces = []
        at = 0
        while True:
            found = [(match, weight) for pattern, weight in self._spans
                     if (match := next((m for m in pattern.finditer(text, at) if m.group()), None))]
            if not found:
                return [*pieces, (text[at:], 1.0)]
            match, weight = min(found, key=lambda pair: pair[0].start())
            pieces += [(text[at:match.start()], 1.0), (match.group(), weight)]
            at = match.end()


# ------------------------------------------------------------------------------------------------ the known tables

WORD_TABLES: Registry[WordTable] = Registry('table of loss weights')

_REACT = (('Action:', 2.0, 2.0), ('Action Input:', 2.0, 2.0), ('Thought:', 1.0, 1.0), ('Final Answer:', 1.0, 1.0),
          ('Observation:', 2.0, 0.0))
_THREEFOLD = ('Name:', 'Action:', 'ACTION:', 'Tool:', 'Command', 'Arguments:', 'action input', 'ACTION_INPUT:',
              'Action Input:')
_EMPTY_THINKING = (
    r'^\s*<((?:\w+:)?think(?:ing)?)>\s*</\1>\s*',
    r'^\s*\[THINK\]\s*\[/THINK\]\s*',
    r'^\s*</(?:\w+:)?think(?:ing)?>\s*',  # the prompt has opened the block
    r'^<seed:think>\s*<seed:cot_budget_reflect>[^<]*budget is 0[^<]*</seed:cot_budget_reflect>\s*</seed:think>\s*',
    r'^<\|channel>thought\n<channel\|>',
)

for _table in (
    WordTable('react', _REACT, source='ModelScope-Agent (arXiv 2309.00986) weights calls in the loss; '
              'the numbers are those of ms-swift\'s table "react"'),
    WordTable('alpha_umi', (*_REACT, ('Next:', 2.0, 2.0)),
              source='the planner of alpha-UMi (arXiv 2401.07324) names the next model; ms-swift\'s table "alpha_umi"'),
    WordTable('agentflan', (*((words, 1.0, 3.0) for words in _THREEFOLD), *_REACT[2:]),
              source='Agent-FLAN (arXiv 2403.12881); ms-swift 2.x\'s table "agentflan", without the weights by '
              'question of its later versions'),
    WordTable('hermes', spans=((r'<tool_call>.+?</tool_call>', 2.0),), source='ms-swift\'s table "hermes"'),
    WordTable('qwen', (('✿FUNCTION✿:', 2.0, 2.0), ('✿ARGS✿:', 2.0, 2.0), ('✿RETURN✿:', 1.0, 1.0),
                       ('✿RESULT✿:', 2.0, 0.0)), source='calls as Qwen-Agent writes them; ms-swift\'s table "qwen"'),
    WordTable('ignore_empty_think', spans=tuple((pattern, 0.0) for pattern in _EMPTY_THINKING),
              source='empty blocks of thinking as published templates write them'),
    WordTable('ignore_think_prefix', spans=((r'^<think>\n?', 0.0),), source='ms-swift\'s "ignore_think_prefix"'),
):
    WORD_TABLES.add(_table)
WORD_TABLES.alias('agent-flan', 'agentflan')  # spellings of SWIFT 2
WORD_TABLES.alias('alpha-umi', 'alpha_umi')


# ------------------------------------------------------------------------------------------------ tables in files

def read_table(path: Path) -> WordTable:
    """A table from a JSON file, as SWIFT 2 takes it.

    ``{"Action:": [2, 2], "<tool_call>.+?</tool_call>": [2], "query": {"words of a question": 3}}``: a key with two
    weights is literal, with one it is a regular expression. The keys of answers may also stand in an object of their
    own, named "response".

    Raises:
        UsageError: the file can't be read, or an entry is wrong.
    """
    try:
        raw = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as e:
        raise UsageError(f'--loss_scale: {path} can\'t be read as JSON ({e}).') from e
    if not isinstance(raw, dict):
        raise UsageError(f'--loss_scale: {path} holds {type(raw).__name__}; it takes an object of words and weights.')
    answers = dict(raw)
    queries = answers.pop('query') if isinstance(raw.get('query'), dict) else {}
    if isinstance(raw.get('response'), dict):
        answers = answers.pop('response') | answers
    by_words = {words: _weights(path, words, value) for words, value in answers.items()}
    return WordTable(
        str(path), tuple((words, *w) for words, w in by_words.items() if len(w) == 2),
        tuple((_regex(path, words), *w) for words, w in by_words.items() if len(w) == 1),
        tuple((words, *_weights(path, words, value, most=1)) for words, value in queries.items()), source=str(path))


def _weights(path: Path, words: str, value: Any, most: int = 2) -> tuple[float, ...]:
    weights = tuple(value) if isinstance(value, list) else (value,)
    if not words or not 1 <= len(weights) <= most or not all(map(_is_weight, weights)):
        raise UsageError(f'--loss_scale: {path} has {words!r}: {json.dumps(value, ensure_ascii=False)}. It takes '
                         '"words": [weight of the words, weight of what follows], or "regular expression": [weight], '
                         'and in "query" one weight; weights are numbers, 0 or more.')
    return tuple(map(float, weights))


def _is_weight(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _regex(path: Path, pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as e:
        raise UsageError(f'--loss_scale: {path} has one weight for {pattern!r}, which is no regular expression '
                         f'({e}). Give it two weights if it is meant literally.') from e
    return pattern


def definitions(tables: tuple[WordTable, ...]) -> list[Mapping[str, Any]]:
    """Everything in tables that decides about weights, as JSON."""
    return [{'literals': t.literals, 'spans': t.spans, 'queries': t.queries} for t in tables]
