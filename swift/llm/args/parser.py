"""Composed dataclasses <-> the flat command line.

``--lora_rank 16`` reaches the field ``lora_rank`` of whichever group declares it. What was typed is known exactly
(``explicit``), both vocabularies and Python keywords take the same way, and everything that is wrong is told at once.
The parser knows nothing about what an argument means; rules across groups are in ``rules.py``.

argparse is not used: it stops at the first error, guesses abbreviations, and takes "-1e-5" or "--not a flag" for flags.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar

from swift.llm.args import aliases
from swift.llm.args.fields import ArgumentsError, Group, Kind, kinds
from swift.llm.args.hf_names import HF_NAMES
from swift.utils.errors import UsageError
from swift.utils.registry import suggest

_FLAG = re.compile(r'--([A-Za-z][A-Za-z0-9_-]*)(?:=(.*))?', re.DOTALL)
_TRUE, _FALSE, _NONE = ('true', '1', 'yes', 'on'), ('false', '0', 'no', 'off'), ('none', 'null')
_PASS_THROUGH = 'hf_options'
COMMANDS: dict[str, type[Arguments]] = {}


@dataclass(frozen=True)
class Arguments:
    """Base of what one command takes: a frozen dataclass whose fields are groups.

    Attributes:
        explicit: names that the user typed, in the spelling of the fields; what is not among them is a default.
    """

    command: ClassVar[str]
    explicit: frozenset[str] = dataclasses.field(default=frozenset(), compare=False, kw_only=True)

    def __init_subclass__(cls, command: str, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.command = command
        COMMANDS[command] = cls

    @classmethod
    def of(cls, **flat: Any) -> Self:
        """Build from flat Python keywords; every spelling that the command line takes is taken here.

        Raises:
            ArgumentsError: a name or a value is wrong.
        """
        return _build(cls, [Option(name.replace('-', '_'), *_words_of(value)) for name, value in _flatten(flat)])

    def replaced(self, flat: Mapping[str, Any]) -> Self:
        """A copy with other values of some fields, by flat field name; ``explicit`` stays what the user typed.

        Raises:
            ArgumentsError: a value is out of range.
        """
        groups = {}
        for name in group_types(type(self)):
            group = self.__dict__[name]
            mine = {f.name: flat[f.name] for f in dataclasses.fields(group) if f.name in flat}
            groups[name] = dataclasses.replace(group, **mine)
        return dataclasses.replace(self, **groups)


A = TypeVar('A', bound=Arguments)


@dataclass(frozen=True)
class Flag:
    """One flag of a command: the field behind it."""

    group: str
    field: dataclasses.Field
    kind: Kind
    default: Any

    @property
    def name(self) -> str:
        return self.field.name


@dataclass(frozen=True)
class Option:
    """A flag as it was typed with the words after it; ``is_none`` stands for Python's None."""

    name: str
    words: tuple[str, ...]
    is_none: bool = False


@functools.cache
def group_types(cls: type[Arguments]) -> dict[str, Group]:
    """Group name -> the group with this command's defaults.

    Raises:
        TypeError: a field of a command has no default group.
    """
    fields = [f for f in dataclasses.fields(cls) if f.name != 'explicit']
    if any(f.default_factory is dataclasses.MISSING for f in fields):
        raise TypeError(f'Every group of {cls.__name__} needs a default_factory.')
    return {f.name: f.default_factory() for f in fields}


@functools.cache
def flags(cls: type[Arguments]) -> dict[str, Flag]:
    """Name -> :class:`Flag` of one command, in the order of the groups.

    Raises:
        TypeError: two groups declare the same flag.
    """
    found: dict[str, Flag] = {}
    owners = group_types(cls)
    for group_name, group in owners.items():
        for field in dataclasses.fields(group):
            if field.name in found:
                other = type(owners[found[field.name].group]).__name__
                raise TypeError(f'--{field.name} is declared by both {other} and {type(group).__name__}; '
                                'one flag has one owner.')
            kind = kinds(type(group))[field.name]
            found[field.name] = Flag(group_name, field, kind, group.__dict__[field.name])
    return found


