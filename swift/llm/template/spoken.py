"""Another dialect of tools than a template's own (``--agent_template react_en``), on top of any renderer.

Tools become a part of the system text, calls a part of the answer, results a question or a part of the answer. What is
put into a message in this way stands there as one private-use character while the template is rendered, and is put in
its place afterwards: so it keeps its weight and its author, and no template can take it for something else.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from swift.llm.protocol import Message
from swift.llm.template.conversation import Conversation, Turn
from swift.llm.template.dialect import Dialect
from swift.llm.template.loss_scale import TurnWeights
from swift.llm.template.segments import Rendered, Renderer, Segment
from swift.llm.template.writer import Writer
from swift.utils.errors import RowError

_PRIVATE = range(0xE000, 0xF900)  # characters without a meaning


class SpokenRenderer:
    """Args:
        inner: renders conversations without tools.
        dialect: one that can write tools, calls and results.
    """

    is_chat = True

    def __init__(self, inner: Renderer, dialect: Dialect) -> None:
        self.name = inner.name
        self.notes = inner.notes
        self.stop_words = tuple(dict.fromkeys((*inner.stop_words, *dialect.stop_words)))
        self._inner, self._dialect = inner, dialect

    def definition(self) -> str:
        return f'{self._dialect.name} {self._inner.definition()}'

    def render(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], weights: TurnWeights, *,
               add_generation_prompt: bool = False, options: Mapping[str, Any] | None = None) -> Rendered:
        plain = _Plain(Conversation.of(messages, tools), messages, weights, self._dialect)
        turns, opened = plain.messages, ()
        if add_generation_prompt and turns[-1].role == 'assistant':  # results stand in an answer that goes on
            opened, turns = plain.pieces_of(turns[-1].content), turns[:-1]
        rendered = self._inner.render(turns, (), TurnWeights(tuple(plain.weights[:len(turns)]), weights.control),
                                      add_generation_prompt=add_generation_prompt, options=options)
        segments = itertools.chain.from_iterable(map(plain.put_back, rendered.segments))
        prompt = (dataclasses.replace(piece, weight=0.0, message=-1) for piece in opened)
        return Rendered.of([*segments, *prompt], rendered.added_eos)


class _Plain:
    """A conversation without tools, and what its private-use characters stand for.

    Attributes:
        messages: the conversation.
        weights: of its messages.
    """

    def __init__(self, c: Conversation, messages: Sequence[Message], weights: TurnWeights, dialect: Dialect) -> None:
        used = set(''.join(turn.content + (turn.reasoning or '') for turn in c.turns))
        self._free = (chr(code) for code in _PRIVATE if chr(code) not in used)
        self._pieces: dict[str, tuple[Segment, ...]] = {}
        self._origins: list[int] = []  # message here -> message of the row
        self._all_weights = weights
        self.messages: list[Message] = []
        self.weights: list[float] = []
        if c.tools:
            system = self._mark(lambda w: dialect.write_tools(w, c))
            self._add(Message('system', system), 0 if c.system else -1, weights.turns[0] if c.system else 0.0)
        turns = c.turns[1:] if c.tools and c.system else c.turns
        for role, group in itertools.groupby(turns, key=lambda turn: turn.role):
            if role == 'tool':
                self._add_results(tuple(group), dialect)
            else:
                for turn in group:
                    self._add_turn(turn, messages[turn.index], dialect)

    def _add(self, message: Message, origin: int, weight: float) -> None:
        self.messages.append(message)
        self._origins.append(origin)
        self.weights.append(weight)

    def _add_turn(self, turn: Turn, message: Message, dialect: Dialect) -> None:
        calls = self._mark(lambda w: dialect.write_calls(w, turn), turn) if turn.calls else ''
        weight = self._all_weights.turns[turn.index]
        if turn.role == 'assistant' and self.messages and self.messages[-1].role == 'assistant':
            goes_on = self._mark(lambda w: w.said(turn), turn, begins=True) if turn.content else ''
            self._extend(goes_on + calls)
            self._origins[-1], self.weights[-1] = turn.index, weight  # what ends the answer belongs to its last part
        else:
            self._add(dataclasses.replace(message, content=turn.content + calls, tool_calls=()), turn.index, weight)

    def _add_results(self, turns: Sequence[Turn], dialect: Dialect) -> None:
        results = self._mark(lambda w: dialect.write_results(w, turns))
        if not dialect.continues:
            self._add(Message('user', results), turns[0].index, self._all_weights.turns[turns[0].index])
        elif self.messages and self.messages[-1].role == 'assistant':
            self._extend(results)
        else:
            raise RowError('the result of a tool does not follow an answer that calls one')

    def _extend(self, text: str) -> None:
        """Let the last answer go on; its parts keep the weights of their own messages."""
        last, turn = self.messages[-1], self._origins[-1]
        said = Segment(last.content, self._all_weights.turns[turn], 'assistant', message=turn)
        first = last.content if self._is_marked(last.content) else self._keep(tuple(self.put_back(said, keep=True)))
        self.messages[-1] = dataclasses.replace(last, content=first + text)

    def _is_marked(self, content: str) -> bool:
        return all(character in self._pieces for character in content)

    def _mark(self, write: Callable[[Writer], None], answer: Turn | None = None, *, begins: bool = False) -> str:
        """A character for what ``write`` writes, in the answer ``answer``, which ``begins`` here, or outside of any."""
        writer = Writer(self._all_weights)
        if answer is not None:
            writer.begin(answer)
        write(writer)
        return self._keep(tuple(dataclasses.replace(piece, begins_answer=begins and i == 0)
                                for i, piece in enumerate(writer.rendered().segments)))

    def _keep(self, pieces: tuple[Segment, ...]) -> str:
        mark = next(self._free, None)
        if mark is None:
            raise RowError(f'it has more than {len(_PRIVATE)} calls and results')
        self._pieces[mark] = pieces
        return mark

    def put_back(self, segment: Segment, *, keep: bool = False) -> Iterator[Segment]:
        """The segment with what its marks stand for. Its message is one of ``messages``; ``keep`` says of the row."""
        message = self._origins[segment.message] if segment.message >= 0 and not keep else segment.message
        start, begins = 0, segment.begins_answer
        for i, character in enumerate(segment.text):
            if character in self._pieces:
                yield dataclasses.replace(segment, text=segment.text[start:i], message=message, begins_answer=begins)
                begins, start = False, i + 1
                yield from self._pieces[character]
        yield dataclasses.replace(segment, text=segment.text[start:], message=message, begins_answer=begins)

    def pieces_of(self, content: str) -> tuple[Segment, ...]:
        """An answer that has been begun, as segments of its own."""
        return tuple(self.put_back(Segment(content, 0.0, 'assistant')))
