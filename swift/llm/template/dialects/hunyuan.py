"""Calls of the Hunyuans: Hy3 and its preview as pairs, the dense ones as JSON in a code block.

Sources: chat template of tencent/Hy3 (llama.cpp models/templates). That of the preview is taken to be the same without
the mark of its tags, and that of the dense ones is from its description; both are unproven.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from swift.llm.template.conversation import Call, Conversation, Turn, tojson
from swift.llm.template.dialect import DIALECTS, Dialect, Parsed, Tools
from swift.llm.template.dialects._parsing import decode, extract
from swift.llm.template.dialects.glm import HY3, HY3_PREVIEW, PairCalls
from swift.llm.template.writer import Writer

_HEAD = ('# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with '
         'function signatures within <tools></tools> XML tags:\n<tools>\n')
_DENSE = ('\n</tools>\n\nFor function call returns, you should first print <tool_calls>\nFor each function call, you '
          'should return object like:\n<tool_call>function_name\n```json\nfunction_arguments_in_json_format\n```'
          '</tool_call>\nAt the end of function call returns, you should print </tool_calls>')
_DENSE_CALL = re.compile(r'<tool_call>\s*([^\n]+?)\s*```json\s*(.*?)\s*```\s*</tool_call>', re.DOTALL)
_DENSE_AROUND = re.compile(r'\s*</?tool_calls>\s*')


def write_pair_tools(w: Writer, tools: Tools, calls: PairCalls) -> None:
    """The paragraph of Hy3."""
    w.text(_HEAD)
    _write_definitions(w, tools)
    key, value = calls.tag('arg_key'), calls.tag('arg_value')
    end_key, end_value = calls.tag('/arg_key'), calls.tag('/arg_value')
    w.text(f'\n</tools>\n\nFor function call returns, you should first print {calls.tag("tool_calls")}\nFor each '
           f'function call, you should return object like:\n{calls.tag("tool_call")}{{function-name}}'
           f'{calls.tag("tool_sep")}\n{key}{{arg-key-1}}{end_key}\n{value}{{arg-value-1}}{end_value}\n'
           f'{key}{{arg-key-2}}{end_key}\n{value}{{arg-value-2}}{end_value}\n...\n{calls.tag("/tool_call")}\nAt the '
           f'end of function call returns, you should print {calls.tag("/tool_calls")}')


def write_pair_calls(w: Writer, turn: Turn, calls: PairCalls) -> None:
    w.text(calls.tag('tool_calls') + '\n')
    for call in turn.calls:
        calls.write(w, turn, call)
        w.text('\n')
    w.text(calls.tag('/tool_calls'))


def _write_definitions(w: Writer, tools: Tools) -> None:
    for i, tool in enumerate(tools):
        w.text('\n' if i else '')
        w.data(tojson(tool))


def _write_system(w: Writer, c: Conversation) -> None:
    if c.system is not None and c.system.content:
        w.said(c.system)
        w.text('\n\n')


def _write_preview_tools(w: Writer, c: Conversation) -> None:
    _write_system(w, c)
    write_pair_tools(w, c.tools, HY3_PREVIEW)


def _write_preview_calls(w: Writer, turn: Turn) -> None:
    write_pair_calls(w, turn, HY3_PREVIEW)


def _write_results(w: Writer, turns: Sequence[Turn]) -> None:
    w.text('<tool_responses>\n')
    for turn in turns:
        w.text('<tool_response>\n')
        w.said(turn)
        w.text('\n</tool_response>\n')
    w.text('</tool_responses>')


def _write_dense_tools(w: Writer, c: Conversation) -> None:
    _write_system(w, c)
    w.text(_HEAD)
    _write_definitions(w, c.tools)
    w.text(_DENSE)


def _write_dense_calls(w: Writer, turn: Turn) -> None:
    w.text('<tool_calls>')
    for call in turn.calls:
        w.text('<tool_call>')
        w.said(turn, call.name)
        w.text('\n```json\n')
        w.said(turn, call.text)
        w.text('\n```</tool_call>')
    w.text('</tool_calls>')


def parse_dense(text: str, tools: Tools = ()) -> Parsed:
    """``<tool_call>NAME, a code block with the arguments as JSON, </tool_call>``, any number of times."""
    def read(match: re.Match[str]) -> list[Call]:
        try:
            arguments: Any = decode(match[2])
        except ValueError:
            return []
        return [Call.of({'name': match[1], 'arguments': arguments})]

    parsed = extract(_DENSE_CALL, text, read, '</tool_call>')
    return Parsed(_DENSE_AROUND.sub('', parsed.content), parsed.calls) if parsed.calls else parsed


DIALECTS.add(Dialect('hy_v3', HY3.parse, source='tencent/Hy3 chat_template'))
DIALECTS.add(Dialect('hy_v3_preview', HY3_PREVIEW.parse, _write_preview_tools, _write_preview_calls, _write_results,
                     source='as Hy3, without its mark; unproven'))
DIALECTS.add(Dialect('hunyuan_hermes', parse_dense, _write_dense_tools, _write_dense_calls, _write_results,
                     source='the description of Hunyuan-7B-Instruct; unproven'))
