"""An engine over ``transformers``' own ``generate``, for any device.

It knows one model, one tokenizer and one template; it reads no command line and writes no file. Requests of one call
share left-padded batches; one generation runs at a time.

The checkpoint's generation config gives what a request leaves open, as in plain ``generate``.
"""

from __future__ import annotations

import copy
import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteriaList,
)

from swift.llm.args.groups import ModelArgs, TemplateArgs
from swift.llm.infer.base import Answer, Engine, check_config, response_of
from swift.llm.infer.decoding import OnPiece, RepetitionPenalty, Watch, WatchBeams, context_length, left_pad, seeded
from swift.llm.model.load import load_model
from swift.llm.protocol import InferRequest, InferResponse, RequestConfig, StreamChunk, Usage
from swift.llm.template.encode import Template, make_template
from swift.tuners.api import Adapted, Swift, base_model
from swift.tuners.prompts import generation_inputs, virtual_tokens
from swift.utils.errors import SwiftError, UsageError
from swift.utils.logging import get_logger

logger = get_logger()


@dataclass(frozen=True)
class _Prompt:
    ids: list[int]
    limit: int  # at most this many new tokens


class TransformersEngine(Engine):
    """Load a checkpoint and answer with it.

    Args:
        model_id_or_path: a registered name, a hub id or a local folder.
        adapters: folder of an adapter to put on the model, at most one for now.
        template: name of a chat template; ``auto`` takes the checkpoint's own.
        system: system prompt of requests that bring none; None leaves it to the template.
        torch_dtype: ``auto``, ``float32``, ``float16`` or ``bfloat16``.
        max_batch_size: requests that are generated together.
    """

    def __init__(self, model_id_or_path: str, *, adapters: Sequence[str] = (), template: str = 'auto',
                 system: str | None = None, torch_dtype: str = 'auto', max_batch_size: int = 1) -> None:
        loaded = load_model(ModelArgs(model=model_id_or_path, torch_dtype=torch_dtype), training=False)
        model = put_adapters(loaded.model, adapters)
        template_args = TemplateArgs(template=template, system=system, max_length=-1)
        self._set_up(model, loaded.tokenizer, make_template(template_args, loaded.tokenizer, loaded.family, task='sft'),
                     name=Path(model_id_or_path).name, max_batch_size=max_batch_size)

    @classmethod
    def from_parts(cls, model: PreTrainedModel | Adapted, tokenizer: PreTrainedTokenizerBase, template: Template, *,
                   name: str = 'model', max_batch_size: int = 1) -> TransformersEngine:
        """An engine over what is loaded already, for instance the model that is being trained."""
        engine = cls.__new__(cls)
        engine._set_up(model, tokenizer, template, name=name, max_batch_size=max_batch_size)
        return engine

    def _set_up(self, model: PreTrainedModel | Adapted, tokenizer: PreTrainedTokenizerBase, template: Template, *,
                name: str, max_batch_size: int) -> None:
        if max_batch_size < 1:
            raise UsageError(f'--max_batch_size is {max_batch_size}; it takes at least 1.')
        self.model = model
        self.tokenizer = tokenizer
        self.template = template
        self.max_batch_size = max_batch_size
        self._name = name
        # The transformers model inside: peft hands generate() on to it, and its generation config is the one in force.
        self._inner = base_model(model)
        self._defaults = copy.deepcopy(self._inner.generation_config)
        self._special = {token.content: i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
        self._virtual = virtual_tokens(model)
        self._context = context_length(self._inner)
        self._one_at_a_time = threading.Lock()
        self._said_clamped = False

    def models(self) -> list[str]:
        return [self._name]

    @property
    def default_temperature(self) -> float:
        """What the checkpoint samples with when a request only says that it wants sampling."""
        return self._defaults.temperature or 1.0

    # The two calls of the interface

    def infer(self, requests: Sequence[InferRequest], config: RequestConfig | None = None) -> list[InferResponse]:
        config = config or RequestConfig()
        check_config(config)
        responses: list[InferResponse | None] = [None] * len(requests)
        good: list[tuple[int, _Prompt]] = []
        for index, request in enumerate(requests):
            try:
                good.append((index, self._prepare(request, config)))
            except SwiftError as e:
                responses[index] = InferResponse(error=str(e))
        for start in range(0, len(good), self.max_batch_size):
            batch = good[start:start + self.max_batch_size]
            for (index, _), response in zip(batch, self._infer_batch([p for _, p in batch], config), strict=True):
                responses[index] = response
        return responses

    def stream(self, request: InferRequest, config: RequestConfig | None = None) -> Generator[StreamChunk]:
        config = config or RequestConfig()
        check_config(config)
        return self._stream(self._prepare(request, config), config)

    def _stream(self, prompt: _Prompt, config: RequestConfig) -> Generator[StreamChunk]:
        """Generate in a thread and hand out pieces as they come; an exception there is raised here."""
        pieces: queue.SimpleQueue[tuple[int, str] | list[Answer] | BaseException] = queue.SimpleQueue()
        cancelled = threading.Event()

        def work() -> None:
            try:
                pieces.put(self._generate([prompt], config, cancelled=cancelled,
                                          on_piece=lambda row, text: pieces.put((row, text)))[0])
            except BaseException as e:  # noqa: B036  it belongs to the caller, who waits in the other thread
                pieces.put(e)

        worker = threading.Thread(target=work, name='swift-generate', daemon=True)
        worker.start()
        given = [0] * config.n
        alike = not self._samples(config)  # greedy answers: one row is generated and shown n times
        try:
            while isinstance(piece := pieces.get(), tuple):
                row, text = piece
                for index in range(config.n) if alike else (row,):
                    given[index] += len(text)
                    yield StreamChunk(text, index)
            if isinstance(piece, BaseException):
                raise piece
            for index, answer in enumerate(piece):  # with beams nothing was shown yet
                yield StreamChunk(answer.text[given[index]:], index, answer.choice(index).finish_reason,
                                  Usage(len(prompt.ids), answer.produced))
        finally:
            cancelled.set()
            worker.join()

    # From a request to tokens

    def _prepare(self, request: InferRequest, config: RequestConfig) -> _Prompt:
        """The prompt as ids, and how many tokens may follow.

        Raises:
            SwiftError: this request can't be answered.
        """
        if not request.messages:
            raise SwiftError('The request has no messages.')
        if request.messages[-1].role == 'assistant':
            raise SwiftError("The last message is the assistant's; there is nothing to answer.")
        ids = self.template.encode_prompt(request.messages, request.tools)
        if self._context is None:
            if config.max_tokens is None:
                raise SwiftError("The model's config names no context length; set --max_new_tokens (max_tokens).")
            return _Prompt(ids, config.max_tokens)
        room = self._context - self._virtual - len(ids)
        if room < 1:
            taken = f', {self._virtual} of them taken by the adapter' if self._virtual else ''
            raise SwiftError(f'The prompt has {len(ids)} tokens, which leaves no room for an answer: the model reads '
                             f'{self._context} tokens{taken}. Shorten it or clear the history.')
        if config.max_tokens is not None and config.max_tokens > room and not self._said_clamped:
            self._said_clamped = True
            logger.warning('max_tokens is %d, but after a prompt of %d tokens the model has room for %d; answers end '
                           'there. (Said once.)', config.max_tokens, len(ids), room)
        return _Prompt(ids, min(config.max_tokens or room, room))

    def _infer_batch(self, prompts: list[_Prompt], config: RequestConfig) -> list[InferResponse]:
        """One batch; when it doesn't fit in memory it is halved, and only a prompt too large alone fails."""
        try:
            groups = self._generate(prompts, config)
        except torch.OutOfMemoryError:
            if len(prompts) == 1:
                return [InferResponse(error=f'Out of memory with a prompt of {len(prompts[0].ids)} tokens and up to '
                                            f'{prompts[0].limit} new ones; lower --max_new_tokens or shorten it.')]
            if torch.accelerator.is_available():
                torch.accelerator.empty_cache()
            logger.warning('A batch of %d requests does not fit in memory; going on with halves of it. '
                           '--max_batch_size %d avoids this.', len(prompts), len(prompts) // 2)
            half = len(prompts) // 2
            return self._infer_batch(prompts[:half], config) + self._infer_batch(prompts[half:], config)
        return [response_of(group, len(prompt.ids)) for prompt, group in zip(prompts, groups, strict=True)]

    def _generate(self, prompts: list[_Prompt], config: RequestConfig, *, on_piece: OnPiece | None = None,
                  cancelled: threading.Event | None = None) -> list[list[Answer]]:
        """Answers of each prompt: ``[len(prompts)][config.n]``."""
        stop_ids, stop = self._stops(config)
        copies = config.n if config.num_beams > 1 or self._samples(config) else 1
        settings = self._generation_config(config, stop_ids, copies, max(prompt.limit for prompt in prompts))
        rows = [Answer(self.template.decode, stop_ids=stop_ids, stop=stop, limit=prompt.limit)
                for prompt in prompts for _ in range(copies)]
        device = self._inner.get_input_embeddings().weight.device
        input_ids, mask = left_pad([prompt.ids for prompt in prompts], settings.pad_token_id, device)  # (B, T) both
        padding = (mask == 0).sum(1).tolist()  # pad tokens before each prompt
        beams = config.num_beams > 1
        width = self._virtual + input_ids.shape[1]
        watch = WatchBeams(self.template.decode, stop, width, cancelled) if beams else Watch(rows, on_piece, cancelled)
        processors = LogitsProcessorList()
        if (penalty := self._penalty(config)) != 1:
            processors.append(RepetitionPenalty(penalty, [self._virtual + pads for pads in padding]))
        with self._one_at_a_time, seeded(config.seed, device), self._ready(settings):
            # position ids follow from the mask inside generate: 0 at each row's first real token
            inputs = {'input_ids': input_ids, 'attention_mask': mask}
            if self._virtual:
                inputs = generation_inputs(self.model, input_ids, mask, copies=max(config.num_beams, copies))
            out = (self._inner if self._virtual else self.model).generate(
                **inputs, generation_config=settings, logits_processor=processors,
                stopping_criteria=StoppingCriteriaList([watch]))
        if beams:  # hypotheses swap rows while they grow, so the answers are read at the end
            for answer, ids in zip(rows, out[:, width:].tolist(), strict=True):
                for token in ids:
                    answer.push(token)
        return [rows[i * copies:(i + 1) * copies] * (config.n // copies) for i in range(len(prompts))]

    # Settings

    def _samples(self, config: RequestConfig) -> bool:
        """Whether tokens are drawn: a temperature decides, then a typed top-k or top-p, then the checkpoint."""
        if config.temperature is not None:
            return config.temperature > 0
        return config.top_k is not None or config.top_p is not None or bool(self._defaults.do_sample)

    def _penalty(self, config: RequestConfig) -> float:
        given = config.repetition_penalty
        return (self._defaults.repetition_penalty or 1.0) if given is None else given

    def _stops(self, config: RequestConfig) -> tuple[frozenset[int], tuple[str, ...]]:
        """End tokens and stop strings; a stop string that is one special token becomes an id (it has no text)."""
        own = self._defaults.eos_token_id
        ids = {*self.template.stop_ids, *([own] if isinstance(own, int) else own or ())}
        strings = []
        for text in dict.fromkeys((*self.template.stop_words, *(self._defaults.stop_strings or ()), *config.stop)):
            if text in self._special:
                ids.add(self._special[text])
            else:
                strings.append(text)
        return frozenset(ids), tuple(strings)

    def _generation_config(self, config: RequestConfig, stop_ids: frozenset[int], copies: int,
                           max_new_tokens: int) -> GenerationConfig:
        """The checkpoint's generation config with what the request sets; settings that have no effect are unset."""
        settings = copy.deepcopy(self._defaults)
        samples = self._samples(config)
        pad = self.tokenizer.pad_token_id
        settings.do_sample, settings.num_beams, settings.num_return_sequences = samples, config.num_beams, copies
        settings.max_new_tokens, settings.max_length = max_new_tokens, None
        settings.eos_token_id = sorted(stop_ids) or None
        settings.pad_token_id = pad if pad is not None else min(stop_ids, default=0)
        settings.use_cache = True  # training may have turned it off
        settings.stop_strings = settings.repetition_penalty = None  # ours
        if not samples:
            settings.temperature = settings.top_k = settings.top_p = settings.min_p = settings.typical_p = None
            settings.epsilon_cutoff = settings.eta_cutoff = None
        if samples and config.temperature is not None:
            settings.temperature = config.temperature
        if samples and config.top_k is not None:
            settings.top_k = config.top_k
        if samples and config.top_p is not None:
            settings.top_p = config.top_p
        if config.num_beams == 1:
            settings.early_stopping = settings.length_penalty = None
        return settings

    @contextmanager
    def _ready(self, settings: GenerationConfig) -> Iterator[None]:
        """For one call: evaluation mode, and ``settings`` in the model's place for them.

        ``generate`` fills whatever is unset from the model's generation config, so unsetting something there needs
        the model's own out of the way.
        """
        training, own = self.model.training, self._inner.generation_config
        self.model.eval()
        self._inner.generation_config = settings
        try:
            yield
        finally:
            self._inner.generation_config = own
            if training:
                self.model.train()


def put_adapters(model: PreTrainedModel, adapters: Sequence[str]) -> PreTrainedModel | Adapted:
    """``model`` with an adapter on it, or itself when there is none.

    Raises:
        UsageError: several adapters, or a folder that holds none.
    """
    if len(adapters) > 1:
        raise UsageError(f"--adapters got {len(adapters)} folders; several at once aren't there yet, give one.")
    return Swift.from_pretrained(model, adapters[0]) if adapters else model
