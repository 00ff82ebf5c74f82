"""Weights of few bits under an adapter: the numbers are those of the same adapter on the weights they stand for."""

from __future__ import annotations

import json
import logging

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import GptOssConfig, GptOssForCausalLM, LlamaForCausalLM

from swift.llm.args.groups import MethodArgs, ModelArgs, QuantArgs, TunerArgs
from swift.llm.args.tuner_types import METHODS, NOT_ON_BNB, ON_HQQ
from swift.llm.model.adapt import adapt
from swift.llm.model.load import load_model
from swift.tuners.api import Swift
from swift.utils.errors import MissingExtraError, UsageError
from swift.utils.extras import available

needs_bnb = pytest.mark.skipif(not available('bitsandbytes'), reason='pip install "ms-swift[quant]"')
needs_hqq = pytest.mark.skipif(not available('hqq'), reason='pip install hqq')
KINDS = [pytest.param((name, bits), id=f'{name}{bits}', marks=needs_bnb if name == 'bnb' else needs_hqq)
         for name, bits in (('bnb', 4), ('bnb', 8), ('hqq', 4))]
IDS = torch.arange(100, 124).view(2, 12)
# The model is 32 wide, its key heads 16: what has to divide that.
SIZES = {'oft': {'oft_block_size': 8}, 'vblora': {'vblora_vector_length': 16}, 'c3a': {'c3a_block_size': 16},
         'road': {'road_group_size': 16}, 'gralora': {'gralora_rank': 8}, 'shira': {'shira_rank': 2},
         'fourierft': {'fourier_n_frequency': 50}, 'waveft': {'waveft_n_frequency': 50},
         'ia3': {'ia3_feedforward_modules': ['down_proj']}}


def quantised(folder, kind, **more):
    method, bits = kind
    quant = QuantArgs(quant_method=method, quant_bits=bits, **more)
    return load_model(ModelArgs(model=str(folder)), training=True, quant=quant).model


def dequantised(folder, model) -> LlamaForCausalLM:
    """The plain model with the weights that the quantised ones stand for."""
    plain = load_model(ModelArgs(model=str(folder)), training=True).model
    for name, module in model.named_modules():
        kind = type(module).__name__
        if kind == 'Linear4bit':
            from bitsandbytes.functional import dequantize_4bit
            weight = dequantize_4bit(module.weight.data, module.weight.quant_state)
        elif kind == 'Linear8bitLt':
            weight = module.weight.CB.float() * module.weight.SCB[:, None] / 127
        elif kind == 'HQQLinear':
            weight = module.dequantize()
        else:
            continue
        plain.get_submodule(name).weight = nn.Parameter(weight.clone())
    return plain


def step(model, tuner: TunerArgs, **more):
    """(logits, gradients) of an adapter that is away from its start, after the model was used without a gradient."""
    torch.manual_seed(1)
    adapted = adapt(model, tuner, method=MethodArgs(**SIZES.get(tuner.tuner_type, {})), **more)
    torch.manual_seed(2)
    trained = {name: p for name, p in sorted(adapted.named_parameters()) if p.requires_grad}
    for p in trained.values():
        p.data += 0.05 * torch.randn_like(p)
    with torch.no_grad():
        adapted.eval()(IDS)
    adapted.train()
    output = adapted(input_ids=IDS, labels=IDS)
    output.loss.backward()
    return output.logits.detach(), {name: p.grad for name, p in trained.items()}


def assert_same_step(folder, kind, tuner: TunerArgs) -> None:
    model = quantised(folder, kind)
    plain = dequantised(folder, model)
    with torch.no_grad():
        start = plain(IDS).logits
    # bitsandbytes multiplies in the same order with 4 bits; with 8 it scales the sums
    tolerance = {'atol': 2e-5, 'rtol': 1e-3} if kind == ('bnb', 8) else {'atol': 0, 'rtol': 0}
    logits, gradients = step(model, tuner)
    wanted, wanted_gradients = step(plain, tuner)
    assert not torch.equal(wanted, start)
    torch.testing.assert_close(logits, wanted, **tolerance)
    assert gradients.keys() == wanted_gradients.keys()
    for name, gradient in gradients.items():
        scale = wanted_gradients[name].abs().max().clamp(min=1e-12)
        torch.testing.assert_close(gradient / scale, wanted_gradients[name] / scale, **tolerance)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('switches', [
    {}, pytest.param({'use_rslora': True, 'lora_bias': 'all'}, marks=pytest.mark.slow),
    {'use_dora': True}, pytest.param({'init_weights': 'gaussian'}, marks=pytest.mark.slow),
    pytest.param({'modules_to_save': ['LN', 'EMBEDDING']}, marks=pytest.mark.slow)],
    ids=['plain', 'rslora', 'dora', 'gaussian', 'modules_to_save'])
