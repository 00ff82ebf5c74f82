"""A merged model is proved before it is written."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from swift.llm import checkpoint
from swift.llm.args.commands import SftArguments
from swift.llm.args.groups import ModelArgs, QuantArgs, TemplateArgs
from swift.llm.export import merge
from swift.llm.export.merge import merge_adapter, merged_folder
from swift.tuners.api import Swift
from swift.utils.errors import SwiftError, UsageError
from swift.utils.extras import available
from swift.utils.files import read_json

needs_bnb = pytest.mark.skipif(not available('bitsandbytes'), reason='pip install "ms-swift[quant]"')
TEMPLATE = TemplateArgs(template='smollm2')  # by name: trying which one fits takes seconds


@pytest.fixture(scope='module')
def made(tmp_path_factory, tiny_model_dir) -> Path:
    folder = tmp_path_factory.mktemp('made') / 'checkpoint-7'
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
    adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=['q_proj', 'down_proj'],
                                               init_lora_weights=False))
    for name, parameter in adapted.named_parameters():
        if 'lora_B' in name:
            parameter.data *= 10
    adapted.save_pretrained(folder)
    return folder


@pytest.fixture
def adapter(made, tiny_model_dir, chat_file, tmp_path) -> Path:
    """A folder of its own, as after QLoRA on ``chat_file``."""
    folder = tmp_path / 'run' / 'checkpoint-7'
    shutil.copytree(made, folder)
    args = SftArguments.of(model=str(tiny_model_dir), dataset=[str(chat_file)], quant_bits=4)
    checkpoint.save_args(folder, args, {'model': str(tiny_model_dir), 'dataset': [f'{chat_file}#12']})
    return folder


@pytest.fixture
def lines(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger('swift'), 'propagate', True)
    caplog.set_level(logging.INFO)
    return caplog


def merged_weights(base: Path, adapter: Path) -> dict[str, torch.Tensor]:
    """W + s B A in float64."""
    weights, parts = load_file(base / 'model.safetensors'), load_file(adapter / 'adapter_model.safetensors')
    for name in weights:
        a = parts.get(f'base_model.model.{name.removesuffix(".weight")}.lora_A.weight')
        if a is not None:
            b = parts[f'base_model.model.{name.removesuffix(".weight")}.lora_B.weight']
            weights[name] = weights[name].double() + 8 / 4 * b.double() @ a.double()
    return weights


def test_what_is_written_is_the_sum_and_its_difference_is_told(adapter, tiny_model_dir, lines):
    target = merge_adapter(adapter, ModelArgs(model=str(tiny_model_dir)), TEMPLATE)
    written, wanted = load_file(target / 'model.safetensors'), merged_weights(tiny_model_dir, adapter)
    assert written.keys() == wanted.keys()
    for name, weight in wanted.items():
        torch.testing.assert_close(written[name].double(), weight.double(), atol=1e-5, rtol=0)
    assert 'The merged model against the adapter on the base model: over' in lines.text
    assert 'likeliest token the same for 100.0 %' in lines.text
    origin = read_json(target / merge.ORIGIN_FILE)
    assert origin['divergence'] < 1e-9 and origin['largest'] < 1e-4 and origin['positions'] == 256


def test_rows_of_the_run_are_among_the_texts(adapter):
    rows = merge._own_rows(adapter)
    assert len(rows) == 4 and all(row['messages'][0]['content'].startswith('What is ') for row in rows)
    (adapter / 'args.json').unlink()
    assert merge._own_rows(adapter) == []


@pytest.mark.parametrize('dtype', ['bfloat16', pytest.param('float16', marks=pytest.mark.slow)])
def test_rounding_of_16_bit_weights_passes(adapter, tiny_model_dir, dtype):
    target = merge_adapter(adapter, ModelArgs(model=str(tiny_model_dir), torch_dtype=dtype), TEMPLATE)
    assert {str(t.dtype) for t in load_file(target / 'model.safetensors').values()} == {f'torch.{dtype}'}
    assert 0 < read_json(target / merge.ORIGIN_FILE)['divergence'] < merge.TOLERANCE[dtype]


@pytest.mark.parametrize('dtype', [pytest.param('float32', marks=pytest.mark.slow), 'bfloat16'])
def test_a_wrong_sum_is_not_written(adapter, tiny_model_dir, monkeypatch, dtype):
    whole = Swift.merge_and_unload

    def wrong(model, adapter_names=None):
        with torch.no_grad():
            model.base_model.model.model.layers[1].mlp.down_proj.lora_B['default'].weight.zero_()
        return whole(model, adapter_names)

    monkeypatch.setattr(merge.Swift, 'merge_and_unload', staticmethod(wrong))
    model = ModelArgs(model=str(tiny_model_dir), torch_dtype=dtype)
    with pytest.raises(SwiftError, match='does not answer like the adapter .*above --merge_tolerance .*nothing was'):
        merge_adapter(adapter, model, TEMPLATE)
    assert [path.name for path in adapter.parent.iterdir()] == ['checkpoint-7']
    assert merge_adapter(adapter, model, TEMPLATE, tolerance=100.0) == merged_folder(adapter)


@needs_bnb
def test_qlora_merges_into_the_whole_weights_and_tells_both_differences(adapter, tiny_model_dir, lines):
    target = merge_adapter(adapter, ModelArgs(model=str(tiny_model_dir)), TEMPLATE, quant=QuantArgs(quant_bits=4))
    wanted = merged_weights(tiny_model_dir, adapter)
    for name, weight in load_file(target / 'model.safetensors').items():
        torch.testing.assert_close(weight.double(), wanted[name].double(), atol=1e-5, rtol=0)
    assert 'quantization_config' not in read_json(target / 'config.json')
    assert 'quant_bits' not in read_json(target / 'args.json')['args']
    told = [record.getMessage() for record in lines.records if 'The merged model against' in record.getMessage()]
    assert len(told) == 2 and 'on the base model' in told[0] and 'on the 4-bit base it was trained on' in told[1]


def test_without_the_quantiser_only_the_comparison_with_its_base_is_left_out(adapter, tiny_model_dir, lines,
                                                                             monkeypatch):
    monkeypatch.setattr('swift.llm.model.quantize.require', _missing)
    target = merge_adapter(adapter, ModelArgs(model=str(tiny_model_dir)), TEMPLATE, quant=QuantArgs(quant_bits=4))
    assert target.is_dir()
    assert 'Not compared with the 4-bit base that the adapter was trained on: no bitsandbytes' in lines.text


def _missing(*_, **__):
    raise UsageError('no bitsandbytes')


def test_a_quantised_base_takes_no_sum(adapter, tiny_model_dir, tmp_path):
    base = Path(shutil.copytree(tiny_model_dir, tmp_path / 'gptq'))
    config = json.loads((base / 'config.json').read_text())
    (base / 'config.json').write_text(json.dumps({**config, 'quantization_config': {'quant_method': 'gptq'}}))
    with pytest.raises(UsageError, match=r'has quantised weights \(gptq\), and an adapter is merged into those of 16'):
        merge_adapter(adapter, ModelArgs(model=str(base)), TEMPLATE)
