"""Calls as JSON behind marks of their own: xLAM, Nemotron Nano v2, InternLM2."""

from __future__ import annotations

import re
from typing import Any

from swift.llm.template.conversation import Call
from swift.llm.template.dialect import DIALECTS, Dialect, Parsed, Tools
from swift.llm.template.dialects._parsing import call_of, extract, literal

_NEMOTRON = re.compile(r'<TOOLCALL>(.*?)</TOOLCALL>', re.DOTALL)
_INTERNLM = re.compile(r'<\|action_start\|>\s*<\|plugin\|>(.*?)<\|action_end\|>', re.DOTALL)
_ENDED = re.compile(r'<\|(?:im_end|eot_id)\|>\s*\Z')


def parse_nemotron(text: str, tools: Tools = ()) -> Parsed:
    """``<TOOLCALL>[{"name": ..., "arguments": {...}}, ...]</TOOLCALL>``."""
    return extract(_NEMOTRON, text, lambda match: _read(match[1]), '</TOOLCALL>')


def parse_internlm(text: str, tools: Tools = ()) -> Parsed:
    """``<|action_start|><|plugin|>{"name": ..., "arguments": {...}}<|action_end|>``, any number of times."""
    return extract(_INTERNLM, text, lambda match: _read(match[1]), '<|action_end|>', tight=False)


def parse_xlam(text: str, tools: Tools = ()) -> Parsed:
    """An answer that is nothing but a JSON list of calls (perhaps between fences), or ends with one."""
    bare = _ENDED.sub('', text).strip().removeprefix('```json').removesuffix('```').strip()
    start = bare.find('[{')
    calls = _read(bare[start:]) if start >= 0 else []
    return Parsed(bare[:start].rstrip(), tuple(calls)) if calls else Parsed(text)


def _read(text: str) -> list[Call]:
    """The calls of one call or a list of them; nothing where anything in it is no call."""
    try:
        raw: Any = literal(text)
    except ValueError:
        return []
    found = [call_of(item) for item in (raw if isinstance(raw, list) else [raw])]
    return [call for calls in found for call in calls] if all(found) else []


DIALECTS.add(Dialect('nemotron', parse_nemotron, source='NVIDIA-Nemotron-Nano-9B-v2 chat template'))
DIALECTS.add(Dialect('internlm2', parse_internlm, source='InternLM2 agent documentation; vLLM examples'))
DIALECTS.add(Dialect('xlam', parse_xlam, source='xLAM-2 chat templates (vLLM examples)'))
