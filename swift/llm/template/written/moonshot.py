"""Kimi of Moonshot AI. Checked against the chat templates of the checkpoints that each docstring names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from swift.llm.template.conversation import Call, Conversation, Turn, tojson
from swift.llm.template.writer import Writer
from swift.llm.template.written._answers import begin_behind, prompt_ending
from swift.utils.errors import RowError

KIMI = 'You are Kimi, an AI assistant created by Moonshot AI.'
_HEADERS = {'user': '<|im_user|>', 'assistant': '<|im_assistant|>'}


# ------------------------------------------------------------------------------------------------------------- K2

def write_kimi_k2(c: Conversation, w: Writer) -> None:
    """Kimi-K2 as first published: calls are numbered within an answer, and what stands between a result's id and the
    result is a backslash and an n."""
    _write_k2_tools(c, w)
    if c.turns and c.system is None:
        w.text('<|im_system|>system<|im_middle|>You are a helpful assistant<|im_end|>')
    for turn in c.turns:
        header = 'user' if turn.role == 'user' else turn.role
        w.text(f'{_HEADERS.get(turn.role, "<|im_system|>")}{header}<|im_middle|>')
        if turn.role == 'tool':
            w.text('## Return of ')
            w.said(turn, turn.call_id or '')
            w.text('\\n')
            w.said(turn)
            w.text('<|im_end|>')
        elif turn.role == 'assistant':
            w.begin(turn)
            w.said(turn)
            _write_k2_calls(w, turn, range(len(turn.calls)))
            w.text('<|im_end|>')
            w.end()
        else:
            w.said(turn)
            w.text('<|im_end|>')
    if c.add_generation_prompt:
        w.text('<|im_assistant|>assistant<|im_middle|>')


def write_kimi_k2_instruct(c: Conversation, w: Writer) -> None:
    """Kimi-K2-Instruct since September 2025: calls are numbered through the conversation, results answer them in
    order, and a turn bears its name."""
    _write_k2_tools(c, w)
    if c.turns and c.system is None:
        w.text(f'<|im_system|>system<|im_middle|>{KIMI}<|im_end|>\n')
    ids = _ids_of_results(c)
    number = 0
    for turn in c.turns:
        _write_header(w, turn)
        if turn.role == 'assistant':
            w.begin(turn)
            w.said(turn)
            _write_k2_calls(w, turn, range(number, number := number + len(turn.calls)))
            w.text('<|im_end|>')
            w.end()
        else:
            _write_other(w, turn, ids)
    if c.add_generation_prompt:
        w.text('<|im_assistant|>assistant<|im_middle|>')


def write_kimi_k2_thinking(c: Conversation, w: Writer, *, default_system: str = KIMI,
                           prompts_thinking: bool = False) -> None:
    """Kimi-K2-Thinking: every answer has a block for its thinking, empty up to the first answer without a call.

    Args:
        c: the conversation.
        w: where to write.
        default_system: the system text of a conversation without one; empty for none, as Kimi-K2.5 has it.
        prompts_thinking: whether a prompt ends with the tag that opens the thinking; Kimi-K2.5 does so.
    """
    _write_k2_tools(c, w)
    if c.system is None and default_system:
        w.text(f'<|im_system|>system<|im_middle|>{default_system}<|im_end|>')
    ids = _ids_of_results(c)
    first_reply = next((t.index for t in c.turns if t.role == 'assistant' and not t.calls), -1)
    thinks = bool(c.options.get('thinking', True))
    prompted = prompt_ending(c, '<think>', '<think></think>', is_thinking=prompts_thinking and thinks,
                             is_empty=prompts_thinking and not thinks)
    number = 0
    for turn in c.turns:
        if turn.role != 'assistant':
            _write_header(w, turn)
            _write_other(w, turn, ids)
            continue
        header = f'<|im_assistant|>{turn.name or "assistant"}<|im_middle|>'
        if turn.reasoning and c.shows_reasoning(turn, turn.index > first_reply):
            begin_behind(w, turn, header, prompted, '<think>')
            w.said(turn, turn.reasoning)
            w.text('</think>')
        else:
            begin_behind(w, turn, header, prompted, '<think></think>' if c.writes_empty(turn, True) else '')
        w.said(turn)
        _write_k2_calls(w, turn, range(number, number := number + len(turn.calls)))
        w.text('<|im_end|>')
        w.end()
    if c.add_generation_prompt:
        w.text('<|im_assistant|>assistant<|im_middle|>' + prompted)


def _write_k2_tools(c: Conversation, w: Writer) -> None:
    if c.tools:
        w.text('<|im_system|>tool_declare<|im_middle|>')
        w.data(tojson(list(c.tools)))
        w.text('<|im_end|>')


def _write_header(w: Writer, turn: Turn) -> None:
    w.text(_HEADERS.get(turn.role, '<|im_system|>'))
    if turn.name:
        w.said(turn, turn.name)
    else:
        w.text(turn.role)
    w.text('<|im_middle|>')


def _write_other(w: Writer, turn: Turn, ids: Mapping[int, str]) -> None:
    if turn.role == 'tool':
        w.text('## Return of ')
        w.said(turn, ids[turn.index])
        w.text('\n')
    w.said(turn)
    w.text('<|im_end|>')


def _write_k2_calls(w: Writer, turn: Turn, numbers: Sequence[int]) -> None:
    if not turn.calls:
        return
    w.text('<|tool_calls_section_begin|>')
    for number, call in zip(numbers, turn.calls, strict=True):
        w.text('<|tool_call_begin|>functions.')
        w.said(turn, call.name)
        w.text(f':{number}<|tool_call_argument_begin|>')
        w.said(turn, call.text)
        w.text('<|tool_call_end|>')
    w.text('<|tool_calls_section_end|>')


def _ids_of_results(c: Conversation) -> dict[int, str]:
    """What the results are headed with, by turn: the ids that the calls got here, in order."""
    waiting: list[str] = []
    number = 0
    ids = {}
    for turn in c.turns:
        for call in turn.calls if turn.role == 'assistant' else ():
            waiting.append(f'functions.{call.name}:{number}')
            number += 1
        if turn.role == 'tool':
            ids[turn.index] = waiting.pop(0) if waiting else f'functions.{turn.name or "unknown"}:{number}'
    return ids


# ------------------------------------------------------------------------------------------------------------- K3

_OPENED, _CLOSED = '<|open|>think<|sep|>', '<|close|>think<|sep|>'
_RESPONSE = '<|open|>response<|sep|>'
_EFFORT = ('<|open|>message role="system" type="thinking-effort"<|sep|>`thinking_effort` guides on how much to think '
           'in your thinking channel (not including the response channel), supported values include `low`, `medium`, '
           '`high`, and `max`.\nNow the system is invoked with `thinking_effort={}`.<|close|>message<|sep|>'
           '<|end_of_msg|>')
_CHOICE = ('<|open|>message role="system" type="tool-choice"<|sep|>The system is invoked with `tool_choice={}`.\n'
           'You MUST {} in the next message.<|close|>message<|sep|><|end_of_msg|>')
_CHOICES = {'required': 'call tools', 'none': 'NOT call any tools'}


def write_kimi_k3(c: Conversation, w: Writer) -> None:
    """Kimi-K3: nested channels between tokens; arguments one by one with their types; all thinking stays.

    Raises:
        RowError: the row or an option has what the publisher's template refuses.
    """
    thinks = bool(c.options.get('thinking', True))
    if c.tools:
        w.text('<|open|>message role="system" type="tool-declare"<|sep|># Tools\nHere are the available tools, '
               'described in JSONSchema.\n\n```json\n')
        w.data(_sorted_json(list(c.tools)))
        w.text('\n```<|close|>message<|sep|><|end_of_msg|>')
    effort = c.options.get('thinking_effort', 'max')
    if thinks and effort is not None:
        if effort not in ('low', 'high', 'max'):
            raise RowError(f'thinking_effort is {effort!r}; Kimi K3 knows low, high and max')
        w.text(_EFFORT.format(effort))
    names = _names_of_results(c)
    for turn in c.turns:
        if turn.role == 'assistant':
            _write_k3_answer(c, w, turn, thinks)
        elif turn.role == 'tool':
            for at, index, name in names.get(turn.index, ()):
                _write_k3_result(w, c.turns[at], index, name)
        else:
            w.text(f'<|open|>message role="{turn.role}"')
            _write_attribute(w, turn, 'name', turn.name)
            w.text('<|sep|>')
            w.said(turn)
            w.text('<|close|>message<|sep|><|end_of_msg|>')
    choice = c.options.get('tool_choice')
    if choice in _CHOICES:
        w.text(_CHOICE.format(choice, _CHOICES[choice]))
    if c.add_generation_prompt:
        w.text('<|open|>message role="assistant"<|sep|>' + _k3_prompt(c, thinks))


def _k3_prompt(c: Conversation, thinks: bool) -> str:
    return prompt_ending(c, _OPENED, _OPENED + _CLOSED + _RESPONSE, is_thinking=thinks, is_empty=False) or _RESPONSE


def _write_k3_answer(c: Conversation, w: Writer, turn: Turn, thinks: bool) -> None:
    w.text('<|open|>message role="assistant"')
    _write_attribute(w, turn, 'name', turn.name)
    prompted = _k3_prompt(c, thinks)
    if (turn.reasoning or '').strip() and c.shows_reasoning(turn, thinks):
        begin_behind(w, turn, '<|sep|>', prompted, _OPENED)
        w.said(turn, turn.reasoning)
        w.text(_CLOSED + _RESPONSE)
    else:
        empty = _OPENED + _CLOSED if c.writes_empty(turn, thinks) else ''
        begin_behind(w, turn, '<|sep|>', prompted, empty + _RESPONSE)
    w.said(turn)
    w.text('<|close|>response<|sep|>')
    if turn.calls:
        w.text('<|open|>tools<|sep|>')
        for index, call in enumerate(turn.calls, 1):
            _write_k3_call(w, turn, call, index)
        w.text('<|close|>tools<|sep|>')
    w.text('<|close|>message<|sep|><|end_of_msg|>')
    w.end()


def _write_k3_call(w: Writer, turn: Turn, call: Call, index: int) -> None:
    w.text('<|open|>call')
    _write_attribute(w, turn, 'tool', call.name)
    w.text(f' index="{index}"<|sep|>')
    if isinstance(call.arguments, Mapping):
        for key, value in call.arguments.items():
            w.text('<|open|>argument')
            _write_attribute(w, turn, 'key', key)
            w.text(f' type="{_type_of(value)}"<|sep|>')
            w.said(turn, value if isinstance(value, str) else tojson(value))
            w.text('<|close|>argument<|sep|>')
    elif isinstance(call.arguments, str) and call.arguments.strip():
        w.text('<|open|>json type="object"<|sep|>')
        w.said(turn, call.arguments)
        w.text('<|close|>json<|sep|>')
    elif call.arguments is not None and call.arguments != '':
        raise RowError(f'the arguments of the call of {call.name!r} are no object: {call.text[:100]}')
    w.text('<|close|>call<|sep|>')


def _write_k3_result(w: Writer, turn: Turn, index: int, name: str) -> None:
    w.text('<|open|>message role="tool"')
    _write_attribute(w, turn, 'tool', name)
    w.text(f' index="{index}"<|sep|>')
    w.said(turn)
    w.text('<|close|>message<|sep|><|end_of_msg|>')


def _write_attribute(w: Writer, turn: Turn, key: str, value: str | None) -> None:
    if value:
        w.text(f' {key}="')
        w.said(turn, value.replace('&', '&amp;').replace('"', '&quot;'))
        w.text('"')


def _names_of_results(c: Conversation) -> dict[int, list[tuple[int, int, str]]]:
    """First turn of a run of results -> (turn, its number, the tool's name) in the order in which they are written:
    that of the calls where every result has the id of one.

    Raises:
        RowError: nothing tells which tool a result is of.
    """
    runs: dict[int, list[tuple[int, int, str]]] = {}
    calls: tuple[Call, ...] = ()
    shown = 0  # results since the answer; a question between them does not start the numbers anew
    for turn in c.turns:
        before = c.preceding(turn)
        if turn.role == 'assistant':
            calls, shown = turn.calls, 0
        if turn.role != 'tool' or (before is not None and before.role == 'tool'):
            continue
        run = _run_of(c, turn)
        by_id: dict[str | None, Call] = {}
        for call in calls:
            by_id.setdefault(call.id, call)
        by_id.pop(None, None)
        written = runs[turn.index] = []
        if all(result.call_id in by_id for result in run):
            ordered = [(result, call.name) for id_, call in by_id.items() for result in run if result.call_id == id_]
        else:
            ordered = [(result, result.name or _name_at(calls, shown + i)) for i, result in enumerate(run)]
        for result, name in ordered:
            shown += 1
            written.append((result.index, shown, name))
    return runs


def _run_of(c: Conversation, first: Turn) -> list[Turn]:
    run = []
    for turn in c.turns[first.index:]:
        if turn.role != 'tool':
            break
        run.append(turn)
    return run


def _name_at(calls: Sequence[Call], place: int) -> str:
    if place >= len(calls):
        raise RowError('a tool turn has neither a name nor a call before it: Kimi K3 writes the name of the tool; '
                       'give it as "name"')
    return calls[place].name


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return 'boolean'
    if value is None:
        return 'null'
    if isinstance(value, int | float):
        return 'number'
    return 'string' if isinstance(value, str) else 'object' if isinstance(value, Mapping) else 'array'


def _sorted_json(value: Any) -> str:
    """JSON without spaces; keys are sorted without regard to case."""
    if isinstance(value, Mapping):
        items = sorted(value.items(), key=lambda item: str(item[0]).lower())
        return '{' + ','.join(f'{tojson(key)}:{_sorted_json(item)}' for key, item in items) + '}'
    if isinstance(value, list | tuple):
        return '[' + ','.join(map(_sorted_json, value)) + ']'
    return tojson(value)
