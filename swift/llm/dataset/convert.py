"""Row formats -> the standard row ``{"messages": [{"role", "content", ...}], "tools": [...]}``. Pure functions.

Knows JSON values only: no files, no tokenizer. A row that can't be used raises RowError with a reason that is the
same for every row with this fault, so that reasons can be counted.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Collection, Mapping
from typing import Any

from swift.utils.errors import RowError, UsageError

# Columns that mean the same, the canonical name first. A weak alias counts only where no stronger one is present.
QUERY = ('query', 'prompt', 'input', 'instruction', 'question', 'problem')
RESPONSE = ('response', 'answer', 'output', 'targets', 'target', 'answer_key', 'answers', 'solution', 'completion')
WEAK_RESPONSE = ('text', 'content')
SYSTEM = ('system', 'system_prompt')
CHAT = ('messages', 'conversations', 'conversation')
KEPT = ('rejected_response', 'rejected_messages', 'label', 'channel', 'margin', 'chat_template_kwargs')
MEDIA = ('images', 'image', 'videos', 'video', 'audios', 'audio', 'objects')
TARGETS = (*CHAT, 'query', 'response', 'instruction', 'input', 'output', 'system', 'history', 'tools', 'text',
           *KEPT, *MEDIA)

ROLES = {
    'system': 'system',
    'user': 'user', 'human': 'user',
    'assistant': 'assistant', 'gpt': 'assistant', 'bot': 'assistant',
    'tool': 'tool', 'tool_response': 'tool', 'function_response': 'tool', 'observation': 'tool', 'observations': 'tool',
    'tool_call': 'call', 'function_call': 'call',
}
# Keys of one message besides role and content; a weight of 0 is how other tools write "don't train this turn".
_WEIGHTS = {'loss_scale': 'loss_scale', 'loss_weight': 'loss_scale', 'weight': 'loss_scale'}
_FOLLOWERS = {None: ('user', 'assistant'), 'user': ('assistant',), 'assistant': ('user', 'tool'),
              'tool': ('tool', 'assistant')}

FORMATS = {
    'messages': '{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}',
    'conversations': '{"conversations": [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}]}',
    'conversation': '{"conversation": [{"human": "...", "assistant": "..."}]}',
    'instruction/input/output': '{"instruction": "...", "input": "...", "output": "..."}',
    'query/response': '{"query": "...", "response": "...", "system": "...", "history": [["...", "..."]]}',
    'text': '{"text": "..."} (pre-training)',
}


class ColumnsError(RowError):
    """The columns of a row fit no format: most likely so in every row of its data set."""


def parse_columns(text: str | None) -> dict[str, str]:
    """``--columns``: JSON that maps a column of the data to one that we know.

    Raises:
        UsageError: not a JSON object of strings, an unknown target, or one target twice.
    """
    if not text:
        return {}
    example = '''e.g. --columns '{"ask": "query", "reply": "response"}'.'''
    try:
        columns = json.loads(text)
    except json.JSONDecodeError as e:
        raise UsageError(f'--columns {text!r} is not valid JSON ({e}); {example}') from e
    if not isinstance(columns, dict) or not all(isinstance(target, str) for target in columns.values()):
        raise UsageError(f'--columns {text!r} is not a JSON object that maps a name to a name; {example}')
    return check_columns(columns, '--columns')


def check_columns(columns: Mapping[str, str], origin: str) -> dict[str, str]:
    """The same map, checked.

    Raises:
        UsageError: a target that no format has, or two columns with one target.
    """
    targets = list(columns.values())
    for target in targets:
        if target not in (*TARGETS, *QUERY, *RESPONSE, *SYSTEM):
            raise UsageError(f'{origin} maps to {target!r}, which no format has; it takes one of {", ".join(TARGETS)}.')
        if targets.count(target) > 1:
            raise UsageError(f'{origin} maps two columns to {target!r}; one column can have one source only.')
    return dict(columns)


def detect(columns: Collection[str]) -> str:
    """The format that rows with these columns are read as.

    Raises:
        ColumnsError: none fits, or two columns could be the same thing.
    """
    for name in CHAT:
        if name in columns:
            return name
    if 'instruction' in columns and 'output' in columns:
        return 'instruction/input/output'
    response = _pick(columns, RESPONSE, 'response') or _pick(columns, WEAK_RESPONSE, 'response')
    if response is None:
        raise ColumnsError(f'no format has the columns {", ".join(columns)}')
    if 'instruction' in columns:
        return 'instruction/input/output'
    if _pick(columns, QUERY, 'query') is None and response == 'text':
        return 'text'
    return 'query/response'


def describe_formats() -> str:
    """The accepted formats, one a line."""
    lines = [f'  {example}' for example in FORMATS.values()]
    return '\n'.join(['Accepted are rows with one of these shapes (or name your columns with --columns):', *lines])


def convert(raw: Any, columns: Mapping[str, str] | None = None, *, answer_required: bool = True) -> dict[str, Any]:
    """One raw row as a standard row.

    Args:
        raw: a parsed row; ``None`` values count as absent.
        columns: renames applied first.
        answer_required: the last turn has to be an assistant's (training); without it an unanswered row is fine.

    Raises:
        RowError: the row can't be used; the reason says why.
    """
    row, form = recognise(raw, columns, answer_required=answer_required)
    return build(row, form, answer_required=answer_required)


def recognise(raw: Any, columns: Mapping[str, str] | None = None, *,
              answer_required: bool = True) -> tuple[dict[str, Any], str]:
    """The first half of :func:`convert`: the row with renamed columns, and the name of its format."""
    if not isinstance(raw, dict):
        raise RowError(f'a row is {_kind(raw)}, not a JSON object')
    row = rename(raw, columns or {})
    form_of = detect if answer_required else _detect_unanswered
    try:
        return row, form_of(row)
    except ColumnsError:
        form = form_of(rename({key: '' for key in raw}, columns or {}))  # as if no value were null
        raise RowError(f'a row read as {form} has nothing where the format needs something') from None


def build(row: dict[str, Any], form: str, *, answer_required: bool = True) -> dict[str, Any]:
    """The second half of :func:`convert`: a standard row out of a row of a known format."""
    if form in CHAT:
        messages = _chat(row[form], form)
        system = _pick(row, SYSTEM, 'system')
        if system and row[system] and messages and messages[0]['role'] != 'system':
            messages.insert(0, {'role': 'system', 'content': _text(row[system], 'system')})
    else:
        messages = _from_fields(row, form)
    _check_turns(messages, answer_required)
    standard: dict[str, Any] = {'messages': messages}
    if tools := _tools(row.get('tools')):
        standard['tools'] = tools
    for name in MEDIA:
        if row.get(name):
            raise RowError(f'the row has {name}, which can\'t be trained yet')
    standard.update((name, row[name]) for name in KEPT if name in row)
    return standard


def dump_row(row: Mapping[str, Any]) -> str:
    """A standard row as one line of JSON.

    Raises:
        RowError: a text holds half of a surrogate pair, which is no Unicode text.
    """
    try:
        text = json.dumps(row, ensure_ascii=False, separators=(',', ':'))
        text.encode()
    except UnicodeEncodeError as e:
        raise RowError('a text is not valid Unicode: it has half of a surrogate pair') from e
    except TypeError as e:
        raise RowError(f'a value is not JSON: {e}') from e
    return text


def rename(row: dict[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """The row with its columns renamed and without ``None`` values; a rename wins over a column with that name."""
    row = {key: value for key, value in row.items() if value is not None}
    moved = {target: row[source] for source, target in columns.items() if source in row}
    kept = {key: value for key, value in row.items() if not (key in columns or key in moved)}
    return {**kept, **moved}


def _pick(columns: Collection[str], names: tuple[str, ...], meaning: str) -> str | None:
    """The one of ``names`` that is present; the first name wins over the others, two others are ambiguous."""
    found = [name for name in names if name in columns]
    if len(found) > 1 and found[0] != names[0]:
        raise ColumnsError(f'the columns {" and ".join(found)} could each be the {meaning}; '
                           f'choose one with --columns \'{{"{found[-1]}": "{names[0]}"}}\'')
    return found[0] if found else None


def _detect_unanswered(row: dict[str, Any]) -> str:
    try:
        return detect(row)
    except ColumnsError:
        if 'instruction' in row:
            return 'instruction/input/output'
        if _pick(row, QUERY, 'query') is None:
            raise
        return 'query/response'


def _from_fields(row: dict[str, Any], form: str) -> list[dict[str, Any]]:
    response = _pick(row, RESPONSE, 'response') or _pick(row, WEAK_RESPONSE, 'response')
    if form == 'instruction/input/output':
        response = 'output' if 'output' in row else response
        query = _text(row['instruction'], 'instruction')
        if extra := _text(row.get('input', ''), 'input'):
            query = f'{query}\n{extra}'
    else:
        name = _pick(row, QUERY, 'query')
        query = None if name is None else _text(row[name], name)

    messages = []
    system = _pick(row, SYSTEM, 'system')
    if system and (text := _text(row[system], 'system')):
        messages.append({'role': 'system', 'content': text})
    for past_query, past_response in _history(row.get('history')):
        messages.append({'role': 'user', 'content': _text(past_query, 'history')})
        messages.append({'role': 'assistant', 'content': _text(past_response, 'history')})
    if query is not None:
        messages.append({'role': 'user', 'content': query})
    if response is not None:
        messages.append({'role': 'assistant', 'content': _text(row[response], response)})
    return messages


def _history(value: Any) -> list[list[Any]]:
    if isinstance(value, str):
        value = _parsed(value, 'history') if value.strip() else []
    if not value:
        return []
    if not isinstance(value, list) or not all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in value):
        raise RowError('history is not a list of [query, response] pairs')
    return value


def _parsed(text: str, name: str) -> Any:
    """A list or an object written as text in a CSV cell: JSON, or a Python literal (never evaluated)."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError) as e:
            raise RowError(f'{name} is text that is no JSON list') from e


