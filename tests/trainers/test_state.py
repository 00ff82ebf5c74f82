"""Optimizer, scheduler and random state survive the way through safetensors and JSON to the last bit."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from swift.trainers.state import load_tree, random_state, save_tree, set_random_state
from swift.utils.errors import SwiftError


def test_adamw_state_comes_back_bit_equal(tmp_path):
    parameter = torch.nn.Parameter(torch.randn(3, 4))
    optimizer = torch.optim.AdamW([{'params': [parameter], 'lr': 0.1 / 3}], betas=(0.9, 0.95))
    parameter.sum().backward()
    optimizer.step()
    save_tree(tmp_path, 'optimizer', optimizer.state_dict())
    again = torch.optim.AdamW([torch.nn.Parameter(torch.randn(3, 4))])
    again.load_state_dict(load_tree(tmp_path, 'optimizer'))
    before, after = optimizer.state_dict(), again.state_dict()
    assert after['param_groups'][0]['lr'] == before['param_groups'][0]['lr']
    for name, value in before['state'][0].items():
        assert torch.equal(value, after['state'][0][name]), name


def test_generators_continue_where_they_were(tmp_path):
    save_tree(tmp_path, 'rng', random_state())
    expected = random.random(), np.random.rand(), torch.rand(3)
    set_random_state(load_tree(tmp_path, 'rng'))
    assert (random.random(), np.random.rand()) == expected[:2]
    assert torch.equal(torch.rand(3), expected[2])


def test_what_is_neither_tensor_nor_json_is_refused(tmp_path):
    with pytest.raises(SwiftError, match=r"holds a function at 'hook'.*--save_only_model"):
        save_tree(tmp_path, 'optimizer', {'hook': random_state})
