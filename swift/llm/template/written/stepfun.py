"""Templates of StepFun's models."""

from __future__ import annotations

from swift.llm.template.conversation import Conversation, Turn, tojson
from swift.llm.template.dialects.qwen3_coder import write_call
from swift.llm.template.writer import Writer
from swift.llm.template.written.chatml import (
    EMPTY,
    Results,
    end_answer,
    last_query,
    open_answer,
    prompt_tail,
    split_reasoning,
    write_message,
    write_reasoning,
)

_CLOSE = '\n</think>\n'
_EMPTY = '<think>\n' + _CLOSE
_RESULTS = Results('<|im_start|>tool_response\n', '<tool_response>', '</tool_response>')
_TOOLS = '# Tools\n\nYou have access to the following functions in JSONSchema format:\n\n<tools>'
_FORMAT = (
    '\n</tools>\n\nIf you choose to call a function ONLY reply in the following format with NO suffix:\n\n<tool_call>\n'
    '<function=example_function_name>\n<parameter=example_parameter_1>\nvalue_1\n</parameter>\n'
    '<parameter=example_parameter_2>\nThis is the value for the second parameter\nthat can span\nmultiple lines\n'
    '</parameter>\n</function>\n</tool_call>\n\n<IMPORTANT>\nReminder:\n- Function calls MUST follow the specified '
    'format: an inner <function=...>\n...\n</function> block must be nested within <tool_call>\n...\n</tool_call> XML '
    'tags\n- Required parameters MUST be specified\n</IMPORTANT>')


def write_step3_5(c: Conversation, w: Writer) -> None:
    """Step-3.5-Flash: like Qwen3 with calls as XML and results of a role of their own; the prompt always opens the
    thinking, and from the last question on every answer has a block of it."""
    tail = prompt_tail(c, empty=False, thinks=True, block=_EMPTY)
    query = last_query(c)
    w.text(c.bos)
    _write_head(c, w)
    for turn in c.turns[1 if c.system else 0:]:
        if turn.role == 'assistant':
            _write_answer(c, w, turn, turn.index > query, tail)
        elif turn.role == 'tool':
            _RESULTS.write(c, w, turn)
        else:
            is_observation = turn.role == 'system' and turn.name == 'observation'
            write_message(w, turn, role='observation' if is_observation else None)
    if c.add_generation_prompt:
        w.text(f'<|im_start|>assistant\n{tail}')


def _write_head(c: Conversation, w: Writer) -> None:
    if not c.tools and c.system is None:
        return
    w.text('<|im_start|>system\n')
    if c.system is not None:
        w.said(c.system)
    if c.tools:
        w.text('\n\n' if c.system is not None else '')
        w.text(_TOOLS)
        for definition in c.tools:
            w.text('\n')
            w.data(tojson(definition))
        w.text(_FORMAT)
    w.text('<|im_end|>\n')


def _write_answer(c: Conversation, w: Writer, turn: Turn, in_round: bool, tail: str) -> None:
    reasoning, content = split_reasoning(turn)
    w.text('<|im_start|>assistant\n')
    if reasoning and c.shows_reasoning(turn, in_round):
        write_reasoning(w, turn, reasoning, tail, _CLOSE)
        w.said(turn, content)
    else:
        open_answer(w, turn, _EMPTY if c.writes_empty(turn, in_round) else '', tail, content)
    for call in turn.calls:
        write_call(w, turn, call)
    end_answer(w)


def write_step5_vl(c: Conversation, w: Writer) -> None:
    """Step5-VL as vLLM writes it: a system text without any markup, no tools, and a prompt that opens the thinking."""
    tail = prompt_tail(c, empty=False, thinks=True)
    w.text(c.bos)
    for turn in c.turns:
        if turn.role == 'system':
            w.said(turn)
            continue
        w.text(f'<|BOT|>{turn.role}\n')
        if turn.role != 'assistant':
            w.said(turn)
            w.text('<|EOT|>')
            continue
        if turn.reasoning and c.shows_reasoning(turn, False):
            write_reasoning(w, turn, turn.reasoning.strip('\n'), tail)
            w.said(turn)
        else:
            open_answer(w, turn, EMPTY if c.writes_empty(turn, False) else '', tail, turn.content)
        w.text('<|EOT|>')
        w.end()
    if c.add_generation_prompt:
        w.text(f'<|BOT|>assistant\n{tail}')
