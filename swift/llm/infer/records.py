"""What a result file holds: one JSON object a line, one line an answered conversation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from swift.llm.protocol import Message


def record(prompt: Sequence[Message], response: str | None, *, label: str | None = None,
           error: str | None = None) -> dict[str, Any]:
    """One line of a result file.

    Args:
        prompt: the conversation as it was asked.
        response: the answer; None when there was an ``error``.
        label: the answer that the data set has.
        error: why there is no answer.
    """
    turns = [m for m in prompt if m.role != 'system']
    system = next((m.content for m in prompt if m.role == 'system'), None)
    before = turns[:-1]
    history = [[q.content, a.content] for q, a in zip(before[::2], before[1::2], strict=False)]
    answered = [] if response is None else [Message('assistant', response)]
    value = {'system': system, 'query': turns[-1].content if turns else '', 'response': response, 'label': label,
             'history': history, 'messages': [m.to_dict() for m in (*prompt, *answered)]}
    if error is not None:
        value['error'] = error
    return value
