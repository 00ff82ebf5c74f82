"""What can be seen in one row alone: roles, empty texts, control tokens, media files. Pure but for the existence of
files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from swift.llm.dataset.convert import CHAT, MEDIA, QUERY, RESPONSE, ROLES, WEAK_RESPONSE

# What is looked for where no tokenizer says which control tokens there are: the common spellings.
_COMMON_CONTROLS = re.compile(
    r'<\|[A-Za-z0-9_▁-]{1,40}\|>|<｜[^｜\s]{1,40}｜>|</?s>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>'
    r'|\[(?:gMASK|MASK|SEP|CLS|UNK|PAD)\]')
_TAGS = {'<image>': ('images', 'image'), '<video>': ('videos', 'video'), '<audio>': ('audios', 'audio')}
_NAMES_NO_FILE = re.compile(r'[a-z][a-z0-9+.-]+://|data:', re.IGNORECASE)
_LONGEST_PATH = 4096  # characters; anything longer is the medium itself in base64
_NOT_TEXT = frozenset({'role', 'from', 'type', 'id', 'tool_call_id'})
_PARTS = frozenset({'image', 'image_url', 'video', 'video_url', 'audio', 'audio_url'})


class ControlTokens(Protocol):
    """The added tokens of a tokenizer, as :class:`swift.llm.template.segments.Controls` has them."""

    special: frozenset[str]

    def matches(self, text: str) -> list[re.Match[str]]: ...


def is_blank(value: Any) -> bool:
    """Whether no text in a raw row says anything; names of roles and types are no text."""
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, Mapping):
        return all(is_blank(item) for key, item in value.items() if key not in _NOT_TEXT)
    if isinstance(value, Sequence):
        return all(map(is_blank, value))
    return value is None


def lacks_answer(row: Mapping[str, Any], form: str | None) -> bool:
    """Whether a row whose columns are known has a question and nothing that answers it.

    Args:
        row: with its columns renamed.
        form: the format it was recognised as, None where none was.
    """
    if form in CHAT or any(name in row for name in CHAT):
        turns = row.get(form) if form in CHAT else next(row[name] for name in CHAT if name in row)
        last = turns[-1] if isinstance(turns, list) and turns else None
        if not isinstance(last, Mapping):
            return False
        role = ROLES.get(str(last.get('role', last.get('from'))))
        if role in ('user', 'system'):
            return True
        answer = {key: item for key, item in last.items() if key not in _NOT_TEXT}
        return role == 'assistant' and is_blank(answer)
    asked = any(name in row and not is_blank(row[name]) for name in QUERY)
    return asked and all(is_blank(row.get(name)) for name in (*RESPONSE, *WEAK_RESPONSE))


def raw_roles(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The roles of the turns of a raw conversation by our names (an unknown one by its own); () where it has none."""
    turns = next((row[name] for name in CHAT if isinstance(row.get(name), list)), [])
    names = [str(turn.get('role', turn.get('from'))) for turn in turns
             if isinstance(turn, Mapping) and ('role' in turn or 'from' in turn)]
    return tuple('assistant' if ROLES.get(name) == 'call' else ROLES.get(name, name) for name in names)


def unusual_order(roles: Sequence[str]) -> str | None:
    """What is unusual about an order of turns, None where nothing is.

    Usual is: one system turn at most, in front; then user and assistant in turn, with tool results after the
    assistant; the assistant last. A lone text of any role is a text for pre-training.
    """
    if len(roles) <= 1:
        return None
    unknown = next((role for role in roles if role not in ('system', 'user', 'assistant', 'tool')), None)
    if unknown is not None:
        return f'unknown role {unknown}'
    if 'system' in roles[1:]:
        return 'system after the first turn'
    turns = roles[1:] if roles[0] == 'system' else roles
    if turns[0] != 'user':
        return f'begins with {turns[0]}'
    for before, after in zip(turns, turns[1:], strict=False):
        if before == after and before != 'tool':
            return f'{before} twice in a row'
        if after == 'tool' and before == 'user' or before == 'tool' and after == 'user':
            return f'{after} after {before}'
    return None if turns[-1] == 'assistant' else f'ends with {turns[-1]}'


def calls_without_result(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the user speaks right after a call of the assistant's: the result of the call is lost."""
    return any(before.get('tool_calls') and after['role'] == 'user'
               for before, after in zip(messages, messages[1:], strict=False))


def blank_turn(messages: Sequence[Mapping[str, Any]]) -> str | None:
    """The role of the first turn that says, thinks and calls nothing."""
    return next((turn['role'] for turn in messages if turn['role'] != 'system' and not turn['content'].strip()
                 and not turn.get('tool_calls') and not turn.get('reasoning_content')), None)


def control_tokens(messages: Sequence[Mapping[str, Any]], controls: ControlTokens | None,
                   allowed_in_answers: frozenset[str]) -> list[tuple[str, str]]:
    """(token, the text around it) for every control token that a content spells.

    Args:
        controls: of the tokenizer; None looks for common spellings.
        allowed_in_answers: tokens that an answer may hold (``<think>``).
    """
    found = []
    for turn in messages:
        text, answer = turn['content'], turn['role'] == 'assistant'
        for match in _COMMON_CONTROLS.finditer(text) if controls is None else controls.matches(text):
            token = match.group()
            # what a tokenizer has not flagged as special is markup of answers: <tool_call>, <think>
            if answer and (token in allowed_in_answers or controls is not None and token not in controls.special):
                continue
            found.append((token, text[max(0, match.start() - 30):match.end() + 30]))
    return found


def media_paths(row: Mapping[str, Any]) -> Iterator[str]:
    """The paths of the media that a raw row names; URLs and media in the row itself are left out."""
    for name in MEDIA:
        if 'objects' not in name and 'codes' not in name:
            yield from _paths(row.get(name))
    for name in CHAT:
        turns = row.get(name)
        for turn in turns if isinstance(turns, list) else ():
            parts = turn.get('content') if isinstance(turn, Mapping) else None
            for part in parts if isinstance(parts, list) else ():
                if isinstance(part, Mapping):
                    for kind in _PARTS & part.keys():
                        yield from _paths(part[kind])
                    if part.get('type') in _PARTS:
                        yield from _paths(part.get('value'))


def _paths(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        path = value.removeprefix('file://')
        if path.strip() and len(path) <= _LONGEST_PATH and not _NAMES_NO_FILE.match(path):
            yield path
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _paths(item)
    elif isinstance(value, Mapping) and not value.get('bytes'):
        for key in ('path', 'url', 'image', 'file'):
            yield from _paths(value.get(key))


def missing_file(path: str, beside: Path) -> bool:
    """Whether there is no such file, neither from the working folder nor from the folder of the data file."""
    given = Path(path).expanduser()
    return not given.is_file() and (given.is_absolute() or not (beside / given).is_file())


def tag_mismatch(row: Mapping[str, Any]) -> str | None:
    """Where a row has another number of media tags than of media; a row without tags at all is fine."""
    text = '\n'.join(_texts(row))
    for tag, names in _TAGS.items():
        tags, media = text.count(tag), 0
        for name in names:
            value = row.get(name)
            media += len(value) if isinstance(value, list) else int(bool(value))
        if tags and media and tags != media:
            return f'{tags} {tag}, {media} {names[0]}'
    return None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
