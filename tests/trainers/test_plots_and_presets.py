"""Curves are drawn for what was logged; DeepSpeed presets are found under every name that users type."""

from __future__ import annotations

import json

import pytest

from swift.trainers.callbacks import duration
from swift.trainers.deepspeed import deepspeed_config, shards_parameters
from swift.trainers.plots import draw_curves, smooth
from swift.utils.errors import UsageError


def test_one_picture_a_figure(tmp_path):
    history = [{'step': 1, 'loss': 2.0, 'learning_rate': 1e-4}, {'step': 2, 'loss': 1.0, 'learning_rate': 2e-4},
               {'step': 2, 'eval_loss': 1.5}]
    names = {path.name for path in draw_curves(history, tmp_path)}
    assert names == {'train_loss.png', 'learning_rate.png', 'eval_loss.png'}
    assert all((tmp_path / name).read_bytes().startswith(b'\x89PNG') for name in names)


def test_smoothing_is_unbiased_from_the_first_value():
    assert smooth([3.0, 3.0, 3.0]) == pytest.approx([3.0, 3.0, 3.0])
    # by hand: (0.9 * 0.1 * 1 + 0.1 * 2) / (1 - 0.81)
    assert smooth([1.0, 2.0])[1] == pytest.approx(0.29 / 0.19)


@pytest.mark.parametrize(('name', 'stage'), [('default-zero2', 2), ('zero2', 2), ('zero3', 3), ('default-zero3', 3),
                                             ('zero2-offload', 2), ('zero3_offload', 3), ('zero1', 1)])
def test_presets(name, stage):
    config = deepspeed_config(name)
    assert config['zero_optimization']['stage'] == stage
    assert shards_parameters(config) == (stage == 3)
    assert ('offload_optimizer' in config['zero_optimization']) == ('offload' in name)


def test_a_config_may_be_a_file_or_text(tmp_path):
    path = tmp_path / 'ds.json'
    path.write_text(json.dumps({'zero_optimization': {'stage': 3}}))
    assert deepspeed_config(str(path)) == deepspeed_config(path.read_text()) == {'zero_optimization': {'stage': 3}}


def test_a_wrong_name_lists_the_presets():
    with pytest.raises(UsageError, match="--deepspeed zero-two.*zero2.*Did you mean.*'zero2'"):
        deepspeed_config('zero-two')


def test_durations():
    assert [duration(s) for s in (3, 63, 3600)] == ['3s', '1m 3s', '1h 0m 0s']
