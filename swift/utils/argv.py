"""Parsing of the small commands (``swift data``, ``swift template``, ...): argparse, with our errors and spellings.

The commands that train or serve have argument classes instead: see ``swift.llm.args``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from swift.utils.errors import UsageError
from swift.utils.registry import suggest


class Parser(argparse.ArgumentParser):
    """argparse that raises our error."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f'{self.prog}: {message}. `{self.prog} --help` lists what it takes.')


def parse(parser: Parser, argv: Sequence[str], flags: Sequence[str]) -> argparse.Namespace:
    """Parse words; dash and underscore are the same in the name of a flag.

    Raises:
        UsageError: the words are wrong; an unknown flag comes with the nearest one of ``flags``.
    """
    options, unknown = parser.parse_known_args([_normal(word) for word in argv])
    if unknown:
        if not unknown[0].startswith('-') and '--filter' in flags:
            raise UsageError(f'{parser.prog}: unknown word {unknown[0]}. Did you mean --filter {unknown[0]}?')
        what = 'flag' if unknown[0].startswith('-') else 'word'
        raise UsageError(f'{parser.prog}: unknown {what} {unknown[0]}.{suggest(unknown[0], flags)}')
    return options


def _normal(word: str) -> str:
    if not word.startswith('--'):
        return word
    name, equals, value = word[2:].partition('=')
    return f'--{name.replace("-", "_")}{equals}{value}'
