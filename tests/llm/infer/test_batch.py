from __future__ import annotations

import json

import pytest

from swift.llm.infer.batch import run_batch
from swift.llm.protocol import RequestConfig
from swift.utils.errors import SwiftError
from tests.llm.infer.scripted import ScriptedEngine

CONFIG = RequestConfig()


def row(query: str, label: str | None = None, system: str | None = None, *before: tuple[str, str]) -> dict:
    messages = [{'role': 'system', 'content': system}] if system else []
    for q, a in before:
        messages += [{'role': 'user', 'content': q}, {'role': 'assistant', 'content': a}]
    messages.append({'role': 'user', 'content': query})
    return {'messages': messages + ([{'role': 'assistant', 'content': label, 'loss': True}] if label else [])}


ROWS = [row(f'q{i}', f'a{i}') for i in range(7)]


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_lines_have_what_was_asked_and_answered_in_input_order(tmp_path):
    path = tmp_path / 'deep' / 'r.jsonl'
    rows = [row('二?', '2', 'count', ('one?', '1')), row('no label')]
    results = run_batch(ScriptedEngine(['two', 'three']), rows, CONFIG, result_path=path)
    assert lines(path) == results
    assert results[0] == {
        'system': 'count', 'query': '二?', 'response': 'two', 'label': '2', 'history': [['one?', '1']],
        'messages': [{'role': 'system', 'content': 'count'}, {'role': 'user', 'content': 'one?'},
                     {'role': 'assistant', 'content': '1'}, {'role': 'user', 'content': '二?'},
                     {'role': 'assistant', 'content': 'two'}]}
    assert (results[1]['label'], results[1]['system'], results[1]['history']) == (None, None, [])
    assert '二' in path.read_text(encoding='utf-8')


def test_the_label_is_not_shown_to_the_model():
    engine = ScriptedEngine()
    run_batch(engine, [row('q', 'secret')], CONFIG, result_path=None)
    assert [m.content for m in engine.asked[0][0].messages] == ['q']


def test_a_system_prompt_goes_to_rows_that_have_none():
    engine = ScriptedEngine()
    run_batch(engine, [row('a'), row('b', system='own')], CONFIG, result_path=None, system='given')
    assert [request.messages[0].content for request, _ in engine.asked] == ['given', 'own']


def test_one_failing_row_is_recorded_and_the_rest_goes_on(tmp_path, caplog):
    path = tmp_path / 'r.jsonl'
    results = run_batch(ScriptedEngine(['x', SwiftError('prompt too long'), 'z']), ROWS[:3], CONFIG, result_path=path,
                        batch_size=2)
    assert [value['response'] for value in results] == ['x', None, 'z']
    assert lines(path)[1]['error'] == 'prompt too long'
    assert 'error' not in results[0]


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path):
    path = tmp_path / 'r.jsonl'
    with pytest.raises(KeyboardInterrupt):
        run_batch(ScriptedEngine(['r0', 'r1', 'r2', 'r3', KeyboardInterrupt()]), ROWS, CONFIG, result_path=path,
                  batch_size=2)
    assert [value['response'] for value in lines(path)] == ['r0', 'r1', 'r2', 'r3']
    with open(path, 'a', encoding='utf-8') as file:
        file.write('{"system": null, "query": "q4", "resp')
    engine = ScriptedEngine(['r4', 'r5', 'r6'])
    results = run_batch(engine, ROWS, CONFIG, result_path=path, batch_size=2)
    assert [request.messages[-1].content for request, _ in engine.asked] == ['q4', 'q5', 'q6']
    assert [value['response'] for value in results] == [f'r{i}' for i in range(7)]
    assert lines(path) == results


def test_a_complete_file_asks_nothing(tmp_path):
    path = tmp_path / 'r.jsonl'
    first = run_batch(ScriptedEngine(), ROWS, CONFIG, result_path=path)
    engine = ScriptedEngine()
    assert run_batch(engine, ROWS, CONFIG, result_path=path) == first
    assert engine.asked == []


def test_failed_rows_count_as_answered_when_going_on(tmp_path):
    path = tmp_path / 'r.jsonl'
    run_batch(ScriptedEngine([SwiftError('no')]), ROWS[:1], CONFIG, result_path=path)
    assert len(run_batch(ScriptedEngine(), ROWS[:2], CONFIG, result_path=path)) == 2


@pytest.mark.parametrize('other', [
    [row('something else', 'a0')],
    [row('q0', 'another label')],
    [row('q0', 'a0', 'a system')],
])
def test_a_file_of_another_run_is_refused_and_left_alone(tmp_path, other):
    path = tmp_path / 'r.jsonl'
    run_batch(ScriptedEngine(), ROWS[:1], CONFIG, result_path=path)
    before = path.read_bytes()
    with pytest.raises(SwiftError, match='line 1 is not an answer to row 1.*--result_path'):
        run_batch(ScriptedEngine(), other, CONFIG, result_path=path)
    assert path.read_bytes() == before


def test_a_file_with_more_answers_than_rows_is_refused(tmp_path):
    path = tmp_path / 'r.jsonl'
    run_batch(ScriptedEngine(), ROWS, CONFIG, result_path=path)
    with pytest.raises(SwiftError, match='line 4.*has 3 rows'):
        run_batch(ScriptedEngine(), ROWS[:3], CONFIG, result_path=path)


def test_a_broken_line_is_named(tmp_path):
    path = tmp_path / 'r.jsonl'
    run_batch(ScriptedEngine(), ROWS[:2], CONFIG, result_path=path)
    path.write_text('{broken\n' + path.read_text(encoding='utf-8'), encoding='utf-8')
    with pytest.raises(SwiftError, match='line 1: not JSON'):
        run_batch(ScriptedEngine(), ROWS, CONFIG, result_path=path)


def test_a_place_that_can_not_be_written_is_named(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(SwiftError, match='--result_path'):
        run_batch(ScriptedEngine(), ROWS, CONFIG, result_path=tmp_path / 'file' / 'r.jsonl')


@pytest.mark.parametrize(('rows', 'verbose', 'shown'), [(3, None, 3), (25, None, 0), (25, True, 25), (3, False, 0)])
def test_few_answers_are_printed(rows, verbose, shown):
    said = []
    run_batch(ScriptedEngine(), [row(f'q{i}', 'a') for i in range(rows)], CONFIG, result_path=None, verbose=verbose,
              show=said.append)
    assert len(said) == shown