def known_names(cls: type[Arguments]) -> set[str]:
    """Every name that this command has something to say about: fields, aliases, refusals, pass-through names."""
    typed = {name for name, flag in flags(cls).items() if flag.kind.item is not dict}
    return typed | set(aliases.ALIASES) | set(aliases.REDIRECTS) | set(aliases.REFUSED) | set(pass_through(cls))


def canonical(cls: type[Arguments], name: str, words: Sequence[str] = ()) -> str:
    """The field that a spelling stands for; the name itself when it is none."""
    name = name.replace('-', '_')
    if name in aliases.REDIRECTS:
        name = aliases.REDIRECTS[name](words)[0]
    alias = aliases.ALIASES.get(name)
    return alias.target if alias and name not in flags(cls) else name


def scan(argv: Sequence[str]) -> tuple[list[Option], list[str]]:
    """Split a command line into options and the problems of words that belong to none."""
    options: list[Option] = []
    problems: list[str] = []
    for word in argv:
        match = _FLAG.fullmatch(word)
        if match:
            words = () if match[2] is None else (match[2],)
            options.append(Option(match[1].replace('-', '_'), words))
        elif options:
            options[-1] = dataclasses.replace(options[-1], words=(*options[-1].words, word))
        else:
            problems.append(f'Unexpected {word!r}: arguments are written --name value.')
    return options, problems


def parse(cls: type[A], argv: Sequence[str]) -> tuple[A, set[str]]:
    """Read a command line.

    Returns:
        The arguments and the names of the fields that were typed (also kept as ``args.explicit``).

    Raises:
        ArgumentsError: all that is wrong with names and values.
    """
    options, problems = scan(argv)
    args = _build(cls, options, problems)
    return args, set(args.explicit)


def _build(cls: type[A], options: Iterable[Option], problems: Sequence[str] = ()) -> A:
    """Resolve options one by one, then build the groups; later options win, appended ones add up."""
    problems = list(problems)
    typed: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    hf_options: dict[str, Any] = {}
    options = list(options)
    said = {option.name for option in options}
    for option in options:
        if aliases.SAID_BETTER.get(option.name) in said:
            continue
        try:
            _take(cls, option, typed, spelled, hf_options)
        except ArgumentsError as e:
            problems += e.problems
    groups = {}
    if hf_options:
        typed[_PASS_THROUGH] = hf_options
    for name, group in group_types(cls).items():
        mine = {key: value for key, value in typed.items() if flags(cls)[key].group == name}
        try:
            groups[name] = dataclasses.replace(group, **mine)
        except ArgumentsError as e:
            problems += [_as_typed(problem, spelled) for problem in e.problems]
    if problems:
        raise ArgumentsError(list(dict.fromkeys(problems)))
    explicit = frozenset(typed) - {_PASS_THROUGH} | frozenset(hf_options)
    return cls(**groups, explicit=explicit)


def _take(cls: type[Arguments], option: Option, typed: dict[str, Any], spelled: dict[str, str],
          hf_options: dict[str, Any]) -> None:
    """Put the value of one option where it belongs.

    Raises:
        ArgumentsError: the name is unknown or refused, the value has the wrong type, or another spelling of the same
            flag said something else.
    """
    written, known = option.name, flags(cls)
    if option.is_none and written not in known and written in known_names(cls):
        return  # Python's None for another spelling means that it was not given
    if written in aliases.REDIRECTS and not option.is_none:
        name, words = aliases.REDIRECTS[written](option.words)
        option = Option(name, tuple(words))
    if option.name not in known or known[option.name].kind.item is dict:
        if aliases.is_what_happens_anyway(option.name, option.words):
            return
        if option.name in aliases.REFUSED:
            raise ArgumentsError([f'--{written}: {aliases.REFUSED[option.name]}'])
        if option.name in pass_through(cls):
            hf_options[option.name] = _json_value(option.words)
            return
    name, words, adds = _through_alias(cls, written, option)
    value = None if option.is_none else _in_our_words(written, name, _convert(written, known[name], words))
    if adds:
        typed[name] = [*typed.get(name, []), *value]
    elif name in typed and spelled.get(name, written) != written and typed[name] != value:
        raise ArgumentsError([f'--{spelled[name]} {typed[name]} and --{written} {value} are the same flag with '
                              'different values; keep one.'])
    else:
        typed[name] = value
        spelled[name] = written


