"""The quick way to weigh tokens: for tokenizers whose tokens, put together, are the bytes of the text.

Of most new tokenizers (GPT-2's kind: Qwen, Llama 3, DeepSeek, SmolLM) every token stands for known bytes. Where a token
starts then follows from the lengths of those before it, for a whole batch at once, and the tokenizer need not say so:
asking it for offsets, and turning them into arrays, takes longer than tokenising. A text whose tokens do not add up to
its bytes, and one that may need a cut, is left to the careful way. Knows segments and ids, no templates.
"""

from __future__ import annotations

import itertools
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from swift.llm.template.segments import KINDS, Rendered

_KIND = {kind: number for number, kind in enumerate(KINDS)}


@dataclass(frozen=True)
class Weighed:
    """One text: ``ids`` int32 [T], ``weights`` float32 [T], ``kinds`` uint8 [T] (index into ``KINDS``)."""

    ids: np.ndarray
    weights: np.ndarray
    kinds: np.ndarray


class ByteLevel:
    """Args:
        tokenizer: one for which :meth:`of` found that it can be used.
        sizes: int32 [V]; the bytes that each token stands for, 0 where that is not known.
        composes: the tokenizer puts texts into the composed form (NFC) first.
        forbidden: bool [K, A]; whether added token a may not stand in a text of kind k.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, sizes: np.ndarray, composes: bool,
                 forbidden: np.ndarray) -> None:
        self._backend = tokenizer.backend_tokenizer
        self._sizes, self._composes, self._forbidden = sizes, composes, forbidden
        self._suspects = np.zeros(len(sizes), bool)
        self._suspects[:forbidden.shape[1]] = forbidden.any(axis=0)

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, forbidden: np.ndarray) -> ByteLevel | None:
        """None for a tokenizer that is not of this kind."""
        if not tokenizer.is_fast or type(tokenizer)._encode_plus is not PreTrainedTokenizerFast._encode_plus:
            return None
        state = json.loads(tokenizer.backend_tokenizer.to_str())
        model, normalizer, added = state['model'], state['normalizer'], state['added_tokens']
        composes = normalizer is not None and _is_composing(normalizer)
        if model.get('type') != 'BPE' or model.get('byte_fallback') or model.get('dropout') or (
                normalizer is not None and not composes) or any(t['lstrip'] or t['rstrip'] for t in added):
            return None
        alphabet = _alphabet()
        sizes = np.zeros(max([*model['vocab'].values(), *(t['id'] for t in added)], default=-1) + 1, np.int32)
        for token, i in model['vocab'].items():
            if alphabet.issuperset(token):
                sizes[i] = len(token)  # one character a byte
        for token in added:
            sizes[token['id']] = len(token['content'].encode())
        return cls(tokenizer, sizes, composes, forbidden)

    def encode(self, rendered: Sequence[Rendered]) -> list[Weighed | None]:
        """The texts of one batch, in order; None for one that has to go the careful way."""
        texts = [one.text for one in rendered]
        if self._backend.padding is not None:
            self._backend.no_padding()  # what another call has left behind
        if self._backend.truncation is not None:
            self._backend.no_truncation()
        encodings = [one.ids for one in self._backend.encode_batch(texts, add_special_tokens=False)]
        ids = np.fromiter(itertools.chain.from_iterable(encodings), np.int32, sum(map(len, encodings)))
        token_ends = np.cumsum(self._sizes[ids], dtype=np.int64)
        token_starts = token_ends - self._sizes[ids]
        borders = np.cumsum([0, *map(len, encodings)])  # tokens before each text
        segments = [segment for one in rendered for segment in one.segments]
        ends = np.cumsum([len(s.text) if s.text.isascii() else len(s.text.encode('utf-8', 'surrogatepass'))
                          for s in segments], dtype=np.int64)
        per_text = np.cumsum([0, *(len(one.segments) for one in rendered)])  # segments before each text
        text_ends = np.concatenate([[0], ends])[per_text]  # bytes before each text
        token_bytes = np.concatenate([[0], token_ends])[borders]
        # Everything below counts bytes from the start of the batch, so that is right only while all texts add up.
        if not np.array_equal(np.diff(token_bytes), np.diff(text_ends)):
            return self._one_by_one(rendered)
        kinds = np.array([_KIND[s.kind] for s in segments], np.uint8)
        weights = np.array([s.weight for s in segments], np.float32)
        at = np.searchsorted(ends, token_starts, side='right')
        careful = self._forged(ids, at, token_ends, ends, kinds, borders)
        careful |= self._merged(rendered, ends, token_starts, token_ends, per_text)
        token_weights, token_kinds = weights[at], kinds[at]
        results: list[Weighed | None] = []
        for k, (start, stop) in enumerate(itertools.pairwise(borders.tolist())):
            usable = k not in careful and (
                not self._composes or texts[k].isascii() or unicodedata.is_normalized('NFC', texts[k]))
            results.append(Weighed(ids[start:stop], token_weights[start:stop], token_kinds[start:stop])
                           if usable else None)
        return results

    def _one_by_one(self, rendered: Sequence[Rendered]) -> list[Weighed | None]:
        if len(rendered) == 1:
            return [None]
        middle = len(rendered) // 2
        return [*self.encode(rendered[:middle]), *self.encode(rendered[middle:])]

    def _forged(self, ids: np.ndarray, at: np.ndarray, token_ends: np.ndarray, ends: np.ndarray, kinds: np.ndarray,
                borders: np.ndarray) -> set[int]:
        """The texts in which a control token reaches into a content."""
        tokens = np.flatnonzero(self._suspects[ids])
        first, last = at[tokens], np.searchsorted(ends, token_ends[tokens] - 1, side='right')
        wrong = (self._forbidden[kinds[first], ids[tokens]] | self._forbidden[kinds[last], ids[tokens]]
                 | (last - first > 1))
        return set(_owners(tokens[wrong], borders))

    @staticmethod
    def _merged(rendered: Sequence[Rendered], ends: np.ndarray, token_starts: np.ndarray, token_ends: np.ndarray,
                per_text: np.ndarray) -> set[int]:
        """The texts in which a prompt before an answer may be tokenised otherwise than in the whole text."""
        answers, blanks, careful = [], [], set()
        for k, (one, first) in enumerate(zip(rendered, per_text.tolist(), strict=False)):
            before = ''
            for segment, piece in enumerate(one.segments):
                if piece.begins_answer and segment:
                    words = before.rstrip()
                    answers.append(first + segment)
                    blanks.append(len(before[len(words):].encode()))
                    if not words:
                        careful.add(k)  # the white space may go on before this piece
                before = piece.text
        chosen, blank = np.array(answers, np.int64), np.array(blanks, np.int64)
        starts = ends[chosen - 1]
        inside = np.searchsorted(token_starts, starts, side='left')  # the first token that starts in the answer
        # A token reaches into the answer, or white space before it is split: a prompt that ends there would not be.
        wrong = (token_ends[inside - 1] > starts) | (blank > 1) & (token_starts[inside - 1] > starts - blank)
        return careful | set(_owners(chosen[wrong], per_text))


def _owners(positions: np.ndarray, borders: np.ndarray) -> list[int]:
    return (np.searchsorted(borders, positions, side='right') - 1).tolist()


def _is_composing(normalizer: dict) -> bool:
    steps = normalizer['normalizers'] if normalizer['type'] == 'Sequence' else [normalizer]
    return all(step['type'] == 'NFC' for step in steps)


def _alphabet() -> frozenset[str]:
    """The 256 characters that stand for bytes in a vocabulary of GPT-2's kind (Radford et al., 2019)."""
    from tokenizers.pre_tokenizers import ByteLevel as Bytes

    return frozenset(Bytes.alphabet())
