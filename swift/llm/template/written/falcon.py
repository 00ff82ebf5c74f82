"""Falcon of TII. Checked against the chat templates that each docstring names."""

from __future__ import annotations

from swift.llm.template.conversation import Conversation, tojson
from swift.llm.template.writer import Writer
from swift.utils.errors import RowError


def write_falcon_instruct(c: Conversation, w: Writer) -> None:
    """falcon-7b/40b-instruct as FastChat has it (chujiezheng/chat_templates): blank lines in a message are closed up,
    as they would part two messages; nothing ends an answer.

    Raises:
        RowError: the roles do not alternate.
    """
    turns = c.turns[1 if c.system else 0:]
    if c.system is not None and turns:
        w.said(c.system, c.system.content.strip())
    for i, turn in enumerate(turns):
        if (turn.role == 'user') != (i % 2 == 0):
            raise RowError(f'turn {turn.index} is of {turn.role!r}, but questions and answers have to alternate')
        content = turn.content.strip().replace('\r\n', '\n').replace('\n\n', '\n')
        w.text(f'\n\n{turn.role.title()}:')
        if turn.role == 'assistant':
            w.begin(turn)
        w.text(' ')
        w.said(turn, content)
        w.end()
    if c.add_generation_prompt and turns and turns[-1].role == 'user':
        w.text('\n\nAssistant:')


def write_falcon_h1(c: Conversation, w: Writer) -> None:
    """Falcon-H1 (axolotl's rendition): ChatML; a system text with tools is not ended, and calls are left out."""
    w.text(c.bos)
    if c.tools:
        w.text('<|im_start|>system\n')
        if c.system is not None:
            w.said(c.system)
            w.text('\n\n')
        w.text('You are a function calling AI model. You are provided with function signature within <tools> </tools> '
               'XML tags. You may call one or more functions to assist with the user query. Don\'t make assumptions '
               'about what values to plug into functions.\n<tools>\n')
        for tool in c.tools:
            w.text('[')
            w.data(tojson(tool))
            w.text(']')
        w.text('\n</tools>\nFor each function call, return a json object with function name and arguments within '
               '<tool_call> </tool_call> tags with the following schema:\n<tool_call>\n'
               '{\'arguments\': <args-dict>, \'name\': <function-name>}\n</tool_call>\n')
    elif c.system is not None:
        w.text('<|im_start|>system\n')
        w.said(c.system)
        w.text('<|im_end|>\n')
    for turn in c.turns:
        if turn.role == 'system':
            continue
        w.text(f'<|im_start|>{turn.role}\n')
        if turn.role == 'assistant':
            w.begin(turn)
        w.said(turn)
        w.text('<|im_end|>')
        w.end()
        w.text('\n')
    if c.add_generation_prompt:
        w.text('<|im_start|>assistant\n')
