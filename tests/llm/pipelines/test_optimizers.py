"""Optimizers and schedules that are tuning methods, from the command line: they learn, and go on to the bit."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from swift.llm.pipelines.sft import sft_main
from tests.llm.pipelines.test_processes import swift_sft

GALORE = {'use_galore': True, 'galore_rank': 8, 'galore_update_proj_gap': 3}
WAYS = {
    'galore': GALORE,
    'galore in the backward': GALORE | {'galore_optim_per_parameter': True, 'galore_with_embedding': True},
    'q_galore': GALORE | {'galore_quantization': True, 'galore_proj_quant': True, 'galore_proj_group_size': 64},
    'bfloat16 by default': {'torch_dtype': 'bfloat16'},  # adamw_bf16
    'bfloat16 in the backward': {'torch_dtype': 'bfloat16', 'optimizer_in_backward': True, 'optim': 'adamw_sr'},
    'adamw_bf16 on lora': {'optim': 'adamw_bf16', 'sft_type': 'lora', 'target_modules': ['ALL']},
    'apollo': {'optim': 'apollo', 'apollo_rank': 8},
    'apollo_mini': {'optim': 'apollo_mini'},
    'muon': {'optimizer': 'muon'},
    'lisa': {'lisa_activated_layers': 1, 'lisa_step_interval': 3},
    'badam': {'badam_switch_interval': 3, 'badam_switch_mode': 'random', 'gradient_checkpointing': True},
    'neftune': {'neftune_noise_alpha': 5},
    'muon on lora': {'optim': 'muon', 'sft_type': 'lora', 'target_modules': ['ALL']},
}


def options(model, rows, out, **more):
    return {'model': str(model), 'dataset': [str(rows)], 'output_dir': str(out), 'sft_type': 'full', 'batch_size': 4,
            'gradient_accumulation_steps': 1, 'max_steps': 8, 'num_train_epochs': 3, 'learning_rate': 0.01,
            'save_steps': 4, 'save_total_limit': -1, 'split_dataset_ratio': 0, 'torch_dtype': 'float32',
            'logging_steps': 1, 'add_version': False, 'disable_tqdm': True, 'report_to': ['none'],
            'full_determinism': True, **more}


@pytest.fixture(autouse=True)
def as_before():
    """--full_determinism true is for the whole process."""
    yield
    torch.use_deterministic_algorithms(False)


def losses(run_dir):
    rows = [json.loads(line) for line in (run_dir / 'logging.jsonl').read_text().splitlines()]
    return [row['loss'] for row in rows if 'loss' in row]


def weights(checkpoint):
    (file,) = checkpoint.glob('*model.safetensors')
    return load_file(file)


@pytest.mark.slow
@pytest.mark.parametrize('way', WAYS)
def test_learns_and_goes_on_to_the_bit(way, tiny_model_dir, chat_file, tmp_path):
    flat = options(tiny_model_dir, chat_file, tmp_path / 'whole', **WAYS[way])
    whole = sft_main(flat)
    seen = losses(whole.run_dir)
    assert sum(seen[-3:]) < sum(seen[:3])
    resumed = sft_main({'resume_from_checkpoint': str(tmp_path / 'whole' / 'checkpoint-4'), 'add_version': False,
                        'output_dir': str(tmp_path / 'resumed')})
    expected, got = weights(whole.last_checkpoint), weights(resumed.last_checkpoint)
    assert expected.keys() == got.keys() and all(torch.equal(expected[name], got[name]) for name in expected)
    middle = weights(tmp_path / 'whole' / 'checkpoint-4')
    assert any(not torch.equal(expected[name], middle[name]) for name in expected)


@pytest.mark.slow
@pytest.mark.parametrize('way', [
    {'lisa_activated_layers': 1, 'lisa_step_interval': 2}, {'badam_switch_interval': 2}, {'optim': 'muon'},
    {'optim': 'adamw_sr'}, {'use_galore': True, 'galore_rank': 8, 'galore_update_proj_gap': 2}],
    ids=lambda way: way.get('optim') or next(iter(way)))
def test_two_processes_choose_and_step_alike(way, tiny_model_dir, chat_file, tmp_path):
    flat = options(tiny_model_dir, chat_file, tmp_path / 'one', max_steps=6, learning_rate=1e-3, max_grad_norm=0, **way)
    del flat['full_determinism']
    one = sft_main(flat | {'batch_size': 4})
    swift_sft(2, **(flat | {'batch_size': 2, 'output_dir': tmp_path / 'two'}))
    expected, got = weights(one.last_checkpoint), weights(tmp_path / 'two' / 'checkpoint-6')
    before = load_file(tiny_model_dir / 'model.safetensors')
    tolerance = 0.2 if way.get('optim') == 'muon' else 0.05  # Muon's iterations are in bfloat16, whatever the weights
    for name, weight in expected.items():
        changed = (weight - before[name]).abs().max()
        assert (got[name] - weight).abs().max() <= tolerance * changed + 1e-7, name
    assert any(not torch.equal(before[name], weight) for name, weight in expected.items())
