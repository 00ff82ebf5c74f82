from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swift.llm.args.groups import TemplateArgs
from swift.llm.protocol import Message
from swift.llm.template.chat_template import Thinking
from swift.llm.template.encode import make_template
from swift.llm.template.loss_scale import parse_strategy, turn_weights, weigh
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.render import make_renderer
from swift.llm.template.word_weights import WORD_TABLES, WordTable, read_table
from swift.utils.errors import UsageError

REACT = ('Thought: look it up.\nAction: search\nAction Input: {"q": "Zürich"}\nObservation: 3 hits\n'
         'Thought: done.\nFinal Answer: here')


def pieces(name: str, text: str, query: str = '') -> list[tuple[str, float]]:
    """Neighbours of equal weight joined."""
    joined: list[tuple[str, float]] = []
    for piece, weight in WORD_TABLES.get(name).pieces(text, query):
        if joined and joined[-1][1] == weight:
            joined[-1] = (joined[-1][0] + piece, weight)
        else:
            joined.append((piece, weight))
    return joined


# -- tables ------------------------------------------------------------------------------------------------------

def test_react_doubles_calls_and_leaves_out_results():
    assert pieces('react', REACT) == [
        ('Thought: look it up.\n', 1), ('Action: search\nAction Input: {"q": "Zürich"}\nObservation:', 2),
        (' 3 hits\n', 0), ('Thought: done.\nFinal Answer: here', 1)]
    assert pieces('react', 'no keyword at all') == [('no keyword at all', 1)]
    assert pieces('react', '') == []


@pytest.mark.parametrize(('name', 'text', 'expected'), [
    ('alpha_umi', 'I will call. Next: caller', [('I will call. ', 1), ('Next: caller', 2)]),
    ('alpha-umi', 'Next: give up', [('Next: give up', 2)]),
    ('react', 'Next: caller', [('Next: caller', 1)]),
    ('agentflan', 'Name: get\nArguments: {}\nThought: x', [
        ('Name:', 1), (' get\n', 3), ('Arguments:', 1), (' {}\n', 3), ('Thought: x', 1)]),
    ('agent-flan', 'Action Input: a', [('Action Input:', 1), (' a', 3)]),
    ('hermes', 'ok\n<tool_call>\n{"name": "f"}\n</tool_call>\n<tool_call>g</tool_call>.', [
        ('ok\n', 1), ('<tool_call>\n{"name": "f"}\n</tool_call>', 2), ('\n', 1), ('<tool_call>g</tool_call>', 2),
        ('.', 1)]),
    ('qwen', 'so ✿FUNCTION✿: f\n✿ARGS✿: {}\n✿RESULT✿: 4\n✿RETURN✿: four', [
        ('so ', 1), ('✿FUNCTION✿: f\n✿ARGS✿: {}\n✿RESULT✿:', 2), (' 4\n', 0), ('✿RETURN✿: four', 1)]),
    ('ignore_empty_think', '<think>\n\n</think>\n\nYes', [('<think>\n\n</think>\n\n', 0), ('Yes', 1)]),
    ('ignore_empty_think', '<think>\nhm\n</think>\n\nYes', [('<think>\nhm\n</think>\n\nYes', 1)]),
    ('ignore_empty_think', 'Say <think></think> twice', [('Say <think></think> twice', 1)]),
    ('ignore_empty_think', '\n</think>\n\nYes', [('\n</think>\n\n', 0), ('Yes', 1)]),
    ('ignore_empty_think', '[THINK][/THINK]Yes', [('[THINK][/THINK]', 0), ('Yes', 1)]),
    ('ignore_empty_think', '<mm:think></mm:think>Yes', [('<mm:think></mm:think>', 0), ('Yes', 1)]),
    ('ignore_think_prefix', '<think>\nhm</think>Yes', [('<think>\n', 0), ('hm</think>Yes', 1)]),
    ('ignore_think_prefix', 'Say <think>', [('Say <think>', 1)]),
])
def test_what_the_tables_weigh(name, text, expected):
    assert pieces(name, text) == expected


def test_a_query_beats_literals_and_literals_beat_spans():
    table = WordTable('t', (('Action:', 2.0, 5.0),), ((r'\d+', 3.0), (r'[a-c]\d', 4.0)), (('tool name', 7.0),))
    assert table.pieces('1 b2 Action: 3', 'which tool name?') == [('1 b2 Action: 3', 7)]
    assert table.pieces('1 b2 Action: 3', 'which one?') == [
        ('1', 3), (' ', 1), ('b2', 4), (' ', 1), ('Action:', 2), (' 3', 5)]


