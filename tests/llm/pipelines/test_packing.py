"""``swift sft`` with ``--packing true`` and ``--max_tokens_per_batch``: steps, evaluation, resuming, refusal."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from swift.llm.pipelines.sft import sft_main
from swift.trainers.apart import OneLine
from swift.trainers.base import SwiftTrainer
from swift.utils.errors import SwiftError, UsageError

WAYS = {'packing': {'packing': True, 'batch_size': 1}, 'max_tokens_per_batch': {'max_tokens_per_batch': 160}}


@pytest.fixture
def rows_file(tmp_path):
    """Twenty conversations of 35 to 75 tokens."""
    path = tmp_path / 'rows.jsonl'
    path.write_text(''.join(json.dumps({'query': f'Count to {i}', 'response': ' '.join(map(str, range(i)))}) + '\n'
                            for i in range(1, 21)))
    return path


def options(tiny_model_dir, rows, tmp_path, **more):
    return {'model': str(tiny_model_dir), 'dataset': [str(rows)], 'output_dir': str(tmp_path / 'out'),
            'gradient_accumulation_steps': 2, 'split_dataset_ratio': 0, 'logging_steps': 1, 'learning_rate': 1e-2,
            'max_length': 160, 'disable_tqdm': True, 'report_to': ['none'], 'save_total_limit': -1, **more}


def weights(result):
    return load_file(result.last_checkpoint / 'adapter_model.safetensors')


@pytest.mark.parametrize(('way', 'streaming'), [
    ('packing', False), ('max_tokens_per_batch', True),
    pytest.param('packing', True, marks=pytest.mark.slow),
    pytest.param('max_tokens_per_batch', False, marks=pytest.mark.slow)])
def test_resumed_run_is_bit_identical(tiny_model_dir, rows_file, tmp_path, way, streaming):
    """Stops in the middle of the second epoch, or pass; dropout is on."""
    length = {'streaming': True, 'max_steps': 8} if streaming else {'num_train_epochs': 2}
    whole = sft_main(options(tiny_model_dir, rows_file, tmp_path, save_steps=6, lora_dropout=0.3, full_determinism=True,
                             **WAYS[way], **length))
    resumed = sft_main({'resume_from_checkpoint': str(whole.run_dir / 'checkpoint-6')})
    expected, got = weights(whole), weights(resumed)
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    losses = [{row['step']: row['loss'] for row in r.log_history if 'loss' in row} for r in (whole, resumed)]
    assert losses[0] == losses[1]
    tokens = [row['tokens'] for row in whole.log_history if 'loss' in row]
    assert max(tokens) <= 2 * 160 and np.median(tokens) > 0.8 * 2 * 160, tokens
    if not streaming:
        assert len(tokens) == 8 and sum(tokens[:4]) == sum(tokens[4:]), 'two epochs of the same rows'


def test_evaluation_of_packed_rows_is_that_of_rows(tiny_model_dir, rows_file, tmp_path):
    losses = []
    for way in ({'batch_size': 3}, *WAYS.values()):
        run = sft_main(options(tiny_model_dir, rows_file, tmp_path, max_steps=1, learning_rate=0.0, eval_steps=1,
                               save_strategy='no', **{**way, 'split_dataset_ratio': 0.4}))
        losses.append(next(row['eval_loss'] for row in run.log_history if 'eval_loss' in row))
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=1e-5)


@pytest.mark.parametrize('way', WAYS)
def test_a_model_in_which_rows_see_each_other_refuses(tiny_model_dir, rows_file, tmp_path, monkeypatch, way):
    refused = OneLine(documents=False, problem='its layers carry state from row to row')
    monkeypatch.setattr('swift.trainers.prepare.share_a_line', lambda model, **how: refused)
    with pytest.raises(UsageError, match=rf'--{way} .* puts rows into one line.*: its layers carry state'):
        sft_main(options(tiny_model_dir, rows_file, tmp_path, **WAYS[way]))


def test_a_row_that_does_not_fit_is_told(tiny_model_dir, rows_file, tmp_path):
    with pytest.raises(UsageError, match='A row has [0-9]+ tokens, and rows are packed into at most 40'):
        sft_main(options(tiny_model_dir, rows_file, tmp_path, max_tokens_per_batch=40, max_length=-1))


@pytest.mark.parametrize('stops', [SwiftError, KeyboardInterrupt])
def test_no_thread_is_left_where_training_stops(tiny_model_dir, rows_file, tmp_path, monkeypatch, stops):
    def stop(self, *args, **kwargs):
        assert [thread for thread in threading.enumerate() if thread.name == 'swift-prefetch']
        raise stops

    monkeypatch.setattr(SwiftTrainer, 'compute_loss', stop)
    with pytest.raises(stops):
        sft_main(options(tiny_model_dir, rows_file, tmp_path, **WAYS['packing']))
    assert not [thread for thread in threading.enumerate() if thread.name == 'swift-prefetch']
