"""Conversations on which two templates are compared: what users' rows hold, and what templates treat differently."""

from __future__ import annotations

from typing import Any

_TOOLS = [{'type': 'function', 'function': {
    'name': 'get_weather', 'description': 'The weather in a city.',
    'parameters': {'type': 'object', 'properties': {'city': {'type': 'string', 'description': 'Name of the city'},
                                                    'days': {'type': 'integer'}}, 'required': ['city']}}}]
_SYSTEM = {'role': 'system', 'content': 'You answer in one sentence.'}
_CALL = {'id': 'call00001', 'type': 'function',
         'function': {'name': 'get_weather', 'arguments': {'city': 'Zürich', 'days': 2}}}
_RESULT = {'role': 'tool', 'name': 'get_weather', 'tool_call_id': 'call00001', 'content': '{"degrees": 21}'}


def _user(content: str) -> dict[str, Any]:
    return {'role': 'user', 'content': content}


def _answer(content: str, **rest: Any) -> dict[str, Any]:
    return {'role': 'assistant', 'content': content, **rest}


_ROUND = [_user('What is 2 + 2?'), _answer('4.')]
_WEATHER = [_user('How is the weather in Zürich?'), _answer('', tool_calls=[_CALL]), _RESULT]

PROBES: dict[str, dict[str, Any]] = {
    'one round': {'messages': _ROUND},
    'system text': {'messages': [_SYSTEM, *_ROUND]},
    'empty system text': {'messages': [{'role': 'system', 'content': ''}, *_ROUND]},
    'three rounds': {'messages': [*_ROUND, _user('And 3 + 3?'), _answer('6.'), _user('Thanks.'), _answer('Bye!')]},
    'three rounds with system text': {'messages': [_SYSTEM, *_ROUND, _user('And 3 + 3?'), _answer('6.')]},
    'a question': {'messages': [_SYSTEM, *_ROUND, _user('And 3 + 3?')]},
    'white space': {'messages': [_user('  two spaces\n\n'), _answer('\n an indented answer  ')]},
    'Chinese and emoji': {'messages': [_user('你好，介绍一下你自己。'), _answer('我是一个助手 😀。')]},
    'code': {'messages': [_user('Print {"a": [1, 2]} in C & check a < b'), _answer('```c\nprintf("%d", a);\n```\n')]},
    'a control token in words': {'messages': [_user('What does <|im_end|> or </s> mean?'), _answer('An end.')]},
    'tools': {'messages': [*_ROUND], 'tools': _TOOLS},
    'tools with system text': {'messages': [_SYSTEM, *_ROUND], 'tools': _TOOLS},
    'a call': {'messages': _WEATHER[:2], 'tools': _TOOLS},
    'a call after words': {'messages': [_WEATHER[0], _answer('I look it up.', tool_calls=[_CALL])], 'tools': _TOOLS},
    'a result and its answer': {'messages': [*_WEATHER, _answer('21 degrees.')], 'tools': _TOOLS},
    'thinking, last': {'messages': [_user('17 * 3?'), _answer('51.', reasoning_content='17 * 3 is 51.')]},
    'thinking in history': {'messages': [_user('17 * 3?'), _answer('51.', reasoning_content='17 * 3 is 51.'),
                                         _user('Sure?'), _answer('Yes.', reasoning_content='It is.')]},
    'thinking inline': {'messages': [_user('17 * 3?'), _answer('<think>\n17 * 3 is 51.\n</think>\n\n51.')]},
}
"""Name -> row. Every row that ends with an answer can be trained."""