def test_lora_has_the_gradients_of_the_dequantised_base(tiny_model_dir, kind, switches):
    tuner = TunerArgs(target_modules=['ALL'], lora_dropout=0.0, **switches)
    if tuner.use_dora and kind == ('bnb', 8):
        with pytest.raises(UsageError, match='--use_dora true on 8-bit weights needs a GPU'):
            step(quantised(tiny_model_dir, kind), tuner)
    else:
        assert_same_step(tiny_model_dir, kind, tuner)


@pytest.mark.slow
@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('method', METHODS)
def test_a_method_has_the_gradients_of_the_dequantised_base_or_is_refused(tiny_model_dir, kind, method):
    tuner = TunerArgs(tuner_type=method, lora_dropout=0.0)
    if method in NOT_ON_BNB if kind[0] == 'bnb' else method not in ON_HQQ:
        with pytest.raises((UsageError, AttributeError, RuntimeError)):  # hqq: a rule about flags comes first
            step(quantised(tiny_model_dir, kind), tuner)
    else:
        assert_same_step(tiny_model_dir, kind, tuner)


@pytest.mark.parametrize('kind', KINDS)
def test_saved_and_loaded_is_bit_equal(tiny_model_dir, kind, tmp_path):
    model = adapt(quantised(tiny_model_dir, kind), TunerArgs(init_weights='false')).eval()
    Swift.save_pretrained(model, tmp_path)
    again = Swift.from_pretrained(quantised(tiny_model_dir, kind), tmp_path).eval()
    with torch.no_grad():
        assert torch.equal(again(IDS).logits, model(IDS).logits)


@needs_bnb
def test_settings_of_bitsandbytes_arrive(tiny_model_dir):
    model = quantised(tiny_model_dir, ('bnb', 4), bnb_4bit_quant_type='fp4', bnb_4bit_use_double_quant=False,
                      bnb_4bit_compute_dtype='bfloat16', bnb_4bit_quant_storage='bfloat16')
    layer = model.model.layers[0].mlp.up_proj
    state = layer.weight.quant_state
    assert (state.quant_type, state.nested, layer.compute_dtype) == ('fp4', False, torch.bfloat16)
    assert layer.weight.dtype == torch.bfloat16 and type(model.lm_head) is nn.Linear
    default = quantised(tiny_model_dir, ('bnb', 4)).model.layers[0].mlp.up_proj
    assert default.weight.quant_state.nested and default.weight.quant_state.quant_type == 'nf4'
    assert (default.compute_dtype, default.weight.dtype) == (torch.float32, torch.uint8)


@needs_bnb
def test_what_is_quantised_is_said(tiny_model_dir, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger('swift'), 'propagate', True)
    caplog.set_level(logging.INFO)
    quantised(tiny_model_dir, ('bnb', 4))
    assert '14 linear layers have 4-bit weights (bnb): 1 % of all weights' in caplog.text
    assert 'Only 1 % of the weights are in linear layers' in caplog.text


@needs_bnb
def test_a_quantised_module_is_not_trained_whole(tiny_model_dir):
    with pytest.raises(UsageError, match='--modules_to_save: model.layers.0.mlp.up_proj is quantised'):
        adapt(quantised(tiny_model_dir, ('bnb', 4)), TunerArgs(target_modules=['q_proj'], modules_to_save=['up_proj']))


# ------------------------------------------------------------------------------------------ checkpoints that have it

