"""What a model gets wrong stays in the content of its answer, whatever it is, and nothing is raised."""

from __future__ import annotations

import pytest

from swift.llm.template.dialect import DIALECTS

TOOLS = [{'type': 'function', 'function': {'name': 'f', 'parameters': {
    'type': 'object', 'properties': {'s': {'type': 'string'}, 'o': {'type': 'object'}}}}}]
DEEP = '[' * 100_000  # JSON that is nested too deeply for a parser that calls itself
BODIES = ['{"name": "f", "arguments": {"s"}}', '{"name": "f", "arguments": {"a", "b"}}', '[f(s={1, 2})]',
          '[f(o={[1]: 2})]', 'f(s={1, 2})', 'f(o={{}: 1})', '{"name": "f", "arguments": ' + DEEP, DEEP, '']
AROUND = [
    ('<tool_call>', '</tool_call>'), ('<tool_calls>', '</tool_calls>'), ('<TOOLCALL>', '</TOOLCALL>'),
    ('[TOOL_CALLS]', ''), ('functools', ''), ('<|START_ACTION|>', '<|END_ACTION|>'),
    ('<|tool_call_start|>', '<|tool_call_end|>'), ('<|action_start|><|plugin|>', '<|action_end|>'),
    ('<|tools_prefix|>', '<|tools_suffix|>'), ('<｜tool▁call▁begin｜>f<｜tool▁sep｜>', '<｜tool▁call▁end｜>'),
    (' to=functions.f<|message|>', '<|call|>'), ('<|function_call|>', ''), ('<|tool_call>call:f', '<tool_call|>'),
    ('<function=f>', '</function>'), ('Action: f\nAction Input: ', ''), ('✿FUNCTION✿: f\n✿ARGS✿: ', ''), ('', ''),
]


@pytest.mark.parametrize('name', DIALECTS.names())
def test_broken_calls_are_content(name):
    parse = DIALECTS.get(name).parse
    for opened, closed in AROUND:
        for body in BODIES:
            text = f'said {opened}{body}{closed}'
            parsed = parse(text, TOOLS)
            assert parsed.calls or body in parsed.content, (opened, body[:40], parsed.content[:80])


@pytest.mark.parametrize(('name', 'text'), [
    ('minimax_m2', '<minimax:tool_call>\n<invoke name="f">\n<parameter name="s">{}</parameter>\n'
                   '<parameter name="o">{{}}</parameter>\n</invoke>\n</minimax:tool_call>'),
    ('seed_oss', '<seed:tool_call>\n<function=f>\n<parameter=s>{}</parameter>\n<parameter=o>{{}}</parameter>\n'
                 '</function>\n</seed:tool_call>'),
    ('qwen3_coder', '<tool_call>\n<function=f>\n<parameter=s>\n{}\n</parameter>\n<parameter=o>\n{{}}\n</parameter>\n'
                    '</function>\n</tool_call>'),
])
def test_a_value_may_hold_the_tag_that_closes_it(name, text):
    parsed = DIALECTS.get(name).parse(text.format('a </parameter> b'), TOOLS)
    assert [(call.name, call.arguments) for call in parsed.calls] == [('f', {'s': 'a </parameter> b', 'o': {}})]


@pytest.mark.parametrize('end', ['', '<|im_end|>', '<|eot_id|>\n'])
def test_a_list_of_calls_may_still_have_its_terminator(end):
    parsed = DIALECTS.get('xlam').parse('[{"name": "f", "arguments": {"s": "x"}}]' + end, TOOLS)
    assert [(call.name, call.arguments) for call in parsed.calls] == [('f', {'s': 'x'})]
    assert parsed.content == ''
