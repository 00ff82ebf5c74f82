"""How an answer and the prompt for it start, shared by the writers of thinking models."""

from __future__ import annotations

from swift.llm.template.conversation import Conversation, Turn
from swift.llm.template.writer import Writer


def begin_behind(w: Writer, turn: Turn, header: str, prompted: str, opening: str) -> None:
    """Write ``header`` and ``opening``, and begin the answer where the prompt for it would have ended.

    Args:
        w: where to write.
        turn: the answer.
        header: what opens the turn.
        prompted: what a prompt has behind the header, such as the tag that opens the thinking.
        opening: the template's own words that this answer starts with. Where it starts otherwise than it would have
            been prompted, the answer begins right behind the header.
    """
    w.text(header)
    given = len(prompted) if opening.startswith(prompted) else 0
    w.text(opening[:given])
    w.begin(turn)
    w.text(opening[given:])


def split_at_tags(turn: Turn, opened: str = '<think>', closed: str = '</think>') -> tuple[str, str]:
    """(thinking, answer) of a turn that has its thinking apart or between tags, without the newlines around both."""
    if turn.reasoning is not None:
        return turn.reasoning, turn.content
    if closed not in turn.content:
        return '', turn.content
    pieces = turn.content.split(closed)
    return pieces[0].strip('\n').split(opened)[-1].strip('\n'), pieces[-1].strip('\n')


def prompt_ending(c: Conversation, thinks: str, empty: str, *, is_thinking: bool, is_empty: bool) -> str:
    """What a prompt has behind the header of the answer: ``thinks``, ``empty`` or nothing."""
    if c.prompts_empty(is_empty):
        return empty
    return thinks if c.prompts_thinking(is_thinking) else ''
