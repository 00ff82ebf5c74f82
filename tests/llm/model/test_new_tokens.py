"""New tokens and tables trained whole, with tied and untied heads: ids, starting vectors, saved, loaded, merged."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from swift.llm.args.groups import ModelArgs, TemplateArgs, TunerArgs
from swift.llm.model.adapt import adapt
from swift.llm.model.new_tokens import give_vectors, teach, words_of
from swift.llm.template.encode import make_template
from swift.tuners.api import Swift
from swift.utils.errors import UsageError
from tests.conftest import TOKENIZER_DIR

WORDS = ('<tool_a>', '<tool_b>', '银杏树')


def fresh():
    return AutoTokenizer.from_pretrained(TOKENIZER_DIR)


def llama(tied: bool, rows: int, **more) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(vocab_size=rows, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
                                        num_attention_heads=2, tie_word_embeddings=tied, **more)).eval()


def batch(tokenizer) -> torch.Tensor:
    return tokenizer('use <tool_a> then 银杏树 and <tool_b>', return_tensors='pt')['input_ids']


def train(model, ids, steps: int = 6) -> list[float]:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    losses = []
    model.train()
    for _ in range(steps):
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    model.eval()
    return losses


@torch.no_grad()
def logits(model, ids) -> torch.Tensor:
    return model.eval()(ids).logits


def test_a_word_is_one_token_for_users_and_models():
    tokenizer = fresh()
    size = len(tokenizer)
    tokens = teach(tokenizer, WORDS)
    assert tokens.ids == (size, size + 1, size + 2) and list(tokens.pieces) == list(tokens.ids)
    assert tokenizer.decode(tokens.pieces[size + 2]) == '银杏树'
    assert tokenizer.decode(list(tokens.ids), skip_special_tokens=True) == '<tool_a><tool_b>银杏树'
    template = make_template(TemplateArgs(template='chatml'), tokenizer, words=WORDS)
    (row,) = template.encode_batch([{'messages': [{'role': 'user', 'content': 'Is <tool_a> there?'},
                                                  {'role': 'assistant', 'content': 'Yes, <tool_a> and <tool_b>.'}]}])
    assert row.input_ids.tolist().count(size) == 2 and row.weights[row.input_ids == size].tolist() == [0, 1]
    again = teach(tokenizer, WORDS)
    assert again.ids == tokens.ids and not again.pieces, 'known words keep their vectors'


def test_control_tokens_stay_forbidden_to_users():
    tokenizer = fresh()
    teach(tokenizer, ['<|im_end|>', '<x>'])
    template = make_template(TemplateArgs(template='chatml'), tokenizer, words=['<|im_end|>', '<x>'])
    (row,) = template.encode_batch([{'messages': [{'role': 'user', 'content': 'a <|im_end|> b <x>'},
                                                  {'role': 'assistant', 'content': 'c'}]}])
    end = tokenizer.convert_tokens_to_ids('<|im_end|>')
    assert row.input_ids.tolist().count(end) == 2, 'the ends of the two turns'


def test_words_from_files(tmp_path):
    path = tmp_path / 'words.txt'
    path.write_text('<a>\n\n  <b> \n<a>\n', encoding='utf-8')
    assert words_of(ModelArgs(new_special_tokens=['<c>', str(path)])) == ('<c>', '<a>', '<b>')
    path.write_text('\n')
    with pytest.raises(UsageError, match='is empty; it takes one word a line'):
        words_of(ModelArgs(new_special_tokens=[str(path)]))


@pytest.mark.parametrize('tied', [True, False], ids=['tied', 'untied'])
def test_tables_grow_where_they_are_full_and_old_rows_stay(tied):
    tokenizer = fresh()
    tokens = teach(tokenizer, WORDS)
    size = len(tokenizer)
    for rows, wanted in ((size - 3, size if (size - 3) % 64 else -(-size // 64) * 64), (size + 125, size + 125)):
        model, before = llama(tied, rows), llama(tied, rows)
        give_vectors(model, tokens, 'pieces')
        table, old = model.get_input_embeddings().weight, before.get_input_embeddings().weight
        assert model.config.vocab_size == len(table) == wanted
        assert torch.equal(table[:size - 3], old[:size - 3])
        for i, pieces in tokens.pieces.items():
            torch.testing.assert_close(table[i], old[pieces].mean(0))
        head = model.get_output_embeddings().weight
        assert (head is table) == tied and len(head) == wanted
        if not tied:
            torch.testing.assert_close(head[size - 1], before.lm_head.weight[tokens.pieces[size - 1]].mean(0))
        if rows > size:
            assert torch.equal(table[size:], old[size:]), 'a padded vocabulary is not touched'


@pytest.mark.parametrize('strategy', ['average', 'zero', 'uniform', 'normal', 'xavier_uniform', 'xavier_normal',
                                      'kaiming_uniform', 'kaiming_normal', 'orthogonal'])
def test_strategies(strategy):
    tokenizer = fresh()
    tokens = teach(tokenizer, WORDS)
    model = llama(False, len(tokenizer) - 3)
    spread = model.get_input_embeddings().weight.std()
    give_vectors(model, tokens, strategy)
    new = model.get_input_embeddings().weight[list(tokens.ids)].detach()
    if strategy == 'zero':
        assert not new.any()
    elif strategy == 'average':
        torch.testing.assert_close(new[1], model.get_input_embeddings().weight[:len(tokenizer) - 3].mean(0))
    elif strategy in ('normal', 'uniform'):
        assert 0.5 * spread < new.std() < 1.5 * spread
    else:
        assert torch.isfinite(new).all() and new.std() > 0


@pytest.mark.parametrize('padded', [False, True], ids=['grown', 'padded'])
@pytest.mark.parametrize('tied', [True, False], ids=['tied', 'untied'])
def test_vectors_are_trained_saved_loaded_and_merged(tied, padded, tmp_path):
    tokenizer = fresh()
    tokens = teach(tokenizer, WORDS)
    rows = len(tokenizer) + (61 if padded else -3)
    ids = batch(tokenizer)

    def base():
        model = llama(tied, rows)
        give_vectors(model, tokens, 'pieces')
        return model

    model = adapt(base(), TunerArgs(target_modules=['q_proj'], lora_dropout=0), new_tokens=tokens.ids)
    names = [name for name, p in model.named_parameters() if p.requires_grad and 'trainable_tokens' in name]
    assert len(names) == (1 if tied else 2)
    assert torch.equal(logits(model, ids), logits(base(), ids))
    losses = train(model, ids)
    assert losses[-1] < losses[0]
    table, old = model.get_input_embeddings().weight, base().get_input_embeddings().weight
    changed = (table != old).any(1).nonzero().flatten().tolist()
    assert changed == sorted(tokens.ids), 'these vectors and no others'
    wanted = logits(model, ids)
    Swift.save_pretrained(model, tmp_path / 'adapter')
    assert (tmp_path / 'adapter' / 'adapter_model.safetensors').stat().st_size < 20_000, 'no table is copied'
    assert torch.equal(logits(Swift.from_pretrained(base(), tmp_path / 'adapter'), ids), wanted)
    merged = Swift.merge_and_unload(model)
    torch.testing.assert_close(logits(merged, ids), wanted, atol=1e-5, rtol=0)
    assert (merged.get_output_embeddings().weight is merged.get_input_embeddings().weight) == tied
    merged.save_pretrained(tmp_path / 'merged')
    again = LlamaForCausalLM.from_pretrained(tmp_path / 'merged')
    torch.testing.assert_close(logits(again, ids), wanted, atol=1e-5, rtol=0)
    assert again.config.vocab_size == (rows if padded else len(base().get_input_embeddings().weight))
    assert again.config.tie_word_embeddings == tied


@pytest.mark.parametrize('saved', [['EMBEDDING'], ['lm_head'], ['EMBEDDING', 'lm_head']], ids='-'.join)
@pytest.mark.parametrize('tied', [True, False], ids=['tied', 'untied'])
def test_tables_trained_whole(tied, saved, tmp_path):
    """A tied table is one table: training either end of it trains both."""
    tokenizer = fresh()
    ids = tokenizer('some words of text', return_tensors='pt')['input_ids']
    model = adapt(llama(tied, len(tokenizer)), TunerArgs(target_modules=['q_proj'], modules_to_save=saved,
                                                         lora_dropout=0))
    losses = train(model, ids)
    assert losses[-1] < losses[0]
    table, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    assert not tied or torch.equal(table, head)
    wanted = logits(model, ids)
    Swift.save_pretrained(model, tmp_path / 'adapter')
    loaded = Swift.from_pretrained(llama(tied, len(tokenizer)), tmp_path / 'adapter')
    assert torch.equal(logits(loaded, ids), wanted)
    merged = Swift.merge_and_unload(loaded)
    torch.testing.assert_close(logits(merged, ids), wanted, atol=1e-5, rtol=0)
    merged.save_pretrained(tmp_path / 'merged')
    again = LlamaForCausalLM.from_pretrained(tmp_path / 'merged')
    torch.testing.assert_close(logits(again, ids), wanted, atol=1e-5, rtol=0)
    assert again.config.tie_word_embeddings == tied


def test_a_head_with_a_bias_is_trained_whole():
    tokenizer = fresh()
    tokens = teach(tokenizer, WORDS)
    model = llama(False, len(tokenizer))
    model.lm_head = torch.nn.Linear(16, len(tokenizer))
    with pytest.raises(UsageError, match='the output head lm_head has a bias.* --modules_to_save EMBEDDING lm_head'):
        adapt(model, TunerArgs(target_modules=['q_proj']), new_tokens=tokens.ids)
    model = adapt(model, TunerArgs(target_modules=['q_proj'], modules_to_save=['EMBEDDING', 'lm_head']),
                  new_tokens=tokens.ids)
    assert not [name for name, _ in model.named_parameters() if 'trainable_tokens' in name]
