"""What is trained of a conversation with calls and thoughts, and what is refused: Gemma, GLM, Cohere, gpt-oss, Granite,
Hunyuan, Ling, EXAONE, Solar, GigaChat, Phi."""

from __future__ import annotations

import pytest

from swift.llm.protocol import Message
from swift.llm.template.loss_scale import TurnWeights
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.render import make_renderer, render_case
from swift.utils.errors import RowError

CALL = {'type': 'function', 'id': 'c1', 'function': {'name': 'f', 'arguments': {'n': 1, 's': 'a'}}}
AGENT = [Message('user', '?'), Message('assistant', '', reasoning_content='hm', tool_calls=(CALL,)),
         Message('tool', 'r', name='f', tool_call_id='c1'), Message('assistant', 'done')]
ARGS = '{"n": 1, "s": "a"}'


@pytest.mark.parametrize(('name', 'options', 'expected'), [
    ('gemma4', {'enable_thinking': True},
     '<|turn>system\n<|think|>\n<turn|>\n<|turn>user\n?<turn|>\n<|turn>model\n[[<|channel>thought\nhm\n<channel|>'
     '<|tool_call>call:f{n:1,s:<|"|>a<|"|>}<tool_call|><|tool_response>]]response:f{value:<|"|>r<|"|>}<tool_response|>'
     '[[done<turn|>]]\n'),
    ('glm4_5', {},
     '[gMASK]<sop><|user|>\n?<|assistant|>[[\n<think>hm</think>\n<tool_call>f\n<arg_key>n</arg_key>\n'
     '<arg_value>1</arg_value>\n<arg_key>s</arg_key>\n<arg_value>a</arg_value>\n</tool_call><|observation|>]]\n'
     '<tool_response>\nr\n</tool_response><|assistant|>[[\n<think></think>\ndone]]'),
    ('glm4_7', {},
     '[gMASK]<sop><|user|>?<|assistant|><think>[[hm</think><tool_call>f<arg_key>n</arg_key><arg_value>1</arg_value>'
     '<arg_key>s</arg_key><arg_value>a</arg_value></tool_call><|observation|>]]<tool_response>r</tool_response>'
     '<|assistant|>[[</think>done]]'),
    ('ling3', {},
     '<role>SYSTEM</role>detailed thinking on<|role_end|><role>HUMAN</role>?<|role_end|><role>ASSISTANT</role>\n'
     '<think>[[hm</think><tool_call>f\n<arg_key>n</arg_key>\n<arg_value>1</arg_value><arg_key>s</arg_key>\n'
     '<arg_value>a</arg_value>\n</tool_call><|role_end|>]]<role>OBSERVATION</role>\n<tool_response>\nr\n'
     '</tool_response><|role_end|><role>ASSISTANT</role>\n<think>[[</think>done<|role_end|>]]'),
    ('hy_v3', {'reasoning_effort': 'high', 'is_training': True},
     '<｜hy_begin_of_sentence:opensource｜><｜reasoning_mode:opensource｜>reasoning_effort:high<｜hy_User:opensource｜>?'
     '<｜hy_Assistant:opensource｜><think:opensource>[[hm</think:opensource><tool_calls:opensource>\n'
     '<tool_call:opensource>f<tool_sep:opensource>\n<arg_key:opensource>n</arg_key:opensource>\n'
     '<arg_value:opensource>1</arg_value:opensource>\n<arg_key:opensource>s</arg_key:opensource>\n'
     '<arg_value:opensource>a</arg_value:opensource>\n</tool_call:opensource>\n</tool_calls:opensource>'
     '<｜hy_eos:opensource｜>]]<tool_responses:opensource>\n<tool_response:opensource>\nr\n</tool_response:opensource>\n'
     '</tool_responses:opensource><｜hy_Assistant:opensource｜><think:opensource>[[</think:opensource>done'
     '<｜hy_eos:opensource｜>]]'),
    ('granite_4_1', {},
     '<|start_of_role|>user<|end_of_role|>?<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>[[<tool_call>\n'
     '{"name": "f", "arguments": ' + ARGS + '}\n</tool_call><|end_of_text|>]]\n<|start_of_role|>user<|end_of_role|>\n'
     '<tool_response>\nr\n</tool_response><|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>[[done'
     '<|end_of_text|>]]\n'),
    ('exaone4', {},
     '[|user|]\n?[|endofturn|]\n[|assistant|]\n<think>\n\n</think>\n\n[[<tool_call>{"name": "f", "arguments": ' + ARGS
     + '}</tool_call>[|endofturn|]]]\n[|tool|]\n<tool_result>{"result": "r"}</tool_result>[|endofturn|]\n'
     '[|assistant|]\n<think>\n\n</think>\n\n[[done[|endofturn|]]]\n'),
    ('solar_open', {'default_system_prompt': False},
     '<|begin|>user<|content|>?<|end|><|begin|>assistant[[<|tool_calls|><|tool_call:begin|>c1<|tool_call:name|>f'
     '<|tool_call:args|>' + ARGS + '<|tool_call:end|><|calls|>]]<|begin|>tool<|tool_response|><|tool_response:begin|>'
     'c1<|tool_response:name|>f<|tool_response:result|>r<|tool_response:end|><|end|><|begin|>assistant[[<|content|>'
     'done<|end|>]]'),
])
def test_answers_are_trained_and_results_are_not(show, name, options, expected):
    assert show(name, AGENT, options=options) == expected


