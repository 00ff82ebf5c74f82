from __future__ import annotations

import json

import pytest
import torch

from swift.llm.model import device
from swift.utils.errors import MissingExtraError, UsageError


@pytest.fixture
def machine(monkeypatch):
    """``machine(kind, count)`` pretends that so many accelerators are visible."""
    def pretend(kind, count=0, bf16=True):
        monkeypatch.setattr(device, 'accelerator_kind', lambda: kind)
        monkeypatch.setattr(torch.accelerator, 'device_count', lambda: count)
        monkeypatch.setattr(torch.cuda, 'is_bf16_supported', lambda including_emulation=True: bf16)
        monkeypatch.setattr(device, '_free_memory', lambda kind, mine: {number: 1 for number in mine})
    return pretend


def place(typed=None, max_memory=(), sharded=False):
    return device.choose_device_map(typed, list(max_memory), sharded=sharded)


def test_dtype_follows_the_device(machine):
    machine(None)
    assert device.choose_dtype('auto') == torch.float32
    machine('cuda', 1)
    assert device.choose_dtype('auto') == torch.bfloat16
    machine('cuda', 1, bf16=False)
    assert device.choose_dtype('auto') == torch.float16
    assert device.choose_dtype('float32') == torch.float32


def test_one_process_on_one_or_several_devices(machine):
    machine(None)
    assert place() == {}
    machine('cuda', 1)
    assert place() == {'device_map': {'': 'cuda:0'}}
    machine('npu', 1)
    assert place() == {'device_map': {'': 'npu:0'}}
    machine('cuda', 2)
    assert place() == {'device_map': 'auto', 'max_memory': {0: 1, 1: 1}}


def test_processes_of_a_group_share_the_devices(machine, monkeypatch):
    monkeypatch.setenv('LOCAL_RANK', '1')
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '2')
    machine('cuda', 2)
    assert place() == {'device_map': {'': 'cuda:1'}}
    machine('cuda', 4)
    assert place() == {'device_map': 'auto', 'max_memory': {1: 1, 3: 1}}
    machine('cuda', 1)
    with pytest.raises(UsageError, match='LOCAL_RANK is 1, but only 1 cuda devices.*NPROC_PER_NODE'):
        place()


def test_sharded_training_places_the_weights_itself(machine):
    machine('cuda', 4)
    assert place(sharded=True) == {}
    with pytest.raises(UsageError, match='--device_map and --max_memory cannot be used'):
        place('auto', sharded=True)


def test_a_typed_device_map(machine, monkeypatch, tmp_path):
    machine('cuda', 2)
    assert place('auto', ['10GiB', '20GiB']) == {'device_map': 'auto', 'max_memory': {0: '10GiB', 1: '20GiB'}}
    assert place('auto', ['{"0": "1GiB", "cpu": "9GiB"}'])['max_memory'] == {0: '1GiB', 'cpu': '9GiB'}
    assert place('cpu') == {'device_map': {'': 'cpu'}}
    path = tmp_path / 'map.json'
    path.write_text(json.dumps({'model': 0, 'lm_head': 'cpu'}))
    monkeypatch.setenv('LOCAL_RANK', '1')
    assert place(str(path)) == {'device_map': {'model': 1, 'lm_head': 'cpu'}}
    for wrong, message in (('{"a":', 'not valid JSON'), ('/no/map.json', 'no such file'), ('gpu0', 'is no device')):
        with pytest.raises(UsageError, match=f'--device_map.*{message}'):
            place(wrong)


def test_attention(machine, monkeypatch):
    machine(None)
    assert (device.choose_attention('auto'), device.choose_attention('eager')) == (None, 'eager')
    for name in ('flash_attention_2', 'flex_attention'):  # PyTorch has no backward of the latter on a CPU
        with pytest.raises(UsageError, match=f'{name} runs on an accelerator.*--attn_impl sdpa'):
            device.choose_attention(name)
    machine('cuda', 1)
    monkeypatch.setattr(device.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(MissingExtraError, match='pip install flash-attn'):
        device.choose_attention('flash_attention_2')
    monkeypatch.setattr(device.importlib.util, 'find_spec', lambda name: object())
    assert device.choose_attention('flash_attention_2') == 'flash_attention_2'