def _through_alias(cls: type[Arguments], written: str, option: Option) -> tuple[str, tuple[str, ...], bool]:
    """The field that an option means, its words in that field's vocabulary, and whether they are added to it."""
    known = flags(cls)
    name, words, adds = option.name, option.words, False
    alias = aliases.ALIASES.get(name)
    if alias and name not in known:
        name, adds = alias.target, alias.adds
        if alias.values is not None:
            key = (words[0] if words else 'true').lower()
            key = 'true' if key in _TRUE else 'false' if key in _FALSE else key
            if len(words) > 1 or key not in alias.values:
                raise ArgumentsError([f'--{written} takes {", ".join(alias.values)}; got {" ".join(words)!r}.'])
            words = (alias.values[key],)
    if name not in known or known[name].kind.item is dict:
        raise ArgumentsError([_unknown(cls, written, name)])
    return name, words, adds


def _as_typed(problem: str, spelled: Mapping[str, str]) -> str:
    """A problem that starts with a field's flag, led by the spelling that the user typed."""
    flag, _, rest = problem.partition(' ')
    written = spelled.get(flag[2:], flag[2:])
    return problem if flag == f'--{written}' else f'--{written} ({flag}) {rest}'


def _unknown(cls: type[Arguments], written: str, name: str) -> str:
    owners = [other.command for other in COMMANDS.values() if name in flags(other) and name != _PASS_THROUGH]
    if owners:
        why = ' What a checkpoint needs is read from its args.json.' if cls.command == 'infer' else ''
        return f'--{written} is an argument of `swift {owners[0]}`; `swift {cls.command}` does not take it.{why}'
    choices = known_names(cls) - set(aliases.REFUSED)
    near = suggest(written, choices, limit=1).replace("'", "'--", 1)
    return f'Unknown argument --{written}.{near} `swift {cls.command} --help` lists all.'


@functools.cache
def pass_through(cls: type[Arguments]) -> frozenset[str]:
    """Names of transformers.TrainingArguments that a command hands on as typed."""
    ours = {*flags(cls), *aliases.ALIASES, *aliases.REFUSED}
    return frozenset(HF_NAMES) - ours if _PASS_THROUGH in flags(cls) else frozenset()


# ---------------------------------------------------------------------------------------------- words -> values

def _in_our_words(written: str, name: str, value: Any) -> Any:
    """Values of the other vocabularies in ours ("bf16" is "bfloat16"); those that aren't there yet are refused."""
    if isinstance(value, list):
        return [_in_our_words(written, name, item) for item in value]
    if not isinstance(value, str):
        return value
    if (name, value) in aliases.NOT_YET_VALUES:
        raise ArgumentsError([f'--{written} {value}: {aliases.NOT_YET_VALUES[name, value]}'])
    return aliases.VALUES.get((name, value), aliases.VALUES.get((name, value.lower()), value))


def _convert(written: str, flag: Flag, words: tuple[str, ...]) -> Any:
    kind = flag.kind
    if kind.is_list:
        return _convert_list(written, flag, words)
    if len(words) > 1:
        raise ArgumentsError([f'--{written} takes one value, got {len(words)}: {" | ".join(words)}. '
                              'Quote a value that has spaces.'])
    if kind.item is bool:
        return _convert_bool(written, words[0] if words else 'true', kind.optional)
    if not words:
        raise ArgumentsError([f'--{written} needs a value. A value that looks like a flag is written '
                              f'--{written}=VALUE.'])
    if kind.optional and (kind.item is not str or kind.choices) and words[0].lower() in _NONE:
        return None
    return _convert_item(written, kind.item, words[0])


def _convert_list(written: str, flag: Flag, words: tuple[str, ...]) -> list[Any]:
    """Words as a list; one word may be a JSON list (exact), and comma lists are split where SWIFT split them."""
    items: list[str] = []
    if len(words) == 1 and words[0].startswith('['):
        decoded = _json_value(words)
        if isinstance(decoded, list) and all(isinstance(item, (str, int, float)) for item in decoded):
            return [item if isinstance(item, flag.kind.item) else _convert_item(written, flag.kind.item, str(item))
                    for item in decoded]
    for word in words:
        items += aliases.split_commas(flag.name, word)
    return [_convert_item(written, flag.kind.item, item) for item in items]


