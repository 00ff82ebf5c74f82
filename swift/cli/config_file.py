"""``--config run.yaml`` or a leading file -> argv. What is typed beside it wins.

A config file holds the names of the command line. A list becomes several values, a map JSON text, null leaves the
default. It knows how files are written, not what a name means.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swift.llm.args.fields import ArgumentsError
from swift.llm.args.parser import Arguments, canonical, known_names, scan
from swift.utils.errors import UsageError
from swift.utils.registry import suggest

_SUFFIXES = ('.yaml', '.yml', '.json')


def expand(argv: Sequence[str], cls: type[Arguments]) -> list[str]:
    """``argv`` with its config file, if any, turned into flags in front of the typed ones.

    Raises:
        UsageError: more than one file, a missing or broken file, an unknown key.
    """
    files, rest = _split(list(argv))
    if not files:
        return rest
    if len(files) > 1:
        raise UsageError(f'One config file at a time; got {" and ".join(files)}.')
    values = read_config(Path(files[0]).expanduser())
    _check_keys(files[0], values, cls)
    typed = {canonical(cls, option.name, option.words) for option in scan(rest)[0]}
    words: list[str] = []
    for key, value in values.items():
        if value is not None and canonical(cls, key, [_word(value)]) not in typed:
            words.append(f'--{key}={_word(value)}')
    return words + rest


def _split(argv: list[str]) -> tuple[list[str], list[str]]:
    """The config files that a command line names, and the rest of it."""
    files, rest = [], list(argv)
    if rest and rest[0].endswith(_SUFFIXES) and not rest[0].startswith('-'):
        files.append(rest.pop(0))
    while '--config' in rest:
        at = rest.index('--config')
        if at + 1 >= len(rest):
            raise UsageError('--config needs a file: --config run.yaml')
        files.append(rest[at + 1])
        del rest[at:at + 2]
    files += [word.partition('=')[2] for word in rest if word.startswith('--config=')]
    return files, [word for word in rest if not word.startswith('--config=')]


def read_config(path: Path) -> dict[str, Any]:
    """Read a YAML or JSON file that holds one map.

    Raises:
        UsageError: the file is missing, broken (with its line), holds something else, or asks for Python objects.
    """
    if not path.is_file():
        raise UsageError(f'--config {path}: no such file.')
    if path.suffix not in _SUFFIXES:
        raise UsageError(f'--config {path}: a config file ends in {", ".join(_SUFFIXES)}.')
    try:
        text = path.read_text(encoding='utf-8')
        values = json.loads(text) if path.suffix == '.json' else _read_yaml(path, text)
    except json.JSONDecodeError as e:
        raise UsageError(f'{path}, line {e.lineno}: {e.msg}.') from e
    except UnicodeDecodeError as e:
        raise UsageError(f'{path} is not UTF-8 text: {e}.') from e
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UsageError(f'{path} must hold a map of argument names to values, as in "lora_rank: 16".')
    return values


def _read_yaml(path: Path, text: str) -> Any:
    import yaml  # here, so that the command line starts without it

    try:
        return yaml.safe_load(text) or {}
    except yaml.MarkedYAMLError as e:
        line = e.problem_mark.line + 1 if e.problem_mark else '?'
        raise UsageError(f'{path}, line {line}: {e.problem}.') from e
    except yaml.YAMLError as e:
        raise UsageError(f'{path} is not YAML: {e}') from e


def _check_keys(file: str, values: dict[str, Any], cls: type[Arguments]) -> None:
    known = known_names(cls)
    problems = []
    for key in values:
        if key == 'ENV':
            problems.append(f'{file}: the key ENV is not read; export the variables in the shell that starts swift.')
        elif key.replace('-', '_') not in known:
            problems.append(f'{file}: unknown key {key!r}.{suggest(key, known)}')
    if problems:
        raise ArgumentsError(problems)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
