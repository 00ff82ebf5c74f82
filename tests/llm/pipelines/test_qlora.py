"""``swift sft --quant_bits``: training on weights of few bits, resuming, answering, from the command line."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from swift.llm.args.groups import ModelArgs, QuantArgs
from swift.llm.model.load import load_model
from swift.llm.pipelines.infer import infer_main
from swift.llm.pipelines.sft import sft_main
from swift.tuners.api import Swift
from swift.utils.errors import UsageError
from swift.utils.extras import available
from swift.utils.files import read_json

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(not available('bitsandbytes'), reason='pip install "ms-swift[quant]"')


def options(model, rows, out, **more):
    return {'model': str(model), 'dataset': [str(rows)], 'output_dir': str(out), 'batch_size': 2,
            'gradient_accumulation_steps': 1, 'max_steps': 6, 'learning_rate': 0.01, 'split_dataset_ratio': 0.2,
            'eval_steps': 2, 'save_steps': 3, 'save_total_limit': -1, 'add_version': False, 'disable_tqdm': True,
            'report_to': ['none'], 'logging_steps': 1, 'template': 'smollm2', 'quant_bits': 4,
            'target_modules': ['ALL'], **more}


def losses(run_dir) -> list[float]:
    rows = [json.loads(line) for line in (run_dir / 'logging.jsonl').read_text().splitlines()]
    return [row['loss'] for row in rows if 'loss' in row]


def test_a_resumed_run_ends_bit_equal_and_answers_with_the_same_quantised_base(tiny_model_dir, chat_file, tmp_path,
                                                                               caplog, monkeypatch):
    whole = sft_main(options(tiny_model_dir, chat_file, tmp_path / 'whole', gradient_checkpointing=True))
    assert losses(whole.run_dir)[-1] < losses(whole.run_dir)[0]
    resumed = sft_main({'resume_from_checkpoint': str(whole.run_dir / 'checkpoint-3'), 'add_version': False,
                        'output_dir': str(tmp_path / 'resumed')})
    one, two = (load_file(run / 'checkpoint-6' / 'adapter_model.safetensors')
                for run in (whole.run_dir, resumed.run_dir))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    assert len(one) == 2 * 2 * 7 and all(tensor.is_floating_point() for tensor in one.values())
    saved = read_json(whole.last_checkpoint / 'args.json')
    assert saved['args']['quant_bits'] == 4 and 'quantization_config' not in read_json(
        whole.last_checkpoint / 'adapter_config.json')
    flags = {'ckpt_dir': str(whole.last_checkpoint), 'val_dataset': [f'{chat_file}#2'], 'save_result': False,
             'temperature': 0, 'max_new_tokens': 6, 'verbose': False}
    monkeypatch.setattr(logging.getLogger('swift'), 'propagate', True)
    caplog.set_level(logging.INFO)
    for more, quantised in (({}, 1), ({'quant_bits': 0}, 0), ({'merge_lora': True}, 1)):  # merging: to compare with
        caplog.clear()
        assert len(infer_main(flags | more)) == 2
        lines = {record.getMessage() for record in caplog.records}
        assert sum('linear layers have 4-bit weights' in line for line in lines) == quantised, more
    assert 'on the 4-bit base it was trained on: over' in caplog.text


@pytest.mark.slow
def test_a_loftq_run_goes_on_bit_equal_answers_as_trained_and_is_not_merged(tiny_model_dir, chat_file, tmp_path):
    whole = sft_main(options(tiny_model_dir, chat_file, tmp_path / 'whole', init_weights='loftq'))
    plain = sft_main(options(tiny_model_dir, chat_file, tmp_path / 'plain', max_steps=1))
    assert losses(whole.run_dir)[-1] < losses(whole.run_dir)[0] != losses(plain.run_dir)[0]
    resumed = sft_main({'resume_from_checkpoint': str(whole.run_dir / 'checkpoint-3'), 'add_version': False,
                        'output_dir': str(tmp_path / 'resumed')})
    one, two = (load_file(run / 'checkpoint-6' / 'adapter_model.safetensors')
                for run in (whole.run_dir, resumed.run_dir))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    trained, answering = (Swift.from_pretrained(load_model(
        ModelArgs(model=str(tiny_model_dir)), training=training, quant=QuantArgs(quant_bits=4)).model, folder).eval()
        for training, folder in ((True, whole.last_checkpoint), (False, resumed.last_checkpoint)))
    ids = torch.arange(100, 124).view(2, 12)
    with torch.no_grad():
        assert torch.equal(trained(ids).logits, answering(ids).logits)
    flags = {'ckpt_dir': str(whole.last_checkpoint), 'val_dataset': [f'{chat_file}#2'], 'save_result': False,
             'temperature': 0, 'max_new_tokens': 6, 'verbose': False}
    assert len(infer_main(flags)) == 2
    with pytest.raises(UsageError, match='started by LoftQ'):
        infer_main({**flags, 'merge_lora': True})


@pytest.mark.slow
@pytest.mark.parametrize('more', [
    pytest.param({}, id='ddp'),
    pytest.param({'deepspeed': 'zero2'}, id='zero2', marks=pytest.mark.skipif(
        not available('deepspeed'), reason='pip install "ms-swift[deepspeed]"'))])
@pytest.mark.parametrize('bits', [4, 8])
def test_two_processes_take_the_step_of_one(tiny_model_dir, chat_file, tmp_path, more, bits):
    """SGD with learning rate 1, so that what a step adds is the gradient."""
    flat = options(tiny_model_dir, chat_file, tmp_path / 'one', quant_bits=bits, max_steps=1, optim='sgd',
                   learning_rate=1.0, lora_dropout=0.0, weight_decay=0, max_grad_norm=0, warmup_ratio=0.0,
                   lr_scheduler_type='constant', split_dataset_ratio=0, save_only_model=True, batch_size=4,
                   torch_dtype='float32', save_steps=1)
    one = sft_main(flat)
    flat |= {'output_dir': str(tmp_path / 'two'), 'batch_size': 2, **more}
    argv = [word for name, value in flat.items()
            for word in (f'--{name}', *(map(str, value) if isinstance(value, list) else [str(value)]))]
    done = subprocess.run([sys.executable, '-m', 'swift.cli.main', 'sft', *argv], cwd=ROOT, capture_output=True,
                          text=True, timeout=400, env={**os.environ, 'NPROC_PER_NODE': '2', 'OMP_NUM_THREADS': '1',
                                                       'PYTHONPATH': str(ROOT)})
    assert done.returncode == 0, done.stderr[-4000:]
    expected, got = (load_file(folder / 'checkpoint-1' / 'adapter_model.safetensors')
                     for folder in (one.run_dir, tmp_path / 'two'))
    moved = {name: tensor for name, tensor in expected.items() if 'lora_B' in name}
    assert got.keys() == expected.keys() and all(tensor.abs().max() > 0 for tensor in moved.values())
    # activations are rounded to 8 bits by row, in evaluation only: on a CPU training computes in float32
    for name, tensor in moved.items():
        torch.testing.assert_close(got[name] / tensor.abs().max(), tensor / tensor.abs().max(), atol=5e-5, rtol=0)
