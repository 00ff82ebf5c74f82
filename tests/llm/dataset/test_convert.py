from __future__ import annotations

import json

import pytest

from swift.llm.dataset.convert import (
    ColumnsError,
    build,
    convert,
    detect,
    dump_row,
    parse_columns,
    recognise,
)
from swift.llm.dataset.turns import name_turns
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
    ({}, 'the row has no columns'),
    (3, 'a row is a number, not a JSON object'),
    ({'query': 'q', 'response': float('nan')}, 'response is NaN, not text'),
    ({'messages': [turns('q', 'r')]}, 'messages is a list with a list in it, not a list of turns'),
    ({'messages': [None]}, 'messages is a list with null in it, not a list of turns'),
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


@pytest.mark.parametrize('columns', [
    {'prompt': turns('q'), 'completion': [{'role': A, 'content': 'r'}]},
    {'prompt': turns('q'), 'chosen': [{'role': A, 'content': 'r'}], 'rejected': [{'role': A, 'content': 'x'}]},
    {'prompt': turns('q'), 'chosen': turns('q', 'r'), 'rejected': turns('q', 'x')},
])
def test_a_prompt_that_is_a_list_of_turns(columns):
    row = convert(columns)
    assert row['messages'] == turns('q', 'r')
    if 'chosen' in columns:
        assert row['rejected_messages'] == turns('q', 'x')
    assert convert({'prompt': turns('q'), 'solution': '4'}, answer_required=False) == {
        'messages': turns('q'), 'solution': '4'}


def test_tools_as_anthropic_defines_them():
    row = convert({'messages': turns('q', 'r'), 'tools': [{'name': 'f', 'input_schema': {'type': 'object'}}]})
    assert row['tools'] == [{'type': 'function', 'function': {'name': 'f', 'parameters': {'type': 'object'}}}]


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


CALL = {'type': 'function', 'function': {'name': 'f', 'arguments': {'x': 1}}}


@pytest.mark.parametrize('turn', [
    {'role': 'tool_call', 'content': '{"name": "f", "arguments": {"x": 1}}'},
    {'role': 'tool_call', 'content': {'name': 'f', 'arguments': {'x': 1}}},
    {'from': 'function_call', 'value': '[{"name": "f", "parameters": {"x": 1}}]'},
    {'role': A, 'tool_calls': [CALL]}, {'role': A, 'content': None, 'tool_calls': json.dumps([CALL])},
    {'role': A, 'content': '', 'tool_calls': [{'name': 'f', 'arguments': {'x': 1}}]},
    {'role': A, 'content': '', 'function_call': {'name': 'f', 'arguments': {'x': 1}}},
    {'role': A, 'content': [{'type': 'tool_use', 'name': 'f', 'input': {'x': 1}}]},
])
def test_every_spelling_of_a_call(turn):
    row = convert({'messages': [{'role': U, 'content': 'q'}, turn]})
    assert row['messages'][1] == {'role': A, 'content': '', 'tool_calls': [CALL]}


@pytest.mark.parametrize('turn', [
    {'role': role, 'content': '7'} for role in ('tool', 'tool_response', 'observation', 'observations', 'function',
                                                'function_response')
] + [{'from': 'observation', 'value': 7}, {'role': U, 'content': [{'type': 'tool_result', 'content': '7'}]},
     {'role': U, 'content': [{'type': 'tool_result', 'content': [{'type': 'text', 'text': '7'}]}]}])
def test_every_spelling_of_a_result(turn):
    row = convert({'messages': [{'role': U, 'content': 'q'}, {'role': A, 'tool_calls': [CALL]}, turn,
                                {'role': A, 'content': 'r'}]})
    assert row['messages'][2] == {'role': 'tool', 'content': '7'}


def test_names_ids_and_arguments_of_calls_stay_as_they_are():
    as_text = {'id': 'c1', 'type': 'function', 'function': {'name': 'f', 'arguments': '{"x": 1}'}}
    row = convert({'messages': [{'role': U, 'content': 'q', 'name': 'ann'}, {'role': A, 'tool_calls': [as_text]},
                                {'role': 'tool', 'content': '7', 'tool_call_id': 'c1', 'name': 'f'},
                                {'role': A, 'content': 'r', 'name': None}]})
    assert row['messages'] == [{'role': U, 'content': 'q', 'name': 'ann'},
                               {'role': A, 'content': '', 'tool_calls': [as_text]},
                               {'role': 'tool', 'content': '7', 'tool_call_id': 'c1', 'name': 'f'},
                               {'role': A, 'content': 'r'}]
    for role in ('tool_call', 'function_call'):
        call = {'name': 'f', 'arguments': '{"x": 1}'}
        turn = convert({'messages': [{'role': U, 'content': 'q'}, {'role': role, 'content': call}]})['messages'][1]
        assert turn['tool_calls'][0]['function']['arguments'] == '{"x": 1}'


