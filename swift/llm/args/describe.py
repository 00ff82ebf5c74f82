"""Help and reference from the dataclasses: one description of a flag for ``--help`` and for the pages in docs/."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from swift.llm.args.aliases import ALIASES, REDIRECTS
from swift.llm.args.fields import range_text
from swift.llm.args.parser import Arguments, Flag, flags, group_types, pass_through


@dataclass(frozen=True)
class Description:
    """One flag in words.

    Attributes:
        name: without dashes.
        values: what it takes ("true | false", "number, at least 1").
        default: as it would be typed, '' for none.
        help: what it does.
        spellings: other names of the same flag.
    """

    name: str
    values: str
    default: str
    help: str
    spellings: tuple[str, ...]


def describe(flag: Flag) -> Description:
    kind, unit = flag.kind, flag.field.metadata['unit']
    words = {bool: 'true | false', int: 'whole number', float: 'number', str: 'text'}
    values = ' | '.join(kind.choices) or words[kind.item]
    values = 'words' if kind.is_list and kind.item is str else 'numbers' if kind.is_list else values
    values = ', '.join(filter(None, (f'{values} of {unit}' if unit else values, range_text(flag.field))))
    spellings = tuple(sorted(name for name, alias in ALIASES.items() if alias.target == flag.name))
    return Description(flag.name, values, _default(flag.default), flag.field.metadata['help'], spellings)


def groups(cls: type[Arguments]) -> Iterator[tuple[str, list[Description]]]:
    """Title of a group -> its flags, in order."""
    for group in group_types(cls).values():
        names = [f.name for f in dataclasses.fields(group)]
        known = flags(cls)
        title = (type(group).__doc__ or '').strip().splitlines()[0].rstrip('.')
        yield title, [describe(known[name]) for name in names if known[name].kind.item is not dict]


def help_text(cls: type[Arguments], width: int = 100) -> str:
    """The text of ``swift COMMAND --help``."""
    lines = [f'Usage: swift {cls.command} [FILE.yaml | FILE.json] --name value ...', '', (cls.__doc__ or '').strip(),
             '',
             'Dashes and underscores in names are the same; --switch alone means true. A config file holds the same',
             'names; what is typed wins. Names of SWIFT 2.x and of the newest SWIFT are both taken.']
    for title, descriptions in groups(cls):
        lines += ['', f'{title}:']
        for item in descriptions:
            default = f' [{item.default}]' if item.default else ''
            lines.append(f'  --{item.name}  {item.values}{default}')
            lines += textwrap.wrap(item.help, width, initial_indent=' ' * 6, subsequent_indent=' ' * 6)
    known = flags(cls)
    extra = sorted(name for name, alias in ALIASES.items() if alias.target in known and name not in known)
    extra += sorted(set(REDIRECTS) - set(known))
    lines += ['', 'Other spellings:', *textwrap.wrap(', '.join(extra), width, initial_indent='  ',
                                                     subsequent_indent='  ')]
    if pass_through(cls):
        lines += ['', *textwrap.wrap(f'Passed through to transformers.TrainingArguments as typed: '
                                     f'{", ".join(sorted(pass_through(cls)))}.', width)]
    return '\n'.join(lines)


def _default(value: object) -> str:
    if value is None or value == []:
        return ''
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ' '.join(str(item) for item in value)
    return json.dumps(value) if value == '' else f'{value:g}' if isinstance(value, float) else str(value)
