"""One logger, aware of ranks: in a group of processes only rank 0 of each node speaks below WARNING."""

from __future__ import annotations

import logging
import sys

from swift.utils import env

_FORMAT = '[%(levelname)s:swift] %(message)s'


def get_logger() -> logging.Logger:
    """The project's logger; level from ``LOG_LEVEL`` (INFO), written to standard error."""
    logger = logging.getLogger('swift')
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter(_FORMAT))
        logger.addHandler(handler)
        logger.propagate = False
        level = env.log_level()
        logger.setLevel(level if env.local_rank() in (-1, 0) else max(logging.WARNING, level))
    return logger
