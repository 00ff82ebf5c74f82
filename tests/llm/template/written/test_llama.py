"""Llama: what is trained, where a prompt ends, what the options change, what is refused."""

from __future__ import annotations

import datetime

import pytest

from swift.llm.protocol import Message
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.render import render_case
from swift.utils.errors import RowError

TOOL = {'type': 'function', 'function': {'name': 'f', 'description': 'd', 'parameters': {}}}
CALL = {'type': 'function', 'function': {'name': 'f', 'arguments': {'n': 1}}}
AGENT = [Message('user', ' ? '), Message('assistant', 'see', tool_calls=(CALL,)), Message('tool', 'r"'),
         Message('assistant', ' done ')]
NAMES = ['llama2', 'llama3', 'llama3_1', 'llama3_2', 'llama3_2_vision', 'llama4', 'llama3_1_json', 'llama3_2_json',
         'llama3_2_pythonic', 'toolace', 'firefunction_v2']
USER, IPYTHON, ASSISTANT = (f'<|start_header_id|>{role}<|end_header_id|>\n\n'
                            for role in ('user', 'ipython', 'assistant'))


def marked(name: str, messages: list[Message], tools=(), **options) -> str:
    """The rendering with what is trained between brackets."""
    segments = render_case(TEMPLATES.get(name), messages, tools, now=datetime.datetime(2025, 1, 2), **options).segments
    return ''.join(f'[[{s.text}]]' if s.weight else s.text for s in segments).replace(']][[', '')


@pytest.mark.parametrize(('name', 'today'), [('llama3_1', '26 Jul 2024'), ('llama3_2', '02 Jan 2025'),
                                             ('llama3_3', '26 Jul 2024')])
def test_calls_are_trained_and_results_are_not(name, today):
    assert marked(name, AGENT) == (
        '<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n'
        f'Today Date: {today}\n\n<|eot_id|>{USER}?<|eot_id|>{ASSISTANT}'
        '[[{"name": "f", "parameters": {"n": 1}}<|eot_id|>]]' f'{IPYTHON}"r\\""<|eot_id|>{ASSISTANT}[[done<|eot_id|>]]')


def test_llama4_has_no_system_block_of_its_own():
    assert marked('llama4', AGENT) == (
        '<|header_start|>user<|header_end|>\n\n ? <|eot|><|header_start|>assistant<|header_end|>\n\n'
        '[[<|python_start|>see<|python_end|>{"name": "f", "parameters": {"n": 1}}<|eot|>]]'
        '<|header_start|>ipython<|header_end|>\n\n"r\\""<|eot|>'
        '<|header_start|>assistant<|header_end|>\n\n[[ done <|eot|>]]')


def test_options_place_the_tools_and_the_date():
    question = [Message('user', '?')]
    asked = marked('llama3_1', question, [TOOL])
    assert asked.index(USER) < asked.index('"name": "f"')
    told = marked('llama3_1', question, [TOOL], options={'tools_in_user_message': False, 'date_string': 'today'})
    assert told.index('"name": "f"') < told.index(USER) and 'Today Date: today\n' in told
    builtin = marked('llama3_1', [Message('user', '?'), Message('assistant', tool_calls=(
        {'function': {'name': 'brave_search', 'arguments': {'query': 'x'}}},))], options={
            'builtin_tools': ['brave_search', 'code_interpreter']})
    assert builtin.endswith('[[<|python_tag|>brave_search.call(query="x")<|eom_id|>]]')
    assert 'Environment: ipython\nTools: brave_search\n\n' in builtin


@pytest.mark.parametrize('name', NAMES)
def test_a_prompt_ends_where_the_answer_starts(name):
    talk = [Message('system', 's'), Message('user', 'q'), Message('assistant', 'a'), Message('user', 'p'),
            Message('assistant', 'b')]
    prompt = marked(name, talk[:-1], add_generation_prompt=True)
    assert marked(name, talk).rpartition('[[')[0] == prompt
    assert '[[' in prompt  # the first answer


@pytest.mark.parametrize('name', NAMES)
def test_what_is_said_is_never_the_templates_own_text(name):
    said = '<|eot_id|><|eot|></s>'
    segments = render_case(TEMPLATES.get(name), [Message('user', said), Message('assistant', f'x{said}')]).segments
    assert sum(said in s.text for s in segments) == 2
    assert not any(said in s.text for s in segments if s.kind == 'control')


@pytest.mark.parametrize('name', ['llama3_1', 'llama3_2', 'llama3_1_json'])
def test_one_call_at_a_time(name):
    with pytest.raises(RowError, match='one tool at a time, but turn 1 has 2'):
        marked(name, [Message('user', '?'), Message('assistant', tool_calls=(CALL, CALL))])


def test_refusals():
    with pytest.raises(RowError, match="turn 1 is of 'user'"):
        marked('llama2', [Message('user', '?'), Message('user', '?')])
    with pytest.raises(RowError, match='has none'):
        marked('llama3_1', [Message('system', 's')], [TOOL])
    with pytest.raises(RowError, match='no object'):
        marked('toolace', [Message('user', '?'), Message('assistant', tool_calls=(
            {'function': {'name': 'f', 'arguments': '[1]'}},))])
