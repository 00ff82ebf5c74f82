from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, LlavaConfig, LlavaForConditionalGeneration

from swift.llm.args.groups import TunerArgs
from swift.llm.model.adapt import adapt, tuner_config
from swift.llm.model.registry import MODELS, ModelFamily
from swift.tuners.api import Swift
from swift.utils.errors import UsageError

ALL = {'q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'}


@pytest.fixture
def model(tiny_model_dir):
    return AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32)


def trained(model) -> list[str]:
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def test_every_lora_flag_reaches_peft(model):
    config = tuner_config(TunerArgs(
        lora_rank=4, lora_alpha=12, lora_dropout=0.1, lora_bias='all', use_rslora=True, use_dora=True,
        init_weights='pissa_niter_4', target_modules=['q_proj,v_proj', 'up_proj'], modules_to_save=['LN']), model)
    assert (config.r, config.lora_alpha, config.lora_dropout, config.bias) == (4, 12, 0.1, 'all')
    assert (config.use_rslora, config.use_dora, config.init_lora_weights) == (True, True, 'pissa_niter_4')
    assert config.target_modules == {'q_proj', 'v_proj', 'up_proj'}
    assert config.modules_to_save == ['input_layernorm', 'post_attention_layernorm', 'norm']
    assert config.task_type == 'CAUSAL_LM'
    assert tuner_config(TunerArgs(init_weights='true'), model).init_lora_weights is True


def test_default_targets_are_those_of_the_family_else_every_linear_layer(model):
    family = ModelFamily('x', target_modules=('q_proj', 'k_proj'))
    assert tuner_config(TunerArgs(), model, family).target_modules == {'q_proj', 'k_proj'}
    assert tuner_config(TunerArgs(target_modules=['ALL']), model, family).target_modules == ALL
    assert tuner_config(TunerArgs(), model).target_modules == ALL
    assert tuner_config(TunerArgs(target_regex=r'.*\.0\..*q_proj'), model).target_modules == r'.*\.0\..*q_proj'


def test_defaults_of_the_family_that_the_model_lacks_are_left_out(model):
    some = ModelFamily('x', target_modules=('q_proj', 'W_pack'))
    assert tuner_config(TunerArgs(), model, some).target_modules == {'q_proj'}
    assert tuner_config(TunerArgs(), model, ModelFamily('x', target_modules=('W_pack',))).target_modules == ALL
    with pytest.raises(UsageError, match="no module is called 'W_pack'"):  # typed, it is a mistake
        tuner_config(TunerArgs(target_modules=['W_pack']), model, some)


@pytest.fixture
def seeing():
    """An image-text model whose tower and language model both have q_proj."""
    text = {'model_type': 'llama', 'hidden_size': 16, 'intermediate_size': 32, 'num_hidden_layers': 2,
            'num_attention_heads': 2, 'num_key_value_heads': 2, 'vocab_size': 64}
    vision = {'model_type': 'clip_vision_model', 'hidden_size': 16, 'intermediate_size': 32, 'num_hidden_layers': 2,
              'num_attention_heads': 2, 'image_size': 28, 'patch_size': 14}
    config = LlavaConfig(text_config=text, vision_config=vision, image_token_index=63)
    return LlavaForConditionalGeneration(config)


def adapted_layers(model) -> set[str]:
    return {name.removeprefix('base_model.model.').partition('.lora_')[0] for name in trained(model)}


@pytest.mark.parametrize('family', [MODELS.get('llava1_5_hf'), None])
def test_lora_goes_on_the_language_model_of_a_model_that_sees(seeing, family):
    layers = adapted_layers(adapt(seeing, TunerArgs(), family=family))
    assert len(layers) == 2 * 7
    assert all(name.startswith('model.language_model.layers.') for name in layers)


def test_a_key_of_swift_2_adapts_the_projector_too(seeing):
    layers = adapted_layers(adapt(seeing, TunerArgs(), family=MODELS.get('llava1_5-7b-instruct')))
    assert len([name for name in layers if name.startswith('model.language_model.')]) == 2 * 7
    assert {name for name in layers if not name.startswith('model.language_model.')} == {
        'model.multi_modal_projector.linear_1', 'model.multi_modal_projector.linear_2'}


def test_every_linear_layer_of_a_model_that_sees_when_typed(seeing):
    layers = adapted_layers(adapt(seeing, TunerArgs(target_modules=['ALL'])))
    assert any('vision_tower' in name for name in layers) and 'lm_head' not in layers


