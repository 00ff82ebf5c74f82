"""Tuners of ours: on and off a model without a trace, beside each other and beside peft, saved, loaded and merged."""

from __future__ import annotations

import json

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from swift.tuners.api import LoraConfig, Swift, SwiftModel, base_model
from swift.tuners.methods.part import PartConfig
from swift.utils.errors import SwiftError, UsageError
from swift.utils.extras import available

IDS = torch.arange(12).view(2, 6)
HEAD, NORM = PartConfig(target_modules=['lm_head']), PartConfig(target_modules=['model.norm'])
LORA = LoraConfig(task_type='CAUSAL_LM', r=4, lora_dropout=0.0, target_modules=['q_proj', 'up_proj'])


def train(model, steps: int = 3):
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.05)
    for _ in range(steps):
        model(input_ids=IDS, labels=IDS).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


@torch.no_grad()
def logits(model) -> torch.Tensor:
    return model(IDS).logits


def test_the_model_inside_answers_for_what_is_not_the_tuners(llama):
    model = Swift.prepare_model(llama(), HEAD)
    assert isinstance(model, SwiftModel) and model.config.vocab_size == 128 and model.device.type == 'cpu'
    assert base_model(model) is model.model
    assert model.generate(IDS, max_new_tokens=2, do_sample=False).shape == (2, 8)
    assert str(Swift.get_trainable_parameters(model)) == 'training 8,192 of 86,336 parameters (9.49 %)'
    with pytest.raises(AttributeError, match='nothing_of_this_name'):
        _ = model.nothing_of_this_name


def test_taken_off_the_model_is_bit_equal_and_has_its_own_modules(llama):
    base = llama()
    before, modules = {k: v.clone() for k, v in base.state_dict().items()}, {n: id(m) for n, m in base.named_modules()}
    model = train(Swift.prepare_model(base, {'head': HEAD, 'norm': NORM}))
    bare = model.unload()
    assert bare is base and {n: id(m) for n, m in base.named_modules()} == modules
    assert all(torch.equal(weight, before[name]) for name, weight in base.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in base.modules())


