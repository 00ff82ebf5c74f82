"""Attention by documents in models of transformers: against the model itself, row by row, and what it must not drop."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import (
    AttentionInterface,
    BloomConfig,
    BloomForCausalLM,
    GptOssConfig,
    GptOssForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from swift.kernels.varlen import Documents
from swift.llm.model import attention
from swift.llm.model.attention import Switched, document_attention, documents_seen, padded_formula, see_documents

SIZES = {'hidden_size': 32, 'intermediate_size': 48, 'num_hidden_layers': 2, 'num_attention_heads': 4,
         'num_key_value_heads': 2, 'vocab_size': 96, 'head_dim': 8}
LENGTHS = (7, 1, 12)


def llama(attn='sdpa', **further):
    torch.manual_seed(0)
    return LlamaForCausalLM._from_config(LlamaConfig(**SIZES, **further), attn_implementation=attn).eval()


def gpt_oss():
    torch.manual_seed(0)
    config = GptOssConfig(**SIZES, num_local_experts=4, num_experts_per_tok=2, sliding_window=4, pad_token_id=0,
                          rope_parameters={'rope_type': 'default', 'rope_theta': 1e4})
    model = GptOssForCausalLM(config).eval()
    for layer in model.model.layers:
        nn.init.normal_(layer.self_attn.sinks)
    return model


def line():
    rows = torch.randint(96, (1, sum(LENGTHS)), generator=torch.Generator().manual_seed(1))
    return rows, torch.cat([torch.arange(n) for n in LENGTHS])[None]


def one_by_one(model):
    return torch.cat([model(input_ids=row, use_cache=False).logits[0] for row in line()[0].split(LENGTHS, 1)])


def in_one_line(model, **told):
    ids, positions = line()
    told = told or documents_seen(Documents.of(LENGTHS))
    return model(input_ids=ids, position_ids=positions, use_cache=False, **told).logits[0]


@torch.no_grad()
@pytest.mark.filterwarnings('ignore:flex_attention called without')
@pytest.mark.parametrize('make', [llama, functools.partial(llama, 'eager'), functools.partial(llama, 'flex_attention'),
                                  gpt_oss], ids=['sdpa', 'eager', 'flex', 'sinks and windows'])
def test_a_line_gives_what_its_rows_give_alone_and_it_can_be_undone(make):
    model = make()
    name = model.config._attn_implementation
    before = one_by_one(model) if name != 'flex_attention' else one_by_one(llama())
    switched = see_documents(model)
    assert isinstance(switched, Switched) and model.config._attn_implementation.startswith('swift_documents')
    torch.testing.assert_close(in_one_line(model), before, rtol=1e-4, atol=1e-5)
    switched.restore()
    assert model.config._attn_implementation == name


@torch.no_grad()
@pytest.mark.parametrize('make', [llama, functools.partial(llama, 'eager'), gpt_oss], ids=['sdpa', 'eager', 'gpt_oss'])
def test_padded_batches_and_generation_are_as_before(make):
    model = make()
    mask = torch.tensor([[1] * 9, [1] * 4 + [0] * 5])
    ids = torch.randint(96, (2, 9), generator=torch.Generator().manual_seed(2))

    def found():
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[mask.bool()]
        return logits, model.generate(ids[:1], max_new_tokens=6, do_sample=False, pad_token_id=0)

    before, written = found()
    see_documents(model)
    after, written_again = found()
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-6)
    assert torch.equal(written, written_again)


class Sizes(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        self.largest = max([self.largest, *(x.numel() for x in tree_leaves(out) if isinstance(x, torch.Tensor))])
        return out


def test_no_mask_of_the_line_is_made():
    model, lengths = llama(), [16] * 64
    see_documents(model)
    ids = torch.randint(96, (1, 1024))
    positions = torch.arange(16).repeat(64)[None]
    sizes = []
    for told in (documents_seen(Documents.of(lengths)), {}):
        with Sizes() as seen:
            model(input_ids=ids, position_ids=positions, use_cache=False, **told).logits.sum().backward()
        sizes.append(seen.largest)
    assert sizes[0] == 1024 * 96 and sizes[1] >= 1024 * 1024, 'logits are the largest; a mask would be ten times that'


def test_the_choice_is_not_saved(tmp_path):
    model = llama()
    see_documents(model)
    model.save_pretrained(tmp_path)
    assert 'swift' not in (tmp_path / 'config.json').read_text()
    assert LlamaForCausalLM.from_pretrained(tmp_path).config._attn_implementation == 'sdpa'


def test_switching_twice_is_switching_once():
    model = llama()
    first, second = see_documents(model), see_documents(model)
    assert second.before == ('swift_documents',) * len(second.models)
    torch.testing.assert_close(in_one_line(model), one_by_one(llama()), rtol=1e-4, atol=1e-5)
    first.restore()
    assert model.config._attn_implementation == 'sdpa'


def test_a_model_whose_attention_has_no_name_is_left_alone():
    model = BloomForCausalLM(BloomConfig(hidden_size=32, n_head=2, n_layer=1, vocab_size=96))
    assert see_documents(model) == 'its attention can not be chosen by name'
    assert model.config._attn_implementation == 'eager'


def test_the_mask_that_says_nothing_fails_where_it_is_used():
    told = documents_seen(Documents.of([3, 2]))
    with pytest.raises(RuntimeError):
        torch.zeros(1, 2, 5, 5) + told['attention_mask']
    assert told['documents'].starts is told['cu_seq_lens_q'] and told['max_length_k'] == 3


def test_what_it_does_not_know_is_not_dropped():
    q = torch.zeros(1, 4, 5, 8)
    call = functools.partial(document_attention, nn.Identity(), q, q, q, None, base=attention._BASES['sdpa'])
    documents = Documents.of([3, 2])
    assert call(documents=documents, position_ids=torch.zeros(5), output_attentions=False)[0].shape == (1, 5, 4, 8)
    with pytest.raises(ValueError, match='Identity asks for position_bias, which attention of documents does not know'):
        call(documents=documents, position_bias=torch.zeros(1))
    with pytest.raises(ValueError, match='asks for output_attentions'):
        call(documents=documents, output_attentions=True)
    with pytest.raises(ValueError, match='asks for position_bias'):
        padded_formula(nn.Identity(), q, q, q, None, position_bias=torch.zeros(1))
    with pytest.raises(ValueError, match='those of one line'):
        document_attention(nn.Identity(), *[q.expand(2, 4, 5, 8)] * 3, None, base=attention._BASES['sdpa'],
                           documents=documents)


def test_names_of_ours_hold_no_name_of_theirs():
    """transformers looks for 'sdpa', 'flash' and 'flex_attention' anywhere in a name, and acts on it."""
    see_documents(llama())
    assert 'swift_documents' in AttentionInterface().valid_keys()
    for base in attention._BASES.values():
        assert not any(theirs in base.name for theirs in ('sdpa', 'flash', 'flex_attention', 'eager', 'paged'))


def test_recomputed_activations_have_the_same_gradients():
    gradients = []
    for recompute in (False, True):
        model = llama()
        see_documents(model)
        model.train()
        if recompute:
            model.gradient_checkpointing_enable({'use_reentrant': False})
        in_one_line(model).square().sum().backward()
        gradients.append([p.grad for p in model.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))
