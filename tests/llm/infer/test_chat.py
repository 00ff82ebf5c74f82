from __future__ import annotations

import io

import pytest

from swift.llm.infer.chat import Chat
from swift.llm.protocol import RequestConfig
from swift.utils.errors import SwiftError
from tests.llm.infer.scripted import ScriptedEngine

STREAM = RequestConfig(stream=True)


def chat(typed: str, *, engine: ScriptedEngine | None = None, config: RequestConfig = STREAM,
         system: str | None = None) -> tuple[str, ScriptedEngine, list[dict]]:
    engine = engine or ScriptedEngine()
    out, turns = io.StringIO(), []
    Chat(engine, config, system=system, stdin=io.StringIO(typed), stdout=out, on_turn=turns.append).run()
    return out.getvalue(), engine, turns


def asked(engine: ScriptedEngine) -> list[list[tuple[str, str]]]:
    return [[(m.role, m.content) for m in request.messages] for request, _ in engine.asked]


@pytest.mark.parametrize('config', [STREAM, RequestConfig(stream=False)])
def test_answers_and_remembers(config):
    shown, engine, turns = chat('hi\nmore\n', engine=ScriptedEngine(['hello', 'well']), config=config)
    assert shown == '<<< hello\n<<< well\n<<< '
    assert asked(engine)[1] == [('user', 'hi'), ('assistant', 'hello'), ('user', 'more')]
    assert [(t['query'], t['response'], t['history']) for t in turns] == \
        [('hi', 'hello', []), ('more', 'well', [['hi', 'hello']])]


@pytest.mark.parametrize('word', ['exit', 'quit', ' EXIT '])
def test_exit_leaves_before_the_rest(word):
    shown, engine, _ = chat(f'{word}\nnever\n')
    assert shown == '<<< '
    assert engine.asked == []


def test_empty_lines_ask_nothing():
    assert chat('\n   \n')[1].asked == []


def test_clear_forgets_the_conversation_but_not_the_system():
    _, engine, _ = chat('one\nclear\ntwo\n', system='be brief')
    assert asked(engine)[1] == [('system', 'be brief'), ('user', 'two')]


def test_multi_line_input_ends_with_a_hash():
    shown, engine, _ = chat('multi-line\nfirst\nsecond#\nsingle-line\nthird\n')
    assert asked(engine)[0] == [('user', 'first\nsecond')]
    assert asked(engine)[1][-1] == ('user', 'third')
    assert shown.startswith('<<< <<<[M] ')


def test_a_command_in_multi_line_mode_may_be_ended_too():
    assert chat('multi-line\nexit#\nnever#\n')[1].asked == []


def test_the_end_of_the_input_sends_an_unfinished_text():
    assert asked(chat('multi-line\nfirst\nsecond\n')[1]) == [[('user', 'first\nsecond')]]


def test_reset_system_takes_the_next_input_and_forgets():
    shown, engine, _ = chat('one\nreset-system\nbe kind\ntwo\n', system='be brief')
    assert asked(engine)[1] == [('system', 'be kind'), ('user', 'two')]
    assert '<<<[S] ' in shown


def test_reset_system_with_nothing_goes_back_to_the_default():
    _, engine, _ = chat('reset-system\n\ntwo\n', system='be brief')
    assert asked(engine)[0] == [('user', 'two')]


def test_reset_system_in_multi_line_mode():
    shown, engine, _ = chat('multi-line\nreset-system\nbe\nkind#\nhi#\n')
    assert asked(engine)[0] == [('system', 'be\nkind'), ('user', 'hi')]
    assert '<<<[MS] ' in shown


@pytest.mark.parametrize('config', [STREAM, RequestConfig(stream=False)])
def test_a_failed_turn_is_told_and_leaves_the_conversation_alone(config):
    engine = ScriptedEngine([SwiftError('too long a prompt'), 'fine'])
    shown, engine, turns = chat('one\ntwo\n', engine=engine, config=config)
    assert 'too long a prompt' in shown
    assert asked(engine)[1] == [('user', 'two')]
    assert len(turns) == 1


def test_ctrl_c_during_an_answer_keeps_what_was_said():
    class Interrupted(ScriptedEngine):
        def _stream(self, request, config):
            for i, chunk in enumerate(super()._stream(request, config)):
                if i == 3:
                    raise KeyboardInterrupt
                yield chunk

    shown, engine, turns = chat('abcdef\nclear\nxy\n', engine=Interrupted())
    assert '<<< abc\n(stopped)\n' in shown
    assert [turn['response'] for turn in turns] == ['abc', 'xy']


def test_ctrl_c_before_the_first_word_drops_the_question():
    _, engine, turns = chat('one\ntwo\n', engine=ScriptedEngine([KeyboardInterrupt(), 'fine']))
    assert asked(engine)[1] == [('user', 'two')]
    assert len(turns) == 1


class Keys(io.StringIO):
    """A terminal on which each entry is a line or a Ctrl-C."""

    def __init__(self, *keys: str | None) -> None:
        super().__init__()
        self._keys = iter(keys)

    def readline(self, size: int = -1) -> str:
        key = next(self._keys, '')
        if key is None:
            raise KeyboardInterrupt
        return key


def test_one_ctrl_c_at_the_prompt_hints_and_two_leave():
    out = io.StringIO()
    Chat(ScriptedEngine(), STREAM, stdin=Keys(None, 'hi\n', None, 'exit\n'), stdout=out).run()
    assert out.getvalue().count('Ctrl-C again') == 2
    with pytest.raises(KeyboardInterrupt):
        Chat(ScriptedEngine(), STREAM, stdin=Keys(None, None), stdout=io.StringIO()).run()


def test_each_turn_draws_from_its_own_seed():
    _, engine, _ = chat('one\ntwo\n', config=RequestConfig(stream=True, seed=7))
    assert [config.seed for _, config in engine.asked] == [7, 8]


def test_bytes_that_are_no_text_do_not_end_the_chat():
    _, engine, _ = chat('a\udcffb\n')
    assert asked(engine)[0] == [('user', 'a\ufffdb')]


def test_a_terminal_without_the_characters_of_an_answer_goes_on():
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, 'ascii')
    Chat(ScriptedEngine(['né']), STREAM, stdin=io.StringIO('hi\n'), stdout=out).run()
    assert b'n?' in raw.getvalue()
