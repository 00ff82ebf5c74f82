"""Two processes take the step that one takes: same rows, same gradient, with DDP and with DeepSpeed.

The optimizer is SGD with learning rate 1 and nothing else, so what one step adds to the weights is the gradient.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from swift.llm.pipelines.sft import sft_main
from swift.utils.extras import available

ROOT = Path(__file__).parents[3]


def options(model, rows, out, **more):
    return {'model': str(model), 'dataset': [str(rows)], 'output_dir': str(out), 'max_steps': 1, 'optim': 'sgd',
            'learning_rate': 1.0, 'weight_decay': 0, 'max_grad_norm': 0, 'warmup_ratio': 0.0,
            'lr_scheduler_type': 'constant', 'split_dataset_ratio': 0, 'sft_type': 'full', 'torch_dtype': 'float32',
            'add_version': False, 'disable_tqdm': True, 'report_to': ['none'], 'save_only_model': True, **more}


def swift_sft(processes, **flat):
    argv = [word for name, value in flat.items()
            for word in (f'--{name}', *(map(str, value) if isinstance(value, list) else [str(value)]))]
    environment = {**os.environ, 'NPROC_PER_NODE': str(processes), 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}
    done = subprocess.run([sys.executable, '-m', 'swift.cli.main', 'sft', *argv], cwd=ROOT, env=environment,
                          capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-4000:]
    return done


@pytest.fixture(scope='module')
def one_process(tiny_model_dir, tmp_path_factory):
    """The weights after one step over 10 rows in one process."""
    folder = tmp_path_factory.mktemp('one')
    rows = folder / 'rows.jsonl'
    rows.write_text(''.join(f'{{"query": "Say {"very " * i}much", "response": "{"word " * (i % 3 + 1)}"}}\n'
                            for i in range(10)))
    result = sft_main(options(tiny_model_dir, rows, folder / 'out', batch_size=5, gradient_accumulation_steps=2))
    return rows, load_file(result.last_checkpoint / 'model.safetensors')


def assert_same_step(one, two, before):
    for name, weight in one.items():
        gradient = before[name] - weight
        difference = (weight - two[name]).abs().max() / gradient.abs().max().clamp(min=1e-8)
        assert difference < 2e-5, f'{name}: {difference:.1e} of its largest gradient'


# batch 2 x 2 processes x accumulation 4 takes 16 rows: the ten come as a partial step, unevenly dealt
@pytest.mark.parametrize('more', [
    pytest.param({}, id='ddp'),
    # one packed sequence would hold all rows: they are spread over both processes
    pytest.param({'max_tokens_per_batch': 2048, 'batch_size': 1}, id='ddp-tokens', marks=pytest.mark.slow),
    pytest.param({'deepspeed': 'default-zero2'}, id='zero2', marks=pytest.mark.slow),
    pytest.param({'deepspeed': 'default-zero3'}, id='zero3', marks=pytest.mark.slow),
    pytest.param({'fsdp': 'full_shard auto_wrap',
                  'fsdp_config': '{"transformer_layer_cls_to_wrap": ["LlamaDecoderLayer"]}'}, id='fsdp',
                 marks=pytest.mark.slow)])
def test_first_step_of_two_processes_is_that_of_one(one_process, tiny_model_dir, tmp_path, more):
    if 'deepspeed' in more and not available('deepspeed'):
        pytest.skip('deepspeed is not installed: pip install "ms-swift[deepspeed]"')
    rows, one = one_process
    more = {'batch_size': 2, 'gradient_accumulation_steps': 4, **more}
    done = swift_sft(2, **options(tiny_model_dir, rows, tmp_path / 'out', **more))
    assert 'Fused loss head' in done.stderr and 'whole logits' not in done.stderr
    two = load_file(tmp_path / 'out' / 'checkpoint-1' / 'model.safetensors')
    before = load_file(tiny_model_dir / 'model.safetensors')
    assert_same_step(one, two, before)
    assert not torch.equal(before['model.norm.weight'], two['model.norm.weight'])


@pytest.mark.slow
def test_a_long_preparation_outlasts_the_time_out_of_the_process_group(tiny_model_dir, tmp_path):
    """One process prepares for 20 s while the other waits, under a time-out of 8 s."""
    rows, plugin = tmp_path / 'rows.jsonl', tmp_path / 'slow_data.py'
    rows.write_text('{"query": "a", "response": "b"}\n' * 4)
    plugin.write_text(f"""import time
from pathlib import Path

from swift.llm.dataset.registry import DATASETS, DatasetEntry


def slowly(row):
    time.sleep(5)
    return row


DATASETS.add(DatasetEntry('slow', files={{'default': Path({str(rows)!r})}}, convert=slowly))
""")
    swift_sft(2, **options(tiny_model_dir, 'slow', tmp_path / 'out', batch_size=1, gradient_accumulation_steps=1,
                           external_plugins=[str(plugin)], ddp_timeout=8))
    assert (tmp_path / 'out' / 'checkpoint-1').is_dir()


@pytest.mark.slow
@pytest.mark.skipif(not available('deepspeed'), reason='deepspeed is not installed: pip install "ms-swift[deepspeed]"')
@pytest.mark.parametrize('stage', ['zero2', 'zero3'])
def test_a_sharded_adapter_is_saved_whole_and_resumed_to_the_bit(one_process, tiny_model_dir, tmp_path, stage):
    rows, _ = one_process
    flat = options(tiny_model_dir, rows, tmp_path / 'whole', max_steps=4, save_steps=2, save_total_limit=-1,
                   sft_type='lora', target_modules=['ALL'], optim='adamw_torch', learning_rate=0.01,
                   full_determinism=True, save_only_model=False, deepspeed=stage)
    swift_sft(2, **flat)
    swift_sft(2, resume_from_checkpoint=tmp_path / 'whole' / 'checkpoint-2', output_dir=tmp_path / 'resumed',
              add_version=False, deepspeed=stage)
    whole, resumed = (load_file(tmp_path / name / 'checkpoint-4' / 'adapter_model.safetensors')
                      for name in ('whole', 'resumed'))
    assert len(whole) == 2 * 2 * 7  # A and B of seven linear layers in each of two blocks
    assert all(tensor.numel() for tensor in whole.values())
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.slow
def test_adalora_prunes_alike_on_every_process(tiny_model_dir, one_process, tmp_path):
    """Its penalty counts once a step however that is cut, and all processes take away the same ranks."""
    rows, _ = one_process
    flat = options(tiny_model_dir, rows, tmp_path / 'one', sft_type='adalora', lora_dropout=0.0, max_steps=4,
                   num_train_epochs=4, learning_rate=0.3, adalora_init_r=4, adalora_target_r=1)
    one = sft_main(flat | {'batch_size': 10, 'gradient_accumulation_steps': 1})
    swift_sft(2, **(flat | {'batch_size': 5, 'gradient_accumulation_steps': 1, 'output_dir': tmp_path / 'two'}))
    expected, got = (load_file(folder / 'checkpoint-4' / 'adapter_model.safetensors')
                     for folder in (one.run_dir, tmp_path / 'two'))
    assert expected.keys() == got.keys()
    pruned = [int((tensor == 0).sum()) for name, tensor in expected.items() if 'lora_E' in name]
    assert sum(pruned) == 3 * len(pruned)
    for name, tensor in expected.items():
        torch.testing.assert_close(got[name], tensor, atol=1e-6, rtol=1e-4)
