from __future__ import annotations

import pytest
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from swift.tuners.targets import find_blocks, find_saved, find_targets
from swift.utils.errors import UsageError

LINEARS = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']


def test_all_is_every_linear_layer_but_the_head(llama):
    model = llama()
    for word in ('ALL', 'all-linear', 'all_linear', 'DEFAULT', 'AUTO'):
        assert find_targets(model, [word], exclude=[model.lm_head]) == LINEARS


def test_default_is_what_the_caller_says(llama):
    assert find_targets(llama(), ['DEFAULT'], defaults=('q_proj', 'v_proj')) == ['q_proj', 'v_proj']
    assert find_targets(llama(), ['DEFAULT', 'up_proj', 'q_proj'], defaults=('q_proj',)) == ['q_proj', 'up_proj']


def test_embedding(llama):
    assert find_targets(llama(), ['EMBEDDING', 'q_proj']) == ['embed_tokens', 'q_proj']


def test_conv1d_of_gpt2_is_linear():
    model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=16, n_positions=8))
    assert find_targets(model, ['ALL'], exclude=[model.lm_head]) == ['c_attn', 'c_proj', 'c_fc']


def test_full_names_where_short_ones_would_match_more():
    model = nn.ModuleDict({'a': nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)), 'head': nn.Linear(2, 2)})
    assert find_targets(model, ['ALL'], exclude=[model['head']]) == ['a.0', 'a.2']
    model = nn.ModuleDict({'x': nn.ModuleDict({'out': nn.Linear(2, 2)}), 'out': nn.Linear(2, 2)})
    assert find_targets(model, ['ALL'], exclude=[model['out']]) == ['x.out']


def test_names_that_match_nothing_list_what_there_is(llama):
    with pytest.raises(UsageError, match=r"--target_modules: no module is called 'q_prj'\. Did you mean 'q_proj'.*"
                                         r'Linear layers here: down_proj, .*for example model\.layers\.0'):
        find_targets(llama(), ['q_prj'])
    with pytest.raises(UsageError, match="no module is called 'Wqkv'"):
        find_targets(llama(), ['DEFAULT'], defaults=('Wqkv',))
    with pytest.raises(UsageError, match='found nothing to adapt. It has no linear layer'):
        find_targets(nn.ReLU(), ['ALL'])


def test_regex(llama):
    assert find_targets(llama(), ['DEFAULT'], regex=r'.*layers\.0\..*proj') == r'.*layers\.0\..*proj'
    with pytest.raises(UsageError, match='matches no whole module name'):
        find_targets(llama(), [], regex='q_proj')
    with pytest.raises(UsageError, match='is not a regular expression'):
        find_targets(llama(), [], regex='(')


def test_modules_to_save(llama):
    assert find_saved(llama(), ['EMBEDDING', 'LN', 'lm_head']) == [
        'embed_tokens', 'input_layernorm', 'post_attention_layernorm', 'norm', 'lm_head']
    with pytest.raises(UsageError, match="--modules_to_save: no module is called 'score'"):
        find_saved(llama(), ['score'])


def test_blocks_are_the_list_with_the_most_parameters(llama):
    assert find_blocks(llama()) == 'model.layers'
    assert find_blocks(GPT2LMHeadModel(GPT2Config(n_layer=2, n_embd=8, n_head=2, vocab_size=16, n_positions=8))
                       ) == 'transformer.h'
    experts = [nn.ModuleDict({'experts': nn.ModuleList(nn.Linear(4, 4) for _ in range(3))}) for _ in range(2)]
    tower = nn.ModuleList(nn.Linear(4, 4) for _ in range(5))
    assert find_blocks(nn.ModuleDict({'tower': tower, 'layers': nn.ModuleList(experts)})) == 'layers'
    with pytest.raises(UsageError, match='Sequential has no list of blocks'):
        find_blocks(nn.Sequential(nn.Linear(2, 2)))


def test_parts_of_every_block(llama):
    assert find_targets(llama(), ['BLOCK'], whole=True) == ['model.layers.0', 'model.layers.1']
    assert find_targets(llama(), ['ATTENTION', 'MLP'], whole=True) == ['self_attn', 'mlp']
    assert find_targets(llama(), ['ATTENTION']) == ['q_proj', 'k_proj', 'v_proj', 'o_proj']
    assert find_targets(llama(), ['mlp'], whole=True) == ['mlp']
    model = nn.Sequential(nn.ModuleList([nn.Sequential(nn.Linear(2, 2))]))
    with pytest.raises(UsageError, match=r'--target_modules MLP: no part of 0 is called so; its parts are 0\.'):
        find_targets(model, ['MLP'])
