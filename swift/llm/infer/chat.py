"""An interactive chat in a terminal, or over a pipe.

It knows an engine and two text streams; it loads nothing and knows no flags. Ctrl-C stops the answer, not the
program; twice in a row at the prompt it leaves.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import io
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any, TextIO

from swift.llm.infer.base import Engine
from swift.llm.infer.records import record
from swift.llm.protocol import InferRequest, Message, RequestConfig
from swift.utils.errors import SwiftError

END_OF_INPUT = '#'  # ends a text of several lines
HELP = {
    'exit, quit': 'leave (also Ctrl-D)',
    'clear': 'forget the conversation',
    'multi-line': f"type several lines; '{END_OF_INPUT}' at the end of a line sends them",
    'single-line': 'back to one line',
    'reset-system': 'the next input becomes the system prompt (empty: the default); forgets the conversation',
    'Ctrl-C': 'stop the answer',
}
_COMMANDS = ('exit', 'quit', 'clear', 'multi-line', 'single-line', 'reset-system')


class Chat:
    """The state of one conversation.

    Args:
        engine: what answers.
        config: how to answer; with a seed, every turn draws from a seed of its own. ``stream`` shows pieces.
        system: system prompt; None leaves it to the template.
        stdin, stdout: where to read and write; the terminal unless given.
        on_turn: called with the record of each answered turn.
    """

    def __init__(self, engine: Engine, config: RequestConfig, *, system: str | None = None,
                 stdin: TextIO | None = None, stdout: TextIO | None = None,
                 on_turn: Callable[[dict[str, Any]], None] | None = None) -> None:
        self._engine = engine
        self._config = config
        self._system = system
        self._stdin = stdin or sys.stdin
        self._stdout = stdout or sys.stdout
        self._on_turn = on_turn
        self._history: list[Message] = []
        self._multi_line = False
        self._wants_system = False
        self._turns = 0

    def run(self) -> None:
        """Read and answer until ``exit`` or the end of the input.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed twice in a row at the prompt.
        """
        if isinstance(self._stdout, io.TextIOWrapper):  # an answer may hold what the terminal's encoding lacks
            self._stdout.reconfigure(errors='replace')
        interrupted = False
        while True:
            try:
                text = self._read()
                if text is None or not self._handle(text):
                    return
                interrupted = False
            except KeyboardInterrupt:
                if interrupted:
                    raise
                interrupted = True
                self._write("\n(Ctrl-C again, or 'exit', leaves.)\n")

    def _handle(self, text: str) -> bool:
        """Act on one input; False ends the chat."""
        command = text.strip().lower()
        if command in ('exit', 'quit'):
            return False
        if command == 'clear':
            self._history = []
        elif command in ('multi-line', 'single-line'):
            self._multi_line = command == 'multi-line'
        elif command == 'reset-system':
            self._wants_system = True
        elif self._wants_system:
            self._system, self._history, self._wants_system = text.strip() or None, [], False
        elif command:
            self._turn(text)
        return True

    # One turn

    def _turn(self, query: str) -> None:
        """Ask, show the answer, and remember both; Ctrl-C keeps what was said until then."""
        system = [] if self._system is None else [Message('system', self._system)]
        messages = [*system, *self._history, Message('user', query)]
        config = self._config
        if config.seed is not None:
            config = dataclasses.replace(config, seed=config.seed + self._turns)
        self._turns += 1
        pieces: list[str] = []
        stopped = False
        try:
            if config.stream:
                with closing(self._engine.stream(InferRequest(messages), config)) as chunks:
                    for chunk in chunks:
                        if chunk.index == 0:
                            pieces.append(chunk.delta)
                            self._write(chunk.delta)
            else:
                pieces.append(self._engine.infer([InferRequest(messages)], config)[0].text)
                self._write(pieces[0])
        except KeyboardInterrupt:
            stopped = True
            self._write('\n(stopped)')
        except SwiftError as e:
            self._write(f"{e}\n(Nothing was added to the conversation; 'clear' forgets it.)\n")
            return
        self._write('\n')
        answer = ''.join(pieces)
        if stopped and not answer:
            return
        self._history = [*self._history, Message('user', query), Message('assistant', answer)]
        if self._on_turn is not None:
            self._on_turn(record(messages, answer))

    # Streams

    def _write(self, text: str) -> None:
        self._stdout.write(text)
        self._stdout.flush()

    def _read(self) -> str | None:
        """One input, None at the end of all. In multi-line mode a command alone on the first line acts at once."""
        marks = ('M' if self._multi_line else '') + ('S' if self._wants_system else '')
        line = self._read_line('<<<' + (f'[{marks}] ' if marks else ' '))
        if line is None or not self._multi_line or line.strip().lower() in _COMMANDS:
            return line
        lines = []
        while line is not None and not line.rstrip().endswith(END_OF_INPUT):
            lines.append(line)
            line = self._read_line('')
        if line is not None:
            lines.append(line.rstrip().removesuffix(END_OF_INPUT))
        return '\n'.join(lines)

    def _read_line(self, prompt: str) -> str | None:
        if self._stdin is sys.stdin and self._stdin.isatty():
            if importlib.util.find_spec('readline'):  # not on every system; importing it gives input() a history
                importlib.import_module('readline')
            try:
                return _clean(input(prompt))
            except EOFError:
                self._write('\n')
                return None
        self._write(prompt)
        line = self._stdin.readline()
        return _clean(line.rstrip('\r\n')) if line else None


def _clean(text: str) -> str:
    """Bytes that were no UTF-8 arrive as lone surrogates, which no tokenizer takes."""
    return text.encode('utf-8', 'surrogateescape').decode('utf-8', 'replace')
