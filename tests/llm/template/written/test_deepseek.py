"""DeepSeek: what is trained, where a prompt ends, what --thinking changes, what is refused."""

from __future__ import annotations

import pytest

from swift.llm.protocol import Message
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.render import render_case
from swift.utils.errors import RowError

TOOL = {'type': 'function', 'function': {'name': 'f', 'description': 'd', 'parameters': {}}}
CALL = {'type': 'function', 'function': {'name': 'f', 'arguments': {'n': 1, 's': 'a'}}}
TALK = [Message('user', '1?'), Message('assistant', 'one', reasoning_content='r1'),
        Message('user', '2?'), Message('assistant', 'two', reasoning_content='r2')]
AGENT = [Message('user', '?'), Message('assistant', 'see', tool_calls=(CALL, CALL)), Message('tool', 'r'),
         Message('tool', 's'), Message('assistant', 'done')]
TOKENS = {'bos_token': '<s>', 'eos_token': '</s>'}
END = '<｜end▁of▁sentence｜>'
U, A = '<｜User｜>', '<｜Assistant｜>'
THINKS = {'enable_thinking': True}


def marked(name: str, messages: list[Message], tools=(), **options) -> str:
    """The rendering with what is trained between brackets."""
    segments = render_case(TEMPLATES.get(name), messages, tools, tokens=TOKENS, **options).segments
    return ''.join(f'[[{s.text}]]' if s.weight else s.text for s in segments).replace(']][[', '')


def test_calls_of_r1():
    call = '<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{"n": 1, "s": "a"}\n```<｜tool▁call▁end｜>'
    assert marked('deepseek_r1', AGENT) == (
        f'<s>{U}?{A}[[see<｜tool▁calls▁begin｜>{call}\n{call}<｜tool▁calls▁end｜>{END}]]<｜tool▁outputs▁begin｜>'
        '<｜tool▁output▁begin｜>r<｜tool▁output▁end｜><｜tool▁output▁begin｜>s<｜tool▁output▁end｜><｜tool▁outputs▁end｜>'
        f'[[done{END}]]')


def test_calls_of_v3_1():
    call = '<｜tool▁call▁begin｜>f<｜tool▁sep｜>{"n": 1, "s": "a"}<｜tool▁call▁end｜>'
    assert marked('deepseek_v3_1', AGENT) == (
        f'<s>{U}?{A}</think>[[see<｜tool▁calls▁begin｜>{call}{call}<｜tool▁calls▁end｜>{END}]]'
        '<｜tool▁output▁begin｜>r<｜tool▁output▁end｜><｜tool▁output▁begin｜>s<｜tool▁output▁end｜>' f'[[done{END}]]')


@pytest.mark.parametrize(('name', 'block', 'before', 'between', 'after', 'prompted'), [
    ('deepseek_v3_2', 'function_calls', '\n\n<function_results>\n<result>', '</result>\n<result>',
     '</result>\n</function_results>', '\n\n'),
    ('deepseek_v4', 'tool_calls', f'{U}<tool_result>', '</tool_result>\n\n<tool_result>', '</tool_result>', A),
])
def test_calls_as_dsml(name, block, before, between, after, prompted):
    call = ('<｜DSML｜invoke name="f">\n<｜DSML｜parameter name="n" string="false">1</｜DSML｜parameter>\n'
            '<｜DSML｜parameter name="s" string="true">a</｜DSML｜parameter>\n</｜DSML｜invoke>\n')
    assert marked(name, AGENT) == (
        f'<s>{U}?{A}</think>[[see\n\n<｜DSML｜{block}>\n{call}{call}</｜DSML｜{block}>{END}]]'
        f'{before}r{between}s{after}{prompted}</think>[[done{END}]]')


