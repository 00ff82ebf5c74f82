"""LLaMA Pro: where new blocks go, that they start as nothing in every family, and that merged they are ordinary."""

from __future__ import annotations

import json

import pytest
import torch
import transformers
from safetensors.torch import load_file
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from swift.tuners.api import LoraConfig, Swift
from swift.tuners.methods.llamapro import LLaMAProConfig, Place, plan
from swift.tuners.methods.part import PartConfig
from swift.utils.errors import SwiftError, UsageError
from tests.conformance.tiny import tiny_model

IDS = torch.arange(4, 16).view(1, 12)
TWO = LLaMAProConfig(num_new_blocks=2)
OFTEN = ('llama', 'gemma2', 'gpt2', 'qwen3_moe')  # plain, normalised outputs and two kinds of blocks, Conv1D, experts
FAMILIES = {
    'llama': 'LlamaForCausalLM', 'gemma2': 'Gemma2ForCausalLM', 'gpt2': 'GPT2LMHeadModel',
    'qwen3_moe': 'Qwen3MoeForCausalLM', 'qwen2': 'Qwen2ForCausalLM', 'qwen3': 'Qwen3ForCausalLM',
    'qwen3_next': 'Qwen3NextForCausalLM', 'mistral': 'MistralForCausalLM', 'mixtral': 'MixtralForCausalLM',
    'gemma': 'GemmaForCausalLM', 'gemma3_text': 'Gemma3ForCausalLM', 'phi': 'PhiForCausalLM', 'phi3': 'Phi3ForCausalLM',
    'glm': 'GlmForCausalLM', 'glm4': 'Glm4ForCausalLM', 'deepseek_v2': 'DeepseekV2ForCausalLM',
    'cohere': 'CohereForCausalLM', 'dbrx': 'DbrxForCausalLM', 'gpt_oss': 'GptOssForCausalLM', 'opt': 'OPTForCausalLM',
    'bloom': 'BloomForCausalLM', 'falcon': 'FalconForCausalLM', 'gpt_neox': 'GPTNeoXForCausalLM',
    'mpt': 'MptForCausalLM', 'stablelm': 'StableLmForCausalLM', 'olmo2': 'Olmo2ForCausalLM',
    'olmoe': 'OlmoeForCausalLM', 'ernie4_5': 'Ernie4_5ForCausalLM', 'seed_oss': 'SeedOssForCausalLM',
    'hunyuan_v1_dense': 'HunYuanDenseV1ForCausalLM', 'minimax_m2': 'MiniMaxM2ForCausalLM', 'mamba': 'MambaForCausalLM',
    'qwen2_vl': 'Qwen2VLForConditionalGeneration', 'qwen3_vl': 'Qwen3VLForConditionalGeneration',
    'internvl': 'InternVLForConditionalGeneration'}


def family(name: str):
    return tiny_model(getattr(transformers, FAMILIES[name]), name)


@torch.no_grad()
def logits(model) -> torch.Tensor:
    return model.eval()(input_ids=IDS, use_cache=False).logits


def train(model, steps: int = 3) -> list[float]:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    losses = []
    for _ in range(steps):
        output = model.train()(input_ids=IDS, use_cache=False).logits
        loss = nn.functional.cross_entropy(output[0, :-1], IDS[0, 1:])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    model.eval()
    return losses


def generate(model, cache: bool) -> torch.Tensor:
    return model.generate(input_ids=IDS, attention_mask=torch.ones_like(IDS), max_new_tokens=5, do_sample=False,
                          use_cache=cache, pad_token_id=0, eos_token_id=None)


@pytest.mark.parametrize(('depth', 'new', 'groups', 'places'), [
    (4, 2, 2, [(1, 1), (3, 3)]), (4, 4, 2, [(1, 0), (1, 1), (3, 2), (3, 3)]), (4, 4, 4, [(i, i) for i in range(4)]),
    (32, 8, 8, [(4 * i + 3, 4 * i + 3) for i in range(8)]),  # LLaMA Pro 8B: one behind every fourth
    (5, 2, 2, [(1, 1), (4, 4)]), (3, 2, 1, [(2, 1), (2, 2)])])
def test_new_blocks_stand_behind_the_groups_and_are_copies_of_their_last(depth, new, groups, places):
    assert plan(depth, new, groups) == [Place(*place) for place in places]