def _convert_bool(written: str, word: str, optional: bool) -> bool | None:
    if optional and word.lower() in _NONE:
        return None
    if word.lower() not in _TRUE + _FALSE:
        raise ArgumentsError([f'--{written} takes true or false, got {word!r}.'])
    return word.lower() in _TRUE


def _convert_item(written: str, item: type, word: str) -> Any:
    if item is str:
        return word
    try:
        value = item(word)
    except ValueError:
        wanted = 'a whole number' if item is int else 'a number'
        raise ArgumentsError([f'--{written} takes {wanted}, got {word!r}.']) from None
    if not math.isfinite(value):
        raise ArgumentsError([f'--{written} takes a finite number, got {word!r}.'])
    return value


def _json_value(words: Sequence[str]) -> Any:
    """A pass-through value: JSON where it is JSON, else text; several words are a list, none is true."""
    if len(words) > 1:
        return [_json_value([word]) for word in words]
    if not words:
        return True
    if words[0] in ('True', 'False', 'None'):
        return {'True': True, 'False': False, 'None': None}[words[0]]
    try:
        value = json.loads(words[0])
    except ValueError:
        return words[0]
    return words[0] if isinstance(value, float) and not math.isfinite(value) else value


# ---------------------------------------------------------------------------------------------- values -> words

def _flatten(flat: Mapping[str, Any]) -> list[tuple[str, Any]]:
    pairs = [(name, value) for name, value in flat.items() if name != _PASS_THROUGH]
    return pairs + list((flat.get(_PASS_THROUGH) or {}).items())


def _words_of(value: Any) -> tuple[tuple[str, ...], bool]:
    """A Python value as words, and whether it is None."""
    if value is None:
        return (), True
    if isinstance(value, bool):
        return (str(value).lower(),), False
    if isinstance(value, os.PathLike):
        return (os.fspath(value),), False
    if isinstance(value, (list, tuple)):
        value = [os.fspath(item) if isinstance(item, os.PathLike) else item for item in value]
    if isinstance(value, (list, dict)):
        return (json.dumps(value, ensure_ascii=False),), False
    if isinstance(value, (int, float, str)):
        return (value if isinstance(value, str) else repr(value),), False
    raise UsageError(f'An argument can not be {value!r} of type {type(value).__name__}; use text, numbers, lists or '
                     'dicts.')


def to_flat(args: Arguments) -> dict[str, Any]:
    """All arguments as one JSON-able dict of field names; ``type(args).of(**to_flat(args)) == args``."""
    flat: dict[str, Any] = {}
    for name in group_types(type(args)):
        group = args.__dict__[name]
        flat |= {f.name: group.__dict__[f.name] for f in dataclasses.fields(group)}
    return json.loads(json.dumps(flat))  # a copy: the caller may change its lists


def to_argv(args: Arguments) -> list[str]:
    """A command line that parses to ``args``, without what is a default."""
    argv: list[str] = []
    flat = to_flat(args)
    for name, flag in flags(type(args)).items():
        value = flat[name]
        if name == _PASS_THROUGH:
            argv += [f'--{key}={_as_json_word(item)}' for key, item in value.items()]
        elif value != flag.default:
            argv += _as_words(name, value)
    return argv


def _as_words(name: str, value: Any) -> list[str]:
    if value is None:
        return [f'--{name}', 'none']
    if isinstance(value, list):
        plain = value and all(not isinstance(v, str) or re.fullmatch(r'[\w./#:][\w./#: -]*', v) for v in value)
        words = [v if isinstance(v, str) else repr(v) for v in value]
        return [f'--{name}', *words] if plain else [f'--{name}=' + json.dumps(value, ensure_ascii=False)]
    if isinstance(value, bool):
        return [f'--{name}', str(value).lower()]
    word = value if isinstance(value, str) else repr(value)
    return [f'--{name}={word}'] if word.startswith('-') else [f'--{name}', word]


def _as_json_word(value: Any) -> str:
    if isinstance(value, str):
        return value if _json_value([value]) == value else json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False)
