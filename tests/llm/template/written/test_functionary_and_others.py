"""Functionary, Apertus, Bielik, Apriel and LLaVA-NeXT: what is trained, where a prompt ends, what is refused."""

from __future__ import annotations

import datetime

import pytest

from swift.llm.protocol import Message
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.render import render_case
from swift.utils.errors import RowError

TOOL = {'type': 'function', 'function': {'name': 'f', 'description': 'Say "x"', 'parameters': {
    'type': 'object', 'required': ['n'], 'properties': {
        'n': {'type': 'integer', 'description': 'A number', 'default': 3, 'maximum': 9},
        'o': {'type': 'object', 'properties': {
            'k': {'type': 'array', 'items': {'type': 'string', 'enum': ['a', 'b']}}}},
        's': {'type': 'string', 'enum': ['c', 'd']}}}}}
CALL = {'type': 'function', 'id': 'id1', 'function': {'name': 'f', 'arguments': {'n': 1}}}
AGENT = [Message('user', '?'), Message('assistant', 'see', tool_calls=(CALL, CALL)), Message('tool', 'r'),
         Message('assistant', 'done')]
TOKENS = {'bos_token': '<s>', 'eos_token': '</s>'}


def marked(name: str, messages: list[Message], tools=(), **options) -> str:
    """The rendering with what is trained between brackets."""
    segments = render_case(TEMPLATES.get(name), messages, tools, tokens=TOKENS, now=datetime.datetime(2025, 1, 2),
                           **options).segments
    return ''.join(f'[[{s.text}]]' if s.weight else s.text for s in segments).replace(']][[', '')


def header(role: str) -> str:
    return f'<|start_header_id|>{role}<|end_header_id|>\n\n'


@pytest.mark.parametrize(('name', 'expected'), [
    ('functionary_v3_1', f'{header("user")}?<|eot_id|>{header("assistant")}[[see<function=f>{{"n": 1}}</function>'
                         f'<function=f>{{"n": 1}}</function><|eom_id|>]]{header("ipython")}r<|eot_id|>'
                         f'{header("assistant")}[[done<|eot_id|>]]'),
    ('functionary_v3_2', f'{header("user")}?<|eot_id|>{header("assistant")}>>>[[all\nsee>>>f\n{{"n": 1}}>>>f\n'
                         f'{{"n": 1}}<|eot_id|>]]{header("tool")}r<|eot_id|>{header("assistant")}>>>'
                         '[[all\ndone<|eot_id|>]]'),
    ('apertus', '<|user_start|>?<|user_end|><|assistant_start|>[[see<|tools_prefix|>[{"f": {"n": 1}}, {"f": {"n": 1}}]'
                '<|tools_suffix|>]][r][[done]]'),
    ('bielik_v3', '<|im_start|>user\n?<|im_end|>\n<|im_start|>assistant\n[[see\n<tool_call>\n{"name": "f", '
                  '"arguments": {"n": 1}}\n</tool_call>\n<tool_call>\n{"name": "f", "arguments": {"n": 1}}\n'
                  '</tool_call><|im_end|>]]\n<|im_start|>user\n<|function_output|>r<|im_end|>\n<|im_start|>assistant\n[[done<|im_end|>]]\n'),
    ('apriel_1_5', '<|user|>\n?\n<|end|>\n<|assistant|>\n[[see\n<tool_calls>[{"name": "f", "arguments": {"n": 1}, '
                   '"id": "id1"}, {"name": "f", "arguments": {"n": 1}, "id": "id1"}]</tool_calls>\n<|end|>\n</s>]]'
                   '<|tool_result|>\nr\n<|end|>\n<|assistant|>\n[[done\n<|end|>\n</s>]]'),
])
def test_calls_are_trained_and_results_are_not(name, expected):
    assert marked(name, AGENT).endswith(expected)


def test_functions_as_typescript():
    assert ('// Say "x"\ntype f = (_: {\n// A number. Default=3. Maximum=9\nn: number,\no?: {\n'
            '    k?: ("a" | "b")[],\n},\ns?: "c" | "d",\n}) => any;\n\n} // namespace functions'
            ) in marked('functionary_v3_2', AGENT, [TOOL])
    assert ('// Say "x"\ntype f = (_: {\n// A number\nn: number, // default: 3,\n'
            'o?: {\nk?: \n                string[]},\ns?: "c" | "d"\n}) => any;<|developer_end|>'
            ) in marked('apertus', AGENT, [TOOL])


