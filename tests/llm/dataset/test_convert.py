from __future__ import annotations

import json

import pytest

from swift.llm.dataset.convert import ColumnsError, convert, detect, dump_row, parse_columns
from swift.utils.errors import RowError, UsageError

U, A = 'user', 'assistant'


def turns(*texts: str, system: str | None = None) -> list[dict]:
    start = [] if system is None else [{'role': 'system', 'content': system}]
    return start + [{'role': (U, A)[i % 2], 'content': text} for i, text in enumerate(texts)]


@pytest.mark.parametrize(('raw', 'messages'), [
    ({'query': 'q', 'response': 'r'}, turns('q', 'r')),
    ({'query': 'q', 'response': 'r', 'system': 's', 'history': [['a', 'b'], ['c', 'd']]},
     turns('a', 'b', 'c', 'd', 'q', 'r', system='s')),
    ({'query': 'q', 'response': 'r', 'history': "[['a', 'b']]"}, turns('a', 'b', 'q', 'r')),
    ({'query': 'q', 'response': 'r', 'history': '[["a", "b"]]'}, turns('a', 'b', 'q', 'r')),
    ({'query': 'q', 'response': 'r', 'history': '', 'system': ''}, turns('q', 'r')),
    ({'instruction': 'i', 'input': '', 'output': 'o'}, turns('i', 'o')),
    ({'instruction': 'i', 'input': 'x', 'output': 'o', 'system': 's'}, turns('i\nx', 'o', system='s')),
    ({'instruction': 'i', 'output': 'o'}, turns('i', 'o')),
    ({'instruction': 'i', 'input': 'x', 'response': 'o'}, turns('i\nx', 'o')),
    ({'question': 'q', 'answer': 42}, turns('q', '42')),
    ({'problem': 'q', 'solution': 'r'}, turns('q', 'r')),
    ({'prompt': 'q', 'completion': 'r', 'text': 'q r'}, turns('q', 'r')),
    ({'input': 'q', 'target': 'r'}, turns('q', 'r')),
    ({'conversations': [{'from': 'human', 'value': 'q'}, {'from': 'gpt', 'value': 'r'}]}, turns('q', 'r')),
    ({'conversations': [{'from': 'system', 'value': 's'}, {'from': 'user', 'value': 'q'},
                        {'from': 'bot', 'value': 'r'}]},
     turns('q', 'r', system='s')),
    ({'conversations': [{'from': 'human', 'value': 'q'}, {'from': 'gpt', 'value': 'r'}], 'system': 's'},
     turns('q', 'r', system='s')),
    ({'messages': turns('q', 'r', 'q2', 'r2')}, turns('q', 'r', 'q2', 'r2')),
    ({'messages': json.dumps(turns('q', 'r'))}, turns('q', 'r')),
    ({'messages': [{'role': U, 'content': [{'type': 'text', 'text': 'a'}, {'type': 'text', 'text': 'b'}]},
                   {'role': A, 'content': 'r'}]}, turns('ab', 'r')),
    ({'conversation': [{'human': 'q', 'assistant': 'r'}, {'human': 'q2', 'assistant': 'r2'}]},
     turns('q', 'r', 'q2', 'r2')),
    ({'conversation': [{'system': 's', 'human': 'q', 'assistant': 'r'}]}, turns('q', 'r', system='s')),
    ({'text': 'once'}, [{'role': A, 'content': 'once'}]),
    ({'response': 'once'}, [{'role': A, 'content': 'once'}]),
    ({'query': None, 'response': 'once'}, [{'role': A, 'content': 'once'}]),
])
def test_every_format(raw, messages):
    assert convert(raw) == {'messages': messages}


