"""Calls of gpt-oss: a message to a function, in the harmony format. Source: chat template of openai/gpt-oss-120b."""

from __future__ import annotations

import re

from swift.llm.template.conversation import Call
from swift.llm.template.dialect import DIALECTS, Dialect, Parsed, Tools
from swift.llm.template.dialects._parsing import decode, extract

_CALL = re.compile(
    r'(?:<\|start\|>assistant)?(?:<\|channel\|>(?:commentary|analysis)\s*)? ?to=functions\.([\w.-]+)\s*'
    r'(?:<\|channel\|>(?:commentary|analysis))?\s*(?:<\|constrain\|>)?\s*(?:json)?\s*<\|message\|>(.*?)'
    r'(?:<\|call\|>|<\|end\|>|$)', re.DOTALL)


def parse(text: str, tools: Tools = ()) -> Parsed:
    """``to=functions.NAME<|channel|>commentary json<|message|>{...}<|call|>``; the recipient may stand in either place
    of the header."""
    def read(match: re.Match[str]) -> list[Call]:
        try:
            return [Call.of({'name': match[1], 'arguments': decode(match[2])})]
        except ValueError:
            return []

    return extract(_CALL, text, read)


DIALECTS.add(Dialect('gpt_oss', parse, stop_words=('<|call|>',), source='openai/gpt-oss-120b chat_template'))
