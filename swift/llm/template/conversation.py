"""A conversation as a template function reads it: turns, tools, switches. Plain data, standard library only."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from swift.llm.protocol import Message
from swift.utils.errors import RowError

ThinkingPolicy = Literal['keep', 'strip_history', 'add_empty', 'none']


def tojson(value: Any, indent: int | None = None) -> str:
    """JSON as the chat templates of published checkpoints write it (``tojson`` of transformers' renderer)."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


@dataclass(frozen=True)
class Call:
    """A call of a tool.

    Attributes:
        name: of the function.
        arguments: as an object; JSON text that a row gave has been parsed.
        text: the arguments as JSON text: the row's own if it gave text.
        id: of the call, if the row gives one.
        raw: the call as the row gives it, in OpenAI's shape.
    """

    name: str
    arguments: Any
    text: str
    id: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Call:
        """Read a call ``{"type": "function", "id", "function": {"name", "arguments"}}``, the outer part being optional.

        Raises:
            RowError: the function has no name.
        """
        function = raw.get('function', raw)
        name = function.get('name') if isinstance(function, Mapping) else None
        if not isinstance(name, str) or not name:
            raise RowError(f'a tool call has no function name: {tojson(raw)[:200]}')
        arguments = function.get('arguments')
        if not isinstance(arguments, str):
            return cls(name, arguments, tojson(arguments), raw.get('id'), raw)
        try:
            parsed = json.loads(arguments)
        except (ValueError, RecursionError):
            parsed = arguments  # a model may have called with broken JSON, and a row may show that
        return cls(name, parsed, arguments, raw.get('id'), raw)


@dataclass(frozen=True)
class Turn:
    """One message.

    Attributes:
        index: its place in the conversation.
        role: system, user, assistant or tool.
        content: its text.
        reasoning: what was thought before an answer, kept apart from ``content``; None if there is none.
        calls: the tools that an answer calls.
        name: of the tool that a tool turn answers for.
        call_id: of the call that a tool turn answers.
    """

    index: int
    role: str
    content: str
    reasoning: str | None = None
    calls: tuple[Call, ...] = ()
    name: str | None = None
    call_id: str | None = None


@dataclass(frozen=True)
class Conversation:
    """What a template function gets.

    Attributes:
        turns: the messages in order.
        tools: definitions in OpenAI's shape, as the row gives them.
        add_generation_prompt: whether to end with the start of an answer.
        options: the switches of a chat template (``enable_thinking``, ``reasoning_effort``), as far as given.
        tokens: the text of special tokens by name ("bos_token"); an absent one is written as nothing.
        now: for templates that write the date.
        thinking: ``--thinking``; None is what the model's publisher does.
        trains: the last answer is there to be trained on, so what stands in front of it has to be the prompt that asks
            for it, even where the publisher writes a finished conversation otherwise.
    """

    turns: tuple[Turn, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    add_generation_prompt: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    tokens: Mapping[str | int, str] = field(default_factory=dict)
    now: datetime.datetime = field(default_factory=datetime.datetime.now)
    thinking: ThinkingPolicy | None = None
    trains: bool = False

    @classmethod
    def of(cls, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = (), **rest: Any) -> Conversation:
        """Raises RowError when a tool call has no name."""
        turns = tuple(Turn(i, m.role, m.content, m.reasoning_content, tuple(map(Call.of, m.tool_calls)), m.name,
                           m.tool_call_id) for i, m in enumerate(messages))
        return cls(turns, tuple(tools), **rest)

    @property
    def bos(self) -> str:
        return self.tokens.get('bos_token', '')

    @property
    def eos(self) -> str:
        return self.tokens.get('eos_token', '')

    @property
    def system(self) -> Turn | None:
        """The system turn at the very start, if there is one."""
        return self.turns[0] if self.turns and self.turns[0].role == 'system' else None

    @property
    def last_question(self) -> int:
        """Index of the last user turn, -1 if there is none."""
        return max((turn.index for turn in self.turns if turn.role == 'user'), default=-1)

    def following(self, turn: Turn) -> Turn | None:
        return self.turns[turn.index + 1] if turn.index + 1 < len(self.turns) else None

    def preceding(self, turn: Turn) -> Turn | None:
        return self.turns[turn.index - 1] if turn.index else None

    # What --thinking changes. ``official`` is what the publisher's template does here.

    def shows_reasoning(self, turn: Turn, official: bool) -> bool:
        """Whether the reasoning that this answer has is written."""
        if self.thinking == 'strip_history':
            return turn.index > self.last_question
        return {'keep': True, 'none': False}.get(self.thinking, official)

    def writes_empty(self, turn: Turn, official: bool) -> bool:
        """Whether this answer, which shows no reasoning, starts with an empty block of it."""
        added = official or turn.index > self.last_question  # earlier ones stay as the publisher writes them
        return {'add_empty': added, 'none': False}.get(self.thinking, official)

    def prompts_empty(self, official: bool) -> bool:
        """Whether a prompt ends with an empty block, which tells the model not to think."""
        return {'add_empty': True, 'none': False}.get(self.thinking, official)

    def prompts_thinking(self, official: bool) -> bool:
        """Whether a prompt ends with the tag that opens the thinking."""
        return official and self.thinking not in ('add_empty', 'none')