def test_the_longer_of_two_literals_and_no_empty_matches():
    table = WordTable('t', (('Act', 2.0, 2.0), ('Act now', 3.0, 1.0)))
    assert table.pieces('Act now!') == [('Act now', 3), ('!', 1)]
    assert WordTable('t', spans=((r'x*', 2.0),)).pieces('axxb') == [('a', 1), ('xx', 2), ('b', 1)]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(['Action:', 'Action Input:', 'Observation:', '<think>', '</think>', '<tool_call>', 'é',
                                 '</tool_call>', '\n', ' ', 'word', '✿ARGS✿:', '[THINK]', 'Command'])).map(''.join))
def test_pieces_are_the_text(text):
    for table in WORD_TABLES:
        found = table.pieces(text)
        assert ''.join(piece for piece, _ in found) == text
        assert all(piece and weight >= 0 for piece, weight in found)


# -- strategies --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(('text', 'base', 'tables'), [
    ('default', 'default', []), ('last_round', 'last_round', []), ('all', 'all', []),
    ('react', 'default', ['react']), ('last_round+hermes', 'last_round', ['hermes']),
    ('all+hermes+ignore_empty_think', 'all', ['hermes', 'ignore_empty_think']),
    ('agent-flan', 'default', ['agentflan']),
    ('last_round_with_ignore_empty_think', 'last_round', ['ignore_empty_think']),
])
def test_strategies(text, base, tables):
    strategy = parse_strategy(text)
    assert (strategy.base, [table.name for table in strategy.tables]) == (base, tables)
    parse_strategy(text)


@pytest.mark.parametrize(('text', 'problem'), [
    ('raect', r"Did you mean 'react'\?"),
    ('', 'it takes default, last_round, all'),
    ('react+', 'it takes default'),
    ('react+last_round', "'last_round' chooses the turns, and has to come first"),
    ('default+mine.json', 'there is no file mine.json'),
])
def test_strategies_that_are_none(text, problem):
    with pytest.raises(UsageError, match=f'--loss_scale got .*{problem}'):
        parse_strategy(text)


def test_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flat = {'Action:': [2, 4], r'\d+': [3], 'query': {'name?': 5, 'args?': [6]}}
    (tmp_path / 'mine.json').write_text(json.dumps(flat), encoding='utf-8')
    (tmp_path / 'a+b').write_text(json.dumps({'response': {'Action:': [2, 4]}, 'query': {'name?': 5}}),
                                  encoding='utf-8')
    strategy = parse_strategy('last_round+mine.json+react+a+b')
    assert strategy.base == 'last_round'
    mine, react, other = strategy.tables
    assert react == WORD_TABLES.get('react')
    assert mine.pieces('12 Action: x', '') == [('12', 3), (' ', 1), ('Action:', 2), (' x', 4)]
    assert mine.pieces('12', 'the args?') == [('12', 6)]
    assert other.literals == mine.literals and other.queries == (('name?', 5.0),)
    assert parse_strategy(str(tmp_path / 'mine.json')).tables[0].literals == mine.literals


def test_the_contents_of_a_file_are_a_part_of_the_definition(tmp_path):
    path = tmp_path / 'mine.json'
    path.write_text('{"x": [1, 2]}', encoding='utf-8')
    before = parse_strategy(str(path)).definition()
    assert before == parse_strategy(str(path)).definition()
    path.write_text('{"x": [1, 3]}', encoding='utf-8')
    assert before != parse_strategy(str(path)).definition()
    assert len({parse_strategy(s).definition() for s in ('default', 'all', 'react', 'all+react', 'hermes')}) == 5


def test_a_table_named_query_may_be_a_word(tmp_path):
    path = tmp_path / 'mine.json'
    path.write_text('{"query": [2, 3]}', encoding='utf-8')
    assert read_table(path).pieces('my query is') == [('my ', 1), ('query', 2), (' is', 3)]


@pytest.mark.parametrize(('text', 'problem'), [
    ('{', "can't be read as JSON"), ('[1]', 'holds list'), ('{"a": [1, 2, 3]}', "has 'a': "),
    ('{"a": [-1]}', 'weights are numbers, 0 or more'), ('{"a": [true]}', 'weights are numbers'),
    ('{"a": [NaN]}', 'weights are numbers'), ('{"a": "b"}', 'It takes "words"'), ('{"": [1, 2]}', "has ''"),
    ('{"(": [2]}', r"one weight for '\(', which is no regular expression"), ('{"query": {"a": "b"}}', "has 'a'"),
    ('{"query": {"a": [1, 2]}}', 'in "query" one weight'),
])
def test_files_that_are_wrong(tmp_path, text, problem):
    path = tmp_path / 'mine.json'
    path.write_text(text, encoding='utf-8')
    with pytest.raises(UsageError, match=f'--loss_scale: .*mine.json.*{problem}'):
        parse_strategy(str(path))


