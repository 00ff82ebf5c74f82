"""What holds for every registered template, whatever it writes.

A prompt is what training shows in front of the answer; an answer that is trained ends with a terminator; words of a
message never stand where control tokens are matched; a conversation has one BOS at most. Exceptions stand in
``template_exceptions.json`` with the reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest

from swift.llm.protocol import Message
from swift.llm.template.loss_scale import TurnWeights
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.render import make_renderer, render_case
from swift.llm.template.segments import Controls, Rendered
from swift.utils.errors import RowError

EXCEPTIONS = json.loads(
    (Path(__file__).parents[1] / 'data' / 'registry' / 'template_exceptions.json').read_text(encoding='utf-8'))
TOKENS = {'bos_token': '<the bos>', 'eos_token': '<the eos>', 'pad_token': '<the pad>', 'user_token': '<the user>',
          'bot_token': '<the bot>', **{number: f'<{number}>' for number in (*range(200), 8308, 100000, 100001)}}
NAMES = sorted(TEMPLATES.names())
THINKING = [name for name in NAMES if TEMPLATES.get(name).thinking is not None]
POLICIES = (None, 'keep', 'strip_history', 'add_empty', 'none')
WORDS = {'system': 'sysword', 'user': 'askword', 'assistant': 'sayword', 'reasoning': 'whyword'}


def conversation(rounds: int, system: bool = False, reasoning: tuple[bool, ...] = ()) -> list[Message]:
    messages = [Message('system', f'{WORDS["system"]} x')] if system else []
    for i in range(rounds):
        thought = f'{WORDS["reasoning"]} {i}' if i < len(reasoning) and reasoning[i] else None
        messages += [Message('user', f'{WORDS["user"]} {i}'),
                     Message('assistant', f'{WORDS["assistant"]} {i}', reasoning_content=thought)]
    return messages


def write(name: str, messages: Sequence[Message], **rest) -> Rendered | None:
    """None where the template refuses such a conversation."""
    try:
        return render_case(TEMPLATES.get(name), messages, tokens=TOKENS, **rest)
    except RowError:
        return None


def written(name: str) -> list[tuple[list[Message], Rendered]]:
    """Conversations that a template takes, and how it writes them."""
    found = [(messages, write(name, messages))
             for messages in (conversation(rounds, system) for rounds, system in product((1, 2), (False, True)))]
    return [(messages, rendered) for messages, rendered in found if rendered is not None]


def before_answer(rendered: Rendered) -> str:
    """What stands in front of the last answer."""
    starts = [i for i, segment in enumerate(rendered.segments) if segment.begins_answer]
    return ''.join(segment.text for segment in rendered.segments[:starts[-1]])


def check_prompt(name: str, messages: Sequence[Message], rest: dict) -> str | None:
    """What a prompt has more than training shows in front of the answer; None where the template refuses either."""
    whole, prompt = write(name, messages, **rest), write(name, messages[:-1], add_generation_prompt=True, **rest)
    if whole is None or prompt is None:
        return None
    before = before_answer(whole)
    assert prompt.text.startswith(before), f'{name} {rest}: trained behind {before!r}, prompted with {prompt.text!r}'
    return prompt.text[len(before):]


def known(kind: str, name: str) -> bool:
    return name in EXCEPTIONS[kind]


@pytest.mark.parametrize('name', NAMES)
def test_a_template_takes_a_conversation(name):
    assert written(name) != [] or known('single', name)


@pytest.mark.parametrize('name', [name for name in NAMES if not known('prefix', name)])
def test_a_prompt_is_what_stands_in_front_of_the_answer(name):
    has_thinking = name in THINKING
    for messages, _ in written(name):
        rest = check_prompt(name, messages, {})
        # Where a prompt opens the thinking, an answer without any can only start in front of that.
        assert not rest or has_thinking, f'{name}: prompts end with {rest!r}, which training does not show'


@pytest.mark.parametrize('name', [name for name in NAMES if not known('terminator', name)])
def test_a_trained_answer_ends_with_a_terminator(name):
    """With the added tokens of a tokenizer: everything in the template that looks like one."""
    drops = getattr(TEMPLATES.get(name), 'drops', ())
    looks_added = frozenset(re.findall(r'<[|｜]?[\w▁/|｜]+[|｜]?>|\[e~\[', repr(TEMPLATES.get(name))))
    controls = Controls(eos=TOKENS['eos_token'], added=looks_added | set(TOKENS.values()))
    renderer = make_renderer(TEMPLATES.get(name), TOKENS, controls)
    for messages, _ in written(name):
        if messages[0].role in drops:
            continue
        weights = TurnWeights(tuple(float(message.role == 'assistant') for message in messages))
        rendered = renderer.render(messages, (), weights)
        answers = [i for i, message in enumerate(messages) if message.role == 'assistant']
        for i in answers[-1:] if renderer.notes else answers:  # a note: answers in the middle end with nothing
            pieces = [segment for segment in rendered.segments if segment.message == i]
            assert pieces and pieces[-1].kind == 'control', f'{name}: answer {i} ends with {pieces[-1:]}'


@pytest.mark.parametrize('name', NAMES)
def test_words_of_messages_never_stand_among_control_tokens(name):
    for messages, rendered in written(name):
        for segment in rendered.segments:
            assert not segment.weight or segment.kind in ('control', 'assistant'), f'{name} trains {segment}'
            if segment.kind == 'control':
                assert not any(word in segment.text for word in WORDS.values()), segment
        drops = getattr(TEMPLATES.get(name), 'drops', frozenset())
        for message in messages:
            if message.role not in drops and not known('unsaid', name):
                said = [segment for segment in rendered.segments if message.content in segment.text]
                assert [segment.kind for segment in said] == [message.role], f'{name}: {message.content!r} in {said}'


@pytest.mark.parametrize('name', [name for name in NAMES if not known('bos', name)])
def test_there_is_one_bos_at_most(name):
    for _, rendered in written(name):
        assert rendered.text.count(TOKENS['bos_token']) <= 1


@pytest.mark.parametrize('name', [name for name in THINKING if not known('prefix', name)])
def test_thinking_templates_train_what_they_prompt_under_every_policy(name):
    template = TEMPLATES.get(name)
    for policy, enabled, thought in product(POLICIES, (None, True, False), (True, False)):
        if enabled is not None and enabled != thought or policy == 'add_empty' and thought:
            continue  # the prompt asks for something else than the answer has
        rest = {'thinking': policy, 'options': {} if enabled is None else {'enable_thinking': enabled}}
        messages = conversation(2, reasoning=(True, thought))
        more = check_prompt(name, messages, rest)
        if more is None:
            continue
        shown = WORDS['reasoning'] in write(name, messages, **rest).text.rpartition(WORDS['user'])[2]
        if policy == 'none':
            assert not shown and more == '', f'{name} {rest}: {more!r}'
        if policy == 'keep' and thought and 'reasoning' not in getattr(template, 'drops', ()):
            assert shown, f'{name} {rest}: the thinking is not written'


@pytest.mark.parametrize('name', THINKING)
def test_earlier_thinking_goes_and_stays_as_asked(name):
    messages = conversation(2, reasoning=(True, True))
    texts = {policy: write(name, messages, thinking=policy) for policy in POLICIES}
    counts = {policy: rendered.text.count(WORDS['reasoning']) for policy, rendered in texts.items() if rendered}
    if not counts or not any(counts.values()) and 'reasoning' in TEMPLATES.get(name).drops:
        return  # a template without any place for it
    assert counts['none'] == 0
    assert counts['keep'] == 2
    assert counts['strip_history'] == 1


def test_every_exception_names_a_template():
    for kind in ('prefix', 'terminator', 'bos', 'single', 'unsaid'):
        assert set(EXCEPTIONS[kind]) <= set(NAMES), kind
