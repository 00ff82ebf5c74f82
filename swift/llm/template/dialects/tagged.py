"""Calls as functions and parameters between tags: Seed-OSS, Muse Glimmer; and Jamba's list of JSON.

Sources: chat_template.jinja of Seed-OSS-36B-Instruct and Muse Glimmer; axolotl's rendition of Jamba's.
"""

from __future__ import annotations

import re

from swift.llm.template.conversation import Call
from swift.llm.template.dialect import DIALECTS, Dialect, Parsed, Tools
from swift.llm.template.dialects._parsing import extract, properties_of, typed
from swift.llm.template.dialects.json_list import JsonList

_SEED = re.compile(r'<seed:tool_call>\s*<function=([^>]+)>(.*?)</function>\s*</seed:tool_call>', re.DOTALL)
_SEED_PARAMETER = re.compile(r'\s*<parameter=([^>]+)>(.*?)</parameter>(?=\s*(?:<parameter=|$))', re.DOTALL)
_ATEM = re.compile(r'<atem:function_calls>\s*(.*?)\s*</atem:function_calls>', re.DOTALL)
_ATEM_CALL = re.compile(r'\s*<atem:invoke name="([^"]+)">(.*?)</atem:invoke>', re.DOTALL)
_ATEM_PARAMETER = re.compile(r'\s*<atem:parameter name="([^"]+)">(.*?)</atem:parameter>', re.DOTALL)
_MESSAGE = re.compile(r'(?:<\|start\|>assistant)? ?to=(\S+?)<\|message\|>(.*?)(?:<\|eom\|>|<\|eot\|>|$)', re.DOTALL)


def parse_seed(text: str, tools: Tools = ()) -> Parsed:
    """``<function=name><parameter=key>value</parameter></function>``, each call in a ``<seed:tool_call>``."""
    return extract(_SEED, text, lambda match: _read(match[1], match[2], _SEED_PARAMETER, tools),
                   '</seed:tool_call>')


def parse_atem(text: str, tools: Tools = ()) -> Parsed:
    """``<atem:invoke name="...">``, each in a message to its tool. What the model says to itself is left out."""
    def read(match: re.Match[str]) -> list[Call]:
        calls = [call for name, body in _ATEM_CALL.findall(match[1])
                 for call in _read(name, body, _ATEM_PARAMETER, tools)]
        return [] if _ATEM_CALL.sub('', match[1]).strip() else calls

    spoken = _MESSAGE.sub(lambda match: '' if match[1] == 'self' else match[2], text)
    return extract(_ATEM, spoken, read, '</atem:function_calls>')


def _read(name: str, body: str, parameter: re.Pattern[str], tools: Tools) -> list[Call]:
    if parameter.sub('', body).strip():
        return []
    schemas = properties_of(tools, name)
    return [Call.of({'name': name, 'arguments': {key: typed(value, schemas.get(key))
                                                 for key, value in parameter.findall(body)}})]


DIALECTS.add(Dialect('seed_oss', parse_seed, source='chat_template.jinja of Seed-OSS-36B-Instruct'))
DIALECTS.add(Dialect('atem', parse_atem, source='chat_template.jinja of Muse Glimmer'))
DIALECTS.add(Dialect('jamba', JsonList(r'<tool_calls>\s*(?=\[)', r'\s*</tool_calls>'),
                     source='axolotl chat template jamba'))
