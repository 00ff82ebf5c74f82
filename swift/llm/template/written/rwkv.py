"""RWKV World. Checked against the chat template that llama.cpp gives these models."""

from __future__ import annotations

from swift.llm.template.conversation import Conversation
from swift.llm.template.writer import Writer
from swift.llm.template.written._answers import begin_behind, prompt_ending

_EMPTY = ' <think>\n</think>'


def write_rwkv_world(c: Conversation, w: Writer) -> None:
    """RWKV-World and RWKV-7: plain words, two newlines end an answer; the last system text counts, thinking between
    tags is left out."""
    enabled = c.options.get('enable_thinking')
    prompted = prompt_ending(c, ' <think>', _EMPTY, is_thinking=enabled is True, is_empty=enabled is False)
    w.text(c.bos)
    systems = [turn for turn in c.turns if turn.role == 'system']
    if systems and systems[-1].content:
        w.text('System: ')
        w.said(systems[-1])
        w.text('\n\n')
    for turn in c.turns:
        if turn.role == 'user':
            w.text('User: ')
            w.said(turn, turn.content.strip())
            w.text('\n\n')
        elif turn.role == 'assistant':
            if c.writes_empty(turn, False):
                begin_behind(w, turn, 'Assistant:', prompted, _EMPTY + '\n')
            else:
                begin_behind(w, turn, 'Assistant:', prompted, ' ')
            w.said(turn, turn.content.split('</think>')[-1].strip())
            w.text('\n\n')
            w.end()
    if c.add_generation_prompt:
        w.text('Assistant:' + prompted)