def test_apertus_ends_an_answer_where_a_question_follows():
    text = marked('apertus', [Message('user', 'q'), Message('assistant', 'a'), Message('user', 'p')])
    assert text.endswith('<|assistant_start|>[[a<|assistant_end|>]]<|user_start|>p<|user_end|>')
    text = marked('apertus', [*AGENT[:3], Message('user', 'p')])  # the model did not come back to the results
    assert text.endswith('<|tools_suffix|>]][r]<|assistant_end|><|user_start|>p<|user_end|>')


def test_what_the_definitions_of_tools_hold_is_no_control_text():
    for name in ('functionary_v3_1', 'functionary_v3_2', 'apertus', 'bielik_v3', 'apriel_1_5', 'apriel_1_6'):
        segments = render_case(TEMPLATES.get(name), AGENT, [TOOL]).segments
        assert any('A number' in s.text for s in segments if s.kind == 'system')
        assert not any('A number' in s.text for s in segments if s.kind == 'control')


@pytest.mark.parametrize('name', ['functionary_v3_1', 'functionary_v3_2', 'apertus', 'bielik_v3', 'apriel_1_5',
                                  'llava_next'])
def test_a_prompt_ends_where_the_answer_starts(name):
    talk = [Message('system', 's'), Message('user', 'q'), Message('assistant', 'a'), Message('user', 'p'),
            Message('assistant', 'b')]
    assert marked(name, talk).rpartition('[[')[0] == marked(name, talk[:-1], add_generation_prompt=True)


@pytest.mark.parametrize(('policy', 'expected', 'prompt'), [
    (None, '<think>\n[[hm\n</think>\na', '<think>\n'),
    ('keep', '<think>\n[[hm\n</think>\na', '<think>\n'),
    ('strip_history', '<think>\n[[hm\n</think>\na', '<think>\n'),
    ('none', '[[a', ''),
])
def test_thinking_of_bielik(policy, expected, prompt):
    talk = [Message('user', 'q'), Message('assistant', 'a', reasoning_content='hm')]
    options = {'options': {'enable_thinking': True}, 'thinking': policy}
    assert marked('bielik_v3', talk, **options).endswith(f'<|im_start|>assistant\n{expected}<|im_end|>]]\n')
    assert marked('bielik_v3', talk[:1], add_generation_prompt=True, **options).endswith(
        f'<|im_start|>assistant\n{prompt}')
    empty = marked('bielik_v3', [talk[0], Message('assistant', 'a')], thinking='add_empty')
    assert empty.endswith('<|im_start|>assistant\n<think>\n\n</think>\n[[a<|im_end|>]]\n')


def test_apriel_1_6_keeps_only_the_response_of_earlier_answers():
    answer = Message('assistant', 'hm\n[BEGIN FINAL RESPONSE]\na')
    text = marked('apriel_1_6', [Message('user', 'q'), answer, Message('user', 'p'), answer])
    assert text.endswith('<|begin_user|>\nq\n<|begin_assistant|>\n[[a\n<|end|>]]\n<|begin_user|>\np\n'
                         '<|begin_assistant|>\n[[hm\n[BEGIN FINAL RESPONSE]\na]]')
    assert marked('apriel_1_6', [Message('user', 'q')], add_generation_prompt=True).endswith(
        '\n<|begin_assistant|>\nHere are my reasoning steps:\n')


def test_refusals():
    with pytest.raises(RowError, match='follows no answer'):
        marked('apertus', [Message('user', '?'), Message('tool', 'r')])
    with pytest.raises(RowError, match='has no "description"'):
        marked('functionary_v3_1', AGENT, [{'type': 'function', 'function': {'name': 'f'}}])
    with pytest.raises(RowError, match='has no\n? ?"id"'):
        nameless = {'function': {'name': 'f', 'arguments': {}}}
        marked('apriel_1_5', [Message('user', '?'), Message('assistant', tool_calls=(nameless,)), Message('tool', 'r')])
    with pytest.raises(RowError, match="no place for a turn of 'tool'"):
        marked('llava_next', AGENT)
