"""What every engine keeps, whatever is behind it."""

from __future__ import annotations

from contextlib import closing

import pytest

from swift.llm.infer.base import Engine
from swift.llm.protocol import InferRequest, Message, RequestConfig
from swift.utils.errors import SwiftError, UsageError
from tests.llm.infer.scripted import ScriptedEngine

GREEDY = RequestConfig(temperature=0, max_tokens=12)


@pytest.fixture(params=['scripted', 'transformers'])
def engine(request) -> Engine:
    return ScriptedEngine() if request.param == 'scripted' else request.getfixturevalue('wild_engine')


def ask(text: str) -> InferRequest:
    return InferRequest([{'role': 'user', 'content': text}])


QUESTIONS = [ask(text) for text in ('Who are you?', 'x', 'What is the capital of France? ' * 3, '1 + 1', 'é中')]
BAD = InferRequest([Message('user', 'hi'), Message('assistant', 'hello')])


def test_order_and_length_are_kept_and_a_bad_request_stays_alone(engine):
    alone = [engine.infer([question], GREEDY)[0] for question in QUESTIONS]
    together = engine.infer([*QUESTIONS[:2], BAD, *QUESTIONS[2:]], GREEDY)
    assert together[2].error and not together[2].choices
    assert [*together[:2], *together[3:]] == alone
    assert len({response.text for response in alone}) > 1


def test_nothing_asked_is_nothing_answered(engine):
    assert engine.infer([], GREEDY) == []


def test_the_pieces_of_a_stream_are_the_text(engine):
    for question in QUESTIONS:
        response = engine.infer([question], GREEDY)[0]
        chunks = list(engine.stream(question, GREEDY))
        assert ''.join(chunk.delta for chunk in chunks) == response.text
        assert [c.finish_reason for c in chunks if c.finish_reason] == [response.choices[0].finish_reason]
        assert chunks[-1].usage == response.usage


def test_a_stop_string_ends_the_answer_and_is_not_in_it(engine):
    question = ask('abc def ghi')
    whole = engine.infer([question], GREEDY)[0].text
    stop = whole[3:6]
    config = RequestConfig(temperature=0, max_tokens=12, stop=(stop, 'never said'))
    response = engine.infer([question], config)[0]
    assert response.text == whole[:whole.find(stop)]
    assert response.choices[0].finish_reason == 'stop'
    assert ''.join(chunk.delta for chunk in engine.stream(question, config)) == response.text


def test_max_tokens_ends_the_answer(engine):
    response = engine.infer([ask('a long question')], RequestConfig(temperature=0, max_tokens=4))[0]
    assert response.choices[0].finish_reason == 'length'
    assert response.usage.completion_tokens == len(response.choices[0].token_ids) == 4
    assert response.usage.prompt_tokens > 0


def test_several_answers_a_request(engine):
    config = RequestConfig(temperature=0, max_tokens=4, n=3)
    response = engine.infer([ask('hi there')], config)[0]
    assert [choice.index for choice in response.choices] == [0, 1, 2]
    pieces = ['', '', '']
    for chunk in engine.stream(ask('hi there'), config):
        pieces[chunk.index] += chunk.delta
    assert pieces == [choice.message.content for choice in response.choices]


def test_a_wrong_setting_is_an_error_of_the_call(engine):
    with pytest.raises(UsageError, match='top_p is 2'):
        engine.infer(QUESTIONS, RequestConfig(top_p=2))
    with pytest.raises(UsageError, match='top_p is 2'):
        next(engine.stream(QUESTIONS[0], RequestConfig(top_p=2)))


def test_a_stream_of_a_bad_request_raises(engine):
    with pytest.raises(SwiftError):
        next(engine.stream(BAD, GREEDY))


def test_a_stream_left_alone_leaves_the_engine_usable(engine):
    with closing(engine.stream(QUESTIONS[0], RequestConfig(temperature=0, max_tokens=200))) as chunks:
        next(chunks)
    assert engine.infer([QUESTIONS[0]], GREEDY)[0].error is None


def test_an_engine_names_its_models(engine):
    assert engine.models() and all(isinstance(name, str) for name in engine.models())
