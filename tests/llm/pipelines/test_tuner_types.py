"""``swift sft --sft_type METHOD``, then ``swift infer`` on what it wrote: every method from the command line."""

from __future__ import annotations

import json

import pytest

from swift.cli.main import main
from swift.llm.args.tuner_types import METHODS
from swift.utils.files import read_json, verify_manifest

# The model is 32 wide, its key heads 16: what has to divide that.
SIZES = {'oft': ['--oft_block_size', '8'], 'vblora': ['--vblora_vector_length', '16'],
         'c3a': ['--c3a_block_size', '16'],
         'road': ['--road_group_size', '16'], 'gralora': ['--gralora_rank', '8'], 'shira': ['--shira_rank', '2'],
         'fourierft': ['--fourier_n_frequency', '50'], 'waveft': ['--waveft_n_frequency', '50'],
         'ia3': ['--ia3_feedforward_modules', 'down_proj'], 'adalora': ['--adalora_deltaT', '2'],
         'part': ['--target_modules', 'lm_head', 'mlp'],
         'llamapro': ['--llamapro_num_new_blocks', '1'],
         'psoft': ['--psoft_rank', '8'], 'peanut': ['--peanut_rank', '8'],
         'prefix_tuning': ['--prefix_tuning_hidden_size', '16']}


@pytest.mark.parametrize('method', [
    pytest.param(name, marks=() if name == 'adalora' else pytest.mark.slow) for name in METHODS])
def test_from_the_command_line_to_answers_of_the_merged_model(method, tiny_model_dir, chat_file, tmp_path, monkeypatch):
    monkeypatch.setenv('NPROC_PER_NODE', '1')
    out = tmp_path / 'out'
    assert main(['sft', '--model', str(tiny_model_dir), '--dataset', str(chat_file), '--sft_type', method,
                 *SIZES.get(method, []), '--output_dir', str(out), '--add_version', 'false', '--batch_size', '2',
                 '--gradient_accumulation_steps', '1', '--num_train_epochs', '3', '--learning_rate', '1e-2',
                 '--logging_steps', '1', '--dataset_test_ratio', '0.2',
                 *(['--gradient_checkpointing', 'true'] if METHODS[method].recomputes else []),
                 '--disable_tqdm', 'true']) == 0
    rows = [json.loads(line) for line in (out / 'logging.jsonl').read_text().splitlines()]
    losses = [row['eval_loss'] for row in rows if 'eval_loss' in row]
    train = [row['loss'] for row in rows if 'loss' in row]
    assert sum(train[-5:]) < sum(train[:5]) and losses
    (checkpoint,) = out.glob('checkpoint-15')
    assert verify_manifest(checkpoint) is None
    assert read_json(checkpoint / 'args.json')['args']['tuner_type'] == method

    answers = []
    for merges in ('false', 'true') if METHODS[method].merges else ('false',):
        result = tmp_path / f'{merges}.jsonl'
        assert main(['infer', '--ckpt_dir', str(checkpoint), '--merge_lora', merges, '--val_dataset', str(chat_file),
                     '--result_path', str(result), '--max_new_tokens', '4', '--temperature', '0']) == 0
        answers.append([json.loads(line)['response'] for line in result.read_text().splitlines()])
    assert answers[0] == answers[-1] and len(answers[0]) == 12
