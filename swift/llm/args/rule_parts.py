"""What rules ask about values: small functions that know no rule."""

from __future__ import annotations

import json
import re
from pathlib import Path

from swift.llm.args.parser import Arguments, flags
from swift.utils.errors import MissingExtraError
from swift.utils.extras import require

ZERO = ('zero1', 'zero2', 'zero3', 'zero2_offload', 'zero3_offload')
_DATA_SUFFIXES = ('.jsonl', '.json', '.csv', '.parquet', '.txt')


def value_of(args: Arguments, name: str):
    """The value of a field by its flat name."""
    return args.__dict__[flags(type(args))[name].group].__dict__[name]


def looks_local(text: str) -> bool:
    """Whether a word can only be a path: a hub id is ``owner/name``, and nobody calls a model ``checkpoint-5``."""
    parts = Path(text).parts
    return (text.startswith(('/', './', '../', '~', '.\\', '..\\')) or text in ('.', '..') or Path(text).is_absolute()
            or len(parts) > 2 or bool(parts and re.match(r'checkpoint-', parts[-1])))


def is_lost_path(spec: str) -> bool:
    """Whether a data set spec can only be a path, and nothing is there. ``a.jsonl#500`` is looked up without the
    number, ``a.jsonl:sub`` without the subset, and a hub prefix (``HF::``) means that it is no path."""
    if '::' in spec:
        return False
    head, _, number = spec.rpartition('#')
    path = head if head and number.isdigit() else spec
    candidates = (spec, path, path.partition(':')[0])
    if any(Path(candidate).expanduser().exists() for candidate in candidates if candidate):
        return False
    return looks_local(path.partition(':')[0]) or path.lower().endswith(_DATA_SUFFIXES)


def json_problem(flag: str, text: str | None, wanted: type | tuple[type, ...]) -> str | None:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as e:
        return f'--{flag} is not JSON ({e}): {text}'
    return None if isinstance(value, wanted) else f'--{flag} takes a JSON map, got {text}'


def json_or_file(flag: str, value: str | None, wanted: tuple[type, ...]) -> str | None:
    """A problem with a value that is either JSON text or the path of a JSON file."""
    if value is None:
        return None
    if value.lstrip().startswith(('{', '[')):
        return json_problem(flag, value, wanted)
    path = Path(value).expanduser()
    if not path.is_file():
        return f'--{flag} {value}: no such file; it takes a JSON file or JSON text.'
    try:
        return json_problem(flag, path.read_text(encoding='utf-8'), wanted)
    except UnicodeDecodeError:
        return f'--{flag} {value} is not a JSON file.'


def is_zero3(deepspeed: str | None) -> bool:
    """Whether ``--deepspeed`` cuts parameters; a value that is none is told by another rule."""
    if deepspeed is None or deepspeed in ZERO:
        return (deepspeed or '').startswith('zero3')
    path = Path(deepspeed).expanduser()
    try:
        text = deepspeed if deepspeed.lstrip().startswith('{') else path.read_text(encoding='utf-8')
        return json.loads(text)['zero_optimization']['stage'] == 3
    except (OSError, ValueError, LookupError, TypeError):
        return False


def missing_package(package: str, needed_by: str) -> str | None:
    try:
        require(package, needed_by=needed_by)
    except MissingExtraError as e:
        return str(e)
    return None


def listed(names: list[str]) -> str:
    return ', '.join(f'--{name}' for name in names)
