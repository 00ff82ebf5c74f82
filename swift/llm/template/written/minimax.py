"""MiniMax. Checked against the chat templates of the checkpoints that each docstring names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from swift.llm.template.conversation import Call, Conversation, Turn, tojson
from swift.llm.template.dialects.minimax import M3, scalar
from swift.llm.template.writer import Writer
from swift.llm.template.written._answers import begin_behind, prompt_ending, split_at_tags
from swift.utils.errors import RowError

_M1_DEFAULT = 'You are a helpful assistant created by Minimax based on MiniMax-M1 model.'
_TOOLS = ('\n\n# Tools\nYou may call one or more tools to assist with the user query.\nHere are the tools available in '
          'JSONSchema format:\n\n<tools>\n')


# ------------------------------------------------------------------------------------------------------------- M1

def write_minimax_m1(c: Conversation, w: Writer) -> None:
    """MiniMax-M1: contents are stripped; an answer that calls tools has no other content."""
    w.text('<begin_of_document>')
    if c.system is None or c.system.content.strip():
        w.text('<beginning_of_sentence>system ai_setting=assistant\n')
        if c.system is None:
            w.text(_M1_DEFAULT)
        else:
            w.said(c.system, c.system.content.strip())
        w.text('<end_of_sentence>\n')
    if c.tools:
        _write_m1_tools(c, w)
    for turn in c.turns:
        if turn.role == 'user':
            w.text('<beginning_of_sentence>user name=user\n')
            w.said(turn, turn.content.strip())
            w.text('<end_of_sentence>\n')
        elif turn.role == 'assistant':
            _write_m1_answer(w, turn)
        elif turn.role == 'tool':
            w.text('<beginning_of_sentence>tool name=tools\ntool result: ')
            w.said(turn)
            w.text('\n\n<end_of_sentence>\n')
    if c.add_generation_prompt:
        w.text('<beginning_of_sentence>ai name=assistant\n')


def _write_m1_tools(c: Conversation, w: Writer) -> None:
    w.text('<beginning_of_sentence>system tool_setting=tools\nYou are provided with these tools:\n<tools>\n')
    for tool in c.tools:
        w.data(tojson(tool))
        w.text('\n')
    w.text('</tools>\n\nIf you need to call tools, please respond with <tool_calls></tool_calls> XML tags, and provide '
           'tool-name and json-object of arguments, following the format below:\n<tool_calls>\n'
           '{"name": <tool-name>, "arguments": <args-json-object>}\n...\n</tool_calls><end_of_sentence>\n')


def _write_m1_answer(w: Writer, turn: Turn) -> None:
    w.text('<beginning_of_sentence>ai name=assistant\n')
    w.begin(turn)
    if turn.calls:
        w.text('<tool_calls>\n')
        for call in turn.calls:
            w.text('{"name": "')
            w.said(turn, call.name)
            w.text('", "arguments": ')
            w.said(turn, tojson(call.arguments))
            w.text('}\n')
        w.text('</tool_calls>')
    else:
        w.said(turn, turn.content.strip())
    w.text('<end_of_sentence>')
    w.end()
    w.text('\n')


# ------------------------------------------------------------------------------------------------------ M2 and M3

def write_minimax_m2(c: Conversation, w: Writer, identity: str = 'You are a helpful assistant.') -> None:
    """MiniMax-M2: always thinks; the thinking stays from the last question on.

    Args:
        c: the conversation.
        w: where to write.
        identity: the system text of a conversation without one; it differs between the releases.
    """
    w.text(']~!b[]~b]system\n')
    _write_identity(c, w, identity)
    if c.tools:
        _write_tools(c, w)
        w.text('When making tool calls, use XML format to invoke tools and pass parameters:\n\n<minimax:tool_call>\n'
               '<invoke name="tool-name-1">\n<parameter name="param-key-1">param-value-1</parameter>\n'
               '<parameter name="param-key-2">param-value-2</parameter>\n...\n</invoke>\n</minimax:tool_call>')
    w.text('[e~[\n')
    prompted = prompt_ending(c, '<think>\n', '<think>\n\n</think>\n\n', is_thinking=True, is_empty=False)

    def write_answer(turn: Turn) -> None:
        reasoning, content = split_at_tags(turn)
        if reasoning and c.shows_reasoning(turn, turn.index > c.last_question):
            begin_behind(w, turn, ']~b]ai\n', prompted, '<think>\n')
            w.said(turn, reasoning)
            w.text('\n</think>\n\n')
        else:
            empty = '<think>\n\n</think>\n\n' if c.writes_empty(turn, False) else ''
            begin_behind(w, turn, ']~b]ai\n', prompted, empty)
        w.said(turn, content)
        if turn.calls:
            w.text('\n<minimax:tool_call>\n')
            for call in turn.calls:
                _write_m2_call(w, turn, call)
            w.text('</minimax:tool_call>')

    _write_turns(c, w, write_answer)
    if c.add_generation_prompt:
        w.text(']~b]ai\n' + prompted)


def _write_m2_call(w: Writer, turn: Turn, call: Call) -> None:
    w.text('<invoke name="')
    w.said(turn, call.name)
    w.text('">\n')
    for key, value in _arguments(call).items():
        w.text('<parameter name="')
        w.said(turn, key)
        w.text('">')
        w.said(turn, value if isinstance(value, str) else tojson(value))
        w.text('</parameter>\n')
    w.text('</invoke>\n')


_M3_MODES = {
    'enabled': 'Current thinking mode: enabled. You MUST think step by step before every response, including after '
               'receiving function/tool results.\n',
    'disabled': 'Current thinking mode: disabled. Do not output any thinking process.\n',
    'adaptive': 'Current thinking mode: adaptive. You are encouraged to think for complex decision-making, multi-step '
                'reasoning, or when analyzing function/tool results.\n',
}


def write_minimax_m3(c: Conversation, w: Writer) -> None:
    """MiniMax-M3: a system text of its own; that of the row is the developer's. Every answer shows its thinking, or
    that it has none; arguments are nested XML."""
    w.text(']~!b[]~b]system\nYour model version is MiniMax-M3, developed by MiniMax. Knowledge cutoff: January 2026. '
           'Founded in early 2022, MiniMax is a global AI foundation model company committed to advancing the '
           'frontiers of AI towards AGI.\n\n<thinking_instructions>\nYou have a thinking capability that allows you to '
           'reason step by step before responding. When thinking is enabled, wrap your reasoning in '
           '<mm:think></mm:think> tags before your response. When thinking is disabled, begin your response directly '
           'after the </mm:think> prefix. When thinking is adaptive, decide on your own whether to think for the '
           'current turn.\n')
    mode = c.options.get('thinking_mode', 'adaptive')
    w.text(_M3_MODES.get(mode, '') + '</thinking_instructions>[e~[\n]~b]developer\n')
    _write_identity(c, w, 'You are a helpful assistant.')
    if c.tools:
        _write_tools(c, w)
        w.text(_m3_instructions())
    w.text('[e~[\n')
    prompted = prompt_ending(c, '<mm:think>', '</mm:think>', is_thinking=mode == 'enabled',
                             is_empty=mode == 'disabled')

    def write_answer(turn: Turn) -> None:
        reasoning, content = split_at_tags(turn, '<mm:think>', '</mm:think>')
        if reasoning and c.shows_reasoning(turn, True):
            begin_behind(w, turn, ']~b]ai\n', prompted, '<mm:think>')
            w.said(turn, reasoning)
            w.text('</mm:think>')
        else:
            begin_behind(w, turn, ']~b]ai\n', prompted, '</mm:think>' if c.writes_empty(turn, True) else '')
        w.said(turn, content)
        if turn.calls:
            w.text(f'{M3}<tool_call>\n')
            for call in turn.calls:
                _write_m3_call(w, turn, call)
            w.text(f'{M3}</tool_call>')

    _write_turns(c, w, write_answer)
    if c.add_generation_prompt:
        w.text(']~b]ai\n' + prompted)


def _m3_instructions() -> str:
    example = ('<tool_call>\n@<invoke name="tool-name-1">@<param-1>value-1@</param-1>@<param-2>@<item>@<key-a>val-a'
               '@</key-a>@<key-b>val-b@</key-b>@</item>@</param-2>@</invoke>\n@<invoke name="tool-name-2">@<param-1>'
               'value-1@</param-1>@</invoke>\n@</tool_call>')
    return (f'To call tools, wrap all invocations in a single {M3}<tool_call>{M3}</tool_call> block. Parameter values '
            'containing nested objects or arrays are recursively expanded into XML elements. Example:\n\n'
            + M3 + example.replace('@', M3))


def _write_m3_call(w: Writer, turn: Turn, call: Call) -> None:
    w.text(f'{M3}<invoke name="')
    w.said(turn, call.name)
    w.text('">')
    _write_xml(w, turn, _arguments(call))
    w.text(f'{M3}</invoke>\n')


def _write_xml(w: Writer, turn: Turn, value: Any) -> None:
    """Objects and lists as elements; an object's null is left out, as the publisher does."""
    if isinstance(value, Mapping):
        items = [(key, item) for key, item in value.items() if item is not None]
    elif isinstance(value, list):
        items = [('item', item) for item in value]
    else:
        w.said(turn, scalar(value))
        return
    for key, item in items:
        for opening in (f'{M3}<', f'{M3}</'):
            w.text(opening)
            w.said(turn, key)
            w.text('>')
            if opening.endswith('<'):
                _write_xml(w, turn, item)