def _chat(value: Any, form: str) -> list[dict[str, Any]]:
    if isinstance(value, str):
        value = _parsed(value, form)
    if not isinstance(value, list) or not all(isinstance(turn, dict) for turn in value):
        raise RowError(f'{form} is {_kind(value)}, not a list of turns')
    messages: list[dict[str, Any]] = []
    for turn in value:
        turn = {key: part for key, part in turn.items() if part is not None}
        if 'role' in turn or 'from' in turn:
            _add_turn(messages, turn)
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
            messages.append({'role': role, 'content': _text(by_role[role], role)})


def _add_turn(messages: list[dict[str, Any]], turn: dict[str, Any]) -> None:
    name = turn.get('role', turn.get('from'))
    role = ROLES.get(name) if isinstance(name, str) else None
    if role is None:
        raise RowError(f'unknown role {name!r}; known: {", ".join(ROLES)}')
    content = turn.get('content', turn.get('value'))
    extra = _extra_keys(turn, role)
    if role == 'call':
        _add_call(messages, content, extra)
        return
    if role == 'tool' and not isinstance(content, str):
        content = json.dumps(content, ensure_ascii=False)
    if content is None and extra.keys() & {'tool_calls', 'reasoning_content'}:
        content = ''
    messages.append({'role': role, 'content': _text(content, f'the content of a turn of {role}'), **extra})


