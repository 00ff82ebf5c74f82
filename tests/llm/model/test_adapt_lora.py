"""Where LoRA goes and with which rank, from the flags to the layers: patterns, blocks, parts, experts."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from swift.llm.args.groups import TunerArgs
from swift.llm.model.adapt import adapt
from swift.tuners.api import Swift
from swift.utils.errors import UsageError

IDS = torch.arange(24).view(2, 12)
SMALL = {'vocab_size': 128, 'hidden_size': 32, 'intermediate_size': 48, 'num_attention_heads': 4,
         'num_key_value_heads': 2, 'tie_word_embeddings': False}


def llama(layers: int = 2, **more) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SMALL, num_hidden_layers=layers, **more)).eval()


def qwen3_moe() -> Qwen3MoeForCausalLM:
    torch.manual_seed(0)
    return Qwen3MoeForCausalLM(Qwen3MoeConfig(**SMALL, num_hidden_layers=2, moe_intermediate_size=24, num_experts=4,
                                              num_experts_per_tok=2, head_dim=8)).eval()


def mixtral() -> MixtralForCausalLM:
    torch.manual_seed(0)
    return MixtralForCausalLM(MixtralConfig(**SMALL, num_hidden_layers=2, num_local_experts=4,
                                            num_experts_per_tok=2)).eval()


def train(model, steps: int = 8) -> list[float]:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    losses = []
    model.train()
    for _ in range(steps):
        loss = model(input_ids=IDS, labels=IDS).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    model.eval()
    return losses


@torch.no_grad()
def logits(model) -> torch.Tensor:
    return model(IDS).logits


def layers_with_rank(model) -> dict[str, int]:
    return {name.removeprefix('base_model.model.').partition('.lora_A')[0]: len(p)
            for name, p in model.named_parameters() if '.lora_A' in name}


def test_ranks_and_alphas_by_pattern():
    model = adapt(llama(), TunerArgs(target_modules=['q_proj', 'up_proj'], lora_rank=2, lora_alpha=4,
                                     lora_rank_pattern='{"q_proj": 16, "layers.0..*": 4}',
                                     lora_alpha_pattern='{"layers.1.mlp.up_proj": 32}'))
    assert layers_with_rank(model) == {
        'model.layers.0.self_attn.q_proj': 16, 'model.layers.1.self_attn.q_proj': 16,  # the first key counts
        'model.layers.0.mlp.up_proj': 4, 'model.layers.1.mlp.up_proj': 2}
    blocks = model.base_model.model.model.layers
    assert blocks[1].mlp.up_proj.scaling == {'default': 16.0} and blocks[0].self_attn.q_proj.scaling['default'] == 0.25


@pytest.mark.parametrize('flag', ['lora_rank_pattern', 'lora_alpha_pattern'])
def test_a_pattern_that_matches_nothing_or_is_none(flag):
    with pytest.raises(UsageError, match=rf"--{flag}: 'k_proj' matches the end of no module that gets an adapter, for "
                                         r'example of model\.layers\.0\.self_attn\.q_proj'):
        adapt(llama(), TunerArgs(target_modules=['q_proj'], **{flag: '{"k_proj": 16}'}))
    with pytest.raises(UsageError, match=rf"--{flag}: '\(' is not a regular expression"):
        adapt(llama(), TunerArgs(target_modules=['q_proj'], **{flag: '{"(": 16}'}))
    for text, problem in (('{"q_proj": 0}', "'q_proj' needs a number above 0, got 0"), ('[1]', 'takes a JSON map'),
                          ('{', 'is not JSON')):
        with pytest.raises(UsageError, match=f'--{flag}.*{problem}'):
            TunerArgs(**{flag: text})


def test_some_blocks_and_all_but_some_modules():
    chosen = layers_with_rank(adapt(llama(12), TunerArgs(layers_to_transform=[1, 11], exclude_modules=['mlp'])))
    assert set(chosen) == {f'model.layers.{block}.self_attn.{part}' for block in (1, 11)
                           for part in ('q_proj', 'k_proj', 'v_proj', 'o_proj')}
    chosen = layers_with_rank(adapt(llama(), TunerArgs(exclude_modules=['q_proj', 'model.layers.0'])))
    assert len(chosen) == 6 and all('.1.' in name and 'q_proj' not in name for name in chosen)
    with pytest.raises(UsageError, match="--exclude_modules: no module with an adapter is called 'lm_head'"):
        adapt(llama(), TunerArgs(exclude_modules=['lm_head']))
    with pytest.raises(UsageError, match='--layers_to_transform 2: .* there are 0 to 1'):
        adapt(llama(), TunerArgs(layers_to_transform=[0, 2]))
    with pytest.raises(UsageError, match='--exclude_modules leaves no module'):
        adapt(llama(), TunerArgs(exclude_modules=['model']))


@pytest.mark.parametrize('method', ['adalora', 'ia3', 'vera'])
def test_blocks_are_chosen_for_other_methods_too(method):
    model = adapt(llama(), TunerArgs(tuner_type=method, target_modules=['down_proj'], layers_to_transform=[1]))
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert names and all('layers.1.mlp.down_proj' in name or 'vera_' in name for name in names)
    assert not [name for name in names if 'layers.0' in name]


def test_the_name_of_a_part_means_its_linear_layers():
    assert set(layers_with_rank(adapt(llama(), TunerArgs(target_modules=['layers.0', 'mlp'])))) == {
        *(f'model.layers.0.self_attn.{part}_proj' for part in 'qkvo'),
        *(f'model.layers.{block}.mlp.{part}_proj' for block in (0, 1) for part in ('gate', 'up', 'down'))}


def test_lora_only_trains_the_biases_of_adapted_modules():
    model = adapt(llama(attention_bias=True, mlp_bias=True), TunerArgs(target_modules=['q_proj'],
                                                                       lora_bias='lora_only'))
    biases = [name for name, p in model.named_parameters() if p.requires_grad and name.endswith('bias')]
    assert len(biases) == 2 and all('q_proj' in name for name in biases)


@pytest.mark.parametrize('start', ['orthogonal', 'mica', 'gaussian'])
def test_starts_of_one_line(start):
    base = logits(llama())
    model = adapt(llama(), TunerArgs(target_modules=['q_proj'], lora_rank=4, init_weights=start))
    torch.testing.assert_close(logits(model.eval()), base, atol=1e-6, rtol=0)
    losses = train(model)
    assert losses[-1] < losses[0]


# ---------------------------------------------------------------------------------------------------------- experts

@pytest.mark.parametrize('words', [['q_proj'], [], ['DEFAULT']], ids=['q_proj', 'none', 'default'])
@pytest.mark.parametrize('make', [qwen3_moe, mixtral])
def test_adapters_on_experts_learn_are_saved_and_merge(make, words, tmp_path):
    model = adapt(make(), TunerArgs(target_modules=words, target_parameters=['EXPERTS'], lora_rank=2))
    assert torch.equal(logits(model.eval()), logits(make()))
    expert = model.base_model.model.model.layers[0].mlp.experts
    assert expert.parameter_name == 'down_proj' and expert.base_layer.parameter_name == 'gate_up_proj'
    losses = train(model)
    assert losses[-1] < losses[0]
    wanted = logits(model)
    Swift.save_pretrained(model, tmp_path)
    assert torch.equal(logits(Swift.from_pretrained(make(), tmp_path).eval()), wanted)
    merged = Swift.merge_and_unload(model)
    assert type(merged) is type(make()) and merged.state_dict().keys() == make().state_dict().keys()
    torch.testing.assert_close(logits(merged), wanted, atol=1e-5, rtol=0)
    assert not torch.allclose(logits(merged), logits(make()), atol=1e-2)


def test_merged_experts_keep_the_dtype_of_the_model():
    model = adapt(mixtral().to(torch.bfloat16), TunerArgs(target_modules=['q_proj'], target_parameters=['down_proj']))
    train(model, 2)
    assert {p.dtype for p in Swift.merge_and_unload(model).parameters()} == {torch.bfloat16}


def test_parameters_that_are_none(caplog):
    with pytest.raises(UsageError, match="--target_parameters: no parameter is called 'w1'. Bare expert weights here: "
                                         'mlp.experts.gate_up_proj, mlp.experts.down_proj'):
        adapt(qwen3_moe(), TunerArgs(target_parameters=['w1']))
    with pytest.raises(UsageError, match="'EXPERTS'. This model has no bare expert weights"):
        adapt(llama(), TunerArgs(target_parameters=['EXPERTS']))
    adapt(qwen3_moe(), TunerArgs())
    assert '--target_parameters EXPERTS gives them one' in caplog.text
