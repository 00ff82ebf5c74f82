"""Declared templates and plain text: messages -> segments. Pure; knows no tokenizer."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from swift.llm.protocol import Message
from swift.llm.template.chat_template import ChatTemplate, Part
from swift.llm.template.loss_scale import TurnWeights
from swift.llm.template.segments import NO_CONTROLS, Controls, Rendered, Segment
from swift.utils.errors import RowError, SwiftError

_Weighed = tuple[str, float]
_PLACEHOLDER = re.compile(r'\{\{(SYSTEM|QUERY|ROUND0|ROUND1)\}\}')


class DeclaredRenderer:
    """Writes conversations as a :class:`ChatTemplate` says.

    Args:
        template: the parts.
        special_tokens: text of every token that a part names (``eos_token``) or gives as an id.
        controls: the tokenizer's added tokens, to know where an answer's terminator ends.
    """

    def __init__(self, template: ChatTemplate, special_tokens: Mapping[str | int, str],
                 controls: Controls = NO_CONTROLS) -> None:
        self.name = template.name
        self.notes: list[str] = []
        self._template = template
        self._special_tokens = dict(special_tokens)
        self._controls = controls
        self._answer_header = 1 + max(i for i, part in enumerate(template.prompt) if '{{QUERY}}' in part)
        suffix = self._literal(template.suffix)
        self._terminator = controls.terminator(suffix) or suffix.rstrip() or suffix
        self.stop_words = tuple(dict.fromkeys((self._terminator.strip(), *template.stop_words)))
        if template.chat_sep is not None and not self._inner_terminator(0):
            self.notes.append(f'Template {self.name!r} ends only the last answer of a conversation; what follows the '
                              'earlier ones is not trained.')

    def definition(self) -> str:
        return repr((self._template, sorted((str(k), v) for k, v in self._special_tokens.items())))

    def render(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], weights: TurnWeights, *,
               add_generation_prompt: bool = False) -> Rendered:
        if tools:
            raise RowError(f'template {self.name!r} has no place for tools')
        system, system_weight, rounds = self._rounds(messages, weights, add_generation_prompt)
        segments = [*self._head(system, system_weight, weights.control)]
        owed = Segment('', 0.0, 'control')  # the part of the last terminator that the next prompt begins with
        for i, (query, answer) in enumerate(rounds):
            is_last = i == len(rounds) - 1
            parts = self._template.prompt
            if answer is None and not add_generation_prompt:
                parts = parts[:self._answer_header]
            prompt = [*self._fill(parts, i, weights.control, self._trimmed('user', query[0]), query[1],
                                  (system or None) if is_last else None, system_weight)]
            if owed.text:
                prompt[0] = dataclasses.replace(prompt[0], text=prompt[0].text[len(owed.text):])
                segments.append(owed)
            segments += prompt
            if answer is None:
                continue
            segments.append(Segment(self._trimmed('assistant', answer[0]), answer[1], 'assistant',
                                    begins_answer=True))
            closing = self._literal(self._template.suffix if is_last else self._template.chat_sep, i)
            terminator = self._terminator if is_last else self._inner_terminator(i)
            owed = Segment(terminator[len(closing):], answer[1], 'control')
            segments.append(Segment(closing[:len(terminator)], answer[1], 'control'))
            segments.append(Segment(closing[len(terminator):], weights.control, 'control'))
        rendered = Rendered.of(segments)
        bos = self._controls.bos if self._template.auto_add_bos else ''
        if bos and not rendered.text.startswith(bos):
            return Rendered.of([Segment(bos, weights.control, 'control'), *rendered.segments])
        return rendered

    def _rounds(self, messages: Sequence[Message], weights: TurnWeights, add_generation_prompt: bool,
                ) -> tuple[str | None, float, list[tuple[_Weighed, _Weighed | None]]]:
        """(system text or None, its weight, [(question, answer or None)]), checked."""
        turns = list(zip(messages, weights.turns, strict=True))
        system, system_weight = None, 0.0
        if turns and turns[0][0].role == 'system':
            system, system_weight = turns[0][0].content, turns[0][1]
            turns = turns[1:]
            if not self._template.supports_system and system:
                raise RowError(f'template {self.name!r} has no place for a system text')
        rounds = []
        for i, (message, weight) in enumerate(turns):
            expected = 'user' if i % 2 == 0 else 'assistant'
            if message.role != expected:
                raise RowError(f'template {self.name!r} takes turns of user and assistant, but turn {i} is of '
                               f'{message.role!r} where {expected!r} was expected')
            if message.tool_calls:
                raise RowError(f'template {self.name!r} has no place for tool calls')
            if message.reasoning_content:
                raise RowError(f'template {self.name!r} has no place for reasoning_content')
            if i % 2 == 0:
                rounds.append(((message.content, weight), None))
            else:
                rounds[-1] = (rounds[-1][0], (message.content, weight))
        if not rounds:
            raise RowError('the conversation has no question')
        if rounds[-1][1] is not None and add_generation_prompt:
            raise RowError('the last message is of the assistant: nothing is left to answer')
        if rounds[-1][1] is None and not add_generation_prompt and self._answer_header == len(self._template.prompt):
            raise RowError(f'the last message is of the user, and template {self.name!r} can\'t write a question '
                           'without the start of an answer')
        if len(rounds) > 1 and self._template.chat_sep is None:
            raise RowError(f'template {self.name!r} takes a single round, but the conversation has {len(rounds)}')
        return system, system_weight, rounds

    def _head(self, system: str | None, weight: float, control: float) -> Iterator[Segment]:
        """``system`` None: there is no system message. An empty one is written as an empty system text."""
        template = self._template
        in_prefix = any('{{SYSTEM}}' in part for part in template.prefix if isinstance(part, str))
        with_system = template.prefix if in_prefix else template.system_prefix
        if system is not None and with_system is not None:
            yield from self._fill(with_system, 0, control, system=self._trimmed('system', system), system_weight=weight)
        elif in_prefix:
            yield from self._fill(tuple(part.replace('{{SYSTEM}}', '') if isinstance(part, str) else part
                                        for part in template.prefix), 0, control)
        else:
            yield from self._fill(template.prefix, 0, control)

    def _inner_terminator(self, index: int) -> str:
        """What ends answer ``index`` when another question follows; it may reach into that question's prompt."""
        separator = self._literal(self._template.chat_sep, index)
        following = next(self._fill(self._template.prompt, index + 1, 0.0)).text
        if (separator + following).startswith(self._terminator):
            return self._terminator
        return self._controls.terminator(separator)

    def _fill(self, parts: tuple[Part, ...], index: int, control: float, query: str = '', query_weight: float = 0.0,
              system: str | None = None, system_weight: float = 0.0) -> Iterator[Segment]:
        for part in parts:
            if isinstance(part, tuple):
                yield Segment(self._token(part), control, 'control')
                continue
            if '{{SYSTEM}}' in part and '{{QUERY}}' not in part and system is None:
                continue  # a part of the prompt for the system text alone, in a round that has none
            for i, piece in enumerate(_PLACEHOLDER.split(part)):
                if i % 2 == 0:
                    yield Segment(piece, control, 'control')
                elif piece == 'QUERY':
                    yield Segment(query, query_weight, 'user')
                elif piece == 'SYSTEM':
                    yield Segment(system or '', system_weight, 'system')
                else:
                    yield Segment(str(index + int(piece[-1])), control, 'control')

    def _literal(self, parts: tuple[Part, ...] | None, index: int = 0) -> str:
        return ''.join(segment.text for segment in self._fill(parts or (), index, 0.0))

    def _token(self, names: tuple[str | int, ...]) -> str:
        texts = []
        for name in names:
            text = self._special_tokens.get(name.removesuffix('_id') if isinstance(name, str) else name)
            if text is None:
                raise SwiftError(f'Template {self.name!r} needs the token {name!r}, which the tokenizer does not have.')
            texts.append(text)
        return ''.join(texts)

    def _trimmed(self, role: str, content: str) -> str:
        return content.strip() if role in self._template.trim else content


class PlainRenderer:
    """Text as it stands, for pre-training: BOS where the tokenizer puts one, the contents, EOS."""

    name = 'plain'

    def __init__(self, controls: Controls) -> None:
        self.notes: list[str] = []
        self.stop_words: tuple[str, ...] = ()
        self._controls = controls

    def definition(self) -> str:
        return 'plain'

    def render(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], weights: TurnWeights, *,
               add_generation_prompt: bool = False) -> Rendered:
        segments = [Segment(self._controls.bos, 0.0, 'control')]
        segments += [Segment(m.content, weight, m.role) for m, weight in zip(messages, weights.turns, strict=True)]
        if not add_generation_prompt:
            segments.append(Segment(self._controls.eos or '', weights.turns[-1], 'control'))
        return Rendered.of(segments)


def render(template: ChatTemplate, messages: Sequence[Message], *, special_tokens: Mapping[str | int, str],
           add_generation_prompt: bool, loss: TurnWeights, controls: Controls = NO_CONTROLS) -> Rendered:
    """Write one conversation; ``loss`` weighs every message.

    Raises:
        RowError: the template has no place for something in it.
    """
    return DeclaredRenderer(template, special_tokens, controls).render(
        messages, (), loss, add_generation_prompt=add_generation_prompt)
