"""Registered templates and plain text: messages -> segments. Pure; knows no tokenizer."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

from swift.llm.protocol import Message
from swift.llm.template.chat_template import ChatTemplate, Part, Thinking, WrittenTemplate
from swift.llm.template.conversation import Conversation, ThinkingPolicy, Turn
from swift.llm.template.dialect import DIALECTS
from swift.llm.template.loss_scale import TurnWeights
from swift.llm.template.segments import NO_CONTROLS, Controls, Rendered, Renderer, Segment
from swift.llm.template.writer import Writer
from swift.utils.errors import RowError, SwiftError

_PLACEHOLDER = re.compile(r'\{\{(SYSTEM|QUERY|ROUND0|ROUND1)\}\}')
_Round = tuple[tuple[Turn, ...], Turn | None]  # a question, or the results of tools; and its answer


def make_renderer(template: ChatTemplate | WrittenTemplate, special_tokens: Mapping[str | int, str],
                  controls: Controls = NO_CONTROLS, thinking: ThinkingPolicy | None = None) -> Renderer:
    """The renderer of a registered template.

    Args:
        template: the entry.
        special_tokens: text of every token that a part names (``eos_token``) or gives as an id.
        controls: the tokenizer's added tokens, to know where an answer's terminator ends.
        thinking: ``--thinking``.
    """
    kind = DeclaredRenderer if isinstance(template, ChatTemplate) else WrittenRenderer
    return kind(template, special_tokens, controls, thinking)


def is_chat(template: ChatTemplate | WrittenTemplate) -> bool:
    """Whether turns are marked as such; a declared template of the bare question is plain text."""
    return isinstance(template, WrittenTemplate) or template.prompt != ('{{QUERY}}',)


class WrittenRenderer:
    """Writes conversations as the function of a :class:`WrittenTemplate` does."""

    is_chat = True

    def __init__(self, template: WrittenTemplate, special_tokens: Mapping[str | int, str],
                 controls: Controls = NO_CONTROLS, thinking: ThinkingPolicy | None = None) -> None:
        self.name = template.name
        self.notes: list[str] = []
        self._template = template
        self._special_tokens = dict(special_tokens)
        self._thinking = thinking
        terminators = self._terminators()
        self._leaves_open = not terminators
        self._ending = template.ending or self._special_tokens.get('eos_token', '')
        if self._leaves_open:
            self.notes.append(f'The publisher\'s own template {self.name!r} ends the last answer with nothing: '
                              f'{self._ending!r} is added after it, and trained.')
            terminators = (self._ending,) if self._ending else ()
        self.stop_words = tuple(dict.fromkeys((*terminators, *template.stop_words)))

    def definition(self) -> str:
        return repr((self._template.name, self._template.default_system, self._thinking, _code(self._template.write),
                     sorted((str(k), v) for k, v in self._special_tokens.items())))

    def render(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], weights: TurnWeights, *,
               add_generation_prompt: bool = False, options: Mapping[str, Any] | None = None) -> Rendered:
        self._check_nothing_dropped(messages, tools)
        rest = tools, weights, add_generation_prompt, options
        rendered = self._write(messages, *rest)
        self._check_reasoning(rendered, messages, *rest)
        return self._closed(rendered, messages, weights)

    def _closed(self, rendered: Rendered, messages: Sequence[Message], weights: TurnWeights) -> Rendered:
        """With an end behind the last answer where the publisher writes none, or a model would not learn to stop."""
        is_written = any(segment.message == len(messages) - 1 for segment in rendered.segments)
        if not self._leaves_open or not is_written:
            return rendered
        end = Segment(self._ending, weights.turns[-1], 'control', message=len(messages) - 1)
        return Rendered.of([*rendered.segments, end], added_eos=len(self._ending))

    def _write(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], weights: TurnWeights,
               add_generation_prompt: bool, options: Mapping[str, Any] | None) -> Rendered:
        conversation = Conversation.of(
            messages, tools, add_generation_prompt=add_generation_prompt, options=options or {},
            tokens=self._special_tokens, thinking=self._thinking, trains=not add_generation_prompt)
        writer = Writer(weights)
        self._template.write(conversation, writer)
        return writer.rendered()

    def _check_nothing_dropped(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> None:
        has = {
            'tools': bool(tools),
            'system': any(m.role == 'system' and m.content for m in messages),
            'calls': any(m.tool_calls for m in messages),
            'results': any(m.role == 'tool' for m in messages),
            'parallel calls': any(len(m.tool_calls) > 1 for m in messages),
        }
        dropped = [what for what in has if has[what] and what in self._template.drops]
        if dropped:
            raise RowError(f'template {self.name!r} does not write the {_SPOKEN[dropped[0]]} of the row')

    def _check_reasoning(self, rendered: Rendered, messages: Sequence[Message], *rest: Any) -> None:
        """Raises RowError where the text would be the same without the reasoning of the last answer."""
        if not messages or not (messages[-1].reasoning_content or '').strip() or self._thinking == 'none':
            return
        bare = [*messages[:-1], dataclasses.replace(messages[-1], reasoning_content=None)]
        if self._write(bare, *rest).text == rendered.text:
            raise RowError(f'template {self.name!r} does not write the reasoning_content of the last answer here; '
                           '--thinking keep writes it, --thinking none trains without it')

    def _terminators(self) -> tuple[str, ...]:
        """What the template itself writes at the end of an answer, seen on a short conversation."""
        messages = (Message('user', 'a'), Message('assistant', 'b'))
        try:
            rendered = self._write(messages, (), TurnWeights((0.0, 1.0)), False, None)
        except RowError:
            return ()
        after = False
        ends = []
        for segment in rendered.segments:
            if after and segment.message == 1 and segment.kind == 'control':
                ends.append(segment.text.strip())
            after = after or segment.kind == 'assistant'
        return tuple(end for end in ends if end)


def _code(write: Any) -> str:
    """What a template function does, as far as text can tell: its module and what is bound to it."""
    if isinstance(write, functools.partial):
        return _code(write.func) + repr((write.args, write.keywords))
    try:
        return f'{write.__qualname__} {inspect.getsource(inspect.getmodule(write))}'
    except (OSError, TypeError):  # typed into an interpreter
        return repr(write)


_SPOKEN = {'tools': 'tools', 'system': 'system text', 'calls': 'tool calls', 'results': 'tool results',
           'parallel calls': 'second of several calls'}


class DeclaredRenderer:
    """Writes conversations as a :class:`ChatTemplate` says.

    Args:
        template: the parts.
        special_tokens: text of every token that a part names (``eos_token``) or gives as an id.
        controls: the tokenizer's added tokens, to know where an answer's terminator ends.
        thinking: ``--thinking``.
    """

    def __init__(self, template: ChatTemplate, special_tokens: Mapping[str | int, str],
                 controls: Controls = NO_CONTROLS, thinking: ThinkingPolicy | None = None) -> None:
        self.name = template.name
        self.notes: list[str] = []
        self._template = template
        self._special_tokens = dict(special_tokens)
        self._controls = controls
        self._thinking = thinking
        self._literals: dict[tuple[tuple[Part, ...] | None, int, str], str] = {}
        self._dialect = DIALECTS.get(template.dialect) if template.dialect else None
        self.is_chat = is_chat(template)
        self._answer_header = 1 + max(i for i, part in enumerate(template.prompt) if '{{QUERY}}' in part)
        suffix = self._literal(template.suffix)
        self._terminator = controls.terminator(suffix) or suffix.rstrip() or suffix
        self.stop_words = tuple(dict.fromkeys((self._terminator.strip(), *template.stop_words,
                                               *(self._dialect.stop_words if self._dialect else ()))))
        if template.chat_sep is not None and not self._inner_terminator(0):
            self.notes.append(f'Template {self.name!r} ends only the last answer of a conversation; what follows the '
                              'earlier ones is not trained.')

    def definition(self) -> str:
        return repr((self._template, self._thinking, sorted((str(k), v) for k, v in self._special_tokens.items())))

    def render(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], weights: TurnWeights, *,
               add_generation_prompt: bool = False, options: Mapping[str, Any] | None = None) -> Rendered:
        c = Conversation.of(messages, tools, add_generation_prompt=add_generation_prompt, options=options or {},
                            tokens=self._special_tokens, thinking=self._thinking)
        rounds = self._rounds(c)
        writer = Writer(weights)
        self._write_head(writer, c)
        owed = ''  # the part of the last terminator that the next prompt begins with
        for i, (question, answer) in enumerate(rounds):
            is_last = i == len(rounds) - 1
            in_answer = bool(i) and self._in_answer(question)
            if in_answer:
                self._dialect.write_results(writer, question)
            else:
                parts = self._template.prompt
                if answer is None and not add_generation_prompt:
                    parts = parts[:self._answer_header]
                self._write_parts(writer, parts, i, question, c.system if is_last else None, skip=len(owed))
            if answer is None:
                if add_generation_prompt and not in_answer:
                    self._prompt_thinking(writer, c)
                continue
            following = None if is_last else rounds[i + 1][0]
            owed = self._write_answer(writer, c, answer, i, following)
        rendered = writer.rendered()
        bos = self._controls.bos if self._template.auto_add_bos else ''
        if bos and not rendered.text.startswith(bos):
            return Rendered.of([Segment(bos, weights.control, 'control'), *rendered.segments])
        return rendered

    # -- what is in the conversation -----------------------------------------------------------------------------

    def _rounds(self, c: Conversation) -> list[_Round]:
        """[(question or results, answer or None)], checked.

        Raises:
            RowError: the template has no place for something, or the turns are in no order that it can write.
        """
        if c.tools and not (self._dialect and self._dialect.write_tools):
            raise RowError(f'template {self.name!r} has no place for tools')
        if c.tools and not self._template.supports_system:
            raise RowError(f'template {self.name!r} has no place for a system text, where the tools would stand')
        if c.system is not None and c.system.content and not self._template.supports_system:
            raise RowError(f'template {self.name!r} has no place for a system text')
        rounds: list[_Round] = []
        turns = c.turns[1 if c.system else 0:]
        for i, turn in enumerate(turns):
            self._check_turn(turn)
            expected = 'assistant' if rounds and rounds[-1][1] is None else 'user'
            if turn.role == 'assistant' and expected == 'assistant':
                rounds[-1] = (rounds[-1][0], turn)
            elif turn.role == 'user' and expected == 'user':
                rounds.append(((turn,), None))
            elif turn.role == 'tool' and rounds and expected == 'user':
                rounds.append(((turn,), None))
            elif turn.role == 'tool' and rounds and rounds[-1][0][-1].role == 'tool':
                rounds[-1] = ((*rounds[-1][0], turn), None)
            else:
                raise RowError(f'template {self.name!r} takes turns of user and assistant, but turn {i} is of '
                               f'{turn.role!r} where {expected!r} was expected')
        if not rounds:
            raise RowError('the conversation has no question')
        if rounds[-1][1] is not None and c.add_generation_prompt:
            raise RowError('the last message is of the assistant: nothing is left to answer')
        if (rounds[-1][1] is None and not c.add_generation_prompt
                and self._answer_header == len(self._template.prompt)):
            raise RowError(f'the last message is of the user, and template {self.name!r} can\'t write a question '
                           'without the start of an answer')
        if len(rounds) > 1 and self._template.chat_sep is None:
            raise RowError(f'template {self.name!r} takes a single round, but the conversation has {len(rounds)}')
        return rounds

    def _check_turn(self, turn: Turn) -> None:
        if turn.calls and not (self._dialect and self._dialect.write_calls):
            raise RowError(f'template {self.name!r} has no place for tool calls')
        if turn.role == 'tool' and not (self._dialect and self._dialect.write_results):
            raise RowError(f'template {self.name!r} has no place for tool results')
        if turn.reasoning and self._template.thinking is None and self._thinking != 'none':
            raise RowError(f'template {self.name!r} has no place for reasoning_content')

    def _in_answer(self, question: tuple[Turn, ...]) -> bool:
        """Whether this question is the results of tools that stand in the answer's own turn."""
        return question[0].role == 'tool' and self._dialect.continues

    # -- writing -------------------------------------------------------------------------------------------------

    def _write_head(self, writer: Writer, c: Conversation) -> None:
        """Without a system message the head has no system text. An empty one is written as an empty system text."""
        template = self._template
        in_prefix = any('{{SYSTEM}}' in part for part in template.prefix if isinstance(part, str))
        with_system = template.prefix if in_prefix else template.system_prefix
        if with_system is not None and (c.system is not None or c.tools):
            for part in with_system:
                self._write_part(writer, part, 0, lambda: self._write_system(writer, c))
        elif in_prefix:
            for part in template.prefix:
                self._write_part(writer, part, 0, lambda: None)
        else:
            self._write_parts(writer, template.prefix, 0)

    def _write_system(self, writer: Writer, c: Conversation) -> None:
        if c.tools:
            self._dialect.write_tools(writer, c)
        elif c.system is not None:
            writer.said(c.system, self._trimmed(c.system))

    def _write_parts(self, writer: Writer, parts: tuple[Part, ...], index: int, question: tuple[Turn, ...] = (),
                     system: Turn | None = None, skip: int = 0) -> None:
        """Write ``parts``; the first ``skip`` characters have been written already."""
        def query() -> None:
            if question and question[0].role == 'tool':
                self._dialect.write_results(writer, question)
            elif question:
                writer.said(question[0], self._trimmed(question[0]))

        def system_text() -> None:
            if system is not None:
                writer.said(system, self._trimmed(system))

        for part in parts:
            if '{{SYSTEM}}' in part and '{{QUERY}}' not in part and (system is None or not system.content):
                continue  # a part of the prompt for the system text alone, in a round that has none
            self._write_part(writer, part, index, system_text, query, skip)
            skip = 0

    def _write_part(self, writer: Writer, part: Part, index: int, system: Any, query: Any = lambda: None,
                    skip: int = 0) -> None:
        if isinstance(part, tuple):
            writer.text(self._token(part)[skip:])
            return
        for i, piece in enumerate(_pieces(part)):
            if i % 2 == 0:
                writer.text(piece[skip:])
                skip = 0
            elif piece == 'QUERY':
                query()
            elif piece == 'SYSTEM':
                system()
            else:
                writer.text(str(index + int(piece[-1])))

    def _prompt_thinking(self, writer: Writer, c: Conversation) -> None:
        thinking = self._template.thinking
        if thinking is None:
            return
        enabled = bool(c.options.get('enable_thinking', True))
        if c.prompts_empty(not enabled):
            writer.text(thinking.empty or _empty_block(thinking))
        elif c.prompts_thinking(enabled):
            writer.text(thinking.prefix)

    def _write_answer(self, writer: Writer, c: Conversation, turn: Turn, index: int,
                      following: tuple[Turn, ...] | None) -> str:
        """Write an answer and what ends it; gives the part of its terminator that the next prompt begins with."""
        content = self._write_thinking(writer, c, turn)
        writer.said(turn, content)
        if turn.calls:
            self._dialect.write_calls(writer, turn)
        if following is not None and self._in_answer(following):
            writer.end()
            return ''
        closing = self._literal(self._template.suffix if following is None else self._template.chat_sep, index)
        terminator = self._terminator if following is None else self._inner_terminator(index)
        owed = terminator[len(closing):]
        writer.text(closing[:len(terminator)])
        writer.text(owed)
        writer.end()
        writer.text(closing[len(terminator):])
        return owed

    def _write_thinking(self, writer: Writer, c: Conversation, turn: Turn) -> str:
        """Begin the answer, write its thinking, and give the rest of its content."""
        thinking = self._template.thinking
        content = self._trimmed(turn)
        if thinking is None:
            writer.begin(turn)
            return content
        reasoning, content = _split_thinking(turn.reasoning, content, thinking)
        is_last = turn.index > c.last_question
        enabled = bool(c.options.get('enable_thinking', True))
        if reasoning.strip() and c.shows_reasoning(turn, is_last):
            opened, closed = thinking.tags
            block = f'{opened}\n{reasoning}\n{closed}\n\n'
            before = thinking.prefix if c.prompts_thinking(enabled) and block.startswith(thinking.prefix) else ''
            writer.text(before)
            writer.begin(turn)
            writer.text(f'{opened}\n'[len(before):])
            writer.said(turn, reasoning)
            writer.text(f'\n{closed}\n\n')
        elif c.writes_empty(turn, bool(thinking.empty if is_last else thinking.history)):
            empty = (thinking.empty if is_last else thinking.history) or thinking.empty or _empty_block(thinking)
            if not is_last or c.prompts_empty(not enabled):
                writer.text(empty)
                writer.begin(turn)
            else:
                writer.begin(turn)
                writer.text(empty)
        else:
            writer.begin(turn)
        return content

    def _inner_terminator(self, index: int) -> str:
        """What ends answer ``index`` when another question follows; it may reach into that question's prompt."""
        separator = self._literal(self._template.chat_sep, index)
        first = next((part for part in self._template.prompt if '{{SYSTEM}}' not in part or '{{QUERY}}' in part), '')
        following = self._literal((first,), index + 1, before='{{QUERY}}')
        if (separator + following).startswith(self._terminator):
            return self._terminator
        return self._controls.terminator(separator)

    def _literal(self, parts: tuple[Part, ...] | None, index: int = 0, before: str = '') -> str:
        """The text of parts that hold no content, or what stands in front of ``before`` in them."""
        key = parts, index, before
        if key not in self._literals:
            self._literals[key] = self._literal_anew(*key)
        return self._literals[key]

    def _literal_anew(self, parts: tuple[Part, ...] | None, index: int, before: str) -> str:
        writer = Writer(TurnWeights(()))
        for part in parts or ():
            self._write_part(writer, part.split(before)[0] if before and isinstance(part, str) else part, index,
                             lambda: None)
        return writer.rendered().text

    def _token(self, names: tuple[str | int, ...]) -> str:
        texts = []
        for name in names:
            text = self._special_tokens.get(name.removesuffix('_id') if isinstance(name, str) else name)
            if text is None:
                raise SwiftError(f'Template {self.name!r} needs the token {name!r}, which the tokenizer does not have.')
            texts.append(text)
        return ''.join(texts)

    def _trimmed(self, turn: Turn) -> str:
        return turn.content.strip() if turn.role in self._template.trim else turn.content


