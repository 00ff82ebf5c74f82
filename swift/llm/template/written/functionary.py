"""MeetKai's Functionary on Llama 3. Checked against the chat templates that each docstring names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from swift.llm.template.conversation import Conversation, Turn, tojson
from swift.llm.template.writer import Writer
from swift.utils.errors import RowError

_Schema = Mapping[str, Any]


def write_functionary_v3_1(c: Conversation, w: Writer) -> None:
    """functionary-medium-v3.1: calls between tags that name the function. The definitions of tools are escaped as in
    HTML, which is what the published template comes to."""
    runs_code = any(tool.get('type') == 'code_interpreter' for tool in c.tools)
    tools = [tool for tool in c.tools if tool.get('type') != 'code_interpreter']
    w.text(c.bos)
    _write_header(w, 'system')
    w.text('Environment: ipython\n\n' if runs_code else '\n')
    w.text('Cutting Knowledge Date: December 2023\n\n')
    if tools:
        w.text('\nYou have access to the following functions:\n\n')
        for tool in tools:
            _write_described(w, tool.get('function', tool))
        w.text(_V3_1_FORMAT)
    w.text('<|eot_id|>')
    for turn in c.turns:
        _write_header(w, 'ipython' if turn.role == 'tool' else turn.role)
        if turn.role == 'assistant':
            w.begin(turn)
        w.said(turn)
        for call in turn.calls:
            if call.name == 'python':
                w.text('<|python_tag|>')
                w.said(turn, call.text)
                continue
            w.text('<function=')
            w.said(turn, call.name)
            w.text('>')
            w.said(turn, call.text)
            w.text('</function>')
        w.text('<|eom_id|>' if turn.calls else '<|eot_id|>')
        w.end()
    if c.add_generation_prompt:
        _write_header(w, 'assistant')


def _write_described(w: Writer, function: _Schema) -> None:
    if 'description' not in function:
        raise RowError(f'Functionary describes tools in words, but {function.get("name")!r} has no "description"')
    w.text("Use the function '")
    w.data(_escaped(function['name']))
    w.text("' to '")
    w.data(_escaped(function['description']))
    w.text("'\n")
    w.data(_escaped(tojson(function)))
    w.text('\n\n')


def _escaped(text: str) -> str:
    return escape(text, quote=False).replace('"', '&#34;').replace("'", '&#39;')


def _write_header(w: Writer, role: str) -> None:
    w.text(f'<|start_header_id|>{role}<|end_header_id|>\n\n')


def write_functionary_v3_2(c: Conversation, w: Writer) -> None:
    """functionary-medium-v3.2: tools as TypeScript; every part of an answer names who it is for behind ``>>>``, the
    first of which the prompt has."""
    w.text(c.bos)
    _write_header(w, 'system')
    w.text(_V3_2_HEAD)
    for tool in c.tools:
        w.data(_declaration(tool.get('function') or tool))
    w.text('} // namespace functions<|eot_id|>')
    if any(tool.get('type') == 'code_interpreter' for tool in c.tools):
        _write_header(w, 'system')
        w.text(_V3_2_PYTHON)
    for turn in c.turns:
        _write_header(w, turn.role)
        if turn.role == 'assistant':
            _write_addressed(w, turn)
        else:
            w.said(turn)
        w.text('<|eot_id|>')
        w.end()
    if c.add_generation_prompt:
        _write_header(w, 'assistant')
        w.text('>>>')


def _write_addressed(w: Writer, turn: Turn) -> None:
    parts = [('all', turn.content)] if turn.content else []
    parts += [(call.name, call.text) for call in turn.calls]
    for i, (recipient, text) in enumerate(parts):
        w.text('>>>')
        if i == 0:
            w.begin(turn)
        w.said(turn, recipient)
        w.text('\n')
        w.said(turn, text)
    if not parts:
        w.begin(turn)


# -- a function as TypeScript; how values and optional parts are written follows the published template ---------------

def _declaration(function: _Schema) -> str:
    name, parameters = function.get('name'), function.get('parameters') or {}
    if not name:
        return ''
    head = f'// {function.get("description", "")}\ntype {name}'
    if not parameters.get('properties'):
        return f'{head} = () => any;\n\n'
    return f'{head} = (_: {{{_fields(parameters["properties"], parameters.get("required", []), 0)}\n}}) => any;\n\n'


def _fields(properties: _Schema, required: Sequence[str], depth: int) -> str:
    return ''.join(_field(name, schema, name in required, depth)
                   for name, schema in properties.items() if isinstance(schema, Mapping))


def _field(name: str, schema: _Schema, is_required: bool, depth: int) -> str:
    start = '\n' + '    ' * depth
    comment = _comment(schema)
    examples = [f'Example {name}:', *schema['examples']] if 'examples' in schema else []
    examples_text = ''.join(f'{start}// {example}'.replace("'", '"') for example in examples)
    key = name if is_required else f'{name}?'
    kind = _type(schema)
    head = (start + comment if comment else '') + examples_text
    if kind == 'object':
        inner = _fields(schema.get('properties', {}), schema.get('required', []), depth + 1)
        return f'{head}{start}{key}: {{{inner}{start}}},'
    if kind == 'array' and 'type' in schema.get('items', {}):
        array = _array(key, schema, depth)
        return head + (array if array.endswith(',') else f'{array},')
    if not comment:
        head = ''  # examples of a plain value stand only below a comment
    if kind == 'array':
        return f'{head}{start}{key}: [],'
    if 'enum' in schema:
        kind = _options(schema['enum'])
    return f'{head}{start}{key}: {kind}{" | null" if schema.get("nullable") else ""},'


def _array(name: str | None, schema: _Schema, depth: int) -> str:
    start = '\n' + '    ' * depth
    lead = f'{start}{name}: ' if name else start
    items = schema.get('items', {})
    if not items:
        return f'{lead}[]'
    kind = _type(items)
    if kind == 'object':
        inner = _fields(items.get('properties', {}), items.get('required', []), depth + 1)
        return f'{lead}{{{inner}{start}}}[]'
    if kind == 'array':
        inner = _array(None, items, depth + 1)
        return f'{lead}{inner.strip()}[]' if name else f'\n{inner}[]'
    if 'enum' in items:
        return f'{lead}({_options(items["enum"])})[]' if name else f'({_options(items["enum"])})[]'
    return f'{lead}{kind}[],' if name else f'\n{kind}[]'


def _type(schema: _Schema) -> str:
    if 'type' in schema:
        kind = schema['type']
        return _number(kind if isinstance(kind, str) else ' | '.join(kind))
    if 'oneOf' in schema:
        return _number(' | '.join(dict.fromkeys(option['type'] for option in schema['oneOf'] if 'type' in option)))
    return ''


def _number(kind: str) -> str:
    return 'number' if kind in ('integer', 'float') else kind


def _options(values: Sequence[Any]) -> str:
    return ''.join((f'"{value}"' if isinstance(value, str) else str(value)) + (' | ' if value != values[-1] else '')
                   for value in values)


def _format(schema: _Schema) -> str | None:
    if 'format' in schema:
        return schema['format']
    if 'oneOf' not in schema:
        return None
    last = schema['oneOf'][-1].get('format')
    return ''.join(option['format'] + ('' if option['format'] == last else ' or ')
                   for option in schema['oneOf'] if 'format' in option)


_LIMITS = {'maximum': 'Maximum', 'minimum': 'Minimum', 'maxLength': 'Maximum length', 'minLength': 'Minimum length'}


def _comment(schema: _Schema) -> str:
    """What a schema says beside its type, as a comment; empty if that is nothing."""
    form = _format(schema)
    if not ('description' in schema or 'default' in schema or form is not None
            or any(schema.get(limit) for limit in _LIMITS)):
        return ''
    text = '//'
    if 'description' in schema:
        text += f' {schema["description"]}' + ('' if schema['description'].endswith('.') else '.')
    if 'default' in schema:
        quote = '"' if schema.get('type', 'any') == 'string' else ''
        text += f' Default={quote}{schema["default"]}{quote}.'
    text += '' if form is None else f' Format={form}'
    return text + ''.join(f' {word}={schema[limit]}' for limit, word in _LIMITS.items() if limit in schema)


_V3_1_FORMAT = (
    '\nThink very carefully before calling functions.\n'
    'If a you choose to call a function ONLY reply in the following format:\n'
    '<{start_tag}={function_name}>{parameters}{end_tag}\nwhere\n\nstart_tag => `<function`\n'
    'parameters => a JSON dict with the function argument name as key and function argument value as value.\n'
    'end_tag => `</function>`\n\nHere is an example,\n'
    '<function=example_function_name>{"example_name": "example_value"}</function>\n\nReminder:\n'
    '- If looking for real time information use relevant functions before falling back to brave_search\n'
    '- Function calls MUST follow the specified format, start with <function= and end with </function>\n'
    '- Required parameters MUST be specified\n- Only call one function at a time\n'
    '- Put the entire function call reply on one line\n\n')
_V3_2_HEAD = (
    'You are capable of executing available function(s) if required.\n'
    'Only execute function(s) when absolutely necessary.\nAsk for the required input to:recipient==all\n'
    'Use JSON for function arguments.\nRespond in this format:\n>>>${recipient}\n${content}\nAvailable functions:\n'
    '// Supported function definitions that should be called when necessary.\nnamespace functions {\n\n')
_V3_2_PYTHON = (
    'When you send a message containing Python code to python, it will be executed in a stateful Jupyter notebook '
    'environment. python will respond with the output of the execution or time out after 60.0 seconds. The drive at '
    "'/mnt/data' can be used to save and persist user files.<|eot_id|>")
