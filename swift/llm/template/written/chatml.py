"""What templates on ChatML's markup share: turns, answers that may think, results of tools. Registers nothing."""

from __future__ import annotations

import os.path
from dataclasses import dataclass

from swift.llm.template.conversation import Conversation, Turn
from swift.llm.template.writer import Writer

THINK = '<think>\n'
CLOSE = '\n</think>\n\n'
EMPTY = THINK + CLOSE


@dataclass(frozen=True)
class Results:
    """How the results of tools stand in one turn: ``header`` (``before`` result ``after``)* ``footer``.

    Attributes:
        headless_first: results at the very start of a conversation get no header, as some publishers have it.
        strip: results lose the white space around them.
    """

    header: str = '<|im_start|>user'
    before: str = '\n<tool_response>\n'
    after: str = '\n</tool_response>'
    footer: str = '<|im_end|>\n'
    headless_first: bool = False
    strip: bool = False

    def write(self, c: Conversation, w: Writer, turn: Turn, first: int = 0) -> None:
        """Write one result; ``first`` is the index of the turn that counts as the start of the conversation."""
        before, after = c.preceding(turn), c.following(turn)
        opens = not self.headless_first if turn.index == first else before.role != 'tool'
        w.text(self.header if opens else '')
        w.text(self.before)
        w.said(turn, turn.content.strip() if self.strip else turn.content)
        w.text(self.after)
        w.text(self.footer if after is None or after.role != 'tool' else '')


QWEN_RESULTS = Results()


def write_message(w: Writer, turn: Turn, content: str | None = None, role: str | None = None) -> None:
    """A turn that is no answer."""
    w.text(f'<|im_start|>{role or turn.role}\n')
    w.said(turn, content)
    w.text('<|im_end|>\n')


def end_answer(w: Writer) -> None:
    w.text('<|im_end|>')
    w.end()
    w.text('\n')


def open_answer(w: Writer, turn: Turn, opening: str, prompt: str, content: str = '') -> None:
    """Write ``opening`` + ``content`` with the start of the answer where ``prompt``, the end of a generation prompt,
    stops being what is written; never inside of a tag."""
    common = os.path.commonprefix([opening + content, prompt])
    shared = 1 + max(common.rfind('>'), common.rfind('\n'))
    inside = max(shared - len(opening), 0)  # an author may have written himself what the prompt ends with
    w.text(opening[:shared])
    w.text(content[:inside])
    w.begin(turn)
    w.text(opening[shared:])
    w.said(turn, content[inside:])


def write_reasoning(w: Writer, turn: Turn, reasoning: str, prompt: str, close: str = CLOSE) -> None:
    """Start an answer with its thinking between tags."""
    open_answer(w, turn, THINK, prompt)
    w.said(turn, reasoning)
    w.text(close)


def prompt_tail(c: Conversation, *, empty: bool, thinks: bool, block: str = EMPTY, opened: str = THINK) -> str:
    """What a generation prompt ends with, behind the header of the answer.

    Args:
        empty: the publisher's template writes an empty block of thinking here.
        thinks: else it opens the thinking.
    """
    if c.prompts_empty(empty):
        return block
    return opened if c.prompts_thinking(thinks and not empty) else ''


def split_reasoning(turn: Turn, content: str | None = None) -> tuple[str, str]:
    """(thinking, answer): the thinking stands apart, or between tags in front of the answer."""
    content = turn.content if content is None else content
    if turn.reasoning is not None:
        return turn.reasoning, content
    if '</think>' not in content:
        return '', content
    head, *_, tail = content.split('</think>')
    return head.rstrip('\n').split('<think>')[-1].lstrip('\n'), tail.lstrip('\n')


def last_query(c: Conversation, strip: bool = False) -> int:
    """Index of the last question that is no result of a tool written as one; the last turn where there is none."""
    return max((turn.index for turn in c.turns
                if turn.role == 'user' and not is_result(turn.content.strip() if strip else turn.content)),
               default=len(c.turns) - 1)


def is_result(content: str) -> bool:
    return content.startswith('<tool_response>') and content.endswith('</tool_response>')
