"""Mistral: what is trained, where a prompt ends, ids of calls, what is refused."""

from __future__ import annotations

import datetime

import pytest

from swift.llm.protocol import Message
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.render import render_case
from swift.utils.errors import RowError

TOOL = {'type': 'function', 'function': {'name': 'f', 'description': 'a "b"', 'parameters': {}, 'return': {}}}
CALL = {'type': 'function', 'id': 'abcdefghi', 'function': {'name': 'f', 'arguments': {'n': 1}}}
AGENT = [Message('user', '?'), Message('assistant', 'see', tool_calls=(CALL, CALL)),
         Message('tool', 'r', tool_call_id='abcdefghi'), Message('assistant', ' done ')]
NAMES = ['mistral_v1', 'mistral_v3', 'mistral_nemo', 'mistral_tool', 'pixtral', 'mistral_v7', 'mistral_v7_tekken',
         'mistral_2506', 'mistral_2512', 'mistral_2512_thinking', 'devstral']
TOKENS = {'bos_token': '<s>', 'eos_token': '</s>'}


def marked(name: str, messages: list[Message], tools=(), **options) -> str:
    """The rendering with what is trained between brackets."""
    segments = render_case(TEMPLATES.get(name), messages, tools, tokens=TOKENS, now=datetime.datetime(2025, 1, 2),
                           **options).segments
    return ''.join(f'[[{s.text}]]' if s.weight else s.text for s in segments).replace(']][[', '')


@pytest.mark.parametrize(('name', 'expected'), [
    ('mistral_nemo',
     '<s>[INST]?[/INST][[[TOOL_CALLS][{"name": "f", "arguments": {"n": 1}, "id": "abcdefghi"}, {"name": "f", '
     '"arguments": {"n": 1}, "id": "abcdefghi"}]</s>]][TOOL_RESULTS]{"content": r, "call_id": "abcdefghi"}'
     '[/TOOL_RESULTS][[ done </s>]]'),
    ('mistral_v3',
     '<s>[INST] ?[/INST][[[TOOL_CALLS] [{"name": "f", "arguments": {"n": 1}, "id": "abcdefghi"}, {"name": "f", '
     '"arguments": {"n": 1}, "id": "abcdefghi"}]</s>]][TOOL_RESULTS] {"content": r, "call_id": "abcdefghi"}'
     '[/TOOL_RESULTS][[ done</s>]]'),
])
def test_calls_are_trained_and_results_are_not(name, expected):
    assert marked(name, AGENT) == expected


@pytest.mark.parametrize(('name', 'calls'), [
    ('mistral_2506', '[[[TOOL_CALLS]f[CALL_ID]abcdefghi[ARGS]{"n": 1}[TOOL_CALLS]f[CALL_ID]abcdefghi[ARGS]{"n": 1}'
                     '</s>]][TOOL_RESULTS]abcdefghi[TOOL_CONTENT]r[/TOOL_RESULTS][[ done </s>]]'),
    ('mistral_2512', '[[see[TOOL_CALLS]f[ARGS]{"n": 1}[TOOL_CALLS]f[ARGS]{"n": 1}</s>]][TOOL_RESULTS]r[/TOOL_RESULTS]'
                     '[[ done </s>]]'),
])
def test_calls_by_name(name, calls):
    told = [Message('system', 's'), *AGENT]
    assert marked(name, told) == f'<s>[SYSTEM_PROMPT]s[/SYSTEM_PROMPT][INST]?[/INST]{calls}'


def test_tools_stand_before_the_last_question_and_are_not_escaped():
    talk = [Message('user', 'q'), Message('assistant', 'a'), Message('user', 'p')]
    assert marked('mistral_nemo', talk, [TOOL]).endswith(
        '[[a</s>]][AVAILABLE_TOOLS][{"type": "function", "function": {"name": "f", "description": "a "b"", '
        '"parameters": {}}}][/AVAILABLE_TOOLS][INST]p[/INST]')


def test_the_system_text_waits_in_the_last_question():
    talk = [Message('system', 's'), Message('user', 'q')]
    assert marked('mistral_nemo', talk) == '<s>[INST]s\n\nq[/INST]'
    assert marked('mistral_nemo', [*talk, Message('assistant', 'a')]) == '<s>[INST]q[/INST][[a</s>]]'  # as published


def test_the_default_system_text_is_dated():
    assert 'The current date is 2025-01-02.' in marked('mistral_v7_tekken', [Message('user', '?')])
    assert 'The current date is 2025-01-02.' in marked('mistral_small_3_2', [Message('user', '?')])


@pytest.mark.parametrize('name', NAMES)
def test_a_prompt_ends_where_the_answer_starts(name):
    talk = [Message('user', 'q'), Message('assistant', 'a'), Message('user', 'p'), Message('assistant', 'b')]
    prompt = marked(name, talk[:-1], add_generation_prompt=True)
    assert marked(name, talk).rpartition('[[')[0] == prompt
    assert marked(name, talk).endswith('</s>]]')


@pytest.mark.parametrize(('policy', 'expected'), [
    (None, '[[a</s>]]'), ('keep', '[[[THINK]hm[/THINK]a</s>]]'), ('strip_history', '[[[THINK]hm[/THINK]a</s>]]'),
    ('add_empty', '[[a</s>]]'), ('none', '[[a</s>]]')])
def test_thinking_policies(policy, expected):
    talk = [Message('user', 'q'), Message('assistant', 'a', reasoning_content='hm')]
    assert marked('ministral_3_reasoning', talk, thinking=policy).endswith(f'[INST]q[/INST]{expected}')


@pytest.mark.parametrize('name', ['mistral_nemo', 'mistral_v3', 'mistral_2506'])
def test_ids_of_nine_characters(name):
    other = {**CALL, 'id': 'call_1'}
    with pytest.raises(RowError, match="nine letters or digits .* 'call_1'"):
        marked(name, [Message('user', '?'), Message('assistant', tool_calls=(other,))])
    with pytest.raises(RowError, match='None'):
        marked(name, [*AGENT[:2], Message('tool', 'r')])


def test_longer_ids_are_cut_by_vllms_template():
    other = {**CALL, 'id': 'call_abcdefghi'}
    talk = [Message('user', '?'), Message('assistant', tool_calls=(other,))]
    assert '"id": "abcdefghi"}]' in marked('mistral_tool', talk)


def test_refusals():
    twice = [Message('user', '?'), Message('user', '?')]
    for name in ('mistral_v1', 'mistral_nemo', 'mistral_2506', 'mistral_2512'):
        with pytest.raises(RowError, match="turn 1 is of 'user'"):
            marked(name, twice)
    with pytest.raises(RowError, match="turn 0 is of 'system'"):
        marked('mistral_v0_2', [Message('system', 's'), Message('user', '?')])
    with pytest.raises(RowError, match='no empty answers'):
        marked('mistral_2512', [Message('user', '?'), Message('assistant', '')])
    with pytest.raises(RowError, match="no place for a turn of 'tool'"):
        marked('mistral_v7', AGENT)
