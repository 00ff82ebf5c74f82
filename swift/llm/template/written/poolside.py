"""Laguna of Poolside. Checked against the chat templates of the checkpoints that each docstring names."""

from __future__ import annotations

from swift.llm.template.conversation import Conversation, Turn, tojson
from swift.llm.template.dialects.glm import GLM4_5, GLM4_7
from swift.llm.template.writer import Writer
from swift.llm.template.written._answers import begin_behind, prompt_ending

_DEFAULT = ('You are a helpful, conversationally-fluent assistant made by Poolside. You are here to be helpful to '
            'users through natural language conversations.')
_AVAILABLE = ('### Tools\n\nYou may call functions to assist with the user query.\nAll available function signatures '
              'are listed below:\n<available_tools>\n')
_FORMAT = ('with function name and arguments within \'<tool_call>\' and \'</tool_call>\' tags, like here:\n{}'
           '<tool_call>function-name\n<arg_key>argument-key</arg_key>\n<arg_value>value-of-argument-key</arg_value>\n'
           '</tool_call>')
_THOUGHTFUL = ('Wrap your thinking in \'<think>\', \'</think>\' tags, followed by a function call. For each function '
               'call, return an unescaped XML-like object ')
_PLAIN = 'For each function call, return an unescaped XML-like object '


def write_laguna_xs(c: Conversation, w: Writer, default_system: str = _DEFAULT) -> None:
    """Laguna XS.2; XS 2.1, which has no default system text. All thinking stays.

    Args:
        c: the conversation.
        w: where to write.
        default_system: the system text of a conversation without one.
    """
    w.text('〈|EOS|〉')
    enabled = bool(c.options.get('enable_thinking', False))
    has_system = bool((c.system.content if c.system else default_system).strip())
    if has_system or c.tools:
        w.text('<system>\n')
        w.text('\n' if has_system else '')
        if has_system:
            _write_system_text(c, w, default_system)
        if c.tools:
            w.text('\n\n' + _AVAILABLE)
            _write_tools(c, w)
            w.text('</available_tools>\n\n')
            w.text(_THOUGHTFUL + _FORMAT.format('<think> your thoughts here </think>\n') if enabled
                   else _PLAIN + _FORMAT.format(''))
        w.text('\n</system>\n')
    prompted = prompt_ending(c, '<think>', '</think>', is_thinking=enabled, is_empty=not enabled)
    for turn in c.turns[1 if c.system else 0:]:
        if turn.role == 'assistant':
            _write_xs_answer(c, w, turn, prompted)
        else:
            tag = 'tool_response' if turn.role == 'tool' else turn.role
            w.text(f'<{tag}>\n')
            w.said(turn)
            w.text(f'\n</{tag}>\n')
    if c.add_generation_prompt:
        w.text('<assistant>\n' + prompted)


def _write_xs_answer(c: Conversation, w: Writer, turn: Turn, prompted: str) -> None:
    reasoning, content = turn.reasoning or '', turn.content
    if '</think>' in content:
        inline = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n')
        reasoning, content = reasoning or inline, content.split('</think>')[-1].lstrip('\n')
    if reasoning and c.shows_reasoning(turn, True):
        begin_behind(w, turn, '<assistant>\n', prompted, '<think>\n')
        w.said(turn, reasoning.strip())
        w.text('\n</think>\n')
    else:
        begin_behind(w, turn, '<assistant>\n', prompted, '</think>\n' if c.writes_empty(turn, True) else '')
    if content.strip():
        w.said(turn, content.strip())
        w.text('\n')
    for call in turn.calls:
        GLM4_5.write(w, turn, call)
        w.text('\n')
    w.text('</assistant>')
    w.end()
    w.text('\n')


def write_laguna_s(c: Conversation, w: Writer) -> None:
    """Laguna S 2.1: like XS, without line breaks; thinking is on unless switched off, and only with it is any shown."""
    w.text('〈|EOS|〉')
    enabled = bool(c.options.get('enable_thinking', True))
    shows = enabled or bool(c.options.get('preserve_thinking', False))
    has_system = bool((c.system.content if c.system else _DEFAULT).strip())
    if has_system or c.tools or enabled:
        w.text('<system>')
        if has_system:
            _write_system_text(c, w, _DEFAULT)
        if c.tools:
            w.text(('\n\n' if has_system else '') + _AVAILABLE)
            _write_tools(c, w)
            w.text('</available_tools>')
        w.text('</system>\n')
    prompted = prompt_ending(c, '<think>', '<think></think>' if enabled else '</think>', is_thinking=enabled,
                             is_empty=not enabled)
    for turn in c.turns[1 if c.system else 0:]:
        if turn.role == 'assistant':
            _write_s_answer(c, w, turn, prompted, shows)
        else:
            tag = 'tool_response' if turn.role == 'tool' else turn.role
            w.text(f'<{tag}>')
            w.said(turn)
            w.text(f'</{tag}>\n')
    if c.add_generation_prompt:
        w.text('<assistant>' + prompted)


def _write_s_answer(c: Conversation, w: Writer, turn: Turn, prompted: str, shows: bool) -> None:
    if turn.reasoning and c.shows_reasoning(turn, shows):
        begin_behind(w, turn, '<assistant>', prompted, '<think>')
        w.said(turn, turn.reasoning)
        w.text('</think>')
    else:
        empty = '<think></think>' if shows else '</think>'
        begin_behind(w, turn, '<assistant>', prompted, empty if c.writes_empty(turn, True) else '')
    w.said(turn)
    for call in turn.calls:
        GLM4_7.write(w, turn, call)
    w.text('</assistant>')
    w.end()
    w.text('\n')


def _write_system_text(c: Conversation, w: Writer, default: str) -> None:
    if c.system is not None:
        w.said(c.system, c.system.content.rstrip())
    else:
        w.text(default)


def _write_tools(c: Conversation, w: Writer) -> None:
    for tool in c.tools:
        w.data(tojson(tool))
        w.text('\n')
