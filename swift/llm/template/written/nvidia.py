"""Templates of NVIDIA's Nemotron models."""

from __future__ import annotations

from dataclasses import dataclass

from swift.llm.template.conversation import Conversation, Turn, tojson
from swift.llm.template.dialects.qwen3_coder import FORMAT, write_call, write_definitions
from swift.llm.template.writer import Writer
from swift.llm.template.written.chatml import (
    Results,
    end_answer,
    open_answer,
    prompt_tail,
    write_message,
)
from swift.utils.errors import RowError

_NO_THOUGHT = '<think></think>'


def write_nemotron_h(c: Conversation, w: Writer) -> None:
    """Nemotron-H: plain ChatML, without tools."""
    for turn in c.turns:
        if turn.role == 'assistant':
            w.text('<|im_start|>assistant\n')
            w.begin(turn)
            w.said(turn)
            end_answer(w)
        elif turn.role == 'user' or turn is c.system:
            write_message(w, turn)
        else:
            raise RowError(f'this template has no place for the role {turn.role!r} of turn {turn.index}')
    if c.add_generation_prompt:
        w.text('<|im_start|>assistant\n')


# -- Nemotron Nano v2 ------------------------------------------------------------------------------------------------

_NANO_TOOLS = 'You can use the following tools to assist the user if required:\n<AVAILABLE_TOOLS>['
_NANO_FORMAT = (
    ']</AVAILABLE_TOOLS>\n\nIf you decide to call any tool(s), use the following format:\n<TOOLCALL>[{{"name": '
    '"tool_name1", "arguments": "tool_args1"}}, {{"name": "tool_name2", "arguments": "tool_args2"}}]</TOOLCALL>\n\n'
    'The user will execute tool-calls and return responses from tool(s) in this format:\n<TOOL_RESPONSE>[{{'
    '"tool_response1"}}, {{"tool_response2"}}]</TOOL_RESPONSE>\n\nBased on the tool responses, you can call additional '
    'tools if needed, correct tool calls if any errors are found, or just respond to the user.')


def write_nemotron_nano_v2(c: Conversation, w: Writer) -> None:
    """Nemotron-Nano-9B-v2: ``/think`` and ``/no_think`` in a question or system text set the mode; what an answer
    thinks stands in its content, and only the last answer, which its prompt has opened, keeps it."""
    if len(c.turns) == (1 if c.system else 0):
        raise RowError('this template needs a turn besides the system text')
    thinks = _nano_thinks(c)
    tail = prompt_tail(c, empty=not thinks, thinks=thinks, block=_NO_THOUGHT)
    _write_nano_head(c, w)
    for turn in c.turns[1 if c.system else 0:]:
        if turn.role == 'user':
            w.text('<SPECIAL_11>User\n')
            w.said(turn, _without_switches(turn.content))
            w.text('\n')
        elif turn.role == 'tool':
            _write_nano_result(c, w, turn)
        elif turn.role == 'assistant' and turn.index == len(c.turns) - 1:
            _write_last_nano_answer(c, w, turn, tail)
        elif turn.role == 'assistant':
            _write_nano_answer(c, w, turn, tail)
    if c.add_generation_prompt and c.turns[-1].role != 'assistant':
        w.text(f'<SPECIAL_11>Assistant\n{tail}')


def _nano_thinks(c: Conversation) -> bool:
    thinks = True
    for turn in c.turns:
        if turn.role in ('user', 'system') and '/think' in turn.content:
            thinks = True
        elif turn.role in ('user', 'system') and '/no_think' in turn.content:
            thinks = False
    return thinks


def _without_switches(text: str) -> str:
    return text.replace('/think', '').replace('/no_think', '').strip()


def _write_nano_head(c: Conversation, w: Writer) -> None:
    said = '' if c.system is None else _without_switches(c.system.content)
    w.text('<SPECIAL_10>System\n')
    if said:
        w.said(c.system, said)
    if c.tools:
        w.text('\n\n' if said else '')
        w.text(_NANO_TOOLS)
        for i, definition in enumerate(c.tools):
            w.text(', ' if i else '')
            w.data(tojson(definition.get('function', definition)))
        w.text(_NANO_FORMAT)
    w.text('\n\n')


def _write_nano_result(c: Conversation, w: Writer, turn: Turn) -> None:
    before, after = c.preceding(turn), c.following(turn)
    w.text('<SPECIAL_11>User\n<TOOL_RESPONSE>[' if before is None or before.role != 'tool' else '')
    w.said(turn)
    w.text(', ' if after is not None and after.role == 'tool' else ']</TOOL_RESPONSE>')


def _write_nano_answer(c: Conversation, w: Writer, turn: Turn, tail: str) -> None:
    content = turn.content
    if '</think>' in content and not c.shows_reasoning(turn, False):
        content = content.split('</think>')[1]
    content = content.strip()
    w.text('<SPECIAL_11>Assistant\n')
    open_answer(w, turn, '', tail, content)
    if turn.calls:
        w.text('\n' if content else '')
        _write_nano_calls(w, turn)
    w.text('\n<SPECIAL_12>')
    w.end()
    w.text('\n')


