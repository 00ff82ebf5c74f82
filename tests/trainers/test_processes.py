"""Joining a process group."""

from __future__ import annotations

import pytest

from swift.llm.args.groups import TrainArgs
from swift.trainers.processes import join_processes
from swift.utils.errors import UsageError


def test_deepspeed_without_a_launcher_is_refused(monkeypatch):
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    with pytest.raises(UsageError, match='--deepspeed runs under torchrun'):
        join_processes(TrainArgs(deepspeed='zero2'))
