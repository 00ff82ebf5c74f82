"""FLOPs counted from modules, against the closed formula of the shapes and against torch's own counter."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    MambaConfig,
    MixtralConfig,
    Qwen2Config,
    Qwen3MoeConfig,
)

from swift.trainers import flops
from swift.trainers.flops import attended_pairs, token_work
from swift.tuners.api import base_model

ALL_LINEAR = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']
QWEN = {
    '0.5B': dict(vocab_size=151936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24,
                 num_attention_heads=14, num_key_value_heads=2, tie_word_embeddings=True),
    '1.5B': dict(vocab_size=151936, hidden_size=1536, intermediate_size=8960, num_hidden_layers=28,
                 num_attention_heads=12, num_key_value_heads=2, tie_word_embeddings=True),
    '7B': dict(vocab_size=152064, hidden_size=3584, intermediate_size=18944, num_hidden_layers=28,
               num_attention_heads=28, num_key_value_heads=4, tie_word_embeddings=False)}
TINY = dict(vocab_size=96, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
            num_key_value_heads=2)


def on_meta(config):
    with torch.device('meta'):
        return AutoModelForCausalLM.from_config(config)


def closed_formula(shape, *, full, length):
    """FLOPs a token, all of them trained: 6 N or 4 N, and ``6 layers heads d l`` of causal attention."""
    hidden, inner, layers = shape['hidden_size'], shape['intermediate_size'], shape['num_hidden_layers']
    heads, kv = shape['num_attention_heads'], shape['num_key_value_heads']
    d = hidden // heads
    n = layers * (hidden * d * (heads + 2 * kv) + heads * d * hidden + 3 * hidden * inner)
    n += shape['vocab_size'] * hidden
    return (6 if full else 4) * n + 6 * layers * heads * d * length


@pytest.mark.parametrize('name', QWEN)
def test_full_training_is_6n_and_causal_attention(name):
    work = token_work(on_meta(Qwen2Config(**QWEN[name])))
    assert work.flops(np.array([2048]), 2048) / 2048 == pytest.approx(
        closed_formula(QWEN[name], full=True, length=2048), rel=1e-12)


@pytest.mark.parametrize('name', QWEN)
def test_lora_is_4n_and_6_of_its_own(name):
    model = on_meta(Qwen2Config(**QWEN[name]))
    model = get_peft_model(model, LoraConfig(r=16, target_modules=ALL_LINEAR))
    own = sum(p.numel() for p in model.parameters() if p.requires_grad)
    lengths = np.array([100, 700, 1248])
    mean = (lengths**2).sum() / lengths.sum()
    assert token_work(base_model(model)).flops(lengths, 2048) / 2048 == pytest.approx(
        closed_formula(QWEN[name], full=False, length=mean) + 6 * own, rel=1e-12)


def counted(model, ids, *, embeddings_need_gradient):
    """FLOPs of linear layers in one forward and backward, by torch, and those of attention."""
    if embeddings_need_gradient:
        model.get_input_embeddings().register_forward_hook(lambda module, args, out: out.requires_grad_())
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, use_cache=False).logits.sum().backward()
    parts = {str(op): count for op, count in counter.get_flop_counts()['Global'].items()}
    attention = sum(count for op, count in parts.items() if 'attention' in op or op in ('aten.bmm', 'aten.baddbmm'))
    return sum(parts.values()) - attention, attention


def test_linear_layers_of_full_training_as_torch_counts_them():
    config = LlamaConfig(**TINY)
    model = AutoModelForCausalLM.from_config(config)
    work = token_work(model)
    linear, _ = counted(model, torch.randint(96, (2, 10)), embeddings_need_gradient=True)
    assert (work.linear + work.head) * 20 == linear


def test_linear_layers_of_lora_as_torch_counts_them():
    model = get_peft_model(AutoModelForCausalLM.from_config(LlamaConfig(**TINY)),
                           LoraConfig(r=4, target_modules=ALL_LINEAR))
    work = token_work(base_model(model))
    linear, _ = counted(model, torch.randint(96, (2, 10)), embeddings_need_gradient=True)
    assert (work.linear + work.head) * 20 == linear


def test_layers_below_the_lowest_trained_one_have_no_backward():
    model = get_peft_model(AutoModelForCausalLM.from_config(LlamaConfig(**TINY)),
                           LoraConfig(r=4, target_modules=['down_proj'], layers_to_transform=[1]))
    work = token_work(base_model(model))
    linear, _ = counted(model, torch.randint(96, (2, 10)), embeddings_need_gradient=False)
    # Of block 1 torch leaves out what comes before its one adapter; we count the block whole.
    before = 2 * sum(model.get_submodule(f'base_model.model.model.layers.1.{name}').weight.numel() for name in (
        'self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj', 'self_attn.o_proj', 'mlp.gate_proj', 'mlp.up_proj'))
    before += 2 * model.get_submodule('base_model.model.model.layers.1.mlp.down_proj.base_layer').weight.numel()
    before += 2 * 4 * TINY['intermediate_size']  # the input's gradient of the adapter's A
    assert (work.linear + work.head - before) * 20 == linear
    assert work.attention[0].total == 4 * 32 * (1 + 3 + 3)


def test_attention_is_half_of_what_torch_counts_without_a_mask():
    model = AutoModelForCausalLM.from_config(LlamaConfig(**TINY), attn_implementation='eager')
    work = token_work(model)
    _, attention = counted(model, torch.randint(96, (1, 16)), embeddings_need_gradient=True)
    assert work.attention[0].total * attended_pairs(np.array([16]), None) * 2 == pytest.approx(attention, rel=0.01)


def test_only_active_experts_count(monkeypatch):
    for config in (MixtralConfig(**TINY, num_local_experts=8, num_experts_per_tok=2),
                   Qwen3MoeConfig(**TINY, head_dim=8, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=64)):
        model = on_meta(config)
        attention = 32 * 8 * (4 + 2 * 2) + 4 * 8 * 32
        expected = 3 * (attention + 2 * 3 * 32 * 64 + 8 * 32)  # two experts and the router
        assert token_work(model).linear == 6 * expected
    monkeypatch.setattr(flops, '_ACTIVE_EXPERTS', ('a name that it has not',))
    assert token_work(model) is None


def test_experts_as_torch_counts_them():
    config = MixtralConfig(**TINY, num_local_experts=8, num_experts_per_tok=2)
    model = AutoModelForCausalLM.from_config(config, experts_implementation='eager')  # others torch does not count
    work = token_work(model)
    model.get_input_embeddings().requires_grad_(False)
    linear, _ = counted(model, torch.randint(96, (2, 10)), embeddings_need_gradient=True)
    assert (work.linear + work.head) * 20 == linear


def test_experts_in_a_list_of_modules():
    model = AutoModelForCausalLM.from_config(LlamaConfig(**TINY, num_experts_per_tok=1))
    before = token_work(model).linear
    for layer in model.model.layers:
        layer.mlp.experts = torch.nn.ModuleList(torch.nn.Linear(32, 64) for _ in range(4))
    assert token_work(model).linear - before == 6 * 3 * 32 * 64


def test_layers_that_are_no_linear_and_models_without_attention():
    work = token_work(on_meta(GPT2Config(vocab_size=96, n_embd=32, n_layer=2, n_head=4)))
    assert work.linear == 6 * 2 * 12 * 32 * 32 and work.head == 6 * 96 * 32
    assert work.attention[0].total == 2 * 3 * 4 * 32
    assert flops._attention({'num_attention_heads': 4, 'hidden_size': 32}, -1) == ()  # says no number of layers
    assert token_work(on_meta(MambaConfig(vocab_size=96, hidden_size=32, num_hidden_layers=2))).attention == ()


def test_a_quantised_layer_counts_by_its_sizes():
    class Packed(torch.nn.Linear):
        def __init__(self, inputs, outputs):
            super().__init__(inputs, outputs, bias=False)
            self.weight = torch.nn.Parameter(torch.zeros(inputs * outputs // 2, 1, dtype=torch.uint8), False)

    model = AutoModelForCausalLM.from_config(LlamaConfig(**TINY)).requires_grad_(False)
    expected = token_work(model).linear
    for layer in model.model.layers:
        layer.mlp.down_proj = Packed(64, 32)
    assert token_work(model).linear == expected


def test_windows():
    lengths = np.array([3, 10])
    pairs = sum(min(i + 0.5, 4) for length in (3, 10) for i in range(length))  # half of the diagonal, as l^2 / 2 has
    assert attended_pairs(lengths, None) == (9 + 100) / 2
    assert attended_pairs(lengths, 4) == pytest.approx(pairs)
    model = on_meta(Qwen2Config(**TINY, use_sliding_window=True, sliding_window=4, max_window_layers=2,
                                layer_types=['full_attention', 'sliding_attention', 'sliding_attention']))
    assert {part.window: part.total for part in token_work(model).attention} == {None: 3 * 128, 4: 2 * 3 * 128}


def test_recomputing_whole_blocks_adds_one_forward_of_them():
    model = on_meta(Qwen2Config(**TINY))
    work, lengths = token_work(model), np.array([10])
    assert work.recomputed(lengths, 'full') == (work.linear / 3 + work.attention[0].total / 3 / 2 * 10) * 10
    assert work.recomputed(lengths, 'selective') == 3 * 2 * 2 * 32 * 64 * 10
    assert work.recomputed(lengths, 'light') == work.recomputed(lengths, 'none') == 0


def test_virtual_tokens_in_front_need_every_backward():
    model = on_meta(Qwen2Config(**TINY)).requires_grad_(False)
    assert 2 * token_work(model).linear == token_work(model, trains_before=True).linear


def test_training_the_head_alone_needs_one_forward_of_the_blocks():
    model = on_meta(Qwen2Config(**TINY, tie_word_embeddings=False)).requires_grad_(False)
    frozen = token_work(model).linear
    model.lm_head.requires_grad_(True)
    work = token_work(model)
    assert work.linear == frozen and work.head == 6 * 96 * 32 and work.again == 0
