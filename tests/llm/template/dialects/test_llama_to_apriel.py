"""Calls of Llama, Mistral, DeepSeek, Functionary, Apertus, Apriel: render -> parse, and answers as models give them."""

from __future__ import annotations

import pytest

from swift.llm.protocol import Message
from swift.llm.template.dialect import DIALECTS
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.render import render_case

SCHEMAS = {'city': {'type': 'string'}, 'days': {'type': 'integer'}, 'opts': {'type': 'object'},
           'zip': {'type': 'string'}}
TOOLS = [{'type': 'function', 'function': {'name': name, 'description': 'd', 'parameters': {
    'type': 'object', 'properties': SCHEMAS}}} for name in ('weather', 'search')]
ARGUMENTS = [{'city': 'Köln', 'days': 2}, {'city': 'a, b "c"', 'opts': {'k': [1, 2.5], 'b': True, 'n': None}}, {},
             {'zip': '0123', 'city': 'two\nlines'}]
PARALLEL = ['llama4', 'toolace', 'llama3_2_pythonic', 'firefunction_v2', 'mistral_nemo', 'mistral_v3', 'mistral_2506',
            'mistral_2512', 'devstral', 'deepseek_r1', 'deepseek_v3_1', 'deepseek_v3_2', 'deepseek_v4',
            'functionary_v3_1', 'functionary_v3_2', 'apertus', 'bielik_v3', 'apriel_1_5', 'apriel_1_6']


def rendered_answer(name: str, calls: tuple[dict, ...]) -> str:
    messages = [Message('system', 's'), Message('user', '?'), Message('assistant', '', tool_calls=calls)]
    segments = render_case(TEMPLATES.get(name), messages, TOOLS).segments
    return ''.join(s.text for s in segments if s.message == 2)


def calls_of(*arguments: dict) -> tuple[dict, ...]:
    return tuple({'type': 'function', 'id': f'call{i:05}', 'function': {'name': name, 'arguments': each}}
                 for i, (name, each) in enumerate(zip(['weather', 'search'], arguments, strict=False)))


@pytest.mark.parametrize('name', ['llama3_1', 'llama3_2', 'llama3_1_json', *PARALLEL])
@pytest.mark.parametrize('arguments', ARGUMENTS)
def test_a_call_comes_back(name, arguments):
    parsed = DIALECTS.get(TEMPLATES.get(name).dialect).parse(rendered_answer(name, calls_of(arguments)), TOOLS)
    assert [(call.name, call.arguments) for call in parsed.calls] == [('weather', arguments)]
    assert '"' not in parsed.content and 'weather' not in parsed.content


@pytest.mark.parametrize('name', PARALLEL)
def test_calls_come_back_in_order(name):
    answer = rendered_answer(name, calls_of(*ARGUMENTS[:2]))
    parsed = DIALECTS.get(TEMPLATES.get(name).dialect).parse(answer, TOOLS)
    assert [(call.name, call.arguments) for call in parsed.calls] == [('weather', ARGUMENTS[0]),
                                                                      ('search', ARGUMENTS[1])]


