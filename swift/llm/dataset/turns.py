"""Turns in the spellings of the world -> messages as OpenAI shapes them. Pure functions on JSON values.

Knows one conversation at a time: neither columns nor rows. A fault raises RowError with a reason that is the same for
every row with this fault.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from typing import Any

from swift.utils.errors import RowError

CHAT = ('messages', 'conversations', 'conversation')
ROLES = {
    'system': 'system',
    'user': 'user', 'human': 'user',
    'assistant': 'assistant', 'gpt': 'assistant', 'bot': 'assistant',
    'tool': 'tool', 'tool_response': 'tool', 'function_response': 'tool', 'observation': 'tool', 'observations': 'tool',
    'function': 'tool',
    'tool_call': 'call', 'function_call': 'call',
}
# Keys of one message besides role and content; a weight of 0 is how other tools write "don't train this turn".
_WEIGHTS = {'loss_scale': 'loss_scale', 'loss_weight': 'loss_scale', 'weight': 'loss_scale'}
# Parts of a content that are media: the column they belong to, and the tag that stands for them in the text.
_PARTS = {'image': ('images', '<image>'), 'image_url': ('images', '<image>'), 'video': ('videos', '<video>'),
          'video_url': ('videos', '<video>'), 'audio': ('audios', '<audio>'), 'audio_url': ('audios', '<audio>'),
          'input_audio': ('audios', '<audio>')}


def name_turns(row: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The row with turns that are called as usual.

    Args:
        row: has the turns, which may be text, in the column ``conversations_key`` or in one that is usual for them.
        names: ``conversations_key``, ``from_key``, ``value_key`` and ``user_role``, ``assistant_role``,
            ``system_role``, ``tool_role``: how this data set calls them. A role '-' is one that it hasn't.
    """
    column = names.get('conversations_key') or next((name for name in CHAT if name in row), CHAT[0])
    if column not in row:
        raise KeyError(column)
    turns = parsed(row[column], column) if isinstance(row[column], str) else row[column]
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise RowError(f'{column} is {kind_of(turns)}, not a list of turns')
    from_key, value_key = names.get('from_key'), names.get('value_key')
    roles = {names[f'{role}_role']: role for role in ('tool', 'system', 'assistant', 'user') if f'{role}_role' in names}
    named = []
    for turn in turns:
        turn = dict(turn)
        name = turn.pop(from_key if from_key in turn else 'role' if 'role' in turn else 'from', None)
        text = turn.pop(value_key if value_key in turn else 'content' if 'content' in turn else 'value', None)
        named.append({**turn, 'role': roles.get(name, name), 'content': text})
    return {**{key: value for key, value in row.items() if key not in (column, *CHAT)}, 'messages': named}


def read_chat(value: Any, form: str, media: dict[str, Any]) -> list[dict[str, Any]]:
    """Turns in any spelling as standard messages; media in their contents go to ``media``, with a tag in the text."""
    if isinstance(value, str):
        value = parsed(value, form)
    if not isinstance(value, list):
        raise RowError(f'{form} is {kind_of(value)}, not a list of turns')
    for turn in value:
        if not isinstance(turn, dict):
            raise RowError(f'{form} is a list with {kind_of(turn)} in it, not a list of turns')
    messages: list[dict[str, Any]] = []
    for turn in value:
        turn = {key: part for key, part in turn.items() if part is not None}
        if 'role' in turn or 'from' in turn:
            add_turn(messages, turn, media)
        else:
            _add_pair(messages, turn)
    return messages


def _add_pair(messages: list[dict[str, Any]], turn: dict[str, Any]) -> None:
    """A turn whose keys are the roles: {"human": question, "assistant": answer}."""
    by_role = {ROLES[key]: text for key, text in turn.items() if ROLES.get(key) in ('system', 'user', 'assistant')}
    if not {'user', 'assistant'} <= set(by_role):
        raise RowError('a turn has neither role and content, nor from and value, nor human and assistant')
    for role in ('system', 'user', 'assistant'):
        if role in by_role:
            messages.append({'role': role, 'content': as_text(by_role[role], role)})


def add_turn(messages: list[dict[str, Any]], turn: dict[str, Any], media: dict[str, Any]) -> None:
    """One more turn, which may join the one before it, or become several."""
    name = turn.get('role', turn.get('from'))
    role = ROLES.get(name) if isinstance(name, str) else None
    if role is None:
        raise RowError(f'unknown role {name!r}; known: {", ".join(ROLES)}')
    content = turn.get('content', turn.get('value'))
    if isinstance(content, list) and content and all(isinstance(part, dict) and 'type' in part for part in content):
        turn, content = _from_parts(messages, turn, content, media)
        if content is None:
            return
    extra = _extra_keys(turn, role)
    if role == 'call':
        _add_call(messages, content, extra)
        return
    if role == 'tool' and not isinstance(content, str):
        content = json.dumps(content, ensure_ascii=False)
    if content is None and extra.keys() & {'tool_calls', 'reasoning_content'}:
        content = ''
    messages.append({'role': role, 'content': as_text(content, f'the content of a turn of {role}'), **extra})


