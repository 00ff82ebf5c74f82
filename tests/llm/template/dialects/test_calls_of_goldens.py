"""What a template writes of a call, its dialect reads back: on the official cases with tools of each family."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from swift.llm.protocol import Message
from swift.llm.template.conversation import Call
from swift.llm.template.dialect import DIALECTS
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.render import render_case

GOLDENS = Path(__file__).parents[3] / 'data' / 'template_goldens'
FAMILIES = ['gemma3_tools', 'functiongemma', 'gemma4', 'gemma4_v5', 'diffusion_gemma', 'phi4_mini', 'glm4_5', 'glm4_6',
            'glm4_7', 'gpt_oss', 'hy_v3', 'hunyuan_a13b', 'ling3', 'solar_open', 'gigachat3', 'gigachat3_1',
            'command_r7b', 'command_a_tool_use', 'cohere2_moe', 'granite_3_tools', 'granite_4', 'granite_4_1',
            'exaone4', 'chatglm4', 'glm4', 'glm4_5v', 'glm5_1', 'hunyuan', 'hy_v3_preview']
ONE_CALL = ('gpt_oss', 'gigachat3', 'gigachat3_1')  # the publisher writes the first call of an answer only
ROWS = [json.loads(line) for line in (GOLDENS / 'gemma4.jsonl').read_text(encoding='utf-8').splitlines()]
CASES = {row['case']: row for row in ROWS if any(m.get('tool_calls') for m in row['messages'])}


def read(name: str, row: dict) -> list[tuple[list[Call], list[Call]]]:
    """[(calls that were given, calls that are read from what was written)] of every answer."""
    entry = TEMPLATES.get(name)
    # One of the templates has place for either content or calls, another for either content or thinking.
    messages = [Message.from_dict({**m, 'content': '' if m.get('tool_calls') else m['content'],
                                   'reasoning_content': None}) for m in row['messages']]
    last = max(i for i, message in enumerate(messages) if message.role == 'assistant')
    messages = messages[:last + 1]  # declared templates write no question without the start of an answer
    segments = render_case(entry, messages, row['tools'] or ()).segments
    pairs = []
    for i, message in enumerate(messages):
        if message.tool_calls:
            calls = [Call.of(raw) for raw in message.tool_calls]
            text = ''.join(s.text for s in segments if s.message == i)
            parsed = DIALECTS.get(entry.dialect).parse(text, row['tools'] or ())
            pairs.append((calls[:1] if name in ONE_CALL else calls, list(parsed.calls)))
    return pairs


@pytest.mark.parametrize('name', FAMILIES)
@pytest.mark.parametrize('case', sorted(CASES))
def test_calls_come_back(name, case):
    for given, parsed in read(name, CASES[case]):
        assert [(c.name, c.arguments) for c in parsed] == [(c.name, c.arguments) for c in given]


def test_there_are_cases_with_one_call_and_with_several():
    assert {len(m['tool_calls']) for row in CASES.values() for m in row['messages'] if m.get('tool_calls')} >= {1, 2}


TYPED = [{'type': 'function', 'function': {'name': 'f', 'parameters': {'properties': {
    's': {'type': 'string'}, 'n': {'type': 'integer'}, 'o': {'type': 'object'}, 'u': {'type': ['string', 'null']}}}}}]
TYPES = {'s': '7', 'n': 7, 'o': {'k': [1, 2.5, True, None]}, 'u': None}


@pytest.mark.parametrize('name', ['gemma4_v5', 'glm4_5', 'glm4_7', 'hy_v3', 'ling3', 'gpt_oss', 'solar_open'])
def test_types_of_arguments_come_back(name):
    row = {'messages': [{'role': 'user', 'content': '?'}, {'role': 'assistant', 'content': '', 'tool_calls': [
        {'id': 'a', 'type': 'function', 'function': {'name': 'f', 'arguments': TYPES}}]}],
        'tools': [{**TYPED[0], 'function': {**TYPED[0]['function'], 'description': 'd'}}]}
    (_, (call,)), = read(name, row)
    assert call.arguments == TYPES


@pytest.mark.parametrize(('dialect', 'text'), [
    ('gemma4', '<|tool_call>call:f{a:<|"|>x<tool_call|>'),
    ('gemma3_pythonic', '[f(a=1]'),
    ('functiongemma', '<start_function_call>call:f{a:1}<end_function_call>'),
    ('glm4_5', '<tool_call>f\n<arg_key>a</arg_key>\n</tool_call>'),
    ('command_a', '<|START_ACTION|>[{"tool": "f"}]<|END_ACTION|>'),
    ('hunyuan_a13b', '<tool_calls>[{"name": "f", "arguments": {]</tool_calls>'),
    ('gpt_oss', ' to=functions.f<|channel|>commentary json<|message|>{"a": <|call|>'),
    ('solar', '<|tool_call:begin|>x<|tool_call:name|>f<|tool_call:args|>{<|tool_call:end|>'),
    ('gigachat3', '<|function_call|>{"name": "f"'),
    ('glm4', 'f\n{"a": '),
    ('phi4_mini', 'functools[{"name": "f"'),
    ('hunyuan_hermes', '<tool_call>f\n```json\n{\n```</tool_call>'),
])
def test_a_broken_call_stays_text(dialect, text):
    parsed = DIALECTS.get(dialect).parse(text, TYPED)
    assert (parsed.content, parsed.calls) == (text, ())


@pytest.mark.parametrize(('dialect', 'text'), [
    ('chatglm4', 'see<|assistant|>f\n{"a": 1}<|assistant|>g\n{}<|observation|>'),
    ('hunyuan_hermes', 'see<tool_calls><tool_call>f\n```json\n{"a": 1}\n```</tool_call>\n<tool_call>g\n```json\n{}\n'
                       '```</tool_call></tool_calls>'),
    ('command_r', 'seeAction:\n```json\n[{"tool_name": "f", "parameters": {"a": 1}}, {"tool_name": "g"}]```'),
    ('phi4_mini', 'see functools[{"name": "f", "arguments": {"a": 1}}, {"name": "g", "arguments": {}}]'),
    ('gemma3_pythonic', 'see [f(a=1), g()]'),
    ('gemma4', 'see<|tool_call>call:f{a: 1}<tool_call|> <|tool_call>call:g{}<tool_call|>'),
    ('glm4_5', 'see <tool_call> f <arg_key>a</arg_key><arg_value>1</arg_value></tool_call><tool_call>g</tool_call>'),
    ('gpt_oss', 'see<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": 1}<|call|>'
                '<|start|>assistant to=functions.g<|channel|>commentary json<|message|>{}'),
])
def test_calls_are_read_as_models_write_them(dialect, text):
    parsed = DIALECTS.get(dialect).parse(text)
    assert parsed.content.strip() == 'see'
    assert [(call.name, call.arguments) for call in parsed.calls] == [('f', {'a': 1}), ('g', {})]
