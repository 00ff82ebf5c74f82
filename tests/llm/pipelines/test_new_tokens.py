"""``swift sft --new_special_tokens``: one token a word, its vector trained, found again by infer, merge and resume."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from swift.cli.main import main
from swift.llm.pipelines.infer import infer_main
from swift.llm.pipelines.sft import sft_main
from swift.utils.files import read_json


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / 'rows.jsonl'
    path.write_text(''.join(json.dumps({'query': f'<ask> {i}', 'response': '<yes> <yes>'}) + '\n' for i in range(12)))
    return path


def run(model, rows, out, words, *more) -> None:
    assert main(['sft', '--model', str(model), '--dataset', str(rows), '--new_special_tokens', *words, '--output_dir',
                 str(out), '--add_version', 'false', '--batch_size', '2', '--gradient_accumulation_steps', '1',
                 '--max_steps', '6', '--save_steps', '3', '--learning_rate', '3e-2', '--logging_steps', '1',
                 '--dataset_test_ratio', '0', '--full_determinism', 'true', '--disable_tqdm', 'true', *more]) == 0


@pytest.mark.parametrize('tuner', ['lora', pytest.param('full', marks=pytest.mark.slow)])
def test_trained_resumed_and_answered_with(tuner, tiny_model_dir, rows, tmp_path, monkeypatch):
    monkeypatch.setenv('NPROC_PER_NODE', '1')
    words, out = tmp_path / 'words.txt', tmp_path / 'out'
    words.write_text('<ask>\n<yes>\n')
    run(tiny_model_dir, rows, out, [str(words)], '--sft_type', tuner)
    words.unlink()  # the checkpoint knows the words
    checkpoint = out / 'checkpoint-6'
    assert read_json(checkpoint / 'args.json')['effective']['new_special_tokens'] == ['<ask>', '<yes>']
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    yes = tokenizer.convert_tokens_to_ids('<yes>')
    assert tokenizer('a<yes>')['input_ids'][-1] == yes == len(tokenizer) - 1

    resumed = sft_main({'resume_from_checkpoint': str(out / 'checkpoint-3'), 'output_dir': str(tmp_path / 'more')})
    wanted, got = (load_file(next(folder.glob('*model.safetensors')))
                   for folder in (checkpoint, resumed.last_checkpoint))
    assert wanted.keys() == got.keys() and all(torch.equal(wanted[name], got[name]) for name in wanted)
    if tuner == 'lora':
        assert sum('trainable_tokens' in name for name in wanted) == 1, 'the tiny model is tied'

    options = {'ckpt_dir': str(checkpoint), 'val_dataset': [str(rows)], 'max_new_tokens': 6, 'temperature': 0.0}
    answers = [record['response'] for record in infer_main({**options, 'result_path': str(tmp_path / 'a.jsonl')})]
    assert any('<yes>' in answer for answer in answers)
    if tuner == 'full':
        assert len(AutoModelForCausalLM.from_pretrained(checkpoint).get_input_embeddings().weight) >= len(tokenizer)
        return
    merged = [record['response'] for record in infer_main({**options, 'merge_lora': True,
                                                           'result_path': str(tmp_path / 'b.jsonl')})]
    assert merged == answers
    again = AutoModelForCausalLM.from_pretrained(out / 'checkpoint-6-merged')
    assert again.get_input_embeddings().weight is again.get_output_embeddings().weight
    assert AutoTokenizer.from_pretrained(out / 'checkpoint-6-merged').convert_tokens_to_ids('<yes>') == yes
