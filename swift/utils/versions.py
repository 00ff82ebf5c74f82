"""The supported versions of what the core stands on, stated once. Nothing is imported to look.

A newer version than was tested is warned about and used; an older one, or another major, is refused.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable
from dataclasses import dataclass

from swift.utils.errors import SwiftError
from swift.utils.logging import get_logger


@dataclass(frozen=True)
class Supported:
    """One package of the core.

    Attributes:
        floor: the oldest version that works.
        below: the first version that is refused, or ''.
        tested: the newest version that the tests ran with.
    """

    package: str
    floor: str
    below: str
    tested: str


SUPPORTED = (
    Supported('torch', '2.10', '', '2.13.0'),
    Supported('transformers', '5.17', '6', '5.23.0'),
    Supported('peft', '0.21', '', '0.21.2'),
    Supported('accelerate', '1.15', '', '1.15.0'),
    Supported('datasets', '4', '', '5.2.0'),
)


def parse_version(text: str) -> tuple[int, ...]:
    """The release numbers of a version: ``"2.13.0+cpu"`` -> ``(2, 13)``; trailing zeros don't count."""
    match = re.match(r'\d+(?:\.\d+)*', text)
    numbers = [int(part) for part in match[0].split('.')] if match else [0]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def installed(package: str) -> str | None:
    """The installed version of a package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def requirement(entry: Supported) -> str:
    """``"transformers>=5.17,<6"``."""
    return f'{entry.package}>={entry.floor}' + (f',<{entry.below}' if entry.below else '')


def state(entry: Supported, version: str | None) -> str:
    """``"missing"``, ``"too old"``, ``"too new"``, ``"newer than tested"`` or ``"ok"``."""
    if version is None:
        return 'missing'
    if parse_version(version) < parse_version(entry.floor):
        return 'too old'
    if entry.below and parse_version(version) >= parse_version(entry.below):
        return 'too new'
    return 'newer than tested' if parse_version(version) > parse_version(entry.tested) else 'ok'


def check(find: Callable[[str], str | None] = installed) -> None:
    """Look at the installed versions before anything heavy is imported.

    Args:
        find: package name -> installed version or None.

    Raises:
        SwiftError: a package is missing or outside the supported range; all such are named.
    """
    bad = []
    for entry in SUPPORTED:
        version = find(entry.package)
        found = state(entry, version)
        if found in ('missing', 'too old', 'too new'):
            bad.append(f'{requirement(entry)} is needed, and {version or "none"} is installed ({found}).')
        elif found == 'newer than tested':
            get_logger().warning('%s %s is newer than the newest tested version, %s; going on.', entry.package, version,
                                 entry.tested)
    if bad:
        wanted = ' '.join(repr(requirement(entry)) for entry in SUPPORTED if state(entry, find(entry.package)) in
                          ('missing', 'too old', 'too new'))
        raise SwiftError('\n'.join([*bad, f'Mend it with: pip install {wanted}']))
