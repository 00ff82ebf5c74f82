"""Spark of iFLYTEK. Checked against the chat template of the checkpoint."""

from __future__ import annotations

from swift.llm.template.conversation import Conversation, Turn, tojson
from swift.llm.template.dialects.glm import GLM4_7
from swift.llm.template.writer import Writer
from swift.llm.template.written._answers import begin_behind, prompt_ending
from swift.utils.errors import RowError

_START, _END = '<｜start▁of▁sentence｜>', '<｜end▁of▁sentence｜>'


def write_spark2_5(c: Conversation, w: Writer) -> None:
    """Spark 2.5: a system text of its own in front of the row's; every answer shows its thinking, or that it has none.

    Raises:
        RowError: the conversation is empty.
    """
    if not c.turns:
        raise RowError('the conversation is empty')
    enabled = bool(c.options.get('enable_thinking', True))
    prompted = prompt_ending(c, '<think>', '</think>', is_thinking=enabled, is_empty=not enabled)
    w.text(f'{_START}<|System|>\nyou are a helpful assistant.')
    if c.tools:
        w.text('## Tools\nYou have access to the following functions:\n<tools>')
        for tool in c.tools:
            w.text('\n')
            w.data(tojson(tool.get('function')))
        w.text('\n</tools>')
    if c.system is not None and c.system.content:
        w.text('\n\n')
        w.said(c.system)
    w.text(_END)
    for turn in c.turns[1 if c.system else 0:]:
        if turn.role == 'assistant':
            _write_answer(c, w, turn, prompted)
        elif turn.role == 'tool':
            before, after = c.preceding(turn), c.following(turn)
            w.text(f'{_START}<|Tool|>' if before is None or before.role != 'tool' else '')
            w.text('<tool_response>')
            w.said(turn)
            w.text('</tool_response>')
            w.text(_END if after is None or after.role != 'tool' else '')
        else:
            w.text(f'{_START}<|User|>' if turn.role == 'user' else f'{_START}<|System|>\n')
            w.said(turn)
            w.text(_END)
    if c.add_generation_prompt:
        w.text(f'{_START}<|Bot|>' + prompted)


def _write_answer(c: Conversation, w: Writer, turn: Turn, prompted: str) -> None:
    header = f'{_START}<|Bot|>'
    if turn.reasoning and c.shows_reasoning(turn, True):
        begin_behind(w, turn, header, prompted, '<think>')
        w.said(turn, turn.reasoning)
        w.text('</think>')
    else:
        begin_behind(w, turn, header, prompted, '</think>' if c.writes_empty(turn, True) else '')
    w.said(turn)
    for call in turn.calls:
        GLM4_7.write(w, turn, call)
    w.text(_END)
    w.end()
