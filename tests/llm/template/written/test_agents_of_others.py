"""LFM2, Seed-OSS, Laguna, Spark and Muse Glimmer: what is trained, what --thinking changes, what is refused."""

from __future__ import annotations

import datetime

import pytest

from swift.llm.protocol import Message
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.render import render_case
from swift.utils.errors import RowError

CALL = {'type': 'function', 'id': 'c1', 'function': {'name': 'f', 'arguments': {'s': "it's", 'n': 1}}}
AGENT = [Message('system', 's'), Message('user', '?'),
         Message('assistant', '', reasoning_content='hm', tool_calls=(CALL,)),
         Message('tool', 'r', tool_call_id='c1'), Message('assistant', 'done')]
TALK = [Message('system', 's'), Message('user', '1?'), Message('assistant', 'one', reasoning_content='r1'),
        Message('user', '2?'), Message('assistant', 'two', reasoning_content='r2')]
POLICIES = [None, 'keep', 'strip_history', 'none']


def marked(name: str, messages: list[Message], **options) -> str:
    """The rendering with what is trained between brackets."""
    segments = render_case(TEMPLATES.get(name), messages, **options).segments
    return ''.join(f'[[{s.text}]]' if s.weight else s.text for s in segments).replace(']][[', '')


def test_lfm2_5_trains_thinking_and_calls():
    assert marked('lfm2_5_vl', AGENT) == (
        '<|im_start|>system\ns<|im_end|>\n<|im_start|>user\n?<|im_end|>\n<|im_start|>assistant\n[[<think>hm</think>'
        "<|tool_call_start|>[f(s='it\\'s', n=1)]<|tool_call_end|><|im_end|>]]\n<|im_start|>tool\nr<|im_end|>\n"
        '<|im_start|>assistant\n[[done<|im_end|>]]\n')


def test_seed_oss_trains_thinking_and_calls():
    assert marked('seed_oss', AGENT) == (
        '<seed:bos>system\ns<seed:eos><seed:bos>user\n?<seed:eos><seed:bos>assistant\n[[<seed:think>hm</seed:think>\n'
        "<seed:tool_call>\n<function=f>\n<parameter=s>it's</parameter>\n<parameter=n>1</parameter>\n</function>\n"
        '</seed:tool_call><seed:eos>]]<seed:bos>tool\nr<seed:eos><seed:bos>assistant\n[[done<seed:eos>]]')


def test_laguna_and_spark_train_thinking_and_calls():
    called = ("<tool_call>f<arg_key>s</arg_key><arg_value>it's</arg_value><arg_key>n</arg_key><arg_value>1</arg_value>"
              '</tool_call>')
    assert f'<assistant><think>[[hm</think>{called}</assistant>]]\n' in marked('laguna_s', AGENT)
    assert f'<|Bot|><think>[[hm</think>{called}<｜end▁of▁sentence｜>]]' in marked('spark2_5', AGENT)


def test_muse_trains_a_message_to_each_recipient_and_names_the_tool_of_a_result():
    assert marked('muse_glimmer', AGENT).partition('<|start|>user')[2] == (
        '<|message|>?<|eot|><|start|>assistant[[ to=self<|message|>hm<|eom|><|start|>assistant to=f<|message|>'
        '<atem:function_calls>\n<atem:invoke name="f">\n<atem:parameter name="s">it\'s</atem:parameter>\n'
        '<atem:parameter name="n">1</atem:parameter>\n</atem:invoke>\n</atem:function_calls><|eot|>]]<|start|>tool f'
        '<|message|><tool_output name="f">\nr\n</tool_output><|eot|><|start|>assistant[[ to=user<|message|>done'
        '<|eot|>]]')


def test_muse_says_the_date():
    text = render_case(TEMPLATES.get('muse_glimmer'), AGENT[1:2], now=datetime.datetime(2031, 2, 3)).text
    assert 'Current date: 2031-02-03.' in text


@pytest.mark.parametrize('policy', POLICIES)
@pytest.mark.parametrize(('name', 'official'), [
    ('lfm2_5', 'r2'), ('seed_oss', 'r1r2'), ('laguna_xs', 'r1r2'), ('laguna_s', 'r1r2'), ('spark2_5', 'r1r2'),
    ('muse_glimmer', 'r1r2'),
])
def test_which_thinking_stays(name, official, policy):
    text = marked(name, TALK, thinking=policy)
    shown = ''.join(word for word in ('r1', 'r2') if word in text)
    assert shown == {None: official, 'keep': 'r1r2', 'strip_history': 'r2', 'none': ''}[policy]


@pytest.mark.parametrize('name', ['lfm2_5', 'seed_oss', 'laguna_xs', 'laguna_s', 'spark2_5'])
def test_an_empty_block_is_prompted_and_not_trained(name):
    messages = [Message('user', '?'), Message('assistant', 'a')]
    prompt = render_case(TEMPLATES.get(name), messages[:1], add_generation_prompt=True, thinking='add_empty').text
    rendered = render_case(TEMPLATES.get(name), messages, thinking='add_empty')
    assert rendered.text.startswith(prompt)
    trained = ''.join(segment.text for segment in rendered.segments if segment.weight)
    assert 'think>' not in trained


def test_an_empty_answer_of_seed_oss_is_not_even_ended():
    assert marked('seed_oss', [Message('user', '?'), Message('assistant', ' ')]).endswith('<seed:bos>assistant')


def test_a_budget_tells_seed_oss_how_often_to_look():
    text = render_case(TEMPLATES.get('seed_oss'), AGENT[1:2], options={'thinking_budget': 600}).text
    assert 'budget, which is 600.' in text
    assert 'every 256 tokens' in text


@pytest.mark.parametrize('name', ['lfm2_v2', 'seed_oss', 'laguna_s', 'spark2_5', 'muse_glimmer'])
def test_arguments_that_are_no_object_are_refused(name):
    broken = {'type': 'function', 'function': {'name': 'f', 'arguments': '{"a": '}}
    with pytest.raises(RowError, match='object'):
        marked(name, [Message('user', '?'), Message('assistant', '', tool_calls=(broken,))])


def test_spark_refuses_an_empty_conversation():
    with pytest.raises(RowError, match='empty'):
        marked('spark2_5', [])
