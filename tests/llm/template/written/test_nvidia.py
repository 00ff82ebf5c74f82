"""Nemotron: two formats, and what becomes of earlier thinking."""

from __future__ import annotations

import pytest

from swift.llm.protocol import Message
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.render import render_case
from swift.utils.errors import RowError

CALL = {'type': 'function', 'function': {'name': 'f', 'arguments': {'n': 1}}}


def marked(name: str, messages: list[Message], **options) -> str:
    """The rendering with what is trained between brackets."""
    segments = render_case(TEMPLATES.get(name), messages, **options).segments
    return ''.join(f'[[{s.text}]]' if s.weight else s.text for s in segments).replace(']][[', '')


def test_nano_v2_keeps_the_thinking_of_the_last_answer_only():
    messages = [Message('user', '1?'), Message('assistant', 'r1</think>one'),
                Message('user', '2?'), Message('assistant', 'r2</think>two')]
    assert marked('nemotron_nano_v2', messages) == (
        '<SPECIAL_10>System\n\n\n<SPECIAL_11>User\n1?\n<SPECIAL_11>Assistant\n[[one\n<SPECIAL_12>]]\n'
        '<SPECIAL_11>User\n2?\n<SPECIAL_11>Assistant\n<think>\n[[r2</think>two\n<SPECIAL_12>]]\n')


@pytest.mark.parametrize(('system', 'question', 'tail'), [
    ('', 'x', '<think>\n'), ('', 'x /no_think', '<think></think>'), ('/no_think', 'x', '<think></think>'),
    ('/no_think', 'x /think', '<think>\n'),
])
def test_nano_v2_is_switched_by_words(system, question, tail):
    text = render_case(TEMPLATES.get('nemotron_nano_v2'), [Message('system', system), Message('user', question)],
                       add_generation_prompt=True).text
    assert text.endswith(f'User\nx\n<SPECIAL_11>Assistant\n{tail}')


def test_nano_v2_ends_with_calls():
    messages = [Message('user', '?'), Message('assistant', '', tool_calls=(CALL, CALL))]
    assert marked('nemotron_nano_v2', messages).endswith(
        'Assistant\n[[<TOOLCALL>[{"name": "f", "arguments": {"n": 1}}, {"name": "f", "arguments": {"n": 1}}]'
        '</TOOLCALL><SPECIAL_12>]]\n\n')
    with pytest.raises(RowError, match='besides the system text'):
        render_case(TEMPLATES.get('nemotron_nano_v2'), [Message('system', 'x')])


@pytest.mark.parametrize(('name', 'options', 'first', 'second'), [
    ('nemotron_3_nano', {}, '<think>[[</think>\none', '<think>\n[[r2\n</think>\ntwo'),
    ('nemotron_h', {}, '<think>[[</think>one', '<think>\n[[r2</think>two'),
    ('nemotron_3_nano', {'truncate_history_thinking': False}, '<think>\n[[r1\n</think>\none',
     '<think>\n[[r2\n</think>\ntwo'),
    ('nemotron_3_nano', {'enable_thinking': False}, '<think></think>[[\none', '<think>[[\nr2\n</think>\ntwo'),
])
def test_nemotron_3(name, options, first, second):
    messages = [Message('user', '1?'), Message('assistant', 'one', reasoning_content='r1'),
                Message('user', '2?'), Message('assistant', 'two', reasoning_content='r2')]
    assert marked(name, messages, options=options) == (
        '<|im_start|>system\n<|im_end|>\n'
        f'<|im_start|>user\n1?<|im_end|>\n<|im_start|>assistant\n{first}<|im_end|>]]\n'
        f'<|im_start|>user\n2?<|im_end|>\n<|im_start|>assistant\n{second}<|im_end|>]]\n')


def test_efforts_are_told_in_the_last_question():
    messages = [Message('user', 'a'), Message('assistant', 'b'), Message('user', 'c')]
    for name, switch, told in (('nemotron_3_super', 'low_effort', 'low'),
                               ('nemotron_3_ultra', 'medium_effort', 'efficient')):
        text = marked(name, messages, options={switch: True})
        assert text.count('reasoning effort') == 1
        assert f'c\n\n{{reasoning effort: {told}}}<|im_end|>' in text
    assert 'effort' not in marked('nemotron_3_nano', messages, options={'low_effort': True})