def _extra_keys(turn: dict[str, Any], role: str) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    if role not in ('assistant', 'call'):
        return extra
    if 'loss' in turn:
        if turn['loss'] not in (True, False):
            raise RowError(f'loss is {_kind(turn["loss"])}, not true or false')
        extra['loss'] = bool(turn['loss'])
    for key, name in _WEIGHTS.items():
        if key in turn:
            weight = turn[key]
            if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight < float('inf'):
                raise RowError(f'{key} is not a number from 0')
            extra[name] = float(weight)
    if turn.get('reasoning_content'):
        extra['reasoning_content'] = _text(turn['reasoning_content'], 'reasoning_content')
    if calls := turn.get('tool_calls'):
        calls = _parsed(calls, 'tool_calls') if isinstance(calls, str) else calls
        if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
            raise RowError('tool_calls is not a list of calls')
        extra['tool_calls'] = calls
    return extra


def _add_call(messages: list[dict[str, Any]], content: Any, extra: dict[str, Any]) -> None:
    """A function call in a turn of its own joins the assistant's turn before it, or begins one."""
    try:
        calls = json.loads(content) if isinstance(content, str) else content
    except json.JSONDecodeError as e:
        raise RowError('a function call is not valid JSON') from e
    calls = calls if isinstance(calls, list) else [calls]
    if not calls or not all(isinstance(call, dict) and isinstance(call.get('name'), str) for call in calls):
        raise RowError('a function call has no name')
    shaped = [{'type': 'function', 'function': {'name': call['name'], 'arguments': call.get('arguments', {})}}
              for call in calls]
    if messages and messages[-1]['role'] == 'assistant':
        messages[-1].update(extra)
        messages[-1]['tool_calls'] = [*messages[-1].get('tool_calls', []), *shaped]
    else:
        messages.append({'role': 'assistant', 'content': '', **extra, 'tool_calls': shaped})


def _tools(value: Any) -> list[dict[str, Any]]:
    """Tool definitions in OpenAI's shape."""
    if isinstance(value, str):
        value = _parsed(value, 'tools') if value.strip() else []
    if not value:
        return []
    if not isinstance(value, list) or not all(isinstance(tool, dict) for tool in value):
        raise RowError('tools is not a list of definitions')
    return [{'type': 'function', 'function': tool} if 'name' in tool and 'function' not in tool else tool
            for tool in value]


def _text(value: Any, name: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        if any(part.get('type') != 'text' for part in value):
            raise RowError(f'{name} has a part that is not text, which can\'t be trained yet')
        return ''.join(_text(part.get('text', part.get('value')), name) for part in value)
    raise RowError(f'{name} is {_kind(value)}, not text')


def _check_turns(messages: list[dict[str, Any]], answer_required: bool) -> None:
    turns = messages[1:] if messages and messages[0]['role'] == 'system' else messages
    if not turns:
        raise RowError('there are no turns')
    before = None
    for turn in turns:
        role = turn['role']
        if role not in _FOLLOWERS[before]:
            what = f'follows a turn of {before}' if before else 'comes first'
            raise RowError(f'a turn of {role} {what}: the turns don\'t alternate')
        if role == 'assistant' and not turn['content'].strip() and not turn.get('tool_calls'):
            raise RowError('an empty response')
        before = role
    if turns[0]['role'] == 'assistant' and len(turns) > 1:
        raise RowError('a turn of assistant comes first: the turns don\'t alternate')
    if answer_required and before != 'assistant':
        raise RowError('the last turn is not an assistant\'s: there is no response to train')


def _kind(value: Any) -> str:
    names = {dict: 'an object', list: 'a list', str: 'text', bool: 'true or false', type(None): 'null'}
    return names.get(type(value), type(value).__name__)
