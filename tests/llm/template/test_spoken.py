"""``--agent_template`` on top of declared, written and jinja templates."""

from __future__ import annotations

import pytest

from swift.llm.args.groups import TemplateArgs
from swift.llm.template.dialect import DIALECTS
from swift.llm.template.encode import make_template
from swift.utils.errors import RowError, UsageError

TOOLS = [{'type': 'function', 'function': {'name': 'add', 'parameters': {'type': 'object', 'properties': {}}}}]
CALL = {'id': 'c1', 'type': 'function', 'function': {'name': 'add', 'arguments': '{"a": 1}'}}
ASK = {'role': 'user', 'content': '1 + 1?'}
CALLS = {'role': 'assistant', 'content': 'Thought: add', 'tool_calls': [CALL]}
RESULT = {'role': 'tool', 'name': 'add', 'content': '<|im_end|>2'}
ANSWER = {'role': 'assistant', 'content': 'Thought: done\nFinal Answer: 2'}
ROW = {'messages': [ASK, CALLS, RESULT, ANSWER], 'tools': TOOLS}
CHATML = '<|im_end|>\n<|im_start|>user\n1 + 1?<|im_end|>\n<|im_start|>assistant\n'
REACT = ('[[Thought: add\nAction: add\nAction Input: {"a": 1}\nObservation:]] <|im_end|>2\n'
         '[[Thought: done\nFinal Answer: 2<|im_end|>]]\n')


def text(template, row: dict = ROW, **options) -> str:
    segments = template.render(row, **options).segments
    return ''.join(f'[[{s.text}]]' if s.weight else s.text for s in segments).replace(']][[', '')


@pytest.mark.parametrize('name', ['chatml', 'qwen3', 'auto'])
def test_react_stands_in_the_answer_and_results_are_not_trained(name, tokenizer):
    template = make_template(TemplateArgs(template=name, agent_template='react_en', system=''), tokenizer)
    written = text(template)
    head, _, rest = written.partition(CHATML)
    assert 'add' in head and 'Begin!' in head and '[[' not in head
    assert rest.replace('\n[[<think>\n\n</think>\n\n', '\n[[').replace('[[<think>\n\n</think>\n\n', '[[') == REACT
    assert 'Observation:' in template.stop_words


def test_the_prompt_after_a_result_goes_on_in_the_answer(tokenizer):
    template = make_template(TemplateArgs(template='qwen3', agent_template='react_en'), tokenizer)
    prompt = text(template, {**ROW, 'messages': ROW['messages'][:3]}, add_generation_prompt=True)
    assert prompt.endswith('Observation: <|im_end|>2\n') and '[[' not in prompt
    whole = text(template).replace('[[', '').replace(']]', '')
    assert whole.replace('<think>\n\n</think>\n\n', '').startswith(prompt)


def test_results_as_a_question(tokenizer):
    template = make_template(TemplateArgs(template='llama3', agent_template='hermes'), tokenizer)
    with pytest.raises(RowError, match='no place for tools|does not write the tools'):
        make_template(TemplateArgs(template='llama3'), tokenizer).render(ROW)
    written = text(template)
    assert '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call><|eot_id|>]]' in written
    assert '<|start_header_id|>user<|end_header_id|>\n\n<tool_response>\n<|im_end|>2\n</tool_response>' in written


def test_words_of_a_result_forge_nothing(tokenizer):
    template = make_template(TemplateArgs(template='qwen3', agent_template='react_en'), tokenizer)
    encoded = template.encode(ROW)
    end = tokenizer.convert_tokens_to_ids('<|im_end|>')
    assert encoded.input_ids.tolist().count(end) == text(template).count('<|im_end|>') - 1


def test_weights_of_single_messages_hold(tokenizer):
    template = make_template(TemplateArgs(template='qwen3', agent_template='react_en'), tokenizer)
    row = {**ROW, 'messages': [ASK, {**CALLS, 'loss': False}, RESULT, {**ANSWER, 'loss_scale': 0.5}]}
    weights = {s.text: s.weight for s in template.render(row).segments if s.kind == 'assistant'}
    assert [w for t, w in weights.items() if 'Thought: add' in t] == [0.0]
    assert [w for t, w in weights.items() if 'Final Answer' in t] == [0.5]


def test_a_row_without_tools_is_written_as_ever(tokenizer):
    row = {'messages': [ASK, ANSWER]}
    plain = make_template(TemplateArgs(template='qwen3'), tokenizer)
    assert text(make_template(TemplateArgs(template='qwen3', agent_template='react_en'), tokenizer), row) == \
        text(plain, row)


def test_the_models_own_dialect_is_no_other(tokenizer):
    one, other = (make_template(TemplateArgs(template='qwen3', agent_template=name), tokenizer)
                  for name in (None, 'hermes'))
    assert text(one) == text(other)


def test_names_that_can_not_be_taken(tokenizer):
    with pytest.raises(UsageError, match="Unknown tool dialect 'hermse'"):
        make_template(TemplateArgs(template='chatml', agent_template='hermse'), tokenizer)
    read_only = next(dialect.name for dialect in DIALECTS if dialect.write_tools is None)
    with pytest.raises(UsageError, match='only the templates of its own models write this dialect; .* react_en'):
        make_template(TemplateArgs(template='chatml', agent_template=read_only), tokenizer)


def test_tools_in_another_dialect_are_no_drift(tokenizer):
    template = make_template(TemplateArgs(template='smollm2', agent_template='react_en'), tokenizer)
    assert template.drift([ROW, {'messages': [ASK, ANSWER]}]) == []
