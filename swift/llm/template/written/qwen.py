"""Qwen1.5 to Qwen3.8 and their kin. Checked against the chat templates of the checkpoints that each docstring names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from swift.llm.template.conversation import Conversation, Turn
from swift.llm.template.dialects.hermes import write_calls, write_qwen_tools
from swift.llm.template.dialects.qwen3_coder import (
    FORMAT,
    json_value,
    python_value,
    write_definitions,
    write_json_tools,
    write_xml_tools,
)
from swift.llm.template.dialects.qwen3_coder import write_call as write_xml_call
from swift.llm.template.writer import Writer
from swift.llm.template.written.chatml import (
    EMPTY,
    QWEN_RESULTS,
    Results,
    end_answer,
    is_result,
    last_query,
    open_answer,
    prompt_tail,
    split_reasoning,
    write_message,
    write_reasoning,
)
from swift.utils.errors import RowError

__all__ = ['split_reasoning', 'write_dse_qwen2_vl', 'write_qwen2_5', 'write_qwen3', 'write_qwen3_5',
           'write_qwen3_coder', 'write_qwen3_instruct', 'write_qwen3_vl', 'write_qwq']


# -- Qwen2.5 ---------------------------------------------------------------------------------------------------------

def write_qwen2_5(c: Conversation, w: Writer) -> None:
    """Qwen2.5-Instruct: ChatML, calls and results between tags, results as a user's turn.

    Qwen1.5, Qwen2, Qwen2-VL and Qwen2.5-VL write the same, but have no place for tools; what is written for them here
    is what Qwen2.5 does.
    """
    _write_head(c, w)
    for turn in _after_system(c):
        if turn.role == 'assistant':
            _write_plain_answer(c, w, turn)
        else:
            _write_other(c, w, turn)
    if c.add_generation_prompt:
        w.text(f'<|im_start|>assistant\n{prompt_tail(c, empty=False, thinks=False)}')


def write_dse_qwen2_vl(c: Conversation, w: Writer) -> None:
    """DSE-Qwen2-VL, which embeds: like Qwen2-VL, and the token that is read off at the end of all."""
    write_qwen2_5(c, w)
    w.text('<|endoftext|>')


_QWQ_EMPTY = '<think>\n</think>'


def write_qwq(c: Conversation, w: Writer) -> None:
    """QwQ-32B: like Qwen2.5, and an answer thinks first; only the last one keeps its thinking.

    The thinking stands in the content, as the publisher's template doesn't know ``reasoning_content``.
    """
    tail = prompt_tail(c, empty=c.options.get('enable_thinking') is False, thinks=True, block=_QWQ_EMPTY)
    if c.tools and c.system is None:
        w.text('<|im_start|>system\n\n\n')
        write_qwen_tools(w, c)
        w.text('<|im_end|>\n')
    else:
        _write_head(c, w)
    for turn in _after_system(c):
        if turn.role != 'assistant':
            _write_other(c, w, turn)
            continue
        content = turn.content
        w.text('<|im_start|>assistant\n')
        if turn.reasoning and c.shows_reasoning(turn, False):
            write_reasoning(w, turn, turn.reasoning.strip('\n'), tail)
            w.said(turn, content)
        else:
            if not c.shows_reasoning(turn, turn.index == len(c.turns) - 1):
                content = content.split('</think>')[-1].lstrip('\n')
            is_plain = '</think>' not in content
            open_answer(w, turn, _QWQ_EMPTY if is_plain and c.writes_empty(turn, False) else '', tail, content)
        write_calls(w, turn)
        end_answer(w)
    if c.add_generation_prompt:
        w.text(f'<|im_start|>assistant\n{tail}')


# -- Qwen3 -----------------------------------------------------------------------------------------------------------

def write_qwen3(c: Conversation, w: Writer, thinks: Literal['unless_told', 'when_told', 'always'] = 'unless_told',
                ) -> None:
    """Qwen3: like Qwen2.5; the thinking stays from the last real question on, where an answer without any gets an
    empty block.

    Args:
        thinks: 'always' is Qwen3-Thinking-2507, whose prompt opens the thinking; 'when_told' is MiniCPM-V 4.5, whose
            prompt does so for ``enable_thinking`` and holds an empty block otherwise.
    """
    enabled = c.options.get('enable_thinking', thinks != 'when_told')
    tail = prompt_tail(c, empty=thinks != 'always' and enabled is False,
                       thinks=thinks == 'always' or (thinks == 'when_told' and enabled is True))
    _write_head(c, w)
    query = last_query(c)
    for turn in _after_system(c):
        if turn.role == 'assistant':
            _write_thinking_answer(c, w, turn, turn.index > query, tail)
        else:
            _write_other(c, w, turn)
    if c.add_generation_prompt:
        w.text(f'<|im_start|>assistant\n{tail}')


def _write_thinking_answer(c: Conversation, w: Writer, turn: Turn, in_round: bool, tail: str) -> None:
    reasoning, content = split_reasoning(turn)
    w.text('<|im_start|>assistant\n')
    if reasoning and c.shows_reasoning(turn, in_round):
        write_reasoning(w, turn, reasoning.strip('\n'), tail)
        w.said(turn, content.lstrip('\n'))
    elif c.writes_empty(turn, in_round and turn.index == len(c.turns) - 1):
        open_answer(w, turn, EMPTY, tail)
        w.said(turn, content.lstrip('\n'))
    else:
        open_answer(w, turn, '', tail, content)
    write_calls(w, turn, content)
    end_answer(w)


def write_qwen3_instruct(c: Conversation, w: Writer) -> None:
    """Qwen3-Instruct-2507: like Qwen3, without any thinking."""
    _write_qwen3_instruct(c, w, ('user', 'system', 'tool'))


def write_qwen3_vl(c: Conversation, w: Writer) -> None:
    """Qwen3-VL-Instruct: like Qwen3-Instruct-2507; a system text that is not the first turn is left out."""
    _write_qwen3_instruct(c, w, ('user', 'tool'))


def _write_qwen3_instruct(c: Conversation, w: Writer, others: tuple[str, ...]) -> None:
    _write_head(c, w)
    for turn in _after_system(c):
        if turn.role == 'assistant':
            _write_plain_answer(c, w, turn)
        elif turn.role in others:
            _write_other(c, w, turn)
    if c.add_generation_prompt:
        w.text(f'<|im_start|>assistant\n{prompt_tail(c, empty=False, thinks=False)}')


# -- Qwen3-Coder -----------------------------------------------------------------------------------------------------

_CODER_RESULTS = Results('<|im_start|>user\n', '<tool_response>\n', '\n</tool_response>\n', headless_first=True)
_EARLY_FORMAT = (
    '\n\nIf you choose to call a tool ONLY reply in the following format with NO suffix:\n\n<tool_call>\n'
    '<function=example_function_name>\n<parameter=example_parameter_1>\nvalue_1\n</parameter>\n'
    '<parameter=example_parameter_2>\nvalue_2\n</parameter>\n</function>\n</tool_call>\n\n<IMPORTANT>\nReminder:\n'
    '- Function calls MUST follow the specified format: the tool calling block MUST begin with an opening <tool_call> '
    'tag and end with a closing </tool_call> tag.\n' + FORMAT[FORMAT.index('- Required parameters'):])


def write_qwen3_coder(c: Conversation, w: Writer, early: bool = False) -> None:
    """Qwen3-Coder: tools and calls as XML.

    Args:
        early: the wording of the first release ("tools", and a shorter example).
    """
    if c.tools or c.system is not None:
        w.text('<|im_start|>system\n')
        if not c.tools:
            w.said(c.system)
        elif early:
            _write_early_tools(c, w)
        else:
            write_xml_tools(w, c)
        w.text('<|im_end|>\n')
    for turn in _after_system(c):
        if turn.role == 'assistant':
            _write_coder_answer(w, turn)
        elif turn.role == 'tool':
            _CODER_RESULTS.write(c, w, turn, first=1 if c.system else 0)
        else:
            write_message(w, turn)
    if c.add_generation_prompt:
        w.text('<|im_start|>assistant\n')


def _write_early_tools(c: Conversation, w: Writer) -> None:
    if c.system is None:
        w.text('You are Qwen, a helpful AI assistant that can interact with a computer to solve tasks.')
    else:
        w.said(c.system)
    w.text('\n\n# Tools\n\nYou have access to the following tools:\n\n')
    write_definitions(w, c.tools)
    w.text(_EARLY_FORMAT)


def _write_coder_answer(w: Writer, turn: Turn) -> None:
    w.text('<|im_start|>assistant\n')
    w.begin(turn)
    said = turn.content.strip() if turn.calls else turn.content
    w.said(turn, said)
    for i, call in enumerate(turn.calls):
        w.text('\n\n' if said and not i else '\n' if i else '')
        write_xml_call(w, turn, call)
    end_answer(w)


# -- Qwen3.5 and later -----------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Release:
    """What differs among Qwen3.5, 3.6 and 3.8.

    Attributes:
        value: how the argument of a call is written.
        thinks_unasked: the prompt opens the thinking unless ``enable_thinking`` is false; else only if it is true.
        splits_content: thinking between tags in the content is taken as such.
        preserves: whether earlier answers keep their thinking: never, if ``preserve_thinking``, or unless it is false.
        efforts: ``reasoning_effort`` is told to the model.
    """

    value: Callable[[Any], str] = python_value
    thinks_unasked: bool = True
    splits_content: bool = True
    preserves: Literal['never', 'if_told', 'unless_told'] = 'never'
    efforts: bool = False


QWEN3_5 = Release()
QWEN3_5_NOTHINKING = Release(thinks_unasked=False)
QWEN3_6 = Release(json_value, preserves='if_told')
QWEN3_8 = Release(json_value, splits_content=False, preserves='unless_told', efforts=True)

_STRIPPED_RESULTS = Results(headless_first=True, strip=True)
_EFFORTS = {
    'xhigh': 'Reasoning effort is set to xhigh. Please think carefully through the task, validate key assumptions, '
             'consider plausible alternatives, and prioritize correctness, consistency, and clarity in the final '
             'answer.',
    'medium': '',
    'low': 'Reasoning effort is set to low. Keep your thinking brief and focused, moving directly to the conclusion '
           'without unnecessary elaboration.',
}


def write_qwen3_5(c: Conversation, w: Writer, release: Release = QWEN3_5) -> None:
    """Qwen3.5, Qwen3.6 and Qwen3.8: all texts are stripped, calls are XML, and from the last question on every answer
    has a block of thinking, be it empty."""
    query = last_query(c, strip=True)
    if not c.turns or c.turns[query].role != 'user' or is_result(c.turns[query].content.strip()):
        raise RowError('this template needs a question of the user, and the conversation has none')
    enabled = c.options.get('enable_thinking')
    thinks = enabled is not False if release.thinks_unasked else enabled is True
    tail = prompt_tail(c, empty=not thinks, thinks=thinks)
    _write_head_3_5(c, w, release)
    for turn in _after_system(c):
        if turn.role == 'assistant':
            shows = turn.index > query or _preserves(c, release)
            _write_answer_3_5(c, w, turn, release, shows, tail)
        elif turn.role == 'tool':
            _STRIPPED_RESULTS.write(c, w, turn)
        elif turn.role == 'system':
            raise RowError('this template takes a system text at the beginning only, but there is another one '
                           f'in turn {turn.index}')
        else:
            write_message(w, turn, turn.content.strip())
    if c.add_generation_prompt:
        w.text(f'<|im_start|>assistant\n{tail}')


def _preserves(c: Conversation, release: Release) -> bool:
    told = c.options.get('preserve_thinking', release.preserves == 'unless_told')
    return release.preserves != 'never' and told is True


def _effort(c: Conversation) -> str:
    """The sentence about the effort of thinking; empty if there is none."""
    if c.options.get('enable_thinking', True) is not True:
        return ''
    effort = c.options.get('reasoning_effort', 'xhigh')
    if effort not in _EFFORTS:
        raise RowError(f'reasoning_effort is {effort!r}; this template knows {", ".join(_EFFORTS)}')
    return _EFFORTS[effort]


def _write_head_3_5(c: Conversation, w: Writer, release: Release) -> None:
    effort = _effort(c) if release.efforts else ''
    system = '' if c.system is None else c.system.content.strip()
    if not (c.tools or effort or system or (c.system is not None and not release.efforts)):
        return  # an empty system text is a turn in Qwen3.5 and 3.6, but not in 3.8
    w.text('<|im_start|>system\n')
    w.text(effort)
    if c.tools:
        w.text('\n\n' if effort else '')
        write_json_tools(w, c)
    elif system:
        w.text('\n\n' if effort else '')
        w.said(c.system, system)
    w.text('<|im_end|>\n')


def _write_answer_3_5(c: Conversation, w: Writer, turn: Turn, release: Release, shows: bool, tail: str) -> None:
    content = turn.content.strip()
    reasoning, content = (split_reasoning(turn, content) if release.splits_content
                          else (turn.reasoning or '', content))
    reasoning = reasoning.strip()
    w.text('<|im_start|>assistant\n')
    if reasoning and c.shows_reasoning(turn, shows):
        write_reasoning(w, turn, reasoning, tail)
        w.said(turn, content)
    elif c.writes_empty(turn, shows):
        open_answer(w, turn, EMPTY, tail)
        w.said(turn, content)
    else:
        open_answer(w, turn, '', tail, content)
    for i, call in enumerate(turn.calls):
        w.text('\n' if i else '\n\n' if content.strip() else '')
        write_xml_call(w, turn, call, release.value)
    end_answer(w)


# -- shared ----------------------------------------------------------------------------------------------------------

def _after_system(c: Conversation) -> tuple[Turn, ...]:
    return c.turns[1 if c.system else 0:]


def _write_plain_answer(c: Conversation, w: Writer, turn: Turn) -> None:
    """Content and calls; thinking only where ``--thinking`` asks for what the publisher's template leaves out."""
    w.text('<|im_start|>assistant\n')
    tail = prompt_tail(c, empty=False, thinks=False)
    if turn.reasoning and c.shows_reasoning(turn, False):
        write_reasoning(w, turn, turn.reasoning.strip('\n'), tail)
    else:
        open_answer(w, turn, EMPTY if c.writes_empty(turn, False) else '', tail)
    w.said(turn)
    write_calls(w, turn)
    end_answer(w)


def _write_head(c: Conversation, w: Writer) -> None:
    if not c.tools and c.system is None:
        return
    w.text('<|im_start|>system\n')
    if c.tools:
        write_qwen_tools(w, c)
    else:
        w.said(c.system)
    w.text('<|im_end|>\n')


def _write_other(c: Conversation, w: Writer, turn: Turn) -> None:
    """A question, a later system text, or a result; results in a row share one turn."""
    if turn.role == 'tool':
        QWEN_RESULTS.write(c, w, turn)
    else:
        write_message(w, turn)