def test_thoughts_calls_and_answers_of_gpt_oss_are_trained_with_their_channels(show):
    head = show('gpt_oss', AGENT[:1])
    assert show('gpt_oss', AGENT[:2]).removeprefix(head) == (
        '<|start|>assistant[[<|channel|>analysis<|message|>hm<|end|><|start|>assistant to=functions.f<|channel|>'
        'commentary json<|message|>' + ARGS + '<|call|>]]')
    thought = [AGENT[0], Message('assistant', 'done', reasoning_content='hm')]
    assert show('gpt_oss', thought).removeprefix(head) == (
        '<|start|>assistant[[<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>done'
        '<|return|>]]')


def test_calls_of_command_r7b_are_trained_with_the_plan_that_led_to_them(show):
    tail = show('command_r7b', AGENT, options={'enable_thinking': True}).partition('<|USER_TOKEN|>')[2]
    assert tail == (
        '?<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>[[<|START_THINKING|>hm<|END_THINKING|>'
        '<|START_ACTION|>[\n    {"tool_call_id": "0", "tool_name": "f", "parameters": ' + ARGS + '}\n]<|END_ACTION|>'
        '<|END_OF_TURN_TOKEN|>]]<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|><|START_TOOL_RESULT|>[\n    {\n'
        '        "tool_call_id": "0",\n        "results": {\n            "0": "r"\n        },\n'
        '        "is_error": null\n    }\n]<|END_TOOL_RESULT|><|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|>'
        '<|CHATBOT_TOKEN|>[[<|START_RESPONSE|>done<|END_RESPONSE|><|END_OF_TURN_TOKEN|>]]<|START_OF_TURN_TOKEN|>'
        '<|CHATBOT_TOKEN|>')


def test_a_call_of_gigachat_is_a_message_of_its_own_or_a_part_of_the_answer(show):
    def answer(name):
        return show(name, AGENT[:2]).partition('assistant<|role_sep|>\n')[2]

    assert answer('gigachat3') == ('[[<|message_sep|>\n\nfunction call<|role_sep|>\n{"name": "f", "arguments": ' + ARGS
                                   + '}<|message_sep|>]]\n\n')
    assert answer('gigachat3_1') == ('[[<|function_call|>{"name": "f", "arguments": ' + ARGS
                                     + '}<|message_sep|>]]\n\n')


def test_the_end_of_a_conversation_is_not_an_answer(show):
    talk = [Message('user', '?'), Message('assistant', 'yes')]
    assert show('phi3', talk, tokens={'eos_token': '</s>'}).endswith('[[yes<|end|>]]\n</s>')
    assert show('yandexgpt5_lite', talk) == '<s> Пользователь: ?\n\n Ассистент:[SEP]'
    assert show('yandexgpt5_lite_sft', talk) == '<s> Пользователь: ?\n\n Ассистент:[SEP][[yes</s>]]'


@pytest.mark.parametrize(('name', 'messages', 'options', 'reason'), [
    ('gemma', [Message('system', 's'), Message('user', 'q')], {}, 'no place for a system text'),
    ('gemma3', [Message('user', 'q'), Message('user', 'q')], {}, 'must alternate'),
    ('gemma4_v5', [Message('user', 'q'), Message('assistant', '', tool_calls=(
        {'function': {'name': 'f', 'arguments': 'x'}},))], {}, 'as a JSON object'),
    ('aya', [Message('assistant', 'a')], {}, 'must alternate'),
    ('tiny_aya', [Message('user', 'q'), Message('user', 'q')], {}, 'must alternate'),
    ('command_r_tool_use', [Message('user', 'q')], {}, 'for conversations with tools'),
    ('gpt_oss', [Message('user', 'q'), Message('tool', 'r')], {}, 'no answer before it calls one'),
    ('gpt_oss', [Message('user', 'q'), Message('assistant', 'a', reasoning_content='r', tool_calls=(CALL,))], {},
     'both content and reasoning_content'),
    ('gpt_oss', [Message('assistant', '<|channel|>final<|message|>a')], {}, 'holds channel tags'),
    ('hy_v3', [Message('user', 'q')], {'reasoning_effort': 'medium'}, "not 'medium'"),
    ('hunyuan_a13b', [Message('user', '')], {}, 'first message is empty'),
    ('solar_open', [Message('assistant', '', tool_calls=({'function': {'name': 'f', 'arguments': {}}},))], {},
     'with an "id" only'),
    ('glm4_5', [Message('assistant', '', tool_calls=({'function': {'name': 'f', 'arguments': 'x'}},))], {},
     'must be a JSON object'),
    ('gigachat', [Message('assistant', 'a')], {}, 'must alternate'),
])
def test_what_the_publisher_refuses_is_refused(name, messages, options, reason):
    with pytest.raises(RowError, match=reason):
        render_case(TEMPLATES.get(name), messages, options=options)


@pytest.mark.parametrize('name', ['gpt_oss', 'gigachat3', 'gigachat3_1'])
def test_several_calls_in_one_answer_are_refused_where_only_the_first_is_written(name):
    calls = tuple({'function': {'name': n, 'arguments': {}}} for n in 'fg')
    messages = [Message('user', 'x'), Message('assistant', '', tool_calls=calls)]
    renderer = make_renderer(TEMPLATES.get(name), {})
    with pytest.raises(RowError, match='second of several calls'):
        renderer.render(messages, (), TurnWeights((0.0, 1.0)))
    one = [messages[0], Message('assistant', '', tool_calls=calls[:1])]
    assert 'f' in renderer.render(one, (), TurnWeights((0.0, 1.0))).text
