from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from swift.utils import env

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize('value, expected', [('1', True), ('True', True), ('on', True), ('0', False), ('', False)])
def test_switches(monkeypatch, value, expected):
    monkeypatch.setenv('USE_HF', value)
    assert env.use_hf() is expected


def test_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.delenv('SWIFT_CACHE', raising=False)
    monkeypatch.setenv('MODELSCOPE_CACHE', str(tmp_path))
    assert env.cache_dir() == tmp_path / 'swift'
    monkeypatch.setenv('SWIFT_CACHE', str(tmp_path / 'x'))
    assert env.cache_dir() == tmp_path / 'x'


def test_world_size_counts_only_beside_a_local_rank(monkeypatch):
    """Some clusters export WORLD_SIZE as the number of machines."""
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    monkeypatch.setenv('WORLD_SIZE', '8')
    assert env.world_size() == 1
    monkeypatch.setenv('LOCAL_RANK', '0')
    assert env.world_size() == 8


def test_log_level(monkeypatch):
    monkeypatch.setenv('LOG_LEVEL', 'debug')
    assert env.log_level() == logging.DEBUG
    monkeypatch.setenv('LOG_LEVEL', 'loud')
    assert env.log_level() == logging.INFO


def test_the_token_belongs_to_the_hub_in_use(monkeypatch):
    monkeypatch.setenv('HF_TOKEN', 'h')
    monkeypatch.setenv('MODELSCOPE_API_TOKEN', 'm')
    monkeypatch.setenv('USE_HF', '1')
    assert env.hub_token() == 'h'
    monkeypatch.setenv('USE_HF', '0')
    assert env.hub_token() == 'm'


def test_variables_are_read_in_one_place():
    reads = re.compile(r'os\.environ\[[^]]+\](?!\s*=[^=])|os\.environ\.get|os\.getenv')
    found = [path.relative_to(ROOT).as_posix() for path in (ROOT / 'swift').rglob('*.py')
             if reads.search(path.read_text(encoding='utf-8'))]
    assert found == ['swift/utils/env.py']
