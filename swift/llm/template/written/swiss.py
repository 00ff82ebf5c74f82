"""Apertus of the Swiss AI Initiative. Checked against the chat templates that each docstring names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swift.llm.template.conversation import Conversation, Turn, tojson
from swift.llm.template.writer import Writer
from swift.utils.errors import RowError

_Schema = Mapping[str, Any]


def write_apertus(c: Conversation, w: Writer) -> None:
    """Apertus-Instruct: answers, calls and results in a row share one turn, which only the next question closes; tools
    as TypeScript; reasoning has no place beside a content that is text."""
    w.text(c.bos)
    w.text('<|system_start|>')
    if c.system is not None:
        w.said(c.system)
    else:
        w.text('You are Apertus, a helpful assistant created by the SwissAI initiative.\nKnowledge cutoff: 2024-04\n'
               f'Current date: {c.now.strftime("%Y-%m-%d")}')
    w.text('<|system_end|>')
    _write_developer(c, w)
    in_answer = in_results = False
    for turn in c.turns[1 if c.system else 0:]:
        if in_results and turn.role != 'tool':
            w.text(']')
            in_results = False
        if turn.role == 'user':
            w.text('<|assistant_end|>' if in_answer else '')
            in_answer = False
            w.text('<|user_start|>')
            w.said(turn)
            w.text('<|user_end|>')
        elif turn.role == 'assistant':
            w.text('' if in_answer else '<|assistant_start|>')
            in_answer = _write_answer(c, w, turn)
        elif turn.role == 'tool':
            if not in_answer:
                raise RowError(f'a result stands inside the answer that called the tool, but turn {turn.index} follows '
                               'no answer')
            w.text(', ' if in_results else '[')
            w.said(turn)
            in_results = True
        else:
            raise RowError(f'Apertus has no place for a turn of {turn.role!r} after the first one')
    w.text(']' if in_results else '')
    w.text('<|assistant_start|>' if c.add_generation_prompt else '')


def _write_answer(c: Conversation, w: Writer, turn: Turn) -> bool:
    """Write an answer; gives whether its turn goes on."""
    w.begin(turn)
    w.said(turn)
    for i, call in enumerate(turn.calls):
        w.text(', {"' if i else '<|tools_prefix|>[{"')
        w.said(turn, call.name)
        w.text('": ')
        w.said(turn, call.text)
        w.text('}')
    w.text(']<|tools_suffix|>' if turn.calls else '')
    following = c.following(turn)
    is_over = following is not None and following.role == 'user'
    w.text('<|assistant_end|>' if is_over else '')
    w.end()
    return not is_over


def _write_developer(c: Conversation, w: Writer) -> None:
    w.text('<|developer_start|>Deliberation: ')
    w.text('enabled\n' if c.options.get('enable_thinking') else 'disabled\n')
    w.text('Tool Capabilities:\n' if c.tools else 'Tool Capabilities: disabled')
    w.data('\n'.join(_declaration(tool['function']) for tool in c.tools))
    w.text('<|developer_end|>')


# -- a function as TypeScript; line breaks and blanks follow the published template ----------------------------------

def _declaration(function: _Schema) -> str:
    comment = f'// {function["description"]}\n' if 'description' in function else ''
    parameters = function.get('parameters') or {}
    if not parameters.get('properties'):
        return f'{comment}type {function["name"]} = () => any;'
    fields = ',\n'.join(_parameter(name, schema, name in (parameters.get('required') or []))
                        for name, schema in parameters['properties'].items())
    return f'{comment}type {function["name"]} = (_: {{\n{fields}\n}}) => any;'


def _parameter(name: str, schema: _Schema, is_required: bool) -> str:
    comment = f'// {schema["description"]}\n' if schema.get('description') else ''
    return f'{comment}{name}{"" if is_required else "?"}: {_type(schema)}{_default(schema)}'


def _default(schema: _Schema) -> str:
    if 'default' not in schema:
        return ''
    if schema.get('enum'):
        return f', // default: {schema["default"]}'
    if schema.get('oneOf'):
        return f'// default: {schema["default"]}'
    return f', // default: {tojson(schema["default"])}'


_SIMPLE = {'number': 'number', 'integer': 'number', 'boolean': 'boolean'}


def _type(schema: _Schema) -> str:
    kind = schema.get('type')
    or_null = ' | null' if schema.get('nullable') else ''
    if kind == 'array':
        return _array(schema) + or_null
    if isinstance(kind, list) and kind:
        return ' | '.join(kind)
    if schema.get('oneOf'):
        return ' | \n'.join(_option(option) for option in schema['oneOf'])
    if kind == 'string':
        return ' | '.join(f'"{value}"' for value in schema['enum']) if schema.get('enum') else f'string{or_null}'
    if kind == 'object':
        return _object(schema)
    return _SIMPLE.get(kind, 'any')


def _array(schema: _Schema) -> str:
    items = schema.get('items')
    if not items:
        return 'any[]'
    inner = {'string': 'string', **_SIMPLE}.get(items.get('type')) if isinstance(items.get('type'), str) else None
    if inner is None:
        inner = _type(items)
    return 'any[]' if inner == 'object | object' or len(inner) > 50 else f'{inner}[]'


def _option(schema: _Schema) -> str:
    comment = f'// {schema["description"]}' if schema.get('description') else ''
    default = f'{" " * 20}// default: {tojson(schema["default"])}' if 'default' in schema else ''
    return _type(schema) + comment + default


def _object(schema: _Schema) -> str:
    if not schema.get('properties'):
        return 'object'
    required = schema.get('required') or []
    fields = ', '.join(f'{name}{"" if name in required else "?"}: \n{" " * 16}{_type(field)}'
                       for name, field in schema['properties'].items())
    return f'{{\n{fields}}}'