@pytest.mark.parametrize(('policy', 'first', 'second'), [
    (None, '[[one', '[[two'),
    ('keep', '<think>\n[[r1\n</think>\n\none', '<think>\n[[r2\n</think>\n\ntwo'),
    ('strip_history', '[[one', '<think>\n[[r2\n</think>\n\ntwo'),
    ('add_empty', '[[one', '<think>\n\n</think>\n\n[[two'),
    ('none', '[[one', '[[two'),
])
@pytest.mark.parametrize('name', ['deepseek_r1', 'deepseek_r1_distill'])
def test_thinking_policies_of_r1(name, policy, first, second):
    expected = f'<s>{U}1?{A}{first}{END}]]{U}2?{A}{second}{END}]]'
    assert marked(name, TALK, thinking=policy) == expected
    inline = [Message(m.role, f'<think>\n{m.reasoning_content}\n</think>\n\n{m.content}')
              if m.reasoning_content else m for m in TALK]
    if policy in ('keep', 'strip_history'):
        assert marked(name, inline, thinking=policy).endswith(f'{A}{second}{END}]]')


@pytest.mark.parametrize(('policy', 'first', 'second'), [
    (None, '</think>[[one', '<think>[[r2</think>two'),
    ('keep', '<think>[[r1</think>one', '<think>[[r2</think>two'),
    ('strip_history', '</think>[[one', '<think>[[r2</think>two'),
    ('none', '[[one', '[[two'),
])
@pytest.mark.parametrize('name', ['deepseek_v3_2', 'deepseek_v4', 'deepseek_v4_flash'])
def test_thinking_policies(name, policy, first, second):
    assert marked(name, TALK, thinking=policy, options=THINKS) == (
        f'<s>{U}1?{A}{first}{END}]]{U}2?{A}{second}{END}]]')


@pytest.mark.parametrize('name', ['deepseek_v3_2', 'deepseek_v4'])
@pytest.mark.parametrize('policy', [None, 'keep', 'strip_history', 'none'])
def test_a_prompt_ends_where_a_thinking_answer_starts(name, policy):
    for last in (TALK[-1], Message('assistant', 'two')):
        talk = [*TALK[:-1], last]
        prompt = marked(name, talk[:-1], add_generation_prompt=True, options=THINKS, thinking=policy)
        assert marked(name, talk, options=THINKS, thinking=policy).rpartition('[[')[0] == prompt


@pytest.mark.parametrize('name', ['deepseek_coder', 'deepseek_v2', 'deepseek_v3_0', 'deepseek_v3_1', 'deepseek_v4'])
def test_a_prompt_ends_where_the_answer_starts(name):
    talk = [Message('system', 's'), Message('user', 'q'), Message('assistant', 'a'), Message('user', 'p'),
            Message('assistant', 'b')]
    assert marked(name, talk).rpartition('[[')[0] == marked(name, talk[:-1], add_generation_prompt=True)


def test_tools_and_options_of_v4():
    text = marked('deepseek_v4', TALK[:1], [TOOL], options={**THINKS, 'reasoning_effort': 'max',
                                                            'response_format': {'type': 'object'}})
    assert text.startswith('<s>Reasoning Effort: Absolute maximum') and text.index('## Tools') < text.index(
        '## Response Format:\n\nYou MUST strictly adhere to the following schema to reply:\n{"type": "object"}')
    kept = marked('deepseek_v4', TALK, options={**THINKS, 'drop_thinking': False})
    assert f'{A}<think>[[r1</think>one' in kept


def test_names_of_goldens_and_of_models():
    assert TEMPLATES.get('deepseek_v3') is TEMPLATES.get('deepseek_r1')  # TRL ships R1's template under that name
    assert TEMPLATES.get('deepseek_v3_orig_npm').name == 'deepseek_v3_0'
    assert TEMPLATES.get('deepseek_r1_distill_qwen') is TEMPLATES.get('deepseek_r1_distill_llama')


def test_arguments_one_by_one_have_to_be_an_object():
    broken = {'function': {'name': 'f', 'arguments': '{"n": '}}
    with pytest.raises(RowError, match="arguments of 'f' .* no object"):
        marked('deepseek_v3_2', [Message('user', '?'), Message('assistant', tool_calls=(broken,))])