# -- in a conversation -------------------------------------------------------------------------------------------

def shown(messages: list[Message], strategy: str, thinking: Thinking | None = None) -> list[tuple[str, float]]:
    """[(text, weight)] of a conversation, neighbours of equal weight joined, without what is not trained."""
    parsed = parse_strategy(strategy)
    template = dataclasses.replace(TEMPLATES.get('chatml'), dialect='hermes', thinking=thinking)
    renderer = make_renderer(template, {'eos_token': '<|im_end|>'})
    before = renderer.render(messages, (), turn_weights(messages, parsed))
    after = weigh(before, messages, parsed, ('<|im_end|>', *renderer.stop_words))
    assert_same_but_weights(before, after)
    runs: list[tuple[str, float]] = []
    for segment in after.segments:
        if runs and runs[-1][1] == segment.weight:
            runs[-1] = (runs[-1][0] + segment.text, segment.weight)
        else:
            runs.append((segment.text, segment.weight))
    return [(text, weight) for text, weight in runs if weight]


def assert_same_but_weights(before, after) -> None:
    """Texts, authors, owners and starts of answers, character by character."""
    def by_character(rendered):
        return [(c, s.kind, s.message, s.begins_answer and not i) for s in rendered.segments
                for i, c in enumerate(s.text)]
    assert by_character(before) == by_character(after)
    assert before.added_eos == after.added_eos


USER = Message('user', REACT)


def test_words_of_answers_count_and_words_of_questions_are_words():
    assert shown([USER, Message('assistant', REACT)], 'react') == [
        ('Thought: look it up.\n', 1), ('Action: search\nAction Input: {"q": "Zürich"}\nObservation:', 2),
        ('Thought: done.\nFinal Answer: here<|im_end|>', 1)]
    assert shown([Message('system', REACT), USER, Message('assistant', 'Yes')], 'all+react')[-1] == (
        f'<|im_start|>system\n{REACT}<|im_end|>\n<|im_start|>user\n{REACT}<|im_end|>\n<|im_start|>assistant\n'
        'Yes<|im_end|>\n', 1)


def test_a_terminator_keeps_the_weight_of_its_turn():
    call = 'Action: f\nAction Input: {}\nObservation:'
    assert shown([USER, Message('assistant', call)], 'react') == [(call, 2), ('<|im_end|>', 1)]
    assert shown([USER, Message('assistant', f'{call} 3')], 'react') == [(call, 2), ('<|im_end|>', 1)]
    forged = Message('assistant', 'Action: f<|im_end|>')
    assert shown([USER, forged], 'react') == [('Action: f<|im_end|>', 2), ('<|im_end|>', 1)]


def test_an_end_that_a_table_names_has_its_weight():
    strategy = parse_strategy('react')
    template = dataclasses.replace(TEMPLATES.get('chatml'), dialect='react_en')
    renderer = make_renderer(template, {'eos_token': '<|im_end|>'})
    assert 'Observation:' in renderer.stop_words
    call = {'type': 'function', 'function': {'name': 'f', 'arguments': {}}}
    messages = [USER, Message('assistant', 'Well. ', tool_calls=(call,)), Message('tool', 'Action: g'),
                Message('assistant', 'Done')]
    after = weigh(renderer.render(messages, (), turn_weights(messages, strategy)), messages, strategy,
                  ('<|im_end|>', *renderer.stop_words))
    assert [(s.weight, s.kind) for s in after.segments if 'Observation:' in s.text and s.weight] == [(2, 'control')]
    assert not any(s.weight for s in after.segments if s.kind == 'tool')
    assert (after.segments[-2].text, after.segments[-2].weight) == ('<|im_end|>', 1)


def test_weights_of_tables_multiply(tmp_path):
    path = tmp_path / 'digits.json'
    path.write_text(r'{"\\d+": [10]}', encoding='utf-8')
    answer = Message('assistant', 'a 1 Action: b 22 Observation: 3')
    assert shown([USER, answer], f'react+{path}') == [
        ('a ', 1), ('1', 10), (' ', 1), ('Action: b ', 2), ('22', 20), (' Observation:', 2), ('<|im_end|>', 1)]
    assert shown([USER, answer], f'{path}+react') == shown([USER, answer], f'react+{path}')


