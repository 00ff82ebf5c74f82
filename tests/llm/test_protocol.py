from __future__ import annotations

import pytest

from swift.llm.protocol import Message
from swift.utils.errors import SwiftError


def test_a_message_goes_there_and_back():
    raw = {'role': 'tool', 'content': '21', 'name': 'f', 'tool_call_id': 'c1'}
    assert Message.from_dict(raw).to_dict() == raw


def test_openais_developer_is_the_system():
    assert Message.from_dict({'role': 'developer', 'content': 'x'}).role == 'system'


def test_parts_of_text_are_joined_and_others_are_named():
    parts = [{'type': 'text', 'text': 'a'}, {'type': 'text', 'text': 'b'}]
    assert Message.from_dict({'role': 'user', 'content': parts}).content == 'ab'
    with pytest.raises(SwiftError, match="type 'image_url'; text can be read only"):
        Message.from_dict({'role': 'user', 'content': [{'type': 'image_url', 'image_url': 'x'}]})


@pytest.mark.parametrize(('raw', 'reason'), [
    ({'role': 'bot', 'content': 'x'}, "role 'bot'; known: system"),
    ({'role': 'user', 'content': 'x', 'weigth': 1}, "unknown key 'weigth'"),
    ({'role': 'user', 'content': 3}, 'is int, not text'),
    ({'role': 'user'}, 'is NoneType, not text'),
])
def test_what_is_no_message(raw, reason):
    with pytest.raises(SwiftError, match=reason):
        Message.from_dict(raw)
