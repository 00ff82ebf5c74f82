"""Words that become tokens of their own: the tokenizer learns them, the model gets vectors for them.

Which of their vectors are trained is for ``adapt`` to say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AddedToken, PreTrainedModel, PreTrainedTokenizerBase

from swift.llm.args.groups import ModelArgs
from swift.utils.errors import UsageError
from swift.utils.logging import get_logger

logger = get_logger()

_ROUND = 64  # a table whose rows are a multiple of this stays one: matrices of such sizes are fast


@dataclass(frozen=True)
class NewTokens:
    """What ``--new_special_tokens`` did to a tokenizer.

    Attributes:
        words: all that were named.
        ids: their ids.
        pieces: id -> the ids that the word was written with before; only words that the tokenizer did not have.
    """

    words: tuple[str, ...] = ()
    ids: tuple[int, ...] = ()
    pieces: dict[int, list[int]] | None = None


def words_of(args: ModelArgs) -> tuple[str, ...]:
    """The words of ``--new_special_tokens``, those of text files in place of the files.

    Raises:
        UsageError: a file is not there, or holds no word.
    """
    words: list[str] = []
    for word in args.new_special_tokens:
        words += _words_in(Path(word).expanduser()) if word.endswith('.txt') else [word]
    return tuple(dict.fromkeys(words))


def _words_in(path: Path) -> list[str]:
    try:
        words = [line.strip() for line in path.read_text(encoding='utf-8').splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as e:
        raise UsageError(f'--new_special_tokens {path} can not be read: {e}. A word that ends in .txt is a file with '
                         'one word a line.') from e
    if not words:
        raise UsageError(f'--new_special_tokens {path} is empty; it takes one word a line.')
    return words


def teach(tokenizer: PreTrainedTokenizerBase, words: Sequence[str]) -> NewTokens:
    """Make every word one token; a word that is one already keeps its id.

    They are added tokens that are not flagged as special: an answer keeps them when special tokens are skipped.
    """
    known = tokenizer.get_vocab()
    before = {word: tokenizer(word, add_special_tokens=False, verbose=False)['input_ids'] for word in words}
    tokenizer.add_tokens([AddedToken(word, special=False, normalized=False) for word in words
                          if word not in tokenizer.added_tokens_encoder])
    ids = tokenizer.convert_tokens_to_ids(list(words))
    pieces = {i: before[word] for word, i in zip(words, ids, strict=True) if word not in known}
    return NewTokens(tuple(words), tuple(ids), pieces)


@torch.no_grad()
def give_vectors(model: PreTrainedModel, tokens: NewTokens, strategy: str) -> None:
    """Rows of embedding and head for words that are new, at the end of tables that grow only where they are full.

    Args:
        model: changed in place; tied tables stay tied.
        strategy: a value of ``--init_strategy``.
    """
    if not tokens.pieces:
        return
    rows, needed = model.get_input_embeddings().num_embeddings, max(tokens.ids) + 1
    if needed > rows:
        size = -(-needed // _ROUND) * _ROUND if rows % _ROUND == 0 else needed
        logger.info('%d new tokens: the vocabulary of the model grows from %d to %d.', len(tokens.pieces), rows, size)
        model.resize_token_embeddings(size, mean_resizing=False)
    head = model.get_output_embeddings()
    tables = [model.get_input_embeddings().weight]
    if head is not None and head.weight is not tables[0]:
        tables.append(head.weight)
    old = rows if needed > rows else min(tokens.pieces)
    for table in tables:
        ids = list(tokens.pieces)
        table[ids] = _vectors(table, old, list(tokens.pieces.values()), strategy).to(table)
        if len(table) > rows:  # what only fills the table up predicts nothing and is never read
            filler = [i for i in range(rows, len(table)) if i not in tokens.pieces]
            table[filler] = table[:old].float().mean(0).to(table)


def _vectors(table: Tensor, old: int, pieces: Sequence[Sequence[int]], strategy: str) -> Tensor:
    """Start of the new rows of ``table``, float32 [n, d].

    Args:
        old: rows of the table that were trained are before this one.
        pieces: for each new row, the rows of the tokens that the word was written with.
    """
    if strategy == 'pieces':
        return torch.stack([table[list(one)].float().mean(0) if one else table[:old].float().mean(0)
                            for one in pieces])
    if strategy == 'average':
        return table[:old].float().mean(0).expand(len(pieces), -1)
    rows, spread = torch.empty(len(pieces), table.shape[1]), table[:old].float().std().item()
    _RANDOM[strategy](rows, spread)
    return rows


_RANDOM: dict[str, Callable[[Tensor, float], Tensor]] = {
    'zero': lambda rows, spread: nn.init.zeros_(rows),
    'uniform': lambda rows, spread: nn.init.uniform_(rows, -spread * 3 ** 0.5, spread * 3 ** 0.5),
    'normal': lambda rows, spread: nn.init.normal_(rows, std=spread),
    'xavier_uniform': lambda rows, spread: nn.init.xavier_uniform_(rows),
    'xavier_normal': lambda rows, spread: nn.init.xavier_normal_(rows),
    'kaiming_uniform': lambda rows, spread: nn.init.kaiming_uniform_(rows),
    'kaiming_normal': lambda rows, spread: nn.init.kaiming_normal_(rows),
    'orthogonal': lambda rows, spread: nn.init.orthogonal_(rows),
}
