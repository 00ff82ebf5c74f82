from __future__ import annotations

import dataclasses

import pytest

from swift.llm.protocol import Message
from swift.llm.template.loss_scale import turn_weights
from swift.llm.template.registry import ChatTemplate
from swift.llm.template.render import DeclaredRenderer, render
from swift.llm.template.segments import Controls
from swift.utils.errors import RowError, SwiftError

TOKENS = {'bos_token': '<s>', 'eos_token': '</s>', 7: '<seven>'}
SIMPLE = ChatTemplate(name='simple', prefix=(('bos_token_id',),), system_prefix=(('bos_token_id',), 'S:{{SYSTEM}}\n'),
                      prompt=('Q{{ROUND1}}:{{QUERY}}\n', 'A:'), chat_sep=('</s>\n',), suffix=(('eos_token',),))


def turns(*texts: str, system: str | None = None) -> list[Message]:
    messages = [Message('user' if i % 2 == 0 else 'assistant', text) for i, text in enumerate(texts)]
    return messages if system is None else [Message('system', system), *messages]


def write(template: ChatTemplate, messages: list[Message], *, strategy: str = 'default', prompt: bool = False,
          controls: Controls | None = None) -> str:
    """Trained text in double brackets."""
    controls = controls or Controls(eos='</s>', added=frozenset({'<s>', '</s>', '<user>'}))
    rendered = render(template, messages, special_tokens=TOKENS, add_generation_prompt=prompt,
                      loss=turn_weights(messages, strategy), controls=controls)
    return ''.join(f'[[{s.text}]]' if s.weight else s.text for s in rendered.segments).replace(']][[', '')


def test_parts_in_order_with_terminators():
    assert write(SIMPLE, turns('a', 'b', 'c', 'd', system='x')) == '<s>S:x\nQ1:a\nA:[[b</s>]]\nQ2:c\nA:[[d</s>]]'
    assert write(SIMPLE, turns('a', 'b')) == '<s>Q1:a\nA:[[b</s>]]'


def test_generation_prompt_and_a_last_question():
    assert write(SIMPLE, turns('a', 'b', 'c'), prompt=True) == '<s>Q1:a\nA:[[b</s>]]\nQ2:c\nA:'
    assert write(SIMPLE, turns('a', 'b', 'c')) == '<s>Q1:a\nA:[[b</s>]]\nQ2:c\n'


def test_last_round_and_all():
    assert write(SIMPLE, turns('a', 'b', 'c', 'd'), strategy='last_round') == '<s>Q1:a\nA:b</s>\nQ2:c\nA:[[d</s>]]'
    assert write(SIMPLE, turns('a', 'b'), strategy='all') == '[[<s>Q1:a\nA:b</s>]]'


def test_text_after_the_terminator_is_not_trained():
    template = dataclasses.replace(SIMPLE, suffix=('</s>\n',))
    assert write(template, turns('a', 'b')) == '<s>Q1:a\nA:[[b</s>]]\n'


def test_a_terminator_that_the_next_question_begins_with():
    template = ChatTemplate(name='x', prompt=('<user>{{QUERY}}', '<bot>'), chat_sep=(), suffix=('<user>',))
    assert write(template, turns('a', 'b', 'c', 'd')) == '<user>a<bot>[[b<user>]]c<bot>[[d<user>]]'


def test_an_answer_that_nothing_ends_is_said():
    template = dataclasses.replace(SIMPLE, chat_sep=('\n\n',))
    assert write(template, turns('a', 'b', 'c', 'd')) == '<s>Q1:a\nA:[[b]]\n\nQ2:c\nA:[[d</s>]]'
    assert 'only the last answer' in DeclaredRenderer(template, TOKENS).notes[0]


def test_system_in_the_prefix():
    template = dataclasses.replace(SIMPLE, prefix=('<s>{{SYSTEM}}|',), system_prefix=None)
    assert write(template, turns('a', 'b', system='x')) == '<s>x|Q1:a\nA:[[b</s>]]'
    assert write(template, turns('a', 'b')) == '<s>|Q1:a\nA:[[b</s>]]'


