"""Calls as JSON between XML tags: Hermes 2 Pro, and after it Qwen2.5, Qwen3 and many others."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from swift.llm.template.conversation import Call, Conversation, Turn, tojson
from swift.llm.template.dialect import DIALECTS, Dialect, Parsed, Tools
from swift.llm.template.dialects._parsing import call_of, extract, literal
from swift.llm.template.writer import Writer

_CALL = re.compile(r'<tool_call>\s*(.*?)\s*</tool_call>', re.DOTALL)


def parse(text: str, tools: Tools = ()) -> Parsed:
    """``<tool_call>{"name": ..., "arguments": {...}}</tool_call>``, any number of times."""
    return extract(_CALL, text, _read, '</tool_call>')


def _read(match: re.Match[str]) -> list[Call]:
    try:
        return call_of(literal(match[1]))
    except ValueError:
        return []


def write_qwen_tools(w: Writer, c: Conversation, tool: Callable[[Mapping[str, Any]], str] = tojson) -> None:
    """The paragraph with which Qwen2.5 and Qwen3 introduce their tools, behind the system text.

    Source: tokenizer_config.json of Qwen2.5 and Qwen3.
    """
    if c.system is not None:
        w.said(c.system)
        w.text('\n\n')
    w.text('# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with '
           'function signatures within <tools></tools> XML tags:\n<tools>')
    for definition in c.tools:
        w.text('\n')
        w.data(tool(definition))
    w.text('\n</tools>\n\nFor each function call, return a json object with function name and arguments within '
           '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": '
           '<args-json-object>}\n</tool_call>')


def write_call(w: Writer, turn: Turn, call: Call) -> None:
    w.text('<tool_call>\n{"name": "')
    w.said(turn, call.name)
    w.text('", "arguments": ')
    w.said(turn, call.text)
    w.text('}\n</tool_call>')


def write_calls(w: Writer, turn: Turn, after: str | None = None) -> None:
    """The calls of an answer, each on a line of its own behind ``after``, the rest of the answer (its content)."""
    after = turn.content if after is None else after
    for i, call in enumerate(turn.calls):
        w.text('\n' if i or after else '')
        write_call(w, turn, call)


def write_results(w: Writer, turns: Sequence[Turn]) -> None:
    for i, turn in enumerate(turns):
        w.text('\n' if i else '')
        w.text('<tool_response>\n')
        w.said(turn)
        w.text('\n</tool_response>')


def _write_youtu_tools(w: Writer, c: Conversation) -> None:
    if c.system is not None and c.system.content:
        w.said(c.system)
        w.text('\n\n')
    w.text('<|begin_of_tool_description|>Tool calling capabilities.\nYou may call one or more functions to assist '
           'with the user query. You have the following functions available:')
    for definition in c.tools:
        w.text('\n```json\n')
        w.data(tojson(definition))
        w.text('\n```')
    w.text('\nFor tool call returns, you MUST use the following format:\n<tool_call>{"name": "function-name", '
           '"arguments": {"param1": "value1", "param2": "value2"}}</tool_call>\n<|end_of_tool_description|>')


def _write_youtu_calls(w: Writer, turn: Turn) -> None:
    for call in turn.calls:
        w.text('<tool_call>{"name": "')
        w.said(turn, call.name)
        w.text('", "arguments": ')
        w.said(turn, call.text)
        w.text('}</tool_call>')


def _write_youtu_results(w: Writer, turns: Sequence[Turn]) -> None:
    for i, turn in enumerate(turns):
        w.text('\n<tool_response>' if i else '<tool_response>')
        w.said(turn)
        w.text('</tool_response>')


DIALECTS.add(Dialect('hermes', parse, write_qwen_tools, write_calls, write_results,
                     source='Hermes-Function-Calling (NousResearch); Qwen2.5 tokenizer_config.json'))
DIALECTS.add(Dialect('youtu', parse, _write_youtu_tools, _write_youtu_calls, _write_youtu_results,
                     source='agent template "youtu" of SWIFT 4 (Youtu-LLM)'))
