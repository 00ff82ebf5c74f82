"""What goes in and out of engines and data sets: plain dataclasses, JSON in and out. No torch, no tokenizer."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from swift.utils.errors import SwiftError

ROLES = ('system', 'user', 'assistant', 'tool')
FinishReason = Literal['stop', 'length', 'tool_calls']


@dataclass(frozen=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: one of ``ROLES``.
        content: the text.
        loss: whether an assistant turn is trained; None leaves it to ``--loss_scale``.
        loss_scale: weight of an assistant turn in the loss; None means 1.
        reasoning_content: what a thinking model thought before this answer, kept apart from ``content``.
        tool_calls: OpenAI-shaped calls that an assistant turn makes; ``arguments`` are JSON text or an object.
        name: of the tool that a tool turn answers for.
        tool_call_id: of the call that a tool turn answers.
    """

    role: str
    content: str = ''
    loss: bool | None = None
    loss_scale: float | None = None
    reasoning_content: str | None = None
    tool_calls: tuple[dict[str, Any], ...] = ()
    name: str | None = None
    tool_call_id: str | None = None

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> Message:
        """Read a message; unknown keys and roles are errors. OpenAI's newer name of the system's role, "developer", is
        read as that.

        Raises:
            SwiftError: the role is unknown, a key is unknown, or the content is not text.
        """
        unknown = [key for key in raw if key not in _KEYS and raw[key] is not None]
        if unknown:
            raise SwiftError(f'a message has the unknown key {unknown[0]!r}; known: {", ".join(sorted(_KEYS))}')
        role = 'system' if raw.get('role') == 'developer' else raw.get('role')
        if role not in ROLES:
            raise SwiftError(f'a message has the role {role!r}; known: {", ".join(ROLES)}')
        content = raw.get('content')
        if content is None and (raw.get('tool_calls') or raw.get('reasoning_content')):
            content = ''
        if isinstance(content, list):
            content = _text_of(content)
        if not isinstance(content, str):
            raise SwiftError(f'the content of a {raw["role"]} message is {type(content).__name__}, not text')
        return cls(role, content, raw.get('loss'), raw.get('loss_scale'), raw.get('reasoning_content'),
                   tuple(raw.get('tool_calls') or ()), raw.get('name'), raw.get('tool_call_id'))

    def to_dict(self) -> dict[str, Any]:
        """The message as JSON, without what is unset."""
        value = {'role': self.role, 'content': self.content}
        for name in ('loss', 'loss_scale', 'reasoning_content', 'name', 'tool_call_id'):
            if getattr(self, name) is not None:
                value[name] = getattr(self, name)
        if self.tool_calls:
            value['tool_calls'] = list(self.tool_calls)
        return value


_KEYS = frozenset(f.name for f in dataclasses.fields(Message))


def _text_of(parts: list[Any]) -> str:
    """The text of OpenAI's content parts.

    Raises:
        SwiftError: one of them is no text.
    """
    for part in parts:
        if not isinstance(part, dict) or part.get('type') != 'text' or not isinstance(part.get('text'), str):
            kind = part.get('type') if isinstance(part, dict) else type(part).__name__
            raise SwiftError(f'a message has a content part of type {kind!r}; text can be read only')
    return ''.join(part['text'] for part in parts)


@dataclass(frozen=True)
class InferRequest:
    """A conversation to be answered. The last message must not be the assistant's.

    Attributes:
        messages: the turns so far, as :class:`Message` or as dicts.
        tools: OpenAI tool definitions.
    """

    messages: list[Message]
    tools: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        turns = [m if isinstance(m, Message) else Message.from_dict(m) for m in self.messages]
        object.__setattr__(self, 'messages', turns)


@dataclass(frozen=True)
class RequestConfig:
    """How to generate. None leaves a value to the model's own generation config.

    Attributes:
        max_tokens: at most this many new tokens; None means up to the model's context.
        temperature: 0 is greedy.
        top_k: sample among the k likeliest tokens; 0 means all.
        top_p: sample among the smallest set of tokens with this probability mass.
        repetition_penalty: above 1 makes tokens already seen less likely.
        num_beams: beam search width; 1 is none.
        stop: strings at which the answer ends; not part of the answer.
        seed: makes sampling repeatable.
        n: answers a request.
        stream: the caller would like pieces as they come.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None
    num_beams: int = 1
    stop: tuple[str, ...] = ()
    seed: int | None = None
    n: int = 1
    stream: bool = False


@dataclass(frozen=True)
class Usage:
    """Counted in tokens."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class Choice:
    """One answer. ``token_ids`` excludes the token that ended it."""

    index: int
    message: Message
    finish_reason: FinishReason
    token_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class InferResponse:
    """The answers to one request, or the ``error`` that kept this request alone from being answered."""

    choices: tuple[Choice, ...] = ()
    usage: Usage = Usage()
    error: str | None = None

    @property
    def text(self) -> str:
        """The first answer.

        Raises:
            SwiftError: the request failed.
        """
        if self.error is not None:
            raise SwiftError(self.error)
        return self.choices[0].message.content


@dataclass(frozen=True)
class StreamChunk:
    """A piece of one answer; the last one of a choice has a ``finish_reason`` and the usage."""

    delta: str = ''
    index: int = 0
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