@needs_bnb
def test_a_checkpoint_of_bitsandbytes_is_a_base_as_it_is(tiny_model_dir, tmp_path, tokenizer):
    made = quantised(tiny_model_dir, ('bnb', 4))
    made.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = load_model(ModelArgs(model=str(tmp_path)), training=True).model
    logits, gradients = step(model, TunerArgs(lora_dropout=0.0))
    wanted, others = step(made, TunerArgs(lora_dropout=0.0))
    assert torch.equal(logits, wanted) and all(torch.equal(gradients[name], others[name]) for name in others)
    with pytest.raises(UsageError, match=r'--quant_bits 4: .* is quantised already \(bitsandbytes\). Leave'):
        quantised(tmp_path, ('bnb', 4))
    with pytest.raises(UsageError, match='--tuner_type full: .* is quantised .* can not be trained. Use --tuner_type'):
        load_model(ModelArgs(model=str(tmp_path)), training=True, full=True)
    with pytest.raises(UsageError, match='--tuner_type hra does not work on weights of bitsandbytes'):
        adapt(load_model(ModelArgs(model=str(tmp_path)), training=True).model, TunerArgs(tuner_type='hra'))


@pytest.mark.parametrize('method, training, error, said', [
    ('gptq', True, MissingExtraError, "quantised by GPTQ, and the package 'gptqmodel' is not installed"),
    ('awq', False, MissingExtraError, "quantised by AWQ, and the package 'gptqmodel' is not installed"),
    ('fp8', True, UsageError, 'quantised by FP8, which can not be trained on here. Name the model with its 16-bit'),
    ('compressed-tensors', True, UsageError, 'quantised by compressed-tensors, which can not be trained on'),
    ('compressed-tensors', False, MissingExtraError, "the package 'compressed_tensors' is not installed"),
    ('hqq', False, UsageError, 'quantised by HQQ, which can not be loaded here')])
def test_other_quantised_checkpoints_get_one_line(broken, edit_config, method, training, error, said):
    edit_config(quantization_config={'quant_method': method, 'bits': 4, 'group_size': 128})
    with pytest.raises(error, match=said):
        load_model(ModelArgs(model=str(broken)), training=training)


def test_a_quantization_config_that_says_nothing(broken, edit_config):
    edit_config(quantization_config={'bits': 4})
    with pytest.raises(UsageError, match='quantization_config without a quant_method'):
        load_model(ModelArgs(model=str(broken)), training=False)


def test_quantised_weights_are_not_sharded(tiny_model_dir):
    with pytest.raises(UsageError, match='Use --deepspeed zero2'):
        load_model(ModelArgs(model=str(tiny_model_dir)), training=True, sharded=True, quant=QuantArgs(quant_bits=4))


@pytest.mark.slow
def test_mxfp4_weights_are_16_bit_ones_under_an_adapter(tmp_path, tokenizer):
    """Codes 2 and 10 of E2M1 are 1 and -1, and a scale of 2 ** (120 - 127) is the size of both."""
    folder = mxfp4_checkpoint(tmp_path, tokenizer)
    model = load_model(ModelArgs(model=str(folder), torch_dtype='bfloat16'), training=True).model
    experts = model.model.layers[0].mlp.experts
    assert experts.down_proj.dtype == torch.bfloat16
    assert set(experts.down_proj.unique().tolist()) == {2.0**-7, -2.0**-7}
    adapted = adapt(model, TunerArgs())
    adapted(input_ids=IDS, labels=IDS).loss.backward()
    assert all(p.grad is not None for p in adapted.parameters() if p.requires_grad)
    with pytest.raises(UsageError, match='--tuner_type full: .* is quantised .MXFP4., and such weights can not'):
        load_model(ModelArgs(model=str(folder)), training=True, full=True)


def mxfp4_checkpoint(folder, tokenizer):
    config = GptOssConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, num_local_experts=4, num_experts_per_tok=2, max_position_embeddings=128)
    GptOssForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    weights = load_file(folder / 'model.safetensors')
    for name in [name for name in weights if name.endswith(('experts.gate_up_proj', 'experts.down_proj'))]:
        experts, inputs, outputs = weights.pop(name).shape
        codes = torch.randint(0, 2, (experts, outputs, inputs // 32, 16, 2)) * 8 + 2
        weights[f'{name}_blocks'] = (codes[..., 0] + 16 * codes[..., 1]).to(torch.uint8)
        weights[f'{name}_scales'] = torch.full((experts, outputs, inputs // 32), 120, dtype=torch.uint8)
    save_file(weights, folder / 'model.safetensors', metadata={'format': 'pt'})
    values = json.loads((folder / 'config.json').read_text())
    values['quantization_config'] = {'quant_method': 'mxfp4', 'modules_to_not_convert': [
        'model.layers.*.self_attn', 'model.layers.*.mlp.router', 'model.embed_tokens', 'lm_head']}
    (folder / 'config.json').write_text(json.dumps(values))
    return folder