@pytest.mark.parametrize(('depth', 'new', 'groups', 'message'), [
    (4, 3, 2, 'num_groups 2 must divide num_new_blocks 3'),
    (4, 8, 8, 'num_new_blocks 8 in 8 groups: a group of the 4 blocks of this model has 0'),
    (4, 4, 1, None), (4, 5, 1, 'has 4, and 5 of each are copied')])
def test_numbers_that_do_not_fit(depth, new, groups, message):
    if message is None:
        assert len(plan(depth, new, groups)) == new
        return
    with pytest.raises(UsageError, match=message):
        plan(depth, new, groups)


@pytest.mark.parametrize('name', [pytest.param(n, marks=() if n in OFTEN else pytest.mark.slow) for n in FAMILIES])
def test_a_family_starts_as_it_is_learns_generates_and_becomes_an_ordinary_deeper_model(name, tmp_path):
    base = family(name)
    before, names, config = logits(base), list(base.state_dict()), base.config.to_dict()
    model = Swift.prepare_model(base, TWO)
    assert torch.equal(logits(model), before)
    losses = train(model)
    assert losses[-1] < losses[0]
    after = logits(model)
    assert torch.equal(generate(model, cache=True), generate(model, cache=False))
    with model.disable_adapter():
        assert torch.equal(logits(model), before)
        assert base.config.to_dict() == config and list(base.state_dict()) == names
    merged = Swift.merge_and_unload(model)
    assert merged is base and all(type(module) is not type(model) for module in merged.modules())
    torch.testing.assert_close(logits(merged), after, rtol=0, atol=1e-5)
    merged.save_pretrained(tmp_path)
    again = type(base).from_pretrained(tmp_path).float()
    torch.testing.assert_close(logits(again), after, rtol=0, atol=1e-5)
    assert torch.equal(generate(again, cache=True), generate(merged, cache=True))


def test_only_the_new_blocks_are_trained_and_saved(llama, tmp_path):
    model = Swift.prepare_model(llama(), LLaMAProConfig(num_new_blocks=1))
    blocks = model.model.model.layers
    assert [layer.self_attn.layer_idx for layer in blocks] == [0, 1, 2] and model.config.num_hidden_layers == 3
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {
        f'model.model.layers.2.{name}' for name, _ in blocks[2].named_parameters()}
    outputs = {'self_attn.o_proj.weight', 'mlp.down_proj.weight'}
    for name, weight in blocks[2].named_parameters():
        assert torch.equal(weight, torch.zeros_like(weight) if name in outputs else blocks[1].get_parameter(name))
    Swift.save_pretrained(model, tmp_path)
    assert set(load_file(tmp_path / 'adapter_model.safetensors')) == {
        f'tuner.blocks.2.{name}' for name in blocks[2].state_dict()}
    assert json.loads((tmp_path / 'adapter_config.json').read_text())['num_new_blocks'] == 1


def test_layers_of_experts_and_bare_weights_are_silenced_too():
    model = Swift.prepare_model(family('qwen3_moe'), TWO)
    for block in model.tuners['default'].tuner.blocks.values():
        assert not block.mlp.experts.down_proj.any() and block.mlp.experts.gate_up_proj.any()
        assert block.mlp.gate.weight.any() and not block.self_attn.o_proj.weight.any()


def test_scales_of_normalised_outputs_start_at_zero_and_projections_stay():
    model = Swift.prepare_model(family('gemma2'), TWO)
    for block in model.tuners['default'].tuner.blocks.values():
        assert block.self_attn.o_proj.weight.any() and block.mlp.down_proj.weight.any()
        assert torch.equal(block.post_attention_layernorm.weight, torch.full((32,), -1.0))  # Gemma scales by 1 + w
    assert model.config.layer_types == ['sliding_attention', 'sliding_attention', 'full_attention', 'full_attention']


def test_in_half_precision_the_new_blocks_are_trained_in_fp32(llama):
    base = llama().to(torch.bfloat16)
    before = logits(base)
    model = Swift.prepare_model(base, TWO)
    assert torch.equal(logits(model), before)
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    train(model)
    after = logits(model)
    merged = Swift.merge_and_unload(model)
    assert {p.dtype for p in merged.parameters()} == {torch.bfloat16}
    torch.testing.assert_close(logits(merged), after, rtol=0, atol=0.1)


