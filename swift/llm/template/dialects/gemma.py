"""Calls of the Gemmas: Gemma 4's own notation, and what vLLM asks Gemma 3 and FunctionGemma for.

Sources: chat template of google/gemma-4-31B-it; vLLM examples/tool_chat_template_{gemma3_pythonic,functiongemma}.jinja.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from swift.llm.template.conversation import Call
from swift.llm.template.dialect import DIALECTS, Dialect, Parsed, Tools
from swift.llm.template.dialects._parsing import decode_at, extract, properties_of, typed

QUOTE = '<|"|>'
Pieces = list[tuple[bool, str]]
"""Pieces of text, each with whether a caller gave it; the rest is the template's."""

_CALL = re.compile(r'<\|tool_call>\s*call:([^{\s]+)\s*(?=\{)')
_KEY = re.compile(r'\s*([^:{}\[\],]+?)\s*:')
_PLAIN = re.compile(r'[^,{}\[\]]*')
_END = re.compile(r'\s*<tool_call\|>')
_WORDS = {'true': True, 'false': False, 'None': None, 'null': None}


def quoted(text: str) -> Pieces:
    return [(False, QUOTE), (True, text), (False, QUOTE)]


def joined(items: list[Pieces]) -> Pieces:
    """With a comma between two."""
    return [piece for i, item in enumerate(items) for piece in ([(False, ',')] if i else []) + item]


def by_key(mapping: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Sorted as jinja's ``dictsort`` does."""
    return sorted(mapping.items(), key=lambda item: item[0].lower())


def value(given: Any, quote_keys: bool = True, null: str = 'None') -> Pieces:
    """A JSON value in Gemma 4's notation: strings between quote tokens, keys bare or quoted, sorted."""
    if isinstance(given, str):
        return quoted(given)
    if isinstance(given, bool):
        return [(True, 'true' if given else 'false')]
    if isinstance(given, Mapping):
        items = [(quoted(key) if quote_keys else [(True, key)]) + [(False, ':')] + value(inner, quote_keys, null)
                 for key, inner in by_key(given)]
        return [(False, '{'), *joined(items), (False, '}')]
    if isinstance(given, list | tuple):
        return [(False, '['), *joined([value(inner, quote_keys, null) for inner in given]), (False, ']')]
    return [(True, null if given is None else str(given))]


def parse(text: str, tools: Tools = ()) -> Parsed:
    """``<|tool_call>call:NAME{key:value,...}<tool_call|>``, any number of times."""
    calls: list[Call] = []
    kept: list[str] = []
    done = 0
    for start in _CALL.finditer(text):
        if start.start() < done:
            continue
        try:
            arguments, end = _read(text, start.end())
        except (ValueError, RecursionError):  # the latter where it is nested too deeply
            continue
        closed = _END.match(text, end)
        if closed is None:
            continue
        kept.append(text[done:start.start()].rstrip())
        calls.append(Call.of({'name': start[1], 'arguments': arguments}))
        done = closed.end()
    return Parsed(''.join(kept) + text[done:], tuple(calls))


def _read(text: str, at: int) -> tuple[Any, int]:
    """(value, place behind it). Raises ValueError."""
    while text[at:at + 1].isspace():
        at += 1
    if text.startswith(QUOTE, at):
        end = text.index(QUOTE, at + len(QUOTE))
        return text[at + len(QUOTE):end], end + len(QUOTE)
    opening = text[at:at + 1]
    if opening in ('{', '['):
        return _read_items(text, at + 1, opening == '{')
    plain = _PLAIN.match(text, at)
    word = plain[0].strip()
    if word in _WORDS:
        return _WORDS[word], plain.end()
    try:
        return int(word), plain.end()
    except ValueError:
        return float(word), plain.end()


def _read_items(text: str, at: int, is_object: bool) -> tuple[Any, int]:
    closing = '}' if is_object else ']'
    items: list[Any] = []
    while True:
        while text[at:at + 1].isspace() or text.startswith(',', at):
            at += 1
        if text.startswith(closing, at):
            return (dict(items) if is_object else items), at + 1
        if is_object:
            key, at = _read_key(text, at)
            item, at = _read(text, at)
            items.append((key, item))
        else:
            item, at = _read(text, at)
            items.append(item)


def _read_key(text: str, at: int) -> tuple[str, int]:
    if text.startswith(QUOTE, at):
        key, at = _read(text, at)
        return key, text.index(':', at) + 1
    match = _KEY.match(text, at)
    if match is None:
        raise ValueError(f'no key at {at}')
    return match[1], match.end()


_ESCAPED = re.compile(r'<start_function_call>\s*call:([^{\s]+)\s*\{(.*?)\}\s*<end_function_call>', re.DOTALL)
_FIELD = re.compile(r'\s*,?\s*([^:,]+?)\s*:\s*<escape>(.*?)<escape>\s*', re.DOTALL)


def parse_functiongemma(text: str, tools: Tools = ()) -> Parsed:
    """``<start_function_call>call:NAME{key:<escape>value<escape>,...}<end_function_call>``, any number of times."""
    def read(match: re.Match[str]) -> list[Call]:
        arguments, at = {}, 0
        schemas = properties_of(tools, match[1])
        while (field := _FIELD.match(match[2], at)) is not None:
            arguments[field[1]] = typed(field[2], schemas.get(field[1]))
            at = field.end()
        return [Call.of({'name': match[1], 'arguments': arguments})] if at == len(match[2]) else []

    return extract(_ESCAPED, text, read, '<end_function_call>')


_PYTHONIC = re.compile(r'\[\s*(?=[\w.-]+\s*\()')
_PYTHONIC_NAME = re.compile(r'\s*,?\s*([\w.-]+)\s*\(')
_PYTHONIC_KEY = re.compile(r'\s*,?\s*([\w.-]+)\s*=\s*')


def parse_pythonic(text: str, tools: Tools = ()) -> Parsed:
    """``[name(key=value, ...), ...]`` with values in JSON; commas between arguments may be missing."""
    for start in _PYTHONIC.finditer(text):
        try:
            calls, end = _read_pythonic(text, start.end())
        except ValueError:
            continue
        return Parsed(text[:start.start()].rstrip() + text[end:], tuple(calls))
    return Parsed(text)


def _read_pythonic(text: str, at: int) -> tuple[list[Call], int]:
    calls: list[Call] = []
    while (name := _PYTHONIC_NAME.match(text, at)) is not None:
        arguments, at = {}, name.end()
        while (key := _PYTHONIC_KEY.match(text, at)) is not None:
            arguments[key[1]], at = decode_at(text, key.end())
        at = _expect(')', text, at)
        calls.append(Call.of({'name': name[1], 'arguments': arguments}))
    return calls, _expect(']', text, at)


def _expect(sign: str, text: str, at: int) -> int:
    while text[at:at + 1].isspace():
        at += 1
    if not text.startswith(sign, at):
        raise ValueError(f'no {sign!r} at {at}')
    return at + 1


DIALECTS.add(Dialect('gemma4', parse, stop_words=('<|tool_response>',), source='google/gemma-4-31B-it chat_template'))
DIALECTS.add(Dialect('functiongemma', parse_functiongemma,
                     source='vLLM examples/tool_chat_template_functiongemma.jinja'))
DIALECTS.add(Dialect('gemma3_pythonic', parse_pythonic,
                     source='vLLM examples/tool_chat_template_gemma3_pythonic.jinja'))
