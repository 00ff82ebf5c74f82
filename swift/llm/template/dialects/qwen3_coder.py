"""Calls as XML whose values stand as bare text: Qwen3-Coder, Qwen3.5 and later, Step-3.5, Nemotron 3."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from swift.llm.template.conversation import Call, Conversation, Turn, tojson
from swift.llm.template.dialect import DIALECTS, Dialect, Parsed, Tools
from swift.llm.template.dialects._parsing import extract, properties_of, typed
from swift.llm.template.dialects.hermes import write_results
from swift.llm.template.writer import Writer
from swift.utils.errors import RowError

_CALL = re.compile(r'<tool_call>\s*<function=([^>\n]+)>(.*?)</function>\s*</tool_call>', re.DOTALL)
_PARAMETER = re.compile(r'<parameter=([^>\n]+)>\n?(.*?)\n?</parameter>(?=\s*(?:<parameter=|$))', re.DOTALL)

FORMAT = (
    '\n\nIf you choose to call a function ONLY reply in the following format with NO suffix:\n\n<tool_call>\n'
    '<function=example_function_name>\n<parameter=example_parameter_1>\nvalue_1\n</parameter>\n'
    '<parameter=example_parameter_2>\nThis is the value for the second parameter\nthat can span\nmultiple lines\n'
    '</parameter>\n</function>\n</tool_call>\n\n<IMPORTANT>\nReminder:\n- Function calls MUST follow the specified '
    'format: an inner <function=...></function> block must be nested within <tool_call></tool_call> XML tags\n'
    '- Required parameters MUST be specified\n- You may provide optional reasoning for your function call in natural '
    'language BEFORE the function call, but NOT after\n- If there is no function call available, answer the question '
    'like normal with your current knowledge and do not tell the user about function calls\n</IMPORTANT>')


def parse(text: str, tools: Tools = ()) -> Parsed:
    """``<tool_call><function=NAME><parameter=KEY>value</parameter></function></tool_call>``; types by ``tools``."""
    return extract(_CALL, text, partial(_read, tools), '</tool_call>')


def _read(tools: Tools, match: re.Match[str]) -> list[Call]:
    name, body = match[1].strip(), match[2]
    if _PARAMETER.sub('', body).strip():
        return []
    schemas = properties_of(tools, name)
    values = {key.strip(): typed(value, schemas.get(key.strip())) for key, value in _PARAMETER.findall(body)}
    return [Call(name, values, tojson(values))]


def python_value(value: Any) -> str:
    """A value as Qwen3-Coder and Qwen3.5 write it: text as it is, containers as JSON, other scalars as in Python."""
    return tojson(value) if isinstance(value, (Mapping, list, tuple)) else str(value)


def json_value(value: Any) -> str:
    """A value as Qwen3.6 writes it: text as it is, all else as JSON."""
    return value if isinstance(value, str) else tojson(value)


def write_call(w: Writer, turn: Turn, call: Call, value: Callable[[Any], str] = python_value) -> None:
    """One call between its tags, without what stands around it.

    Raises:
        RowError: the arguments are no object.
    """
    w.text('<tool_call>\n<function=')
    w.said(turn, call.name)
    w.text('>\n')
    for key, argument in named_arguments(call).items():
        w.text('<parameter=')
        w.said(turn, key)
        w.text('>\n')
        w.said(turn, value(argument))
        w.text('\n</parameter>\n')
    w.text('</function>\n</tool_call>')


def named_arguments(call: Call) -> Mapping[str, Any]:
    """Raises RowError where a call's arguments are no object, so that they can't be written one by one."""
    if call.arguments is None:
        return {}
    if not isinstance(call.arguments, Mapping):
        raise RowError(f'the arguments of the call of {call.name!r} are {call.text[:80]!r}; this template writes them '
                       'one by one and needs an object')
    return call.arguments


def write_json_tools(w: Writer, c: Conversation) -> None:
    """The paragraph with which Qwen3.5 introduces its tools, in front of the system text.

    Source: Qwen3.5 chat_template.jinja.
    """
    w.text('# Tools\n\nYou have access to the following functions:\n\n<tools>')
    for definition in c.tools:
        w.text('\n')
        w.data(tojson(definition))
    w.text('\n</tools>')
    w.text(FORMAT)
    if c.system is not None and c.system.content.strip():
        w.text('\n\n')
        w.said(c.system, c.system.content.strip())


def write_xml_tools(w: Writer, c: Conversation) -> None:
    """The paragraph with which Qwen3-Coder introduces its tools, behind the system text.

    Source: the chat template of Qwen3-Coder as its publisher has it now ("functions"; earlier ones say "tools").
    """
    if c.system is None:
        w.text('You are Qwen, a helpful AI assistant that can interact with a computer to solve tasks.')
    else:
        w.said(c.system)
    w.text('\n\n# Tools\n\nYou have access to the following functions:\n\n')
    write_definitions(w, c.tools)
    w.text(FORMAT)


def write_definitions(w: Writer, tools: Tools, required_last: bool = False) -> None:
    """Tools as XML.

    Args:
        required_last: what is required, and the choices of an argument, have tags of their own, as with Nemotron 3.
    """
    w.text('<tools>')
    for definition in tools:
        function = definition.get('function', definition)
        w.text('\n<function>\n<name>')
        w.data(_text(function.get('name', '')))
        w.text('</name>')
        _write_tag(w, function, 'description', lambda text: _text(text).strip())
        w.text('\n<parameters>')
        parameters = function.get('parameters')
        properties = parameters.get('properties') if isinstance(parameters, Mapping) else None
        for name, fields in properties.items() if isinstance(properties, Mapping) else ():
            _write_parameter(w, name, fields, required_last)
        _write_rest(w, parameters, {'type', 'properties', *(('required',) if required_last else ())})
        if required_last:
            _write_tag(w, parameters, 'required', tojson)
        w.text('\n</parameters>')
        _write_rest(w, function, {'type', 'name', 'description', 'parameters'})
        w.text('\n</function>')
    w.text('\n</tools>')


def _write_parameter(w: Writer, name: str, fields: Any, enum_apart: bool) -> None:
    w.text('\n<parameter>\n<name>')
    w.data(name)
    w.text('</name>')
    _write_tag(w, fields, 'type', str)
    _write_tag(w, fields, 'description', lambda text: _text(text).strip())
    if enum_apart:
        _write_tag(w, fields, 'enum', tojson)
    _write_rest(w, fields, {'name', 'type', 'description', *(('enum',) if enum_apart else ())})
    w.text('\n</parameter>')


def _write_rest(w: Writer, fields: Any, known: set[str]) -> None:
    for key in fields if isinstance(fields, Mapping) else ():
        if key not in known:
            _write_tag(w, fields, key, python_value)


def _write_tag(w: Writer, fields: Any, key: str, spoken: Callable[[Any], str]) -> None:
    if isinstance(fields, Mapping) and key in fields:
        w.data(f'\n<{key}>{spoken(fields[key])}</{key}>')


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _write_calls(w: Writer, turn: Turn, *, behind_content: str) -> None:
    """``behind_content`` stands between what an answer says and its first call."""
    for i, call in enumerate(turn.calls):
        w.text('\n' if i else behind_content if turn.content.strip() else '')
        write_call(w, turn, call)


def _write_coder_results(w: Writer, turns: Sequence[Turn]) -> None:
    for turn in turns:
        w.text('<tool_response>\n')
        w.said(turn)
        w.text('\n</tool_response>\n')


DIALECTS.add(Dialect('qwen3_coder', parse, write_xml_tools, partial(_write_calls, behind_content='\n\n'),
                     _write_coder_results, source='Qwen3-Coder tokenizer_config.json'))
DIALECTS.add(Dialect('qwen3_5', parse, write_json_tools, partial(_write_calls, behind_content='\n\n'),
                     write_results, source='Qwen3.5 chat_template.jinja'))
