"""The work that ``gpu.py`` measures: shapes of models, rows of documents, and how many operations a token costs.

No framework and no device is known here, so that every side trains the same and is measured the same.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

PEAK_FLOPS = 790e12  # what an 8192-cubed bfloat16 matmul reaches on an H100; the datasheet says 989e12
RANK, ALPHA = 16, 32
PAD = 256
_FIRST_ID, _IDS = 2638, 2197  # the ids that rows are made of
_MEAN, _LONGEST, _SHORTEST = 350.0, 2048, 16  # tokens of a mixed document

_QWEN = {'max_position_embeddings': 32768, 'rope_theta': 1e6, 'use_cache': False, 'bos_token_id': 259,
         'eos_token_id': 257, 'pad_token_id': PAD}
SHAPES: dict[str, dict[str, Any]] = {  # of Qwen2.5
    '0.5b': {'hidden_size': 896, 'intermediate_size': 4864, 'num_hidden_layers': 24, 'num_attention_heads': 14,
             'num_key_value_heads': 2, 'vocab_size': 151936, 'tie_word_embeddings': True, **_QWEN},
    '1.5b': {'hidden_size': 1536, 'intermediate_size': 8960, 'num_hidden_layers': 28, 'num_attention_heads': 12,
             'num_key_value_heads': 2, 'vocab_size': 151936, 'tie_word_embeddings': True, **_QWEN},
    '7b': {'hidden_size': 3584, 'intermediate_size': 18944, 'num_hidden_layers': 28, 'num_attention_heads': 28,
           'num_key_value_heads': 4, 'vocab_size': 152064, 'tie_word_embeddings': False, **_QWEN},
}
_TINY = {'hidden_size': 64, 'intermediate_size': 128, 'num_hidden_layers': 2, 'num_attention_heads': 4,
         'num_key_value_heads': 2, 'vocab_size': 8192}


@dataclass(frozen=True)
class Recipe:
    """One line of the table.

    Attributes:
        model: key of :data:`SHAPES`.
        full: all weights are trained; otherwise a LoRA of rank 16 on every linear layer but the head.
        tokens: tokens of an optimizer step, in one micro-batch.
        row: tokens of a row: mixed documents are packed into such rows by the plain side, and none is longer.
        mixed: documents of log-normal length; otherwise every document fills a row.
        recompute: activations are computed again in the backward.
        tiny: a dry run: two layers, short documents.
    """

    model: str
    full: bool = False
    tokens: int = 8192
    row: int = 2048
    mixed: bool = True
    recompute: bool = False
    tiny: bool = False

    @property
    def shape(self) -> dict[str, Any]:
        return {**SHAPES[self.model], **(_TINY if self.tiny else {})}


RECIPES: dict[str, Recipe] = {
    '7b-lora-8k': Recipe('7b'),
    '7b-lora-8k-recompute': Recipe('7b', recompute=True),
    '1.5b-lora-8k': Recipe('1.5b'),
    '1.5b-lora-16k': Recipe('1.5b', tokens=16384),
    '1.5b-full-8k': Recipe('1.5b', full=True),
    '1.5b-full-16k': Recipe('1.5b', full=True, tokens=16384),
    '0.5b-lora-16k': Recipe('0.5b', tokens=16384),
    '0.5b-full-16k': Recipe('0.5b', full=True, tokens=16384),
    '1.5b-lora-rows8192': Recipe('1.5b', row=8192, mixed=False),
}


def shrunk(recipe: Recipe) -> Recipe:
    """The same kind of work for a dry run on a CPU."""
    return dataclasses.replace(recipe, tokens=256 * recipe.tokens // 8192, row=128 if recipe.mixed else 256, tiny=True)


# ---------------------------------------------------------------------------------------------------------------- rows

def document_lengths(recipe: Recipe, steps: int) -> list[int]:
    """Lengths of documents that are enough for so many steps; the same ones in every call.

    Mixed lengths are log-normal (sigma 0.8), their mean about 350, cut to 16 and 2,048 tokens.
    """
    wanted = (steps + 3) * recipe.tokens
    if not recipe.mixed:
        return [recipe.row] * (wanted // recipe.row + 1)
    generator = random.Random(7)
    mean, longest = (30.0, 100) if recipe.tiny else (_MEAN, _LONGEST)
    lengths: list[int] = []
    while sum(lengths) < wanted * 1.08:
        drawn = generator.lognormvariate(math.log(mean) - 0.8 ** 2 / 2, 0.8)
        lengths.append(int(min(longest, max(_SHORTEST, drawn))))
    return lengths


def documents(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Token ids, log-uniform among 2,197: rare and frequent ones as in text, and a head start to learn."""
    generator = random.Random(1)
    for length in lengths:
        yield [_FIRST_ID + int(_IDS ** generator.random()) - 1 for _ in range(length)]


def packed_steps(recipe: Recipe, lengths: Sequence[int], steps: int) -> list[list[int]]:
    """For each step the numbers of its documents: first fit into rows of ``recipe.row`` tokens, rows in order."""
    rows: list[list[int]] = []
    free: list[int] = []
    for number, length in enumerate(lengths):
        place = next((i for i in range(max(0, len(free) - 64), len(free)) if free[i] >= length), None)
        if place is None:
            place = len(rows)
            rows.append([])
            free.append(recipe.row)
        rows[place].append(number)
        free[place] -= length
    a_step = max(1, recipe.tokens // recipe.row)
    return [[number for row in rows[step * a_step:(step + 1) * a_step] for number in row] for step in range(steps)]


# ---------------------------------------------------------------------------------------------------------- operations

def matmul_weights(shape: dict[str, Any]) -> int:
    """Weights that a token is multiplied with: those of linear layers, the head included, the embedding table not."""
    width, inner, layers = shape['hidden_size'], shape['intermediate_size'], shape['num_hidden_layers']
    heads, kv_heads = shape['num_attention_heads'], shape['num_key_value_heads']
    size = width // heads
    block = width * size * (heads + 2 * kv_heads) + heads * size * width + 3 * width * inner
    return layers * block + shape['vocab_size'] * width


def flops_per_token(recipe: Recipe, lengths: Sequence[int]) -> float:
    """Floating point operations of the model a token, forward and backward, recomputing not counted.

    6 N in full training (2 N forward, 4 N backward), 4 N under a LoRA, whose frozen weights have no gradient; causal
    attention adds ``6 * layers * heads * head_size * E[l^2] / E[l]``: 12 a pair of tokens and channel, half of the
    square.
    """
    shape = recipe.shape
    seen = sum(length * length for length in lengths) / sum(lengths)
    attention = 6 * shape['num_hidden_layers'] * shape['hidden_size'] * seen
    return (6 if recipe.full else 4) * matmul_weights(shape) + attention
