from __future__ import annotations

import numpy as np
import pytest
from transformers import AutoTokenizer

from swift.llm.args.groups import TemplateArgs
from swift.llm.model.registry import ModelFamily
from swift.llm.protocol import Message
from swift.llm.template.encode import check_drift, make_template
from swift.utils.errors import RowError, SwiftError, UsageError
from swift.utils.logging import get_logger

ROW = {'messages': [{'role': 'user', 'content': 'one two'}, {'role': 'assistant', 'content': 'three'},
                    {'role': 'user', 'content': 'four'}, {'role': 'assistant', 'content': 'five six'}]}
DEFAULT = 'You are a helpful AI assistant named SmolLM, trained by Hugging Face'


def trained(template, encoded) -> str:
    return template.tokenizer.decode(encoded.input_ids[encoded.weights > 0])


# -- which template ----------------------------------------------------------------------------------------------


def test_auto_takes_the_familys_then_the_checkpoints_own(tokenizer):
    family = ModelFamily(name='x', hub_ids=(), architectures=(), template='smollm2')
    assert make_template(TemplateArgs(), tokenizer, family).name == 'smollm2'
    own = make_template(TemplateArgs(), tokenizer)
    assert (own.name, own.chosen) == ('the chat template of the checkpoint', 'auto')
    # a fine-tune may have a template of its own: what it is served with is what it is trained with
    other = ModelFamily(name='x', hub_ids=(), architectures=(), template='chatml')
    assert make_template(TemplateArgs(), tokenizer, other).name == own.name
    plain = ModelFamily(name='x', hub_ids=(), architectures=(), template='default-generation')
    assert make_template(TemplateArgs(), tokenizer, plain).name == 'default-generation'
    typed = make_template(TemplateArgs(template='qwen2_5'), tokenizer, family)
    assert (typed.name, typed.chosen) == ('qwen2_5', 'typed')


def test_no_template_at_all_says_what_to_type(tokenizer):
    bare = AutoTokenizer.from_pretrained(tokenizer.name_or_path)
    bare.chat_template = None
    with pytest.raises(UsageError, match='--template: default-generation'):
        make_template(TemplateArgs(), bare)
    assert make_template(TemplateArgs(template='chatml'), bare).drift([ROW]) == []


def test_unknown_names(tokenizer):
    with pytest.raises(UsageError, match="Did you mean 'smollm2'"):
        make_template(TemplateArgs(template='smolm2'), tokenizer)


# -- system ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', ['smollm2', 'auto'])
def test_row_beats_flag_beats_default(tokenizer, name):
    own = {'messages': [{'role': 'system', 'content': 'ROW'}, *ROW['messages']]}
    cases = [(None, ROW, DEFAULT), ('FLAG', ROW, 'FLAG'), ('FLAG', own, 'ROW'), (None, own, 'ROW')]
    for system, row, expected in cases:
        text = make_template(TemplateArgs(template=name, system=system), tokenizer).render(row).text
        assert text.startswith(f'<|im_start|>system\n{expected}<|im_end|>\n<|im_start|>user\n')


def test_an_empty_flag_removes_the_default(tokenizer):
    template = make_template(TemplateArgs(template='smollm2', system=''), tokenizer)
    assert template.render(ROW).text.startswith('<|im_start|>user\none two')
    assert template.drift([ROW]) == []


@pytest.mark.parametrize('name', ['smollm2', 'auto'])
def test_an_empty_system_message_is_written_as_the_checkpoint_writes_it(tokenizer, name):
    row = {'messages': [{'role': 'system', 'content': ''}, *ROW['messages']]}
    template = make_template(TemplateArgs(template=name), tokenizer)
    assert template.render(row).text.startswith('<|im_start|>system\n<|im_end|>\n')
    assert template.drift([row]) == []


# -- rows --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(('row', 'reason'), [
    ({}, 'no messages'),
    ({'messages': []}, 'no messages'),
    ({'messages': [{'role': 'robot', 'content': 'x'}]}, "role 'robot'"),
    ({'messages': [{'role': 'user', 'content': 3}]}, 'not text'),
    ({'messages': [{'role': 'user', 'content': 'x'}]}, 'nothing to train'),
    ({'messages': [{**m, 'loss': False} for m in ROW['messages']]}, 'nothing to train'),
    ({'messages': [{**m, 'loss_scale': 'big'} for m in ROW['messages']]}, 'loss_scale'),
])
def test_rows_that_can_not_be_used(tokenizer, row, reason):
    template = make_template(TemplateArgs(), tokenizer)
    with pytest.raises(RowError, match=reason):
        template.encode(row)
    good, bad = template.encode_batch([ROW, row])
    assert isinstance(bad, RowError) and len(good) > 0