def _from_parts(messages: list[dict[str, Any]], turn: dict[str, Any], parts: list[dict[str, Any]],
                media: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """A content in parts, as OpenAI, Anthropic and LLaMA-Factory write it: the turn as the parts say, and its text.

    Text None: the parts were tool results only, which became turns of their own.
    """
    texts, calls, thoughts, results = [], [], [], 0
    for part in parts:
        kind = part['type']
        if kind == 'text':
            texts.append(as_text(part.get('text', part.get('value')), 'a text part'))
        elif kind == 'tool_use':
            calls.append({'id': part.get('id'), 'name': part.get('name'), 'arguments': part.get('input', {})})
        elif kind == 'tool_result':
            inner = part.get('content', '')
            if isinstance(inner, list):
                inner = ''.join(as_text(block.get('text'), 'a tool result') for block in inner)
            add_turn(messages, {'role': 'tool', 'content': inner, 'tool_call_id': part.get('tool_use_id')}, media)
            results += 1
        elif kind in ('thinking', 'reasoning'):
            thoughts.append(as_text(part.get('thinking', part.get('value')), f'a {kind} part'))
        elif kind == 'tool_call':
            called: list[dict[str, Any]] = []
            _add_call(called, part.get('value'), {})
            calls += called[0]['tool_calls']
        elif kind in _PARTS:
            column, tag = _PARTS[kind]
            texts.append(tag)
            if location := _location(part, kind):
                media.setdefault(column, []).append(location)
            elif column not in media:  # a part may say only where in the text a medium of the row's column stands
                raise RowError(f'a turn has a part that is not text but {kind!r} without its data')
        else:
            raise RowError(f'a turn has a part that is not text but {kind!r}, which can\'t be trained yet')
    turn = dict(turn)
    if calls:
        turn['tool_calls'] = [*turn.get('tool_calls', []), *calls]
    if thoughts:
        turn['reasoning_content'] = ''.join(thoughts)
    return turn, None if results and not texts else ''.join(texts)


def _location(part: dict[str, Any], kind: str) -> Any:
    """Where the medium of a part is: a URL or path, or the object that holds its bytes; None where it doesn't say."""
    value = next((part[key] for key in (kind, 'source', 'value') if part.get(key) is not None), None)
    return value.get('url') or value if isinstance(value, dict) else value


def _extra_keys(turn: dict[str, Any], role: str) -> dict[str, Any]:
    """What a turn says besides role and content, checked. Only an assistant's turn is weighted."""
    extra: dict[str, Any] = {}
    for key in ('name', 'tool_call_id') if role == 'tool' else ('name',) if role != 'call' else ():
        if turn.get(key):
            extra[key] = as_text(turn[key], key)
    if role not in ('assistant', 'call'):
        return extra
    if 'loss' in turn:
        if turn['loss'] not in (True, False):
            raise RowError(f'loss is {kind_of(turn["loss"])}, not true or false')
        extra['loss'] = bool(turn['loss'])
    for key, name in _WEIGHTS.items():
        if key in turn:
            weight = turn[key]
            if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight < float('inf'):
                raise RowError(f'{key} is not a number from 0')
            extra[name] = float(weight)
    if turn.get('reasoning_content'):
        extra['reasoning_content'] = as_text(turn['reasoning_content'], 'reasoning_content')
    calls = turn.get('tool_calls')
    if not calls and role == 'assistant' and turn.get('function_call'):
        calls = [turn['function_call']]  # as OpenAI wrote a call before tool_calls
    if calls:
        calls = parsed(calls, 'tool_calls') if isinstance(calls, str) else calls
        if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
            raise RowError('tool_calls is not a list of calls')
        extra['tool_calls'] = [_call(call) for call in calls]
    return extra


def _add_call(messages: list[dict[str, Any]], content: Any, extra: dict[str, Any]) -> None:
    """A function call in a turn of its own joins the assistant's turn before it, or begins one."""
    try:
        calls = json.loads(content) if isinstance(content, str) else content
    except json.JSONDecodeError as e:
        raise RowError('a function call is not valid JSON') from e
    calls = calls if isinstance(calls, list) else [calls]
    if not calls or not all(isinstance(call, dict) for call in calls):
        raise RowError('a function call has no name')
    shaped = [_call(call) for call in calls]
    if messages and messages[-1]['role'] == 'assistant':
        messages[-1].update(extra)
        messages[-1]['tool_calls'] = [*messages[-1].get('tool_calls', []), *shaped]
    else:
        messages.append({'role': 'assistant', 'content': '', **extra, 'tool_calls': shaped})


def _call(call: dict[str, Any]) -> dict[str, Any]:
    """A call in OpenAI's shape. ``arguments`` stay as they are: an object, or JSON text."""
    function = call['function'] if isinstance(call.get('function'), dict) else call
    if not isinstance(function.get('name'), str):
        raise RowError('a function call has no name')
    shaped: dict[str, Any] = {'id': call['id']} if call.get('id') else {}
    arguments = next((function[key] for key in ('arguments', 'parameters') if function.get(key) is not None), {})
    return {**shaped, 'type': 'function', 'function': {'name': function['name'], 'arguments': arguments}}


def parsed(text: str, name: str) -> Any:
    """A list or an object written as text in a CSV cell: JSON, or a Python literal (never evaluated)."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError) as e:
            raise RowError(f'{name} is text that is no JSON list') from e


def as_text(value: Any, name: str) -> str:
    """A text, a number written out, or parts that are all text; ``name`` is what it is, for the message."""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if value != value:  # how pandas writes that there is nothing
            raise RowError(f'{name} is NaN, not text')
        return str(value)
    if isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        if any(part.get('type') != 'text' for part in value):
            raise RowError(f'{name} has a part that is not text, which can\'t be trained yet')
        return ''.join(as_text(part.get('text', part.get('value')), name) for part in value)
    raise RowError(f'{name} is {kind_of(value)}, not text')


def kind_of(value: Any) -> str:
    """What a JSON value is, in words."""
    names = {dict: 'an object', list: 'a list', str: 'text', bool: 'true or false', type(None): 'null',
             int: 'a number', float: 'a number'}
    return names.get(type(value), type(value).__name__)
