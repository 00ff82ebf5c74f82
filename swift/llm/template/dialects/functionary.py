"""Calls of MeetKai's Functionary: between tags that name the function (v3.1), or as parts with a recipient (v3.2)."""

from __future__ import annotations

import re

from swift.llm.template.conversation import Call
from swift.llm.template.dialect import DIALECTS, Dialect, Parsed, Tools
from swift.llm.template.dialects._parsing import decode, extract

_CALL = re.compile(r'<function=([^>\s]+)>\s*(.*?)\s*</function>|<\|python_tag\|>(.*?)(?=<\||\Z)', re.DOTALL)
_PART = re.compile(r'(?:\A|>>>)([\w.-]+)\n')


def parse_v3_1(text: str, tools: Tools = ()) -> Parsed:
    """``<function=NAME>{...}</function>``, any number of times; ``<|python_tag|>`` and code calls ``python``."""
    return extract(_CALL, text, lambda match: _read(match[1] or 'python', match[2] if match[1] else match[3]),
                   tight=False)


def parse_v3_2(text: str, tools: Tools = ()) -> Parsed:
    """``RECIPIENT`` and a line break in front of every part, ``>>>`` between them; ``all`` is the user."""
    marks = list(_PART.finditer(text))
    kept = [text[:marks[0].start()] if marks else text]
    calls: list[Call] = []
    for mark, following in zip(marks, [*marks[1:], None], strict=False):
        part = text[mark.end():following.start() if following else len(text)]
        found = [] if mark[1] == 'all' else _read(mark[1], re.sub(r'<\|(?:eot|eom)_id\|>\s*\Z', '', part))
        calls += found
        if not found:
            kept.append(part if mark[1] == 'all' else text[mark.start():mark.end()] + part)
    return Parsed(''.join(kept), tuple(calls))


def _read(name: str, arguments: str) -> list[Call]:
    try:
        decode(arguments)
    except ValueError:
        if name != 'python':  # whose argument may be bare code
            return []
    return [Call.of({'name': name, 'arguments': arguments})]


DIALECTS.add(Dialect('functionary_v3_1', parse_v3_1, stop_words=('<|eom_id|>',),
                     source='functionary-medium-v3.1 chat template (llama.cpp models/templates)'))
DIALECTS.add(Dialect('functionary_v3_2', parse_v3_2,
                     source='functionary-medium-v3.2 chat template (llama.cpp models/templates)'))
