"""Calls of Qwen and its kin: what is written is read back; what is broken stays text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from swift.llm.protocol import Message
from swift.llm.template.chat_template import ChatTemplate
from swift.llm.template.dialect import DIALECTS
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.render import render_case

GOLDENS = Path(__file__).parents[3] / 'data' / 'template_goldens'
FAMILIES = ('qwen2_5', 'qwen3', 'qwen3_5', 'qwen3_6', 'qwen3_coder', 'qwen3_vl', 'mimo_vl', 'xlam_qwen',
            'step3_5_flash', 'reka_edge', 'minicpm3', 'minicpm5', 'nemotron_nano_v2', 'hermes2_pro_tool_use')
TOOLS = [{'type': 'function', 'function': {'name': 'f', 'description': 'd', 'parameters': {
    'type': 'object', 'properties': {
        'text': {'type': 'string', 'description': 'a'}, 'n': {'type': 'integer', 'description': 'b'},
        'x': {'type': 'number', 'description': 'c'}, 'yes': {'type': 'boolean', 'description': 'd'},
        'list': {'type': 'array', 'items': {'type': 'integer'}, 'description': 'e'},
        'any': {'type': 'object', 'description': 'f'}}}}}]
ARGUMENTS = [
    {'text': '12', 'n': 12, 'x': 0.5, 'yes': True, 'list': [1, 2], 'any': {'k': [True, None, 'é']}},
    {'text': 'two\nlines <b> & "q" 晴'},
    {'text': 'true', 'yes': False, 'list': []},
    {},
]


def answer(template, messages: list[Message], index: int, tools) -> str:
    """What the template has written as the answer ``index``, without its end."""
    segments = render_case(template, messages, tools, tokens={'bos_token': '<s>', 'eos_token': '</s>'}).segments
    text = ''.join(s.text for s in segments if s.message == index)
    return text.removesuffix('<|im_end|>').removesuffix('<|eot_id|>')


@pytest.mark.parametrize('family', FAMILIES)
def test_calls_of_the_goldens_are_read_back(family):
    template = TEMPLATES.get(family)
    dialect = DIALECTS.get(template.dialect)
    seen = 0
    for line in (GOLDENS / f'{family}.jsonl').read_text(encoding='utf-8').splitlines():
        case = json.loads(line)
        messages = [Message.from_dict(m) for m in case['messages']]
        shift = template.default_system is not None and messages[0].role != 'system'
        for i, message in enumerate(messages):
            if not message.tool_calls:
                continue
            seen += 1
            tools = case['tools'] or ()
            parsed = dialect.parse(answer(template, messages, i + shift, tools), tools)
            functions = [call['function'] for call in message.tool_calls]
            assert [call.name for call in parsed.calls] == [function['name'] for function in functions]
            assert [call.arguments for call in parsed.calls] == [
                json.loads(f['arguments']) if isinstance(f['arguments'], str) else f['arguments'] for f in functions]
    assert seen


@pytest.mark.parametrize('family', [*FAMILIES, 'internlm2', 'xlam_llama', 'nemotron_3_nano', 'nemotron_h'])
@pytest.mark.parametrize('count', [1, 2])
@pytest.mark.parametrize('arguments', ARGUMENTS)
def test_arguments_keep_their_types(family, count, arguments):
    template = TEMPLATES.get(family)
    calls = ({'type': 'function', 'function': {'name': 'f', 'arguments': arguments}},) * count
    messages = [Message('system', ''), Message('user', '?'), Message('assistant', '', tool_calls=calls)]
    parsed = DIALECTS.get(template.dialect).parse(answer(template, messages, 2, TOOLS), TOOLS)
    assert [(call.name, call.arguments) for call in parsed.calls] == [('f', arguments)] * count
    assert [json.loads(call.text) for call in parsed.calls] == [arguments] * count


@pytest.mark.parametrize('name', ['hermes', 'youtu', 'qwen3_coder', 'qwen3_5', 'minicpm5', 'qwen_en', 'qwen_zh',
                                  'qwen_en_parallel', 'qwen_zh_parallel'])
def test_declared_templates_can_speak_it(name):
    dialect = DIALECTS.get(name)
    template = ChatTemplate('t', ('U:{{QUERY}}\n', 'A:'), ('|\n',), ('|',), system_prefix=('S:{{SYSTEM}}\n',),
                            dialect=name)
    call = {'type': 'function', 'function': {'name': 'f', 'arguments': {'text': 'a', 'n': 3}}}
    messages = [Message('system', 'be kind'), Message('user', '?'), Message('assistant', 'see', tool_calls=(call,)),
                Message('tool', 'result'), Message('assistant', 'done')]
    rendered = render_case(template, messages, TOOLS)
    assert 'be kind' in rendered.text and 'result' in rendered.text and '"integer"' in rendered.text.replace(
        '<type>integer</type>', '"integer"')
    parsed = dialect.parse(answer(template, messages, 2, TOOLS).split('|')[0], TOOLS)
    assert [(c.name, c.arguments) for c in parsed.calls] == [('f', {'text': 'a', 'n': 3})]
    assert parsed.content.strip() == 'see'
    assert not any(s.weight for s in rendered.segments if 'result' in s.text)


@pytest.mark.parametrize(('name', 'text', 'calls'), [
    ('hermes', 'a\n<tool_call>{"name":"f","arguments":{"n":1}}</tool_call>', [('f', {'n': 1})]),
    ('hermes', "<tool_call>{'name': 'f', 'arguments': {'n': None}}</tool_call>", [('f', {'n': None})]),
    ('hermes', '<tool_call>{"name": "f", "arguments": {</tool_call>', []),
    ('hermes', '<tool_call>["f"]</tool_call>', []),
    ('hermes', '<tool_call>{"name": "f", "arguments": {}}', []),
    ('qwen3_coder', '<tool_call><function=f><parameter=n>7</parameter></function></tool_call>', [('f', {'n': 7})]),
    ('qwen3_coder', '<tool_call><function=f><parameter=n>7</function></tool_call>', []),
    ('qwen3_coder', '<tool_call><function=g><parameter=k>[1]</parameter></function></tool_call>', [('g', {'k': [1]})]),
    ('qwen3_coder', '<tool_call><function=f><parameter=n>many</parameter></function></tool_call>',
     [('f', {'n': 'many'})]),
    ('minicpm5', '<function name="f"><param name="text"><![CDATA[<b>]]></param></function>', [('f', {'text': '<b>'})]),
    ('minicpm5', '<function name="f">text</function>', []),
    ('minicpm3', '<|tool_call_start|>\n```python\nf(text="a",yes=true)\ng()\n```\n<|tool_call_end|>\n',
     [('f', {'text': 'a', 'yes': True}), ('g', {})]),
    ('minicpm3', '<|tool_call_start|>\n```python\nimport os\n```\n<|tool_call_end|>\n', []),
    ('minicpm3', '<|tool_call_start|>\n```python\nf(open("x"))\n```\n<|tool_call_end|>\n', []),
    ('xlam', '```json\n[{"name": "f", "arguments": {"n": 1}}]\n```', [('f', {'n': 1})]),
    ('xlam', '[{"name": "f"', []),
    ('nemotron', '<TOOLCALL>[{"name": "f", "arguments": {"n": 1}}]</TOOLCALL>', [('f', {'n': 1})]),
    ('nemotron', '<TOOLCALL>[{"name": "f", "arguments": {}}, 3]</TOOLCALL>', []),
    ('internlm2', '<|action_start|><|plugin|>{"name": "f", "parameters": {"n": 1}}<|action_end|>', [('f', {'n': 1})]),
    ('qwen_en', 'so\n✿FUNCTION✿: f\n✿ARGS✿: {"n": 1}\n✿FUNCTION✿: g\n✿ARGS✿: {}\n✿RESULT✿:',
     [('f', {'n': 1}), ('g', {})]),
    ('qwen_en', '✿FUNCTION✿: f\n✿ARGS✿: {"n": \n✿RESULT✿:', []),
])
def test_tolerant_but_never_guessing(name, text, calls):
    parsed = DIALECTS.get(name).parse(text, TOOLS)
    assert [(call.name, call.arguments) for call in parsed.calls] == calls
    assert calls or parsed.content == text
