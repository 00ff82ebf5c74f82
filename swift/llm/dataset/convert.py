"""Row formats -> the standard row ``{"messages": [{"role", "content", ...}], "tools": [...]}``. Pure functions.

Knows JSON values only: no files, no tokenizer. A row that can't be used raises RowError with a reason that is the
same for every row with this fault, so that reasons can be counted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from swift.llm.dataset.turns import CHAT, add_turn, as_text, kind_of, parsed, read_chat
from swift.llm.dataset.turns import ROLES as ROLES  # told here, too: the roles are part of the formats
from swift.utils.errors import RowError, UsageError

# Columns that mean the same, the canonical name first. A weak alias counts only where no stronger one is present.
QUERY = ('query', 'prompt', 'input', 'instruction', 'question', 'problem')
RESPONSE = ('response', 'answer', 'output', 'targets', 'target', 'answer_key', 'answers', 'solution', 'completion')
WEAK_RESPONSE = ('text', 'content')
SYSTEM = ('system', 'system_prompt')
# Other conversations of a row: one list of turns, or a list of such lists.
OTHER_CHATS = ('rejected_messages', 'positive_messages', 'negative_messages')
KEPT = ('rejected_response', *OTHER_CHATS, 'label', 'channel', 'margin', 'solution', 'teacher_prompt',
        'chat_template_kwargs')
# Media columns by the canonical name of each; what belongs to another conversation of the row has its prefix.
_SPELLINGS = {'images': ('images', 'image'), 'videos': ('videos', 'video'), 'audios': ('audios', 'audio'),
              'objects': ('objects',), 'ref_audios': ('ref_audios', 'ref_audio'), 'audio_codes': ('audio_codes',)}
_SPELLINGS.update({f'{prefix}_{kind}': (f'{prefix}_{kind}',) for prefix in ('rejected', 'positive', 'negative')
                   for kind in ('images', 'videos', 'audios', 'objects')})
MEDIA = tuple(name for names in _SPELLINGS.values() for name in names)
_MEDIA_NAMES = frozenset(MEDIA)
DROP = '-'  # the target of a column that is not to be read
TARGETS = (*CHAT, 'query', 'response', 'instruction', 'input', 'output', 'system', 'history', 'query_role',
           'history_roles', 'tools', 'rejected_tools', 'text', *KEPT, *MEDIA, DROP)

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
        if target != DROP and targets.count(target) > 1:
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
    if not columns:
        raise ColumnsError('the row has no columns')
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
        raise RowError(f'a row is {kind_of(raw)}, not a JSON object')
    row = _with_turns(rename(raw, columns or {}))
    if 'chosen' in row and 'rejected' in row:
        row = _without_pair(row)
    elif 'chosen_messages' in row and 'messages' not in row:
        row['messages'] = row.pop('chosen_messages')
    form_of = detect if answer_required else _detect_unanswered
    try:
        return row, form_of(row)
    except ColumnsError:
        form = form_of(rename({key: '' for key in raw}, columns or {}))  # as if no value were null
        raise RowError(f'a row read as {form} has nothing where the format needs something') from None


# As SWIFT 2 wrote a picture into a question. HTML has no such tags, or other tags inside of them.
_INLINE_MEDIA = re.compile(r'<(img|audio|video)>[^<>\s]+\.\w{2,5}</\1>')


def build(row: dict[str, Any], form: str, *, answer_required: bool = True,
          with_media: bool = False) -> dict[str, Any]:
    """The second half of :func:`convert`: a standard row out of a row of a known format.

    Args:
        with_media: keep images, videos and audio as lists under their canonical names, instead of refusing the row.
    """
    media = _media(row)
    messages = read_chat(row[form], form, media) if form in CHAT else _from_fields(row, form)
    if form in CHAT:
        system = _pick(row, SYSTEM, 'system')
        if system and row[system] and messages and messages[0]['role'] != 'system':
            messages.insert(0, {'role': 'system', 'content': as_text(row[system], 'system')})
    _check_turns(messages, answer_required)
    standard: dict[str, Any] = {'messages': messages}
    for name in ('tools', 'rejected_tools'):
        if tools := _tools(row.get(name)):
            standard[name] = tools
    if media and not with_media:
        raise RowError(f'the row has {next(iter(media))}, which can\'t be trained yet')
    inline = next((found for m in messages if m['role'] == 'user' and (found := _INLINE_MEDIA.search(m['content']))),
                  None)
    if inline and not with_media:
        raise RowError(f'a question holds {inline[0]}, and media can\'t be trained yet')
    standard.update(media)
    answer = _answer_column(row, form)
    standard.update((name, row[name]) for name in KEPT if name in row and name != answer)
    for name in OTHER_CHATS:
        if name in row:
            standard[name] = _other_chat(row[name], name)
    if 'rejected_response' in row:
        standard['rejected_response'] = _rejected(row['rejected_response'], messages)
    return standard


def _with_turns(row: dict[str, Any]) -> dict[str, Any]:
    """A question that is a list of turns, with the answer or answers as turns after it (TRL), as a conversation."""
    prompt = row.get('prompt')
    if not _is_turns(prompt) or any(name in row for name in CHAT):
        return row
    answer = next((row[name] for name in ('completion', 'response') if _is_turns(row.get(name))), None)
    if answer is not None:
        rest = {key: value for key, value in row.items() if key not in ('prompt', 'completion', 'response')}
        return {**rest, 'messages': [*prompt, *answer]}
    rest = {key: value for key, value in row.items() if key != 'prompt'}
    if not (_is_turns(row.get('chosen')) and _is_turns(row.get('rejected'))):
        return {**rest, 'messages': prompt}
    if row['chosen'][:len(prompt)] != prompt:
        rest |= {name: [*prompt, *row[name]] for name in ('chosen', 'rejected')}
    return rest


def _is_turns(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(
        isinstance(turn, dict) and ('role' in turn or 'from' in turn) for turn in value)


def _without_pair(row: dict[str, Any]) -> dict[str, Any]:
    """``chosen`` and ``rejected`` as the columns that they stand for; a row that has those columns stays as it is.

    They are two conversations, or two answers to the rest of the row: as texts, or as turns of their own.
    """
    if row.keys() & {'response', 'rejected_response', 'rejected_messages'}:
        return row
    chosen, rejected = row['chosen'], row['rejected']
    rest = {key: value for key, value in row.items() if key not in ('chosen', 'rejected')}
    chat = next((name for name in CHAT if name in rest), None)
    if isinstance(chosen, list) and isinstance(rejected, list):
        if chat is None and len(chosen) > 1:
            prompt = {'prompt', 'question', 'query'}  # said again in the two conversations
            rest = {key: value for key, value in rest.items() if key not in prompt}
            return {**rest, 'messages': chosen, 'rejected_messages': rejected}
        chosen, rejected = (one[-1] if len(one) == 1 else one for one in (chosen, rejected))
    if isinstance(chosen, dict) and isinstance(rejected, dict):
        if chat is not None and isinstance(rest[chat], list):
            return {**rest, chat: [*rest[chat], chosen], 'rejected_response': [rejected]}
        texts = [turn.get('content', turn.get('value')) for turn in (chosen, rejected)]
        return {**rest, 'response': texts[0], 'rejected_response': texts[1]}
    if isinstance(chosen, str) and isinstance(rejected, str):
        if chat is not None and isinstance(rest[chat], list):
            said = {'role': 'assistant', 'content': chosen}
            return {**rest, chat: [*rest[chat], said], 'rejected_response': rejected}
        return {**rest, 'response': chosen, 'rejected_response': rejected}
    return row


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
    moved = {target: row[source] for source, target in columns.items() if source in row and target != DROP}
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


def _answer_column(row: Collection[str], form: str) -> str | None:
    """The column that holds the answer; None for conversations."""
    if form in CHAT:
        return None
    if form == 'instruction/input/output' and 'output' in row:
        return 'output'
    return _pick(row, RESPONSE, 'response') or _pick(row, WEAK_RESPONSE, 'response')


def _from_fields(row: dict[str, Any], form: str) -> list[dict[str, Any]]:
    response = _answer_column(row, form)
    if form == 'instruction/input/output':
        query = as_text(row['instruction'], 'instruction')
        if extra := as_text(row.get('input', ''), 'input'):
            query = f'{query}\n{extra}'
    else:
        name = _pick(row, QUERY, 'query')
        query = None if name is None else as_text(row[name], name)

    messages: list[dict[str, Any]] = []
    system = _pick(row, SYSTEM, 'system')
    if system and (text := as_text(row[system], 'system')):
        messages.append({'role': 'system', 'content': text})
    history = _history(row.get('history'))
    roles = _history(row.get('history_roles'), 'history_roles') or [('user', 'assistant')] * len(history)
    if len(roles) != len(history):
        raise RowError('history_roles has not one pair of roles for each pair of history')
    for pair, pair_roles in zip(history, roles, strict=True):
        for text, role in zip(pair, pair_roles, strict=True):
            add_turn(messages, {'role': role, 'content': as_text(text, 'history')}, {})
    if query is not None:
        add_turn(messages, {'role': row.get('query_role', 'user'), 'content': query}, {})
    if response is not None:
        messages.append({'role': 'assistant', 'content': as_text(row[response], response)})
    return messages


def _history(value: Any, name: str = 'history') -> list[list[Any]]:
    if isinstance(value, str):
        value = parsed(value, name) if value.strip() else []
    if not value:
        return []
    if not isinstance(value, list) or not all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in value):
        raise RowError(f'{name} is not a list of [query, response] pairs')
    return value


def _media(row: Mapping[str, Any]) -> dict[str, Any]:
    """The media columns that hold something, by their canonical names; one path or object becomes a list of one."""
    media: dict[str, Any] = {}
    if _MEDIA_NAMES.isdisjoint(row):
        return media
    for canonical, names in _SPELLINGS.items():
        found = [name for name in names if row.get(name)]
        if len(found) > 1:
            raise RowError(f'the row has both {found[0]} and {found[1]}')
        if found:
            value = row[found[0]]
            if isinstance(value, str) and value.lstrip().startswith('[') and canonical != 'audio_codes':
                value = parsed(value, found[0])
            media[canonical] = value if isinstance(value, list) or canonical.endswith('objects') else [value]
    return media


def _other_chat(value: Any, name: str) -> list[Any]:
    """``rejected_messages`` and the like: a list of turns, or a list of conversations."""
    if isinstance(value, str):
        value = parsed(value, name)
    if isinstance(value, list) and value and all(isinstance(chat, list) for chat in value):
        return [read_chat(chat, name, {}) for chat in value]
    return read_chat(value, name, {})


def _rejected(value: Any, messages: Sequence[Mapping[str, Any]]) -> str | list[dict[str, Any]]:
    """``rejected_response``: a text, or the turns that stand in the place of the last answer."""
    if isinstance(value, list):
        turns = read_chat(value, 'rejected_response', {})
        same = len(turns) == 1 and turns[0]['content'] == messages[-1]['content']
    else:
        turns = as_text(value, 'rejected_response')
        same = turns == messages[-1]['content']
    if same and messages[-1]['role'] == 'assistant':
        raise RowError('rejected_response is the same as the response')
    return turns


def _tools(value: Any) -> list[dict[str, Any]]:
    """Tool definitions in OpenAI's shape."""
    if isinstance(value, str):
        value = parsed(value, 'tools') if value.strip() else []
    if not value:
        return []
    if not isinstance(value, list) or not all(isinstance(tool, dict) for tool in value):
        raise RowError('tools is not a list of definitions')
    return [{'type': 'function', 'function': _plain_tool(tool)} if 'name' in tool and 'function' not in tool else tool
            for tool in value]


def _plain_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A definition without a wrapper; Anthropic calls the schema of its parameters ``input_schema``."""
    return {'parameters' if key == 'input_schema' and 'parameters' not in tool else key: value
            for key, value in tool.items()}


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


