"""Calls of LFM2: a list of Python calls between tokens.

Source: chat_template.jinja of LFM2 and LFM2.5.
"""

from __future__ import annotations

import ast
import re
from typing import Any

from swift.llm.template.conversation import Call
from swift.llm.template.dialect import DIALECTS, Dialect, Parsed, Tools
from swift.llm.template.dialects._parsing import extract

_BLOCK = re.compile(r'<\|tool_call_start\|>\s*(.*?)\s*<\|tool_call_end\|>', re.DOTALL)
_JSON_WORDS = {'true': True, 'false': False, 'null': None}


def parse(text: str, tools: Tools = ()) -> Parsed:
    """``[name(key='text', other=1)]``; objects may be JSON. A string with its own quotes in it, as LFM2.5 writes it,
    can't be read, and its call stays in the content."""
    return extract(_BLOCK, text, lambda match: read_calls(match[1]), '<|tool_call_end|>')


def read_calls(text: str) -> list[Call]:
    """The calls of a list of Python calls; none if that is not what it is."""
    for source in (text, text.replace('\n', '\\n')):  # line breaks within a string may stand as they are
        try:
            tree = ast.parse(source, mode='eval')
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            continue
        nodes = tree.body.elts if isinstance(tree.body, ast.List) else [tree.body]
        try:
            return [_call(node) for node in nodes]
        except (ValueError, TypeError, RecursionError):  # TypeError: a list as a key
            continue
    return []


def _call(node: ast.expr) -> Call:
    """Raises ValueError if the node is no call by keywords of literals."""
    if not isinstance(node, ast.Call) or node.args or any(keyword.arg is None for keyword in node.keywords):
        raise ValueError(node)
    return Call.of({'name': ast.unparse(node.func),
                    'arguments': {keyword.arg: _value(keyword.value) for keyword in node.keywords}})


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Name) and node.id in _JSON_WORDS:
        return _JSON_WORDS[node.id]
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {_value(key): _value(item) for key, item in zip(node.keys, node.values, strict=True)}
    return ast.literal_eval(node)


DIALECTS.add(Dialect('lfm2', parse, source='chat_template.jinja of LFM2-8B-A1B and LFM2.5-8B-A1B'))
