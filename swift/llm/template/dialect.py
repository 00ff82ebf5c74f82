"""How one dialect writes tools, calls and results, and reads calls back out of an answer. Entries: ``dialects/``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swift.llm.template.conversation import Call, Conversation, Turn
from swift.llm.template.writer import Writer
from swift.utils.registry import Registry

Tools = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Parsed:
    """An answer taken apart. ``content`` has no call in it; what can't be read as a call stays there."""

    content: str
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True)
class Dialect:
    """One way to speak of tools.

    Attributes:
        name: registry key.
        parse: an answer's text (and the tools, for dialects that write arguments without their types) -> its calls.
        write_tools: the system text with the tools in it; stands where a declared template has ``{{SYSTEM}}``.
        write_calls: the calls of an answer, behind its content.
        write_results: the results that follow one answer, as the next question of a declared template.
        continues: results stand in the answer's own turn, which goes on after them, instead of in a question.
        stop_words: texts at which an answer that calls a tool ends.
        source: where the format comes from.

    A template function that writes tools by itself needs ``parse`` only.
    """

    name: str
    parse: Callable[[str, Tools], Parsed]
    write_tools: Callable[[Writer, Conversation], None] | None = None
    write_calls: Callable[[Writer, Turn], None] | None = None
    write_results: Callable[[Writer, Sequence[Turn]], None] | None = None
    continues: bool = False
    stop_words: tuple[str, ...] = ()
    source: str = ''


DIALECTS: Registry[Dialect] = Registry('tool dialect', 'swift.llm.template.dialects')
