"""Calls of MiniMax: JSON lines (M1), XML with parameters by name (M2), nested XML behind a marker (M3).

Source: chat_template.jinja of MiniMax-M1, MiniMax-M2 and MiniMax-M3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from swift.llm.template.conversation import Call
from swift.llm.template.dialect import DIALECTS, Dialect, Parsed, Tools
from swift.llm.template.dialects._parsing import call_of, decode, extract, properties_of, typed

M3 = ']<]minimax[>['
"""The mark in front of every tag of a call of M3."""

_M1_BLOCK = re.compile(r'<tool_calls>\s*(.*?)\s*</tool_calls>', re.DOTALL)
_M2_BLOCK = re.compile(r'<minimax:tool_call>\s*(.*?)\s*</minimax:tool_call>', re.DOTALL)
_M2_CALL = re.compile(r'\s*<invoke name="([^"]+)">(.*?)</invoke>', re.DOTALL)
_M2_PARAMETER = re.compile(
    r'\s*<parameter name="([^"]+)">(.*?)</parameter>(?=\s*(?:<parameter name="|$))', re.DOTALL)
_M3_MARK = re.escape(M3)
_M3_BLOCK = re.compile(rf'{_M3_MARK}<tool_call>\s*(.*?)\s*{_M3_MARK}</tool_call>', re.DOTALL)
_M3_CALL = re.compile(rf'\s*{_M3_MARK}<invoke name="([^"]+)">(.*?){_M3_MARK}</invoke>', re.DOTALL)
_M3_OPENING = re.compile(rf'\s*{_M3_MARK}<([^>/]+)>')


def scalar(value: Any) -> str:
    """A value as text, the way M3 writes it."""
    if value is None:
        return ''
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse_m1(text: str, tools: Tools = ()) -> Parsed:
    """``<tool_calls>`` with one JSON object a line."""
    return extract(_M1_BLOCK, text, lambda match: _read_lines(match[1]), '</tool_calls>')


def parse_m2(text: str, tools: Tools = ()) -> Parsed:
    """``<invoke name="..."><parameter name="...">value</parameter></invoke>`` in a ``<minimax:tool_call>``."""
    def read(match: re.Match[str]) -> list[Call]:
        calls = []
        for name, body in _M2_CALL.findall(match[1]):
            schemas = properties_of(tools, name)
            calls.append(_call(name, {key: typed(value, schemas.get(key))
                                      for key, value in _M2_PARAMETER.findall(body)}))
        return [] if _M2_CALL.sub('', match[1]).strip() else calls

    return extract(_M2_BLOCK, text, read, '</minimax:tool_call>')


def parse_m3(text: str, tools: Tools = ()) -> Parsed:
    """Elements whose tags stand behind ``]<]minimax[>[``; nested ones are objects, those called item are lists."""
    def read(match: re.Match[str]) -> list[Call]:
        calls = []
        for name, body in _M3_CALL.findall(match[1]):
            schema = {'type': 'object', 'properties': properties_of(tools, name)}
            arguments = _read_elements(body, schema)
            if not isinstance(arguments, Mapping):
                return []
            calls.append(_call(name, arguments))
        return [] if _M3_CALL.sub('', match[1]).strip() else calls

    return extract(_M3_BLOCK, text, read, '</tool_call>')


def _read_lines(block: str) -> list[Call]:
    calls: list[Call] = []
    for line in filter(str.strip, block.splitlines()):
        try:
            found = call_of(decode(line))
        except ValueError:
            found = []
        if not found:
            return []
        calls += found
    return calls


def _read_elements(body: str, schema: Mapping[str, Any]) -> Any:
    """The value between two tags."""
    items: list[tuple[str, str]] = []
    place = 0
    while opening := _M3_OPENING.match(body, place):
        end = _closing(body, opening.end(), opening[1])
        if end < 0:
            break
        items.append((opening[1], body[opening.end():end]))
        place = end + len(f'{M3}</{opening[1]}>')
    if not items or body[place:].strip():
        if not body and schema.get('type') in ('object', 'array'):
            return {} if schema['type'] == 'object' else []
        return typed(body, schema)
    if schema.get('type') == 'array' or (schema.get('type') != 'object' and {key for key, _ in items} == {'item'}):
        return [_read_elements(inner, schema.get('items') or {}) for _, inner in items]
    inner_schemas = schema.get('properties') or {}
    return {key: _read_elements(inner, inner_schemas.get(key) or {}) for key, inner in items}


def _closing(body: str, start: int, tag: str) -> int:
    """Place of the tag that closes the one before ``start``, minding others of its name inside; -1 if none does."""
    depth = 1
    for match in re.finditer(rf'{_M3_MARK}<(/?){re.escape(tag)}>', body[start:]):
        depth += -1 if match[1] else 1
        if not depth:
            return start + match.start()
    return -1


def _call(name: str, arguments: Any) -> Call:
    return Call.of({'name': name, 'arguments': arguments})


_SOURCE = 'chat_template.jinja of MiniMax-{}'
DIALECTS.add(Dialect('minimax_m1', parse_m1, source=_SOURCE.format('M1')))
DIALECTS.add(Dialect('minimax_m2', parse_m2, source=_SOURCE.format('M2')))
DIALECTS.add(Dialect('minimax_m3', parse_m3, source=_SOURCE.format('M3')))