@pytest.mark.parametrize(('raw', 'reason'), [
    ([], 'a list, not a JSON object'),
    ({}, 'no format has the columns'),
    ({'a': 1, 'b': 2}, 'no format has the columns a, b'),
    ({'query': 'q', 'answer': 'r', 'solution': 's'}, 'answer and solution could each be the response'),
    ({'prompt': 'q', 'question': 'q', 'answer': 'r'}, 'could each be the query'),
    ({'query': 'q', 'response': ''}, 'an empty response'),
    ({'query': 'q', 'response': ' \n'}, 'an empty response'),
    ({'query': 'q', 'response': None}, 'read as query/response has nothing where'),
    ({'messages': None, 'id': 3}, 'read as messages has nothing where'),
    ({'query': 'q', 'response': {'a': 1}}, 'response is an object, not text'),
    ({'query': ['q'], 'response': 'r'}, 'query is a list, not text'),
    ({'query': 'q', 'response': True}, 'response is true or false, not text'),
    ({'query': 'q', 'response': 'r', 'history': [['a']]}, 'history is not a list of'),
    ({'query': 'q', 'response': 'r', 'history': '__import__("os").getcwd()'}, 'history is text that is no JSON list'),
    ({'messages': []}, 'there are no turns'),
    ({'messages': [{'role': 'system', 'content': 's'}]}, 'there are no turns'),
    ({'messages': 'hello'}, 'no JSON list'),
    ({'messages': ['hello']}, 'not a list of turns'),
    ({'messages': [{'role': 'alien', 'content': 'x'}]}, "unknown role 'alien'"),
    ({'messages': [{'content': 'x'}]}, 'neither role and content'),
    ({'messages': [{'role': U}, {'role': A, 'content': 'r'}]}, 'null, not text'),
    ({'messages': turns('q')}, 'no response to train'),
    ({'messages': turns('q', 'r', 'q2')}, 'no response to train'),
    ({'messages': turns('q', '', 'q2', 'r')}, 'an empty response'),
    ({'messages': [{'role': U, 'content': 'a'}, *turns('q', 'r')]}, 'a turn of user follows a turn of user'),
    ({'messages': [*turns('q', 'r'), {'role': A, 'content': 'x'}]}, 'a turn of assistant follows a turn of assistant'),
    ({'messages': [{'role': A, 'content': 'hi'}, *turns('q', 'r')]}, 'comes first'),
    ({'messages': [{'role': 'tool', 'content': 'x'}, {'role': A, 'content': 'r'}]}, 'a turn of tool comes first'),
    ({'messages': [*turns('q', 'r'), {'role': 'system', 'content': 's'}, *turns('q', 'r')]},
     'a turn of system follows'),
    ({'messages': [{'role': U, 'content': 'q'}, {'role': A, 'content': 'r', 'loss': 'yes'}]}, 'loss is text'),
    ({'messages': [{'role': U, 'content': 'q'}, {'role': A, 'content': 'r', 'loss_scale': -1}]}, 'loss_scale is not'),
    ({'messages': [{'role': U, 'content': [{'type': 'image_url'}]}, {'role': A, 'content': 'r'}]},
     'a part that is not text'),
    ({'query': 'q', 'response': 'r', 'images': ['a.png']}, 'images, which can\'t be trained yet'),
    ({'conversation': [{'human': 'q'}]}, 'neither role and content'),
    ({'messages': [{'role': U, 'content': 'q'}, {'role': 'tool_call', 'content': '{'}]}, 'not valid JSON'),
    ({'messages': [{'role': U, 'content': 'q'}, {'role': 'tool_call', 'content': '{}'}]}, 'has no name'),
    ({'query': 'q', 'response': 'r', 'tools': 'x('}, 'tools is text that is no JSON list'),
])
def test_every_row_that_can_not_be_used_says_why(raw, reason):
    with pytest.raises(RowError) as caught:
        convert(raw)
    assert reason in str(caught.value)


def test_message_weights_are_kept():
    assistant = {'role': A, 'content': 'r', 'loss': 0, 'loss_scale': 2}
    assert convert({'messages': [{'role': U, 'content': 'q', 'loss': True}, assistant]})['messages'] == [
        {'role': U, 'content': 'q'}, {'role': A, 'content': 'r', 'loss': False, 'loss_scale': 2.0}]
    assert convert({'messages': [{'role': U, 'content': 'q'},
                                 {'role': A, 'content': 'r', 'weight': 0}]})['messages'][1] == {
        'role': A, 'content': 'r', 'loss_scale': 0.0}


def test_unset_keys_of_a_hub_row_are_absent():
    row = {'messages': [{'role': U, 'content': 'q', 'tool_calls': None}, {'role': A, 'content': 'r', 'loss': None}],
           'tools': None, 'images': []}
    assert convert(row) == {'messages': turns('q', 'r')}


