"""What a registered chat template is: parts of text with placeholders, or a function that writes a conversation.

Knows nothing about tokenizers, models or how parts become tokens. Standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swift.llm.template.conversation import Conversation
    from swift.llm.template.writer import Writer

Part = str | tuple[str | int, ...]
"""Text with placeholders, or names of special tokens such as ``('eos_token',)``, or token ids such as ``(8308,)``."""

PLACEHOLDERS = ('{{SYSTEM}}', '{{QUERY}}', '{{ROUND0}}', '{{ROUND1}}')


@dataclass(frozen=True)
class Thinking:
    """How a template writes what a model thinks before it answers.

    Attributes:
        prefix: what a prompt ends with to make the model think; the answer goes on from there.
        empty: the block that stands for no thinking, in front of an answer.
        history: what stands in front of earlier answers, whose thinking is left out.
        tags: what opens and closes the thinking.
    """

    prefix: str = ''
    empty: str = ''
    history: str = ''
    tags: tuple[str, str] = ('<think>', '</think>')


@dataclass(frozen=True)
class ChatTemplate:
    """How a conversation is written for one family of models.

    A conversation is: ``prefix`` (or ``system_prefix``, when there is a system text), then for every round
    ``prompt`` and the answer, with ``chat_sep`` between two rounds and ``suffix`` after the last answer.

    Attributes:
        name: registry key, also what ``--template`` takes.
        prompt: one question up to the place where the answer starts; holds ``{{QUERY}}``. Parts
            after that one are the start of an answer, left out of a conversation that ends with its question.
        chat_sep: what stands between an answer and the next question; None means a single round only.
        suffix: what ends the last answer.
        prefix: the head of a conversation without a system text. With ``{{SYSTEM}}`` in it, it is the
            ``system_prefix``, and the head without a system text is what remains when that part is taken out.
        system_prefix: the head of a conversation with a system text, which stands at ``{{SYSTEM}}``.
        default_system: the system text when neither the row nor ``--system`` gives one.
        stop_words: further strings at which an answer ends.
        auto_add_bos: put the tokenizer's BOS in front if the tokenizer itself would and the parts do not.
        trim: roles whose contents are stripped of surrounding white space, as the official template does.
        dialect: how tools and calls are written, a name in ``dialects``; empty means no tools.
        thinking: how thinking is written; None means that the template has no place for it.
        source: where the parts come from.
    """

    name: str
    prompt: tuple[Part, ...]
    chat_sep: tuple[Part, ...] | None
    suffix: tuple[Part, ...]
    prefix: tuple[Part, ...] = ()
    system_prefix: tuple[Part, ...] | None = None
    default_system: str | None = None
    stop_words: tuple[str, ...] = ()
    auto_add_bos: bool = False
    trim: tuple[str, ...] = ()
    dialect: str = ''
    thinking: Thinking | None = None
    source: str = ''

    def __post_init__(self) -> None:
        if not any('{{QUERY}}' in part for part in self.prompt if isinstance(part, str)):
            raise ValueError(f'The prompt of template {self.name!r} has no {{{{QUERY}}}}: {self.prompt!r}')

    def token_names(self) -> Iterator[str | int]:
        """Every special token that a part names ("eos_token") or gives as an id."""
        for parts in (self.prompt, self.chat_sep, self.suffix, self.prefix, self.system_prefix):
            for part in parts or ():
                if isinstance(part, tuple):
                    yield from part

    @property
    def supports_system(self) -> bool:
        return any('{{SYSTEM}}' in part for part in (*self.prefix, *(self.system_prefix or ()), *self.prompt)
                   if isinstance(part, str))


@dataclass(frozen=True)
class WrittenTemplate:
    """A template as a function, for those that parts can't describe.

    ``write`` writes whatever the publisher's own template writes, character for character, and raises RowError where
    that one refuses a conversation. ``--thinking`` reaches it through the methods of the conversation.

    Attributes:
        name: registry key.
        write: writes a conversation.
        default_system: the system text when neither the row nor ``--system`` gives one. A default that is not written
            like a system message of this text (it changes with the tools, say) is ``write``'s own business.
        stop_words: further strings at which an answer ends; its terminator is found out by rendering.
        ending: what ends a last answer for training where the publisher writes nothing behind it; empty means EOS.
        drops: which of 'system', 'tools', 'calls', 'parallel calls' (all but the first of one answer), 'results' and
            'reasoning' the template leaves out without a word.
            Rows that have them are refused for training (reasoning only where ``--thinking`` has no place for it).
        options: switches that ``write`` reads from ``Conversation.options``.
        dialect: how calls are read back, a name in ``dialects``; empty means no tools.
        thinking: the tags of its thinking; None means that the template has no place for it.
        source: the official template that it was checked against.
    """

    name: str
    write: Callable[[Conversation, Writer], None]
    default_system: str | None = None
    stop_words: tuple[str, ...] = ()
    ending: str = ''
    drops: frozenset[str] = frozenset()
    options: tuple[str, ...] = ()
    dialect: str = ''
    thinking: Thinking | None = None
    source: str = ''
