"""Templates of Salesforce's xLAM models, as vLLM writes them."""

from __future__ import annotations

from dataclasses import dataclass

from swift.llm.template.conversation import Conversation, Turn, tojson
from swift.llm.template.writer import Writer

_DEFAULT = 'You are a helpful assistant. You are developed by Salesforce xLAM team.\n'
_TOOLS = (
    'You have access to a set of tools. When using tools, make calls in a single JSON array: \n\n[{"name": '
    '"tool_call_name", "arguments": {"arg1": "value1", "arg2": "value2"}}, ... (additional parallel tool calls as '
    'needed)]\n\nIf no tool is suitable, state that explicitly. If the user\'s input lacks required parameters, ask '
    'for clarification. Do not interpret or respond until tool results are returned. Once they are available, '
    'process them or make additional calls if needed. For tasks that don\'t require tools, such as casual '
    'conversation or general advice, respond directly in plain text. The available tools are:\n\n')


@dataclass(frozen=True)
class Markup:
    """The turns of the model that xLAM was trained from.

    Attributes:
        header: what opens a turn, with the role at ``{}``.
        close: what a model writes to end its turn.
        after: what follows that.
        tool: the role of results.
    """

    header: str
    close: str
    after: str
    tool: str


QWEN = Markup('<|im_start|>{}\n', '<|im_end|>', '\n', 'tool')
LLAMA = Markup('<|start_header_id|>{}<|end_header_id|>\n\n', '<|eot_id|>', '', 'ipython')


def write_xlam(c: Conversation, w: Writer, markup: Markup = QWEN) -> None:
    """xLAM-2: tools as JSON in the system text, the calls of an answer as one JSON list that takes the place of its
    content."""
    w.text(c.bos if markup is LLAMA else '')
    w.text(markup.header.format('system'))
    if c.system is not None:
        w.said(c.system, c.system.content.strip())
        w.text('\n')
    else:
        w.text(_DEFAULT)
        w.text(_TOOLS if c.tools else '')
    for definition in c.tools:
        w.data(tojson(definition, indent=4))
        w.text('\n\n')
    w.text(markup.close + markup.after)
    for turn in c.turns[1 if c.system else 0:]:
        if turn.role == 'assistant':
            _write_answer(w, turn, markup)
        else:
            w.text(markup.header.format(markup.tool if turn.role == 'tool' else turn.role))
            w.said(turn, turn.content if turn.role == 'tool' else turn.content.strip())
            w.text(markup.close + markup.after)
    if c.add_generation_prompt:
        w.text(markup.header.format('assistant'))


def _write_answer(w: Writer, turn: Turn, markup: Markup) -> None:
    w.text(markup.header.format('assistant'))
    w.begin(turn)
    if not turn.calls:
        w.said(turn, turn.content.strip())
    for i, call in enumerate(turn.calls):
        w.text(', ' if i else '[')
        if markup is LLAMA:
            w.text('{"name": "')
            w.said(turn, call.name)
            w.text('", "arguments": ')
            w.said(turn, call.text)
            w.text('}')
        else:
            w.said(turn, tojson(call.raw.get('function', call.raw)))
    w.text(']' if turn.calls else '')
    w.text(markup.close)
    w.end()
    w.text(markup.after)
