"""Errors that a user can cause, each printed as its message alone and turned into an exit code.

    SwiftError (exit 1)
    ├── UsageError (exit 2)          a wrong flag or value
    │   └── MissingExtraError        a package that is not installed
    ├── RowError                     a row of data that can't be used: counted and set aside, never fatal by itself
    └── NonFiniteError (exit 1)      NaN or Inf in loss, gradient or weights

A message says what was wrong, what came, and what to do, and names the flag.
"""

from __future__ import annotations

EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130


class SwiftError(Exception):
    """A failure that the user can understand and mend; shown without a traceback."""

    exit_code = EXIT_FAILED


class UsageError(SwiftError, ValueError):
    """The command line, a config file or a Python keyword was wrong."""

    exit_code = EXIT_USAGE


class MissingExtraError(UsageError, ImportError):
    """A feature needs a package of one of our extras that is not installed."""


class NonFiniteError(SwiftError, ArithmeticError):
    """NaN or Inf appeared in a loss, a gradient or a weight; nothing non-finite is ever saved."""


class RowError(SwiftError, ValueError):
    """One row of data can't be used; the message is the reason that is counted and written to rejected.jsonl."""
