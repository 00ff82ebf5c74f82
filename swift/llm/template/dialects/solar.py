"""Calls of Solar Open: id, name and arguments behind tokens. Source: chat template of upstage/Solar-Open-100B."""

from __future__ import annotations

import re

from swift.llm.template.conversation import Call
from swift.llm.template.dialect import DIALECTS, Dialect, Parsed, Tools
from swift.llm.template.dialects._parsing import decode, extract

_CALL = re.compile(r'<\|tool_call:begin\|>(.*?)<\|tool_call:name\|>(.*?)<\|tool_call:args\|>(.*?)'
                   r'<\|tool_call:end\|>', re.DOTALL)
_AROUND = re.compile(r'(?:<\|begin\|>assistant)?<\|tool_calls\|>|<\|calls\|>')


def parse(text: str, tools: Tools = ()) -> Parsed:
    """``<|tool_call:begin|>ID<|tool_call:name|>NAME<|tool_call:args|>{...}<|tool_call:end|>``, any number of times."""
    def read(match: re.Match[str]) -> list[Call]:
        try:
            arguments = decode(match[3])
        except ValueError:
            return []
        name = match[2].strip()
        return [Call.of({'id': match[1].strip(), 'function': {'name': name, 'arguments': arguments}})] if name else []

    parsed = extract(_CALL, text, read, '<|tool_call:end|>')
    return Parsed(_AROUND.sub('', parsed.content), parsed.calls) if parsed.calls else parsed


DIALECTS.add(Dialect('solar', parse, stop_words=('<|calls|>',), source='upstage/Solar-Open-100B chat_template'))
