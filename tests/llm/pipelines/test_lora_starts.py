"""``swift sft --init_weights START``: it learns, goes on exactly, and what it saves answers like what it trained."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from swift.cli.main import main
from swift.llm.pipelines.sft import sft_main
from swift.tuners.api import Swift

STARTS = {'lora-ga': ['--lora_ga_batch_size', '2', '--lora_ga_max_length', '20'], 'eva': ['--eva_batch_size', '4'],
          'corda': ['--corda_method', 'kpm'], 'pissa_niter_4': [], 'olora': []}


@pytest.mark.parametrize('start', [
    pytest.param(start, marks=pytest.mark.slow) for start in STARTS])
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
