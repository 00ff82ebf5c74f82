"""Loops over turns, Falcon, Jamba, RWKV: what is trained and what is refused."""

from __future__ import annotations

import pytest

from swift.llm.protocol import Message
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.render import render_case
from swift.utils.errors import RowError

TOKENS = {'bos_token': '<s>', 'eos_token': '</s>'}
TALK = [Message('system', ' s '), Message('user', 'q '), Message('assistant', ' a'), Message('user', 'q2'),
        Message('assistant', 'a2')]
ALTERNATING = ['alpaca', 'vicuna', 'amberchat', 'chatqa', 'starling', 'orca', 'solar_instruct', 'zephyr_stripped',
               'saiga', 'falcon_instruct']


def marked(name: str, messages: list[Message], **options) -> str:
    """The rendering with what is trained between brackets."""
    segments = render_case(TEMPLATES.get(name), messages, tokens=TOKENS, **options).segments
    return ''.join(f'[[{s.text}]]' if s.weight else s.text for s in segments).replace(']][[', '')


@pytest.mark.parametrize(('name', 'expected'), [
    ('alpaca', '<s>s\n\n### Instruction:\nq\n\n### Response:\n[[a</s>]]\n\n### Instruction:\nq2\n\n'
               '### Response:\n[[a2</s>]]\n\n'),
    ('vicuna', '<s>s\n\nUSER: q\nASSISTANT:[[ a</s>]]\nUSER: q2\nASSISTANT:[[ a2</s>]]\n'),
    ('saiga', '<s>system\ns</s><s>user\nq</s><s>bot\n[[a</s>]]<s>user\nq2</s><s>bot\n[[a2</s>]]'),
    ('codefuse', '<s>system\n s \n<s>human\nq \n<s>bot\n[[ a\n</s>]]\n<s>human\nq2\n<s>bot\n[[a2\n</s>]]\n'),
    ('metharme', '<s><|system|> s <|user|>q<|model|>[[a]]<|user|>q2<|model|>[[a2</s>]]'),
    ('falcon_180b', 'System:  s \nUser: q \nFalcon:[[  a]]\nUser: q2\nFalcon:[[ a2]]'),
    ('jamba', '<|startoftext|><|bom|><|system|>  s <|eom|><|bom|><|user|> q <|eom|><|bom|><|assistant|>[[  a<|eom|>]]'
              '<|bom|><|user|> q2<|eom|><|bom|><|assistant|>[[ a2<|eom|>]]'),
    ('rwkv_world', '<s>System:  s \n\nUser: q\n\nAssistant:[[ a\n\n]]User: q2\n\nAssistant:[[ a2\n\n]]'),
])
def test_an_answer_is_trained_with_what_ends_it(name, expected):
    assert marked(name, TALK) == expected


def test_falcon_closes_up_blank_lines():
    text = marked('falcon_instruct', [Message('user', 'one\n\ntwo'), Message('assistant', 'x\r\n\r\ny')])
    assert text == '\n\nUser: one\ntwo\n\nAssistant:[[ x\ny]]'


@pytest.mark.parametrize('name', ALTERNATING)
def test_roles_have_to_alternate_where_the_publisher_says_so(name):
    with pytest.raises(RowError, match='have to alternate'):
        marked(name, [Message('user', 'a'), Message('user', 'b')])


@pytest.mark.parametrize('name', ['alphamonarch', 'openchat', 'teleflm', 'solar', 'metharme'])
def test_other_templates_take_questions_in_a_row(name):
    text = marked(name, [Message('user', 'firstly'), Message('user', 'secondly')])
    assert text.index('firstly') < text.index('secondly')


@pytest.mark.parametrize(('options', 'ending'), [
    ({}, 'Assistant:'), ({'enable_thinking': True}, 'Assistant: <think>'),
    ({'enable_thinking': False}, 'Assistant: <think>\n</think>'),
])
def test_the_prompt_of_rwkv_follows_the_switch(options, ending):
    assert marked('rwkv_world', TALK[:2], add_generation_prompt=True, options=options).endswith(f'\n\n{ending}')


def test_a_token_spelled_in_a_message_is_no_token_of_the_loop():
    segments = render_case(TEMPLATES.get('alpaca'), [Message('user', '{bos}{eos}{role}')], tokens=TOKENS).segments
    assert [segment.text for segment in segments if segment.kind == 'user'] == ['{bos}{eos}{role}']
