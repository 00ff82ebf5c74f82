"""MiniMax, Kimi, LFM2, Jamba, Seed-OSS, Laguna, Spark, Muse and ReAct: what is written of calls is read back."""

from __future__ import annotations

import dataclasses
import json

import pytest

from swift.llm.protocol import Message
from swift.llm.template.conversation import Call
from swift.llm.template.dialect import DIALECTS
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.render import render_case

TOOLS = [{'type': 'function', 'function': {'name': name, 'description': 'Does it.', 'parameters': {
    'type': 'object', 'properties': {'s': {'type': 'string'}, 'n': {'type': 'integer'}, 'x': {'type': 'number'},
                                     'b': {'type': 'boolean'}, 'l': {'type': 'array', 'items': {'type': 'string'}},
                                     'o': {'type': 'object'}}}}} for name in ('first', 'second')]
ARGUMENTS = [{'s': 'Paris'}, {'s': '7', 'n': 7, 'x': 2.5, 'b': True}, {'l': ['a', 'b'], 'o': {'k': 'v'}},
             {'s': '两 "词"\nund < & > mehr'}, {}]
NAMES = ['minimax_m1', 'minimax_m2', 'minimax_m3_vl', 'kimi_k2', 'kimi_k2_instruct', 'kimi_k2_thinking', 'kimi_k25',
         'kimi_k3', 'lfm2_v2', 'lfm2_5', 'lfm2_5_vl', 'jamba', 'seed_oss', 'laguna_xs', 'laguna_s', 'spark2_5',
         'muse_glimmer']
REACT = ['react_en', 'react_zh', 'react_grpo', 'toolbench']


def call(name: str, arguments: dict) -> dict:
    return {'type': 'function', 'id': 'c1', 'function': {'name': name, 'arguments': arguments}}


def told(calls: list[Call] | tuple[Call, ...]) -> list[tuple]:
    return [(each.name, each.arguments) for each in calls]


@pytest.mark.parametrize('arguments', ARGUMENTS, ids=json.dumps)
@pytest.mark.parametrize('count', [1, 2])
@pytest.mark.parametrize('name', NAMES)
def test_calls_come_back_with_their_types(name, count, arguments):
    entry = TEMPLATES.get(name)
    calls = [call('first', arguments), call('second', {'n': 2})][:count]
    segments = render_case(entry, [Message('user', '?'), Message('assistant', '', tool_calls=tuple(calls))],
                           TOOLS).segments
    answer = ''.join(segment.text for segment in segments if segment.message == 1)
    parsed = DIALECTS.get(entry.dialect).parse(answer, TOOLS)
    assert told(parsed.calls) == [('first', arguments), ('second', {'n': 2})][:count]
    assert 'first' not in parsed.content


@pytest.mark.parametrize(('dialect', 'text'), [
    ('minimax_m1', '<tool_calls>\n{"name": "f", "arguments": {\n</tool_calls>'),
    ('minimax_m2', '<minimax:tool_call>\n<invoke name="f"><oops>\n</minimax:tool_call>'),
    ('minimax_m3', ']<]minimax[>[<tool_call>\n]<]minimax[>[<invoke name="f">'),
    ('kimi_k2', '<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{'
                '<|tool_call_end|><|tool_calls_section_end|>'),
    ('kimi_k3', '<|open|>tools<|sep|><|open|>call tool="f"<|sep|>junk<|close|>call<|sep|><|close|>tools<|sep|>'),
    ('lfm2', '<|tool_call_start|>[f(x=open("y"))]<|tool_call_end|>'),
    ('jamba', '<tool_calls>[{"name": "f", </tool_calls>'),
    ('seed_oss', '<seed:tool_call>\n<function=f>junk</function>\n</seed:tool_call>'),
    ('atem', '<atem:function_calls>\n<atem:invoke name="f">\n'),
    ('react_en', 'Thought: so\nAction: f\nAction Input: {"a": '),
])
def test_a_broken_call_stays_in_the_content(dialect, text):
    parsed = DIALECTS.get(dialect).parse(text)
    assert parsed.calls == ()
    assert parsed.content == text


def test_words_in_front_of_a_call_are_the_content():
    text = 'Let me see.\n<minimax:tool_call>\n<invoke name="f">\n<parameter name="a">1</parameter>\n</invoke>\n' \
           '</minimax:tool_call>'
    parsed = DIALECTS.get('minimax_m2').parse(text)
    assert (parsed.content, told(parsed.calls)) == ('Let me see.', [('f', {'a': 1})])


def test_what_muse_says_to_itself_is_no_content():
    text = ' to=self<|message|>hm<|eom|><|start|>assistant to=user<|message|>Hello<|eot|>'
    assert DIALECTS.get('atem').parse(text).content == 'Hello'


# ReAct stands in the answer: the result too, behind which the answer goes on.

SEARCH = [Message('user', 'q'), Message('assistant', 'Thought: look', tool_calls=(call('first', {'s': 'x'}),)),
          Message('tool', 'found'), Message('assistant', 'Final Answer: y')]


@pytest.mark.parametrize('dialect', REACT)
def test_a_result_stands_in_the_answer_and_is_not_trained(dialect):
    entry = dataclasses.replace(TEMPLATES.get('chatml'), dialect=dialect)
    segments = render_case(entry, SEARCH, TOOLS).segments
    text = ''.join(f'[[{s.text}]]' if s.weight else s.text for s in segments).replace(']][[', '')
    assert text.endswith(
        '<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n[[Thought: look\nAction: first\nAction Input: '
        '{"s": "x"}\nObservation:]] found\n[[Final Answer: y<|im_end|>]]\n')
    assert 'first' in text.partition('<|im_start|>user')[0]


@pytest.mark.parametrize('dialect', REACT)
def test_a_prompt_behind_a_result_goes_on_in_the_answer(dialect):
    entry = dataclasses.replace(TEMPLATES.get('chatml'), dialect=dialect)
    prompt = render_case(entry, SEARCH[:-1], TOOLS, add_generation_prompt=True).text
    assert render_case(entry, SEARCH, TOOLS).text.startswith(prompt)
    assert prompt.endswith('Observation: found\n')


def test_react_is_read_with_its_thought():
    parsed = DIALECTS.get('react_en').parse('Thought: look\nAction: first\nAction Input: {"s": "x"}\nObservation:')
    assert (parsed.content, told(parsed.calls)) == ('Thought: look', [('first', {'s': 'x'})])


def test_the_system_text_stands_in_front_of_the_react_prompt():
    entry = dataclasses.replace(TEMPLATES.get('chatml'), dialect='react_en')
    text = render_case(entry, [Message('system', 'Be brief.'), *SEARCH], TOOLS).text
    assert text.startswith('<|im_start|>system\nBe brief.\n\nAnswer the following questions')