@functools.cache
def _pieces(part: str) -> tuple[str, ...]:
    """Text and names of placeholders, in turn."""
    return tuple(_PLACEHOLDER.split(part))


def _empty_block(thinking: Thinking) -> str:
    return f'{thinking.tags[0]}\n\n{thinking.tags[1]}\n\n'


def _split_thinking(reasoning: str | None, content: str, thinking: Thinking) -> tuple[str, str]:
    """(thinking, the rest) of an answer that has its thinking apart or in front of its content between tags."""
    if reasoning is not None:
        return reasoning.strip('\n'), content.lstrip('\n')
    opened, closed = thinking.tags
    if closed not in content:
        return '', content
    head, _, rest = content.rpartition(closed)
    return head.rpartition(opened)[2].strip('\n'), rest.lstrip('\n')


class PlainRenderer:
    """Text as it stands, for pre-training: BOS where the tokenizer puts one, the contents, EOS."""

    name = 'plain'
    is_chat = False

    def __init__(self, controls: Controls) -> None:
        self.notes: list[str] = []
        self.stop_words: tuple[str, ...] = ()
        self._controls = controls

    def definition(self) -> str:
        return 'plain'

    def render(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], weights: TurnWeights, *,
               add_generation_prompt: bool = False, options: Mapping[str, Any] | None = None) -> Rendered:
        segments = [Segment(self._controls.bos, 0.0, 'control')]
        segments += [Segment(m.content, weight, m.role) for m, weight in zip(messages, weights.turns, strict=True)]
        if not add_generation_prompt:
            segments.append(Segment(self._controls.eos or '', weights.turns[-1], 'control'))
        return Rendered.of(segments)