def test_the_message_beats_the_strategy():
    action = Message('assistant', 'x Action: f')
    weighed = dataclasses.replace(action, loss_scale=0.5)
    chosen = dataclasses.replace(action, loss=True)
    left_out = dataclasses.replace(action, loss=False)
    messages = [USER, weighed, USER, chosen, USER, left_out, USER, action]
    assert shown(messages, 'react') == [
        ('x Action: f<|im_end|>', 0.5), ('x ', 1), ('Action: f', 2), ('<|im_end|>', 1), ('x ', 1), ('Action: f', 2),
        ('<|im_end|>', 1)]
    assert shown(messages, 'last_round+react') == [  # chosen and the last: their "loss" and place choose, words weigh
        ('x ', 1), ('Action: f', 2), ('<|im_end|>', 1), ('x ', 1), ('Action: f', 2), ('<|im_end|>', 1)]


def test_a_question_weighs_the_answer(tmp_path):
    path = tmp_path / 'mine.json'
    path.write_text('{"Action:": [2, 2], "query": {"which tool": 3}}', encoding='utf-8')
    messages = [Message('user', 'which tool?'), Message('assistant', 'Action: f'), Message('user', 'and now?'),
                Message('assistant', 'Action: g')]
    assert shown(messages, str(path)) == [('Action: f', 3), ('<|im_end|>', 1), ('Action: g', 2), ('<|im_end|>', 1)]


def test_calls_that_the_template_writes_are_weighed():
    call = {'type': 'function', 'function': {'name': 'f', 'arguments': {'q': '<tool_call>'}}}
    messages = [Message('user', '<tool_call>x</tool_call>'), Message('assistant', 'Wait', tool_calls=(call, call)),
                Message('tool', '<tool_call>y</tool_call>'), Message('assistant', 'Done')]
    written = '<tool_call>\n{"name": "f", "arguments": {"q": "<tool_call>"}}\n</tool_call>'
    assert shown(messages, 'hermes') == [
        ('Wait\n', 1), (written, 2), ('\n', 1), (written, 2), ('<|im_end|>', 1), ('Done<|im_end|>', 1)]


def test_an_empty_block_of_thinking_may_be_left_out():
    messages = [Message('user', 'x'), Message('assistant', '<think>\n\n</think>\n\nYes')]
    assert shown(messages, 'default+ignore_empty_think') == [('Yes<|im_end|>', 1)]
    assert shown(messages, 'default') == [('<think>\n\n</think>\n\nYes<|im_end|>', 1)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(['Action:', 'Observation:', 'x', '\n', '<tool_call>', '</tool_call>', '<think>\n',
                                 '</think>', '<|im_end|>', 'é']), max_size=8).map(''.join),
       st.sampled_from(['react', 'last_round+hermes', 'all+qwen+react', 'hermes+ignore_empty_think']))
def test_nothing_but_weights_changes(text, strategy):
    call = {'type': 'function', 'function': {'name': 'f', 'arguments': {'q': text}}}
    messages = [Message('user', text), Message('assistant', text, reasoning_content=text),
                Message('user', text), Message('assistant', text, tool_calls=(call,)),
                Message('tool', text), Message('assistant', text or 'x')]
    shown(messages, strategy, Thinking())


# -- in tokens ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('name', ['chatml', 'auto'])
def test_tokens_have_the_weights_of_their_words(tokenizer, name):
    row = {'messages': [{'role': 'user', 'content': REACT}, {'role': 'assistant', 'content': REACT}]}
    plain = make_template(TemplateArgs(template=name), tokenizer).encode(row)
    encoded = make_template(TemplateArgs(template=name, loss_scale='react'), tokenizer).encode(row)
    assert encoded.input_ids.tolist() == plain.input_ids.tolist()
    by_weight = {weight: tokenizer.decode(encoded.input_ids[(encoded.weights == weight) & (plain.weights > 0)])
                 for weight in (0, 1, 2)}
    assert by_weight == {0: ' 3 hits\n', 1: 'Thought: look it up.\nThought: done.\nFinal Answer: here<|im_end|>',
                         2: 'Action: search\nAction Input: {"q": "Zürich"}\nObservation:'}
    assert not encoded.weights[plain.weights == 0].any()


def test_the_cache_of_prepared_data_knows_the_weights(tokenizer, tmp_path):
    path = tmp_path / 'mine.json'
    seen = set()
    for text in ('{"a": [1, 2]}', '{"a": [1, 3]}'):
        path.write_text(text, encoding='utf-8')
        seen.add(make_template(TemplateArgs(template='chatml', loss_scale=str(path)), tokenizer).fingerprint())
    seen |= {make_template(TemplateArgs(template='chatml', loss_scale=name), tokenizer).fingerprint()
             for name in ('default', 'react', 'last_round+react')}
    assert len(seen) == 5


def test_a_wrong_strategy_stops_before_the_first_row(tokenizer):
    with pytest.raises(UsageError, match="Did you mean 'react'"):
        make_template(TemplateArgs(template='chatml', loss_scale='default+raect'), tokenizer)
