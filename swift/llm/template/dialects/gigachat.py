"""Calls of GigaChat 3: one JSON object, behind a role (3.0) or a token (3.1).

Source: chat templates of ai-sage/GigaChat3-10B-A1.8B and its 3.1.
"""

from __future__ import annotations

import re

from swift.llm.template.conversation import Call
from swift.llm.template.dialect import DIALECTS, Dialect, Parsed, Tools
from swift.llm.template.dialects._parsing import call_of, decode_at

_CALL = re.compile(
    r'(?:(?:<\|message_sep\|>\s*)?function call<\|role_sep\|>\s*|<\|function_call\|>\s*)(?=\{)')
_END = re.compile(r'\s*(?:<\|message_sep\|>)?\s*$')


def parse(text: str, tools: Tools = ()) -> Parsed:
    """A single call at the end of an answer."""
    for match in _CALL.finditer(text):
        try:
            raw, end = decode_at(text, match.end())
        except ValueError:
            continue
        calls: list[Call] = call_of(raw)
        if calls and _END.match(text, end):
            said = text[:match.start()]
            return Parsed(said if match[0].startswith('<|') else said.rstrip(), tuple(calls))
    return Parsed(text)


DIALECTS.add(Dialect('gigachat3', parse, source='ai-sage/GigaChat3-10B-A1.8B chat_template'))
