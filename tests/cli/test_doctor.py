from __future__ import annotations

import pytest
import torch

from swift.cli import doctor
from swift.cli.main import main
from swift.kernels import checks, loss_head
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


def test_they_take_no_other_arguments(capsys):
    assert main(['version', '--verbose']) == 2
    assert 'takes no arguments' in capsys.readouterr().err
    assert main(['doctor', '--verbose']) == 2
    assert '--kernels or nothing' in capsys.readouterr().err


def test_kernels_of_this_device_agree_with_plain_pytorch(capsys):
    assert main(['doctor', '--kernels']) == 0
    lines = capsys.readouterr().out.splitlines()
    heads = [line for line in lines if line.startswith('  loss head  ')]
    assert len(heads) >= 2 and all(line.endswith('ok') for line in heads)
    assert lines[-1].endswith('agree.')


def test_a_kernel_that_is_wrong_or_breaks_fails_the_command(capsys, monkeypatch):
    def breaks(device, dtype):
        raise RuntimeError('no such architecture\nand a long trace')

    monkeypatch.setattr(checks, 'CHECKS', (
        checks.Check('good', lambda device, dtype: None), checks.Check('bad', lambda device, dtype: 'it is off'),
        checks.Check('broken', breaks), checks.Check('elsewhere', breaks, devices=('no such device',))))
    assert main(['doctor', '--kernels']) == 1
    out = capsys.readouterr().out
    assert 'WRONG: it is off' in out and 'WRONG: RuntimeError: no such architecture\n' in out
    assert 'not for this device' in out and '4 of 6 checks failed' in out


@pytest.mark.parametrize('spoilt', ['loss', 'gradient'])
def test_the_check_of_the_loss_head_sees_a_wrong_pass(monkeypatch, spoilt):
    plain = loss_head.plain_pass

    def wrong(z, targets, weights, terms, grad_scale, losses, right):
        plain(z, targets, weights, terms, grad_scale, losses, right)
        (losses if spoilt == 'loss' else z).mul_(1.001)

    monkeypatch.setattr(loss_head, 'plain_pass', wrong)
    problem = checks.check_linear_nll(torch.device('cpu'), torch.float32)
    assert problem is not None and spoilt in problem
