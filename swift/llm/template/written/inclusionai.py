"""Ling of inclusionAI. Checked against the chat template of inclusionAI/Ling-3.0-flash."""

from __future__ import annotations

import dataclasses

from swift.llm.template.conversation import Conversation, Turn, tojson
from swift.llm.template.dialects.glm import LING3
from swift.llm.template.writer import Writer
from swift.llm.template.written._answers import begin_behind, prompt_ending
from swift.llm.template.written.chatml import split_reasoning

_EMPTY = '\n<think></think>'
_TOOLS = ('# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with '
          'function signatures within <tools></tools> XML tags:\n<tools>')
_CALLS = ('\n</tools>\n\nIf none of the functions can be used, point it out. If the given question lacks the '
          'parameters required by the function, also point it out.\nIf you need to use a function, for each function '
          'call, output the function name and arguments within the following XML format:\n<tool_call>{function-name}\n'
          '<arg_key>{arg-key-1}</arg_key>\n<arg_value>{arg-value-1}</arg_value>\n<arg_key>{arg-key-2}</arg_key>\n'
          '<arg_value>{arg-value-2}</arg_value>\n...\n</tool_call>\n')


def write_ling3(c: Conversation, w: Writer) -> None:
    """Ling 3: the system text says whether to think, unless the caller's says so; all thinking stays."""
    mode = _mode(c)
    _write_head(c, w, mode)
    for turn in c.turns[1 if c.system else 0:]:
        if turn.role == 'assistant':
            _write_answer(c, w, turn, mode)
        elif turn.role == 'tool':
            _write_result(c, w, turn)
        else:
            w.text('<role>HUMAN</role>' if turn.role == 'user' else '<role>SYSTEM</role>')
            w.said(turn)
            w.text('<|role_end|>')
    if c.add_generation_prompt:
        w.text('<role>ASSISTANT</role>' + _prompt(c, mode))


def _mode(c: Conversation) -> str:
    """``on`` or ``off``; ``thinking_option`` may say anything else, which asks for nothing."""
    if 'enable_thinking' in c.options:
        return 'on' if c.options['enable_thinking'] else 'off'
    return str(c.options.get('thinking_option', 'on'))


def _prompt(c: Conversation, mode: str) -> str:
    return prompt_ending(c, '\n<think>', _EMPTY, is_thinking=mode == 'on', is_empty=mode == 'off')


def _write_head(c: Conversation, w: Writer, mode: str) -> None:
    says_mode = c.system is not None and any(
        f'detailed thinking {mode}' in c.system.content for mode in ('on', 'off'))
    w.text('<role>SYSTEM</role>')
    if c.system is not None:
        w.said(c.system)
        w.text('\n' if c.tools or not says_mode else '')
    if c.tools:
        w.text(_TOOLS)
        for tool in c.tools:
            w.text('\n')
            w.data(tojson(tool))
        w.text(_CALLS)
    w.text('<|role_end|>' if says_mode else f'detailed thinking {mode}<|role_end|>')


def _write_answer(c: Conversation, w: Writer, turn: Turn, mode: str) -> None:
    reasoning, content = split_reasoning(turn if turn.reasoning else dataclasses.replace(turn, reasoning=None))
    header, prompt = '<role>ASSISTANT</role>', _prompt(c, mode)
    if reasoning and c.shows_reasoning(turn, True):
        begin_behind(w, turn, header, prompt, '\n<think>')
        w.said(turn, reasoning.strip('\n'))
        w.text('</think>')
        w.said(turn, content.lstrip('\n'))
    else:
        begin_behind(w, turn, header, prompt, _EMPTY if c.writes_empty(turn, True) else '')
        w.said(turn, content)
    for i, call in enumerate(turn.calls):
        w.text('\n' if i or content else '')
        LING3.write(w, turn, call)
    w.text('<|role_end|>')
    w.end()


def _write_result(c: Conversation, w: Writer, turn: Turn) -> None:
    before, after = c.preceding(turn), c.following(turn)
    w.text('<role>OBSERVATION</role>' if before is None or before.role != 'tool' else '')
    w.text('\n<tool_response>\n')
    w.said(turn)
    w.text('\n</tool_response>')
    w.text('<|role_end|>' if after is None or after.role != 'tool' else '')
