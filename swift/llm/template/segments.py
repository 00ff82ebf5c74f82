"""A rendered conversation as pieces of text that know their weight in the loss and who wrote them.

Pure text: no tokenizer, no template. Both renderers produce these, the encoder consumes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from swift.llm.protocol import Message
from swift.llm.template.loss_scale import TurnWeights

KINDS = ('control', 'system', 'user', 'assistant', 'tool')
"""Who wrote a piece: the template (``control``) or the author of a message with this role."""


REASONING_TAGS = frozenset({'<think>', '</think>', '[THINK]', '[/THINK]', '<thinking>', '</thinking>', '<seed:think>',
                            '</seed:think>', '<mm:think>', '</mm:think>'})
"""Tags that an answer may hold as tokens even where a tokenizer flags them as special."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a rendered conversation.

    Attributes:
        text: as it will be tokenised.
        weight: of its tokens as targets of the loss; 0 is not trained.
        kind: one of ``KINDS``. Only in ``control`` may special tokens be matched.
        begins_answer: a prompt would end right before it.
        message: index of the message whose answer it is a part of, with its terminator; -1 outside of answers.
    """

    text: str
    weight: float
    kind: str
    begins_answer: bool = False
    message: int = -1


@dataclass(frozen=True)
class Rendered:
    """A whole conversation.

    Attributes:
        segments: their texts, joined, are the conversation as the model reads it.
        added_eos: how many characters at the end the template itself would not have written (an EOS that we add
            where a template ends an answer with nothing at all).
    """

    segments: tuple[Segment, ...]
    added_eos: int = 0

    @property
    def text(self) -> str:
        return ''.join(segment.text for segment in self.segments)

    @classmethod
    def of(cls, segments: Iterable[Segment], added_eos: int = 0) -> Rendered:
        """Join neighbours of equal kind and weight and leave out empty ones."""
        joined: list[Segment] = []
        begins = False  # an empty segment hands this on
        for segment in segments:
            begins = begins or segment.begins_answer
            if not segment.text:
                continue
            last = joined[-1] if joined else None
            if last and not begins and ((last.kind, last.weight, last.message)
                                        == (segment.kind, segment.weight, segment.message)):
                joined[-1] = Segment(last.text + segment.text, last.weight, last.kind, last.begins_answer, last.message)
            elif segment.begins_answer == begins:
                joined.append(segment)
            else:
                joined.append(Segment(segment.text, segment.weight, segment.kind, begins, segment.message))
            begins = False
        return cls(tuple(joined), added_eos)


class Renderer(Protocol):
    """A way to write conversations: a declared template, a checkpoint's own one, or plain text."""

    name: str
    notes: list[str]
    stop_words: tuple[str, ...]
    """Texts at which an answer ends, the EOS aside."""
    is_chat: bool
    """Whether turns are marked as such; plain text is compared with no chat template."""

    def render(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], weights: TurnWeights, *,
               add_generation_prompt: bool = False, options: Mapping[str, Any] | None = None) -> Rendered:
        """Write a conversation; ``options`` are the switches of the template (``enable_thinking``).

        Raises:
            RowError: the conversation can't be written.
        """
        ...

    def definition(self) -> str:
        """Everything in it that decides about tokens, as text."""
        ...


@dataclass(frozen=True)
class Controls:
    """The added tokens of a tokenizer, as text.

    Attributes:
        eos: the EOS token, or None.
        bos: what the tokenizer itself puts in front of a text: its BOS, or an empty string.
        added: all added tokens that could delimit something.
        special: those of them that the tokenizer flags as special.
    """

    eos: str | None = None
    bos: str = ''
    added: frozenset[str] = frozenset()
    special: frozenset[str] = frozenset()
    pattern: re.Pattern[str] | None = field(init=False, compare=False, default=None)

    def __post_init__(self) -> None:
        longest_first = sorted((token for token in self.added if token), key=lambda token: (-len(token), token))
        if longest_first:
            first = ''.join(re.escape(character) for character in sorted({token[0] for token in longest_first}))
            object.__setattr__(self, 'pattern', re.compile(
                f'(?=[{first}])(?:{"|".join(map(re.escape, longest_first))})'))

    def matches(self, text: str) -> list[re.Match[str]]:
        return list(self.pattern.finditer(text)) if self.pattern else []

    def terminator(self, closing: str, *, first: bool = False) -> str:
        """The part of ``closing``, the text after an answer, that the model has to write to end it.

        It reaches to the first EOS; without an EOS to the last added token (``<|end|>`` after a channel's end), or
        to the first one where ``first`` says that more than the end of the turn may follow. Empty if there is none.
        """
        matches = self.matches(closing)
        for match in matches:
            if match.group() == self.eos:
                return closing[:match.end()]
        if not matches:
            return ''
        return closing[:(matches[0] if first else matches[-1]).end()]


NO_CONTROLS = Controls()
"""For rendering without a tokenizer: where an answer's terminator ends follows from the suffix alone."""
