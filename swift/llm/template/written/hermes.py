"""The template of Nous Research's Hermes 2 Pro and Hermes 3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swift.llm.template.conversation import Conversation, Turn, tojson
from swift.llm.template.writer import Writer
from swift.llm.template.written.chatml import Results, end_answer, write_message
from swift.utils.errors import RowError

_BASIC = {'string': 'str', 'number': 'float', 'integer': 'int', 'boolean': 'bool'}
_TOOLS = (
    'You are a function calling AI model. You are provided with function signatures within <tools></tools> XML tags. '
    'You may call one or more functions to assist with the user query. Don\'t make assumptions about what values to '
    'plug into functions. Here are the available tools: <tools> ')
_FORMAT = (
    ' </tools>Use the following pydantic model json schema for each tool call you will make: {"properties": {"name": '
    '{"title": "Name", "type": "string"}, "arguments": {"title": "Arguments", "type": "object"}}, "required": '
    '["name", "arguments"], "title": "FunctionCall", "type": "object"}}\nFor each function call return a json object '
    'with function name and arguments within <tool_call></tool_call> XML tags as follows:\n<tool_call>\n{"name": '
    '<function-name>, "arguments": <args-dict>}\n</tool_call><|im_end|>\n')


def write_hermes(c: Conversation, w: Writer) -> None:
    """Hermes 2 Pro and Hermes 3: with tools the template that the checkpoints name "tool_use", without them their
    plain ChatML. What an answer says beside its calls is left out, as is what it thinks."""
    w.text(c.bos)
    if c.tools:
        w.text('<|im_start|>system\n')
        w.text(_TOOLS)
        for i, definition in enumerate(c.tools):
            w.text('\n' if i else '')
            _write_tool(w, definition.get('function', definition))
        w.text(_FORMAT)
    for turn in c.turns:
        if turn.role == 'assistant':
            _write_answer(w, turn)
        elif turn.role == 'tool':
            _write_result(c, w, turn)
        else:
            write_message(w, turn)
    if c.add_generation_prompt:
        w.text('<|im_start|>assistant\n')


def write_openhermes(c: Conversation, w: Writer) -> None:
    """OpenHermes 2.5: plain ChatML, whatever the roles and their order."""
    for turn in c.turns:
        if turn.role != 'assistant':
            write_message(w, turn)
            continue
        w.text('<|im_start|>assistant\n')
        w.begin(turn)
        w.said(turn)
        end_answer(w)
    if c.add_generation_prompt:
        w.text('<|im_start|>assistant\n')


def _write_answer(w: Writer, turn: Turn) -> None:
    w.text('<|im_start|>assistant\n')
    w.begin(turn)
    if not turn.calls:
        w.said(turn)
    for i, call in enumerate(turn.calls):
        w.text('\n' if i else '')
        w.text('<tool_call>\n{"name": "')
        w.said(turn, call.name)
        w.text('", "arguments": ')
        w.said(turn, call.text)
        w.text('}\n</tool_call>')
    end_answer(w)


def _write_result(c: Conversation, w: Writer, turn: Turn) -> None:
    # The publisher's template ends a turn of results without a newline, and the last result without one too.
    is_last = c.following(turn) is None
    Results('<|im_start|>tool\n', '<tool_response>\n', f'\n</tool_response>{"" if is_last else chr(10)}',
            '<|im_end|>', headless_first=True).write(c, w, turn)


def _write_tool(w: Writer, function: Mapping[str, Any]) -> None:
    """One tool as JSON with a Python signature for a description, quotes and newlines unescaped.

    Raises:
        RowError: the tool lacks what the template needs.
    """
    name, said = function.get('name'), function.get('description')
    parameters = function.get('parameters')
    if not isinstance(name, str) or not isinstance(said, str) or not isinstance(parameters, Mapping):
        raise RowError(f'this template needs name, description and parameters of a tool: {tojson(function)[:200]}')
    properties = parameters.get('properties', {})
    signature = ', '.join(f'{key}: {_python_type(fields)}' for key, fields in properties.items())
    returns = function.get('return')
    w.text('{"type": "function", "function": {"name": "')
    w.data(name)
    w.text('", "description": "')
    w.data(f'{name}({signature})')
    w.data(f' -> {_python_type(returns)}' if 'return' in function else '')
    w.data(f' - {said}\n\n')
    w.text('    Args:\n' if properties else '')
    for key, fields in properties.items():
        described = fields.get('description', '') if isinstance(fields, Mapping) else ''
        w.data(f'        {key}({_python_type(fields)}): {str(described).strip()}')
    if isinstance(returns, Mapping) and 'description' in returns:
        w.data(f'\n    Returns:\n        {returns["description"]}')
    w.text('", "parameters": ')
    w.data(tojson(parameters) if properties else '{}')
    w.text('}')


def _python_type(spec: Any) -> str:
    """A JSON schema as a Python type, with the oddities of the publisher's template: lists have no type of items.

    Raises:
        RowError: the type is none that the template knows.
    """
    kind = spec.get('type', ()) if isinstance(spec, Mapping) else ()
    if isinstance(kind, str):
        if kind in _BASIC:
            return _BASIC[kind]
        if kind == 'array':
            return 'list[Union[]]'
        if kind == 'object':
            is_open = 'additionalProperties' in spec
            return f'dict[str, {_python_type(spec["additionalProperties"])}]' if is_open else 'dict'
        raise RowError(f'this template knows no type {kind!r} for the argument of a tool; it knows '
                       f'{", ".join((*_BASIC, "array", "object"))}')
    if not isinstance(kind, (list, tuple)):
        return 'Any'
    return f'Union[{",".join(_python_type({"type": one}) for one in kind)}]'