def test_full_training_freezes_tower_and_projector_unless_freed(seeing):
    family = MODELS.get('llava1_5_hf')
    adapt(seeing, TunerArgs(tuner_type='full'), family=family)
    assert {'.'.join(name.split('.')[:2]) for name in trained(seeing)} == {'model.language_model', 'lm_head.weight'}
    adapt(seeing, TunerArgs(tuner_type='full', trainable_parameters=['model.multi_modal_projector']), family=family)
    assert any('multi_modal_projector' in name for name in trained(seeing))
    assert not any('vision_tower' in name for name in trained(seeing))


def test_lora_trains_only_the_adapter(model):
    adapted = adapt(model, TunerArgs(lora_rank=2, target_modules=['q_proj']))
    assert len(trained(adapted)) == 4 and all('lora_' in name for name in trained(adapted))
    assert Swift.get_trainable_parameters(adapted).trained == 2 * 2 * (32 + 32)


def test_lora_dtype(model):
    adapted = adapt(model.to(torch.bfloat16), TunerArgs())
    assert {p.dtype for p in adapted.parameters() if p.requires_grad} == {torch.float32}
    adapted = adapt(adapted.unload(), TunerArgs(lora_dtype='bfloat16'))
    assert {p.dtype for p in adapted.parameters() if p.requires_grad} == {torch.bfloat16}


@pytest.mark.parametrize('reentrant', [True, False])
def test_gradients_reach_the_adapter_through_checkpointing(model, reentrant):
    adapted = adapt(model, TunerArgs(lora_dropout=0)).train()
    adapted.gradient_checkpointing_enable({'use_reentrant': reentrant})
    ids = torch.tensor([[1, 2, 3, 4]])
    adapted(input_ids=ids, labels=ids).loss.backward()
    assert all(p.grad is not None for p in adapted.parameters() if p.requires_grad)


def test_full_trains_everything(model):
    assert adapt(model, TunerArgs(tuner_type='full')) is model
    assert len(trained(model)) == len(list(model.parameters()))


def test_freezing_by_name_and_freeing_again(model):
    adapt(model, TunerArgs(tuner_type='full', freeze_parameters=['model.embed_tokens', 'model.layers.0'],
                           trainable_parameters=['model.layers.0.mlp']))
    names = trained(model)
    assert 'model.embed_tokens.weight' not in names and 'model.layers.0.self_attn.q_proj.weight' not in names
    assert 'model.layers.0.mlp.up_proj.weight' in names and 'model.layers.1.self_attn.q_proj.weight' in names


def test_freezing_and_freeing_by_an_expression(model):
    adapt(model, TunerArgs(tuner_type='full', freeze_parameters_regex=r'layers\.\d+\.mlp|embed',
                           trainable_parameters_regex=r'\.0\.mlp\.up_proj'))
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert 'model.layers.1.mlp.up_proj.weight' in frozen and 'model.embed_tokens.weight' in frozen
    assert 'model.layers.0.mlp.up_proj.weight' not in frozen and 'model.layers.0.mlp.gate_proj.weight' in frozen
    assert not [name for name in frozen if 'self_attn' in name or 'norm' in name]
    with pytest.raises(UsageError, match=r"--trainable_parameters_regex 'wte' is found in no name .* There are: model"):
        adapt(model, TunerArgs(tuner_type='full', trainable_parameters_regex='wte'))


def test_freezing_by_ratio_goes_from_the_input_up(model):
    total = Swift.get_trainable_parameters(model).total
    embedding = model.get_input_embeddings().weight.numel()
    adapt(model, TunerArgs(tuner_type='full', freeze_parameters_ratio=(embedding + 1) / total))
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert frozen == ['model.embed_tokens.weight']


def test_nothing_left_to_train_is_an_error(model):
    with pytest.raises(UsageError, match='Every parameter is frozen.*--freeze_parameters_ratio'):
        adapt(model, TunerArgs(tuner_type='full', freeze_parameters_ratio=1.0))
    with pytest.raises(UsageError, match='Every parameter is frozen'):
        adapt(model, TunerArgs(tuner_type='full', freeze_parameters=['model']))


def test_names_that_match_nothing(model):
    with pytest.raises(UsageError, match=r"--freeze_parameters: no parameter starts with 'transformer\.h'\. There are: "
                                         r'model\.embed_tokens, model\.layers, model\.norm'):
        adapt(model, TunerArgs(tuner_type='full', freeze_parameters=['transformer.h']))
    with pytest.raises(UsageError, match="--trainable_parameters: no parameter starts with 'x'"):
        adapt(model, TunerArgs(tuner_type='full', trainable_parameters=['x']))
    with pytest.raises(UsageError, match="no module is called 'query'"):
        adapt(model, TunerArgs(target_modules=['query']))


def test_freezing_is_refused_beside_an_adapter(model):
    with pytest.raises(UsageError, match='--freeze_parameters_ratio belongs to --tuner_type full; with lora'):
        adapt(model, TunerArgs(freeze_parameters_ratio=0.5))
