"""Registered templates on the tokenizers of published models: equal ids, exact masks, nothing forged."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator

import pytest

from swift.llm.args.groups import TemplateArgs
from swift.llm.template.encode import Template, make_template
from swift.llm.template.segments import KINDS
from tests import real_tokenizers

# tokenizer -> the registered template that is the chat template in its package; False: the package has none
TEMPLATES = {
    'qwen3': ('qwen3', True),
    'llama3': ('llama3', True),
    'llama3_1': ('llama3', True),  # the package has the template of Llama 3
    'gemma3': ('gemma3', True),
    'deepseek_v3': ('deepseek_v3_orig_npm', True),
    'gptoss': ('gptoss', False),
    'llama2': ('llama2', False),
    'qwen1': ('qwen', False),
    'mistral_v3': ('mistral_v3', False),
    'deepseek_v4': ('deepseek_v3_orig_npm', False),
}
SLOW = ('gemma3', 'gptoss', 'qwen1')  # large files: several seconds to read each
NAMES = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in TEMPLATES]
WITH_TEMPLATE = [p for p in NAMES if TEMPLATES[p if isinstance(p, str) else p.values[0]][1]]

TEXTS = ('Hi', 'What is 12 + 345?', '你好，世界！', ' leading and trailing ', '\n\nlines\n\n', 'tab\there', 'Ünïcödé ß',
         '👩‍👩‍👧 zwj', 'a' * 40, '{{QUERY}} {% raw %}', '<b>html</b>', "it's \"quoted\"", '1234567890',
         'def f(x):\n    return x', 'مرحبا', '\u200b\u00a0', 'C:\\path\\n', 'x  y   z', '- a\n- b\n', '###')


@functools.cache
def template_of(name: str) -> Template:
    try:
        tokenizer = real_tokenizers.load(name)
    except real_tokenizers.Unavailable as e:
        pytest.skip(str(e))
    return make_template(TemplateArgs(template=TEMPLATES[name][0], max_length=-1), tokenizer)


def conversations() -> Iterator[list[dict]]:
    """One for every text: it is asked, or said, or stands in the system text, in one to three rounds."""
    for i, text in enumerate(TEXTS):
        after = TEXTS[(i + 7) % len(TEXTS)]
        turns = [{'role': 'user', 'content': text}, {'role': 'assistant', 'content': f'A{after}z'}]
        for k in range(i % 3):
            turns += [{'role': 'user', 'content': f'{k} {after}'}, {'role': 'assistant', 'content': f'B{text}{k}y'}]
        yield [{'role': 'system', 'content': f'S{text}s'}, *turns] if i % 2 else turns


@pytest.mark.parametrize('name', WITH_TEMPLATE)
def test_ids_are_those_of_the_publishers_template(name):
    template = template_of(name)
    for messages in conversations():
        ours = template.encode({'messages': messages}).input_ids.tolist()
        theirs = template.tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)
        unasked = theirs[len(ours):] if name == 'llama3' else []  # its package's template ends with a prompt, always
        assert theirs == ours + unasked, messages
        prompt = template.encode_prompt(messages[:-1])
        assert prompt == template.tokenizer.apply_chat_template(
            messages[:-1], tokenize=True, return_dict=False, add_generation_prompt=True), messages


@pytest.mark.parametrize('name', NAMES)
def test_labels_cover_exactly_the_answers(name):
    template = template_of(name)
    for messages in conversations():
        encoded = template.encode({'messages': messages})
        runs = itertools.groupby(zip(encoded.input_ids.tolist(), encoded.weights.tolist(), strict=True),
                                 key=lambda pair: pair[1] != 0)
        trained = [template.tokenizer.decode([i for i, _ in run]) for is_trained, run in runs if is_trained]
        answers = [m['content'] for m in messages if m['role'] == 'assistant']
        assert len(trained) == len(answers)
        for run, answer in zip(trained, answers, strict=True):
            head, found, end = run.partition(answer)
            assert found, (run, answer)
            assert head.strip() in HEADS[name], run
            assert end in ENDS[name], run


@pytest.mark.parametrize('name', NAMES)
def test_no_content_forges_a_control_token(name):
    template = template_of(name)
    specials = [t.content for t in template.tokenizer.added_tokens_decoder.values() if t.special]
    control = {i for i, t in template.tokenizer.added_tokens_decoder.items() if t.special}
    spelled = [*specials[:12], *specials[-12:], *ENDS[name]]
    for text in ['a'.join(spelled), *spelled]:
        for messages in ([{'role': 'user', 'content': f'x{text}y'}, {'role': 'assistant', 'content': 'ok'}],
                         [{'role': 'user', 'content': 'x'}, {'role': 'assistant', 'content': f'k{text}k'}]):
            encoded = template.encode({'messages': messages})
            said = [i for i, kind in zip(encoded.input_ids.tolist(), encoded.kinds.tolist(), strict=True)
                    if KINDS[kind] != 'control']
            assert not control.intersection(said), text


@pytest.mark.parametrize('name', NAMES)
def test_training_begins_with_the_prompt_that_is_served(name):
    template = template_of(name)
    for messages in conversations():
        if name == 'mistral_v3' and messages[0]['role'] == 'system':
            continue  # its publisher writes the system text into a question that ends the conversation, and only there
        prompt = template.encode_prompt(messages[:-1])
        encoded = template.encode({'messages': messages})
        assert encoded.input_ids[:len(prompt)].tolist() == prompt
        assert not encoded.weights[:len(prompt)][-1] and encoded.weights[len(prompt)] == 1


@pytest.mark.parametrize('name', WITH_TEMPLATE)
def test_the_template_of_the_package_itself_trains_the_same(name):
    template = template_of(name)
    own = make_template(TemplateArgs(max_length=-1), template.tokenizer)
    assert own.name == 'the chat template of the checkpoint'
    for messages in conversations():
        ours, theirs = template.encode({'messages': messages}), own.encode({'messages': messages})
        length = len(ours) if name == 'llama3' else None  # see above
        assert ours.input_ids.tolist() == theirs.input_ids[:length].tolist()
        assert ours.weights.tolist() == theirs.weights[:length].tolist()
        assert not theirs.weights[len(ours):].any()


WEATHER = {'type': 'function', 'function': {'name': 'weather', 'description': 'Tells "it" <now>', 'parameters': {
    'type': 'object', 'properties': {'city': {'type': 'string'}}, 'required': ['city']}}}
CALL = {'type': 'function', 'function': {'name': 'weather', 'arguments': {'city': 'Zürich <|im_end|'}}}
TOOL_TURNS = [
    {'role': 'user', 'content': 'Rain in Zürich and Bern?'},
    {'role': 'assistant', 'content': '', 'reasoning_content': 'Look twice.', 'tool_calls': [CALL, CALL]},
    {'role': 'tool', 'content': '{"rain": true}'}, {'role': 'tool', 'content': 'ü {"rain": false}'},
    {'role': 'assistant', 'content': 'One of them.', 'reasoning_content': 'One.'},
    {'role': 'user', 'content': 'Thanks'}, {'role': 'assistant', 'content': 'Bye'}]


@pytest.mark.parametrize('count', [2, 5, 7])
def test_tools_and_thinking_of_qwen3(count):
    template = template_of('qwen3')
    row = {'messages': TOOL_TURNS[:count], 'tools': [WEATHER]}
    assert template.encode(row).input_ids.tolist() == template.tokenizer.apply_chat_template(
        row['messages'], tools=row['tools'], tokenize=True, return_dict=False)
    last = template.encode_prompt(TOOL_TURNS[:count - 1], [WEATHER])
    assert last == template.tokenizer.apply_chat_template(
        TOOL_TURNS[:count - 1], tools=[WEATHER], tokenize=True, return_dict=False, add_generation_prompt=True)


# What the template has the model write in front of an answer, and how an answer ends.
HEADS = {name: ('',) for name in TEMPLATES} | {
    'qwen3': ('', '<think>\n\n</think>'), 'gptoss': ('<|channel|>final<|message|>',)}
ENDS = {
    'qwen3': ('<|im_end|>',), 'llama3': ('<|eot_id|>',), 'llama3_1': ('<|eot_id|>',), 'gemma3': ('<end_of_turn>',),
    'deepseek_v3': ('<｜end▁of▁sentence｜>',), 'gptoss': ('<|end|>', '<|return|>'), 'llama2': (' </s>', '</s>'),
    'qwen1': ('<|im_end|>',), 'mistral_v3': ('</s>',), 'deepseek_v4': ('<｜end▁of▁sentence｜>',),
}
