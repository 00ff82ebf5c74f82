"""Calls of Apertus: a JSON list of ``{NAME: arguments}`` between tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping

from swift.llm.template.conversation import Call
from swift.llm.template.dialect import DIALECTS, Dialect, Parsed, Tools
from swift.llm.template.dialects._parsing import decode, extract

_CALLS = re.compile(r'<\|tools_prefix\|>\s*(\[.*?\])\s*<\|tools_suffix\|>', re.DOTALL)


def parse(text: str, tools: Tools = ()) -> Parsed:
    """``<|tools_prefix|>[{"NAME": {...}}, ...]<|tools_suffix|>``."""
    return extract(_CALLS, text, _read, '<|tools_suffix|>')


def _read(match: re.Match[str]) -> list[Call]:
    try:
        raw = decode(match[1])
    except ValueError:
        return []
    if not all(isinstance(item, Mapping) and len(item) == 1 for item in raw):
        return []
    return [Call.of({'name': name, 'arguments': arguments}) for item in raw for name, arguments in item.items() if name]


DIALECTS.add(Dialect('apertus', parse, source='Apertus-8B-Instruct chat template (llama.cpp models/templates)'))