def render(template: ChatTemplate | WrittenTemplate, messages: Sequence[Message], *,
           special_tokens: Mapping[str | int, str], add_generation_prompt: bool, loss: TurnWeights,
           controls: Controls = NO_CONTROLS) -> Rendered:
    """Write one conversation; ``loss`` weighs every message.

    Raises:
        RowError: the template has no place for something in it.
    """
    return make_renderer(template, special_tokens, controls).render(
        messages, (), loss, add_generation_prompt=add_generation_prompt)


def render_case(template: ChatTemplate | WrittenTemplate, messages: Sequence[Message],
                tools: Sequence[Mapping[str, Any]] = (), *, add_generation_prompt: bool = False,
                options: Mapping[str, Any] | None = None, tokens: Mapping[str | int, str] | None = None,
                now: datetime.datetime | None = None, thinking: ThinkingPolicy | None = None) -> Rendered:
    """Write a conversation as the publisher's own template does, without a tokenizer.

    Nothing is refused that the publisher's template leaves out in silence.

    Raises:
        RowError: the template refuses the conversation.
    """
    turns = list(messages)
    if template.default_system and (not turns or turns[0].role != 'system'):
        turns.insert(0, Message('system', template.default_system))
    weights = TurnWeights(tuple(float(m.role == 'assistant') for m in turns))
    if isinstance(template, ChatTemplate):
        named = {name.removesuffix('_id') if isinstance(name, str) else name: '' for name in template.token_names()}
        return DeclaredRenderer(template, {**named, **(tokens or {})}, thinking=thinking).render(
            turns, tools, weights, add_generation_prompt=add_generation_prompt, options=options)
    writer = Writer(weights)
    template.write(Conversation.of(turns, tools, add_generation_prompt=add_generation_prompt, options=options or {},
                                   tokens=tokens or {}, thinking=thinking,
                                   **({} if now is None else {'now': now})), writer)
    return writer.rendered()
