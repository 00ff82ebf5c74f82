"""``--thinking``, ``--enable_thinking`` and ``--template_kwargs``, with declared, written and jinja templates."""

from __future__ import annotations

import pytest

from swift.llm.args.groups import TemplateArgs
from swift.llm.protocol import Message
from swift.llm.template.chat_template import ChatTemplate, Thinking
from swift.llm.template.encode import make_template
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.render import render_case
from swift.utils.errors import RowError, UsageError

DECLARED = ChatTemplate(name='thinks', prompt=('U:{{QUERY}}\n', 'A:'), chat_sep=('|',), suffix=('|',),
                        thinking=Thinking(prefix='<think>\n', empty='<think>\n\n</think>\n\n'))
TALK = [Message('user', '1?'), Message('assistant', 'one', reasoning_content='r1'),
        Message('user', '2?'), Message('assistant', 'two', reasoning_content='r2')]
PLAIN = [Message('user', '1?'), Message('assistant', 'one')]


def written(template: ChatTemplate, messages: list[Message], **options) -> str:
    rendered = render_case(template, messages, **options)
    return ''.join(f'[[{s.text}]]' if s.weight else s.text for s in rendered.segments).replace(']][[', '')


@pytest.mark.parametrize(('policy', 'expected'), [
    (None, 'U:1?\nA:[[one|]]U:2?\nA:<think>\n[[r2\n</think>\n\ntwo|]]'),
    ('keep', 'U:1?\nA:<think>\n[[r1\n</think>\n\none|]]U:2?\nA:<think>\n[[r2\n</think>\n\ntwo|]]'),
    ('strip_history', 'U:1?\nA:[[one|]]U:2?\nA:<think>\n[[r2\n</think>\n\ntwo|]]'),
    ('none', 'U:1?\nA:[[one|]]U:2?\nA:[[two|]]'),
])
def test_a_declared_template(policy, expected):
    assert written(DECLARED, TALK, thinking=policy) == expected
    inline = [Message(m.role, f'<think>\n{m.reasoning_content}\n</think>\n\n{m.content}')
              if m.reasoning_content else m for m in TALK]
    assert written(DECLARED, inline, thinking=policy) == expected


@pytest.mark.parametrize(('policy', 'options', 'expected', 'prompt'), [
    (None, {}, 'U:1?\nA:[[<think>\n\n</think>\n\none|]]', 'U:1?\nA:<think>\n'),
    (None, {'enable_thinking': False}, 'U:1?\nA:<think>\n\n</think>\n\n[[one|]]', 'U:1?\nA:<think>\n\n</think>\n\n'),
    ('add_empty', {}, 'U:1?\nA:<think>\n\n</think>\n\n[[one|]]', 'U:1?\nA:<think>\n\n</think>\n\n'),
    ('none', {}, 'U:1?\nA:[[one|]]', 'U:1?\nA:'),
])
def test_an_answer_without_thinking_and_its_prompt(policy, options, expected, prompt):
    assert written(DECLARED, PLAIN, thinking=policy, options=options) == expected
    assert written(DECLARED, PLAIN[:1], thinking=policy, options=options, add_generation_prompt=True) == prompt


def test_the_switch_reaches_a_written_template(tokenizer):
    template = make_template(TemplateArgs(template='qwen3', enable_thinking=False), tokenizer)
    prompt = tokenizer.decode(template.encode_prompt([{'role': 'user', 'content': 'hi'}]))
    assert prompt.endswith('assistant\n<think>\n\n</think>\n\n')
    asked = template.encode_prompt([{'role': 'user', 'content': 'hi'}], options={'enable_thinking': True})
    assert tokenizer.decode(asked).endswith('assistant\n')


def test_a_row_has_switches_of_its_own(tokenizer):
    template = make_template(TemplateArgs(template='qwen3'), tokenizer)
    row = {'messages': [m.to_dict() for m in PLAIN]}
    def trained(row: dict) -> str:
        return ''.join(s.text for s in template.render(row).segments if s.weight)
    assert trained(row) == '<think>\n\n</think>\n\none<|im_end|>'
    assert trained({**row, 'chat_template_kwargs': {'enable_thinking': False}}) == 'one<|im_end|>'


def test_a_checkpoints_own_template(jinja_tokenizer, shown):
    def text(policy: str | None) -> str:
        template = make_template(TemplateArgs(thinking=policy), jinja_tokenizer('thinks'))
        return ''.join(s.text for s in template.render({'messages': TALK}).segments)
    assert 'r1' not in text(None) and 'r2' in text(None)
    assert 'r1' not in text('none') and 'r2' not in text('none')
    assert text('strip_history') == text(None)


@pytest.mark.parametrize('policy', ['keep', 'add_empty'])
def test_a_switch_that_a_checkpoints_template_does_not_have(policy, jinja_tokenizer):
    with pytest.raises(UsageError, match=f'--thinking {policy}: .* has no switch'):
        make_template(TemplateArgs(thinking=policy), jinja_tokenizer('thinks'))


def test_reasoning_without_a_place(tokenizer):
    template = make_template(TemplateArgs(template='chatml'), tokenizer)
    with pytest.raises(RowError, match='no place for reasoning_content'):
        template.encode({'messages': TALK})
    template = make_template(TemplateArgs(template='chatml', thinking='none'), tokenizer)
    assert 'r1' not in tokenizer.decode(template.encode({'messages': TALK}).input_ids)


@pytest.mark.parametrize('words', ['[1]', '{bad', '3'])
def test_switches_that_are_no_object(words):
    with pytest.raises(UsageError, match='--template_kwargs takes a JSON object'):
        TemplateArgs(template_kwargs=words)


def test_every_dialect_that_a_template_names_exists():
    from swift.llm.template.dialect import DIALECTS
    missing = {entry.dialect for entry in TEMPLATES if entry.dialect and entry.dialect not in DIALECTS}
    assert not missing
