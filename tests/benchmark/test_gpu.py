"""The GPU benchmark on a CPU: what it counts, and that both sides train what they should."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from scripts.benchmark import gpu_profile
from scripts.benchmark.gpu import jobs_of
from scripts.benchmark.gpu_recipes import (
    RECIPES,
    document_lengths,
    flops_per_token,
    matmul_weights,
    packed_steps,
    shrunk,
)
from scripts.benchmark.gpu_sides import Length, attempt, plain_batches, random_model, swift_flags

ROOT = Path(__file__).parents[2]
TINY = shrunk(RECIPES['1.5b-lora-8k'])


def test_operations_are_counted_as_in_the_recorded_figures_of_other_stacks():
    recipe = RECIPES['1.5b-lora-8k']
    lengths = document_lengths(recipe, 26)
    assert sum(n * n for n in lengths) / sum(lengths) == pytest.approx(631.2, abs=0.05)
    # q and o 1536x1536, k and v 1536x256, three of 1536x8960, 28 layers, and the head
    weights = 28 * (2 * 1536 ** 2 + 2 * 1536 * 256 + 3 * 1536 * 8960) + 151936 * 1536
    assert matmul_weights(recipe.shape) == weights
    # 30,566 tokens/s were recorded as 24.52 % of 790 TFLOP/s
    assert 100 * flops_per_token(recipe, lengths) * 30566 / 790e12 == pytest.approx(24.52, abs=0.01)
    full = RECIPES['1.5b-full-8k']
    assert flops_per_token(full, lengths) - flops_per_token(recipe, lengths) == pytest.approx(2 * weights)


def test_a_step_is_nearly_full_and_no_document_is_in_two():
    recipe = RECIPES['1.5b-lora-8k']
    lengths = document_lengths(recipe, 26)
    steps = packed_steps(recipe, lengths, 26)
    numbers = [number for step in steps for number in step]
    assert len(set(numbers)) == len(numbers)
    tokens = [sum(lengths[number] for number in step) for step in steps]
    assert max(tokens) <= 8192
    assert sum(tokens) / 26 == pytest.approx(8140, abs=20)


def test_the_packed_line_of_the_plain_side_has_the_loss_of_its_documents_alone():
    from transformers import AttentionInterface

    from scripts.benchmark.gpu_sides import _VARLEN, varlen

    AttentionInterface.register(_VARLEN, varlen)
    lengths = document_lengths(TINY, 1)
    batch = plain_batches(TINY, lengths, 1)[0]
    packed = random_model(TINY, _VARLEN)(**batch, use_cache=False).loss
    alone, total, tokens = random_model(TINY, 'eager'), 0.0, 0
    ends = batch['cu_seq_lens_q'].tolist()
    assert len(ends) > 4
    for start, end in zip(ends[:-1], ends[1:], strict=True):
        ids = batch['input_ids'][:, start:end]
        total += alone(input_ids=ids, labels=ids).loss.item() * (end - start - 1)
        tokens += end - start - 1
    assert packed.item() == pytest.approx(total / tokens, rel=1e-5)


@pytest.mark.parametrize('side, options', [('plain', {}), ('swift', {}), ('swift', {'fused_loss_head': 'false'})])
def test_a_side_trains_and_counts(side, options):
    found = attempt(side, TINY, options, Length(1, 2))
    assert 'error' not in found, found
    assert found['steps'] == 2
    assert 200 < found['tokens_per_step'] <= 300
    assert found['first_loss'] == pytest.approx(torch.tensor(8192.).log().item(), abs=0.1)


def test_an_error_is_a_line_of_the_table():
    assert 'no_such_flag' in attempt('swift', TINY, {'no_such_flag': '1'}, Length(1, 2))['error']


def test_default_types_nothing_about_speed():
    flags = swift_flags(TINY, {'base': 'default'}, [100], 3, 'x')
    assert not {'--lora_dropout', '--gradient_checkpointing', '--per_device_train_batch_size'} & set(flags)
    tuned = swift_flags(TINY, {'dropout': '0.1'}, [100], 3, 'x')
    assert tuned[tuned.index('--lora_dropout') + 1] == '0.1'


def test_variants():
    jobs = jobs_of(['7b-lora-8k'], ['plain'], ['tuned+tokens=4096+recompute=true'], tiny=False)
    assert [(job.side, job.recipe.tokens) for job in jobs] == [('plain', 8192), ('swift', 4096)]
    assert jobs[1].options == {'recompute': 'true', 'base': 'tuned'}
    with pytest.raises(ValueError, match='got .fast'):
        jobs_of(['7b-lora-8k'], [], ['fast'], tiny=False)


def test_profile_counts_overlapping_kernels_once_and_tells_low_rank_matmuls_apart():
    def kernel(name, start, duration, operator):
        return {'ph': 'X', 'cat': 'kernel', 'name': name, 'ts': start, 'dur': duration,
                'args': {'External id': operator}}

    def operator(number, *shapes):
        return {'ph': 'X', 'cat': 'cpu_op', 'name': 'aten::mm', 'ts': 0, 'dur': 1,
                'args': {'External id': number, 'Input Dims': list(shapes)}}

    trace = {'traceEvents': [
        operator(1, [8192, 1536], [1536, 8960]), operator(2, [8192, 1536], [1536, 16]),
        operator(3, [2048, 1536], [1536, 151936]),
        kernel('nvjet_tst_128', 0, 4000, 1), kernel('nvjet_tst_128', 4000, 2000, 2),
        kernel('sm90_xmma_gemm', 6000, 3000, 3), kernel('_rms_norm_forward', 7000, 1000, 9),
        kernel('flash_fwd_splitkv', 9000, 1000, 9),
        {'ph': 'X', 'cat': 'gpu_user_annotation', 'name': 'step', 'ts': 0, 'dur': 20000, 'args': {}}]}
    found = gpu_profile.summary(trace, steps=2, step_ms=10.0)
    assert found['classes'] == {'matmul': 2.0, 'matmul of the head': 1.5, 'lora': 1.0, 'norm': 0.5, 'attention': 0.5}
    assert found['busy_ms'] == 5.0
    assert found['idle'] == 0.5
    assert found['kernels'][0] == {'name': 'nvjet_tst_128', 'class': 'matmul', 'ms': 2.0, 'launches': 0.5}
    assert 'idle 50.0%' in gpu_profile.as_text(found)


@pytest.mark.slow
def test_a_dry_run_prints_both_sides_and_their_ratio(tmp_path):
    command = [sys.executable, 'scripts/benchmark/gpu.py', '--tiny', '0.5b-full-16k', '--swift', 'tuned', '--profile',
               '--output', str(tmp_path / 'found.json')]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = json.loads((tmp_path / 'found.json').read_text())
    plain, ours = found['rows']
    assert ours['speed_over_plain'] == pytest.approx(ours['tokens_per_second'] / plain['tokens_per_second'], abs=1e-3)
    assert 'swift sft' in ours['command']
    assert ours['profile']['kernels']
    assert '0.5b-full-16k' in output
