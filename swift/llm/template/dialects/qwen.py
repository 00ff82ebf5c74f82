"""Calls between flowers, for Qwen models without a format of their own: Qwen-Agent's, in English and Chinese."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from swift.llm.template.conversation import Call, Conversation, Turn, tojson
from swift.llm.template.dialect import DIALECTS, Dialect, Parsed, Tools
from swift.llm.template.dialects._parsing import extract, literal
from swift.llm.template.writer import Writer

_CALL = re.compile(r'✿FUNCTION✿:[ \t]*([^\n]*?)[ \t]*\n✿ARGS✿:[ \t]*(.*?)(?=\n?✿(?:FUNCTION|RESULT|RETURN)✿|\Z)',
                   re.DOTALL)
_RESULT = '✿RESULT✿:'


@dataclass(frozen=True)
class Wording:
    """The texts around the tools.

    Attributes:
        head: what opens the paragraph.
        parameters: in front of the parameters of a tool.
        form: behind them.
        rules: behind the tools; ``{names}`` are those of the tools.
        bare: the names stand without quotes.
    """

    head: str
    parameters: str
    form: str
    rules: str
    bare: bool = True


_EN_HEAD = '\n\n# Tools\n\n## You have access to the following tools:\n\n'
_ZH_HEAD = '\n\n# 工具\n\n## 你拥有如下工具：\n\n'
_EN_FORM = 'Format the arguments as a JSON object.'
_ZH_FORM = '此工具的输入应为JSON对象。'

EN = Wording(_EN_HEAD, 'Parameters: ', _EN_FORM, (
    '\n\n## When you need to call a tool, please insert the following command in your reply, which can be called zero '
    'or multiple times according to your needs:\n\n✿FUNCTION✿: The tool to use, should be one of [{names}]\n✿ARGS✿: '
    'The input of the tool\n✿RESULT✿: Tool results\n✿RETURN✿: Reply based on tool results. Images need to be rendered '
    'as ![](url)'))
ZH = Wording(_ZH_HEAD, '输入参数：', _ZH_FORM, (
    '\n\n## 你可以在回复中插入零次、一次或多次以下命令以调用工具：\n\n✿FUNCTION✿: 工具名称，必须是[{names}]之一。\n'
    '✿ARGS✿: 工具输入\n✿RESULT✿: 工具结果\n✿RETURN✿: 根据工具结果进行回复，需将图片用![](url)渲染出来'))
EN_PARALLEL = Wording(_EN_HEAD, 'Parameters: ', _EN_FORM, (
    '\n\n## Insert the following command in your reply when you need to call N tools in parallel:\n\n✿FUNCTION✿: The '
    'name of tool 1, should be one of [{names}]\n✿ARGS✿: The input of tool 1\n✿FUNCTION✿: The name of tool 2\n✿ARGS✿: '
    'The input of tool 2\n...\n✿FUNCTION✿: The name of tool N\n✿ARGS✿: The input of tool N\n✿RESULT✿: The result of '
    'tool 1\n✿RESULT✿: The result of tool 2\n...\n✿RESULT✿: he result of tool N\n✿RETURN✿: Reply based on tool '
    'results. Images need to be rendered as ![](url)'), bare=False)
ZH_PARALLEL = Wording(_ZH_HEAD, '输入参数：', _ZH_FORM, (
    '\n\n## 你可以在回复中插入以下命令以并行调用N个工具：\n\n✿FUNCTION✿: 工具1的名称，必须是[{names}]之一\n✿ARGS✿: '
    '工具1的输入\n✿FUNCTION✿: 工具2的名称\n✿ARGS✿: 工具2的输入\n...\n✿FUNCTION✿: 工具N的名称\n✿ARGS✿: 工具N的输入\n'
    '✿RESULT✿: 工具1的结果\n✿RESULT✿: 工具2的结果\n...\n✿RESULT✿: 工具N的结果\n✿RETURN✿: 根据工具结果进行回复，'
    '需将图片用![](url)渲染出来'), bare=False)


def parse(text: str, tools: Tools = ()) -> Parsed:
    """``✿FUNCTION✿: NAME`` and ``✿ARGS✿: {...}`` on lines of their own, any number of times."""
    def read(match: re.Match[str]) -> list[Call]:
        try:
            values = literal(match[2])
        except ValueError:
            return []
        return [Call(match[1], values, match[2].strip())] if match[1] and isinstance(values, Mapping) else []

    parsed = extract(_CALL, text, read)
    if not parsed.calls:
        return parsed
    return Parsed(parsed.content.rstrip().removesuffix(_RESULT).rstrip(), parsed.calls)


def _write_tools(wording: Wording, w: Writer, c: Conversation) -> None:
    functions: list[Mapping[str, Any]] = [tool.get('function', tool) for tool in c.tools]
    names = [str(function.get('name', '')) for function in functions]
    if c.system is not None:
        w.said(c.system)
    w.text(wording.head)
    for i, (name, function) in enumerate(zip(names, functions, strict=True)):
        w.text('\n\n### ' if i else '### ')
        w.data(f'{name}\n\n{name}: {function.get("description", "")} ')
        w.text(wording.parameters)
        w.data(tojson(function.get('parameters') or {}))
        w.text(f' {wording.form}')
    before, after = wording.rules.split('{names}')
    w.text(before)
    w.data(','.join(names) if wording.bare else str(names))
    w.text(after)


def _write_calls(w: Writer, turn: Turn) -> None:
    for i, call in enumerate(turn.calls):
        w.text('\n' if turn.content and not i and not turn.content.endswith('\n') else '')
        w.text('✿FUNCTION✿: ')
        w.said(turn, call.name)
        w.text('\n✿ARGS✿: ')
        w.said(turn, call.text)
        w.text('\n')
    w.text(_RESULT)


def _write_results(w: Writer, turns: Sequence[Turn]) -> None:
    """Behind the mark with which the calls end; every further result has its own."""
    for i, turn in enumerate(turns):
        w.text(_RESULT if i else '')
        w.said(turn)
        w.text('' if turn.content.endswith('\n') else '\n')


for _name, _wording in (('qwen_en', EN), ('qwen_zh', ZH), ('qwen_en_parallel', EN_PARALLEL),
                        ('qwen_zh_parallel', ZH_PARALLEL)):
    DIALECTS.add(Dialect(_name, parse, partial(_write_tools, _wording), _write_calls, _write_results, continues=True,
                         stop_words=(_RESULT,), source='Qwen-Agent function calling prompts; agent templates of SWIFT'))