def test_blocks_as_anthropic_writes_them():
    row = convert({'messages': [
        {'role': U, 'content': [{'type': 'text', 'text': 'q'}]},
        {'role': A, 'content': [{'type': 'thinking', 'thinking': 'hm'}, {'type': 'text', 'text': 'let me see'},
                                {'type': 'tool_use', 'id': 't1', 'name': 'f', 'input': {'x': 1}}]},
        {'role': U, 'content': [{'type': 'tool_result', 'tool_use_id': 't1', 'content': '7'}]},
        {'role': A, 'content': 'r'}]})
    assert row['messages'][1:] == [
        {'role': A, 'content': 'let me see', 'reasoning_content': 'hm', 'tool_calls': [{'id': 't1', **CALL}]},
        {'role': 'tool', 'content': '7', 'tool_call_id': 't1'}, {'role': A, 'content': 'r'}]


def test_parts_with_values():
    """As LLaMA-Factory 1 writes them."""
    def value(kind, text):
        return {'type': kind, 'value': text}

    turn = [value('reasoning', 'hm'), value('tool_call', '{"name": "f", "arguments": {"x": 1}}'), value('text', 'so')]
    row = {'messages': [{'role': U, 'content': [value('text', 'q')], 'loss_weight': 0.0},
                        {'role': A, 'content': turn, 'loss_weight': 1.0}]}
    answer = {'role': A, 'content': 'so', 'reasoning_content': 'hm', 'tool_calls': [CALL], 'loss_scale': 1.0}
    assert convert(row) == {'messages': [{'role': U, 'content': 'q'}, answer]}
    pair = {'chosen_messages': row['messages'], 'rejected_messages': [{'role': U, 'content': [value('text', 'q')]},
                                                                      {'role': A, 'content': [value('text', 'no')]}]}
    assert convert(pair) == {'messages': convert(row)['messages'], 'rejected_messages': turns('q', 'no')}


def test_history_with_roles():
    row = convert({'query': '7', 'response': 'r', 'query_role': 'tool', 'history': [['q', 'let me see']],
                   'history_roles': [['user', 'assistant']]})
    assert [turn['role'] for turn in row['messages']] == [U, A, 'tool', A]
    with pytest.raises(RowError, match='history_roles has not one pair'):
        convert({'query': 'q', 'response': 'r', 'history': [['a', 'b']],
                 'history_roles': [['user', 'assistant'], ['user', 'assistant']]})


MEDIA_ROWS = [
    ({'query': 'q', 'response': 'r', 'images': ['a.png']}, {'images': ['a.png']}),
    ({'query': 'q', 'response': 'r', 'image': 'a.png'}, {'images': ['a.png']}),
    ({'query': 'q', 'response': 'r', 'images': '["a.png", "b.png"]'}, {'images': ['a.png', 'b.png']}),
    ({'query': 'q', 'response': 'r', 'video': 'a.mp4', 'audios': ['a.wav']},
     {'videos': ['a.mp4'], 'audios': ['a.wav']}),
    ({'query': 'q', 'response': 'r', 'image': {'bytes': 'x', 'path': None}},
     {'images': [{'bytes': 'x', 'path': None}]}),
    ({'query': 'q', 'response': 'r', 'images': ['a.png'], 'objects': {'ref': ['cat'], 'bbox': [[1, 2, 3, 4]]}},
     {'images': ['a.png'], 'objects': {'ref': ['cat'], 'bbox': [[1, 2, 3, 4]]}}),
    ({'query': 'q', 'response': 'r', 'rejected_response': 's', 'images': ['a'], 'rejected_images': ['b']},
     {'rejected_response': 's', 'images': ['a'], 'rejected_images': ['b']}),
]


@pytest.mark.parametrize(('raw', 'kept'), MEDIA_ROWS)
def test_media_are_kept_where_they_can_be_used_and_refused_elsewhere(raw, kept):
    assert build(*recognise(raw), with_media=True) == {'messages': turns('q', 'r'), **kept}
    with pytest.raises(RowError, match='which can\'t be trained yet'):
        convert(raw)


@pytest.mark.parametrize(('part', 'column', 'value', 'tag'), [
    ({'type': 'image_url', 'image_url': {'url': 'u.png'}}, 'images', 'u.png', '<image>'),
    ({'type': 'image', 'image': 'u.png'}, 'images', 'u.png', '<image>'),
    ({'type': 'image_url', 'value': 'u.png'}, 'images', 'u.png', '<image>'),
    ({'type': 'image', 'source': {'data': 'x'}}, 'images', {'data': 'x'}, '<image>'),
    ({'type': 'video', 'video': 'u.mp4'}, 'videos', 'u.mp4', '<video>'),
    ({'type': 'audio', 'audio': 'u.wav'}, 'audios', 'u.wav', '<audio>'),
])
def test_media_in_the_parts_of_a_turn(part, column, value, tag):
    raw = {'messages': [{'role': U, 'content': [part, {'type': 'text', 'text': 'q'}]}, {'role': A, 'content': 'r'}]}
    assert build(*recognise(raw), with_media=True) == {'messages': turns(f'{tag}q', 'r'), column: [value]}
    with pytest.raises(RowError, match=f'{column}, which can\'t be trained yet'):
        convert(raw)


