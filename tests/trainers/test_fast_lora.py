"""A model with fast LoRA layers is peft's model: values, gradients, files, and everything that peft does to it."""

from __future__ import annotations

import copy
import logging

import pytest
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from peft.tuners.lora import Linear as PeftLinear
from torch import nn

from swift.trainers import fast_lora
from swift.trainers.fast_lora import GROUP, FastAdapters, FastLinear, fuse_adapters, install
from swift.trainers.head import few_tokens
from swift.trainers.loss import causal_lm_loss
from tests.conformance.tiny import tiny_model

ALL = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']
BATCH = few_tokens(100)


def adapted(dtype=torch.float32, base=torch.float32, **options):
    """A tiny Llama with adapters that do something."""
    model = tiny_model(transformers.LlamaForCausalLM, 'llama').to(base)
    config = {'target_modules': ALL, 'r': 4, 'lora_alpha': 8, 'init_lora_weights': False} | options
    peft_model = get_peft_model(model, LoraConfig(**config), autocast_adapter_dtype=False)
    for name, parameter in peft_model.named_parameters():
        if 'lora_' in name:
            parameter.data = (parameter.data * 0.1).to(dtype)
    return peft_model


def loss_of(model):
    with torch.no_grad():
        return causal_lm_loss(model, BATCH, head_takes_positions=False, accuracy=None).weighted_nll


def loss_and_gradients(model, autocast=False, batch=BATCH):
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        loss = causal_lm_loss(model, batch, head_takes_positions=False, accuracy=None).weighted_nll
    gradients = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
    return {'loss': loss.detach()} | {name: torch.zeros(()) if gradient is None else gradient
                                      for name, gradient in zip(trained, gradients, strict=True)}


def assert_same(ours, expected, tolerance=1e-5):
    assert list(ours) == list(expected)
    largest = max(gradient.norm() for name, gradient in expected.items() if name != 'loss')
    for name, one in expected.items():
        assert ours[name].dtype == one.dtype
        floor = 0 if name == 'loss' else tolerance * largest
        assert (ours[name] - one).float().norm() <= tolerance * one.float().norm() + floor, name


def fast_layers(model):
    return [module for module in model.modules() if isinstance(module, FastLinear)]


@pytest.fixture
def fast_calls(monkeypatch):
    """How many layers each call of the operator serves."""
    calls = []
    operator = fast_lora.lora_linear
    monkeypatch.setattr(fast_lora, 'lora_linear', lambda x, layers: calls.append(len(layers)) or operator(x, layers))
    return calls


# ---- the same loss


@pytest.mark.parametrize('options', [
    {}, {'use_rslora': True}, {'use_dora': True}, {'target_modules': ['q_proj', 'down_proj']},
    {'rank_pattern': {'k_proj': 2, 'up_proj': 7}}, {'lora_bias': True, 'target_modules': ['q_proj', 'k_proj']},
    {'bias': 'all'}, {'lora_dropout': 0.1}], ids=str)
def test_loss_and_gradients_are_pefts(options):
    model = adapted(**options)
    expected = loss_and_gradients(model.eval())
    done = fuse_adapters(model.get_base_model(), None, mixed_precision=torch.float32, sharded=False)
    if options.get('lora_bias'):
        assert done is None
        return
    assert isinstance(done, FastAdapters) and len(fast_layers(model)) == len(done.places)
    assert_same(loss_and_gradients(model), expected)


def test_layers_that_read_the_same_input_are_computed_together(fast_calls):
    model = adapted()
    expected = loss_and_gradients(model)
    fuse_adapters(model.get_base_model(), None, mixed_precision=torch.float32, sharded=False)
    fast_calls.clear()
    assert_same(loss_and_gradients(model), expected)
    assert fast_calls == [3, 1, 2, 1] * 2
    groups = {id(vars(layer)[GROUP]): vars(layer)[GROUP] for layer in fast_layers(model) if GROUP in vars(layer)}
    assert len(groups) == 4
    assert all(group._input is None and not group._outputs and group.together for group in groups.values())


@pytest.mark.parametrize('base', [torch.bfloat16, torch.float32])
def test_under_autocast_with_adapters_in_float32(base):
    model = adapted(base=base)
    expected = loss_and_gradients(model, autocast=True)
    done = fuse_adapters(model.get_base_model(), None, mixed_precision=torch.bfloat16, sharded=False)
    assert done is not None
    assert_same(loss_and_gradients(model, autocast=True), expected, 4e-2)


