"""What the caller of a ``*_main`` function gave -> checked arguments: one door for the shell and for Python."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from swift.llm.args import rules
from swift.llm.args.parser import Arguments, parse

A = TypeVar('A', bound=Arguments)


def given_arguments(cls: type[A], given: Sequence[str] | Mapping[str, Any] | A | None) -> A:
    """Arguments of one command, with every rule across groups checked.

    Args:
        cls: the command's arguments.
        given: argv without the command, flat names and values, arguments (of a subclass, too), or None for
            ``sys.argv[1:]``.

    Raises:
        UsageError: all that is wrong.
    """
    if isinstance(given, cls):
        args = given
    elif isinstance(given, Mapping):
        args = cls.of(**given)
    else:
        args, _ = parse(cls, sys.argv[1:] if given is None else given)
    rules.enforce(args)
    return args
