"""Checkpoints: kept by the rule, read back, and never taken for whole when they are not."""

from __future__ import annotations

import os

import pytest
import torch
from safetensors.torch import save_file

from swift.trainers.checkpointing import check_weights, checkpoints_of, resumable, rotate
from swift.utils.errors import NonFiniteError, SwiftError
from swift.utils.files import write_manifest


def make(run_dir, step, whole=True):
    folder = run_dir / f'checkpoint-{step}'
    folder.mkdir(parents=True)
    save_file({'w': torch.ones(2)}, folder / 'model.safetensors')
    (folder / 'trainer_state.json').write_text('{}')
    if whole:
        write_manifest(folder)
    return folder


@pytest.mark.parametrize(('limit', 'best', 'kept'), [
    (2, 'checkpoint-2', [2, 10]), (2, None, [4, 10]), (1, None, [10]), (3, 'checkpoint-2', [2, 4, 10]),
    (None, None, [2, 3, 4, 10]), (2, 'checkpoint-10', [4, 10])])
def test_rotation_keeps_best_and_newest(tmp_path, limit, best, kept):
    for step in (2, 3, 4, 10):
        make(tmp_path, step)
    rotate(tmp_path, limit, str(tmp_path / best) if best else None)
    assert [path.name for path in checkpoints_of(tmp_path)] == [f'checkpoint-{step}' for step in kept]


def test_a_run_resumes_from_its_newest_whole_checkpoint(tmp_path):
    make(tmp_path, 2)
    make(tmp_path, 10, whole=False)
    assert resumable(tmp_path).name == 'checkpoint-2'


@pytest.mark.parametrize(('damage', 'says'), [
    (lambda folder: (folder / 'model.safetensors').unlink(), 'is missing'),
    (lambda folder: os.truncate(folder / 'model.safetensors', 10), 'has 10 bytes'),
    (lambda folder: (folder / 'trainer_state.json').write_text('[]'), 'hash'),
    (lambda folder: (folder / 'manifest.json').unlink(), 'never finished')])
def test_a_damaged_checkpoint_is_named_with_one_to_use_instead(tmp_path, damage, says):
    make(tmp_path, 2)
    damaged = make(tmp_path, 4)
    damage(damaged)
    with pytest.raises(SwiftError, match=rf'(?s)--resume_from_checkpoint.*{says}.*Resume from .*checkpoint-2'):
        resumable(damaged)


def test_no_checkpoint_at_all(tmp_path):
    with pytest.raises(SwiftError, match='no whole checkpoint'):
        resumable(tmp_path)


@pytest.mark.parametrize(('tensor', 'error', 'says'), [
    (torch.tensor([1.0, float('nan')]), NonFiniteError, 'NaN or Inf'),
    (torch.tensor([1.0, float('inf')]).bfloat16(), NonFiniteError, 'NaN or Inf'),
    (torch.zeros(0), SwiftError, 'empty')])
def test_weights_are_read_back(tmp_path, tensor, error, says):
    save_file({'lora_A': tensor}, tmp_path / 'adapter_model.safetensors')
    with pytest.raises(error, match=says):
        check_weights(tmp_path)


def test_a_folder_without_weights_is_no_checkpoint(tmp_path):
    save_file({'w': torch.ones(1)}, tmp_path / 'optimizer.safetensors')
    with pytest.raises(SwiftError, match='No weights'):
        check_weights(tmp_path)
