"""Calls of DeepSeek: between tokens (V3, R1, V3.1), or as XML-like DSML (V3.2, V4)."""

from __future__ import annotations

import re
from typing import Any

from swift.llm.template.conversation import Call
from swift.llm.template.dialect import DIALECTS, Dialect, Parsed, Tools
from swift.llm.template.dialects._parsing import decode, extract

_CALL = re.compile(r'<｜tool▁call▁begin｜>(.*?)<｜tool▁sep｜>(.*?)<｜tool▁call▁end｜>', re.DOTALL)
_FENCED = re.compile(r'\s*(\S+)\s*```(?:json)?\s*(.*?)\s*```\s*', re.DOTALL)
_TAGS = re.compile(r'<｜tool▁calls▁(?:begin|end)｜>')


def parse(text: str, tools: Tools = ()) -> Parsed:
    """``function<｜tool▁sep｜>NAME`` and fenced JSON (V3, R1), or ``NAME<｜tool▁sep｜>JSON`` (V3.1), between tokens."""
    parsed = extract(_CALL, text, _read, '<｜tool▁call▁end｜>')
    return Parsed(_TAGS.sub('', parsed.content), parsed.calls) if parsed.calls else parsed


def _read(match: re.Match[str]) -> list[Call]:
    fenced = _FENCED.fullmatch(match[2])
    name, arguments = (fenced[1], fenced[2]) if fenced else (match[1].strip(), match[2])
    try:
        return [Call.of({'name': name, 'arguments': decode(arguments)})] if name else []
    except ValueError:
        return []


_BLOCK = re.compile(r'<｜DSML｜(function_calls|tool_calls)>(.*?)</｜DSML｜\1>', re.DOTALL)
_INVOKE = re.compile(r'\s*<｜DSML｜invoke name="([^"]*)">(.*?)</｜DSML｜invoke>\s*', re.DOTALL)
_PARAMETER = re.compile(
    r'\s*<｜DSML｜parameter name="([^"]*)" string="(true|false)">(.*?)</｜DSML｜parameter>\s*', re.DOTALL)


def parse_dsml(text: str, tools: Tools = ()) -> Parsed:
    """One element a call and an argument, which says whether its value is a text or JSON."""
    return extract(_BLOCK, text, _read_block, '_calls>')


def _read_block(match: re.Match[str]) -> list[Call]:
    """The calls of a block; nothing where anything in it is no call."""
    try:
        calls = [Call.of({'name': name, 'arguments': _read_parameters(body)})
                 for name, body in _INVOKE.findall(match[2]) if name]
    except ValueError:
        return []
    return [] if _INVOKE.sub('', match[2]).strip() else calls


def _read_parameters(body: str) -> dict[str, Any]:
    """Raises ValueError where something is no argument."""
    if _PARAMETER.sub('', body).strip():
        raise ValueError(f'text between arguments: {body[:80]!r}')
    return {name: value if is_text == 'true' else decode(value)
            for name, is_text, value in _PARAMETER.findall(body)}


DIALECTS.add(Dialect('deepseek', parse, source='DeepSeek-R1 chat template'))
DIALECTS.add(Dialect('deepseek_v3_1', parse, source='DeepSeek-V3.1 model card and chat template'))
DIALECTS.add(Dialect('deepseek_v3_2', parse_dsml, source='DeepSeek-V3.2 chat template (llama.cpp models/templates)'))
DIALECTS.add(Dialect('deepseek_v4', parse_dsml, source='DeepSeek-V4 chat template (llama.cpp models/templates)'))
