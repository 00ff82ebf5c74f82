"""Which turns are trained, and how much: ``--loss_scale`` and the ``loss``/``loss_scale`` of single messages.

Knows messages only; where a turn stands in the text is the renderer's business.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from swift.llm.protocol import Message
from swift.utils.errors import RowError, UsageError
from swift.utils.registry import suggest


@dataclass(frozen=True)
class TurnWeights:
    """Weights in the loss.

    Attributes:
        turns: one weight a message, for its content and (assistant only) the terminator that follows it.
        control: the weight of every text between contents that ends no trained answer.
    """

    turns: tuple[float, ...]
    control: float = 0.0


def _assistant_turns(messages: Sequence[Message]) -> list[bool]:
    return [m.role == 'assistant' for m in messages]


def _last_round(messages: Sequence[Message]) -> list[bool]:
    last_question = max((i for i, m in enumerate(messages) if m.role == 'user'), default=-1)
    return [m.role == 'assistant' and i > last_question for i, m in enumerate(messages)]


def _everything(messages: Sequence[Message]) -> list[bool]:
    return [True] * len(messages)


STRATEGIES: dict[str, Callable[[Sequence[Message]], list[bool]]] = {
    'default': _assistant_turns,
    'last_round': _last_round,
    'all': _everything,
}


def check_strategy(strategy: str) -> None:
    """Raises UsageError when there is no such strategy."""
    if strategy not in STRATEGIES:
        raise UsageError(f'--loss_scale got {strategy!r}; it takes {", ".join(STRATEGIES)}.'
                         f'{suggest(strategy, STRATEGIES)}')


def turn_weights(messages: Sequence[Message], strategy: str) -> TurnWeights:
    """Weigh every message.

    A message's own ``loss`` beats the strategy, for every role; its ``loss_scale`` multiplies.

    Raises:
        RowError: a ``loss`` is not true or false, or a ``loss_scale`` is not a finite number >= 0.
    """
    chosen = STRATEGIES[strategy](messages)
    turns = tuple(_weight(i, m, by_strategy) for i, (m, by_strategy) in enumerate(zip(messages, chosen, strict=True)))
    return TurnWeights(turns, control=1.0 if strategy == 'all' else 0.0)


def _weight(index: int, message: Message, by_strategy: bool) -> float:
    if message.loss not in (None, True, False):  # 0 and 1 are equal to these and welcome
        raise RowError(f'message {index} has loss {message.loss!r}; it takes true or false')
    weight = float(by_strategy if message.loss is None else message.loss)
    if message.loss_scale is None:
        return weight
    if not isinstance(message.loss_scale, int | float) or not 0 <= message.loss_scale < math.inf:
        raise RowError(f'message {index} has loss_scale {message.loss_scale!r}; it takes a number, 0 or more')
    return weight * message.loss_scale
