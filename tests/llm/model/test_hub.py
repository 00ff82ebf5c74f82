from __future__ import annotations

import os
import subprocess
import sys

import pytest

from swift.llm.model import hub
from swift.utils.errors import SwiftError


class FakeHub:
    """Notes what it is asked for, and answers with a folder or raises."""

    def __init__(self, title, result):
        self.title, self.result, self.calls = title, result, []

    def fetch(self, repo, kind, patterns, **options):
        self.calls.append((repo, kind, patterns, options))
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@pytest.fixture
def hubs(monkeypatch, tmp_path):
    fakes = {'MS': FakeHub('ModelScope', tmp_path), 'HF': FakeHub('Hugging Face', tmp_path)}
    monkeypatch.setattr(hub, 'HUBS', fakes)
    return fakes


def test_only_data_is_fetched(hubs, tmp_path):
    assert hub.download('a/b') == tmp_path
    hub.download('a/b', with_code=True)
    (_, kind, plain, _), (_, _, with_code, _) = hubs['MS'].calls
    assert kind == 'model'
    assert not any('py' in pattern or 'bin' in pattern for pattern in plain)
    assert '*.safetensors' in plain and '*.py' in with_code


def test_the_hub_that_was_asked_for(hubs):
    hub.download('a/b', use_hf=True, revision='r', token='t')
    assert hubs['MS'].calls == []
    assert hubs['HF'].calls[0][0] == 'a/b'
    assert hubs['HF'].calls[0][3] == {'revision': 'r', 'token': 't', 'offline': False}


def test_what_to_do_when_the_hub_fails(hubs):
    hubs['MS'].result = ConnectionError('no route\nto host')
    with pytest.raises(SwiftError, match=r'a/b could not be fetched from ModelScope: no route\. .*--use_hf true.*'):
        hub.download('a/b')
    with pytest.raises(SwiftError, match=r'not fetched from ModelScope before, and --offline true forbids .*--model'):
        hub.download('a/b', offline=True)
    hubs['HF'].result = ConnectionError('no route')
    with pytest.raises(SwiftError, match=r'from Hugging Face: no route\. .*try --use_hf false'):
        hub.download('a/b', use_hf=True)


_OFFLINE = '''
import socket, sys
def refuse(*args, **kwargs):
    print('a socket was opened'); raise OSError('refused')
socket.socket.connect = refuse
socket.getaddrinfo = refuse
from swift.llm.model.hub import download
from swift.utils.errors import SwiftError
try:
    download('Nobody/Nothing', use_hf=sys.argv[1] == 'hf', offline=True)
except SwiftError as e:
    print(e)
'''


@pytest.mark.parametrize('name, spelled', [('hf', 'Hugging Face'), ('ms', 'ModelScope')])
def test_offline_opens_no_socket(tmp_path, name, spelled):
    if name == 'ms':
        pytest.importorskip('modelscope')
    home = {'HF_HOME': str(tmp_path), 'MODELSCOPE_CACHE': str(tmp_path), 'SWIFT_CACHE': str(tmp_path)}
    child = subprocess.run([sys.executable, '-c', _OFFLINE, name], env={**os.environ, **home}, capture_output=True,
                           text=True, timeout=120, check=True)
    assert f'Nobody/Nothing was not fetched from {spelled} before' in child.stdout
    assert 'a socket was opened' not in child.stdout
