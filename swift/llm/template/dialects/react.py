"""Thought, Action, Action Input, Observation: ReAct in English and Chinese, its form for GRPO, and ToolBench.

The result of a call stands in the same answer, which goes on behind it. Sources: ReAct (arXiv 2210.03629), the ReAct
prompt of LangChain and of Qwen's documentation, ToolBench (OpenBMB, arXiv 2307.16789).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from swift.llm.template.conversation import Call, Conversation, Turn, tojson
from swift.llm.template.dialect import DIALECTS, Dialect, Parsed, Tools
from swift.llm.template.dialects._parsing import decode_at
from swift.llm.template.writer import Writer

_CALL = re.compile(r'Action:[ \t]*(?P<name>[^\n]+?)[ \t]*\n+[ \t]*Action Input:[ \t]*')
_OBSERVATION = re.compile(r'\s*Observation:[ \t]*')

_EN = ('Answer the following questions as best as you can. You have access to the following APIs:\n', """

Use the following format:

Thought: you should always think about what to do
Action: the action to take, should be one of the above tools[{names}]
Action Input: the input to the action
Observation: the result of the action
... (this Thought/Action/Action Input/Observation can be repeated zero or more times)
Thought: I now know the final answer
Final Answer: the final answer to the original input question

Begin!
""")
_ZH = ('尽你所能回答以下问题。你拥有如下工具：\n\n', """

使用以下格式回答：

Thought: 思考你应该做什么
Action: 工具的名称，必须是[{names}]之一
Action Input: 工具的输入
Observation: 工具返回的结果
...(Thought/Action/Action Input/Observation的过程可以重复零次或多次)
Thought: 我现在知道最后的答案
Final Answer: 对原始输入问题的最终答案

开始！
""")
_GRPO = ("""A conversation between a user and an assistant, who may call tools to answer. The assistant first thinks \
between <think> and </think>, and then acts or answers between <answer> and </answer>. You have access to the \
following tools:
""", """

To call a tool, write within <answer>:

Action: the action to take, should be one of [{names}]
Action Input: the input to the action
Observation: the result of the action

To answer the question, write within <answer>:

Final Answer: the final answer to the original input question
""")
_TOOLBENCH = ("""You can use many tools(functions) to do the following task.
First I will give you the task description, and your task start.
At each step, you need to give your thought to analyze the status now and what to do next, with a function call to \
actually excute your step. Your output should follow this format:
Thought:
Action:
Action Input:

After the call, you will get the call result, and you are now in a new state.
Then you will analyze your status now, then decide what to do next...
After many (Thought-call) pairs, you finally perform the task, then you can give your finial answer.
Remember:
1.the state change is irreversible, you can't go back to one of the former state, if you want to restart the task, \
say "I give up and restart".
2.All the thought is short, at most in 5 sentence.
3.You can do more then one trys, so if your plan is to continusly try some conditions, you can do one of the \
conditions per try.
Let's Begin!
Task description: You should use functions to help handle the real time user querys. Remember:
1.ALWAYS call "Finish" function at the end of the task. And the final answer should contain enough information to show \
to the user,If you can't handle the task, or you find that function calls always fail(the function is not valid now), \
use function Finish->give_up_and_restart.
2.Do not use origin tool names, use only subfunctions' names.
Specifically, you have access to the following APIs: """, '')  # with ToolBench's own spelling, which models have read


def parse(text: str, tools: Tools = ()) -> Parsed:
    """``Action: name`` and ``Action Input: {...}``; the thought in front stays in the content."""
    calls: list[Call] = []
    kept: list[str] = []
    done = 0
    for match in _CALL.finditer(text):
        if match.start() < done:
            continue
        try:
            arguments, end = decode_at(text, match.end())
        except ValueError:
            continue
        if not isinstance(arguments, Mapping):
            continue
        kept.append(text[done:match.start()].rstrip(' \t'))
        calls.append(Call.of({'name': match['name'], 'arguments': arguments}))
        observation = _OBSERVATION.match(text, end)
        done = observation.end() if observation is not None else end
    if not calls:
        return Parsed(text)
    kept.append(text[done:])
    return Parsed(''.join(kept).strip('\n'), tuple(calls))


def write_tools(w: Writer, c: Conversation, prompt: tuple[str, str], describe: Any) -> None:
    """The system text, and behind it the prompt with the tools in it."""
    if c.system is not None and c.system.content:
        w.said(c.system)
        w.text('\n\n')
    functions = [tool.get('function', tool) for tool in c.tools]
    before, behind = prompt
    w.text(before)
    describe(w, functions)
    start, marker, end = behind.partition('{names}')
    w.text(start)
    if marker:
        w.data(', '.join(function['name'] for function in functions))
    w.text(end)


def _describe(w: Writer, functions: Sequence[Mapping[str, Any]], words: tuple[str, ...]) -> None:
    """``words`` stand behind the name, the name, the name, the description and the parameters."""
    for i, function in enumerate(functions):
        w.text('\n\n' if i else '')
        name = function['name']
        pieces = (name, name, name, function.get('description') or '', tojson(function.get('parameters') or {}))
        for piece, text in zip(pieces, words, strict=True):
            w.data(piece)
            w.text(text)


_WORDS_EN = (': Call this tool to interact with the ', ' API. What is the ', ' API useful for? ', ' Parameters: ',
             ' Format the arguments as a JSON object.')
_WORDS_ZH = ('：调用此工具与 ', ' API进行交互。', ' 有什么用？', ' 输入参数：', ' 此工具的输入应为JSON对象。')


def _describe_as_json(w: Writer, functions: Sequence[Mapping[str, Any]]) -> None:
    w.data(tojson(functions))


def write_calls(w: Writer, turn: Turn) -> None:
    """Every call up to the word behind which its result stands."""
    for i, call in enumerate(turn.calls):
        before = turn.content if not i else '\n'
        w.text('' if not before or before.endswith('\n') else '\n')
        w.text('Action: ')
        w.said(turn, call.name)
        w.text('\nAction Input: ')
        w.said(turn, call.text)
        w.text('\n')
    w.text('Observation:')


def write_results(w: Writer, turns: Sequence[Turn]) -> None:
    for i, turn in enumerate(turns):
        w.text('\nObservation: ' if i else ' ')
        w.said(turn)
    w.text('\n')


def _add(name: str, prompt: tuple[str, str], describe: Any, source: str) -> None:
    DIALECTS.add(Dialect(name, parse, partial(write_tools, prompt=prompt, describe=describe), write_calls,
                         write_results, continues=True, stop_words=('Observation:',), source=source))


_add('react_en', _EN, partial(_describe, words=_WORDS_EN), 'the ReAct prompt of LangChain, worded as in SWIFT\'s docs')
_add('react_zh', _ZH, partial(_describe, words=_WORDS_ZH), 'the ReAct prompt in Chinese')
_add('react_grpo', _GRPO, partial(_describe, words=_WORDS_EN), 'ReAct within the tags of R1-like training; own wording')
_add('toolbench', _TOOLBENCH, _describe_as_json, 'OpenBMB/ToolBench, system prompt of its data')
