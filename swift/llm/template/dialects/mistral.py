"""Calls of Mistral's models, behind ``[TOOL_CALLS]``: a JSON list (tokenizers v2 and v3), or name by name (v11 on)."""

from __future__ import annotations

import re

from swift.llm.template.conversation import Call
from swift.llm.template.dialect import DIALECTS, Dialect, Parsed, Tools
from swift.llm.template.dialects._parsing import call_of, decode_at

_OPENING = re.compile(r'\[TOOL_CALLS\]\s*')
_NAMED = re.compile(r'(?P<name>[^\[\]\s{}]+)(?:\[CALL_ID\](?P<id>[^\[\]]*))?\[ARGS\]\s*')


def parse(text: str, tools: Tools = ()) -> Parsed:
    """``[TOOL_CALLS][{"name", "arguments", "id"}, ...]`` or ``[TOOL_CALLS]name[CALL_ID]id[ARGS]{...}``, repeated."""
    calls: list[Call] = []
    kept = []
    done = 0
    for match in _OPENING.finditer(text):
        found = _list_at(text, match.end()) or _named_at(text, match.end())
        if match.start() < done or found is None:
            continue
        kept.append(text[done:match.start()])
        read, done = found
        calls += read
    return Parsed(''.join(kept) + text[done:], tuple(calls))


def _list_at(text: str, at: int) -> tuple[list[Call], int] | None:
    """(calls, place behind them), or None if no list of calls stands here."""
    try:
        raw, end = decode_at(text, at)
    except ValueError:
        return None
    found = [call_of(item) for item in (raw if isinstance(raw, list) else [raw])]
    return ([call for calls in found for call in calls], end) if found and all(found) else None


def _named_at(text: str, at: int) -> tuple[list[Call], int] | None:
    match = _NAMED.match(text, at)
    if match is None:
        return None
    try:
        arguments, end = decode_at(text, match.end())
    except ValueError:
        return None
    raw = {'function': {'name': match['name'], 'arguments': arguments}}
    return [Call.of({**raw, 'id': match['id']} if match['id'] else raw)], end


DIALECTS.add(Dialect('mistral', parse, source='Mistral-Nemo-Instruct-2407, Mistral-Small-3.2-24B-Instruct-2506 and '
                                              'Ministral-3-14B-Reasoning-2512 chat templates'))
