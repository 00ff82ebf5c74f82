from __future__ import annotations

import pytest

from swift.cli import doctor
from swift.cli.main import main
from swift.utils.extras import EXTRAS


def test_doctor_tells_versions_devices_and_what_is_missing(capsys, monkeypatch):
    monkeypatch.setattr(doctor, 'installed_version', lambda package: '9.9' if package.name == 'deepspeed' else None)
    assert main(['doctor']) == 0
    out = capsys.readouterr().out
    assert 'torch' in out and 'tested up to' in out and 'cores' in out and '9.9' in out
    missing = [line for line in out.splitlines() if 'would enable' in line]
    assert len(missing) == sum(len(extra.packages) for extra in EXTRAS.values()) - 1
    assert any("--infer_backend vllm" in line and "pip install 'ms-swift[vllm]'" in line for line in missing)


def test_doctor_fails_when_the_core_is_broken(capsys, monkeypatch):
    monkeypatch.setattr(doctor, 'installed', lambda package: None if package == 'peft' else '2.13')
    monkeypatch.setattr(doctor, 'device_lines', list)
    assert main(['doctor']) == 1
    assert 'missing' in capsys.readouterr().out


@pytest.mark.parametrize('command', ['doctor', 'version'])
def test_they_take_no_arguments(command, capsys):
    assert main([command, '--verbose']) == 2
    assert 'takes no arguments' in capsys.readouterr().err
