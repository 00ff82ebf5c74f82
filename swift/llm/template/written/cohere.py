"""Command R, Command A, Aya and North of Cohere. Checked against the chat templates that each docstring names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swift.llm.template.conversation import Conversation, Turn, tojson
from swift.llm.template.writer import Writer
from swift.llm.template.written import _cohere_texts as texts
from swift.llm.template.written._answers import begin_behind, prompt_ending
from swift.utils.errors import RowError

_OPEN, _CLOSE = '<|START_OF_TURN_TOKEN|>', '<|END_OF_TURN_TOKEN|>'
_ROLES = {'system': f'{_OPEN}<|SYSTEM_TOKEN|>', 'user': f'{_OPEN}<|USER_TOKEN|>',
          'assistant': f'{_OPEN}<|CHATBOT_TOKEN|>'}
_THINK, _THOUGHT = '<|START_THINKING|>', '<|END_THINKING|>'


def _write_turn(w: Writer, turn: Turn, content: str | None = None) -> None:
    """A turn of plain text."""
    w.text(_ROLES[turn.role])
    if turn.role == 'assistant':
        w.begin(turn)
    w.said(turn, content)
    w.text(_CLOSE)
    w.end()


def _refuse_order(turn: Turn) -> RowError:
    return RowError(f'turns of user and assistant must alternate, but turn {turn.index} is of {turn.role!r}')


def write_command_r(c: Conversation, w: Writer) -> None:
    """Command R and Aya (Cohere's first template): no default system text, contents stripped."""
    w.text(c.bos)
    if c.system:
        _write_turn(w, c.system)
    for i, turn in enumerate(c.turns[1 if c.system else 0:]):
        if (turn.role == 'user') != (i % 2 == 0):
            raise _refuse_order(turn)
        if turn.role in ('user', 'assistant'):
            _write_turn(w, turn, turn.content.strip())
    w.text(_ROLES['assistant'] if c.add_generation_prompt else '')


def write_aya2(c: Conversation, w: Writer) -> None:
    """Tiny Aya (Cohere's second template): a preamble, and answers between tags."""
    system = next((turn for turn in c.turns if turn.role == 'system'), None)
    w.text(f'{c.bos}{_ROLES["system"]}{texts.AYA_PREAMBLE}')
    if system and system.content:
        w.text('\n' + texts.DEVELOPER_PREAMBLE)
        w.said(system)
    w.text(_CLOSE)
    expects_question = True
    for turn in c.turns:
        if turn.role == 'system' and system.content and turn.content == system.content:
            continue
        if turn.role in ('user', 'assistant'):
            if (turn.role == 'user') != expects_question:
                raise _refuse_order(turn)
            expects_question = not expects_question
        if turn.role == 'assistant':
            w.text(f'{_ROLES["assistant"]}<|START_RESPONSE|>')
            w.begin(turn)
            w.said(turn)
            w.text(f'<|END_RESPONSE|>{_CLOSE}')
            w.end()
        elif turn.role == 'tool':
            w.text(_OPEN + _CLOSE)
        else:
            _write_turn(w, turn)
    w.text(f'{_ROLES["assistant"]}<|START_RESPONSE|>' if c.add_generation_prompt else '')


# -- Command R7B and Command A ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CommandA:
    """Command R7B (12-2024) and Command A (03-2025): always ends with the start of an answer.

    Attributes:
        has_tools: tools, calls and results are written; Command A's default template leaves them out.
        has_reasoning: what was thought is written in front of calls, and a prompt ends with an empty block of it
            unless thinking is enabled.
    """

    has_tools: bool = True
    has_reasoning: bool = False

    def write(self, c: Conversation, w: Writer) -> None:
        self._write_head(c, w)
        calls = 0
        answered: set[str | None] = set()
        for turn in c.turns:
            if turn.role == 'assistant':
                self._write_answer(c, w, turn, calls)
                calls += len(turn.calls)
            elif turn.role == 'tool':
                if self.has_tools and turn.call_id not in answered:
                    results = _results_from(c, turn)
                    answered |= {result.call_id for result in results[1:]}
                    _write_results(c, w, results)
            elif turn is not c.system or not turn.content:
                _write_turn(w, turn)
        w.text(_ROLES['assistant'] + self._prompt(c))

    def _prompt(self, c: Conversation) -> str:
        if not self.has_tools:
            return '<|START_RESPONSE|>' if c.add_generation_prompt else ''
        is_off = self.has_reasoning and not c.options.get('enable_thinking')
        return prompt_ending(c, '', _THINK + _THOUGHT, is_thinking=False, is_empty=is_off)

    def _write_head(self, c: Conversation, w: Writer) -> None:
        is_strict = not self.has_tools and str(c.options.get('safety_mode', '')).upper() == 'STRICT'
        w.text(f'{c.bos}{_ROLES["system"]}# System Preamble\n{texts.STRICT if is_strict else texts.CONTEXTUAL}')
        w.text(texts.LANGUAGES + ('\n' if self.has_tools else '\n\n'))
        if c.tools and self.has_tools:
            w.text(f'\n{texts.TOOL_USE}')
            w.text(f'\n{texts.GROUNDING}' if c.options.get('enable_citations') else '')
            w.text(f'\n{texts.AVAILABLE_TOOLS}```json\n[\n')
            _write_tools(c, w)
            w.text(']\n```\n\n')
        w.text(texts.DEFAULT_PREAMBLE)
        if c.system and c.system.content:
            w.text('\n\n' + texts.DEVELOPER_PREAMBLE)
            w.said(c.system)
        w.text(_CLOSE)

    def _write_answer(self, c: Conversation, w: Writer, turn: Turn, calls: int) -> None:
        has_calls = bool(turn.calls) and self.has_tools
        reasoning = turn.reasoning if self.has_reasoning else None
        prompt = '<|START_RESPONSE|>' if not self.has_tools else self._prompt(c)
        if reasoning and c.shows_reasoning(turn, has_calls):
            begin_behind(w, turn, _ROLES['assistant'], prompt, _THINK)
            w.said(turn, reasoning)
            w.text(_THOUGHT)
            w.text('' if has_calls else '<|START_RESPONSE|>')
        else:
            block = _THINK + _THOUGHT if c.writes_empty(turn, has_calls) and self.has_tools else ''
            begin_behind(w, turn, _ROLES['assistant'], prompt, block + ('' if has_calls else '<|START_RESPONSE|>'))
        if has_calls:
            w.text('<|START_ACTION|>[\n')
            _write_calls(w, turn, calls, ',\n', '\n')
            w.text(f']<|END_ACTION|>{_CLOSE}')
        else:
            w.said(turn)
            w.text(f'<|END_RESPONSE|>{_CLOSE}')
        w.end()


def _write_tools(c: Conversation, w: Writer) -> None:
    for i, tool in enumerate(c.tools):
        function = tool['function']
        w.text('    {"name": "')
        w.data(str(function['name']))
        w.text('", "description": "')
        w.data(str(function.get('description', '')))
        w.text('", "parameters": ')
        w.data(tojson(function.get('parameters')))
        w.text(', "responses": null}' + (',\n' if i < len(c.tools) - 1 else '\n'))


def _write_calls(w: Writer, turn: Turn, number: int, between: str, behind: str) -> None:
    for i, call in enumerate(turn.calls):
        w.text(f'    {{"tool_call_id": "{number + i}", "tool_name": "')
        w.said(turn, call.name)
        w.text('", "parameters": ')
        w.said(turn, tojson(call.arguments))
        w.text('}' + (between if i < len(turn.calls) - 1 else behind))


def _results_from(c: Conversation, turn: Turn) -> list[Turn]:
    """This result and those that follow it."""
    results = []
    for other in c.turns[turn.index:]:
        if other.role != 'tool':
            break
        results.append(other)
    return results


def _number_of(c: Conversation, call_id: str | None) -> str:
    """The number of a call among all calls of the conversation, or nothing if it is none."""
    ids = [call.id for turn in c.turns for call in turn.calls]
    return str(ids.index(call_id)) if call_id in ids else ''


def _write_results(c: Conversation, w: Writer, results: Sequence[Turn], wraps: bool = False) -> None:
    """``wraps``: each text is put into an object, under "content"."""
    w.text(f'{_ROLES["system"]}<|START_TOOL_RESULT|>[\n')
    for i, result in enumerate(results):
        w.text(',\n' if i else '')
        w.text(f'    {{\n        "tool_call_id": "{_number_of(c, result.call_id)}",\n        "results": {{\n'
               '            "0": ')
        w.text('{"content": ' if wraps else '')
        w.said(result, tojson(result.content))
        w.text('}' if wraps else '')
        w.text('\n        },\n        "is_error": null\n    }')
    w.text(f'\n]<|END_TOOL_RESULT|>{_CLOSE}')


write_command_r7b = CommandA(has_reasoning=True).write
write_command_a = CommandA(has_tools=False).write
write_command_a_tool_use = CommandA().write


# -- North -----------------------------------------------------------------------------------------------------------


def write_north(c: Conversation, w: Writer) -> None:
    """North Mini Code (Cohere2Moe): a platform turn with the tools, texts between tags, thinking kept."""
    w.text(f'{c.bos}{_ROLES["system"]}<|START_TEXT|>')
    w.text(str(c.options.get('platform_instruction_override') or texts.NORTH_PLATFORM))
    w.text('\n')
    if c.tools and str(c.options.get('grounding', '')).upper() == 'ENABLED':
        w.text(f'\n{texts.NORTH_GROUNDING}\n')
    w.text('\n# Available Tools\n```json\n[\n')
    _write_tools(c, w)
    w.text(f'{"" if c.tools else chr(10)}]\n```<|END_TEXT|>{_CLOSE}')
    calls = 0
    answered: set[str | None] = set()
    for turn in c.turns:
        if turn.role == 'assistant':
            _write_north_answer(c, w, turn, calls)
            calls += len(turn.calls)
        elif turn.role != 'tool':
            w.text(f'{_ROLES[turn.role]}<|START_TEXT|>')
            w.said(turn)
            w.text(f'<|END_TEXT|>{_CLOSE}')
        elif turn.call_id not in answered:
            results = _results_from(c, turn)
            answered |= {result.call_id for result in results[1:]}
            _write_results(c, w, results, wraps=True)
    if c.add_generation_prompt:
        w.text(_ROLES['assistant'] + _north_prompt(c))


def _north_prompt(c: Conversation) -> str:
    thinks = c.options.get('reasoning', str(c.options.get('reasoning_effort', '')).lower() != 'none')
    return prompt_ending(c, _THINK, _THINK + _THOUGHT, is_thinking=bool(thinks), is_empty=not thinks)


def _write_north_answer(c: Conversation, w: Writer, turn: Turn, calls: int) -> None:
    prompt = _north_prompt(c)
    if turn.reasoning and c.shows_reasoning(turn, not c.options.get('skip_thinking')):
        begin_behind(w, turn, _ROLES['assistant'], prompt, _THINK)
        w.said(turn, turn.reasoning)
        w.text(_THOUGHT)
    else:
        begin_behind(w, turn, _ROLES['assistant'], prompt, _THINK + _THOUGHT if c.writes_empty(turn, False) else '')
    if turn.calls:
        w.text('<|START_ACTION|>[\n')
        _write_calls(w, turn, calls, ',\n', '\n')
        w.text(f']<|END_ACTION|>{_CLOSE}')
    else:
        w.text('<|START_TEXT|>')
        w.said(turn)
        w.text(f'<|END_TEXT|>{_CLOSE}')
    w.end()


# -- Command R+ with tools -------------------------------------------------------------------------------------------

_TYPES = {'string': 'str', 'number': 'float', 'integer': 'int', 'boolean': 'bool'}


def write_command_r_tool_use(c: Conversation, w: Writer) -> None:
    """Command R and R+ for tools: Python signatures in the system text, actions as a JSON list, and always the
    instruction to write one at the end."""
    if not c.tools:
        raise RowError('this template is for conversations with tools; use command_r for those without')
    w.text(f'{c.bos}{_ROLES["system"]}{texts.SAFETY_PREAMBLE}\n')
    if c.system:
        w.said(c.system)
    else:
        w.text(texts.TASK_AND_CONTEXT)
    w.text('\n\n## Available Tools\nHere is a list of tools that you have available to you:\n\n')
    for i, tool in enumerate(c.tools):
        w.text('\n\n' if i else '')
        _write_signature(w, tool.get('function', tool))
    w.text(_CLOSE)
    for turn in c.turns[1 if c.system else 0:]:
        if turn.role == 'tool':
            w.text(f'{_ROLES["system"]}<results>\n')
            w.said(turn, turn.content.strip())
            w.text(f'</results>{_CLOSE}')
        elif turn.calls:
            _write_actions(w, turn)
        else:
            _write_turn(w, turn, turn.content.strip())
    w.text(f'{_ROLES["system"]}{texts.WRITE_ACTION}{_CLOSE}')
    w.text(_ROLES['assistant'] if c.add_generation_prompt else '')


def _write_actions(w: Writer, turn: Turn) -> None:
    w.text(_ROLES['assistant'])
    w.begin(turn)
    w.said(turn, turn.content.strip())
    w.text('\nAction:\n```json\n[\n')
    for i, call in enumerate(turn.calls):
        w.text(',\n' if i else '')
        w.text('    {\n        "tool_name": "')
        w.said(turn, call.name)
        w.text('",\n        "parameters": ')
        first, *rest = tojson(call.arguments or {}, indent=4).splitlines()
        w.said(turn, '\n'.join([first, *(' ' * 8 + line for line in rest)]))
        w.text('\n    }')
    w.text('\n]```\n')
    w.end()


def _write_signature(w: Writer, function: Mapping[str, Any]) -> None:
    parameters = function.get('parameters') or {}
    required = parameters.get('required') or ()
    fields = [(name, _python_type(schema), name in required, schema)
              for name, schema in (parameters.get('properties') or {}).items()]
    w.text('```python\ndef ')
    w.data(str(function['name']))
    w.text('(')
    w.data(', '.join(f'{name}: {kind}' if needed else f'{name}: Optional[{kind}] = None'
                     for name, kind, needed, _ in fields))
    w.text(') -> List[Dict]:\n    """')
    w.data(str(function.get('description', '')))
    if fields:
        w.text('\n\n    Args:\n        ')
        lines = []
        for name, kind, needed, schema in fields:
            if 'description' not in schema:
                raise RowError(f'Command R takes tools whose parameters are all described; {name!r} is not')
            lines.append(f'{name} ({kind if needed else f"Optional[{kind}]"}): {schema["description"]}')
        w.data('\n        '.join(lines))
    w.text('\n    """\n    pass\n```')


def _python_type(schema: Mapping[str, Any]) -> str:
    kind = schema.get('type')
    if isinstance(kind, list):
        return f'Union[{",".join(_python_type({"type": one}) for one in kind)}]'
    if kind == 'object':
        if not isinstance(schema.get('additionalProperties'), Mapping):
            raise RowError('Command R takes an object as a parameter only with the type of its additionalProperties')
        return f'Dict[str, {_python_type(schema["additionalProperties"])}]'
    if kind == 'array':
        return 'List[Union[]]'  # the publisher's template misses the type of the items, and says this
    if kind is not None and kind not in _TYPES:
        raise RowError(f'Command R has no Python type for a parameter of type {kind!r}')
    return _TYPES.get(kind, 'Union[]')
