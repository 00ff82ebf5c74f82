"""Published rows with tools, as they are: what of them is trained, and that the calls can be read back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from swift.llm.args.groups import TemplateArgs
from swift.llm.dataset import convert
from swift.llm.dataset.toolalpaca import is_toolalpaca, toolalpaca
from swift.llm.template.dialect import DIALECTS
from swift.llm.template.encode import make_template
from swift.llm.template.segments import KINDS

DATA = Path(__file__).parents[2] / 'data' / 'agents'


def glaive(name: str = 'glaive') -> Iterator[dict]:
    for line in (DATA / f'{name}.jsonl').read_text(encoding='utf-8').splitlines():
        yield json.loads(line)


def reason() -> Iterator[dict]:
    return glaive('reason')


def alpaca() -> Iterator[dict]:
    for row in json.loads((DATA / 'toolalpaca.json').read_text(encoding='utf-8')):
        assert is_toolalpaca(row)
        yield from toolalpaca(row)


def standard(row: dict) -> dict:
    return convert.build(*convert.recognise(row, {}))


def arguments_of(call: dict) -> object:
    """As an object; a place holder in them makes them text."""
    arguments = call['function']['arguments']
    try:
        return json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        return arguments


@pytest.fixture(scope='module', params=['hermes', 'react_en', 'react_zh', 'toolbench'])
def template(request, tokenizer):
    return make_template(TemplateArgs(template='chatml', agent_template=request.param, max_length=-1), tokenizer)


@pytest.mark.parametrize(('rows', 'count'), [(glaive, 50), (alpaca, 55)])
def test_answers_and_calls_are_trained_and_nothing_else(template, rows, count):
    check(template, rows, count)


def test_rows_with_reasoning(tokenizer):
    template = make_template(TemplateArgs(template='qwen3', thinking='keep', max_length=-1), tokenizer)
    check(template, reason, 10)
    row = standard(next(r for r in reason() if 'tool_call' in json.dumps(r['messages'])))
    i, answer = next((i, m) for i, m in enumerate(row['messages']) if m.get('tool_calls'))
    trained = ''.join(s.text for s in template.render(row).segments if s.message == i and s.weight)
    assert answer['reasoning_content'].strip() in trained


def check(template, rows, count) -> None:
    seen = 0
    for raw in rows():
        row = standard(raw)
        assert row['tools']
        rendered, encoded = template.render(row), template.encode(row)
        kinds = np.array([KINDS[k] for k in encoded.kinds])
        assert not encoded.weights[np.isin(kinds, ('system', 'user', 'tool'))].any()
        assert encoded.weights[kinds == 'assistant'].all()
        answers = {i: ''.join(s.text for s in rendered.segments if s.message == i and s.weight)
                   for i, m in enumerate(row['messages']) if m['role'] == 'assistant'}
        everything = ''.join(s.text for s in rendered.segments)
        for i, message in enumerate(row['messages']):
            if message['role'] != 'assistant':
                assert message['content'].strip() in everything
                continue
            assert message['content'].strip() in answers[i]
            for call in message.get('tool_calls') or ():
                assert call['function']['name'] in answers[i]
        for tool in row['tools']:
            assert tool['function']['name'] in everything
        seen += 1
    assert seen == count


@pytest.mark.parametrize('dialect', ['hermes', 'react_en', 'toolbench'])
@pytest.mark.parametrize('rows', [glaive, alpaca])
def test_trained_calls_can_be_read_back(tokenizer, dialect, rows):
    template = make_template(TemplateArgs(template='chatml', agent_template=dialect, max_length=-1), tokenizer)
    read = 0
    for raw in rows():
        row = standard(raw)
        segments = template.render(row).segments
        for i, message in enumerate(row['messages']):
            calls = message.get('tool_calls') or ()
            if any(isinstance(arguments_of(call), str) for call in calls):
                continue  # arguments that are no JSON are written as they are
            answer = ''.join(s.text for s in segments if s.message == i)
            if message['role'] == 'assistant':
                parsed = DIALECTS.get(dialect).parse(answer, row['tools'])
                assert [(c.name, c.arguments) for c in parsed.calls] == [
                    (call['function']['name'], arguments_of(call)) for call in calls]
                read += len(parsed.calls)
    assert read >= 50


def test_a_solved_task_of_toolalpaca():
    """In the shape of its training data, with a made-up task."""
    parameters = '{"limit": "Required. integer. How many.", "about": "string. One of: [a]."}'
    row = {'Function_Description': {'getFacts': f'Facts.\nParameters: {parameters}\nOutput: ok', 'components': ''},
           'Instances': [{'input': 'One fact?', 'output': 'They regrow legs.', 'intermediate_steps': [
               [['getFacts', '{"limit": 1}', 'Thought: look it up\nAction: getFacts\nAction Input: {"limit": 1}'],
                'Status Code: 200. Response: legs']]}]}
    (made,) = toolalpaca(row)
    assert [m['role'] for m in made['messages']] == ['user', 'assistant', 'tool', 'assistant']
    assert made['messages'][1] == {'role': 'assistant', 'content': 'look it up', 'tool_calls': [
        {'type': 'function', 'function': {'name': 'getFacts', 'arguments': {'limit': 1}}}]}
    (tool,) = made['tools']
    assert tool['function'] == {'name': 'getFacts', 'description': 'Facts.', 'parameters': {
        'type': 'object', 'required': ['limit'], 'properties': {
            'limit': {'type': 'integer', 'description': 'How many.'},
            'about': {'type': 'string', 'description': 'One of: [a].'}}}}
    assert standard(made)['messages'][2]['content'] == 'Status Code: 200. Response: legs'


def test_arguments_that_are_no_json_stay_text():
    row = {'Function_Description': {'f': 'x'}, 'Instructions': ['do'],
           'Golden_Answers': [[{'Action': 'f', 'Action_Input': '{"id": ${id}}'}]]}
    (made,) = toolalpaca(row)
    assert made['messages'][1]['tool_calls'][0]['function']['arguments'] == '{"id": ${id}}'
