"""``swift sft --quant_bits``: training on weights of few bits, resuming, answering, from the command line."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from swift.llm.pipelines.infer import infer_main
from swift.llm.pipelines.sft import sft_main
from swift.utils.extras import available
from swift.utils.files import read_json

pytestmark = pytest.mark.skipif(not available('bitsandbytes'), reason='pip install "ms-swift[quant]"')


def options(model, rows, out, **more):
    return {'model': str(model), 'dataset': [str(rows)], 'output_dir': str(out), 'batch_size': 2,
            'gradient_accumulation_steps': 1, 'max_steps': 6, 'learning_rate': 0.01, 'split_dataset_ratio': 0.2,
            'eval_steps': 2, 'save_steps': 3, 'save_total_limit': -1, 'add_version': False, 'disable_tqdm': True,
            'report_to': ['none'], 'logging_steps': 1, 'quant_bits': 4, 'target_modules': ['ALL'], **more}


def losses(run_dir) -> list[float]:
    rows = [json.loads(line) for line in (run_dir / 'logging.jsonl').read_text().splitlines()]
    return [row['loss'] for row in rows if 'loss' in row]


def test_a_resumed_run_ends_bit_equal_and_answers_with_the_same_quantised_base(tiny_model_dir, chat_file, tmp_path):
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
    assert len(infer_main(flags)) == 2