def test_all_in_bfloat16():
    model = adapted(torch.bfloat16, torch.bfloat16)
    expected = loss_and_gradients(model)
    assert fuse_adapters(model.get_base_model(), None, mixed_precision=torch.float32, sharded=False)
    assert_same(loss_and_gradients(model), expected, 4e-2)


def test_of_several_adapters_those_in_effect_count(fast_calls):
    model = adapted()
    model.add_adapter('other', LoraConfig(target_modules=['q_proj', 'o_proj'], r=2, init_lora_weights=False))
    plain = copy.deepcopy(model)
    install(model)
    for names in ('default', 'other', ['default', 'other']):
        for one in (model, plain):
            one.base_model.set_adapter(names)
        fast_calls.clear()
        assert_same(loss_and_gradients(model), loss_and_gradients(plain))
        assert len(fast_calls) == (4 if names == 'other' else 14)


def test_recomputing_gives_the_gradients_of_the_same_masks():
    model = adapted(lora_dropout=0.3).train()
    fuse_adapters(model.get_base_model(), None, mixed_precision=torch.float32, sharded=False)
    torch.manual_seed(3)
    expected = loss_and_gradients(model)
    model.get_base_model().gradient_checkpointing_enable({'use_reentrant': False})
    torch.manual_seed(3)
    assert_same(loss_and_gradients(model), expected, 1e-6)
    torch.manual_seed(4)
    other = loss_and_gradients(model)
    assert other['loss'] != expected['loss']
    assert all(layer.__dict__.get(GROUP) is None or vars(layer)[GROUP].together for layer in fast_layers(model))


def test_dropout_is_for_training_alone_and_never_of_the_base():
    model = adapted(lora_dropout=0.5)
    install(model)
    losses = []
    for mode in (True, True, False, False):
        model.train(mode)
        losses.append(loss_of(model).item())
    assert losses[0] != losses[1] and losses[2] == losses[3]
    model.train()
    with model.disable_adapter():
        assert loss_of(model) == loss_of(model)
    assert loss_of(model) != loss_of(model)


def test_gradients_accumulate_over_batches():
    model, plain = adapted(), adapted()
    plain.load_state_dict(model.state_dict())
    install(model)
    for one in (model, plain):
        for batch in (BATCH, few_tokens(60)):
            causal_lm_loss(one, batch, head_takes_positions=False, accuracy=None).weighted_nll.backward()
    for (name, ours), (_, expected) in zip(model.named_parameters(), plain.named_parameters(), strict=True):
        if expected.grad is not None:
            torch.testing.assert_close(ours.grad, expected.grad, rtol=1e-4, atol=1e-6, msg=name)