# ---------------------------------------------------------------------------------------------------------- both

def _write_identity(c: Conversation, w: Writer, identity: str) -> None:
    if c.system is not None and c.system.content:
        w.said(c.system)
    else:
        w.text(c.options.get('model_identity', identity))


def _write_tools(c: Conversation, w: Writer) -> None:
    w.text(_TOOLS)
    for tool in c.tools:
        w.text('<tool>')
        w.data(tojson(tool.get('function')))
        w.text('</tool>\n')
    w.text('</tools>\n\n')


def _write_turns(c: Conversation, w: Writer, write_answer: Callable[[Turn], None]) -> None:
    """Every turn but the first system text; later ones are left out, as the publisher does.

    Raises:
        RowError: a result of a tool that nothing called.
    """
    has_called = False
    for turn in c.turns:
        if turn.role == 'user':
            w.text(']~b]user\n')
            w.said(turn)
            w.text('[e~[\n')
        elif turn.role == 'assistant':
            has_called = bool(turn.calls)
            write_answer(turn)
            w.text('[e~[')
            w.end()
            w.text('\n')
        elif turn.role == 'tool':
            if not has_called:
                raise RowError('a tool turn has no answer before it that calls a tool')
            _write_result(c, w, turn)


def _write_result(c: Conversation, w: Writer, turn: Turn) -> None:
    before, after = c.preceding(turn), c.following(turn)
    w.text(']~b]tool' if before is None or before.role != 'tool' else '')
    w.text('\n<response>')
    w.said(turn)
    w.text('</response>')
    w.text('[e~[\n' if after is None or after.role != 'tool' else '')


def _arguments(call: Call) -> Mapping[str, Any]:
    if isinstance(call.arguments, Mapping):
        return call.arguments
    raise RowError(f'the arguments of the call of {call.name!r} are no object: {call.text[:100]}')
