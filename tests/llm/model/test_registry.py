from __future__ import annotations

import pytest

from swift.llm.model.registry import MODELS, ModelFamily, choose, match_config, match_hub_id, unknown_model
from swift.llm.template.registry import TEMPLATES
from swift.utils.errors import UsageError


def test_seed_and_newest_names_are_registered():
    assert {'qwen1half-7b-chat', 'qwen1half-7b', 'qwen1half-32b-chat', 'qwen2-0_5b-instruct', 'qwen2_5-7b-instruct',
            'llama3-8b-instruct', 'qwen2', 'qwen3', 'llama', 'smollm2-135m-instruct'} <= set(MODELS.names())


def test_a_seed_key_names_one_checkpoint():
    family = MODELS.get('qwen1half-7b-chat')
    assert (family.hub_ids, family.template) == (('Qwen/Qwen1.5-7B-Chat',), 'qwen')
    assert family.target_modules == ('q_proj', 'k_proj', 'v_proj')
    assert MODELS.get('qwen1half-7b').template == 'default-generation'


def test_every_named_template_exists_and_ids_are_owner_slash_name():
    for family in MODELS:
        for template in family.templates() - {None}:
            assert template in TEMPLATES, f'{family.name} wants the template {template}'
        for pair in family.pairs():
            assert all(hub_id is None or hub_id.count('/') == 1 for hub_id in pair), family.name


def test_an_unknown_name_suggests_near_ones():
    with pytest.raises(UsageError, match="Unknown model 'qwen1half-7b-caht'. Did you mean 'qwen1half-7b-chat'"):
        MODELS.get('qwen1half-7b-caht')
    assert "'smollm2-135m-instruct'" in str(unknown_model('smollm2-135m'))


def test_a_hub_id_is_found_on_either_hub_in_any_letter_case():
    found = match_hub_id('META-llama/meta-llama-3-8b-instruct')
    assert [match.family.name for match in found] == ['llama3-8b-instruct', 'llama']
    assert {(match.ms_id, match.hf_id) for match in found} == {
        ('LLM-Research/Meta-Llama-3-8B-Instruct', 'meta-llama/Meta-Llama-3-8B-Instruct')}
    assert match_hub_id('nobody/nothing') == []


def test_the_template_of_a_match_is_that_of_the_checkpoint():
    assert {m.family.name: m.family.template for m in match_hub_id('qwen/Qwen2.5-7B')} == {
        'qwen2_5-7b': 'default-generation', 'qwen2': 'qwen2_5'}


def test_among_entries_with_one_template_the_checkpoint_wins_else_the_family():
    assert choose(match_hub_id('Qwen/Qwen2.5-7B-Instruct')).family.name == 'qwen2_5-7b-instruct'
    assert choose(match_hub_id('Qwen/Qwen2.5-7B')).family.name == 'qwen2'


def test_config_matches_by_architecture():
    assert {family.name for family in match_config({'architectures': ['Qwen3ForCausalLM']})} == {'qwen3'}
    assert match_config({}) == []


def test_an_entry_checks_itself():
    with pytest.raises(ValueError, match='1 hub_ids but 2 hf_ids'):
        ModelFamily('x', hub_ids=('a/b',), hf_ids=('a/b', 'c/d'))
    with pytest.raises(ValueError, match="'a/z', which is not in hub_ids"):
        ModelFamily('x', hub_ids=('a/b',), id_templates=(('a/z', 'qwen'),))