def test_system_in_the_last_question_only():
    template = ChatTemplate(name='x', prefix=('<s>',), prompt=('[', '{{SYSTEM}}\n\n', '{{QUERY}}]'),
                            chat_sep=('</s>',), suffix=('</s>',))
    assert write(template, turns('a', 'b', 'c', 'd', system='x')) == '<s>[a][[b</s>]][x\n\nc][[d</s>]]'
    assert write(template, turns('a', 'b')) == '<s>[a][[b</s>]]'


def test_tokens_by_id():
    template = dataclasses.replace(SIMPLE, prefix=((7,),))
    assert write(template, turns('a', 'b')).startswith('<seven>Q1')


def test_bos_in_front_only_where_the_tokenizer_puts_one_and_the_parts_do_not():
    controls = Controls(eos='</s>', bos='<s>', added=frozenset({'<s>', '</s>'}))
    bare = dataclasses.replace(SIMPLE, prefix=(), auto_add_bos=True)
    assert write(bare, turns('a', 'b'), controls=controls).startswith('<s>Q1')
    assert write(bare, turns('a', 'b')).startswith('Q1')
    assert write(dataclasses.replace(SIMPLE, auto_add_bos=True), turns('a', 'b'), controls=controls).count('<s>') == 1


def test_placeholders_in_contents_are_words():
    assert write(SIMPLE, turns('{{SYSTEM}}', '{{QUERY}}', system='{{QUERY}}')) == (
        '<s>S:{{QUERY}}\nQ1:{{SYSTEM}}\nA:[[{{QUERY}}</s>]]')


@pytest.mark.parametrize(('messages', 'reason'), [
    ([Message('assistant', 'x')], "'assistant' where 'user' was expected"),
    ([Message('user', 'x'), Message('user', 'y')], "'user' where 'assistant' was expected"),
    ([Message('system', 'x')], 'no question'),
    ([Message('user', 'x'), Message('assistant', '', tool_calls=({'function': {'name': 'f'}},))], 'tool calls'),
    ([Message('user', 'x'), Message('tool', 'y')], 'tool results'),
])
def test_what_it_can_not_write(messages, reason):
    with pytest.raises(RowError, match=reason):
        write(SIMPLE, messages)


def test_a_single_round_template():
    with pytest.raises(RowError, match='single round'):
        write(dataclasses.replace(SIMPLE, chat_sep=None), turns('a', 'b', 'c', 'd'))


def test_no_place_for_a_system_text():
    template = dataclasses.replace(SIMPLE, system_prefix=None)
    with pytest.raises(RowError, match='no place for a system'):
        write(template, turns('a', 'b', system='x'))


def test_a_token_that_the_tokenizer_lacks():
    with pytest.raises(SwiftError, match="needs the token 'pad_token'"):
        DeclaredRenderer(dataclasses.replace(SIMPLE, suffix=(('pad_token',),)), TOKENS)


@pytest.mark.parametrize('role', ['user', 'assistant', 'system'])
def test_loss_of_a_single_message_beats_the_strategy(role):
    messages = turns('question', 'answer', system='sys')
    for strategy, default in (('default', role == 'assistant'), ('all', True)):
        for loss in (None, True, False):
            marked = [dataclasses.replace(m, loss=loss) if m.role == role else m for m in messages]
            rendered = render(SIMPLE, marked, special_tokens=TOKENS, add_generation_prompt=False,
                              loss=turn_weights(marked, strategy), controls=Controls(eos='</s>'))
            weights = {s.weight for s in rendered.segments if s.kind == role}
            assert weights == {float(default if loss is None else loss)}


def test_loss_scale_multiplies():
    messages = [Message('user', 'a', loss_scale=3.0), Message('assistant', 'b', loss_scale=0.5),
                Message('user', 'c', loss=True, loss_scale=3.0), Message('assistant', 'd', loss=False, loss_scale=9.0)]
    assert turn_weights(messages, 'default').turns == (0, 0.5, 3, 0)


@pytest.mark.parametrize('message', [Message('assistant', 'b', loss_scale=-1.0), Message('assistant', 'b', loss='no'),
                                     Message('assistant', 'b', loss_scale=float('nan'))])
def test_weights_that_are_none(message):
    with pytest.raises(RowError, match='message 0 has loss'):
        turn_weights([message], 'default')
