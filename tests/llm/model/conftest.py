"""A private copy of the tiny checkpoint that a test may break."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest


@pytest.fixture
def broken(tiny_model_dir, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_model_dir, tmp_path / 'model'))


@pytest.fixture
def edit_config(broken):
    """``edit_config(key=value)`` changes config.json of the copy; None removes a key."""
    def edit(**changes) -> None:
        path = broken / 'config.json'
        config = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    return edit
