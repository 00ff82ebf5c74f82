"""GigaChat of Sber. Checked against the chat templates that each docstring names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swift.llm.template.conversation import Conversation, Turn
from swift.llm.template.writer import Writer
from swift.llm.template.written._sber_texts import DEVELOPER_SYSTEM
from swift.utils.errors import RowError

_SEP, _END = '<|role_sep|>\n', '<|message_sep|>'
_SHOWN_KEYS = ('format', 'maxItems', 'maximum', 'minItems', 'minimum', 'pattern')


def write_gigachat(c: Conversation, w: Writer) -> None:
    """GigaChat-20B-A3B: every question is followed by an empty list of functions."""
    for i, turn in enumerate(c.turns[1 if c.system else 0:]):
        if (turn.role == 'user') != (i % 2 == 0):
            raise RowError(f'turns of user and assistant must alternate, but turn {turn.index} is of {turn.role!r}')
        if i == 0:
            w.text(c.bos)
            if c.system:
                w.said(c.system)
                w.text(_END)
        if turn.role in ('user', 'assistant'):
            w.text(f'{turn.role}<|role_sep|>')
            if turn.role == 'assistant':
                w.begin(turn)
            w.said(turn)
            w.text(_END)
            w.end()
        if turn.role == 'user':
            w.text(f'available functions<|role_sep|>[]{_END}')
    if c.add_generation_prompt and len(c.turns) > bool(c.system):
        w.text('assistant<|role_sep|>')


@dataclass(frozen=True)
class GigaChat3:
    """GigaChat 3: the publisher's system text, tools as TypeScript, a single call an answer.

    Attributes:
        inline: the call stands in the answer's own message (3.1) instead of one of its own (3.0).
    """

    inline: bool = False

    def write(self, c: Conversation, w: Writer) -> None:
        w.text(f'{c.bos}developer system{_SEP}{DEVELOPER_SYSTEM}{_END}\n\n')
        if c.system:
            self._write_turn(w, c.system, 'system')
        if c.tools:
            w.text(f'function descriptions{_SEP}namespace functions {{\n')
            for tool in c.tools:
                w.data(_declaration(tool.get('function', tool)))
                w.text('\n')
            w.text(f'}} // namespace functions\n\n{_END}\n\n')
        turns = c.turns[1 if c.system else 0:]
        for turn in turns:
            self._write_turn(w, turn, 'function result' if turn.role == 'tool' else turn.role)
        if c.add_generation_prompt and turns and turns[-1].role != 'assistant':
            w.text(f'assistant{_SEP}')

    def _write_turn(self, w: Writer, turn: Turn, role: str) -> None:
        w.text(role + _SEP)
        if turn.role == 'assistant':
            w.begin(turn)
        w.said(turn)
        if turn.calls:
            call = turn.calls[0]
            w.text('<|function_call|>' if self.inline else f'{_END}\n\nfunction call{_SEP}')
            w.text('{"name": "')
            w.said(turn, call.name)
            w.text('", "arguments": ')
            w.said(turn, call.text)
            w.text('}')
        w.text(_END)
        w.end()
        w.text('\n\n')


write_gigachat3 = GigaChat3().write
write_gigachat3_1 = GigaChat3(inline=True).write


# -- tools as TypeScript ---------------------------------------------------------------------------------------------


def _comment(text: str, indent: str = '') -> list[str]:
    return [f'{indent}// {line}' for line in text.split('\n') if line.strip()]


def _declaration(function: Mapping[str, Any]) -> str:
    lines = _comment(function['description']) if function.get('description') else []
    parameters, returned = function.get('parameters') or {}, function.get('return_parameters') or {}
    given = f'(_: {_type(parameters, "  ")})' if parameters.get('properties') else '()'
    result = _type(returned, '  ') if returned.get('properties') else 'any'
    return '\n'.join([*lines, f'type {function["name"]} = {given} => {result};\n'])


def _type(schema: Mapping[str, Any], indent: str) -> str:
    kind = schema.get('type')
    if kind == 'object':
        return _object(schema, indent)
    if kind == 'string':
        if schema.get('enum'):
            return ' | '.join(f'"{value}"' for value in schema['enum'])
        return 'Date' if schema.get('format') in ('date-time', 'date') else 'string'
    if kind in ('number', 'integer'):
        return ' | '.join(map(str, schema['enum'])) if schema.get('enum') else 'number'
    if kind == 'array':
        return f'{_type(schema["items"], indent)}[]' if 'items' in schema else 'Array<any>'
    return 'boolean' if kind == 'boolean' else 'any'


def _object(schema: Mapping[str, Any], indent: str) -> str:
    required = schema.get('required', ())
    lines = ['{']
    for key, field in schema.get('properties', {}).items():
        lines += _comment(field['description'], indent) if 'description' in field else []
        lines += [f'{indent}// {name}: {_literal(value)}' for name, value in field.items() if name in _SHOWN_KEYS]
        line = f'{indent}{key}{"" if key in required else "?"}: {_type(field, indent + "  ")},'
        if 'default' in field:
            line += f' // default: {_literal(field["default"])}'
        lines.append(line)
    more = schema.get('additionalProperties')
    if more is True or isinstance(more, Mapping):
        more = {'type': 'any'} if more is True else more
        lines.append(f'{indent}[key: string]: {_type(more, indent + "  ")}')
    return '\n'.join(lines) + f'\n{indent[:max(len(indent) - 2, 0)]}}}'


def _literal(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
