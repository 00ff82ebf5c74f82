from __future__ import annotations

import json
import warnings

import pytest
import torch
from peft import IA3Config, PeftModel
from torch import nn

from swift.tuners.api import LoraConfig, Swift, cast_adapter
from swift.utils.errors import NonFiniteError, SwiftError, UsageError

IDS = torch.arange(12).view(2, 6)


def lora(**options) -> LoraConfig:
    return LoraConfig(**{'task_type': 'CAUSAL_LM', 'r': 4, 'lora_alpha': 8, 'lora_dropout': 0.0,
                         'target_modules': ['q_proj', 'v_proj', 'up_proj'], **options})


def train(model, steps: int = 3):
    """Some optimizer steps, so that the adapter does something."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.05)
    for _ in range(steps):
        model(input_ids=IDS, labels=IDS).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


@torch.no_grad()
def logits(model) -> torch.Tensor:
    return model(IDS).logits


def test_only_the_adapter_trains_and_the_start_is_the_base_model(llama):
    base = llama()
    before = logits(base)
    model = Swift.prepare_model(base, lora())
    assert isinstance(model, PeftModel) and torch.equal(logits(model), before)
    assert all('lora_' in name for name, p in model.named_parameters() if p.requires_grad)
    assert not torch.allclose(logits(train(model)), before)
    with model.disable_adapter():
        assert torch.equal(logits(model), before)


@pytest.mark.parametrize('options', [
    {}, {'use_dora': True}, {'use_rslora': True}, {'bias': 'all'}, {'init_lora_weights': 'gaussian'},
    {'init_lora_weights': 'pissa'}, {'init_lora_weights': 'olora'}, {'init_lora_weights': 'mica'},
    {'init_lora_weights': 'orthogonal'}, {'modules_to_save': ['norm', 'lm_head']},
    {'target_modules': ['embed_tokens', 'q_proj']}], ids=str)
@pytest.mark.parametrize('tied', [False, True], ids=['untied', 'tied'])
def test_saved_loads_in_plain_peft_and_merged_equals_unmerged(llama, tmp_path, options, tied):
    model = train(Swift.prepare_model(llama(tied), lora(**options)))
    trained = logits(model)
    Swift.save_pretrained(model, tmp_path / 'adapter')
    assert not list((tmp_path / 'adapter').glob('*.bin'))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        plain = PeftModel.from_pretrained(llama(tied), str(tmp_path / 'adapter')).eval()
        ours = Swift.from_pretrained(llama(tied), tmp_path / 'adapter').eval()
    assert torch.allclose(logits(plain), trained, atol=1e-5)
    assert torch.allclose(logits(ours), trained, atol=1e-5)
    assert not any(p.requires_grad for p in ours.parameters())

    merged = Swift.merge_and_unload(ours)
    assert type(merged) is type(llama())
    assert torch.allclose(logits(merged), trained, atol=1e-4)
    merged.save_pretrained(tmp_path / 'merged')
    again = type(merged).from_pretrained(tmp_path / 'merged').eval()
    assert torch.allclose(logits(again), trained, atol=1e-4)


def test_loaded_to_train_on(llama, tmp_path):
    model = train(Swift.prepare_model(llama(), lora()))
    Swift.save_pretrained(model, tmp_path)
    again = Swift.from_pretrained(llama(), tmp_path, is_trainable=True)
    assert {name for name, p in again.named_parameters() if p.requires_grad} == {
        name for name, p in model.named_parameters() if p.requires_grad}


def test_a_bf16_merge_is_rounded_once(llama):
    model = train(Swift.prepare_model(llama().to(torch.bfloat16), lora()))
    layer = model.base_model.model.model.layers[0].self_attn.q_proj
    delta = 2.0 * (layer.lora_B['default'].weight.float() @ layer.lora_A['default'].weight.float())
    wanted = (layer.base_layer.weight.float() + delta).to(torch.bfloat16)
    merged = Swift.merge_and_unload(model)
    assert torch.equal(merged.model.layers[0].self_attn.q_proj.weight, wanted)
    assert {p.dtype for p in merged.parameters()} == {torch.bfloat16}


def test_merged_modules_to_save_have_the_dtype_of_the_model(llama):
    model = train(Swift.prepare_model(llama().to(torch.bfloat16), lora(modules_to_save=['norm'])))
    assert {p.dtype for p in Swift.merge_and_unload(model).parameters()} == {torch.bfloat16}


def test_a_broken_adapter_is_not_merged(llama):
    model = Swift.prepare_model(llama(), lora())
    model.base_model.model.model.layers[1].self_attn.v_proj.lora_B['default'].weight.data.fill_(float('nan'))
    with pytest.raises(NonFiniteError, match=r'NaN or Inf in .*layers\.1\.self_attn\.v_proj'):
        Swift.merge_and_unload(model)


def test_several_named_adapters(llama, tmp_path):
    model = Swift.prepare_model(llama(), {'one': lora(), 'two': lora(r=2)})
    assert Swift.active(model) == ['one', 'two']
    train(model)
    together = logits(model)
    Swift.prepare_model(model, {'three': lora()})
    assert Swift.active(model) == ['one', 'two', 'three']
    with pytest.raises(UsageError, match="already an adapter called 'two'"):
        Swift.prepare_model(model, {'two': lora()})
    with pytest.raises(UsageError, match="no adapter called 'four'; there are: one, two, three"):
        Swift.activate(model, 'four')
    Swift.set_active(model, ['two', 'one'])
    assert torch.allclose(logits(model), together, atol=1e-6)
    Swift.deactivate(model, 'two')
    assert Swift.active(model) == ['one']
    wanted = logits(model)
    assert not torch.allclose(wanted, together, atol=1e-4)
    Swift.deactivate(model, 'one')
    assert Swift.active(model) == [] and torch.equal(logits(model), logits(llama()))
    Swift.activate(model, 'one')
    assert torch.equal(logits(model), wanted)
    assert {name.split('.')[-2] for name, p in model.named_parameters() if p.requires_grad} == {'one'}
    Swift.save_pretrained(model, tmp_path, ['one'])
    assert not (tmp_path / 'two').exists()
    base = train(Swift.prepare_model(llama(), lora()))
    Swift.from_pretrained(base, tmp_path / 'one', 'loaded')
    base.set_adapter('loaded')
    assert torch.allclose(logits(base), wanted, atol=1e-6)


def test_any_peft_config_goes_to_peft_unchanged(llama):
    config = IA3Config(task_type='CAUSAL_LM', target_modules=['k_proj', 'down_proj'], feedforward_modules=['down_proj'])
    model = Swift.prepare_model(llama(), config)
    assert model.peft_config['default'] is config
    with pytest.raises(UsageError, match='those of swift.tuners.methods, got dict'):
        Swift.prepare_model(llama(), {'x': {'r': 8}})
    with pytest.raises(UsageError, match='at least one'):
        Swift.prepare_model(llama(), {})


def test_adapters_of_a_half_model_are_fp32_until_cast(llama):
    model = Swift.prepare_model(llama().to(torch.bfloat16), lora())
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    cast_adapter(model, torch.bfloat16)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    train(model, 1)


def test_a_pickled_adapter_is_refused(llama, tmp_path):
    Swift.save_pretrained(Swift.prepare_model(llama(), lora()), tmp_path)
    (tmp_path / 'adapter_model.safetensors').rename(tmp_path / 'adapter_model.bin')
    with pytest.raises(UsageError, match='adapter_model.bin, a pickle file, which can run code'):
        Swift.from_pretrained(llama(), tmp_path)
    (tmp_path / 'adapter_model.bin').unlink()
    with pytest.raises(UsageError, match='has no adapter_model.safetensors'):
        Swift.from_pretrained(llama(), tmp_path)
    with pytest.raises(UsageError, match='no adapter_config.json'):
        Swift.from_pretrained(llama(), tmp_path / 'nowhere')


def test_an_adapter_of_another_model_or_a_broken_one(llama, tmp_path):
    Swift.save_pretrained(Swift.prepare_model(llama(), lora()), tmp_path)
    with pytest.raises(SwiftError, match='can not be loaded onto this model'):
        Swift.from_pretrained(nn.Sequential(nn.Linear(2, 2)), tmp_path)
    path = tmp_path / 'adapter_model.safetensors'
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(SwiftError, match='can not be loaded onto this model'):
        Swift.from_pretrained(llama(), tmp_path)
    (tmp_path / 'adapter_config.json').write_text(json.dumps({'peft_type': 'NOPE'}))
    with pytest.raises(SwiftError, match='can not be loaded'):
        Swift.from_pretrained(llama(), tmp_path)
