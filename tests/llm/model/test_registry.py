from __future__ import annotations

import pytest

from swift.llm.model.registry import (
    MODELS,
    ModelFamily,
    Variant,
    add_checkpoints,
    add_family,
    choose,
    hubs,
    match_config,
    match_hub_id,
    settle,
    unknown_model,
)
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
        for template in set(family.templates()) - {None}:
            assert template in TEMPLATES, f'{family.name} wants the template {template}'
        for pair in family.pairs():
            assert all(hub_id is None or hub_id.count('/') == 1 for hub_id in pair), family.name


def test_an_unknown_name_suggests_near_ones():
    with pytest.raises(UsageError, match="Unknown model 'qwen1half-7b-caht'. Did you mean 'qwen1half-7b-chat'"):
        MODELS.get('qwen1half-7b-caht')
    assert "'smollm2-135m-instruct'" in str(unknown_model('smollm2-135m'))


def test_a_hub_id_is_found_on_either_hub_in_any_letter_case():
    found = match_hub_id('META-llama/meta-llama-3-8b-instruct')
    assert [match.family.name for match in found] == ['llama', 'llama3-8b-instruct']
    assert {(match.ms_id, match.hf_id) for match in found} == {
        ('LLM-Research/Meta-Llama-3-8B-Instruct', 'meta-llama/Meta-Llama-3-8B-Instruct')}
    assert match_hub_id('nobody/nothing') == []


def test_the_template_of_a_match_is_that_of_the_checkpoint():
    assert {m.family.name: m.family.template for m in match_hub_id('qwen/Qwen2.5-7B')} == {
        'qwen2_5-7b': 'default-generation', 'qwen2': 'qwen2_5'}


def test_among_entries_with_one_template_the_checkpoint_wins_else_the_family():
    assert choose(match_hub_id('Qwen/Qwen2.5-7B-Instruct')).family.name == 'qwen2_5-7b-instruct'
    assert choose(match_hub_id('Qwen/Qwen2.5-7B')).family.name == 'qwen2'


def test_config_matches_by_architecture_families_not_their_checkpoints():
    found = match_config({'architectures': ['Qwen3ForCausalLM']})
    assert [family.name for family in found][:1] == ['qwen3']
    assert not [family.name for family in match_config({'architectures': ['Qwen2ForCausalLM']}) if family.family]
    assert match_config({}) == []


def test_entries_that_agree_settle_on_the_widest_one():
    one = ModelFamily('one', hub_ids=('a/1',), template='chatml', target_modules=('q_proj',))
    two = ModelFamily('two', hub_ids=('b/1', 'b/2'), template='chatml')
    assert settle([two, one]) is two
    assert settle([]) is None


def test_entries_that_differ_in_template_leave_it_open_and_keep_what_they_share():
    one = ModelFamily('one', hub_ids=('a/1', 'a/2'), template='chatml', target_modules=('q_proj',), requires=('timm',),
                      variants=(Variant('qwen', ('a/2',)),))
    two = ModelFamily('two', hub_ids=('b/1',), template='llama3', target_modules=('q_proj',))
    settled = settle([one, two])
    assert (settled.template, settled.alternatives) == (None, ('chatml', 'qwen', 'llama3'))
    assert (settled.target_modules, settled.requires) == (('q_proj',), ())
    assert settle([one]).alternatives == ('chatml', 'qwen')


@pytest.fixture
def scratch(monkeypatch):
    """The registry without what a test adds to it."""
    monkeypatch.setattr(MODELS, '_entries', dict(MODELS._all()))


def test_a_family_is_one_entry_with_its_variants(scratch):
    family = add_family('toy', 'ToyForCausalLM', template='chatml', requires=('timm',), tags=('math',),
                        ids=('us/Toy-1B', *hubs('ms', 'hf', 'Toy-2B')),
                        variants=(Variant('qwen', (('us/Toy-3B', None),), requires=(), tags=('moe',)),))
    assert list(family.pairs()) == [('us/Toy-1B', 'us/Toy-1B'), ('ms/Toy-2B', 'hf/Toy-2B'), ('us/Toy-3B', None)]
    assert family.templates() == ('chatml', 'qwen')
    plain, = match_hub_id('HF/toy-2b')
    assert (plain.ms_id, plain.family.template, plain.family.requires, plain.family.tags) == (
        'ms/Toy-2B', 'chatml', ('timm',), ('math',))
    varied, = match_hub_id('us/toy-3b')
    assert (varied.hf_id, varied.family.template, varied.family.requires, varied.family.tags) == (
        None, 'qwen', (), ('moe',))


def test_checkpoints_take_from_their_family_what_they_do_not_say(scratch):
    family = add_family('toy', 'ToyForCausalLM', template='chatml', tags=('math',), multimodal=True,
                        ids=hubs('ms', 'hf', 'Toy-1B'))
    add_checkpoints(family, ('toy-1b', 'qwen', 'ms/Toy-1B'), ('toy-9b', 'qwen', 'ms/Toy-9B', 'hf/Toy_9B'),
                    target_modules=('q_proj',))
    one, nine = MODELS.get('toy-1b'), MODELS.get('toy-9b')
    assert (list(one.pairs()), list(nine.pairs())) == ([('ms/Toy-1B', 'hf/Toy-1B')], [('ms/Toy-9B', 'hf/Toy_9B')])
    assert (one.family, one.architectures, one.tags, one.multimodal, one.target_modules) == (
        'toy', ('ToyForCausalLM',), ('math',), True, ('q_proj',))
    assert {match.family.name for match in match_hub_id('hf/toy-1b')} == {'toy', 'toy-1b'}


def test_an_entry_checks_itself():
    with pytest.raises(ValueError, match='1 hub_ids but 2 hf_ids'):
        ModelFamily('x', hub_ids=('a/b',), hf_ids=('a/b', 'c/d'))
    with pytest.raises(ValueError, match="'a/z', which is not in hub_ids"):
        ModelFamily('x', hub_ids=('a/b',), variants=(Variant('qwen', ('a/z',)),))
