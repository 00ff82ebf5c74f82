"""Calls as one JSON list behind a marker: Phi-4-mini, Granite 3, Hunyuan-A13B, Command R.

Sources: chat templates of microsoft/Phi-4-mini-instruct (vLLM's rendition), ibm-granite/granite-3.3-2b-instruct,
tencent/Hunyuan-A13B-Instruct (vLLM's rendition), CohereForAI/c4ai-command-r-plus, c4ai-command-r7b-12-2024.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swift.llm.template.conversation import Call
from swift.llm.template.dialect import DIALECTS, Dialect, Parsed, Tools
from swift.llm.template.dialects._parsing import decode_at, literal


@dataclass(frozen=True)
class JsonList:
    """Reads a list of calls.

    Attributes:
        opening: pattern of what stands in front of the list.
        closing: pattern of what stands behind it.
        name: key of a call's function name.
        arguments: key of its arguments.
        tight: whether the white space in front goes with a call.
    """

    opening: str
    closing: str = ''
    name: str = 'name'
    arguments: str = 'arguments'
    tight: bool = True

    def __call__(self, text: str, tools: Tools = ()) -> Parsed:
        calls: list[Call] = []
        kept: list[str] = []
        done = 0
        for match in re.finditer(self.opening, text):
            if match.start() < done:
                continue
            found = self._list_at(text, match.end())
            if found is None:
                continue
            kept.append(text[done:match.start()].rstrip() if self.tight else text[done:match.start()])
            read, done = found
            calls += read
        return Parsed(''.join(kept) + text[done:], tuple(calls))

    def _list_at(self, text: str, at: int) -> tuple[list[Call], int] | None:
        """(calls, place behind them), or None if no list of calls stands here."""
        try:
            raw, end = decode_at(text, at)
        except ValueError:
            return None
        items = raw if isinstance(raw, list) else [raw]
        closed = re.compile(self.closing).match(text, end)
        calls = [self._call(item) for item in items]
        if not calls or closed is None or None in calls:
            return None
        return [call for call in calls if call], closed.end()

    def _call(self, raw: Any) -> Call | None:
        if not isinstance(raw, Mapping) or not isinstance(raw.get(self.name), str) or not raw[self.name]:
            return None
        return Call.of({'name': raw[self.name], 'arguments': raw.get(self.arguments, {})})


_PHI4 = JsonList(r'functools\s*(?=\[)')
_PHI4_ITEM = re.compile(r'\{"name": "([^"]+)", "arguments": (.*?)\}(?=,\{"name": |\s*(?:<\|end\|>\s*)?$)', re.DOTALL)


def parse_phi4_mini(text: str, tools: Tools = ()) -> Parsed:
    """``functools[...]``, what the model is asked for, or the bare objects that the template shows as earlier calls,
    whose arguments are in Python's notation there."""
    asked = _PHI4(text)
    if asked.calls:
        return asked
    calls = []
    end = 0
    for match in _PHI4_ITEM.finditer(text):
        try:
            arguments = literal(match[2])
        except ValueError:
            return Parsed(text)
        if text[end:match.start()].strip() not in ('', ','):
            return Parsed(text)
        calls.append(Call.of({'name': match[1], 'arguments': arguments}))
        end = match.end()
    return Parsed(text[end:].strip(), tuple(calls)) if calls else Parsed(text)


DIALECTS.add(Dialect('phi4_mini', parse_phi4_mini, source='vLLM examples/tool_chat_template_phi4_mini.jinja'))
DIALECTS.add(Dialect('granite', JsonList(r'(?:<\|tool_call\|>|<tool_call>)\s*(?=\[)'),
                     source='ibm-granite/granite-3.3-2b-instruct chat_template'))
DIALECTS.add(Dialect('hunyuan_a13b', JsonList(r'<tool_calls>\s*(?=\[)', r'\s*</tool_calls>'),
                     source='vLLM examples/tool_chat_template_hunyuan_a13b.jinja'))
DIALECTS.add(Dialect('command_r', JsonList(r'(?:Action:\s*)?```json\s*(?=\[)', r'\s*```\n?', 'tool_name',
                                           'parameters'),
                     source='CohereForAI/c4ai-command-r-plus chat_template, tool_use'))
DIALECTS.add(Dialect('command_a', JsonList(r'<\|START_ACTION\|>\s*(?=\[)', r'\s*<\|END_ACTION\|>', 'tool_name',
                                           'parameters', tight=False),
                     source='CohereForAI/c4ai-command-r7b-12-2024 chat_template, tool_use'))
