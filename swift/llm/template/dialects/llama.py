"""Calls of Llama 3 and 4 and of models on top of them: JSON with ``parameters``, or Python."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any

from swift.llm.template.conversation import Call, Conversation, Turn, tojson
from swift.llm.template.dialect import DIALECTS, Dialect, Parsed, Tools
from swift.llm.template.dialects._parsing import call_of, decode_at, properties_of, typed
from swift.llm.template.dialects.json_list import JsonList
from swift.llm.template.writer import Writer

_OBJECT = re.compile(r'\{\s*"(?:name|type|function|parameters)"')
_BETWEEN = re.compile(r'(?:\s|;|,|<\|python_tag\|>)*')
_END = re.compile(r'(?:\s|<\|eot_id\|>|<\|eom_id\|>|<\|eot\|>|<\|eom\|>)*\Z')
_BUILTIN = re.compile(r'<\|python_tag\|>\s*([\w.]+)\.call\((.*)\)', re.DOTALL)
_KEYWORD = re.compile(r'(\w+)="(.*?)"(?=, \w+="|\Z)', re.DOTALL)
_SAID = re.compile(r'<\|python_(?:start|end)\|>')


def parse(text: str, tools: Tools = ()) -> Parsed:
    """``{"name": ..., "parameters": {...}}`` at the end of an answer, one or several; or a built-in tool's
    ``<|python_tag|>name.call(key="value")``."""
    builtin = _BUILTIN.search(text)
    if builtin:
        call = Call.of({'name': builtin[1], 'arguments': dict(_KEYWORD.findall(builtin[2]))})
        return Parsed(text[:builtin.start()].rstrip(), (call,))
    for match in _OBJECT.finditer(text):
        calls = _calls_at(text, match.start())
        if calls:
            said = text[:match.start()].removesuffix('<|python_tag|>')
            return Parsed(_SAID.sub('', said).strip(), tuple(calls))
    return Parsed(text)


def _calls_at(text: str, at: int) -> list[Call]:
    """The calls from here to the end of the answer; nothing if anything else stands there."""
    calls: list[Call] = []
    while not _END.match(text, at):
        try:
            raw, at = decode_at(text, at)
        except ValueError:
            return []
        found = call_of(raw)
        if not found:
            return []
        calls += found
        at = _BETWEEN.match(text, at).end()
    return calls


_LIST = re.compile(r'\[(?=[\w.]+\()')
_NAMED = re.compile(r'([\w.]+)\((.*?)\)(?=\s*,\s*[\w.]+\(|\s*\Z)', re.DOTALL)


def parse_python(text: str, tools: Tools = ()) -> Parsed:
    """``[name(key=value), ...]``: values in Python's notation, or bare, as the templates show earlier calls."""
    match = _LIST.search(text)
    end = text.rfind(']')
    if match is None or end < match.end():
        return Parsed(text)
    calls = _python_calls(text[match.start():end + 1], tools) or _bare_calls(text[match.end():end], tools)
    return Parsed(text[:match.start()].rstrip(), tuple(calls)) if calls else Parsed(text)


def _python_calls(source: str, tools: Tools) -> list[Call]:
    try:
        tree = ast.parse(source, mode='eval').body
        found = [(ast.unparse(node.func), {keyword.arg: ast.literal_eval(keyword.value) for keyword in node.keywords})
                 for node in tree.elts if isinstance(node, ast.Call) and not node.args]
    except (ValueError, SyntaxError, AttributeError, TypeError, MemoryError, RecursionError):
        return []
    if len(found) != len(tree.elts) or any(key is None for _, arguments in found for key in arguments):
        return []
    try:
        return [Call.of({'name': name, 'arguments': _fit(arguments, properties_of(tools, name))})
                for name, arguments in found]
    except TypeError:  # a set, or bytes, which no JSON has
        return []


def _fit(arguments: Mapping[str, Any], schemas: Mapping[str, Any]) -> dict[str, Any]:
    """Values as the schemas want them: a text in quotes may stand for a number, a bare number for a text."""
    return {key: typed(value if isinstance(value, str) else str(value), schemas[key])
            if key in schemas and isinstance(value, str | int | float) else value
            for key, value in arguments.items()}


def _bare_calls(source: str, tools: Tools) -> list[Call]:
    calls = []
    for match in _NAMED.finditer(source):
        schemas = properties_of(tools, match[1])
        known = '|'.join(map(re.escape, schemas)) or r'\w+'
        pieces = re.split(rf'(?:\A|, )({known})=', match[2])
        if pieces[0]:  # not an argument that the tool is known to have
            pieces = re.split(r'(?:\A|, )(\w+)=', match[2])
        if pieces[0]:
            return []
        values = pieces[2::2]
        if all(len(value) > 1 and value[0] == value[-1] == '"' for value in values):
            values = [value[1:-1] for value in values]  # Llama 4's template quotes every value and escapes nothing
        arguments = {name: typed(value, schemas.get(name))
                     for name, value in zip(pieces[1::2], values, strict=True)}
        calls.append(Call.of({'name': match[1], 'arguments': arguments}))
    return calls


# -- for declared templates of the Llama 3 family, whose own template has no place for tools --------------------------

def write_tools(w: Writer, c: Conversation) -> None:
    """Tools as Llama 3.1 introduces them in its system text (``tools_in_user_message`` off)."""
    w.text('You have access to the following functions. To call a function, please respond with JSON for a function '
           'call.Respond in the format {"name": function name, "parameters": dictionary of argument name and its '
           'value}.Do not use variables.\n\n')
    for tool in c.tools:
        w.data(tojson(tool, indent=4))
        w.text('\n\n')
    if c.system is not None:
        w.said(c.system)


def write_calls(w: Writer, turn: Turn) -> None:
    for i, call in enumerate(turn.calls):
        w.text('; ' if i else '')
        w.text('{"name": "')
        w.said(turn, call.name)
        w.text('", "parameters": ')
        w.said(turn, call.text)
        w.text('}')


def write_results(w: Writer, turns: Sequence[Turn]) -> None:
    for i, turn in enumerate(turns):
        w.text('\n' if i else '')
        w.said(turn, tojson(turn.content))


DIALECTS.add(Dialect('llama3', parse, write_tools, write_calls, write_results, stop_words=('<|eom_id|>',),
                     source='Llama-3.1-8B-Instruct chat template'))
DIALECTS.add(Dialect('llama4', parse, source='Llama-4-Scout-17B-16E-Instruct chat template (Axolotl)'))
DIALECTS.add(Dialect('pythonic', parse_python, source='vLLM examples/tool_chat_template_{toolace,llama3.2_pythonic}'))
DIALECTS.add(Dialect('functools', JsonList(r'functools\s*(?=\[)'), source='llama-3-firefunction-v2 chat template'))
