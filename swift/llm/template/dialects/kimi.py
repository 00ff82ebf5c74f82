"""Calls of Kimi: JSON behind an id between tokens (K2), arguments one by one with their types (K3).

Source: chat_template.jinja of Kimi-K2-Instruct, Kimi-K2-Thinking and Kimi-K3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from swift.llm.template.conversation import Call
from swift.llm.template.dialect import DIALECTS, Dialect, Parsed, Tools
from swift.llm.template.dialects._parsing import decode, extract

_K2_BLOCK = re.compile(r'<\|tool_calls_section_begin\|>\s*(.*?)\s*<\|tool_calls_section_end\|>', re.DOTALL)
_K2_CALL = re.compile(r'\s*<\|tool_call_begin\|>\s*(?P<id>\S+?)\s*<\|tool_call_argument_begin\|>\s*'
                      r'(?P<arguments>.*?)\s*<\|tool_call_end\|>', re.DOTALL)
_K3_RESPONSE = re.compile(r'^(?:<\|open\|>response<\|sep\|>)?(.*?)<\|close\|>response<\|sep\|>', re.DOTALL)
_K3_BLOCK = re.compile(r'<\|open\|>tools<\|sep\|>(.*?)<\|close\|>tools<\|sep\|>', re.DOTALL)
_K3_CALL = re.compile(r'\s*<\|open\|>call tool="([^"]*)"(?: index="\d+")?<\|sep\|>(.*?)<\|close\|>call<\|sep\|>',
                      re.DOTALL)
_K3_ARGUMENT = re.compile(r'\s*<\|open\|>argument key="([^"]*)" type="(\w+)"<\|sep\|>(.*?)<\|close\|>argument<\|sep\|>',
                          re.DOTALL)
_K3_JSON = re.compile(r'\s*<\|open\|>json type="object"<\|sep\|>(.*?)<\|close\|>json<\|sep\|>\s*', re.DOTALL)


def parse_k2(text: str, tools: Tools = ()) -> Parsed:
    """``functions.NAME:NUMBER`` and the arguments as JSON, between tokens."""
    def read(match: re.Match[str]) -> list[Call]:
        found = [_k2_call(each['id'], each['arguments']) for each in _K2_CALL.finditer(match[1])]
        return _all_or_none(found, _K2_CALL.sub('', match[1]))

    return extract(_K2_BLOCK, text, read, '<|tool_calls_section_end|>')


def _all_or_none(calls: list[Call | None], rest: str) -> list[Call]:
    """The calls of a block, or none of them if one is broken or something else stands between them."""
    return [] if None in calls or rest.strip() else [call for call in calls if call]


def _k2_call(id_: str, arguments: str) -> Call | None:
    name = id_.removeprefix('functions.').rpartition(':')[0] or id_
    try:
        return Call.of({'id': id_, 'function': {'name': name, 'arguments': decode(arguments)}})
    except ValueError:
        return None


def parse_k3(text: str, tools: Tools = ()) -> Parsed:
    """Arguments with their types, between tokens; the content stands in a channel of its own."""
    def read(match: re.Match[str]) -> list[Call]:
        found = [_k3_call(_unescape(name), body) for name, body in _K3_CALL.findall(match[1])]
        return _all_or_none(found, _K3_CALL.sub('', match[1]))

    parsed = extract(_K3_BLOCK, text, read, 'tools<|sep|>', tight=False)
    response = _K3_RESPONSE.match(parsed.content)
    if response is None:
        return parsed
    behind = parsed.content[response.end():].removesuffix('<|end_of_msg|>').removesuffix('<|close|>message<|sep|>')
    return Parsed(response[1] + behind, parsed.calls)


def _k3_call(name: str, body: str) -> Call | None:
    whole = _K3_JSON.fullmatch(body)
    try:
        if whole is not None:
            arguments: Any = decode(whole[1])
        else:
            arguments = {_unescape(key): value if kind == 'string' else decode(value)
                         for key, kind, value in _K3_ARGUMENT.findall(body)}
    except ValueError:
        return None
    if not isinstance(arguments, Mapping) or not name or (whole is None and _K3_ARGUMENT.sub('', body).strip()):
        return None
    return Call.of({'name': name, 'arguments': arguments})


def _unescape(value: str) -> str:
    return value.replace('&quot;', '"').replace('&amp;', '&')


DIALECTS.add(Dialect('kimi_k2', parse_k2, source='chat_template.jinja of Kimi-K2-Instruct and Kimi-K2-Thinking'))
DIALECTS.add(Dialect('kimi_k25', parse_k2, source='chat_template.jinja of Kimi-K2-Thinking, whose calls K2.5 writes'))
DIALECTS.add(Dialect('kimi_k3', parse_k3, source='chat_template.jinja of Kimi-K3'))