def test_function_calls_and_their_results():
    tool = {'name': 'age', 'description': 'd', 'parameters': {}}
    row = convert({
        'conversations': [{'from': 'human', 'value': 'q'},
                          {'from': 'function_call', 'value': '{"name": "age", "arguments": {"y": 1}}'},
                          {'from': 'observation', 'value': '{"age": 3}'}, {'from': 'gpt', 'value': 'three'}],
        'tools': json.dumps([tool])})
    call = {'type': 'function', 'function': {'name': 'age', 'arguments': {'y': 1}}}
    assert row == {'messages': [{'role': U, 'content': 'q'}, {'role': A, 'content': '', 'tool_calls': [call]},
                                {'role': 'tool', 'content': '{"age": 3}'}, {'role': A, 'content': 'three'}],
                   'tools': [{'type': 'function', 'function': tool}]}


def test_a_call_joins_the_turn_before_it():
    call = {'role': 'tool_call', 'content': json.dumps({'name': 'f', 'arguments': {}})}
    results = [{'role': 'tool', 'content': '1'}, {'role': 'tool', 'content': '2'}]
    row = convert({'messages': [*turns('q', 'let me see'), call, call, *results, {'role': A, 'content': 'r'}]})
    assert row['messages'][1]['content'] == 'let me see'
    assert len(row['messages'][1]['tool_calls']) == 2
    assert [turn['role'] for turn in row['messages']] == [U, A, 'tool', 'tool', A]


def test_columns_come_first_and_win():
    assert convert({'ask': 'q', 'reply': 'r', 'response': 'old'}, {'ask': 'query', 'reply': 'response'}) == {
        'messages': turns('q', 'r')}
    assert convert({'answer': 'short', 'solution': 'long', 'query': 'q'}, {'solution': 'response'}) == {
        'messages': turns('q', 'long')}
    assert convert({'query': 'q', 'answer': 'r', 'solution': 'x'}, {'solution': 'label'}) == {
        'messages': turns('q', 'r'), 'label': 'x'}  # what was renamed is no longer there under its old name
    assert convert({'chat_rounds': turns('q', 'r')}, {'chat_rounds': 'messages'}) == {'messages': turns('q', 'r')}


def test_swapped_columns():
    assert convert({'query': 'r', 'response': 'q'},
                   {'query': 'response', 'response': 'query'}) == {'messages': turns('q', 'r')}


@pytest.mark.parametrize(('text', 'named'), [
    ('{', 'not valid JSON'), ('[1]', 'not a JSON object'), ('{"a": 1}', 'not a JSON object'),
    ('{"a": "qeury"}', "'qeury'"), ('{"a": "query", "b": "query"}', 'two columns'),
])
def test_wrong_columns_flag(text, named):
    with pytest.raises(UsageError, match='--columns') as caught:
        parse_columns(text)
    assert named in str(caught.value)


def test_columns_flag():
    assert parse_columns('{"a": "query"}') == {'a': 'query'}
    assert parse_columns(None) == {}


def test_an_unanswered_row_is_fine_for_inference_only():
    for raw in ({'query': 'q'}, {'messages': turns('q')}, {'instruction': 'q', 'input': ''}):
        assert convert(raw, answer_required=False) == {'messages': turns('q')}
        with pytest.raises(RowError):
            convert(raw)
    assert convert({'query': 'q', 'response': 'r'}, answer_required=False) == {'messages': turns('q', 'r')}
    with pytest.raises(ColumnsError):
        convert({'a': 1}, answer_required=False)


def test_columns_for_later_tasks_are_kept_and_others_dropped():
    row = convert({'query': 'q', 'response': 'r', 'rejected_response': 'bad', 'label': 1, 'id': 7})
    assert row == {'messages': turns('q', 'r'), 'rejected_response': 'bad', 'label': 1}


def test_detection_names_the_format():
    assert detect(['messages', 'answer']) == 'messages'
    assert detect(['instruction', 'input', 'output']) == 'instruction/input/output'
    assert detect(['text']) == 'text'
    assert detect(['question', 'answer']) == 'query/response'


def test_half_a_surrogate_pair_is_refused():
    with pytest.raises(RowError, match='surrogate'):
        dump_row(convert({'query': 'q', 'response': json.loads('"\\ud83d"')}))
    assert dump_row(convert({'query': 'q', 'response': json.loads('"\\ud83d\\ude00"')}))