def test_under_ddp_gradients_are_the_same(tmp_path):
    model = adapted()
    fuse_adapters(model.get_base_model(), None, mixed_precision=torch.float32, sharded=False)
    expected = loss_and_gradients(model)
    store = torch.distributed.FileStore(str(tmp_path / 'store'), 1)
    torch.distributed.init_process_group('gloo', store=store, rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(model)
        causal_lm_loss(wrapped, BATCH, head_takes_positions=False, accuracy=None).weighted_nll.backward()
    finally:
        torch.distributed.destroy_process_group()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(parameter.grad, expected[name], msg=name)


# ---- what peft does to a model


def test_names_files_and_restore_are_pefts(tmp_path):
    model = adapted()
    originals = {name: module for name, module in model.named_modules() if type(module) is PeftLinear}
    names, keys = list(model.state_dict()), list(get_peft_model_state_dict(model))
    done = fuse_adapters(model.get_base_model(), None, mixed_precision=torch.float32, sharded=False)
    assert list(model.state_dict()) == names and list(get_peft_model_state_dict(model)) == keys
    expected = loss_of(model)
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(tiny_model(transformers.LlamaForCausalLM, 'llama'), tmp_path)
    torch.testing.assert_close(loss_of(loaded), expected)
    done.restore()
    assert all(model.get_submodule(name) is module for name, module in originals.items())
    assert not any(GROUP in vars(module) for module in originals.values())
    torch.testing.assert_close(loss_of(model), expected)


def test_an_adapter_is_loaded_switched_off_merged_and_taken_apart_as_before(tmp_path, fast_calls):
    model, plain = adapted(), adapted()
    plain.load_state_dict(model.state_dict())
    plain.save_pretrained(tmp_path)
    fuse_adapters(model.get_base_model(), None, mixed_precision=torch.float32, sharded=False)

    def same(used):
        fast_calls.clear()
        torch.testing.assert_close(loss_of(model), loss_of(plain))
        assert bool(fast_calls) == used

    same(True)
    with model.disable_adapter(), plain.disable_adapter():
        same(False)
    for one in (model, plain):
        one.merge_adapter()
    same(False)
    for one in (model, plain):
        one.unmerge_adapter()
    same(True)
    for one in (model, plain):
        one.load_adapter(tmp_path, 'second')
        one.set_adapter('second')
    same(True)
    for one in (model, plain):
        one.add_weighted_adapter(['default', 'second'], [0.7, 0.5], 'both', combination_type='cat')
        one.set_adapter('both')
    same(True)
    for one in (model, plain):
        one.delete_adapter('second')
    same(True)
    merged, expected = model.merge_and_unload(), plain.merge_and_unload()
    assert not fast_layers(merged)
    for (name, one), (_, other) in zip(merged.named_parameters(), expected.named_parameters(), strict=True):
        torch.testing.assert_close(one, other, msg=name)


def test_rows_of_several_adapters_are_left_to_peft(fast_calls):
    model = adapted()
    model.add_adapter('other', LoraConfig(target_modules=['q_proj'], r=2, init_lora_weights=False))
    plain = copy.deepcopy(model)
    install(model)
    ids = torch.tensor([[5, 6, 7], [8, 9, 10], [5, 6, 7]])
    names = ['default', 'other', '__base__']
    with torch.no_grad():
        torch.testing.assert_close(*(one.eval()(input_ids=ids, adapter_names=names).logits for one in (model, plain)))
    assert not fast_calls


def test_a_copy_is_fast_too():
    model = adapted()
    fuse_adapters(model.get_base_model(), None, mixed_precision=torch.float32, sharded=False)
    twin = copy.deepcopy(model)
    assert len(fast_layers(twin)) == 14
    assert_same(loss_and_gradients(twin), loss_and_gradients(model))
    assert not {id(layer) for layer in fast_layers(twin)} & {id(layer) for layer in fast_layers(model)}


# ---- where it does not fit


class Twice(nn.Module):
    """Calls layers that were found to share an input with others."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x, apart):
        return self.a(x) + self.b(x.clone() if apart == 'copied' else x.add_(1) if apart == 'changed' else x)


@pytest.mark.parametrize('apart', ['no', 'copied', 'changed'])
def test_a_group_ends_when_its_layers_get_other_inputs(apart):
    torch.manual_seed(0)
    plain = get_peft_model(Twice(), LoraConfig(target_modules=['a', 'b'], init_lora_weights=False))
    model = copy.deepcopy(plain)
    done = install(model)
    a, b = (getattr(model.base_model.model, name) for name in 'ab')
    x = torch.randn(3, 6)
    done.group([(layer, x, layer.described(x)) for layer in (a, b)])
    group, = done.groups
    for _ in range(2):
        y, expected = (one(x.clone(), apart) for one in (model, plain))
        torch.testing.assert_close(y, expected)
        assert group.together == (apart == 'no') and not group._outputs and group._input is None


def test_base_layers_with_hooks_are_called(fast_calls):
    model = adapted(target_modules=['q_proj'])
    plain = copy.deepcopy(model)
    for one in (model, plain):
        for layer in one.base_model.model.model.layers:
            layer.self_attn.q_proj.base_layer.register_forward_hook(lambda module, args, output: output * 1.5)
    install(model)
    assert_same(loss_and_gradients(model), loss_and_gradients(plain))
    assert fast_calls == [1, 1]


def test_hooks_on_the_layer_itself_see_its_output():
    model, seen = adapted(), []
    install(model)
    layer = model.base_model.model.model.layers[0].self_attn.k_proj
    layer.register_forward_hook(lambda module, args, output: seen.append(output.shape))
    loss_and_gradients(model)
    assert len(seen) == 1


@pytest.mark.parametrize(('typed', 'level'), [(None, logging.INFO), (True, logging.WARNING)])
@pytest.mark.parametrize('way', ['sharded', 'frozen', 'dtype'])
def test_where_it_can_not_be_one_line_says_why(caplog, typed, level, way):
    model = adapted(base=torch.bfloat16 if way == 'dtype' else torch.float32)
    if way == 'frozen':
        model.requires_grad_(False)
    with caplog.at_level(logging.INFO, logger='swift'):
        assert fuse_adapters(model.get_base_model(), typed, mixed_precision=torch.float32,
                             sharded=way == 'sharded') is None
    line, = caplog.records
    reason = {'sharded': 'its parameters are sharded', 'frozen': 'none of its adapters is trained',
              'dtype': 'its layers have hooks, another dtype than their input'}[way]
    assert line.levelno == level and line.getMessage().startswith(f'LoRA is computed by peft: {reason}')
    assert not fast_layers(model)


@pytest.mark.parametrize('wrong', ['value', 'gradient', 'error'])
def test_what_is_wrong_is_found_by_trial_and_taken_out(caplog, monkeypatch, wrong):
    model = adapted()
    operator = fast_lora.lora_linear

    def other(x, layers):
        found = operator(x, layers)
        if wrong == 'error':
            raise RuntimeError('no kernel\nfor this')
        return [y * 10 if wrong == 'value' else y.detach() + 0 * y for y in found]

    monkeypatch.setattr(fast_lora, 'lora_linear', other)
    with caplog.at_level(logging.INFO, logger='swift'):
        assert fuse_adapters(model.get_base_model(), None, mixed_precision=torch.float32, sharded=False) is None
    reason = {'value': 'the loss of the fused one differs', 'gradient': 'the gradient of the fused one differs',
              'error': 'the fused one fails in this model (no kernel)'}[wrong]
    assert reason in caplog.records[-1].getMessage() and not fast_layers(model)


def test_the_trial_leaves_no_trace(caplog):
    model = adapted().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.random.get_rng_state()
    with caplog.at_level(logging.INFO, logger='swift'):
        assert fuse_adapters(model.get_base_model(), None, mixed_precision=torch.float32, sharded=False)
    assert model.training and torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(layer._forward_pre_hooks for layer in fast_layers(model))
    line, = caplog.records
    assert line.getMessage().startswith('Fused LoRA: 14 layers, 10 of them in 4 groups that share their input')


def test_it_is_not_tried_where_it_is_not_wanted_or_there_is_none(caplog):
    model = adapted()
    with caplog.at_level(logging.INFO, logger='swift'):
        assert fuse_adapters(model.get_base_model(), False, mixed_precision=torch.float32, sharded=False) is None
        assert fuse_adapters(tiny_model(transformers.LlamaForCausalLM, 'llama'), None, mixed_precision=torch.float32,
                             sharded=False) is None
    assert not caplog.records


# ---- 4 bits


@pytest.mark.parametrize('nested', [False, True])
@pytest.mark.parametrize('group', [False, True])
def test_on_4_bit_layers_it_is_peft(nested, group, fast_calls):
    bnb = pytest.importorskip('bitsandbytes', reason='bitsandbytes is not installed: pip install bitsandbytes')
    torch.manual_seed(0)

    class Model(nn.Module):
        is_loaded_in_4bit = True  # what peft asks

        def __init__(self):
            super().__init__()
            for name in ('a', 'b'):
                layer = bnb.nn.Linear4bit(64, 64, compute_dtype=torch.float32, quant_type='nf4',
                                          compress_statistics=nested)
                setattr(self, name, layer.to('cpu'))

        def forward(self, x):
            return self.a(x) * self.b(x)

    plain = get_peft_model(Model(), LoraConfig(target_modules=['a', 'b'], init_lora_weights=False, r=4))
    x = torch.randn(5, 64)
    found = []
    for fast in (False, True):
        if fast:
            done = install(plain)
            layers = [getattr(plain.base_model.model, name) for name in 'ab']
            if group:
                done.group([(layer, x, layer.described(x)) for layer in layers])
        given = x.clone().requires_grad_()
        y = plain(given)
        found.append((y, *torch.autograd.grad(y.square().sum(), [given, *(p for p in plain.parameters()
                                                                          if p.requires_grad)])))
    assert fast_calls == ([2] if group else [1, 1])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        plain(x)
    assert fast_calls == ([2] if group else [1, 1])
    done.restore()
    assert not any('Fast' in type(module).__name__ for module in plain.modules())
