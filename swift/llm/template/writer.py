"""Where a template writes a conversation: pieces that know who wrote them and what they weigh in the loss.

Every renderer that is not a checkpoint's own jinja writes through this, so a mask can't miss a word: what stands
between :meth:`Writer.begin` and :meth:`Writer.end` is one answer with its terminator, and is trained; the rest is not.
"""

from __future__ import annotations

from swift.llm.template.conversation import Turn
from swift.llm.template.loss_scale import TurnWeights
from swift.llm.template.segments import Rendered, Segment


class Writer:
    """Args:
        weights: of every message in the loss.
    """

    def __init__(self, weights: TurnWeights) -> None:
        self._weights = weights
        self._segments: list[Segment] = []
        self._answer: Turn | None = None

    def text(self, text: str) -> None:
        """The template's own words; only these may hold control tokens."""
        self._add(text, self._weights.control, 'control')

    def data(self, text: str) -> None:
        """What the caller gave apart from messages, such as the definitions of tools."""
        self._add(text, self._weights.control, 'system')

    def said(self, turn: Turn, text: str | None = None) -> None:
        """Words of a message: its content, or another ``text`` that its author gave (reasoning, a call's arguments)."""
        weight = self._weights.control if turn.role == 'assistant' else self._weights.turns[turn.index]
        self._add(turn.content if text is None else text, weight, turn.role)

    def begin(self, turn: Turn) -> None:
        """Here a prompt for this answer would end, and the answer starts."""
        self._answer = turn
        self._segments.append(Segment('', self._weights.turns[turn.index], 'assistant', True, turn.index))

    def end(self) -> None:
        """The answer has been ended: its terminator is written."""
        self._answer = None

    def rendered(self) -> Rendered:
        return Rendered.of(self._segments)

    def _add(self, text: str, weight: float, kind: str) -> None:
        if not text:
            return
        if self._answer is None:
            self._segments.append(Segment(text, weight, kind))
        else:
            self._segments.append(Segment(text, self._weights.turns[self._answer.index], kind,
                                          message=self._answer.index))
