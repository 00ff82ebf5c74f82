"""Muse Glimmer of Meta. Checked against the chat template of the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swift.llm.template.conversation import Call, Conversation, Turn, tojson
from swift.llm.template.writer import Writer
from swift.utils.errors import RowError

_TOOLS = (
    'In this environment you have access to a set of tools you can use to answer the user\'s question.\n\nYou can '
    'invoke a function by writing a "<atem:function_calls>" block like the following:\n<atem:function_calls>\n'
    '<atem:invoke name="$FUNCTION_NAME">\n<atem:parameter name="$PARAMETER_NAME">$PARAMETER_VALUE</atem:parameter>\n'
    '...\n</atem:invoke>\n</atem:function_calls>\n\nString and scalar parameters should be specified as is, while '
    'lists and objects should use JSON format. Note that spaces for string values are not stripped. The output is not '
    'expected to be valid XML and is parsed with regular expressions.\nHere are the functions available in '
    'JSONSchema format:\n// Tool metadata\n')
_EXAMPLE = (
    '\n\nHere\'s an example of how to call a function in the tool set:\n(If the tool namespace is not specified, '
    'invoke the function directly as `example_function_name` rather than `example_tool_name.example_function_name`)\n\n'
    'to=example_tool_name.example_function_name\n\n<atem:function_calls>\n<atem:invoke '
    'name="example_tool_name.example_function_name">\n<atem:parameter name="example_parameter_1">value_1'
    '</atem:parameter>\n<atem:parameter name="example_parameter_2">This is the value for the second parameter\nthat '
    'can span\n"multiple" lines\n</atem:parameter>\n</atem:invoke>\n</atem:function_calls>')
_EFFORT = (('Reasoning effort', 'Reasoning strength'), ('Reasoning Effort', 'Reasoning Strength'),
           ('reasoning effort', 'reasoning strength'), ('REASONING EFFORT', 'REASONING STRENGTH'))


def write_muse_glimmer(c: Conversation, w: Writer) -> None:
    """Muse Glimmer: thinking, every call and the answer are messages to different recipients; all thinking stays, and
    the content of an answer with calls is left out."""
    w.text(c.bos)
    if all(turn.role != 'system' for turn in c.turns):
        today = c.options.get('current_date') or c.now.strftime('%Y-%m-%d')
        w.text('<|start|>system<|message|>You are a helpful AI assistant.\nKnowledge cutoff: '
               f'{c.options.get("knowledge_cutoff") or "2026-01-04"}.\nCurrent date: {today}.')
        _write_rest_of_system(c, w, says_strength=False)
    for turn in c.turns:
        if turn.role == 'system':
            text = turn.content
            for theirs, ours in _EFFORT:
                text = text.replace(theirs, ours)
            w.text('<|start|>system<|message|>')
            w.said(turn, text)
            _write_rest_of_system(c, w, says_strength='reasoning strength' in text.lower())
        elif turn.role == 'user':
            w.text('<|start|>user<|message|>')
            w.said(turn)
            w.text('<|eot|>')
        elif turn.role == 'tool':
            _write_result(c, w, turn)
        else:
            _write_answer(c, w, turn)
    if c.add_generation_prompt:
        w.text('<|start|>assistant')


def _write_rest_of_system(c: Conversation, w: Writer, *, says_strength: bool) -> None:
    if not says_strength:
        w.text(f'\n\nReasoning strength: {c.options.get("reasoning_strength") or "high"}.')
    functions = [tool.get('function', tool) for tool in c.tools]
    namespaces = list(dict.fromkeys(function['name'].split('.')[0] for function in functions))
    if functions:
        w.text('\n\n' + _TOOLS)
        descriptions: Mapping[str, str] = c.options.get('tool_namespace_descriptions') or {}
        for name in namespaces:
            w.text('{"name": ')
            w.data(tojson(name))
            w.text(', "description": ')
            w.data(tojson(descriptions.get(name, '')))
            w.text('}\n')
        w.text('// Function schemas')
        for function in functions:
            _write_schema(w, function)
        w.text(_EXAMPLE)
    w.text('\n\n# Valid recipients: "self"')
    for name in namespaces:
        w.text(', "')
        w.data(name)
        w.text('.*"')
    w.text(', "user".<|eot|>')


def _write_schema(w: Writer, function: Mapping[str, Any]) -> None:
    w.text('\n{')
    for key in ('name', 'description', 'parameters'):
        if key not in function:
            raise RowError(f'the tool {function.get("name")!r} has no {key}, which Muse Glimmer writes')
        w.text(f'"{key}": ' if key == 'name' else f', "{key}": ')
        w.data(tojson(function[key]))
    w.text('}')


def _write_result(c: Conversation, w: Writer, turn: Turn) -> None:
    name = turn.name
    if not name:
        name = turn.call_id or ''
        for call in (call for other in c.turns for call in other.calls):
            name = call.name if turn.call_id is not None and call.id == turn.call_id else name
    w.text('<|start|>tool ')
    w.said(turn, name)
    w.text('<|message|><tool_output name="')
    w.said(turn, name)
    w.text('">\n')
    w.said(turn)
    w.text('\n</tool_output><|eot|>')


def _write_answer(c: Conversation, w: Writer, turn: Turn) -> None:
    w.text('<|start|>assistant')
    w.begin(turn)
    if turn.reasoning and c.shows_reasoning(turn, True):
        w.text(' to=self<|message|>')
        w.said(turn, turn.reasoning)
        w.text('<|eom|><|start|>assistant')
    if not turn.calls:
        w.text(' to=user<|message|>')
        w.said(turn)
        w.text('<|eot|>')
    for i, call in enumerate(turn.calls):
        w.text('<|eom|><|start|>assistant to=' if i else ' to=')
        w.said(turn, call.name)
        w.text('<|message|>')
        _write_call(w, turn, call)
    if turn.calls:
        following = c.following(turn)
        w.text('<|eom|>' if following is not None and following.role == 'assistant' else '<|eot|>')
    w.end()


def _write_call(w: Writer, turn: Turn, call: Call) -> None:
    if not isinstance(call.arguments, Mapping):
        raise RowError(f'the arguments of the call of {call.name!r} are no object: {call.text[:100]}')
    w.text('<atem:function_calls>\n<atem:invoke name="')
    w.said(turn, call.name)
    w.text('">\n')
    for name, value in call.arguments.items():
        w.text('<atem:parameter name="')
        w.said(turn, name)
        w.text('">')
        w.said(turn, value if isinstance(value, str) else tojson(value))
        w.text('</atem:parameter>\n')
    w.text('</atem:invoke>\n</atem:function_calls>')