CHOSEN, REJECTED = turns('q', 'a'), turns('q', 'b')


@pytest.mark.parametrize(('raw', 'expected'), [
    ({'query': 'q', 'response': 'a', 'rejected_response': 'b'}, {'rejected_response': 'b'}),
    ({'messages': CHOSEN, 'rejected_response': 'b'}, {'rejected_response': 'b'}),
    ({'messages': CHOSEN, 'rejected_response': REJECTED[1:]}, {'rejected_response': REJECTED[1:]}),
    ({'messages': CHOSEN, 'rejected_messages': REJECTED}, {'rejected_messages': REJECTED}),
    ({'messages': CHOSEN, 'rejected_messages': [{'from': 'human', 'value': 'q'}, {'from': 'gpt', 'value': 'b'}]},
     {'rejected_messages': REJECTED}),
    ({'prompt': 'q', 'chosen': 'a', 'rejected': 'b'}, {'rejected_response': 'b'}),
    ({'prompt': 'q', 'chosen': CHOSEN, 'rejected': REJECTED}, {'rejected_messages': REJECTED}),
    ({'prompt': 'q', 'chosen': CHOSEN[1:], 'rejected': REJECTED[1:]}, {'rejected_response': 'b'}),
    ({'conversations': [{'from': 'human', 'value': 'q'}], 'chosen': {'from': 'gpt', 'value': 'a'},
      'rejected': {'from': 'gpt', 'value': 'b'}}, {'rejected_response': REJECTED[1:]}),
    ({'messages': CHOSEN, 'label': True}, {'label': True}),
    ({'messages': CHOSEN, 'label': [0, 2], 'channel': 'math', 'margin': 0.5},
     {'label': [0, 2], 'channel': 'math', 'margin': 0.5}),
    ({'messages': CHOSEN, 'positive_messages': [REJECTED], 'negative_messages': [CHOSEN, REJECTED]},
     {'positive_messages': [REJECTED], 'negative_messages': [CHOSEN, REJECTED]}),
])
def test_columns_of_other_tasks(raw, expected):
    assert convert(raw) == {'messages': CHOSEN, **expected}


@pytest.mark.parametrize('raw', [
    {'query': 'q', 'response': 'a', 'rejected_response': 'a'}, {'messages': CHOSEN, 'rejected_response': CHOSEN[1:]}])
def test_a_rejected_answer_is_another_one(raw):
    with pytest.raises(RowError, match='rejected_response is the same as the response'):
        convert(raw)


def test_a_solution_is_kept_where_it_is_not_the_answer():
    assert convert({'messages': turns('q', 'r'), 'solution': '7'})['solution'] == '7'
    assert 'solution' not in convert({'problem': 'q', 'solution': 'r'})
    assert convert({'query': 'q', 'solution': '7'}, answer_required=False)['messages'] == turns('q', '7')


def test_a_column_can_be_left_out():
    row = {'query': 'q', 'response': 'r', 'history': ['no pairs']}
    assert convert(row, {'history': '-'}) == {'messages': turns('q', 'r')}
    assert parse_columns('{"a": "-", "b": "-"}') == {'a': '-', 'b': '-'}


@pytest.mark.parametrize(('raw', 'names', 'messages'), [
    ({'chat': [{'who': 'customer', 'said': 'q'}, {'who': 'clerk', 'said': 'r'}]},
     {'conversations_key': 'chat', 'from_key': 'who', 'value_key': 'said', 'user_role': 'customer',
      'assistant_role': 'clerk'}, turns('q', 'r')),
    ({'conversations': '[{"from": "system", "value": "q"}, {"from": "assistant", "value": "r"}]'},
     {'user_role': 'system', 'system_role': '-'}, turns('q', 'r')),
    ({'dialog': [{'role': 'persona', 'content': 's'}, *turns('q', 'r')], 'messages': 'other'},
     {'conversations_key': 'dialog', 'system_role': 'persona'}, turns('q', 'r', system='s')),
])
def test_turns_that_are_called_otherwise(raw, names, messages):
    assert convert(name_turns(raw, names)) == {'messages': messages}


def test_turns_that_are_missing():
    with pytest.raises(KeyError, match='chat'):
        name_turns({'messages': []}, {'conversations_key': 'chat'})
    with pytest.raises(RowError, match='chat is an object, not a list of turns'):
        name_turns({'chat': {}}, {'conversations_key': 'chat'})


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


def test_media_inside_a_question_is_not_trained_as_words():
    row = {'query': 'What is this? <img>pictures/a.png</img>', 'response': 'A cat.'}
    with pytest.raises(RowError, match='<img>pictures/a.png</img>'):
        convert(row)
    convert({'query': 'What does <video>a b</video> or <img> do in HTML?', 'response': 'x'})