def _write_last_nano_answer(c: Conversation, w: Writer, turn: Turn, tail: str) -> None:
    """The last answer. Calls behind words stand under a header of their own, as the publisher writes them; both are
    one answer."""
    content = turn.content.strip()
    if content or c.add_generation_prompt:
        w.text(f'<SPECIAL_11>Assistant\n{tail}')
        w.begin(turn)
        w.said(turn, content)
        if c.add_generation_prompt:  # the answer is to be continued
            w.end()
            return
        w.text('\n<SPECIAL_12>')
    if turn.calls:
        w.text('\n<SPECIAL_11>Assistant\n' if content else '<SPECIAL_11>Assistant\n')
        if not content:
            w.begin(turn)
        _write_nano_calls(w, turn)
        w.text('<SPECIAL_12>')
    w.end()
    w.text('\n\n' if turn.calls else '\n' if content else '')


def _write_nano_calls(w: Writer, turn: Turn) -> None:
    w.text('<TOOLCALL>[')
    for i, call in enumerate(turn.calls):
        w.text(', {"name": "' if i else '{"name": "')
        w.said(turn, call.name)
        w.text('", "arguments": ')
        w.said(turn, call.text)
        w.text('}')
    w.text(']</TOOLCALL>')


# -- Nemotron 3 ------------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Nemotron3:
    """What differs among the models of Nemotron 3.

    Attributes:
        close: what stands between thinking and answer.
        strips_old: the words of an earlier answer that calls lose the white space around them.
        effort: the switch that shortens the thinking.
        told: what it adds to the last question.
    """

    close: str = '\n</think>\n'
    strips_old: bool = True
    effort: str = ''
    told: str = ''


NANO = Nemotron3()
SUPER = Nemotron3(effort='low_effort', told='\n\n{reasoning effort: low}')
ULTRA = Nemotron3('</think>', False, 'medium_effort', '\n\n{reasoning effort: efficient}')
LIGHTNING = Nemotron3('</think>', False)

_RESULTS = Results('<|im_start|>user\n', '<tool_response>\n', '\n</tool_response>\n', headless_first=True)


def write_nemotron_3(c: Conversation, w: Writer, model: Nemotron3 = NANO) -> None:
    """Nemotron 3: tools and calls as with Qwen3-Coder, always a system turn, and every answer has a block of thinking;
    that of answers before the last question is empty unless ``truncate_history_thinking`` is false."""
    enabled = bool(c.options.get('enable_thinking', True))
    tail = prompt_tail(c, empty=not enabled, thinks=enabled, block=_NO_THOUGHT)
    truncates = bool(c.options.get('truncate_history_thinking', True))
    _write_head(c, w)
    for turn in c.turns[1 if c.system else 0:]:
        if turn.role == 'assistant':
            _write_answer(c, w, turn, model, not (truncates and turn.index < c.last_question), tail)
        elif turn.role == 'tool':
            _RESULTS.write(c, w, turn, first=1 if c.system else 0)
        else:
            is_short = turn.index == c.last_question and bool(c.options.get(model.effort))
            w.text(f'<|im_start|>{turn.role}\n')
            w.said(turn)
            w.text((model.told if is_short else '') + '<|im_end|>\n')
    if c.add_generation_prompt:
        w.text(f'<|im_start|>assistant\n{tail}')


def _write_head(c: Conversation, w: Writer) -> None:
    w.text('<|im_start|>system\n')
    if c.system is not None:
        w.said(c.system)
    if c.tools:
        w.text('\n\n' if c.system is not None and c.system.content else '')
        w.text('# Tools\n\nYou have access to the following functions:\n\n')
        write_definitions(w, c.tools, required_last=True)
        w.text(FORMAT)
    w.text('<|im_end|>\n')


def _write_answer(c: Conversation, w: Writer, turn: Turn, model: Nemotron3, recent: bool, tail: str) -> None:
    w.text('<|im_start|>assistant\n')
    _write_words(c, w, turn, model, recent, tail)
    w.text('\n' if turn.calls else '')
    for call in turn.calls:
        write_call(w, turn, call)
        w.text('\n')
    end_answer(w)


def _write_words(c: Conversation, w: Writer, turn: Turn, model: Nemotron3, recent: bool, tail: str) -> None:
    """Thinking and content of an answer, without white space around them."""
    content = turn.content
    is_tagged = '<think>' in content or '</think>' in content
    thought = turn.reasoning if turn.reasoning is not None and turn.reasoning.strip() else ''
    shown = c.shows_reasoning(turn, recent) if thought or is_tagged else recent
    if thought and shown:
        said = content.rstrip()
        open_answer(w, turn, '<think>\n', tail)
        w.said(turn, thought)
        w.text(model.close if said else model.close.rstrip())
        w.said(turn, said)
    elif is_tagged and shown:
        open_answer(w, turn, '', tail, content.strip())
    else:
        said = content.rstrip() if shown else _behind_thinking(turn, thought, model)
        opening = _NO_THOUGHT if said is not None and c.writes_empty(turn, True) else ''
        open_answer(w, turn, opening, tail, content.strip() if said is None else said)


def _behind_thinking(turn: Turn, thought: str, model: Nemotron3) -> str | None:
    """What an earlier answer keeps behind its emptied block; None where it gets none, its tags being half a pair."""
    content = turn.content
    if thought:
        content = f'<think>{model.close}{content}'
    has_open, has_close = '<think>' in content, '</think>' in content
    if has_close and (has_open or turn.calls):
        said = content.split('</think>')[-1]
    elif has_open and turn.calls:
        said = content.split('<think>')[0]
    elif has_open or has_close:
        return None
    else:
        said = content
    if not turn.calls:
        return said.rstrip()
    return said.strip() if model.strips_old else said