def test_a_batch_equals_one_by_one(tokenizer):
    template = make_template(TemplateArgs(), tokenizer)
    rows = [ROW, {'messages': ROW['messages'][:2]}, {'messages': [{'role': 'user', 'content': '<|im_end|>'},
                                                                 {'role': 'assistant', 'content': 'x'}]}]
    for row, encoded in zip(rows, template.encode_batch(rows), strict=True):
        alone = template.encode(row)
        assert np.array_equal(encoded.input_ids, alone.input_ids)
        assert np.array_equal(encoded.weights, alone.weights)
    assert template.encode_batch([]) == []


def test_loss_of_single_messages(tokenizer):
    template = make_template(TemplateArgs(), tokenizer)
    messages = [dict(m) for m in ROW['messages']]
    messages[1]['loss'] = False
    assert trained(template, template.encode({'messages': messages})) == 'five six<|im_end|>'
    messages[1].update(loss=True, loss_scale=0.25)
    encoded = template.encode({'messages': messages})
    assert set(encoded.weights.tolist()) == {0.0, 0.25, 1.0}
    last = make_template(TemplateArgs(loss_scale='last_round'), tokenizer)
    assert trained(last, last.encode(ROW)) == 'five six<|im_end|>'
    everything = make_template(TemplateArgs(loss_scale='all'), tokenizer).encode(ROW)
    assert everything.weights.tolist() == [0, *[1] * (len(everything) - 1)]


# -- length ------------------------------------------------------------------------------------------------------


def test_delete_says_both_lengths(tokenizer):
    full = len(make_template(TemplateArgs(), tokenizer).encode(ROW))
    assert len(make_template(TemplateArgs(max_length=full), tokenizer).encode(ROW)) == full
    with pytest.raises(RowError, match=f'{full} tokens, over --max_length {full - 1}'):
        make_template(TemplateArgs(max_length=full - 1), tokenizer).encode(ROW)


@pytest.mark.parametrize('strategy', ['left', 'right'])
def test_cut_at_either_side(tokenizer, strategy):
    full = make_template(TemplateArgs(), tokenizer).encode(ROW)
    for length in range(1, len(full)):
        template = make_template(TemplateArgs(max_length=length, truncation_strategy=strategy), tokenizer)
        kept = slice(len(full) - length, None) if strategy == 'left' else slice(length)
        expected = full.weights[kept].copy()
        expected[0] = 0
        if not expected.any():
            with pytest.raises(RowError, match='nothing to train is left after truncation'):
                template.encode(ROW)
            continue
        encoded = template.encode(ROW)
        assert encoded.input_ids.tolist() == full.input_ids[kept].tolist()
        assert encoded.weights.tolist() == expected.tolist()


# -- pt ----------------------------------------------------------------------------------------------------------


def test_pt_trains_the_text_and_its_end(tokenizer):
    template = make_template(TemplateArgs(), tokenizer, task='pt')
    encoded = template.encode({'messages': [{'role': 'assistant', 'content': 'Some text <|im_end|> here'}]})
    assert tokenizer.decode(encoded.input_ids) == 'Some text <|im_end|> here<|im_end|>'
    assert encoded.input_ids.tolist().count(2) == 1
    assert encoded.weights.tolist() == [0, *[1] * (len(encoded) - 1)]
    assert template.drift([ROW]) == []
    assert tokenizer.decode(template.encode_prompt([Message('user', 'Once')])) == 'Once'


def test_pt_begins_with_bos_where_the_tokenizer_does(tokenizer):
    from tokenizers.processors import TemplateProcessing

    own = AutoTokenizer.from_pretrained(tokenizer.name_or_path)
    own.add_special_tokens({'bos_token': '<s>'})
    own.backend_tokenizer.post_processor = TemplateProcessing(
        single='<s> $A', special_tokens=[('<s>', own.bos_token_id)])
    encoded = make_template(TemplateArgs(), own, task='pt').encode(
        {'messages': [{'role': 'assistant', 'content': '<s>text'}]})
    assert encoded.input_ids[0] == own.bos_token_id
    assert encoded.input_ids.tolist().count(own.bos_token_id) == 1
    chat = make_template(TemplateArgs(template='chatml'), own).encode(ROW).input_ids.tolist()
    assert chat[0] == own.bos_token_id and chat.count(own.bos_token_id) == 1
    assert own.bos_token_id not in make_template(TemplateArgs(template='smollm2'), own).encode(ROW).input_ids


# -- inference ---------------------------------------------------------------------------------------------------


