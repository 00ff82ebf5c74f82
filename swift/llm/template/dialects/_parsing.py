"""What parsers of tool calls share. Pure text and JSON; registers nothing."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from swift.llm.template.conversation import Call
from swift.llm.template.dialect import Parsed, Tools

_CASTS: dict[str, Callable[[Any], bool]] = {
    'integer': lambda value: isinstance(value, int) and not isinstance(value, bool),
    'number': lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    'boolean': lambda value: isinstance(value, bool),
    'null': lambda value: value is None,
    'array': lambda value: isinstance(value, list),
    'object': lambda value: isinstance(value, dict),
}


_DECODER = json.JSONDecoder()


def extract(pattern: re.Pattern[str], text: str, read: Callable[[re.Match[str]], Sequence[Call]], closer: str = '', *,
            tight: bool = True) -> Parsed:
    """Take every match out of ``text`` that ``read`` finds calls in; what holds none stays.

    Args:
        pattern: a call, or a block of calls.
        text: an answer.
        read: the calls in a match.
        closer: what every match ends with. Nothing is looked for behind the last one, or a model that opens calls over
            and over and closes none would take quadratic time.
        tight: whether the white space in front of a call goes with it. A pattern that said so itself would take
            quadratic time on a long run of blanks.
    """
    calls: list[Call] = []
    kept: list[str] = []
    done = 0
    end = text.rfind(closer) + len(closer) if closer in text else 0
    for match in pattern.finditer(text, 0, end):
        found = read(match)
        if found:
            before = text[done:match.start()]
            kept.append(before.rstrip() if tight else before)
            calls += found
            done = match.end()
    return Parsed(''.join(kept) + text[done:], tuple(calls))


def decode(text: str) -> Any:
    """The value of JSON. Raises ValueError, also where it is nested too deeply to be read."""
    try:
        return json.loads(text)
    except RecursionError as e:
        raise ValueError('nested too deeply') from e


def decode_at(text: str, at: int) -> tuple[Any, int]:
    """(the value of the JSON that starts at ``at``, the place behind it). Raises ValueError."""
    try:
        return _DECODER.raw_decode(text, at)
    except RecursionError as e:
        raise ValueError('nested too deeply') from e


def call_of(raw: Any) -> list[Call]:
    """[the call] of ``{"name": ..., "arguments": {...}}``; nothing if that is no call."""
    if not isinstance(raw, Mapping) or not isinstance(raw.get('name'), str) or not raw['name']:
        return []
    if 'arguments' not in raw and 'parameters' in raw:
        raw = {'name': raw['name'], 'arguments': raw['parameters']}
    return [Call.of(raw)]


def literal(text: str) -> Any:
    """The value of JSON or of a Python literal.

    Raises:
        ValueError: it is neither.
    """
    try:
        return decode(text)
    except ValueError:
        pass
    try:
        value = ast.literal_eval(text.strip())
        json.dumps(value)  # a set, or bytes, can't be an argument
        return value
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as e:
        raise ValueError(f'neither JSON nor a Python literal: {text[:80]!r}') from e


def properties_of(tools: Tools, name: str) -> Mapping[str, Any]:
    """The schemas of the arguments of the tool ``name``; empty if it is unknown."""
    for tool in tools:
        function = tool.get('function', tool)
        if function.get('name') == name:
            parameters = function.get('parameters')
            properties = parameters.get('properties') if isinstance(parameters, Mapping) else None
            return properties if isinstance(properties, Mapping) else {}
    return {}


def typed(text: str, schema: Any) -> Any:
    """The value of an argument that stands as bare text, by the JSON schema of it.

    Text stays text where the schema wants a string, or where the value is of no type that the schema allows. Without
    a schema, what reads as JSON or as a Python literal is taken as that.
    """
    types = _types(schema)
    if types == {'string'}:
        return text
    try:
        value = literal(text)
    except ValueError:
        return text
    wanted = types - {'string'}
    if not types:
        return value
    if 'number' in wanted or 'integer' in wanted:
        if isinstance(value, float) and 'number' not in wanted and value.is_integer():
            value = int(value)
    return value if any(_CASTS[kind](value) for kind in wanted if kind in _CASTS) else text


def _types(schema: Any) -> set[str]:
    if not isinstance(schema, Mapping):
        return set()
    kind = schema.get('type')
    types = {kind} if isinstance(kind, str) else set(kind or ())
    for key in ('anyOf', 'oneOf'):
        for option in schema.get(key) or ():
            types |= _types(option)
    if not types and all(isinstance(value, str) for value in schema.get('enum') or (0,)):
        return {'string'}
    return types
