"""Text with weights -> token ids with weights, such that no content can forge a control token.

A text is tokenised whole, so that ids equal those of ``apply_chat_template``, and is cut in two cases only, its
parts being tokenised on their own. Where an added token was matched in what somebody wrote, it is cut inside the
match. Where a prompt that ends before an answer would have other tokens than the whole text has (``ASSISTANT: `` and
``Yes`` share the token `` Yes``), it is cut there, so that training sees the prompt that a server sends and all words
of the answer are trained. Only white space with which a content starts may stay merged with that of the prompt.

Fast tokenizers say where every token starts; with a slow one the segments are tokenised one by one, so words may be
split differently at their borders. Knows nothing about messages or templates.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerBase

from swift.llm.template.byte_level import ByteLevel
from swift.llm.template.chat_template import ChatTemplate, WrittenTemplate
from swift.llm.template.segments import KINDS, REASONING_TAGS, Controls, Rendered
from swift.utils.errors import RowError

_CONTROL, _ASSISTANT = KINDS.index('control'), KINDS.index('assistant')
_ROUNDS = 16  # of cutting; every round that cuts anything makes a match shorter
_HTML = re.compile(r'</?(?:table|caption|thead|tbody|tfoot|tr|th|td|h[1-6]|blockquote|strong|em|b|i|u|s|sub|sup|code|'
                   r'p|br|ul|ol|li|dl|dt|dd|div|span|a|pre)>')


@dataclass(frozen=True)
class Encoded:
    """A tokenised row.

    Attributes:
        input_ids: int32 [T].
        weights: float32 [T]; the weight of token t as a target, 0 for what is not trained. The first is always 0
            in what :meth:`Template.encode` returns.
        kinds: uint8 [T]; index into ``segments.KINDS`` of whose text the token is, None where it was not kept.
        cut: the ids are not those of the whole text, because it was tokenised in parts.
    """

    input_ids: np.ndarray
    weights: np.ndarray
    kinds: np.ndarray | None = None
    cut: bool = False

    def __len__(self) -> int:
        return len(self.input_ids)


def controls_of(tokenizer: PreTrainedTokenizerBase, words: Collection[str] = ()) -> Controls:
    """The added tokens of a tokenizer that could delimit something.

    Args:
        words: added tokens that anybody may write.

    Runs of white space and HTML tags, which some vocabularies list among the added tokens without flagging them as
    special, are ordinary words, too.
    """
    added = tokenizer.added_tokens_decoder.values()
    special = {t.content for t in added if t.special} | {t.content for t in added} & set(tokenizer.all_special_tokens)
    words = set(words) - special | {t.content for t in added if _is_blank(t.content) or _HTML.fullmatch(t.content)}
    return Controls(eos=tokenizer.eos_token, bos=_own_bos(tokenizer), special=frozenset(special),
                    added=frozenset(t.content for t in added if t.content in special or t.content not in words))


def _is_blank(text: str) -> bool:
    return not text.replace('▁', ' ').strip()


def _own_bos(tokenizer: PreTrainedTokenizerBase) -> str:
    """The BOS token if the tokenizer itself begins a text with it, else an empty string."""
    ids = tokenizer('a', verbose=False)['input_ids']
    return tokenizer.bos_token if tokenizer.bos_token_id is not None and ids[0] == tokenizer.bos_token_id else ''


def special_tokens_of(tokenizer: PreTrainedTokenizerBase,
                      template: ChatTemplate | WrittenTemplate) -> dict[str | int, str]:
    """The text of every token that ``template`` may name or give as an id."""
    tokens: dict[str | int, str] = {name: token for name, token in tokenizer.special_tokens_map.items()
                                    if isinstance(token, str)}
    names = () if isinstance(template, WrittenTemplate) else template.token_names()
    return {**tokens, **{name: tokenizer.convert_ids_to_tokens(name) for name in names if isinstance(name, int)}}


class Tokeniser:
    """Args:
        tokenizer: the checkpoint's, fast or slow.
        controls: its added tokens.
        ends: texts that end an answer, the EOS aside.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, controls: Controls, ends: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        self._controls = controls
        self._ids = {token.content: i for i, token in tokenizer.added_tokens_decoder.items()}
        self.stop_ids, self.stop_words = self._stops(ends)
        in_answers = controls.added - controls.special | REASONING_TAGS
        in_answers -= {word for word in ends if word not in REASONING_TAGS} | {controls.eos}
        self._forbidden = np.zeros((len(KINDS), max(self._ids.values(), default=0) + 1), dtype=bool)
        for token in controls.added:
            self._forbidden[:, self._ids[token]] = True
            self._forbidden[_ASSISTANT, self._ids[token]] = token not in in_answers
        self._forbidden[_CONTROL] = False
        self._suspects = self._forbidden.any(axis=0)

    @functools.cached_property
    def _quick(self) -> ByteLevel | None:
        """Made when rows are encoded: it takes a quarter of a second, and many templates are only compared as text."""
        return ByteLevel.of(self._tokenizer, self._forbidden)

    def _stops(self, ends: Sequence[str]) -> tuple[frozenset[int], tuple[str, ...]]:
        ids = set() if self._tokenizer.eos_token_id is None else {self._tokenizer.eos_token_id}
        words = []
        for end in ends:
            matches = self._controls.matches(end)
            if matches and matches[-1].end() == len(end):
                ids.add(self._ids[matches[-1].group()])
            elif end:
                words.append(end)
        return frozenset(ids), tuple(words)

    def definition(self) -> str:
        """Everything in the tokenizer that decides about ids, as text."""
        if self._tokenizer.is_fast:
            self._tokenizer('', padding=False, truncation=False)  # a call leaves its padding in what follows
            state = self._tokenizer.backend_tokenizer.to_str()
        else:
            state = json.dumps([type(self._tokenizer).__name__, sorted(self._tokenizer.get_vocab().items())])
        tokens = {name: str(token) for name, token in self._tokenizer.special_tokens_map.items()}
        return state + json.dumps(tokens, sort_keys=True)

    def encode(self, rendered: Sequence[Rendered]) -> list[Encoded | RowError]:
        """Ids and weights of every text, in order; the error of a text that can't be tokenised safely."""
        if not rendered:
            return []
        if not self._tokenizer.is_fast:
            return [self._encode_by_segments(one) for one in rendered]
        if self._quick is None:
            return self._encode_carefully(rendered)
        weighed = self._quick.encode(rendered)
        left = [one for one, quick in zip(rendered, weighed, strict=True) if quick is None]
        careful = iter(self._encode_carefully(left))
        return [next(careful) if quick is None else Encoded(quick.ids, quick.weights, quick.kinds) for quick in weighed]

    def _encode_carefully(self, rendered: Sequence[Rendered]) -> list[Encoded | RowError]:
        """With the offsets that the tokenizer gives, and cuts where they are needed."""
        if not rendered:
            return []
        batch = self._tokenizer([one.text for one in rendered], add_special_tokens=False, return_offsets_mapping=True,
                                return_attention_mask=False, return_token_type_ids=False, verbose=False)
        results: list[Encoded | RowError] = []
        for one, ids, offsets in zip(rendered, batch['input_ids'], batch['offset_mapping'], strict=True):
            spans = _Spans.of(one)
            try:
                results.append(self._weigh(one.text, spans, np.array(ids, np.int32),
                                           np.array(offsets, np.int64).reshape(-1, 2)))
            except RowError as e:
                results.append(e)
        return results

    def _weigh(self, text: str, spans: _Spans, ids: np.ndarray, offsets: np.ndarray) -> Encoded:
        whole = ids
        cuts = _merged_starts(text, spans, offsets)
        if cuts:
            ids, offsets = self._encode_parts(text, sorted(cuts))
        for _ in range(_ROUNDS):
            new = self._forged(text, spans, ids, offsets)
            if not new:
                at = spans.index(offsets[:, 0])
                return Encoded(ids, spans.weights[at], spans.kinds[at], cut=not np.array_equal(ids, whole))
            if new <= cuts:
                break
            cuts |= new
            ids, offsets = self._encode_parts(text, sorted(cuts))
        raise RowError('a content spells a control token and can\'t be tokenised otherwise')

    def _forged(self, text: str, spans: _Spans, ids: np.ndarray, offsets: np.ndarray) -> set[int]:
        """Where to cut so that no control token reaches into a content."""
        known = ids < len(self._suspects)
        suspects = np.flatnonzero(known & self._suspects[np.where(known, ids, 0)])
        cuts = set()
        for t in suspects.tolist():
            start, end = offsets[t].tolist()
            match = text[start:end]
            start, end = start + len(match) - len(match.lstrip()), end - len(match) + len(match.rstrip())
            first, last = spans.index(np.array([start, max(start, end - 1)])).tolist()
            if not any(self._forbidden[spans.kinds[s], ids[t]] for s in range(first, last + 1)):
                continue
            if end - start < 2:
                raise RowError(f'a content spells the control token {match!r}, which can\'t be tokenised otherwise')
            cuts.add(int(spans.ends[first]) if first < last else start + 1)
        return cuts

    def _encode_parts(self, text: str, cuts: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        borders = [0, *cuts, len(text)]
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        for start, end in zip(borders, borders[1:], strict=False):
            part = self._tail('' if not start else self._anchor, text[start:end])
            if part is None:
                part = next((p for a in self._anchors if (p := self._tail(a, text[start:end]))), None)
            if part is None:
                raise RowError('a content spells a control token and can\'t be tokenised in parts')
            ids += part[0]
            offsets += [(start + a, start + b) for a, b in part[1]]
        return np.array(ids, np.int32), np.array(offsets, np.int64).reshape(-1, 2)

    def _tail(self, anchor: str, text: str) -> tuple[list[int], list[tuple[int, int]]] | None:
        """Ids and offsets of ``text`` as it is tokenised after ``anchor``; None if a token reaches over the border."""
        encoding = self._tokenizer(anchor + text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        n = len(anchor)
        pairs = list(zip(encoding['input_ids'], encoding['offset_mapping'], strict=True))
        if any(start < n < end for _, (start, end) in pairs):
            return None
        kept = [(i, (start - n, end - n)) for i, (start, end) in pairs if end > n or not n]
        return [i for i, _ in kept], [offset for _, offset in kept]

    @functools.cached_property
    def _anchors(self) -> tuple[str, ...]:
        """Texts after which a part is tokenised as in the middle of a text, without a space put in front."""
        plain = [t.content for t in self._tokenizer.added_tokens_decoder.values()
                 if t.special and not t.lstrip and not t.rstrip]
        return tuple(anchor for anchor in (*plain[:3], '\n', 'a', '') if self._continues(anchor))

    @property
    def _anchor(self) -> str:
        return self._anchors[0] if self._anchors else ''

    def _continues(self, anchor: str) -> bool:
        for head, tail in (('<|im', '_end|>'), ('x', 'y'), ('x', ' y')):
            first, second = self._tail('', head), self._tail(anchor, tail)
            if first is None or second is None:
                return False
            if self._tokenizer.decode(first[0] + second[0], clean_up_tokenization_spaces=False) != head + tail:
                return False
        return True

    def _encode_by_segments(self, rendered: Rendered) -> Encoded | RowError:
        """For slow tokenizers, which don't say where a token starts."""
        ids, weights, kinds, cut = [], [], [], False
        for segment in rendered.segments:
            kind = KINDS.index(segment.kind)
            borders = [m.start() + 1 for m in self._controls.matches(segment.text)
                       if self._forbidden[kind, self._ids[m.group()]]]
            for start, end in zip([0, *borders], [*borders, len(segment.text)], strict=True):
                part = self._tokenizer.encode(segment.text[start:end], add_special_tokens=False)
                ids += part
                weights += [segment.weight] * len(part)
                kinds += [kind] * len(part)
            cut = cut or bool(borders)
        if any(i < len(self._suspects) and self._forbidden[k, i] for i, k in zip(ids, kinds, strict=True)):
            return RowError('a content spells a control token and can\'t be tokenised otherwise')
        return Encoded(np.array(ids, np.int32), np.array(weights, np.float32), np.array(kinds, np.uint8), cut)


def _merged_starts(text: str, spans: _Spans, offsets: np.ndarray) -> set[int]:
    """Starts of answers before which a prompt would be tokenised otherwise than in the whole text.

    A token may reach from the prompt into the words of the answer. Or white space that ends the prompt is split here
    because something follows it: tokenizers of the GPT-2 kind write two line ends as one token only at the end.
    """
    starts = set()
    for start in spans.answers:
        inside = int(np.searchsorted(offsets[:, 0], start, side='left'))  # the first token that starts in the answer
        reach = int(offsets[inside - 1, 1]) if inside else 0
        if reach > start:
            if text[start:reach].strip() or spans.kinds[spans.index(np.array([start]))[0]] == _CONTROL:
                starts.add(start)
            continue
        blank = start - len(text[:start].rstrip())
        if blank > 1 and inside > 1 and offsets[inside - 1, 0] > start - blank:
            starts.add(start)
    return starts


@dataclass(frozen=True)
class _Spans:
    """Segments as arrays: where each ends in the text, its weight and its kind; and where answers start."""

    ends: np.ndarray
    weights: np.ndarray
    kinds: np.ndarray
    answers: list[int]

    @classmethod
    def of(cls, rendered: Rendered) -> _Spans:
        segments = rendered.segments
        ends = np.cumsum([len(s.text) for s in segments], dtype=np.int64)
        return cls(ends, np.array([s.weight for s in segments], np.float32),
                   np.array([KINDS.index(s.kind) for s in segments], np.uint8),
                   [int(end) - len(s.text) for s, end in zip(segments, ends, strict=True) if s.begins_answer])

    def index(self, positions: np.ndarray) -> np.ndarray:
        """The segment in which each character position lies."""
        return np.minimum(np.searchsorted(self.ends, positions, side='right'), len(self.ends) - 1)
