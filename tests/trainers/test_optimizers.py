"""Which parameters go into which group of which optimizer."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig
from transformers import LlamaConfig, LlamaForCausalLM, TrainingArguments

from swift.llm.args.optimizing import OptimizingArgs
from swift.trainers.adamw import AdamW
from swift.trainers.optimizers import OptimizerPlan, make_optimizer
from swift.tuners.api import Swift
from swift.tuners.optimizers.apollo import Apollo
from swift.tuners.optimizers.galore import GaLoreAdamW
from swift.tuners.optimizers.muon import MuonAdamW
from swift.tuners.optimizers.q_galore import QGaLoreAdamW
from swift.utils.errors import UsageError

LINEARS = ('q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj')


def llama(tied=False):
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=64, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, tie_word_embeddings=tied))


def made(model, tmp_path, optim='adamw_torch', ratio=None, embedding_lr=1e-6, sharding=None, **settings):
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, learning_rate=0.1, weight_decay=0.2,
                                  adam_beta2=0.95, report_to=[])
    arguments.fsdp = sharding
    decayed = [name for name, parameter in model.named_parameters() if parameter.ndim == 2]
    return make_optimizer(model, OptimizerPlan(optim, OptimizingArgs(**settings), ratio, embedding_lr), arguments,
                          decayed=decayed, usual=lambda: (torch.optim.AdamW, {'lr': 0.1}))


def names(model, optimizer, **wanted):
    ids = {id(parameter) for group in optimizer.param_groups for parameter in group['params']
           if all(group.get(key) == value for key, value in wanted.items())}
    return {name for name, parameter in model.named_parameters() if id(parameter) in ids}


def test_the_usual_optimizer_is_left_to_the_trainer(tmp_path):
    assert made(llama(), tmp_path) is None
    assert made(llama().bfloat16(), tmp_path) is None  # it was typed, and on a CPU torch's own is taken
    assert made(llama(), tmp_path, None) is None
    assert made(llama().bfloat16(), tmp_path, None, sharding='full_shard') is None


@pytest.mark.parametrize(('optim', 'dtype', 'moments', 'more'), [
    (None, torch.bfloat16, torch.bfloat16, {}), ('adamw_bf16', torch.float32, torch.bfloat16, {}),
    ('adamw_sr', torch.bfloat16, torch.float32, {}),
    ('adamw_torch', torch.bfloat16, torch.bfloat16, {'optimizer_in_backward': True}),
    (None, torch.float32, torch.float32, {'optimizer_in_backward': True})])
def test_our_adamw_has_the_groups_and_moments_that_were_asked_for(optim, dtype, moments, more, tmp_path):
    model = llama().to(dtype)
    optimizer = made(model, tmp_path, optim, **more)
    assert type(optimizer) is AdamW
    assert names(model, optimizer, weight_decay=0.0) == {n for n, p in model.named_parameters() if p.ndim == 1}
    assert names(model, optimizer, weight_decay=0.2) == {n for n, p in model.named_parameters() if p.ndim == 2}
    assert all(group['lr'] == 0.1 and group['betas'] == (0.9, 0.95) for group in optimizer.param_groups)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    ids = torch.arange(8)[None]
    model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    assert all(state[name].dtype == moments for state in optimizer.state.values() for name in ('exp_avg', 'exp_avg_sq'))
    assert len(optimizer.state) == len(before)
    assert not any(torch.equal(before[name], parameter) for name, parameter in model.named_parameters())


def test_typing_adamw_torch_for_bfloat16_is_told_what_it_loses(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr('swift.trainers.optimizers.logger.propagate', True)
    made(llama().bfloat16(), tmp_path, 'adamw_torch', optimizer_in_backward=True)
    assert '--optim adamw_torch rounds bfloat16 weights to nearest' in caplog.text


@pytest.mark.parametrize(('optim', 'settings', 'kind', 'rank'), [
    ('adamw_torch', {'use_galore': True, 'galore_rank': 4}, GaLoreAdamW, 4),
    ('galore', {'galore_quantization': True}, QGaLoreAdamW, 128),
    ('apollo', {}, Apollo, 256), ('apollo_mini', {}, Apollo, 1), ('apollo', {'apollo_rank': 3}, Apollo, 3)])
def test_matrices_of_linear_layers_but_the_head_are_projected(optim, settings, kind, rank, tmp_path):
    model = llama()
    optimizer = made(model, tmp_path, optim, **settings)
    assert type(optimizer) is kind
    projected = names(model, optimizer, rank=rank)
    assert {name.split('.')[-2] for name in projected} == set(LINEARS) and len(projected) == 14
    assert names(model, optimizer) == {name for name, _ in model.named_parameters()}
    assert names(model, optimizer, weight_decay=0.0) == {n for n, p in model.named_parameters() if p.ndim == 1}
    assert all(group['lr'] == 0.1 and group['betas'] == (0.9, 0.95) for group in optimizer.param_groups)


def test_galore_takes_named_modules_and_embeddings(tmp_path):
    model = llama(tied=True)
    projected = names(model, made(model, tmp_path, 'galore', galore_target_modules=['q_proj', 'layers.1.mlp.up_proj'],
                                  galore_with_embedding=True), rank=128)
    assert projected == {'model.embed_tokens.weight', 'model.layers.0.self_attn.q_proj.weight',
                         'model.layers.1.self_attn.q_proj.weight', 'model.layers.1.mlp.up_proj.weight'}
    with pytest.raises(UsageError, match="--galore_target_modules: no linear layer or embedding is called 'q_prj'"):
        made(model, tmp_path, 'galore', galore_target_modules=['q_prj'])


def test_settings_arrive(tmp_path):
    optimizer = made(llama(), tmp_path, 'galore', galore_update_proj_gap=7, galore_scale=0.25, galore_proj_type='full')
    assert (optimizer.defaults['update_proj_gap'], optimizer.defaults['scale'], optimizer.defaults['proj_type']) == (
        7, 0.25, 'full')
    optimizer = made(llama(), tmp_path, 'apollo_mini', apollo_update_proj_gap=9)
    assert (optimizer.defaults['scale'], optimizer.defaults['per_tensor'], optimizer.defaults['update_proj_gap']) == (
        128.0, True, 9)
    optimizer = made(llama(), tmp_path, 'muon', muon_momentum=0.5, muon_ns_steps=3, muon_adjust_lr='original')
    group = optimizer.param_groups[0]
    assert (group['momentum'], group['ns_steps'], group['adjust_lr_fn']) == (0.5, 3, 'original')


def test_muon_takes_hidden_matrices_and_adamw_the_rest(tmp_path):
    model = llama()
    optimizer = made(model, tmp_path, 'muon')
    assert type(optimizer) is MuonAdamW
    assert {name.split('.')[-2] for name in names(model, optimizer, muon=True)} == set(LINEARS)
    assert {'lm_head.weight', 'model.embed_tokens.weight', 'model.norm.weight'} < names(model, optimizer, muon=False)


def test_muon_on_an_adapter_leaves_what_is_frozen(tmp_path):
    model = Swift.prepare_model(llama(), LoraConfig(target_modules=['q_proj', 'embed_tokens'], r=2))
    optimizer = made(model, tmp_path, 'muon')
    assert len(names(model, optimizer, muon=True)) == 4
    assert all('lora_embedding' in name for name in names(model, optimizer, muon=False))
    assert names(model, optimizer) == {name for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize('optim', ['adamw_torch', 'adamw_bf16', 'muon'])
def test_lora_plus_has_rates_for_b_and_for_embeddings(optim, tmp_path):
    model = Swift.prepare_model(llama(), LoraConfig(target_modules=['q_proj', 'embed_tokens'], r=2))
    optimizer = made(model, tmp_path, optim, ratio=8.0, embedding_lr=5e-7)
    assert all('.lora_B.' in name for name in names(model, optimizer, lr=0.8)) and names(model, optimizer, lr=0.8)
    assert all('.lora_A.' in name for name in names(model, optimizer, lr=0.1)) and names(model, optimizer, lr=0.1)
    assert all('lora_embedding_' in name for name in names(model, optimizer, lr=5e-7))
    assert len(names(model, optimizer, lr=5e-7)) == 2
