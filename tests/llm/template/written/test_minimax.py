"""MiniMax: what is trained, what --thinking changes, what is refused."""

from __future__ import annotations

import pytest

from swift.llm.protocol import Message
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.render import render_case
from swift.utils.errors import RowError

CALL = {'type': 'function', 'function': {'name': 'f', 'arguments': {'n': 1, 'l': [{'a': None, 'b': True}]}}}
AGENT = [Message('system', 's'), Message('user', '?'),
         Message('assistant', '', reasoning_content='hm', tool_calls=(CALL,)), Message('tool', 'r'),
         Message('tool', 's'), Message('assistant', 'done')]
TALK = [Message('system', 's'), Message('user', '1?'), Message('assistant', 'one', reasoning_content='r1'),
        Message('user', '2?'), Message('assistant', 'two', reasoning_content='r2')]


def marked(name: str, messages: list[Message], **options) -> str:
    """The rendering with what is trained between brackets."""
    segments = render_case(TEMPLATES.get(name), messages, **options).segments
    return ''.join(f'[[{s.text}]]' if s.weight else s.text for s in segments).replace(']][[', '')


def test_m2_trains_thinking_behind_the_tag_that_the_prompt_ends_with():
    assert marked('minimax_m2', AGENT) == (
        ']~!b[]~b]system\ns[e~[\n]~b]user\n?[e~[\n]~b]ai\n<think>\n[[hm\n</think>\n\n\n<minimax:tool_call>\n'
        '<invoke name="f">\n<parameter name="n">1</parameter>\n<parameter name="l">[{"a": null, "b": true}]'
        '</parameter>\n</invoke>\n</minimax:tool_call>[e~[]]\n]~b]tool\n<response>r</response>\n<response>s</response>'
        '[e~[\n]~b]ai\n[[done[e~[]]\n')


def test_m3_expands_arguments_and_leaves_out_null():
    text = marked('minimax_m3_vl', AGENT).replace(']<]minimax[>[', '@')
    assert text.endswith(
        ']~b]ai\n[[<mm:think>hm</mm:think>@<tool_call>\n@<invoke name="f">@<n>1@</n>@<l>@<item>@<b>true@</b>@</item>'
        '@</l>@</invoke>\n@</tool_call>[e~[]]\n]~b]tool\n<response>r</response>\n<response>s</response>[e~[\n'
        ']~b]ai\n[[</mm:think>done[e~[]]\n')


@pytest.mark.parametrize(('policy', 'first', 'second'), [
    (None, '[[one', '<think>\n[[r2\n</think>\n\ntwo'),
    ('keep', '<think>\n[[r1\n</think>\n\none', '<think>\n[[r2\n</think>\n\ntwo'),
    ('strip_history', '[[one', '<think>\n[[r2\n</think>\n\ntwo'),
    ('none', '[[one', '[[two'),
])
def test_thinking_policies_of_m2(policy, first, second):
    assert marked('minimax_m2', TALK, thinking=policy) == (
        f']~!b[]~b]system\ns[e~[\n]~b]user\n1?[e~[\n]~b]ai\n{first}[e~[]]\n'
        f']~b]user\n2?[e~[\n]~b]ai\n{second}[e~[]]\n')


@pytest.mark.parametrize(('mode', 'policy', 'ending'), [
    (None, None, ''), ('enabled', None, '<mm:think>'), ('disabled', None, '</mm:think>'), ('adaptive', None, ''),
    ('enabled', 'none', ''), ('enabled', 'add_empty', '</mm:think>'),
])
def test_the_prompt_of_m3_follows_its_switch(mode, policy, ending):
    text = render_case(TEMPLATES.get('minimax_m3_vl'), TALK[:2], add_generation_prompt=True, thinking=policy,
                       options={} if mode is None else {'thinking_mode': mode}).text
    assert text.rpartition(']~b]ai\n')[2] == ending


def test_every_release_of_m2_says_who_it_is():
    texts = {name: marked(name, TALK[1:]) for name in ('minimax_m2', 'minimax_m2_1', 'minimax_m2_5', 'minimax_m2_7')}
    assert 'MiniMax-M2.7' in texts['minimax_m2_7']
    assert len(set(texts.values())) == 4


@pytest.mark.parametrize('name', ['minimax_m2', 'minimax_m3_vl'])
def test_a_result_without_a_call_is_refused(name):
    with pytest.raises(RowError, match='no answer before it that calls a tool'):
        marked(name, [Message('user', '?'), Message('assistant', 'a'), Message('tool', 'r')])


@pytest.mark.parametrize('name', ['minimax_m2', 'minimax_m3_vl'])
def test_arguments_that_are_no_object_are_refused(name):
    broken = {'type': 'function', 'function': {'name': 'f', 'arguments': '{"a": '}}
    with pytest.raises(RowError, match="'f' are no object"):
        marked(name, [Message('user', '?'), Message('assistant', '', tool_calls=(broken,))])
