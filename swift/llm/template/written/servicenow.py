"""Apriel of ServiceNow. Checked against the chat templates that each docstring names."""

from __future__ import annotations

from swift.llm.template.conversation import Conversation, Turn
from swift.llm.template.writer import Writer
from swift.utils.errors import RowError

_FINAL = '[BEGIN FINAL RESPONSE]'


def write_apriel_1_5(c: Conversation, w: Writer) -> None:
    """Apriel-1.5-Thinker (as Unsloth publishes it): a system text of its own in front of the given one; tools as Python
    prints them; the calls of the last message have no ids."""
    w.text(c.bos)
    if c.tools and not c.system:
        w.text(f'<|system|>\n{_PROMPT_1_5}')
        _write_tools_1_5(c, w)
        w.text(f'\n{_FORMAT_1_5}\n<|end|>\n')
    if not any(turn.role == 'system' for turn in c.turns):
        w.text(f'<|system|>\n{_PROMPT_1_5}\n<|end|>\n')
    for turn in c.turns:
        if turn.role == 'assistant':
            w.text('<|assistant|>\n')
            w.begin(turn)
            w.said(turn)
            _write_calls(w, turn, with_ids=c.following(turn) is not None, needs_ids=True)
            w.text(f'\n<|end|>\n{c.eos}')
            w.end()
        elif turn.role == 'system':
            w.text(f'<|system|>\n{_PROMPT_1_5}')
            w.said(turn)
            w.text('\n' if c.tools else '')
            _write_tools_1_5(c, w)
            w.text('\n<|end|>\n')
        else:
            w.text('<|tool_result|>\n' if turn.role == 'tool' else '<|user|>\n')
            w.said(turn)
            w.text('\n<|end|>\n')
    if c.add_generation_prompt and c.turns[-1].role != 'assistant':
        w.text('<|assistant|>\n')


def _write_tools_1_5(c: Conversation, w: Writer) -> None:
    w.text(_TOOLS_1_5 if c.tools else '')
    for tool in c.tools:
        w.data(str(tool))
        w.text('\n')
    w.text('</available_tools>' if c.tools else '')


def _write_calls(w: Writer, turn: Turn, with_ids: bool, needs_ids: bool) -> None:
    w.text('\n<tool_calls>[' if turn.calls else '')
    for i, call in enumerate(turn.calls):
        w.text(', {"name": "' if i else '{"name": "')
        w.said(turn, call.name)
        w.text('", "arguments": ')
        w.said(turn, call.text)
        if with_ids and needs_ids and call.id is None:
            raise RowError(f'Apriel writes earlier calls with their ids, but {call.name!r} of turn {turn.index} has no '
                           '"id"')
        if with_ids and call.id is not None:
            w.text(', "id": "')
            w.said(turn, call.id)
            w.text('"')
        w.text('}')
    w.text(']</tool_calls>' if turn.calls else '')


def write_apriel_1_6(c: Conversation, w: Writer) -> None:
    """Apriel-1.6-Thinker: an answer is its thinking, a marker and the response, of which earlier answers keep the
    response; a prompt starts the thinking, and the last answer has no end of its own unless ``training_prompt`` says
    so."""
    if c.turns and c.turns[0].role != 'system':
        _write_system_1_6(c, w, None)
    for turn in c.turns:
        if turn.role == 'system':
            _write_system_1_6(c, w, turn)
        elif turn.role == 'assistant':
            _write_answer_1_6(c, w, turn)
        else:
            w.text('<|begin_tool_result|>\n' if turn.role == 'tool' else '<|begin_user|>\n')
            w.said(turn)
            w.text('\n\n\n' if turn.role == 'tool' else '')
    if c.add_generation_prompt and c.turns and c.turns[-1].role != 'assistant':
        w.text('\n<|begin_assistant|>\n')
        w.text('Here are my reasoning steps:\n' if c.prompts_thinking(True) else '')


def _write_answer_1_6(c: Conversation, w: Writer, turn: Turn) -> None:
    is_last = c.following(turn) is None
    w.text('\n<|begin_assistant|>\n')
    w.begin(turn)
    if turn.reasoning and c.shows_reasoning(turn, is_last):
        w.said(turn, turn.reasoning)
        w.text(f'\n{_FINAL}\n')
    if _FINAL in turn.content and not c.shows_reasoning(turn, is_last):
        w.said(turn, turn.content.split(_FINAL)[-1].strip())
    else:
        w.said(turn)
    _write_calls(w, turn, with_ids=not is_last, needs_ids=False)
    is_ended = not is_last or bool(c.options.get('training_prompt'))
    w.text('\n<|end|>' if is_ended else '')
    w.end()
    w.text('\n' if is_ended else '')


def _write_system_1_6(c: Conversation, w: Writer, turn: Turn | None) -> None:
    w.text(f'{c.bos}<|begin_system|>\n{_PROMPT_1_6}\n')
    if turn is not None:
        w.said(turn)
        w.text('\n')
    if c.tools:
        w.text(_TOOLS_1_6)
        w.data(''.join(str(tool) for tool in c.tools))
        w.text(_TOOLS_END_1_6)


_PROMPT_1_5 = (
    'You are a thoughtful and systematic AI assistant built by ServiceNow Language Models (SLAM) lab. Before providing '
    'an answer, analyze the problem carefully and present your reasoning step by step. After explaining your thought '
    'process, provide the final solution in the following format: [BEGIN FINAL RESPONSE] ... [END FINAL RESPONSE].')
_TOOLS_1_5 = (
    'You are provided with function signatures within <available_tools></available_tools> XML tags. You may call one '
    "or more functions to assist with the user query. Don't make assumptions about the arguments. You should infer the "
    'argument values from previous user responses and the system message. Here are the available tools:\n'
    '<available_tools>\n')
_FORMAT_1_5 = (
    'Return all function calls as a list of json objects within <tool_call></tool_call> XML tags. Each json object '
    'should contain a function name and arguments as follows:\n<tool_calls>[{"name": <function-name-1>, "arguments": '
    '<args-dict-1>}, {"name": <function-name-2>, "arguments": <args-dict-2>},...]</tool_calls>')
_PROMPT_1_6 = (
    'You are a thoughtful, systematic AI assistant from ServiceNow Language Models (SLAM) lab.\n'
    '    Analyze each question carefully, present your reasoning step-by-step, then provide the final\n'
    '    response after the marker [BEGIN FINAL RESPONSE].')
_TOOLS_1_6 = (
    'You are provided with function signatures within <available_tools></available_tools> XML tags.\n'
    '        You may call one or more functions to assist with the user query.\n'
    "        Don't make assumptions about the arguments. You should infer the argument values from previous\n"
    '        user responses and the system message.\n        Here are the available tools: \n'
    '        <available_tools>\n')
_TOOLS_END_1_6 = (
    '        \n        </available_tools>.\n\n'
    '        Return all function calls as a list of JSON objects within <tool_calls></tool_calls> XML tags.\n'
    '        Each JSON object should contain a function name and arguments as follows:\n        <tool_calls>[\n'
    '            {"name": <function-name-1>, "arguments": <args-dict-1>},\n'
    '            {"name": <function-name-2>, "arguments": <args-dict-2>},\n            ...\n        ]</tool_calls>\n')
