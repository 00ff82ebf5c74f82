"""Properties of masks, over generated conversations, for the generic templates and the jinja habits."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from swift.llm.args.groups import TemplateArgs
from swift.llm.template.builtin import BUILTIN as _BUILTIN
from swift.llm.template.encode import make_template
from swift.llm.template.segments import KINDS

JINJA = ['jinja:thinks', 'jinja:trims', 'jinja:channels', 'jinja:inst', 'jinja:unasked', 'jinja:open_ended',
         'jinja:opens_thinking']
# Every way in which parts can be put together; the suite of all templates is tests/conformance.
BUILTIN = [entry.name for entry in _BUILTIN]
ALL = [*BUILTIN, *JINJA]
# What the template itself has the model write in front of an answer.
HEADS = ('', ' ', '<think>\n\n</think>\n\n', '\n</think>\n\n', '<|channel|>final<|message|>')
CONTROL = ['<|im_end|>', '<|im_start|>', '<|endoftext|>', '<|turn_end|>', '<|return|>', '<|eot|>', '<s>', '<think>',
           '</think>', '<|im_start|>assistant\n']
FRAGMENTS = ['a', ' word', '\n', '\n\n', '  ', '\t', 'é', '你好', '😀', '\U0001f468\u200d\U0001f469',
             '{{QUERY}}', '{% if %}', '<', '|>', 'im_end', '12',
             '"', '\\n', '\u200b', 'USER: ', '### Human:\n', "'s", '\r', 'e\u0301', '\ue000']

words = st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=8).map(''.join)
forging = st.lists(st.sampled_from(FRAGMENTS + CONTROL), min_size=1, max_size=8).map(''.join)
# Answers begin and end with a letter here: white space at their ends may merge with that of the template.
answers = st.tuples(st.sampled_from('ABC'), words, st.sampled_from('xyz')).map(''.join)
quick = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture,
                                                                       HealthCheck.too_slow])


@st.composite
def conversations(draw, questions=words, rounds=3) -> list[dict]:
    messages = []
    if draw(st.booleans()):
        messages.append({'role': 'system', 'content': draw(questions)})
    for _ in range(draw(st.integers(1, rounds))):
        messages.append({'role': 'user', 'content': draw(questions)})
        messages.append({'role': 'assistant', 'content': draw(answers)})
    return messages


def fit(name: str, messages: list[dict]) -> list[dict]:
    """The part of a conversation that template ``name`` takes."""
    if name == 'default-generation':
        return [m for m in messages if m['role'] != 'system'][:2]
    return messages


def trained_runs(encoded, tokenizer) -> list[str]:
    runs = itertools.groupby(zip(encoded.input_ids.tolist(), encoded.weights.tolist(), strict=True),
                             key=lambda pair: pair[1] != 0)
    return [tokenizer.decode([i for i, _ in run]) for trained, run in runs if trained]


@pytest.mark.parametrize('name', ALL)
@quick
@given(conversations())
def test_trained_tokens_are_the_answers_and_their_ends(name, template_for, messages):
    template = template_for(name)
    messages = fit(name, messages)
    encoded = template.encode({'messages': messages})
    runs = trained_runs(encoded, template.tokenizer)
    contents = [m['content'] for m in messages if m['role'] == 'assistant']
    assert len(runs) == len(contents)
    for k, (run, content) in enumerate(zip(runs, contents, strict=True)):
        head, _, end = run.partition(content)
        assert head in HEADS
        open_inside = name in ('default', 'jinja:open_ended') and k < len(contents) - 1
        assert end.strip() == '' if open_inside else end.strip().startswith('<|') and end.strip().endswith('|>')
    assert encoded.weights[0] == 0


@pytest.mark.parametrize('name', ALL)
@quick
@given(conversations())
def test_ids_and_text_equal_the_checkpoints_own(name, template_for, messages):
    """For registered templates: ids equal those of the text as a whole.

    Some templates end a prompt in a way that this tokenizer would merge with the answer; there a cut is allowed.
    """
    template = template_for(name)
    row = {'messages': fit(name, messages)}
    rendered, encoded = template.render(row), template.encode(row)
    ids = encoded.input_ids.tolist()
    if encoded.cut:
        assert name in ('llama3', 'default-generation', 'jinja:open_ended', 'jinja:opens_thinking')
        return
    if not name.startswith('jinja:'):
        assert ids == template.tokenizer(rendered.text, add_special_tokens=False)['input_ids']
        return
    assert rendered.text[:len(rendered.text) - rendered.added_eos] == template.tokenizer.apply_chat_template(
        row['messages'], tokenize=False)
    theirs = template.tokenizer.apply_chat_template(row['messages'], tokenize=True, return_dict=False)
    assert ids == theirs + [2] * (rendered.added_eos > 0)


@pytest.mark.parametrize('name', ALL)
@quick
@given(conversations(forging))
def test_contents_forge_no_control_token(name, template_for, messages):
    template = template_for(name)
    row = {'messages': fit(name, messages)}
    encoded, rendered = template.encode(row), template.render(row)
    control = set(template.tokenizer.added_tokens_decoder)
    for token, kind in zip(encoded.input_ids.tolist(), encoded.kinds.tolist(), strict=True):
        assert KINDS[kind] not in ('system', 'user', 'tool') or token not in control
    assert template.tokenizer.decode(encoded.input_ids) == rendered.text


@pytest.mark.parametrize('name', ALL)
@quick
@given(conversations(forging))
def test_a_prompt_is_what_training_saw(name, template_for, messages):
    template = template_for(name)
    messages = fit(name, messages)
    prompt = template.encode_prompt(messages[:-1])
    encoded = template.encode({'messages': messages})
    assert encoded.input_ids[:len(prompt)].tolist() == prompt
    assert encoded.weights[len(prompt)] == 1


@pytest.mark.parametrize('name', ['llama3', 'default', 'jinja:inst', 'jinja:trims'])
@quick
@given(conversations(forging))
def test_at_most_one_bos(name, template_for, messages):
    """``inst`` repeats <s> by design; elsewhere a BOS stands at position 0 only."""
    template = template_for(name)
    ids = template.encode({'messages': fit(name, messages)}).input_ids.tolist()
    bos = template.tokenizer.bos_token_id
    assert bos not in ids[1:]


@pytest.mark.parametrize('name', ['smollm2', 'jinja:thinks', 'default'])
def test_the_pad_token_changes_nothing(name, tokenizer, jinja_tokenizer):
    source = jinja_tokenizer(name.removeprefix('jinja:')) if name.startswith('jinja:') else tokenizer
    row = {'messages': [{'role': 'user', 'content': 'a'}, {'role': 'assistant', 'content': 'b'}] * 2}
    seen = []
    for pad in ('<|im_end|>', '<|endoftext|>', '<|im_start|>'):
        other = AutoTokenizer.from_pretrained(tokenizer.name_or_path, pad_token=pad)
        other.add_tokens([t.content for t in source.added_tokens_decoder.values()])
        other.chat_template = source.chat_template
        args = TemplateArgs(template='auto' if name.startswith('jinja:') else name)
        encoded = make_template(args, other).encode(row)
        seen.append((encoded.input_ids.tolist(), encoded.weights.tolist()))
    assert seen[0] == seen[1] == seen[2]
