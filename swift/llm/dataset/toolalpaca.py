"""ToolAlpaca's files: one row is an API with many solved tasks; here each task becomes a conversation with tools.

Source: github.com/tangqiaoyu/ToolAlpaca, ``data/``. Knows nothing of how rows are read or trained.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

Row = dict[str, Any]

_PARAMETERS = re.compile(r'^Parameters: (\{.*\})\s*$', re.MULTILINE)
_TYPES = {'string': 'string', 'integer': 'integer', 'number': 'number', 'boolean': 'boolean', 'object': 'object',
          'array': 'array'}
_ACTION = re.compile(r'^(?:ASSISTANT )?Action:', re.MULTILINE)


def is_toolalpaca(row: Mapping[str, Any]) -> bool:
    """Whether a raw row is an API of ToolAlpaca."""
    return 'Function_Description' in row and ('Instances' in row or 'Golden_Answers' in row)


def toolalpaca(row: Row) -> Iterator[Row]:
    """Rows with ``messages`` and ``tools``.

    ``Instances`` (training data) have thoughts, calls, results and a final answer. ``Golden_Answers`` (evaluation
    data) name the calls alone: they are one turn of the assistant. Arguments that are no JSON stay text.
    """
    tools = [tool_definition(name, text) for name, text in row['Function_Description'].items() if name != 'components']
    if 'Instances' in row:
        for instance in row['Instances']:
            yield {'messages': list(_solved(instance)), 'tools': tools}
        return
    for question, steps in zip(row['Instructions'], row['Golden_Answers'], strict=True):
        calls = [_call(step['Action'], step['Action_Input']) for step in steps]
        yield {'messages': [{'role': 'user', 'content': question},
                            {'role': 'assistant', 'content': '', 'tool_calls': calls}], 'tools': tools}


def tool_definition(name: str, text: str) -> Row:
    """A definition in OpenAI's shape; ``text`` lists parameters as ``"name": "Required. type. description"``."""
    found = _PARAMETERS.search(text)
    try:
        listed = json.loads(found[1]) if found else {}
    except ValueError:
        listed = {}
    properties = {key: _property(str(words)) for key, words in listed.items()}
    required = [key for key, words in listed.items() if str(words).startswith('Required.')]
    parameters = {'type': 'object', 'properties': properties, 'required': required}
    description = text[:found.start()].strip() if found else text.strip()
    return {'type': 'function', 'function': {'name': name, 'description': description, 'parameters': parameters}}


def _property(words: str) -> Row:
    words = words.removeprefix('Required.').strip()
    kind, _, rest = words.partition('.')
    if kind.strip().lower() in _TYPES:
        return {'type': _TYPES[kind.strip().lower()], 'description': rest.strip()}
    return {'type': 'string', 'description': words}


def _solved(instance: Mapping[str, Any]) -> Iterator[Row]:
    yield {'role': 'user', 'content': instance['input']}
    for (action, arguments, log), result in instance['intermediate_steps']:
        thought = _ACTION.split(log)[0].strip().removeprefix('ASSISTANT ').removeprefix('Thought:').strip()
        yield {'role': 'assistant', 'content': thought, 'tool_calls': [_call(action, arguments)]}
        yield {'role': 'tool', 'content': result if isinstance(result, str) else json.dumps(result)}
    yield {'role': 'assistant', 'content': instance['output']}


def _call(name: str, arguments: Any) -> Row:
    try:
        arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        pass  # a place holder such as ${id from searchUser}
    return {'type': 'function', 'function': {'name': name, 'arguments': arguments}}
