from __future__ import annotations

import os
import subprocess
import sys

import pytest

from swift.llm.model import hub
from swift.utils.errors import SwiftError


def fake(monkeypatch, name, result):
    calls = []

    def fetch(*args):
        calls.append(args)
        if isinstance(result, Exception):
            raise result
        return str(result)

    monkeypatch.setattr(hub, name, fetch)
    return calls


def test_only_data_is_fetched(monkeypatch, tmp_path):
    calls = fake(monkeypatch, '_from_modelscope', tmp_path)
    assert hub.download('a/b') == tmp_path
    hub.download('a/b', with_code=True)
    assert not any('py' in pattern or 'bin' in pattern for pattern in calls[0][4])
    assert '*.safetensors' in calls[0][4] and '*.py' in calls[1][4]


def test_the_hub_that_was_asked_for(monkeypatch, tmp_path):
    modelscope = fake(monkeypatch, '_from_modelscope', tmp_path)
    hugging_face = fake(monkeypatch, '_from_hugging_face', tmp_path)
    hub.download('a/b', use_hf=True, revision='r', token='t')
    assert (modelscope, hugging_face[0][:4]) == ([], ('a/b', 'r', 't', False))


def test_what_to_do_when_the_hub_fails(monkeypatch):
    fake(monkeypatch, '_from_modelscope', ConnectionError('no route\nto host'))
    with pytest.raises(SwiftError, match=r'a/b could not be fetched from ModelScope: no route\. .*--use_hf true.*'):
        hub.download('a/b')
    with pytest.raises(SwiftError, match=r'not fetched from ModelScope before, and --offline true forbids .*--model'):
        hub.download('a/b', offline=True)


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
