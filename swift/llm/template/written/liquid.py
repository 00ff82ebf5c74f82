"""LFM2 of Liquid AI. Checked against the chat templates of the checkpoints that each docstring names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from swift.llm.template.conversation import Call, Conversation, Turn, tojson
from swift.llm.template.writer import Writer
from swift.llm.template.written._answers import begin_behind, prompt_ending
from swift.utils.errors import RowError

_MARKS = ('<|tool_list_start|>', '<|tool_list_end|>')


def write_lfm2(c: Conversation, w: Writer, *, with_calls: bool = False) -> None:
    """LFM2: ChatML with a list of tools in the system text and marks around results.

    Args:
        c: the conversation.
        w: where to write.
        with_calls: the first release leaves calls out; later ones write them.
    """
    _write_head(c, w, _MARKS)
    for turn in c.turns[1 if c.system else 0:]:
        w.text(f'<|im_start|>{turn.role}\n')
        if turn.role == 'assistant':
            w.begin(turn)
            w.said(turn)
            if with_calls:
                _write_calls(w, turn, escaped)
            w.text('<|im_end|>')
            w.end()
            w.text('\n')
            continue
        is_result = turn.role == 'tool'
        w.text('<|tool_response_start|>' if is_result else '')
        w.said(turn)
        w.text('<|tool_response_end|>' if is_result else '')
        w.text('<|im_end|>\n')
    _write_prompt(c, w)


def write_lfm2_5_instruct(c: Conversation, w: Writer) -> None:
    """LFM2.5-Instruct: thinking between tags stays in the last answer; calls are left out."""
    keeps = bool(c.options.get('keep_past_thinking', False))
    last = max((turn.index for turn in c.turns if turn.role == 'assistant'), default=-1)
    _write_head(c, w)
    for turn in c.turns[1 if c.system else 0:]:
        w.text(f'<|im_start|>{turn.role}\n')
        if turn.role == 'assistant':
            w.begin(turn)
            w.said(turn, _content(turn, c.shows_reasoning(turn, keeps or turn.index == last)))
            w.text('<|im_end|>')
            w.end()
            w.text('\n')
        else:
            w.said(turn)
            w.text('<|im_end|>\n')
    _write_prompt(c, w)


def write_lfm2_5(c: Conversation, w: Writer, *, escapes: bool = False) -> None:
    """LFM2.5-8B-A1B: thinking stays from the last question on, calls are written as Python calls.

    Args:
        c: the conversation.
        w: where to write.
        escapes: whether strings in calls are escaped and lists are JSON, as in LFM2.5-VL.
    """
    keeps = bool(c.options.get('preserve_thinking', False))
    prompted = prompt_ending(c, '', '<think></think>', is_thinking=False, is_empty=False)
    _write_head(c, w)
    for turn in c.turns[1 if c.system else 0:]:
        if turn.role != 'assistant':
            w.text(f'<|im_start|>{turn.role}\n')
            w.said(turn)
            w.text('<|im_end|>\n')
            continue
        shows = c.shows_reasoning(turn, keeps or turn.index > c.last_question)
        if turn.reasoning and shows:
            begin_behind(w, turn, '<|im_start|>assistant\n', prompted, '<think>')
            w.said(turn, turn.reasoning)
            w.text('</think>')
        else:
            empty = '<think></think>' if c.writes_empty(turn, False) else ''
            begin_behind(w, turn, '<|im_start|>assistant\n', prompted, empty)
        w.said(turn, _content(turn, shows))
        _write_calls(w, turn, escaped if escapes else quoted)
        w.text('<|im_end|>')
        w.end()
        w.text('\n')
    _write_prompt(c, w, prompted)


def _write_head(c: Conversation, w: Writer, marks: tuple[str, str] = ('', '')) -> None:
    w.text(c.bos)
    has_text = c.system is not None and c.system.content
    if not has_text and not c.tools:
        return
    w.text('<|im_start|>system\n')
    if has_text:
        w.said(c.system)
    if c.tools:
        w.text(('\n' if has_text else '') + f'List of tools: {marks[0]}[')
        for i, tool in enumerate(c.tools):
            w.text(', ' if i else '')
            w.data(tojson(tool))
        w.text(f']{marks[1]}')
    w.text('<|im_end|>\n')


def _write_prompt(c: Conversation, w: Writer, behind: str = '') -> None:
    if c.add_generation_prompt:
        w.text('<|im_start|>assistant\n' + behind)


def _content(turn: Turn, shows: bool) -> str:
    """The content, without thinking between tags in it unless that is shown."""
    return turn.content if shows else turn.content.split('</think>')[-1].strip() if '</think>' in turn.content \
        else turn.content


def _write_calls(w: Writer, turn: Turn, write_text: Callable[[Any], str]) -> None:
    if not turn.calls:
        return
    w.text('<|tool_call_start|>[')
    for i, call in enumerate(turn.calls):
        w.text(', ' if i else '')
        w.said(turn, call.name)
        w.text('(')
        for j, (name, value) in enumerate(_arguments(call).items()):
            w.text(', ' if j else '')
            w.said(turn, f'{name}={write_text(value)}')
        w.text(')')
    w.text(']<|tool_call_end|>')


def _arguments(call: Call) -> Mapping[str, Any]:
    if isinstance(call.arguments, Mapping):
        return call.arguments
    if call.text.strip() in ('', '{}', 'null'):
        return {}
    raise RowError(f'the arguments of the call of {call.name!r} are no object: {call.text[:100]}')


def quoted(value: Any) -> str:
    """A value of a call: strings in quotes as they stand, objects as JSON, the rest as Python."""
    if isinstance(value, str):
        return f"'{value}'"
    return tojson(value) if isinstance(value, Mapping) else str(value)


def escaped(value: Any) -> str:
    """A value of a call: strings with their quotes escaped, objects and lists as JSON, the rest as Python."""
    if isinstance(value, str):
        for raw, written in (('\\', '\\\\'), ("'", "\\'"), ('\n', '\\n'), ('\r', '\\r')):
            value = value.replace(raw, written)
        return f"'{value}'"
    return tojson(value) if isinstance(value, Mapping | list) else str(value)
