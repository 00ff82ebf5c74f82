"""From options to peft's configuration: every option arrives, and nothing else is set."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
import torch
from peft import PEFT_TYPE_TO_CONFIG_MAPPING, OSFConfig

from swift.tuners.api import Swift
from swift.tuners.native import NativeConfig
from swift.tuners.registry import TUNERS

FOUND = {'targets': ['q_proj', 'v_proj'], 'modules_to_save': [], 'tokenizer': 'some/folder'}
WORDS = {'lora_rank_pattern': '{"v_proj": 3}', 'lora_alpha_pattern': '{"v_proj": 3}', 'target_parameters': ['w.down'],
         'lora_ga_direction': 'random', 'lora_ga_scale': 'unit', 'corda_method': 'kpm',
         'init_weights': 'bat', 'lora_bias': 'all', 'road_variant': 'road_2', 'ia3_feedforward_modules': ['v_proj'],
         'prompt_tuning_init': 'random', 'prompt_tuning_init_text': 'Classify:', 'p_tuning_encoder': 'lstm',
         'p_tuning_hidden_size': 24, 'llamapro_num_groups': 2, 'llamapro_block_path': 'model.blocks',
         'llamapro_output_projections': ['out'], 'reft_layer_key': 'model.blocks', 'reft_layers': [1],
         'reft_intervention_type': 'DireftIntervention', 'reft_args': '{"dropout": 0.1}', 'reft_hidden_size': 32,
         'glora_config_A_B': 'vector', 'glora_config_C': 'none',
         'glora_config_D_E': 'vector', 'deft_decomposition_method': 'qr', 'peanut_act_fn': 'gelu',
         'supertuning_rank': 3, 'adapter_act': 'relu'}
BESIDE = ('longlora_group_size_ratio',)  # told to the model, not to the adapter
NESTED = {'restuning_length': lambda value: {'res_adapter': {'adapter_length': value}}}
TOGETHER = {'boft_block_num': {'boft_block_size': 0}, 'eva_rho': {'init_weights': 'eva'},
            'corda_method': {'init_weights': 'corda'},
            **dict.fromkeys(('lora_ga_direction', 'lora_ga_scale', 'lora_ga_stable_gamma'),
                            {'init_weights': 'lora-ga'})}


def _other(field: dataclasses.Field):
    """Another value than the default."""
    if field.name in WORDS:
        return WORDS[field.name]
    if field.type == 'bool':
        return not field.default
    step = {'int': 2, 'float': 0.05 if field.default < 0.9 else -0.05}[field.type]
    return field.default + step


def _values(config) -> dict:
    return config.to_json() if isinstance(config, NativeConfig) else config.to_dict()


@pytest.mark.parametrize('name', TUNERS.names())
def test_every_option_reaches_the_configuration(name):
    method = TUNERS.get(name)
    found = {key: value for key, value in FOUND.items() if key in {f.name for f in dataclasses.fields(method.options)}}
    plain = _values(method.build(method.options(**found)))
    assert set(plain.get('target_modules', ())) == set(found.get('targets', ()))
    assert plain.get('swift_type') or plain['task_type'] == 'CAUSAL_LM'
    for field in dataclasses.fields(method.options):
        if field.name not in (*FOUND, *BESIDE):
            value = _other(field)
            options = method.options(**found, **TOGETHER.get(field.name, {}), **{field.name: value})
            changed = _values(method.build(options))
            wanted = [value, set(value) if isinstance(value, list) else value]
            wanted += [NESTED[field.name](value)] if field.name in NESTED else []
            wanted += [value.upper()] if isinstance(value, str) else []
            wanted += [json.loads(value)] if field.name.endswith('_pattern') else []
            parts = [value_of for key, value_of in changed.items() if plain[key] != value_of]
            parts += [part for inner in parts if isinstance(inner, dict) for part in inner.values()]
            assert [part for part in parts if part in wanted], field.name
    saved = _values(method.build(method.options(**(found | {'modules_to_save': ['norm']}))))
    assert list(saved['modules_to_save']) == ['norm']


# Of peft 0.21.2: they go through Swift.prepare_model, and docs/tuners.md says why they have no name.
UNNAMED = ('adamss', 'adaption_prompt', 'cartridge', 'cpt', 'frod', 'lily', 'multitask_prompt_tuning', 'osf', 'poly',
           'pvera', 'shadow', 'trainable_tokens', 'xlora')


def test_what_peft_has_is_named_or_told():
    named = set()
    for method in TUNERS:
        if method.native is None:
            found = {key: value for key, value in FOUND.items()
                     if key in {field.name for field in dataclasses.fields(method.options)}}
            named.add(method.build(method.options(**found)).peft_type.value)
    known = {kind.value for kind in PEFT_TYPE_TO_CONFIG_MAPPING}
    assert known - named == {name.upper() for name in UNNAMED}, 'peft has a method that we neither name nor list'
    for page in ('tuners.md', 'tuners_zh.md'):
        text = (Path(__file__).parents[2] / 'docs' / page).read_text(encoding='utf-8')
        rows = re.findall(r'^\| \[?`(\w+)`(?:\]\([\w/.]+\))? \|', text, re.MULTILINE)
        names = {method.name for method in TUNERS if method.native is None}
        assert not {*UNNAMED, *names} - set(rows) and len(set(rows)) == len(rows), page


def test_a_method_without_a_name_goes_through_unchanged(llama):
    """OSF, which peft adds into the weights anew whenever it unloads."""
    ids = torch.arange(12)[None]
    model = Swift.prepare_model(llama(), OSFConfig(task_type='CAUSAL_LM', target_modules=['q_proj', 'up_proj']))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    wanted = model.eval()(input_ids=ids).logits
    assert not torch.allclose(wanted, llama()(input_ids=ids).logits, atol=1e-3)
    torch.testing.assert_close(Swift.merge_and_unload(model)(input_ids=ids).logits, wanted, atol=1e-5, rtol=1e-4)
