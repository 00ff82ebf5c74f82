"""What a declared chat template is: parts of text with placeholders, as data.

Knows nothing about tokenizers, models or how parts become tokens. Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass

Part = str | tuple[str | int, ...]
"""Text with placeholders, or names of special tokens such as ``('eos_token',)``, or token ids such as ``(8308,)``."""

PLACEHOLDERS = ('{{SYSTEM}}', '{{QUERY}}', '{{ROUND0}}', '{{ROUND1}}')


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
    source: str = ''

    def __post_init__(self) -> None:
        if not any('{{QUERY}}' in part for part in self.prompt if isinstance(part, str)):
            raise ValueError(f'The prompt of template {self.name!r} has no {{{{QUERY}}}}: {self.prompt!r}')

    @property
    def supports_system(self) -> bool:
        return any('{{SYSTEM}}' in part for part in (*self.prefix, *(self.system_prefix or ()), *self.prompt)
                   if isinstance(part, str))
