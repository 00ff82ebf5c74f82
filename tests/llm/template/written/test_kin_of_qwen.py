"""MiniCPM, Reka, Hermes, xLAM, SmolLM, Step, InternLM: what each has of its own."""

from __future__ import annotations

import pytest

from swift.llm.protocol import Message
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.render import make_renderer, render_case
from swift.utils.errors import RowError

CALL = {'type': 'function', 'function': {'name': 'f', 'arguments': {'n': 1, 's': 'a<b'}}}
AGENT = [Message('user', '?'), Message('assistant', 'see', tool_calls=(CALL,)), Message('tool', 'r'),
         Message('assistant', 'done')]
TOOL = {'type': 'function', 'function': {'name': 'f', 'description': 'd', 'parameters': {
    'type': 'object', 'properties': {'kind_of': {'type': 'string', 'enum': ['a', 'b']},
                                     'at': {'type': 'object', 'properties': {'x': {'type': 'number'}}}},
    'required': ['at']}}}


def marked(name: str, messages: list[Message], tools=(), **options) -> str:
    """The rendering with what is trained between brackets."""
    segments = render_case(TEMPLATES.get(name), messages, tools, tokens={'bos_token': '<s>'}, **options).segments
    return ''.join(f'[[{s.text}]]' if s.weight else s.text for s in segments).replace(']][[', '')


@pytest.mark.parametrize(('name', 'expected'), [
    ('minicpm5', '<s><|im_start|>user\n?<|im_end|>\n<|im_start|>assistant\n[[see\n<function name="f"><param name="n">1'
                 '</param><param name="s"><![CDATA[a<b]]></param></function><|im_end|>]]\n<|im_start|>user\n'
                 '<tool_response>\nr\n</tool_response><|im_end|>\n<|im_start|>assistant\n[[done<|im_end|>]]\n'),
    ('minicpm3', '<|im_start|>user\n?<|im_end|>\n<|im_start|>assistant\n[[<|tool_call_start|>\n```python\nf(n=1,'
                 's="a<b")\n```\n<|tool_call_end|>\nsee<|im_end|>]]\n<|im_start|>tool\nr<|im_end|>\n<|im_start|>assistant\n'
                 '[[done<|im_end|>]]\n'),
    ('reka_edge', 'human: ?<sep>assistant:[[ see\n<tool_call>\n{"name": "f", "arguments": {"n": 1, "s": "a<b"}}\n'
                  '</tool_call>\n\n<sep>]]human: <tool_response>\nr\n</tool_response><sep>assistant:[[ done\n\n'
                  '<sep>]]'),
    ('hermes', '<s><|im_start|>user\n?<|im_end|>\n<|im_start|>assistant\n[[<tool_call>\n{"name": "f", "arguments": '
               '{"n": 1, "s": "a<b"}}\n</tool_call><|im_end|>]]\n<|im_start|>tool\n<tool_response>\nr\n'
               '</tool_response>\n<|im_end|><|im_start|>assistant\n[[done<|im_end|>]]\n'),
    ('xlam_qwen', '<|im_start|>system\nYou are a helpful assistant. You are developed by Salesforce xLAM team.\n'
                  '<|im_end|>\n<|im_start|>user\n?<|im_end|>\n<|im_start|>assistant\n[[[{"name": "f", "arguments": '
                  '{"n": 1, "s": "a<b"}}]<|im_end|>]]\n<|im_start|>tool\nr<|im_end|>\n<|im_start|>assistant\n'
                  '[[done<|im_end|>]]\n'),
    ('step3_5', '<s><|im_start|>user\n?<|im_end|>\n<|im_start|>assistant\n<think>\n[[\n</think>\nsee<tool_call>\n'
                '<function=f>\n<parameter=n>\n1\n</parameter>\n<parameter=s>\na<b\n</parameter>\n</function>\n'
                '</tool_call><|im_end|>]]\n<|im_start|>tool_response\n<tool_response>r</tool_response><|im_end|>\n'
                '<|im_start|>assistant\n<think>\n[[\n</think>\ndone<|im_end|>]]\n'),
])
def test_what_is_trained(name, expected):
    assert marked(name, AGENT) == expected


