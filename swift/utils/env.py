"""Every environment variable that the project reads, named in this one place."""

from __future__ import annotations

import logging
import os
from pathlib import Path


def _flag(name: str) -> bool:
    return os.environ.get(name, '').strip().lower() in ('1', 'true', 'yes', 'on')


def log_level() -> int:
    """``LOG_LEVEL``: DEBUG, INFO (default), WARNING or ERROR."""
    return logging.getLevelNamesMapping().get(os.environ.get('LOG_LEVEL', 'INFO').upper(), logging.INFO)


def rank() -> int:
    """``RANK``: this process among all, -1 when alone.

    Counted only beside ``LOCAL_RANK``, as :func:`world_size` is.
    """
    return int(os.environ.get('RANK', '-1')) if 'LOCAL_RANK' in os.environ else -1


def local_rank() -> int:
    """``LOCAL_RANK``: this process on its node, -1 when alone."""
    return int(os.environ.get('LOCAL_RANK', '-1'))


def world_size() -> int:
    """``WORLD_SIZE``: how many processes train together, 1 when alone.

    Counted only beside ``LOCAL_RANK``: some clusters export WORLD_SIZE as the number of nodes.
    """
    return int(os.environ.get('WORLD_SIZE', '1')) if 'LOCAL_RANK' in os.environ else 1


def local_world_size() -> int:
    """``LOCAL_WORLD_SIZE``: how many processes train on this node, 1 when alone."""
    return int(os.environ.get('LOCAL_WORLD_SIZE', '1'))


def is_main_process() -> bool:
    return rank() in (-1, 0)


def use_hf() -> bool:
    """``USE_HF``: Hugging Face is the default hub instead of ModelScope."""
    return _flag('USE_HF')


def cache_dir() -> Path:
    """``SWIFT_CACHE``, else ``$MODELSCOPE_CACHE/swift``, else ``~/.cache/swift``: converted models, prepared data."""
    if os.environ.get('SWIFT_CACHE'):
        return Path(os.environ['SWIFT_CACHE']).expanduser()
    if os.environ.get('MODELSCOPE_CACHE'):
        return Path(os.environ['MODELSCOPE_CACHE']).expanduser() / 'swift'
    return Path('~/.cache/swift').expanduser()


def hub_token() -> str | None:
    """``MODELSCOPE_API_TOKEN`` or ``HF_TOKEN``, by the hub in use."""
    return os.environ.get('HF_TOKEN' if use_hf() else 'MODELSCOPE_API_TOKEN') or None


def wants_color() -> bool:
    """``NO_COLOR`` set to anything turns colour off (no-color.org)."""
    return not os.environ.get('NO_COLOR')
