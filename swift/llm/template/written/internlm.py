"""The template of InternLM2."""

from __future__ import annotations

from swift.llm.template.conversation import Conversation, Turn, tojson
from swift.llm.template.writer import Writer
from swift.llm.template.written.chatml import end_answer, write_message
from swift.utils.errors import RowError


def write_internlm2(c: Conversation, w: Writer) -> None:
    """InternLM2 and InternLM2.5: ChatML behind a BOS; tools in a second system turn, calls between tokens of their
    own, results as words of the environment."""
    w.text(c.bos)
    if c.system is not None:
        write_message(w, c.system)
    if c.tools:
        w.text('<|im_start|>system name=<|plugin|>\n[')
        for i, definition in enumerate(c.tools):
            w.text(', ' if i else '')
            w.data(tojson(definition.get('function', definition)))
        w.text(']<|im_end|>\n')
    for turn in c.turns[1 if c.system else 0:]:
        if turn.role == 'user':
            write_message(w, turn)
        elif turn.role == 'assistant':
            _write_answer(w, turn)
        elif turn.role == 'tool':
            write_message(w, turn, role='environment name=<|plugin|>')
        else:
            raise RowError(f'this template takes a system text at the beginning only, but turn {turn.index} is another')
    if c.add_generation_prompt:
        w.text('<|im_start|>assistant\n')


def _write_answer(w: Writer, turn: Turn) -> None:
    w.text('<|im_start|>assistant\n')
    w.begin(turn)
    w.said(turn)
    for call in turn.calls:
        w.text('<|action_start|><|plugin|>\n{"name": "')
        w.said(turn, call.name)
        w.text('", "arguments": ')
        w.said(turn, call.text)
        w.text('}<|action_end|>')
    end_answer(w)
