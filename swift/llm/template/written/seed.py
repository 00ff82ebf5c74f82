"""Seed-OSS of ByteDance. Checked against the chat template of the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swift.llm.template.conversation import Call, Conversation, Turn, tojson
from swift.llm.template.writer import Writer
from swift.utils.errors import RowError

_BOS, _EOS = '<seed:bos>', '<seed:eos>'
_DEFAULT_WITH_TOOLS = ('You are Doubao, a helpful AI assistant. You may call one or more functions to assist with the '
                       'user query.')
_TOOL_LIST = ('\nTool List:\nYou are authorized to use the following tools (described in JSON Schema format). Before '
              'performing any task, you must decide how to call them based on the descriptions and parameters of these '
              'tools.\n')
_CALL_FORMAT = ('\n工具调用请遵循如下格式:\n<seed:tool_call>\n<function=example_function_name>\n'
                '<parameter=example_parameter_1>value_1</parameter>\n<parameter=example_parameter_2>This is the value '
                'for the second parameter\nthat can span\nmultiple lines</parameter>\n</function>\n</seed:tool_call>\n')
_NO_BUDGET = ('You are an intelligent assistant that can answer questions in one step without the need for reasoning '
              'and thinking, that is, your thinking budget is 0. Next, please skip the thinking process and directly '
              'start answering the user\'s questions.')
_BUDGET = ('You are an intelligent assistant with reflective ability. In the process of thinking and reasoning, you '
           'need to strictly follow the thinking budget, which is {budget}. That is, you need to complete your '
           'thinking within {budget} tokens and start answering the user\'s questions. You will reflect on your '
           'thinking process every {interval} tokens, stating how many tokens have been used and how many are left.')
_INTERVALS = ((0, 0), (512, 128), (1024, 256), (2048, 512), (4096, 512), (8192, 1024), (16384, 1024))
NO_THINKING = ('<seed:think>\n<seed:cot_budget_reflect>The current thinking budget is 0, so I will directly start '
               'answering the question.</seed:cot_budget_reflect>\n</seed:think>')
_TYPES = {'string': 'str', 'number': 'int', 'integer': 'int', 'boolean': 'bool', 'array': 'list'}


def write_seed_oss(c: Conversation, w: Writer) -> None:
    """Seed-OSS: tools as Python functions, a budget for thinking, contents of answers stripped; an answer without
    words and calls is not even ended."""
    _write_system(c, w)
    budget = c.options.get('thinking_budget', -1)
    _write_budget(w, budget)
    for turn in c.turns[1 if c.system else 0:]:
        if turn.role == 'assistant':
            _write_answer(c, w, turn)
        else:
            w.text(f'{_BOS}{turn.role}\n')
            w.said(turn)
            w.text(_EOS)
    if c.add_generation_prompt:
        w.text(f'{_BOS}assistant\n')
        if c.prompts_empty(budget == 0):
            w.text(NO_THINKING)


def _write_system(c: Conversation, w: Writer) -> None:
    has_block = c.system is not None or bool(c.tools)
    w.text(f'{_BOS}system\n' if has_block else '')
    if c.system is not None:
        w.said(c.system)
    elif c.tools:
        w.text(_DEFAULT_WITH_TOOLS)
    if c.options.get('use_json_tooldef'):
        w.text(_TOOL_LIST)  # the publisher's template writes the list without any tool too
        w.data(tojson(list(c.tools)))
    else:
        for tool in c.tools:
            if tool.get('type') == 'function':
                _write_function(w, tool['function'])
    w.text(_CALL_FORMAT if c.tools else '')
    w.text(_EOS if has_block else '')


def _write_function(w: Writer, function: Mapping[str, Any]) -> None:
    parameters = function.get('parameters')
    if not isinstance(parameters, Mapping) or not isinstance(parameters.get('properties'), Mapping):
        raise RowError(f'the tool {function.get("name")!r} has no parameters: Seed-OSS writes them as a function\'s, '
                       'give "parameters": {"type": "object", "properties": {...}}')
    arguments = [(name, _TYPES.get(spec.get('type'), 'Any'), spec) for name, spec in parameters['properties'].items()]
    required = parameters.get('required') or ()
    w.text('\n\nFunction:\ndef ')
    w.data(f'{function["name"]}({",".join(f"{name}: {kind}" for name, kind, _ in arguments)}):')
    w.text('\n    """\n    ')
    w.data((function.get('description') or '').strip())
    w.text('\n\n')
    if arguments:
        w.text('    Args:')
    for name, kind, spec in arguments:
        mark = '[必填]' if name in required else '[选填]'
        w.text('\n    - ')
        w.data(f'{name} ({kind}) {mark}: {spec.get("description") or ""}')
    returned = (function.get('returns') or {}).get('properties') or {}
    w.text('\n    Returns:' if returned else '\n')
    for name, spec in returned.items():
        w.text('\n    - ')
        w.data(f'{name} ({_TYPES.get(spec.get("type"), "Any")}): {spec.get("description") or ""}')
    w.text('\n    """')


def _write_budget(w: Writer, budget: int) -> None:
    if budget == -1:
        return
    interval = next((every for limit, every in _INTERVALS if budget <= limit), _INTERVALS[-1][1])
    text = _NO_BUDGET if budget == 0 else _BUDGET.format(budget=budget, interval=interval)
    w.text(f'{_BOS}system\n{text}\n{_EOS}')


def _write_answer(c: Conversation, w: Writer, turn: Turn) -> None:
    """The line break behind the role is written with the first thing that the answer has."""
    w.text(f'{_BOS}assistant')
    content = turn.content.strip()
    reasoning = (turn.reasoning or '').strip()
    has_thought = bool(reasoning) and c.shows_reasoning(turn, True)
    has_empty = not has_thought and c.writes_empty(turn, False)
    w.text('\n' if has_thought or has_empty or content or turn.calls else '')
    if has_empty and c.prompts_empty(c.options.get('thinking_budget') == 0):
        w.text(NO_THINKING)
        w.begin(turn)
    else:
        w.begin(turn)
        w.text(NO_THINKING if has_empty else '')
    if has_thought:
        w.text('<seed:think>')
        w.said(turn, reasoning)
        w.text('</seed:think>')
    if content:
        w.text('\n' if has_thought or has_empty else '')
        w.said(turn, content)
        w.text('\n' if turn.calls else '')
    for i, call in enumerate(turn.calls):
        w.text('\n' if i or has_thought or has_empty or content else '')
        _write_call(w, turn, call)
    if content or turn.calls:
        w.text(_EOS)
    w.end()


def _write_call(w: Writer, turn: Turn, call: Call) -> None:
    if not isinstance(call.arguments, Mapping):
        raise RowError(f'the arguments of the call of {call.name!r} are no object: {call.text[:100]}')
    w.text('<seed:tool_call>\n<function=')
    w.said(turn, call.name)
    w.text('>\n')
    for name, value in call.arguments.items():
        w.text('<parameter=')
        w.said(turn, name)
        w.text('>')
        w.said(turn, value if isinstance(value, str) else str(value))
        w.text('</parameter>\n')
    w.text('</function>\n</seed:tool_call>')
