"""Calls of MiniCPM3 (lines of Python) and MiniCPM5 (XML)."""

from __future__ import annotations

import ast
import re
from functools import partial
from typing import Any

from swift.llm.template.conversation import Call, Conversation, Turn, tojson
from swift.llm.template.dialect import DIALECTS, Dialect, Parsed, Tools
from swift.llm.template.dialects._parsing import extract, properties_of, typed
from swift.llm.template.dialects.hermes import write_results
from swift.llm.template.dialects.qwen3_coder import named_arguments
from swift.llm.template.writer import Writer

_XML_CALL = re.compile(r'<function\s+name="([^"]+)">(.*?)</function>', re.DOTALL)
_PARAM = re.compile(r'\s*<param\s+name="([^"]+)">(?:<!\[CDATA\[(.*?)\]\]>|(.*?))</param>\s*', re.DOTALL)
_PYTHON_CALLS = re.compile(r'<\|tool_call_start\|>\s*(?:```python)?(.*?)(?:```)?\s*<\|tool_call_end\|>\n?',
                           re.DOTALL)
_THOUGHT = re.compile(r'<\|thought_start\|>.*?<\|thought_end\|>\n?', re.DOTALL)
_JSON_NAMES = {'true': True, 'false': False, 'null': None}


def parse_minicpm5(text: str, tools: Tools = ()) -> Parsed:
    """``<function name="NAME"><param name="KEY">value</param></function>``; types by ``tools``."""
    return extract(_XML_CALL, text, partial(_read_xml, tools), '</function>')


def _read_xml(tools: Tools, match: re.Match[str]) -> list[Call]:
    name, body = match[1], match[2]
    if _PARAM.sub('', body).strip():
        return []
    schemas = properties_of(tools, name)
    values = {key: quoted if quoted else typed(plain, schemas.get(key)) for key, quoted, plain in _PARAM.findall(body)}
    return [Call(name, values, tojson(values))]


def write_minicpm5_tools(w: Writer, tools: Tools) -> None:
    """The paragraph with which MiniCPM5 introduces its tools. Source: MiniCPM5 chat_template.jinja."""
    w.text('# Tools\n\nYou are provided with function signatures within <tools></tools> XML tags:\n<tools>')
    for definition in tools:
        w.text('\n')
        w.data(tojson(definition))
    w.text('\n</tools>\n\nTool usage guidelines:\n- You may call zero or more functions. If no function calls are '
           'needed, just answer normally and do not include any <function ... </function>.\n- When calling a function, '
           'return an XML object within <function ... </function> using:\n<function name="function-name"><param '
           'name="param-name">param-value</param></function>\n- param-value may be multi-line. If it contains <, & or '
           'newline characters, wrap it in a CDATA block: <param name="param-name"><![CDATA[...multi-line '
           'value...]]></param>')


def write_minicpm5_call(w: Writer, turn: Turn, call: Call) -> None:
    """Raises RowError where the arguments are no object."""
    w.text('<function name="')
    w.said(turn, call.name)
    w.text('">')
    for key, value in named_arguments(call).items():
        is_quoted = isinstance(value, str) and any(mark in value for mark in '<&\n')
        w.text('<param name="')
        w.said(turn, key)
        w.text('"><![CDATA[' if is_quoted else '">')
        w.said(turn, str(value))
        w.text(']]></param>' if is_quoted else '</param>')
    w.text('</function>')


def parse_minicpm3(text: str, tools: Tools = ()) -> Parsed:
    """Lines such as ``name(key="value", n=1)`` between ``<|tool_call_start|>`` and ``<|tool_call_end|>``."""
    parsed = extract(_PYTHON_CALLS, text, lambda match: _read_python(match[1]))
    return Parsed(_THOUGHT.sub('', parsed.content), parsed.calls)


def _read_python(code: str) -> list[Call]:
    try:
        lines = ast.parse(code.strip()).body
        return [_call_of(line) for line in lines]
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return []


def _call_of(line: ast.stmt) -> Call:
    """Raises ValueError where ``line`` is no call with named values."""
    call = line.value if isinstance(line, ast.Expr) else None
    if not isinstance(call, ast.Call) or call.args or not isinstance(call.func, (ast.Name, ast.Attribute)):
        raise ValueError('no call')
    values = {_known(keyword.arg): _value(keyword.value) for keyword in call.keywords}
    return Call(ast.unparse(call.func), values, tojson(values))


def _known(name: str | None) -> str:
    if name is None:
        raise ValueError('an argument without a name')
    return name


def _value(node: ast.expr) -> Any:
    """A value as JSON or Python writes it."""
    match node:
        case ast.Name(id=name) if name in _JSON_NAMES:
            return _JSON_NAMES[name]
        case ast.List(elts=items):
            return [_value(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            return {_value(key): _value(value) for key, value in zip(keys, values, strict=True)}
        case _:
            return ast.literal_eval(node)


def _write_tools(w: Writer, c: Conversation) -> None:
    if c.system is not None:
        w.said(c.system)
        w.text('\n\n')
    write_minicpm5_tools(w, c.tools)


def _write_calls(w: Writer, turn: Turn) -> None:
    for i, call in enumerate(turn.calls):
        w.text('\n' if i or turn.content else '')
        write_minicpm5_call(w, turn, call)


DIALECTS.add(Dialect('minicpm5', parse_minicpm5, _write_tools, _write_calls, write_results,
                     source='MiniCPM5 chat_template.jinja (OpenBMB)'))
DIALECTS.add(Dialect('minicpm3', parse_minicpm3,
                     source='OpenBMB/MiniCPM demo/minicpm3/function_call/minicpm_chat_template_with_tool.jinja'))
