from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swift.llm.infer.base import Answer, Detokenizer, check_config
from swift.llm.protocol import RequestConfig
from swift.utils.errors import UsageError

END = 256


def decode_bytes(ids: list[int]) -> str:
    """Like a byte-level tokenizer: a token is a byte, unfinished characters become U+FFFD."""
    return bytes(ids).decode('utf-8', 'replace')


def decode_words(ids: list[int]) -> str:
    """Like SentencePiece: every token brings a leading space, which the start of a text loses."""
    return ''.join(f' w{i}' for i in ids)[1:]


def answer_of(stop: tuple[str, ...] = (), limit: int = 1000) -> Answer:
    return Answer(decode_bytes, stop_ids={END}, stop=stop, limit=limit)


def feed(answer: Answer, text: str, end: bool = True) -> list[str]:
    return [answer.push(token) for token in (*text.encode(), *([END] if end else []))]


def test_characters_come_whole():
    pieces = feed(answer_of(), 'a中😀é')
    assert [piece for piece in pieces if piece] == ['a', '中', '😀', 'é']


def test_an_unfinished_character_at_the_end_is_shown_as_a_replacement():
    answer = answer_of()
    shown = [answer.push(token) for token in ('ok中'.encode()[:-1] + b'')] + [answer.push(END)]
    assert ''.join(shown) == answer.text == 'ok\ufffd'


def test_leading_spaces_inside_a_text_survive():
    detokenizer = Detokenizer(decode_words)
    assert [detokenizer.push(i) for i in (1, 2, 3)] == ['w1', ' w2', ' w3']


@given(st.text(max_size=30))
def test_pieces_joined_are_the_text(text):
    answer = answer_of()
    assert ''.join(feed(answer, text)) == answer.text == text
    assert answer.finish_reason == 'stop'
    assert answer.token_ids == tuple(text.encode())


@given(text=st.text('ab#', max_size=20), stop=st.lists(st.text('ab#', min_size=1, max_size=4), max_size=3))
@settings(max_examples=300)
def test_nothing_of_a_stop_string_is_ever_shown(text, stop):
    answer = answer_of(tuple(stop))
    shown = ''
    for piece in feed(answer, text):
        shown += piece
        assert not any(s in shown for s in stop)
    ends = [at for at in (text.find(s) for s in stop) if at >= 0]
    assert shown == answer.text
    assert text.startswith(shown)
    # the answer ends at the first stop string to be completed; nothing before that is lost
    if not ends:
        assert shown == text
    else:
        first_complete = min(text.find(s) + len(s) for s in stop if s in text)
        assert shown == text[:min(text[:first_complete].find(s) for s in stop if s in text[:first_complete])]


def test_a_stop_string_inside_one_token_cuts_the_token():
    answer = Answer(lambda ids: ''.join({1: 'yes', 2: ' no##more', 3: 'x'}[i] for i in ids), stop_ids=(),
                    stop=('##',), limit=9)
    assert [answer.push(1), answer.push(2), answer.push(3)] == ['yes', ' no', '']
    assert (answer.text, answer.token_ids, answer.finish_reason) == ('yes no', (1, 2), 'stop')


def test_tokens_of_a_stop_string_are_not_part_of_the_answer():
    answer = answer_of(('##',))
    feed(answer, 'ab##cd')
    assert answer.token_ids == tuple(b'ab')
    assert answer.produced == 4


def test_text_that_looks_like_a_stop_string_waits_and_is_released():
    assert feed(answer_of(('<end>',)), 'a<en>', end=False) == ['a', '', '', '', '<en>']


def test_the_limit_ends_an_answer_and_releases_what_waited():
    answer = answer_of(('##',), limit=3)
    assert ''.join(feed(answer, 'ab#cd')) == answer.text == 'ab#'
    assert (answer.finish_reason, answer.produced) == ('length', 3)


def test_what_comes_after_the_end_is_ignored():
    answer = answer_of()
    feed(answer, 'hi')
    assert answer.push(ord('x')) == ''
    assert (answer.text, answer.produced) == ('hi', 3)


@pytest.mark.parametrize(('config', 'message'), [
    (RequestConfig(temperature=-1), 'temperature is -1; it takes 0'),
    (RequestConfig(temperature=float('nan')), 'temperature is nan'),
    (RequestConfig(top_p=0), 'top_p is 0; it takes above 0'),
    (RequestConfig(max_tokens=0), 'max_tokens is 0'),
    (RequestConfig(n=3, num_beams=2), r'n is 3; it takes at most num_beams \(2\)'),
    (RequestConfig(stop=('a', '')), "stop is .*not empty"),
])
def test_settings_out_of_range_are_named(config, message):
    with pytest.raises(UsageError, match=message):
        check_config(config)
