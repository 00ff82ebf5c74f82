"""Templates of OpenBMB's MiniCPM3 and MiniCPM5."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from swift.llm.template.conversation import Call, Conversation, Turn, tojson
from swift.llm.template.dialects.minicpm import write_minicpm5_call, write_minicpm5_tools
from swift.llm.template.dialects.qwen3_coder import named_arguments
from swift.llm.template.writer import Writer
from swift.llm.template.written.chatml import (
    EMPTY,
    QWEN_RESULTS,
    end_answer,
    last_query,
    open_answer,
    prompt_tail,
    split_reasoning,
    write_message,
    write_reasoning,
)
from swift.utils.errors import RowError

# -- MiniCPM5 --------------------------------------------------------------------------------------------------------

_TOOLS_HERE = '<tool_def_sep>'
_CALL_HERE = '<tool_sep>'


def write_minicpm5(c: Conversation, w: Writer) -> None:
    """MiniCPM5: like Qwen3 with calls as XML. ``<tool_def_sep>`` in the system text says where the tools go. What an
    answer with calls says behind ``<tool_sep>`` is left out, as the publisher's template has it."""
    enabled = c.options.get('enable_thinking')
    tail = prompt_tail(c, empty=enabled is False, thinks=enabled is True)
    w.text(c.bos)
    _write_head(c, w)
    query = last_query(c)
    for turn in c.turns[1 if c.system else 0:]:
        if turn.role == 'assistant':
            _write_answer(c, w, turn, turn.index > query, tail)
        elif turn.role == 'tool':
            QWEN_RESULTS.write(c, w, turn)
        else:
            write_message(w, turn)
    if c.add_generation_prompt:
        w.text(f'<|im_start|>assistant\n{tail}')


def _write_head(c: Conversation, w: Writer) -> None:
    if not c.tools and c.system is None:
        return
    w.text('<|im_start|>system\n')
    if not c.tools:
        w.said(c.system)
    elif c.system is not None and _TOOLS_HERE in c.system.content:
        first, *rest = c.system.content.split(_TOOLS_HERE)
        w.said(c.system, first)
        for piece in rest:
            write_minicpm5_tools(w, c.tools)
            w.said(c.system, piece)
    else:
        if c.system is not None:
            w.said(c.system)
            w.text('\n\n')
        write_minicpm5_tools(w, c.tools)
    w.text('<|im_end|>\n')


def _write_answer(c: Conversation, w: Writer, turn: Turn, in_round: bool, tail: str) -> None:
    reasoning, content = split_reasoning(turn)
    content = content.split(_CALL_HERE)[0] if turn.calls else content
    w.text('<|im_start|>assistant\n')
    if reasoning and c.shows_reasoning(turn, in_round):
        write_reasoning(w, turn, reasoning.strip('\n'), tail)
        w.said(turn, content.lstrip('\n'))
    else:
        open_answer(w, turn, EMPTY if c.writes_empty(turn, False) else '', tail, content)
    for i, call in enumerate(turn.calls):
        w.text('\n' if i or content else '')
        write_minicpm5_call(w, turn, call)
    end_answer(w)


# -- MiniCPM3 --------------------------------------------------------------------------------------------------------

_BASIC = {'string': 'str', 'number': 'float', 'integer': 'int', 'boolean': 'bool', 'null': 'None'}
_IMPORTS = (
    '\n# Functions\nHere is a list of functions that you can invoke:\n```python\nfrom enum import Enum\nfrom typing '
    'import List, Dict, Optional\nfrom pydantic import BaseModel, Field\n\n')
_RULES = (
    '\n```\n\n# Function Call Rule and Output Format\n- If the user\'s question can be answered without calling any '
    'function, please answer the user\'s question directly. In this situation, you should return your thought and '
    'answer the user\'s question directly.\n- If the user cannot be answered without calling any function, and the '
    'user does not provide enough information to call functions, please ask the user for more information. In this '
    'situation, you should return your thought and ask the user for more information.\n- If the user\'s question '
    'cannot be answered without calling any function, and the user has provided enough information to call '
    'functions to solve it, you should call the functions. In this situation, the assistant should return your '
    'thought and call the functions.\n- Use default parameters unless the user has specified otherwise.\n- You '
    'should answer in the following format:\n\n<|thought_start|>\n{explain why the user\'s question can be answered '
    'without calling a function or why you should ask the user for more information or why you should call one or '
    'more functions and your plan to solve the user\'s question.}\n<|thought_end|>\n<|tool_call_start|>\n```python\n'
    'func1(params_name=params_value, params_name2=params_value2...)\nfunc2(params)\n```\n<|tool_call_end|>\n'
    '{answer the user\'s question directly or ask the user for more information}')
_WORD_START = re.compile(r'([-\s({\[<]+)')


