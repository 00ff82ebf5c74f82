"""Models that leak between the rows of a line are found out, and it is said why."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Mamba2Config,
    Mamba2ForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2MoeConfig,
    Qwen2MoeForCausalLM,
)

from swift.trainers.apart import keeps_rows_apart, share_a_line, why_rows_are_not_kept_apart

SIZES = {'hidden_size': 32, 'intermediate_size': 48, 'num_hidden_layers': 2, 'num_attention_heads': 4,
         'num_key_value_heads': 2, 'vocab_size': 96}


def llama(dtype=torch.float32):
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SIZES)).to(dtype)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16], ids=str)
def test_an_attention_model_attends_by_documents_from_then_on(dtype):
    model = llama(dtype).train()
    found = share_a_line(model)
    assert found.documents and found.problem is None and found.remark is None
    assert model.config._attn_implementation == 'swift_documents' and model.training
    assert all(p.grad is None for p in model.parameters())


def test_a_saved_model_is_left_as_it_was(tiny_model_dir):
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
    assert keeps_rows_apart(model) and model.config._attn_implementation == 'sdpa'
    share_a_line(model)
    assert why_rows_are_not_kept_apart(model) is None and model.config._attn_implementation == 'swift_documents'


def test_attention_that_was_asked_for_by_name_is_kept():
    model = llama()
    found = share_a_line(model, by_documents=False)
    assert not found.documents and found.problem is None and 'asked for by name' in found.remark
    assert model.config._attn_implementation == 'sdpa'


def test_what_is_computed_in_may_be_another_dtype():
    assert share_a_line(llama(), autocast=torch.bfloat16).documents


def test_a_model_without_positions_is_refused():
    config = Mamba2Config(hidden_size=32, num_heads=4, head_dim=16, state_size=8, num_hidden_layers=1, vocab_size=128,
                          n_groups=1)
    assert 'takes no position ids' in why_rows_are_not_kept_apart(Mamba2ForCausalLM(config))


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16], ids=str)
def test_a_model_that_leaks_a_little_is_refused(dtype):
    """A mean over the whole line stands for what a linear-attention state carries from row to row."""
    model = llama(dtype)
    model.model.layers[0].register_forward_hook(lambda module, inputs, out: out + 1e-4 * out.mean(1, keepdim=True))
    assert why_rows_are_not_kept_apart(model) == 'a row of the line sees another one'


def test_a_leak_without_a_gradient_is_found():
    model = llama()

    def disturb(module, args, out):
        """By what the first token of the line is, too little to show beside another order of sums."""
        return out + 3e-4 * out.detach().std() * torch.sin(1e4 * out.detach()[:, :1])

    model.model.layers[0].register_forward_hook(disturb)
    assert why_rows_are_not_kept_apart(model) == 'a row of the line changes another one'


def test_a_model_that_ignores_restarting_positions_is_refused():
    config = GPT2Config(vocab_size=128, n_positions=64, n_embd=32, n_layer=1, n_head=2)
    torch.manual_seed(0)
    model = GPT2LMHeadModel(config)
    assert keeps_rows_apart(model)
    model.transformer.wpe.weight.data.mul_(50)  # positions matter in a random model, too
    model.transformer.wpe.register_forward_pre_hook(lambda module, args: (torch.arange(args[0].shape[1])[None],))
    assert why_rows_are_not_kept_apart(model) == 'a row in a line gives other logits than alone'


def test_a_small_vocabulary_is_no_trial():
    assert 'vocabulary is too small' in why_rows_are_not_kept_apart(LlamaForCausalLM(LlamaConfig(**{
        **SIZES, 'vocab_size': 40})))


WINDOW = {**SIZES, 'sliding_window': 4096}


@pytest.mark.parametrize('model', [
    lambda: MistralForCausalLM(MistralConfig(**WINDOW)),
    lambda: Qwen2ForCausalLM(Qwen2Config(**WINDOW, use_sliding_window=True, max_window_layers=1)),
    lambda: Qwen2ForCausalLM(Qwen2Config(**WINDOW, use_sliding_window=False))], ids=['all', 'some', 'none'])
def test_a_window_that_layers_tell_of_is_no_obstacle(model):
    assert share_a_line(model()).documents


def test_a_window_that_is_in_the_masks_alone_is_not_lost():
    """No row of the trial is as long as a window: Qwen2-MoE has one in its masks and does not tell its attention."""
    torch.manual_seed(0)
    model = Qwen2MoeForCausalLM(Qwen2MoeConfig(
        **WINDOW, use_sliding_window=True, max_window_layers=1, moe_intermediate_size=16, num_experts=4,
        num_experts_per_tok=2, shared_expert_intermediate_size=16))
    assert 'sliding_attention' in model.config.layer_types
    found = share_a_line(model)
    assert not found.documents and found.problem is None
    assert found.remark == 'its layers do not tell their attention of the sliding window'
    assert model.config._attn_implementation == 'sdpa'