@pytest.mark.parametrize('native_first', [True, False])
def test_kinds_of_peft_and_of_ours_on_one_model(llama, tmp_path, native_first):
    configs = {'lora': LORA, 'head': HEAD, 'norm': NORM}
    if native_first:
        model = Swift.prepare_model(Swift.prepare_model(llama(), {'head': HEAD, 'norm': NORM}), {'lora': LORA})
    else:
        model = Swift.prepare_model(llama(), configs)
    assert isinstance(model, SwiftModel) and isinstance(model.model, PeftModel)
    assert set(Swift.active(model)) == set(configs)
    assert torch.equal(logits(model.eval()), logits(llama()))
    together = logits(train(model))
    alone = {}
    for name in configs:
        Swift.set_active(model, [name])
        alone[name] = logits(model)
        assert not torch.allclose(alone[name], together, atol=1e-3)
    with model.disable_adapter():
        assert torch.equal(logits(model), logits(llama()))
    assert torch.equal(logits(model), alone['norm'])

    Swift.save_pretrained(model, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ['head', 'lora', 'norm']
    plain = PeftModel.from_pretrained(llama(), str(tmp_path / 'lora')).eval()
    assert torch.equal(logits(plain), alone['lora'])
    again = Swift.from_pretrained(llama(), tmp_path).eval()
    assert set(Swift.active(again)) == set(configs) and torch.equal(logits(again), together)
    assert not any(p.requires_grad for p in again.parameters())
    one = Swift.from_pretrained(llama(), tmp_path, {'head': 'kopf'}).eval()
    assert Swift.active(one) == ['kopf'] and torch.equal(logits(one), alone['head'])

    Swift.set_active(model, list(configs))
    merged = Swift.merge_and_unload(model)
    assert type(merged) is type(llama())
    torch.testing.assert_close(logits(merged), together, atol=1e-5, rtol=0)


def test_one_put_off_waits_on_another_device_and_comes_back(llama):
    model = train(Swift.prepare_model(llama(), {'head': HEAD, 'norm': NORM}))
    both = logits(model)
    Swift.deactivate(model, 'head', offload='cpu')
    assert Swift.active(model) == ['norm'] and not torch.equal(logits(model), both)
    Swift.activate(model, 'head')
    assert torch.equal(logits(model), both)


def test_modules_to_save_beside_a_tuner_of_ours(llama, tmp_path):
    config = PartConfig(target_modules=['lm_head'], modules_to_save=['model.norm'])
    model = train(Swift.prepare_model(llama(), config))
    Swift.save_pretrained(model, tmp_path)
    assert {name.split('.')[0] for name in load_file(tmp_path / 'adapter_model.safetensors')} == {'saved', 'tuner'}
    assert torch.equal(logits(Swift.from_pretrained(llama(), tmp_path).eval()), logits(model))


def test_copies_of_a_half_model_are_trained_in_fp32_and_give_back_what_they_were_given(llama):
    model = Swift.prepare_model(llama().to(torch.bfloat16), {'head': HEAD, 'norm': NORM})
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    assert logits(model).dtype == torch.bfloat16
    train(model)
    merged = Swift.merge_and_unload(model)
    assert {p.dtype for p in merged.parameters()} == {torch.bfloat16}


def test_a_copy_of_one_of_two_tied_modules_is_merged_into_that_one(llama):
    model = train(Swift.prepare_model(llama(tied=True), HEAD))
    wanted = logits(model)
    merged = Swift.merge_and_unload(model)
    torch.testing.assert_close(logits(merged), wanted)
    assert torch.equal(merged.model.embed_tokens.weight, llama(tied=True).model.embed_tokens.weight)


def test_merged_and_unmerged_the_base_is_bit_equal(llama):
    base = llama().to(torch.bfloat16)
    before = {name: weight.clone() for name, weight in base.state_dict().items()}
    model = train(Swift.prepare_model(base, LORA))
    wanted, types = logits(model), {p.dtype for p in model.parameters()}
    for _ in range(3):
        Swift.merge(model)
        layer = model.base_model.model.model.layers[0].self_attn.q_proj
        original = before['model.layers.0.self_attn.q_proj.weight']
        assert layer.merged and not torch.equal(layer.base_layer.weight, original)
        torch.testing.assert_close(logits(model), wanted, atol=0.05, rtol=0)
        Swift.unmerge(model)
        assert not layer.merged and torch.equal(logits(model), wanted)
    assert {p.dtype for p in model.parameters()} == types
    assert all(torch.equal(weight, before[name]) for name, weight in model.unload().state_dict().items())


def test_what_can_not_be_merged_and_taken_out_again_is_refused(llama):
    with pytest.raises(UsageError, match='Swift.merge takes adapters of peft'):
        Swift.merge(Swift.prepare_model(llama(), HEAD))
    tied = LoraConfig(r=2, target_modules=['lm_head'])
    with pytest.warns(UserWarning, match='tie'), pytest.raises(UsageError, match='another one shares'):
        Swift.merge(Swift.prepare_model(llama(tied=True), tied))


@pytest.mark.parametrize('name', ['../up', 'a/b', 'a.b', '', '..', 'a b'])
def test_names_that_are_no_names_of_files_and_modules(llama, name, tmp_path):
    with pytest.raises(UsageError, match='can not be the name of an adapter'):
        Swift.prepare_model(llama(), {name: HEAD})
    Swift.save_pretrained(Swift.prepare_model(llama(), HEAD), tmp_path)
    with pytest.raises(UsageError, match='can not be the name of an adapter'):
        Swift.from_pretrained(llama(), tmp_path, [name])


@pytest.mark.parametrize(('change', 'message'), [
    ({'swift_type': 'prat'}, "Unknown kind of adapter 'prat'. Did you mean 'part'"),
    ({'depth': 3}, "part has no setting 'depth'"),
    ({'target_modules': ['nowhere']}, 'no module of LlamaForCausalLM is called so'),
    ({'target_modules': ['q_proj']}, r'is missing'),
    ({'swift_type': None, 'peft_type': 'LORA', 'megatron_config': {}, 'megatron_core': 'antigravity'},
     'megatron_core, with which peft imports the Python module that it names'),
])
def test_configurations_that_do_not_fit_or_would_import_code(llama, tmp_path, change, message):
    Swift.save_pretrained(Swift.prepare_model(llama(), HEAD), tmp_path)
    path = tmp_path / 'adapter_config.json'
    values = {k: v for k, v in (json.loads(path.read_text()) | change).items() if v is not None}
    path.write_text(json.dumps(values))
    with pytest.raises(SwiftError, match=message):
        Swift.from_pretrained(llama(), tmp_path)


def test_damaged_files(llama, tmp_path):
    Swift.save_pretrained(Swift.prepare_model(llama(), HEAD), tmp_path)
    weights = tmp_path / 'adapter_model.safetensors'
    tensors = load_file(weights)
    save_file({**tensors, 'more': torch.zeros(1)}, weights)
    with pytest.raises(SwiftError, match='more is unknown'):
        Swift.from_pretrained(llama(), tmp_path)
    save_file({name: tensor[:3].clone() for name, tensor in tensors.items()}, weights)
    with pytest.raises(SwiftError, match=r'is \[3, 64\] there and \[128, 64\] here'):
        Swift.from_pretrained(llama(), tmp_path)
    weights.write_bytes(b'\x80\x04cos\nsystem\n')
    with pytest.raises(SwiftError, match='is damaged'):
        Swift.from_pretrained(llama(), tmp_path)
    (tmp_path / 'adapter_config.json').write_text('[1]')
    with pytest.raises(SwiftError, match='holds no object'):
        Swift.from_pretrained(llama(), tmp_path)


def test_lora_folders_of_ms_swift_become_plain_peft(llama, tmp_path):
    model = train(Swift.prepare_model(llama(), LORA))
    Swift.save_pretrained(model, tmp_path / 'peft')
    values = json.loads((tmp_path / 'peft' / 'adapter_config.json').read_text())
    tensors = load_file(tmp_path / 'peft' / 'adapter_model.safetensors')
    old = tmp_path / 'old' / 'default'
    old.mkdir(parents=True)
    old_values = {**values, 'swift_type': 'LORA', 'use_qa_lora': False, 'lora_dtype': None, 'lorap_lr_ratio': 16.0}
    (old / 'adapter_config.json').write_text(json.dumps(old_values))
    save_file({name.removeprefix('base_model.model.').replace('lora_A.', 'lora_A.default.').replace(
        'lora_B.', 'lora_B.default.'): tensor for name, tensor in tensors.items()}, old / 'adapter_model.safetensors')
    assert Swift.save_to_peft_format(tmp_path / 'old', tmp_path / 'new') == ['default']
    assert torch.equal(logits(PeftModel.from_pretrained(llama(), str(tmp_path / 'new')).eval()), logits(model))
    (old / 'adapter_config.json').write_text(json.dumps(old_values | {'use_qa_lora': True}))
    with pytest.raises(UsageError, match='use_qa_lora, which plain peft does not have'):
        Swift.save_to_peft_format(tmp_path / 'old', tmp_path / 'other')
    with pytest.raises(UsageError, match='plain peft format already'):
        Swift.save_to_peft_format(tmp_path / 'new', tmp_path / 'other')


def test_two_copies_of_one_module_can_be_loaded_and_take_turns(llama, tmp_path):
    model = train(Swift.prepare_model(llama(), HEAD))
    one = logits(model)
    Swift.save_pretrained(model, tmp_path)
    with pytest.raises(UsageError, match="'default' and 'second' both train a copy of lm_head"):
        Swift.prepare_model(model, {'second': HEAD})
    assert Swift.active(model) == ['default'] and torch.equal(logits(model), one)
    Swift.from_pretrained(model, tmp_path, 'second')
    assert Swift.active(model) == ['default']
    Swift.set_active(model, ['second'])
    assert torch.equal(logits(model), one)
    with pytest.raises(UsageError, match='one of them can be active'):
        Swift.activate(model, 'default')
    assert Swift.active(model) == ['second']


def test_merging_where_there_is_nothing_of_peft_changes_nothing(llama):
    model = train(Swift.prepare_model(llama(), HEAD))
    Swift.deactivate(model, 'default')
    Swift.merge(model)
    Swift.unmerge(model)
    assert torch.equal(logits(model), logits(llama()))


@pytest.mark.skipif(not available('bitsandbytes'), reason='pip install "ms-swift[quant]"')
def test_quantised_weights_are_not_merged_into(llama):
    from bitsandbytes.nn import Linear4bit

    base = llama()
    for block in base.model.layers:
        packed = Linear4bit(64, 64, bias=False, compute_dtype=torch.float32)
        packed.load_state_dict(block.self_attn.q_proj.state_dict())
        block.self_attn.q_proj = packed.to('cpu')
    model = Swift.prepare_model(base, LORA)
    before = logits(model.eval())
    for merge in (Swift.merge, Swift.merge_and_unload):
        with pytest.raises(UsageError, match='q_proj has quantised weights, .* with its 16-bit weights'):
            merge(model)
    assert torch.equal(logits(model), before)
