"""The one interface of everything that answers, and how answers are put together from tokens.

It knows tokens, text and stop strings; it knows no model, no template format and no caller.

``stream`` is a plain iterator: the command line and batch code read it directly, and a server's event loop can move
it off its thread by pulling one item at a time (``await asyncio.to_thread(next, chunks, None)``). An async iterator
would make every plain caller run a loop of its own. Closing the iterator stops the generation in both worlds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Sequence

from swift.llm.protocol import (
    Choice,
    FinishReason,
    InferRequest,
    InferResponse,
    Message,
    RequestConfig,
    StreamChunk,
    Usage,
)
from swift.utils.errors import UsageError

_REPLACEMENT = '\ufffd'  # what a tokenizer writes for bytes that are no whole UTF-8 character (yet)


class Engine(ABC):
    """Turns requests into responses; knows the template, not the caller."""

    @abstractmethod
    def infer(self, requests: Sequence[InferRequest], config: RequestConfig | None = None) -> list[InferResponse]:
        """Answer every request; one response a request, in order.

        A request that can't be answered gives ``InferResponse(error=...)`` and leaves the others alone.

        Raises:
            UsageError: a value of ``config`` is out of range; it would be wrong for every request.
        """

    @abstractmethod
    def stream(self, request: InferRequest, config: RequestConfig | None = None) -> Generator[StreamChunk]:
        """Answer one request in pieces; the pieces of one choice joined are the text that ``infer`` gives.

        The work starts at the first ``next``. Closing the iterator stops it.

        Raises:
            UsageError: a value of ``config`` is out of range.
            SwiftError: the request can't be answered.
        """

    @abstractmethod
    def models(self) -> list[str]:
        """Names that a caller may ask for; the first is the one in use."""

    def close(self) -> None:  # noqa: B027  an engine without resources has nothing to give back
        """Give back what the engine holds; it can't be used afterwards."""

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def check_config(config: RequestConfig) -> None:
    """Check the ranges of a request's settings.

    Raises:
        UsageError: names the setting, what it got and what it takes.
    """
    rules = (
        ('max_tokens', config.max_tokens is None or config.max_tokens >= 1, 'at least 1'),
        ('temperature', config.temperature is None or 0 <= config.temperature < float('inf'), '0 (greedy) or more'),
        ('top_k', config.top_k is None or config.top_k >= 0, '0 (all tokens) or more'),
        ('top_p', config.top_p is None or 0 < config.top_p <= 1, 'above 0 and at most 1'),
        ('repetition_penalty', config.repetition_penalty is None or 0 < config.repetition_penalty < float('inf'),
         'above 0 (1 is off)'),
        ('num_beams', config.num_beams >= 1, 'at least 1'),
        ('n', config.n >= 1, 'at least 1'),
        ('n', config.num_beams == 1 or config.n <= config.num_beams, f'at most num_beams ({config.num_beams})'),
        ('stop', '' not in config.stop, 'strings that are not empty'),
        ('seed', config.seed is None or 0 <= config.seed < 2 ** 63, '0 or more'),
    )
    wrong = [f'{name} is {getattr(config, name)!r}; it takes {takes}' for name, fine, takes in rules if not fine]
    if wrong:
        raise UsageError('; '.join(wrong) + '.')


class Detokenizer:
    """Token ids to text, piece by piece, never half a character.

    The last piece is decoded again together with the new tokens, because a tokenizer may write a token differently
    at the start of a text (a leading space) than inside it. Ids are kept back while their text ends in a replacement
    character: the rest of a UTF-8 character is still to come.

    Args:
        decode: ids to text, special tokens left out.
    """

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._known: list[int] = []  # ids whose text was given last: context for the next piece
        self._new: list[int] = []  # ids whose text was not given yet

    def push(self, token: int) -> str:
        """The text that ``token`` completes; empty while a character is unfinished."""
        self._new.append(token)
        piece = self._piece()
        if not piece or piece.endswith(_REPLACEMENT):
            return ''
        self._known, self._new = self._new, []
        return piece

    def finish(self) -> str:
        """What was kept back; bytes that never became a character show as U+FFFD."""
        piece = self._piece() if self._new else ''
        self._known, self._new = [], []
        return piece

    def _piece(self) -> str:
        return self._decode(self._known + self._new)[len(self._decode(self._known)):]


class Answer:
    """One answer while it grows: text without end token and stop strings, and why it ended.

    What has been handed out is never taken back: text that might be the start of a stop string waits.

    Args:
        decode: ids to text, special tokens left out.
        stop_ids: tokens that end the answer.
        stop: strings that end the answer, not part of it.
        limit: at most this many tokens.
    """

    def __init__(self, decode: Callable[[list[int]], str], *, stop_ids: Iterable[int], stop: Sequence[str],
                 limit: int) -> None:
        self._detokenizer = Detokenizer(decode)
        self._stop_ids = frozenset(stop_ids)
        self._stop = tuple(stop)
        self._limit = limit
        self._text = ''
        self._given = 0  # characters of the text that were handed out
        self._ids: list[int] = []
        self._starts: list[int] = []  # length of the text before each token
        self.produced = 0  #: tokens that the model made, with the one that ended the answer
        self.finish_reason: FinishReason | None = None

    @property
    def text(self) -> str:
        return self._text

    @property
    def token_ids(self) -> tuple[int, ...]:
        return tuple(self._ids)

    def push(self, token: int) -> str:
        """Add a token; the text that may be shown now. Tokens after the end are ignored (padding of a batch)."""
        if self.finish_reason is not None:
            return ''
        self.produced += 1
        if token in self._stop_ids:
            return self._end('stop')
        self._ids.append(token)
        self._starts.append(len(self._text))
        self._text += self._detokenizer.push(token)
        if self._cut():
            return self._give(len(self._text))
        if self.produced >= self._limit:
            return self._end('length')
        return self._give(len(self._text) - self._held())

    def _end(self, reason: FinishReason) -> str:
        self.finish_reason = reason
        self._text += self._detokenizer.finish()
        self._cut()
        return self._give(len(self._text))

    def _cut(self) -> bool:
        """End the text before the first stop string, if there is one."""
        found = [at for at in (self._text.find(stop, self._given) for stop in self._stop) if at >= 0]
        if not found:
            return False
        self._text = self._text[:min(found)]
        self._ids = [token for token, start in zip(self._ids, self._starts, strict=True) if start < len(self._text)]
        self.finish_reason = 'stop'
        return True

    def _held(self) -> int:
        """How many last characters could be the start of a stop string."""
        fresh = self._text[self._given:]
        longest = min(len(fresh), max((len(stop) for stop in self._stop), default=1) - 1)
        for length in range(longest, 0, -1):
            if any(stop.startswith(fresh[-length:]) for stop in self._stop):
                return length
        return 0

    def _give(self, until: int) -> str:
        piece = self._text[self._given:until]
        self._given = max(self._given, until)
        return piece

    def choice(self, index: int) -> Choice:
        """The finished answer. One that was stopped from outside counts as stopped."""
        return Choice(index, Message('assistant', self._text), self.finish_reason or 'stop', self.token_ids)


def response_of(answers: Sequence[Answer], prompt_tokens: int) -> InferResponse:
    """The answers to one request as its response."""
    return InferResponse(tuple(answer.choice(i) for i, answer in enumerate(answers)),
                         Usage(prompt_tokens, sum(answer.produced for answer in answers)))