@pytest.mark.parametrize(('dialect', 'text', 'content', 'calls'), [
    ('llama3', '{"name":"f","parameters":{"n":1}}; {"name":"g","parameters":{}}', '', [('f', {'n': 1}), ('g', {})]),
    ('llama3', '<|python_tag|>{"name": "f", "parameters": {}}<|eom_id|>', '', [('f', {})]),
    ('llama3', '<|python_tag|>brave_search.call(query="a, b", n="2")', '',
     [('brave_search', {'query': 'a, b', 'n': '2'})]),
    ('llama3', 'Sure: {"name": "f", "parameters": {}}', 'Sure:', [('f', {})]),
    ('llama4', '<|python_start|>see<|python_end|>{"name": "f", "parameters": {}}<|eot|>', 'see', [('f', {})]),
    ('pythonic', '[f(n=1, s="a, b", l=[1, {"k": None}]), g()]', '',
     [('f', {'n': 1, 's': 'a, b', 'l': [1, {'k': None}]}), ('g', {})]),
    ('pythonic', '[weather(city="Rome", days="3", zip=12)]', '',
     [('weather', {'city': 'Rome', 'days': 3, 'zip': '12'})]),
    ('functools', ' functools[{"name": "f", "arguments": {"n": 1}}]', '', [('f', {'n': 1})]),
    ('mistral', 'hm [TOOL_CALLS] [{"name":"f","arguments":{}}]', 'hm ', [('f', {})]),
    ('mistral', '[TOOL_CALLS]f[ARGS] {"n": 1}[TOOL_CALLS]g[CALL_ID]x[ARGS]{}', '', [('f', {'n': 1}), ('g', {})]),
    ('deepseek', 'hm<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f ```json {"n": 1} ```'
                 '<｜tool▁call▁end｜><｜tool▁calls▁end｜>', 'hm', [('f', {'n': 1})]),
    ('deepseek_v3_2', '<｜DSML｜function_calls><｜DSML｜invoke name="f"><｜DSML｜parameter name="n" string="true">1'
                      '</｜DSML｜parameter></｜DSML｜invoke></｜DSML｜function_calls>', '', [('f', {'n': '1'})]),
    ('functionary_v3_1', '<|python_tag|>print(1)<|eom_id|>', '<|eom_id|>', [('python', 'print(1)')]),
    ('functionary_v3_2', 'all\nhm>>>f\n{"n": 1}<|eot_id|>', 'hm', [('f', {'n': 1})]),
    ('apertus', 'hm<|tools_prefix|> [ {"f": {"n": 1}} ] <|tools_suffix|>', 'hm', [('f', {'n': 1})]),
    ('apriel', 'hm<tool_calls> [{"name":"f","arguments":{}}] </tool_calls>', 'hm', [('f', {})]),
])
def test_answers_as_models_give_them(dialect, text, content, calls):
    parsed = DIALECTS.get(dialect).parse(text, TOOLS)
    assert parsed.content == content
    assert [(call.name, call.arguments) for call in parsed.calls] == calls


@pytest.mark.parametrize(('dialect', 'text'), [
    ('llama3', '{"name": "f", "parameters": {'), ('llama3', '{"name": "f"} and more'), ('llama3', '{"a": 1}'),
    ('pythonic', '[1, 2]'), ('pythonic', '[f(x'), ('functools', 'functools[{'),
    ('mistral', '[TOOL_CALLS][{"name": '), ('mistral', '[TOOL_CALLS]f[ARGS]{'),
    ('deepseek', '<｜tool▁call▁begin｜>f<｜tool▁sep｜>{<｜tool▁call▁end｜>'),
    ('deepseek_v4', '<｜DSML｜tool_calls><｜DSML｜invoke name="f">x</｜DSML｜invoke></｜DSML｜tool_calls>'),
    ('deepseek_v4', '<｜DSML｜tool_calls><｜DSML｜invoke name="f"><｜DSML｜parameter name="n" string="false">x'
                    '</｜DSML｜parameter></｜DSML｜invoke></｜DSML｜tool_calls>'),
    ('deepseek_v4', '<｜DSML｜tool_calls>so <｜DSML｜invoke name="f"></｜DSML｜invoke></｜DSML｜tool_calls>'),
    ('functionary_v3_1', '<function=f>{</function>'), ('functionary_v3_2', 'Hello\nworld'),
    ('apertus', '<|tools_prefix|>[1]<|tools_suffix|>'), ('apriel', '<tool_calls>[{</tool_calls>'),
])
def test_what_is_no_call_stays(dialect, text):
    parsed = DIALECTS.get(dialect).parse(text, TOOLS)
    assert (parsed.content, parsed.calls) == (text, ())


def test_ids_come_back_where_they_are_written():
    answer = rendered_answer('mistral_2506', calls_of(*ARGUMENTS[:2]))
    assert [call.id for call in DIALECTS.get('mistral').parse(answer, TOOLS).calls] == ['call00000', 'call00001']
