"""What happens inside one call of ``generate``: padding, random numbers, and what is done after each token.

Tensors and answers only; it knows no requests, no template and no model beyond its config.

Two things are ours because ``generate`` has them wrong for a padded batch or has no way for them: the repetition
penalty (padding would count as text), and one stopping criterion that assembles text, finds stop strings, keeps
limits, streams and cancels.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from transformers import LogitsProcessor, PreTrainedModel, StoppingCriteria

from swift.llm.infer.base import Answer

# Called with the row of a batch and the text that its newest token completed.
OnPiece = Callable[[int, str], None]


class Watch(StoppingCriteria):
    """After each token: feed the answers, hand out pieces, say which rows are done."""

    def __init__(self, answers: list[Answer], on_piece: OnPiece | None, cancelled: threading.Event | None) -> None:
        self._answers = answers
        self._on_piece = on_piece
        self._cancelled = cancelled

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: object) -> torch.Tensor:
        for row, (answer, token) in enumerate(zip(self._answers, input_ids[:, -1].tolist(), strict=True)):
            piece = answer.push(token)
            if piece and self._on_piece is not None:
                self._on_piece(row, piece)
        cancelled = self._cancelled is not None and self._cancelled.is_set()
        return torch.tensor([cancelled or answer.finish_reason is not None for answer in self._answers],
                            device=input_ids.device)


class WatchBeams(StoppingCriteria):
    """Stop strings in beam search, where a row holds another hypothesis at every step: each is decoded anew."""

    def __init__(self, decode: Callable[[list[int]], str], stop: tuple[str, ...], prompt_length: int,
                 cancelled: threading.Event | None) -> None:
        self._decode = decode
        self._stop = stop
        self._prompt_length = prompt_length
        self._cancelled = cancelled

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: object) -> torch.Tensor:
        done = [self._cancelled is not None and self._cancelled.is_set()] * len(input_ids)
        if self._stop:
            texts = [self._decode(ids) for ids in input_ids[:, self._prompt_length:].tolist()]
            done = [d or any(stop in text for stop in self._stop) for d, text in zip(done, texts, strict=True)]
        return torch.tensor(done, device=input_ids.device)


class RepetitionPenalty(LogitsProcessor):
    """Makes tokens of the prompt and of the answer less likely (Keskar et al. 2019, CTRL), the padding left out.

    Padding often shares its id with the end token: counted as text it would keep padded rows from ending.
    """

    def __init__(self, penalty: float, padding: list[int]) -> None:
        self._penalty = penalty
        self._padding = padding

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        # input_ids (R, T), scores (R, V); R is B, or B times beams or answers, rows of one prompt side by side
        each = len(input_ids) // len(self._padding)
        scores = scores.clone()
        for row in range(len(input_ids)):
            seen = input_ids[row, self._padding[row // each]:].unique()
            old = scores[row, seen]
            scores[row, seen] = torch.where(old < 0, old * self._penalty, old / self._penalty)
        return scores


def context_length(model: PreTrainedModel) -> int | None:
    """How many tokens the model reads, prompt and answer together; None when its config doesn't say."""
    values = model.config.get_text_config(decoder=True).to_dict()
    for name in ('max_position_embeddings', 'n_positions', 'n_ctx', 'seq_length', 'max_seq_len'):
        if isinstance(values.get(name), int) and values[name] > 0:
            return values[name]
    return None


def left_pad(prompts: list[list[int]], pad: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask, both ``(B, T)``, every prompt ending in the last column."""
    width = max(len(ids) for ids in prompts)
    ids = [[pad] * (width - len(ids)) + list(ids) for ids in prompts]
    mask = [[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


@contextmanager
def seeded(seed: int | None, device: torch.device) -> Iterator[None]:
    """Draw from ``seed`` inside the block and leave the global generators as they were; None changes nothing."""
    if seed is None:
        yield
        return
    on_cpu = device.type == 'cpu'
    with torch.random.fork_rng(devices=[] if on_cpu else [device], device_type='cuda' if on_cpu else device.type):
        torch.manual_seed(seed)
        yield
