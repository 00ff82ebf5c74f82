"""Renderings with the contents taken out: what a template wrote, what somebody else wrote, where answers stand.

Pure text. A slot is a private-use character that stands for a piece of content; a skeleton is a rendering with slots
in it. Nothing here renders anything or knows jinja or tokenizers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Slot:
    """A piece of content that one private-use character stands for.

    Attributes:
        message: index of the message, -1 for the tool definitions.
        kind: whose content it is.
        text: the piece.
        before, after: what the same content says next to it, where that was left in place.
    """

    message: int
    kind: str
    text: str
    before: str = ''
    after: str = ''

    def forms(self) -> tuple[str, ...]:
        """What a template may have made of the text, the plainest first."""
        text = self.text
        return tuple(dict.fromkeys((
            text, text.strip(), text.strip('\n'), text.lstrip(), text.rstrip(), text.lstrip('\n'), text.rstrip('\n'),
            json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1])))


@dataclass(frozen=True)
class View:
    """A conversation with contents taken out: slot ``k`` is the character ``chr(base + k)``.

    ``options`` are the variables that the template is rendered with.
    """

    chat: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    slots: tuple[Slot, ...]
    base: int
    options: Mapping[str, Any] = field(default_factory=dict)

    def slot(self, character: str) -> Slot | None:
        index = ord(character) - self.base
        return self.slots[index] if 0 <= index < len(self.slots) else None

    def places(self, text: str, turn: int) -> list[int]:
        """Where the slots of one message stand."""
        return [p for p, c in enumerate(text) if (slot := self.slot(c)) and slot.message == turn]

    def last_slot(self, text: str, end: int | None = None) -> int:
        """Where the last slot before ``end`` stands, -1 if there is none."""
        return next((p for p in range((len(text) if end is None else end) - 1, -1, -1) if self.slot(text[p])), -1)


@dataclass(frozen=True)
class Run:
    """A stretch of a skeleton: a slot (``slot`` >= 0) or what the template wrote, and the message that weighs it."""

    text: str
    kind: str
    turn: int = -1
    slot: int = -1
    begins_answer: bool = False


@dataclass(frozen=True)
class Answer:
    """Where an answer stands in a skeleton: [start, tail) without its terminator, and what is written after it.

    ``closing`` reaches to the end of a conversation that is cut after the answer; None if that is unknown.
    """

    start: int
    tail: int
    closing: str | None


def find_answer(view: View, text: str, turn: int, before: str | None, after: str | None) -> Answer | str | None:
    """Find the answer of ``turn`` in the skeleton ``text``, or say why it can't be found; None for an empty one.

    Args:
        before: the skeleton of the conversation before the answer, with a generation prompt.
        after: the skeleton of the conversation up to and with the answer.
    """
    own = view.places(text, turn)
    if after is not None:
        own = own[:len(view.places(after, turn))]  # a later tool result may repeat the name of the call
    start = _serving_start(view, text, own[0] if own else len(text), before)
    if not own:
        if start is None and (view.chat[turn]['content'].strip() or view.chat[turn].get('tool_calls')):
            return f'the answer in message {turn} leaves no text of its own'
        if start is None:
            return None
        closing = after[len(before):] if after is not None and after.startswith(before) else None
        return Answer(start, start, closing)
    first, last = own[0], own[-1]
    if any((slot := view.slot(c)) and slot.message != turn for c in text[first:last]):
        return f'the answer in message {turn} is written in several places'
    end = view.last_slot(after) if after is not None else -1
    closing = after[end + 1:] if end >= 0 and after[end] == text[last] else None
    return Answer(first if start is None else start, last + 1, closing)


def _serving_start(view: View, text: str, limit: int, before: str | None) -> int | None:
    """Where in ``text``, at most at ``limit``, the prompt ends that a server would send; None if it is not in there."""
    if before is None:
        return None
    if text.startswith(before):
        return len(before) if len(before) <= limit else None
    # The conversation so far is written differently when an answer follows. What is written between its last
    # content and the answer is compared instead.
    serving = view.last_slot(before)
    anchor = text.rfind(before[serving], 0, limit) if serving >= 0 else -1
    start = anchor + len(before) - serving
    if anchor >= 0 and start <= limit and text.startswith(before[serving:], anchor):
        return start
    return None


def cut_runs(view: View, text: str, regions: Mapping[int, tuple[int, int]], begins: Set[int]) -> Iterator[Run]:
    """Cut a skeleton at its slots, at the ends of answers, and where a content begins or ends with a marker."""
    owners = [('control', -1, -1)] * len(text)
    for turn, (start, end) in regions.items():
        owners[start:end] = [('control', turn, -1)] * (end - start)
    for p, character in enumerate(text):
        slot = view.slot(character)
        if slot is None:
            continue
        if slot.before and text.endswith(slot.before, 0, p):
            owners[p - len(slot.before):p] = [(slot.kind, slot.message, -1)] * len(slot.before)
        if slot.after and text.startswith(slot.after, p + 1):
            owners[p + 1:p + 1 + len(slot.after)] = [(slot.kind, slot.message, -1)] * len(slot.after)
        if slot.kind == 'assistant' and owners[p][1] != slot.message:
            owners[p] = slot.kind, -1, ord(character) - view.base  # repeated outside of its answer
        else:
            owners[p] = slot.kind, slot.message, ord(character) - view.base
    start = 0
    for p in range(1, len(text) + 1):
        if p == len(text) or owners[p] != owners[start] or owners[p][2] >= 0 or p in begins:
            yield Run(text[start:p], *owners[start], start in begins)
            start = p


def fill(runs: Sequence[Run], slots: Sequence[Slot], real: str) -> list[str] | None:
    """The form of every slot, in order, with which the runs become exactly ``real``; None if there is none."""
    literals, choices = [''], []
    for run in runs:
        if run.slot < 0:
            literals[-1] += run.text
        else:
            choices.append(slots[run.slot].forms())
            literals.append('')
    if not choices:
        return [] if literals[0] == real else None
    if not real.startswith(literals[0]):
        return None
    at, chosen, open_choices = [len(literals[0])], [], [iter(choices[0])]
    dead: set[tuple[int, int]] = set()  # (slot, position) from which no way leads to the end
    while open_choices:
        k = len(open_choices) - 1
        for form in open_choices[k]:
            following = at[k] + len(form) + len(literals[k + 1])
            if not real.startswith(form + literals[k + 1], at[k]) or (k + 1, following) in dead:
                continue
            if k + 1 < len(choices):
                chosen.append(form)
                at.append(following)
                open_choices.append(iter(choices[k + 1]))
                break
            if following == len(real):
                return [*chosen, form]
        else:
            dead.add((k, at.pop()))
            open_choices.pop()
            if chosen:
                chosen.pop()
    return None