def test_other_tuners_find_the_blocks_by_the_names_of_the_base_model(llama, tmp_path):
    first = r'model\.layers\.0\.mlp\.down_proj'
    configs = {'pro': TWO, 'part': PartConfig(target_modules=['model.layers.1.mlp']),
               'lora': LoraConfig(r=2, target_modules=first)}
    model = Swift.prepare_model(llama(), configs)
    assert torch.equal(logits(model), logits(llama()))
    train(model)
    wanted = logits(model)
    Swift.save_pretrained(model, tmp_path)
    assert all('layers.0.' in name for name in load_file(tmp_path / 'lora' / 'adapter_model.safetensors'))
    assert torch.equal(logits(Swift.from_pretrained(llama(), tmp_path)), wanted)
    torch.testing.assert_close(logits(Swift.merge_and_unload(model)), wanted, rtol=0, atol=1e-5)


def test_two_at_once_add_up_and_are_not_merged_at_once(llama):
    model = Swift.prepare_model(llama(), {'one': TWO, 'two': LLaMAProConfig(num_new_blocks=1)})
    assert len(model.model.model.layers) == 5
    assert [layer.self_attn.layer_idx for layer in model.model.model.layers] == list(range(5))
    train(model)
    both = logits(model)
    with pytest.raises(UsageError, match="'one' and 'two' can not be merged at once"):
        Swift.merge_and_unload(model)
    assert torch.equal(logits(model), both)
    Swift.set_active(model, ['two'])
    alone = logits(model)
    merged = Swift.merge_and_unload(model)
    assert len(merged.model.layers) == 3
    torch.testing.assert_close(logits(merged), alone)


def test_blocks_of_another_depth_are_refused(llama, tmp_path):
    Swift.save_pretrained(Swift.prepare_model(llama(), TWO), tmp_path)
    deeper = LlamaForCausalLM(LlamaConfig(
        vocab_size=128, hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2))
    with pytest.raises(SwiftError, match=r'onto this model: tuner.blocks.4.self_attn.q_proj.weight is missing'):
        Swift.from_pretrained(deeper, tmp_path)


class Block(nn.Module):
    """A block of no known family, with parts called otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Sequential(nn.Linear(8, 16), nn.Tanh())
        self.back = nn.Linear(16, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.back(self.mix(x))


class Stack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ModuleList([Block(), Block()])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for step in self.steps:
            x = step(x)
        return x


def test_a_model_of_ones_own_names_what_writes():
    torch.manual_seed(0)
    stack, x = Stack(), torch.randn(3, 8)
    before = stack(x)
    with pytest.raises(UsageError, match=r'steps.0: which layer of mix and back .* it has mix.0, back. Name those'):
        Swift.prepare_model(stack, TWO)
    model = Swift.prepare_model(stack, LLaMAProConfig(num_new_blocks=2, output_projections=['back']))
    assert torch.equal(model(x), before) and len(stack.steps) == 4
    with pytest.raises(UsageError, match='--llamapro_block_path layers: Stack has no list .* its lists are steps'):
        Swift.prepare_model(Stack(), LLaMAProConfig(block_path='layers'))


def test_models_that_more_blocks_do_not_fit_are_refused():
    scaled = LlamaForCausalLM(LlamaConfig(
        vocab_size=128, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4))
    scaled.config.quantization_config = {'quant_method': 'bitsandbytes'}
    with pytest.raises(UsageError, match='quantised blocks can not be'):
        Swift.prepare_model(scaled, TWO)
    with pytest.raises(UsageError, match=r'describes another model \(model.layers.0.residual_scale would be'):
        Swift.prepare_model(tiny_model(transformers.MiniCPM3ForCausalLM, 'minicpm3'), TWO)
    late = tiny_model(transformers.OPTForCausalLM, 'opt')
    for layer in late.model.decoder.layers:
        layer.do_layer_norm_before = False  # as in OPT-350m: x + 0 is normalised
    with pytest.raises(UsageError, match='does not fit OPTForCausalLM: .*(change what it answers|describes another)'):
        Swift.prepare_model(late, TWO)
