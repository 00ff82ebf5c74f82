"""An engine without a model: it says what it was told to say, through the same text assembly as a real one."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

from swift.llm.infer.base import Answer, Engine, check_config, response_of
from swift.llm.protocol import InferRequest, InferResponse, RequestConfig, StreamChunk, Usage
from swift.utils.errors import SwiftError

END = 0x110000  # no character: the id that ends an answer


def decode(ids: list[int]) -> str:
    return ''.join(map(chr, ids))


class ScriptedEngine(Engine):
    """Tokens are characters. An answer is the script's next one, or an echo of the question.

    A script entry that is an exception fails that request: SwiftError stays in it, anything else is raised.
    """

    def __init__(self, script: Sequence[str | BaseException] = ()) -> None:
        self._script: Iterator[str | BaseException] = iter(script)
        self.asked: list[tuple[InferRequest, RequestConfig]] = []
        self.closed_streams = 0

    def models(self) -> list[str]:
        return ['scripted']

    def infer(self, requests: Sequence[InferRequest], config: RequestConfig | None = None) -> list[InferResponse]:
        config = config or RequestConfig()
        check_config(config)
        responses = []
        for request in requests:
            try:
                text = self._next(request, config)
            except SwiftError as e:
                responses.append(InferResponse(error=str(e)))
                continue
            answers = [self._answer(config) for _ in range(config.n)]
            for answer in answers:
                for token in self._tokens(text):
                    answer.push(token)
            responses.append(response_of(answers, len(request.messages[-1].content)))
        return responses

    def stream(self, request: InferRequest, config: RequestConfig | None = None) -> Generator[StreamChunk]:
        config = config or RequestConfig()
        check_config(config)
        return self._stream(request, config)

    def _stream(self, request: InferRequest, config: RequestConfig) -> Generator[StreamChunk]:
        text = self._next(request, config)
        try:
            for index in range(config.n):
                answer = self._answer(config)
                for token in self._tokens(text):
                    if piece := answer.push(token):
                        yield StreamChunk(piece, index)
                yield StreamChunk('', index, answer.finish_reason,
                                  Usage(len(request.messages[-1].content), answer.produced))
        finally:
            self.closed_streams += 1

    def _next(self, request: InferRequest, config: RequestConfig) -> str:
        self.asked.append((request, config))
        if not request.messages or request.messages[-1].role == 'assistant':
            raise SwiftError('there is nothing to answer')
        said = next(self._script, request.messages[-1].content)
        if isinstance(said, BaseException):
            raise said
        return said

    @staticmethod
    def _tokens(text: str) -> list[int]:
        return [*map(ord, text), END]

    @staticmethod
    def _answer(config: RequestConfig) -> Answer:
        return Answer(decode, stop_ids={END}, stop=config.stop, limit=config.max_tokens or 10**6)
