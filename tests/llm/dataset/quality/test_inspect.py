from __future__ import annotations

import re

import pytest

from swift.llm.dataset.quality.inspect import (
    blank_turn,
    calls_without_result,
    control_tokens,
    is_blank,
    lacks_answer,
    media_paths,
    missing_file,
    raw_roles,
    tag_mismatch,
    unusual_order,
)

NO_TOKENS: frozenset[str] = frozenset()


def turns(roles: str) -> list[str]:
    return [{'s': 'system', 'u': 'user', 'a': 'assistant', 't': 'tool'}[role] for role in roles]


@pytest.mark.parametrize('roles', ['', 'a', 'u', 'ua', 'sua', 'uaua', 'uata', 'suattaua'])
def test_usual_orders(roles):
    assert unusual_order(turns(roles)) is None


@pytest.mark.parametrize(('roles', 'said'), [
    ('au', 'begins with assistant'), ('sau', 'begins with assistant'), ('uua', 'user twice'),
    ('uaa', 'assistant twice'),
    ('usa', 'system after'), ('uau', 'ends with user'), ('uta', 'tool after user'), ('uatua', 'user after tool'),
    ('su', 'ends with user'), ('uat', 'ends with tool'),
])
def test_unusual_orders(roles, said):
    assert said in unusual_order(turns(roles))


def test_an_unknown_role_is_named():
    assert unusual_order(['user', 'narrator']) == 'unknown role narrator'


def test_roles_of_raw_conversations():
    assert raw_roles({'conversations': [{'from': 'human', 'value': 'q'}, {'from': 'function_call', 'value': '{}'},
                                        {'from': 'elf', 'value': 'x'}]}) == ('user', 'assistant', 'elf')
    assert raw_roles({'query': 'q'}) == ()


@pytest.mark.parametrize(('row', 'blank'), [
    ({}, True), ({'query': ' ', 'response': None}, True), ({'messages': [{'role': 'user', 'content': '\n'}]}, True),
    ({'messages': [{'role': 'user', 'content': 'x'}]}, False), ({'query': '', 'response': 'x'}, False),
    ({'n': 3}, False),
])
def test_blank_rows(row, blank):
    assert is_blank(row) is blank


@pytest.mark.parametrize(('row', 'form', 'lacks'), [
    ({'query': 'q'}, None, True), ({'query': 'q', 'response': ' '}, 'query/response', True),
    ({'query': 'q', 'response': 'r'}, 'query/response', False), ({'text': 'only text'}, 'text', False),
    ({'messages': [{'role': 'user', 'content': 'q'}]}, 'messages', True),
    ({'conversations': [{'from': 'human', 'value': 'q'}, {'from': 'gpt', 'value': ''}]}, 'conversations', True),
    ({'messages': [{'role': 'user', 'content': 'q'}, {'role': 'assistant', 'tool_calls': [{'name': 'f'}]}]}, 'messages',
     False),
    ({'messages': []}, 'messages', False), ({'messages': 'x'}, None, False),
])
def test_rows_without_an_answer(row, form, lacks):
    assert lacks_answer(row, form) is lacks


def test_a_call_needs_its_result_and_a_turn_its_text():
    call = {'role': 'assistant', 'content': '', 'tool_calls': [{'name': 'f'}]}
    user, tool = {'role': 'user', 'content': 'q'}, {'role': 'tool', 'content': '1'}
    assert calls_without_result([user, call, user]) and not calls_without_result([user, call, tool])
    assert blank_turn([user, call]) is None
    assert blank_turn([{'role': 'system', 'content': ''}, {'role': 'user', 'content': ' '}]) == 'user'


class Controls:
    special = frozenset({'<|im_end|>', '<think>'})

    def matches(self, text):
        return list(re.finditer(r'<\|im_end\|>|<tool_call>|<think>', text))


def test_control_tokens_in_contents():
    question = [{'role': 'user', 'content': 'say <tool_call> or <think>'}]
    answer = [{'role': 'assistant', 'content': '<think>x</think><tool_call> <|im_end|>'}]
    allowed = frozenset({'<think>', '</think>'})
    assert [token for token, _ in control_tokens(question, Controls(), allowed)] == ['<tool_call>', '<think>']
    assert [token for token, _ in control_tokens(answer, Controls(), allowed)] == ['<|im_end|>']
    assert control_tokens(question, Controls(), allowed)[0][1] == 'say <tool_call> or <think>'


@pytest.mark.parametrize('text', ['<|im_start|>', 'a</s>', '[INST] x', '<start_of_turn>', '<|eot_id|>',
                                  '<｜end▁of▁sentence｜>'])
def test_common_spellings_are_found_without_a_tokenizer(text):
    assert control_tokens([{'role': 'user', 'content': text}], None, NO_TOKENS)


@pytest.mark.parametrize('text', ['<b>bold</b>', 'a < b | c > d', '[1] note', '<sup>2</sup>'])
def test_ordinary_text_is_no_control_token(text):
    assert not control_tokens([{'role': 'user', 'content': text}], None, NO_TOKENS)


def test_media_paths_leave_out_what_is_no_file():
    row = {'images': ['a.png', 'https://x.org/b.png', 'data:image/png;base64,AAAA', 'A' * 5000, {'path': 'c.png'},
                      {'bytes': 'xx', 'path': 'in-row.png'}], 'video': 'file:///v.mp4', 'objects': {'bbox': ['o.png']},
           'messages': [{'role': 'user', 'content': [{'type': 'text', 'text': 't.png'},
                                                     {'type': 'image_url', 'image_url': {'url': 'd.png'}}]}]}
    assert sorted(media_paths(row)) == ['/v.mp4', 'a.png', 'c.png', 'd.png']


def test_a_part_may_name_its_medium_as_its_value():
    parts = [{'type': 'image_url', 'value': 'a.png'}, {'type': 'text', 'value': 'what'}]
    assert list(media_paths({'messages': [{'role': 'user', 'content': parts}]})) == ['a.png']


def test_a_medium_may_lie_beside_the_data(tmp_path, monkeypatch):
    (tmp_path / 'a.png').touch()
    monkeypatch.chdir('/')
    assert not missing_file('a.png', tmp_path) and not missing_file(str(tmp_path / 'a.png'), tmp_path)
    assert missing_file('b.png', tmp_path) and missing_file('/a.png', tmp_path)


def test_as_many_tags_as_media():
    assert tag_mismatch({'query': '<image><image>', 'images': ['a']}) == '2 <image>, 1 images'
    assert tag_mismatch({'query': '<image>', 'images': ['a']}) is None
    assert tag_mismatch({'query': 'no tag', 'images': ['a']}) is None
