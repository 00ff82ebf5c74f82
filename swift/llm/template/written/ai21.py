"""Jamba of AI21. Checked against axolotl's rendition of its chat template."""

from __future__ import annotations

from swift.llm.template.conversation import Conversation, Turn, tojson
from swift.llm.template.writer import Writer
from swift.utils.errors import RowError


def write_jamba(c: Conversation, w: Writer) -> None:
    """Jamba 1.5: a system text always, if an empty one; the blank behind a role's token is a part of the answer.

    Raises:
        RowError: a tool is not a function.
    """
    w.text('<|startoftext|><|bom|><|system|> ')
    if c.system is not None:
        w.said(c.system)
    if c.tools:
        _write_tools(c, w)
    w.text('<|eom|>')
    for turn in c.turns[1 if c.system else 0:]:
        w.text(f'<|bom|><|{turn.role}|>')
        if turn.role == 'assistant':
            w.begin(turn)
        w.text(' ')
        if turn.name is not None:
            w.text('(')
            w.said(turn, turn.name)
            w.text(')')
        w.said(turn)
        if turn.role == 'assistant' and turn.calls:
            _write_calls(w, turn)
        w.text('<|eom|>')
        w.end()
    if c.add_generation_prompt:
        w.text('<|bom|><|assistant|>')


def _write_tools(c: Conversation, w: Writer) -> None:
    if c.system is not None and c.system.content:
        w.text('\n\n')
    w.text('<tool_definitions>\n# Tools\n\n## Functions')
    for tool in c.tools:
        kind = tool.get('type')
        if kind not in (None, 'function'):
            raise RowError(f'a tool is of type {kind!r}; Jamba knows functions only')
        w.text('\n\n')
        w.data(tojson(tool if kind is None else tool.get('function'), indent=2))
    w.text('\n</tool_definitions>')


def _write_calls(w: Writer, turn: Turn) -> None:
    w.text('<tool_calls>[\n')
    for i, call in enumerate(turn.calls):
        w.text(',\n    {"name": "' if i else '    {"name": "')
        w.said(turn, call.name)
        w.text('", "arguments": ')
        w.said(turn, call.text)
        w.text('}')
    w.text('\n]</tool_calls>')
