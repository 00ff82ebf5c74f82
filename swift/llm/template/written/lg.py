"""EXAONE of LG AI Research. Checked against axolotl's renditions of the published chat templates."""

from __future__ import annotations

from swift.llm.template.conversation import Conversation, Turn, tojson
from swift.llm.template.writer import Writer
from swift.llm.template.written._answers import begin_behind, prompt_ending

_THINK, _CLOSE = '<think>\n', '\n</think>\n\n'
_TOOLS = ('# Available Tools\nYou can use none, one, or multiple of the following tools by calling them as functions '
          'to help with the user’s query.\nHere are the tools available to you in JSON format within <tool> and '
          '</tool> tags:\n')
_CALLS = ('\nFor each function call you want to make, return a JSON object with function name and arguments within '
          '<tool_call> and </tool_call> tags, like:\n<tool_call>{"name": function_1_name, "arguments": '
          '{argument_1_name: argument_1_value, argument_2_name: argument_2_value}}</tool_call>\n<tool_call>{"name": '
          'function_2_name, "arguments": {...}}</tool_call>\n...\nNote that if no argument name is specified for a '
          'tool, you can just print the argument value directly, without the argument name or JSON formatting.')


def write_exaone(c: Conversation, w: Writer) -> None:
    """EXAONE 3: a system turn always comes first, empty if there is none."""
    w.text('' if c.system or not c.turns else '[|system|][|endofturn|]\n')
    for turn in c.turns:
        w.text(f'[|{turn.role}|]')
        if turn.role == 'assistant':
            w.begin(turn)
        w.said(turn)
        w.text('' if turn.role == 'user' else '[|endofturn|]')
        w.end()
        w.text('\n')
    w.text('[|assistant|]' if c.add_generation_prompt else '')


def write_exaone4(c: Conversation, w: Writer) -> None:
    """EXAONE 4: an answer starts with an empty block of thinking, or, with ``skip_think`` off, the last one with its
    own."""
    if c.system or c.tools:
        _write_head(c, w)
    for turn in c.turns[1 if c.system else 0:]:
        if turn.role == 'assistant':
            _write_answer(c, w, turn)
        elif turn.role == 'tool':
            _write_result(c, w, turn)
        else:
            w.text(f'[|{turn.role}|]\n')
            w.said(turn)
            w.text('[|endofturn|]\n')
    if c.add_generation_prompt:
        w.text('[|assistant|]\n' + _prompt(c))


def _prompt(c: Conversation) -> str:
    is_on = c.options.get('enable_thinking') is True
    return prompt_ending(c, _THINK, _THINK + _CLOSE, is_thinking=is_on, is_empty=not is_on)


def _write_head(c: Conversation, w: Writer) -> None:
    w.text('[|system|]\n')
    if c.system:
        w.said(c.system)
        w.text('\n\n' if c.tools else '')
    if c.tools:
        w.text(_TOOLS)
        for tool in c.tools:
            w.text('<tool>')
            w.data(tojson(tool))
            w.text('</tool>\n')
        w.text(_CALLS)
    w.text('[|endofturn|]\n')


def _write_answer(c: Conversation, w: Writer, turn: Turn) -> None:
    reasoning, content = _split(turn)
    is_last = c.following(turn) is None
    official = is_last and not c.options.get('skip_think', True) and bool(turn.content) and reasoning is not None
    header = '[|assistant|]\n'
    if reasoning is not None and c.shows_reasoning(turn, official):
        begin_behind(w, turn, header, _prompt(c), _THINK)
        w.said(turn, reasoning)
        w.text(_CLOSE)
    else:
        is_empty = c.writes_empty(turn, bool(turn.content or turn.calls))
        begin_behind(w, turn, header, _prompt(c), _THINK + _CLOSE if is_empty else '')
    w.said(turn, content)
    for i, call in enumerate(turn.calls):
        w.text('\n' if i or turn.content else '')
        w.text('<tool_call>{"name": "')
        w.said(turn, call.name)
        w.text('", "arguments": ')
        w.said(turn, tojson(call.arguments))
        w.text('}</tool_call>')
    w.text('[|endofturn|]')
    w.end()
    w.text('\n')


def _split(turn: Turn) -> tuple[str | None, str]:
    """(thinking, or None if there is none; answer)."""
    if '</think>' not in turn.content:
        return turn.reasoning or None, turn.content
    pieces = turn.content.split('</think>')
    reasoning = pieces[0].strip()
    if reasoning.startswith('<think>'):
        reasoning = reasoning[len('<think>'):].strip()
    return turn.reasoning or reasoning, pieces[-1].strip()


def _write_result(c: Conversation, w: Writer, turn: Turn) -> None:
    before, after = c.preceding(turn), c.following(turn)
    w.text('[|tool|]\n' if before is None or before.role != 'tool' else '')
    w.text('<tool_result>{"result": ')
    w.said(turn, tojson(turn.content))
    w.text('}</tool_result>')
    w.text('[|endofturn|]\n' if after is None or after.role != 'tool' else '\n')