def write_minicpm3(c: Conversation, w: Writer) -> None:
    """MiniCPM3: ChatML, tools as Python functions with pydantic classes, calls as lines of Python in front of the
    content."""
    if c.tools or (c.system is not None and c.system.content):
        w.text('<|im_start|>system\n')
        if c.system is not None:
            w.said(c.system)
        if c.tools:
            w.text(_IMPORTS)
            for definition in c.tools:
                _write_function(w, definition)
            w.text(_RULES)
        w.text('<|im_end|>\n')
    for turn in c.turns[1 if c.system else 0:]:
        if turn.role == 'assistant':
            _write_minicpm3_answer(c, w, turn)
        else:
            write_message(w, turn)
    if c.add_generation_prompt:
        w.text('<|im_start|>assistant\n')


def _write_minicpm3_answer(c: Conversation, w: Writer, turn: Turn) -> None:
    w.text('<|im_start|>assistant\n')
    w.begin(turn)
    if turn.reasoning and c.shows_reasoning(turn, False):
        w.text('<|thought_start|>\n')
        w.said(turn, turn.reasoning)
        w.text('\n<|thought_end|>\n')
    if turn.calls:
        w.text('<|tool_call_start|>\n```python\n')
        for call in turn.calls:
            _write_minicpm3_call(w, turn, call)
        w.text('```\n<|tool_call_end|>\n')
    if not (turn.calls and turn.content.startswith('<|tool_call_start|>')):
        w.said(turn)
    end_answer(w)


def _write_minicpm3_call(w: Writer, turn: Turn, call: Call) -> None:
    w.said(turn, call.name)
    w.text('(')
    for i, (key, value) in enumerate(named_arguments(call).items()):
        w.text(',' if i else '')
        w.said(turn, key)
        w.text('=')
        w.said(turn, tojson(value))
    w.text(')\n')


def _write_function(w: Writer, definition: Mapping[str, Any]) -> None:
    """A tool as a Python function whose docstring lists the fields of its arguments."""
    if definition.get('type', 'function') != 'function':
        return
    function = definition.get('function', definition)
    parameters = function.get('parameters') or {}
    arguments = [key + ('' if key in parameters.get('required', ()) else f'={_default(fields)}')
                 for key, fields in parameters.get('properties', {}).items()]
    head = (f'\n\ndef {function.get("name", "")}({", ".join(arguments)}):\n    """{function.get("description", "")}'
            + ('\n\n    Args:\n' if parameters else '\n'))
    w.data(_fields(parameters, '        ', head) + '    """\n')


def _fields(spec: Mapping[str, Any], indent: str, head: str) -> str:
    """The classes that the properties of an object need, then ``head`` and one line for each property."""
    classes, lines = '', head
    for name, fields in spec.get('properties', {}).items():
        items = fields.get('items') or {}
        if fields.get('enum'):
            options = (f'    enum_{i} = {tojson(option)}\n' for i, option in enumerate(fields['enum']))
            classes += f'\n\nclass {_title(name)}(Enum):\n{"".join(options)}'
        elif fields.get('type') == 'object' and fields.get('properties'):
            classes += _fields(fields, '    ', f'\n\nclass {_title(name)}(BaseModel):\n')
        elif fields.get('type') == 'array' and items.get('type') == 'object' and items.get('properties'):
            classes += _fields(items, '    ', f'\n\nclass {_title(name)}(BaseModel):\n')
        lines += f'{indent}{name}: {_field(name, fields, name in spec.get("required", ()))}\n'
    return classes + lines


def _field(name: str, fields: Mapping[str, Any], required: bool) -> str:
    kind = _python_type(name, fields) if required else f'Optional[{_python_type(name, fields)}]'
    told = [f', {key}={tojson(fields[source])}'
            for key, source in (('description', 'description'), ('regex', 'pattern'), ('title', 'title'))
            if fields.get(source)]
    if told:
        return f'{kind} = Field({"..." if required else _default(fields)}{"".join(told)})'
    return kind if required else f'{kind} = {_default(fields)}'


def _default(fields: Mapping[str, Any]) -> str:
    if 'default' not in fields:
        return 'None'
    return tojson(fields['default']) if isinstance(fields['default'], str) else str(fields['default'])


def _python_type(name: str, spec: Any) -> str:
    """A JSON schema as a Python type.

    Raises:
        RowError: the type is none that the publisher's template knows.
    """
    spec = spec if isinstance(spec, Mapping) else {}
    kind = spec.get('type', ())
    if spec.get('enum'):
        return _title(name)
    if not isinstance(kind, str):
        return f'Union[{", ".join(_python_type(name, {"type": one}) for one in kind)}]'
    if kind in _BASIC:
        return _BASIC[kind]
    if kind == 'array' and 'items' in spec:
        return f'List[{_python_type(name, spec["items"])}]'
    if kind == 'object':
        return (_title(name) if spec.get('properties')
                else f'Dict[str, {_python_type(name, spec.get("additionalProperties"))}]')
    raise RowError(f'this template can\'t write the argument {name!r} of a tool: its type is {kind!r}'
                   + (' without "items"' if kind == 'array' else ''))


def _title(name: str) -> str:
    return ''.join(word[:1].upper() + word[1:].lower() for word in _WORD_START.split(name))