def test_internlm2_has_its_own_words_for_tools():
    text = marked('internlm2', [Message('system', 'x'), *AGENT], [TOOL])
    assert text.startswith('<s><|im_start|>system\nx<|im_end|>\n<|im_start|>system name=<|plugin|>\n[{"name": "f", ')
    assert '[[see<|action_start|><|plugin|>\n{"name": "f", ' in text and '<|action_end|><|im_end|>]]' in text
    assert '<|im_start|>environment name=<|plugin|>\nr<|im_end|>' in text


def test_minicpm3_writes_tools_as_python():
    assert ('\n\nclass Kind_of(Enum):\n    enum_0 = "a"\n    enum_1 = "b"\n\n\nclass At(BaseModel):\n    x: Optional'
            '[float] = None\n\n\ndef f(kind_of=None, at):\n    """d\n\n    Args:\n        kind_of: Optional[Kind_of] = '
            'None\n        at: At\n    """\n') in marked('minicpm3', AGENT[:1], [TOOL])


def test_a_system_text_says_where_the_tools_go():
    text = marked('minicpm5', [Message('system', 'A<tool_def_sep>B'), Message('user', '?')], [TOOL])
    assert text.startswith('<s><|im_start|>system\nA# Tools\n') and 'block: <param name' in text
    assert '</param>B<|im_end|>' in text


def test_hermes_refuses_tools_that_it_cannot_describe():
    no_text = {'type': 'function', 'function': {'name': 'f', 'parameters': {'type': 'object', 'properties': {}}}}
    with pytest.raises(RowError, match='needs name, description and parameters'):
        marked('hermes', AGENT, [no_text])
    odd = {'type': 'function', 'function': {'name': 'f', 'description': 'd', 'parameters': {
        'type': 'object', 'properties': {'x': {'type': 'any'}}}}}
    with pytest.raises(RowError, match="no type 'any'"):
        marked('hermes', AGENT, [odd])


@pytest.mark.parametrize(('system', 'options', 'tail'), [
    (None, {}, ''), (None, {'enable_thinking': False}, '<think>\n\n</think>\n'),
    ('x /no_think', {}, '<think>\n\n</think>\n'),
    ('x /think', {'enable_thinking': False}, ''),
])
def test_smollm3_is_switched_by_its_system_text(system, options, tail):
    head = [] if system is None else [Message('system', system)]
    text = marked('smollm3', [*head, Message('user', '?'), Message('assistant', 'a')], options=options)
    assert f'Reasoning Mode: {"/no_think" if tail else "/think"}\n' in text
    assert text.endswith(f'<|im_start|>assistant\n{tail}[[a<|im_end|>]]\n')
    assert (system is None) == ('named SmolLM' in text)


def test_idefics3_has_no_space_in_front_of_an_image():
    messages = [Message('user', '<image>what?'), Message('assistant', 'a cat')]
    assert marked('idefics3', messages) == (
        '<|begin_of_text|>User:<image>what?<end_of_utterance>\nAssistant:[[ a cat<end_of_utterance>]]\n')


@pytest.mark.parametrize(('name', 'end'), [
    ('qwen3_5', '<|im_end|>'), ('reka_edge', '<sep>'), ('nemotron_nano_v2', '<SPECIAL_12>'), ('hermes', '<|im_end|>'),
    ('xlam_llama', '<|eot_id|>'), ('step5_vl', '<|EOT|>'), ('smolvlm', '<end_of_utterance>'),
])
def test_answers_stop_at_what_the_template_ends_them_with(name, end):
    assert make_renderer(TEMPLATES.get(name), {}).stop_words[0] == end
