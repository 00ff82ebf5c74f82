"""Solar of Upstage. Checked against the chat template of upstage/Solar-Open-100B."""

from __future__ import annotations

from collections.abc import Mapping

from swift.llm.template.conversation import Conversation, Turn, tojson
from swift.llm.template.writer import Writer
from swift.utils.errors import RowError

_HEADER = '<|begin|>assistant'
_TOOLS = ('## Tools\n\n### Tool Call Instruction\nYou may invoke one or more tools to assist with the user\'s query. '
          'Available tools are provided in JSON Schema format: <|tools:begin|><|tool:begin|><tools-json-object>'
          '<|tool:end|>...<|tools:end|>\n\n### Available Tools\n<|tools:begin|>')
_CALLS = ('<|tools:end|>\n\n### Tool Call Format\nFor each tool call, return a JSON object with the following '
          'structure, enclosed within <|tool_call:begin|> and <|tool_call:end|> tags: \n<|tool_call:begin|>'
          '<tool-call-id><|tool_call:name|><tool-name><|tool_call:args|><args-json-object><|tool_call:end|>\n- The '
          '<tool-call-id> must be a randomly generated string consisting of 10 lowercase letters (a-z) and/or digits '
          '(0-9) (e.g., a1b2c3d4e5)\n\n### Tool Response Format\nEach tool is responded by `tool` with the following '
          'structure:\n<|tool_response:id|><tool-call-id><|tool_response:name|><tool-name><|tool_response:result|>'
          '<results><|tool_response:end|>\n- Ensure the <tool-call-id> matches the corresponding tool call')


def write_solar(c: Conversation, w: Writer) -> None:
    """Solar Open: all system texts in one head behind the provider's; thoughts are a message of their own.

    The publisher's template reads thoughts from a field ``reasoning``, so it shows none of ``reasoning_content``
    unless ``--thinking`` says so.
    """
    systems = [turn for turn in c.turns if turn.role == 'system']
    blocks = _provider_text(c)
    if systems or blocks or c.tools:
        w.text('<|begin|>system<|content|>' + blocks)
        if systems:
            w.text('\n\n## System Prompt' if blocks else '## System Prompt')
            for turn in systems:
                w.text('\n\n')
                w.said(turn)
        if c.tools:
            w.text('\n\n' if systems or blocks else '')
            _write_tools(c, w)
        w.text('<|end|>')
    for turn in c.turns:
        if turn.role == 'user':
            w.text('<|begin|>user<|content|>')
            w.said(turn)
            w.text('<|end|>')
        elif turn.role == 'tool':
            _write_result(c, w, turn)
        elif turn.role == 'assistant':
            _write_answer(c, w, turn)
    if c.add_generation_prompt:
        w.text((f'{_HEADER}<|think|><|end|>' if c.prompts_empty(_is_brief(c)) else '') + _HEADER)


def _is_brief(c: Conversation) -> bool:
    return c.options.get('reasoning_effort') in ('low', 'minimal')


def _provider_text(c: Conversation) -> str:
    if not c.options.get('default_system_prompt', True):
        return ''
    return ('## Provider System Prompt\n\nYou are Solar Open 100B, a large language model trained by Upstage AI, a '
            f'Korean startup. Your knowledge cutoff is 2025-07. The current date is {c.now:%Y-%m-%d}.')


def _write_tools(c: Conversation, w: Writer) -> None:
    w.text(_TOOLS)
    for tool in c.tools:
        w.text('<|tool:begin|>')
        w.data(tojson(tool['function']))
        w.text('<|tool:end|>')
    w.text(_CALLS)


def _write_answer(c: Conversation, w: Writer, turn: Turn) -> None:
    if turn.reasoning and c.shows_reasoning(turn, False):
        w.text(_HEADER)
        w.begin(turn)
        w.text('<|think|>')
        w.said(turn, turn.reasoning)
        w.text(f'<|end|>{_HEADER}')
    else:
        empty = f'{_HEADER}<|think|><|end|>' if c.writes_empty(turn, False) else ''
        w.text(empty + _HEADER)
        w.begin(turn)
    if not turn.calls:
        w.text('<|content|>')
        w.said(turn)
        w.text('<|end|>')
        w.end()
        return
    w.text('<|tool_calls|>')
    for call in turn.calls:
        if call.id is None:
            raise RowError('Solar Open takes calls with an "id" only')
        w.text('<|tool_call:begin|>')
        w.said(turn, call.id)
        w.text('<|tool_call:name|>')
        w.said(turn, call.name)
        w.text('<|tool_call:args|>')
        w.said(turn, tojson(call.arguments) if isinstance(call.arguments, Mapping) else call.text)
        w.text('<|tool_call:end|>')
    w.text('<|calls|>')
    w.end()


def _write_result(c: Conversation, w: Writer, turn: Turn) -> None:
    if turn.call_id is None:
        raise RowError('Solar Open takes results with a "tool_call_id" only')
    before, after = c.preceding(turn), c.following(turn)
    w.text('<|begin|>tool<|tool_response|>' if before is None or before.role != 'tool' else '')
    w.text('<|tool_response:begin|>')
    w.said(turn, turn.call_id)
    w.text('<|tool_response:name|>')
    w.said(turn, ''.join(call.name for t in c.turns for call in t.calls if call.id == turn.call_id))
    w.text('<|tool_response:result|>')
    w.said(turn)
    w.text('<|tool_response:end|>')
    w.text('<|end|>' if after is None or after.role != 'tool' else '')
