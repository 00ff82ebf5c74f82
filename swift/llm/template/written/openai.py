"""gpt-oss of OpenAI, the harmony format. Checked against the chat template of openai/gpt-oss-120b."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swift.llm.template.conversation import Conversation, Turn, tojson
from swift.llm.template.writer import Writer
from swift.utils.errors import RowError

_HEADER = '<|start|>assistant'
_ANALYSIS = '<|channel|>analysis<|message|>'
_TAGS = (_ANALYSIS, '<|channel|>final<|message|>')
_SIMPLE_ITEMS = {'string': 'string[]', 'number': 'number[]', 'integer': 'number[]', 'boolean': 'boolean[]'}


def write_gpt_oss(c: Conversation, w: Writer) -> None:
    """gpt-oss: the caller's system text is the developer's message; thoughts, calls and answers have channels.

    A call is one a message, and its thoughts stay until a later answer that calls nothing.
    """
    _write_head(c, w)
    called: str | None = None
    for turn in c.turns[1 if c.system else 0:]:
        if turn.role == 'assistant':
            called = _write_answer(c, w, turn, called)
        elif turn.role == 'user':
            w.text('<|start|>user<|message|>')
            w.said(turn)
            w.text('<|end|>')
        elif turn.role == 'tool':
            if called is None:
                raise RowError(f'turn {turn.index} is the result of a tool, but no answer before it calls one')
            w.text('<|start|>functions.')
            w.said(turn, called)
            w.text(' to=assistant<|channel|>commentary<|message|>')
            w.said(turn, tojson(turn.content))
            w.text('<|end|>')
    w.text(_HEADER if c.add_generation_prompt else '')


def _write_head(c: Conversation, w: Writer) -> None:
    if c.options.get('builtin_tools'):
        raise RowError('the switch builtin_tools of gpt-oss (browser, python) is not supported; leave it out')
    identity = c.options.get('model_identity', 'You are ChatGPT, a large language model trained by OpenAI.')
    w.text(f'<|start|>system<|message|>{identity}\nKnowledge cutoff: 2024-06\nCurrent date: {c.now:%Y-%m-%d}\n\n'
           f'Reasoning: {c.options.get("reasoning_effort", "medium")}\n\n'
           '# Valid channels: analysis, commentary, final. Channel must be included for every message.')
    w.text('\nCalls to these tools must go to the commentary channel: \'functions\'.' if c.tools else '')
    w.text('<|end|>')
    has_text = c.system is not None and bool(c.system.content)
    if not (has_text or c.tools):
        return
    w.text('<|start|>developer<|message|>')
    if has_text:
        w.text('# Instructions\n\n')
        w.said(c.system)
        w.text('\n\n')
    if c.tools:
        w.text('# Tools\n\n## functions\n\nnamespace functions {\n\n')
        for tool in c.tools:
            w.data(_declaration(tool['function']))
        w.text('} // namespace functions')
    w.text('<|end|>')


def _write_answer(c: Conversation, w: Writer, turn: Turn, called: str | None) -> str | None:
    """Gives the name of the function that a result would now be of."""
    for text in (turn.content, turn.reasoning or ''):
        if any(tag in text for tag in _TAGS):
            raise RowError(f'turn {turn.index} holds channel tags; give the thoughts as reasoning_content and the '
                           'answer as content')
    w.text(_HEADER)
    w.begin(turn)
    if turn.calls:
        _write_call(c, w, turn)
        w.end()
        return turn.calls[0].name
    is_last = c.following(turn) is None and not c.add_generation_prompt
    if turn.reasoning is not None and c.shows_reasoning(turn, is_last):
        _write_analysis(w, turn, turn.reasoning)
    elif c.writes_empty(turn, False):
        _write_analysis(w, turn, '')
    w.text('<|channel|>final<|message|>')
    w.said(turn)
    w.text('<|return|>' if is_last else '<|end|>')
    w.end()
    return called if is_last else None


def _write_analysis(w: Writer, turn: Turn, text: str) -> None:
    w.text(_ANALYSIS)
    w.said(turn, text)
    w.text(f'<|end|>{_HEADER}')


def _write_call(c: Conversation, w: Writer, turn: Turn) -> None:
    if turn.content and turn.reasoning:
        raise RowError(f'turn {turn.index} calls a tool and has both content and reasoning_content; gpt-oss has place '
                       'for one of them')
    is_answered = any(t.role == 'assistant' and not t.calls for t in c.turns[turn.index + 1:])
    if turn.content and not is_answered:
        _write_analysis(w, turn, turn.content)
    elif turn.reasoning and c.shows_reasoning(turn, not is_answered):
        _write_analysis(w, turn, turn.reasoning)
    call = turn.calls[0]
    w.text(' to=functions.')
    w.said(turn, call.name)
    w.text('<|channel|>commentary json<|message|>')
    w.said(turn, tojson(call.arguments))
    w.text('<|call|>')


# -- tools as TypeScript ---------------------------------------------------------------------------------------------


def _declaration(function: Mapping[str, Any]) -> str:
    if not isinstance(function.get('description'), str):
        raise RowError(f'gpt-oss takes tools with a description only; {function["name"]!r} has none')
    parameters = function.get('parameters') or {}
    head = f'// {function["description"]}\ntype {function["name"]} = '
    if not parameters.get('properties'):
        return f'{head}() => any;\n\n'
    required = parameters.get('required') or ()
    fields = [_parameter(name, schema, name in required) for name, schema in parameters['properties'].items()]
    return f'{head}(_: {{\n{"".join(fields)}}}) => any;\n\n'


def _parameter(name: str, schema: Mapping[str, Any], is_required: bool) -> str:
    comment = f'// {schema["description"]}\n' if schema.get('description') else ''
    text = f'{comment}{name}{"" if is_required else "?"}: {_type(schema)}'
    if 'default' in schema:
        default = schema['default']
        is_plain = schema.get('enum') or schema.get('oneOf')
        if is_plain and not isinstance(default, str):
            raise RowError(f'gpt-oss takes a default of text only beside enum and oneOf; {name!r} has {default!r}')
        text += '' if schema.get('oneOf') and not schema.get('enum') else ', '
        text += f'// default: {default if is_plain else tojson(default)}'
    return f'{text},\n'


def _type(schema: Mapping[str, Any]) -> str:
    kind = schema.get('type')
    if kind == 'array':
        return _array(schema)
    if isinstance(kind, list) and kind:
        return ' | '.join(map(str, kind))
    if schema.get('oneOf'):
        return _one_of(schema['oneOf'])
    if kind == 'string':
        if schema.get('enum'):
            return '"' + '" | "'.join(map(str, schema['enum'])) + '"'
        return 'string | null' if schema.get('nullable') else 'string'
    if kind == 'object' and schema.get('properties'):
        required = schema.get('required') or ()
        # The newline and the spaces stand in the publisher's template by accident, and so in every prompt.
        fields = [f'{name}{"" if name in required else "?"}: \n                {_type(inner)}'
                  for name, inner in schema['properties'].items()]
        return '{\n' + ', '.join(fields) + '}'
    return {'number': 'number', 'integer': 'number', 'boolean': 'boolean', 'object': 'object'}.get(kind, 'any')


def _array(schema: Mapping[str, Any]) -> str:
    items = schema.get('items')
    text = 'any[]'
    if items:
        kind = items.get('type')
        inner = _SIMPLE_ITEMS.get(kind) if isinstance(kind, str) else None
        if inner is None:
            inner = _type(items)
            inner = 'any[]' if inner == 'object | object' or len(inner) > 50 else f'{inner}[]'
        text = inner
    return f'{text} | null' if schema.get('nullable') else text


def _one_of(variants: list[Mapping[str, Any]]) -> str:
    if len(variants) > 1 and any(variant.get('type') == 'object' for variant in variants):
        return 'any'
    texts = []
    for variant in variants:
        text = _type(variant)
        if variant.get('description'):
            text += f'// {variant["description"]}'
        if 'default' in variant:
            text += f'                    // default: {tojson(variant["default"])}'
        texts.append(text)
    return ' | \n'.join(texts)
