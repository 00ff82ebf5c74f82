"""``swift sft --init_weights START``: it learns, goes on exactly, and what it saves answers like what it trained."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from swift.cli.main import main
from swift.llm.pipelines.sft import sft_main
from swift.tuners.api import Swift

ROOT = Path(__file__).parents[3]
STARTS = {'lora-ga': ['--lora_ga_batch_size', '2', '--lora_ga_max_length', '20'], 'eva': ['--eva_batch_size', '4'],
          'corda': ['--corda_method', 'kpm'], 'pissa_niter_4': [], 'olora': []}


@pytest.mark.parametrize('start', [
    pytest.param(start, marks=() if start == 'lora-ga' else pytest.mark.slow) for start in STARTS])
def test_learns_resumes_exactly_and_loads_on_the_base_as_it_was(start, tiny_model_dir, chat_file, tmp_path,
                                                                monkeypatch):
    monkeypatch.setenv('NPROC_PER_NODE', '1')
    out = tmp_path / 'out'
    assert main(['sft', '--model', str(tiny_model_dir), '--dataset', str(chat_file), '--init_weights', start,
                 *STARTS[start], '--lora_rank', '4', '--lora_rank_pattern', '{"v_proj": 2}', '--output_dir', str(out),
                 '--add_version', 'false', '--batch_size', '2', '--gradient_accumulation_steps', '1', '--max_steps',
                 '6', '--learning_rate', '1e-2', '--logging_steps', '1', '--dataset_test_ratio', '0', '--save_steps',
                 '3', '--full_determinism', 'true', '--disable_tqdm', 'true']) == 0
    rows = [json.loads(line) for line in (out / 'logging.jsonl').read_text().splitlines()]
    losses = {row['step']: row['loss'] for row in rows if 'loss' in row}
    assert losses[6] < losses[1]

    resumed = sft_main({'resume_from_checkpoint': str(out / 'checkpoint-3'), 'output_dir': str(tmp_path / 'more')})
    assert {row['step']: row['loss'] for row in resumed.log_history if 'loss' in row} == losses
    wanted, got = (load_file(folder / 'adapter_model.safetensors')
                   for folder in (out / 'checkpoint-6', resumed.last_checkpoint))
    assert wanted.keys() == got.keys() and all(torch.equal(wanted[name], got[name]) for name in wanted)

    base = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32)
    model = Swift.from_pretrained(base, out / 'checkpoint-6')
    ids = torch.arange(40)[None]
    with torch.no_grad():
        unmerged = model(ids).logits
        torch.testing.assert_close(Swift.merge_and_unload(model)(ids).logits, unmerged, atol=1e-4, rtol=0)
    result = tmp_path / 'answers.jsonl'
    assert main(['infer', '--ckpt_dir', str(out / 'checkpoint-6'), '--merge_lora', 'true', '--val_dataset',
                 str(chat_file), '--result_path', str(result), '--max_new_tokens', '4', '--temperature', '0']) == 0
    assert len(result.read_text().splitlines()) == 12


@pytest.mark.slow
def test_two_processes_start_and_step_as_one_does(tiny_model_dir, tmp_path):
    rows = tmp_path / 'rows.jsonl'
    rows.write_text(''.join(json.dumps({'query': f'<ask> {i}', 'response': '<yes> ' * (i % 3 + 1)}) + '\n'
                            for i in range(12)))
    saved = []
    for processes, batch in ((1, 4), (2, 2)):
        out = tmp_path / str(processes)
        child = subprocess.run(
            [sys.executable, '-m', 'swift.cli.main', 'sft', '--model', str(tiny_model_dir), '--dataset', str(rows),
             '--init_weights', 'lora-ga', '--lora_dropout', '0', '--new_special_tokens', '<ask>', '<yes>',
             '--output_dir', str(out), '--add_version', 'false', '--batch_size', str(batch), '--max_steps', '3',
             '--gradient_accumulation_steps', '1', '--learning_rate', '1e-2', '--dataset_test_ratio', '0',
             '--disable_tqdm', 'true', '--torch_dtype', 'float32', '--report_to', 'none'],
            env={**os.environ, 'NPROC_PER_NODE': str(processes), 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)},
            capture_output=True, text=True, timeout=500, cwd=ROOT)
        assert child.returncode == 0, child.stderr[-3000:]
        saved.append(load_file(out / 'checkpoint-3' / 'adapter_model.safetensors'))
    one, two = saved
    assert one.keys() == two.keys() and any('trainable_tokens' in name for name in one)
    for name in one:
        torch.testing.assert_close(two[name], one[name], atol=1e-4, rtol=0, msg=name)
