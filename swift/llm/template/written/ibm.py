"""Granite of IBM. Checked against the chat templates that each docstring names."""

from __future__ import annotations

from dataclasses import dataclass

from swift.llm.template.conversation import Conversation, Turn, tojson
from swift.llm.template.dialects.hermes import write_calls, write_results
from swift.llm.template.writer import Writer

_END = '<|end_of_text|>'
_TOOLS_3_3 = (
    ' You are a helpful assistant with access to the following tools. When a tool is required to answer the user\'s '
    'query, respond only with <|tool_call|> followed by a JSON list of tools used. If a tool does not exist in the '
    'provided list of tools, notify the user that you do not have the ability to fulfill the request.')
_THINKING_3_3 = (
    ' You are a helpful AI assistant.\nRespond to every user query in a comprehensive and detailed way. You can write '
    'down your thoughts and reasoning process before responding. In the thought process, engage in a comprehensive '
    'cycle of analysis, summarization, exploration, reassessment, reflection, backtracing, and iteration to develop '
    'well-considered thinking process. In the response section, based on various attempts, explorations, and '
    'reflections from the thoughts section, systematically present the final solution that you deem correct. The '
    'response should summarize the thought process. Write your thoughts between <think></think> and write your '
    'response between <response></response> for each user query.')
_TOOLS_4 = (
    'You are a helpful assistant with access to the following tools. You may call one or more tools to assist with '
    'the user query.\n\nYou are provided with function signatures within <tools></tools> XML tags:\n<tools>',
    '\n</tools>\n\nFor each tool call, return a json object with function name and arguments within '
    '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n'
    '</tool_call>. If a tool does not exist in the provided list of tools, notify the user that you do not have the '
    'ability to fulfill the request.')
_SYSTEM_4 = 'You are a helpful assistant. Please ensure responses are professional, accurate, and safe.'


def _open(w: Writer, role: str) -> None:
    w.text(f'<|start_of_role|>{role}<|end_of_role|>')


def _write_turn(w: Writer, turn: Turn, role: str = '') -> None:
    _open(w, role or turn.role)
    if turn.role == 'assistant':
        w.begin(turn)
    w.said(turn)
    _close(w)


def _close(w: Writer) -> None:
    w.text(_END)
    w.end()
    w.text('\n')


@dataclass(frozen=True)
class Granite3:
    """Granite 3.0 to 3.2.

    Attributes:
        has_calls: calls and results are written, as vLLM does; IBM's own template leaves them out.
    """

    has_calls: bool = False

    def write(self, c: Conversation, w: Writer) -> None:
        if c.tools:
            _open(w, 'available_tools')
            w.text('\n')
            for i, tool in enumerate(c.tools):
                w.text('\n\n' if i else '')
                w.data(tojson(tool, indent=4))
            w.text(_END + '\n')
        for turn in c.turns:
            if self.has_calls and turn.calls:
                _write_list(w, turn)
            elif turn.role != 'tool':
                _write_turn(w, turn)
            elif self.has_calls:
                _write_turn(w, turn, 'tool_response')
        if c.add_generation_prompt and c.turns:
            _open(w, 'assistant')


def _write_list(w: Writer, turn: Turn) -> None:
    """The calls of an answer, whose content has no place beside them."""
    _open(w, 'assistant')
    w.begin(turn)
    w.text('<|tool_call|>')
    w.said(turn, tojson([call.raw.get('function', call.raw) for call in turn.calls], indent=4))
    _close(w)


write_granite3 = Granite3().write
write_granite3_vllm = Granite3(has_calls=True).write


def write_granite3_3(c: Conversation, w: Writer) -> None:
    """Granite 3.3: a default system text with the date; every other turn with its role."""
    _open(w, 'system')
    if c.system:
        w.said(c.system)
    else:
        w.text(f'Knowledge Cutoff Date: April 2024. Today\'s Date: {c.now:%B %d, %Y}. You are Granite, developed by '
               'IBM.')
        w.text(_TOOLS_3_3 if c.tools else _THINKING_3_3 if c.options.get('thinking')
               else ' You are a helpful AI assistant.')
    w.text(_END + '\n')
    if c.tools:
        _open(w, 'available_tools')
        w.data(tojson(list(c.tools), indent=4))
        w.text(_END + '\n')
    turns = c.turns[1 if c.system else 0:]
    for turn in turns:
        _write_turn(w, turn)
    if c.add_generation_prompt and turns:
        _open(w, 'assistant')


@dataclass(frozen=True)
class Granite4:
    """Granite 4.0 and 4.1: calls and results between tags, results as a user's turn.

    Attributes:
        default_system: stands where there are neither a system text nor tools.
    """

    default_system: str = ''

    def write(self, c: Conversation, w: Writer) -> None:
        if c.tools or c.system and c.system.content or self.default_system:
            _open(w, 'system')
            if c.system:
                w.said(c.system)
            if c.tools:
                self._write_tools(c, w)
            elif not (c.system and c.system.content):
                w.text(self.default_system)
            w.text(_END + '\n')
        for turn in c.turns[1 if c.system else 0:]:
            if turn.role == 'tool':
                self._write_result(c, w, turn)
            elif turn.role == 'assistant':
                _open(w, 'assistant')
                w.begin(turn)
                w.said(turn)
                write_calls(w, turn)
                _close(w)
            else:
                _write_turn(w, turn)
        if c.add_generation_prompt:
            _open(w, 'assistant')

    def _write_tools(self, c: Conversation, w: Writer) -> None:
        w.text('\n\n' if c.system else '')
        w.text(_TOOLS_4[0])
        for tool in c.tools:
            w.text('\n')
            w.data(tojson(tool))
        w.text(_TOOLS_4[1])

    def _write_result(self, c: Conversation, w: Writer, turn: Turn) -> None:
        before, after = c.preceding(turn), c.following(turn)
        if before is None or before.role != 'tool':
            _open(w, 'user')
        w.text('\n')
        write_results(w, [turn])
        w.text(f'{_END}\n' if after is None or after.role != 'tool' else '')


write_granite4 = Granite4(_SYSTEM_4).write
write_granite4_1 = Granite4().write