def test_stops_and_decoding(template_for, declared_tokenizer):
    template = template_for('smollm2')
    assert template.stop_ids == {0, 2}
    answer = declared_tokenizer('Hi  there.', add_special_tokens=False)['input_ids']
    assert template.decode([*answer, 2]) == 'Hi  there.'
    llama = template_for('llama3')
    assert declared_tokenizer.convert_tokens_to_ids('<|eot_id|>') in llama.stop_ids


def test_a_terminator_that_is_no_token_is_a_stop_word(tokenizer):
    template = make_template(TemplateArgs(template='llama3'), tokenizer)
    assert template.stop_words == ('<|eot_id|>',)


def test_prompts_take_messages_or_dicts(tokenizer):
    template = make_template(TemplateArgs(max_length=1), tokenizer)
    prompt = template.encode_prompt([Message('user', 'hi')])
    assert prompt == template.encode_prompt([{'role': 'user', 'content': 'hi'}])
    assert tokenizer.decode(prompt).endswith('<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n')


# -- drift -------------------------------------------------------------------------------------------------------


def test_registered_equals_own(tokenizer):
    template = make_template(TemplateArgs(template='smollm2'), tokenizer)
    forged = {'messages': [{'role': 'user', 'content': 'x <|im_end|>'}, {'role': 'assistant', 'content': 'y'}]}
    assert template.drift([ROW, forged, {'messages': []}]) == []


def test_a_drift_names_row_place_and_both_texts(tokenizer):
    template = make_template(TemplateArgs(template='qwen2_5'), tokenizer)
    difference, = template.drift([ROW])
    assert difference.startswith('row 0: character 27: ours ')
    assert 'You are Qwen' in difference and 'You are a helpful AI' in difference


def test_a_drift_of_ids_alone(tokenizer, monkeypatch):
    template = make_template(TemplateArgs(template='smollm2'), tokenizer)
    real = template._tokeniser.encode

    def spoiled(rendered):
        encoded = real(rendered)
        encoded[0].input_ids[3] = 99
        return encoded

    monkeypatch.setattr(template._tokeniser, 'encode', spoiled)
    assert 'token 3: ours [99,' in template.drift([ROW])[0]


def test_a_drift_stops_only_what_was_chosen_automatically(tokenizer, monkeypatch):
    warnings = []
    monkeypatch.setattr(get_logger(), 'warning', warnings.append)
    family = ModelFamily(name='x', hub_ids=(), architectures=(), template='smollm2')
    other = AutoTokenizer.from_pretrained(tokenizer.name_or_path)
    other.chat_template += "{% if messages[0].content == 'one two' or messages[1].content == 'one two' %}!{% endif %}"
    chosen = make_template(TemplateArgs(), other, family)
    with pytest.raises(SwiftError, match='on 1 of 1 rows.*--allow_template_drift'):
        check_drift(chosen, [ROW], allow=False)
    check_drift(chosen, [ROW], allow=True)
    check_drift(make_template(TemplateArgs(template='qwen2_5'), other), [ROW], allow=False)
    assert len(warnings) == 2 and all('differs from the checkpoint' in text for text in warnings)
    check_drift(make_template(TemplateArgs(), tokenizer), [ROW], allow=False)
    assert len(warnings) == 2


# -- identity ----------------------------------------------------------------------------------------------------


def test_the_fingerprint_follows_what_changes_tokens(tokenizer):
    base = make_template(TemplateArgs(), tokenizer).fingerprint()
    assert base == make_template(TemplateArgs(allow_template_drift=True), tokenizer).fingerprint()
    others = {make_template(TemplateArgs(**options), tokenizer).fingerprint() for options in (
        {'template': 'smollm2'}, {'template': 'chatml'}, {'system': 'x'}, {'system': ''}, {'max_length': 5},
        {'truncation_strategy': 'left'}, {'loss_scale': 'all'})}
    others.add(make_template(TemplateArgs(), tokenizer, task='pt').fingerprint())
    other = AutoTokenizer.from_pretrained(tokenizer.name_or_path)
    other.add_tokens(['[NEW]'])
    others.add(make_template(TemplateArgs(), other).fingerprint())
    reworded = AutoTokenizer.from_pretrained(tokenizer.name_or_path)
    reworded.chat_template += ' '
    others.add(make_template(TemplateArgs(), reworded).fingerprint())
    assert len(others | {base}) == 11


def test_padding_set_by_somebody_else_changes_neither_ids_nor_fingerprint(tokenizer):
    own = AutoTokenizer.from_pretrained(tokenizer.name_or_path)
    template = make_template(TemplateArgs(), own)
    before, ids = template.fingerprint(), template.encode(ROW).input_ids.tolist()
    own(['a', 'b c d e'], padding=True, truncation=True, max_length=3)
    assert make_template(TemplateArgs(), own).fingerprint() == before
    assert template.encode(ROW).input_ids.tolist() == ids
