"""LLaVA. Checked against the chat template that the docstring names."""

from __future__ import annotations

from swift.llm.template.conversation import Conversation
from swift.llm.template.writer import Writer
from swift.utils.errors import RowError


def write_llava(c: Conversation, w: Writer) -> None:
    """llava-1.5: roles in words, a blank behind every text; an answer has no end of its own."""
    for turn in c.turns:
        if turn.role == 'assistant':
            w.text('ASSISTANT:')
            w.begin(turn)
            w.text(' ')
            w.said(turn)
            w.end()
        else:
            w.text('' if turn.role == 'system' else f'{turn.role.upper()}: ')
            w.said(turn)
        w.text(' ')
    w.text('ASSISTANT:' if c.add_generation_prompt else '')


def write_llava_next(c: Conversation, w: Writer) -> None:
    """llava-v1.6-mistral: Mistral's instructions with Llama 2's system text, without BOS."""
    for turn in c.turns:
        if turn.role == 'system':
            w.text('<<SYS>>\n')
            w.said(turn)
            w.text('\n<</SYS>>\n\n')
        elif turn.role == 'user':
            w.text('[INST] ')
            w.said(turn)
            w.text(' [/INST]')
        elif turn.role == 'assistant':
            w.begin(turn)
            w.text(' ')
            w.said(turn)
            w.text('</s>')
            w.end()
            w.text(' ')
        else:
            raise RowError(f'LLaVA-NeXT has no place for a turn of {turn.role!r}')
