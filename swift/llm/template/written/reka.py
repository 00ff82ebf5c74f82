"""The template of Reka Edge."""

from __future__ import annotations

import json
from typing import Any

from swift.llm.template.conversation import Conversation, Turn
from swift.llm.template.writer import Writer
from swift.llm.template.written.chatml import EMPTY, is_result, open_answer, prompt_tail


def write_reka_edge(c: Conversation, w: Writer) -> None:
    """Reka Edge: roles as plain words, turns ended by ``<sep>``, tools as with Qwen3 but in ASCII. Thinking is written
    only with ``enable_thinking``. A system text that is not the first turn is left out."""
    enabled = c.options.get('enable_thinking') is True
    block = prompt_tail(c, empty=False, thinks=enabled)
    tail = f' {block}' if block else ''
    _write_head(c, w)
    query = _last_query(c)
    for turn in c.turns[1 if c.system else 0:]:
        if turn.role == 'user':
            w.text('human: ')
            w.said(turn)
            w.text('<sep>')
        elif turn.role == 'assistant':
            _write_answer(c, w, turn, enabled and turn.index > query, tail)
        elif turn.role == 'tool':
            _write_result(c, w, turn)
    if c.add_generation_prompt and not (c.turns and c.turns[-1].role == 'assistant'):
        w.text(f'assistant:{tail}')


def _last_query(c: Conversation) -> int:
    return max((turn.index for turn in c.turns if turn.role == 'user' and not is_result(turn.content)),
               default=len(c.turns) - 1)


def _write_head(c: Conversation, w: Writer) -> None:
    has_system = c.system is not None and bool(c.system.content)
    if not (has_system or c.tools):
        return
    w.text('system: ')
    if has_system:
        w.said(c.system)
    if c.tools:
        w.text('\n\n' if has_system else '')
        w.text('# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with '
               'function signatures within <tools></tools> XML tags:\n<tools>')
        for definition in c.tools:
            w.text('\n')
            w.data(_ascii(definition))
        w.text('\n</tools>\n\nFor each function call, return a json object with function name and arguments within '
               '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": '
               '<args-json-object>}\n</tool_call>')
    w.text('\n\n<sep>')


def _write_answer(c: Conversation, w: Writer, turn: Turn, thinks: bool, tail: str) -> None:
    reasoning, content = _split_reasoning(turn)
    w.text('assistant:')
    shown = thinks and (bool(reasoning) or turn.index == len(c.turns) - 1)
    if reasoning and c.shows_reasoning(turn, shown):
        open_answer(w, turn, ' <think>\n', tail)
        w.said(turn, reasoning.strip())
        w.text('\n</think>\n\n')
    else:
        open_answer(w, turn, f' {EMPTY}' if c.writes_empty(turn, shown) else ' ', tail)
    w.said(turn, content)
    w.text('\n' if turn.calls and content and not content.endswith('\n') else '')
    for call in turn.calls:
        w.text('<tool_call>\n{"name": "')
        w.said(turn, call.name)
        w.text('", "arguments": ')
        w.said(turn, call.text if isinstance(call.arguments, str) else _ascii(call.arguments))
        w.text('}\n</tool_call>')
    w.text('\n\n<sep>')
    w.end()


def _split_reasoning(turn: Turn) -> tuple[str, str]:
    if turn.reasoning is not None:
        return turn.reasoning, turn.content
    if '</think>' not in turn.content:
        return '', turn.content
    head, _, rest = turn.content.partition('</think>')
    return head.rstrip('\n').split('<think>')[-1].lstrip('\n'), rest.lstrip('\n')


def _write_result(c: Conversation, w: Writer, turn: Turn) -> None:
    before, after = c.preceding(turn), c.following(turn)
    w.text('human: ' if before is None or before.role != 'tool' else '')
    w.text('<tool_response>\n')
    w.said(turn)
    w.text('\n</tool_response>')
    w.text('<sep>' if after is None or after.role != 'tool' else '')


def _ascii(value: Any) -> str:
    return json.dumps(value)
