"""Encoded rows -> one micro-batch of tensors.

Two layouts carry the same rows and give the same loss and gradients:

* padding-free: all rows in one line ``[1, T]``, position ids starting at 0 for each row. No token is wasted. The model
  is told where the rows begin and end (``documents``), or transformers derives a block-diagonal mask from position ids.
* padded: ``[B, T]``, right-padded, with an attention mask. For models that can't be proven to keep packed rows apart.

Only positions that predict a trained token go through the output head: ``keep`` lists them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from swift.kernels.varlen import Documents


def collate(rows: Sequence[dict[str, Any]], *, pad_id: int, padding_free: bool, documents: bool = False,
            in_front: int | None = None) -> dict[str, Any]:
    """Build a micro-batch.

    Args:
        rows: dicts with ``input_ids`` (int, [T_i]) and ``weights`` (float, [T_i], weight of each token as a target);
            a row whose ``counted`` is False is carried along with weight 0 (it fills a rank that has no row left).
        pad_id: token id that fills the padded layout.
        padding_free: which layout.
        documents: add those of the padding-free line, for a model that attends by them.
        in_front: for a model that puts positions of its own in front of each (padded) row: how many of its logits
            come before those of the row. It counts positions itself, so none are given.

    Returns:
        ``input_ids`` and ``position_ids`` [B, T] (B = 1 when padding-free), ``attention_mask`` [B, T] (padded only),
        ``keep`` [K] positions whose logits are needed, and for each of the N trained tokens its ``batch_index`` and
        ``keep_index`` (where its logits are in [B, K, V]), ``targets`` [N], ``weights`` [N] and ``row_index`` [N];
        ``lengths`` of the rows and ``num_tokens``, the tokens of those that count. Tensors all; and
        :class:`swift.kernels.varlen.Documents` where asked for.
    """
    ids = [np.asarray(row['input_ids'], dtype=np.int64) for row in rows]
    weights = [np.asarray(row['weights'], dtype=np.float32) for row in rows]
    counted = np.array([row.get('counted', True) for row in rows], dtype=np.float32)
    lengths = np.array([len(row) for row in ids])

    # Token t of a row is predicted at t - 1, so the first token of a row is never a target.
    target_positions = [np.flatnonzero(w[1:]) + 1 for w in weights]
    row_index = np.repeat(np.arange(len(rows)), [len(t) for t in target_positions])
    targets = np.concatenate([row[t] for row, t in zip(ids, target_positions, strict=True)])
    target_weights = np.concatenate([w[t] for w, t in zip(weights, target_positions, strict=True)]) * counted[row_index]
    predicted_at = np.concatenate(target_positions) - 1

    if padding_free:
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        batch = {'input_ids': np.concatenate(ids)[None],
                 'position_ids': (np.arange(lengths.sum()) - np.repeat(starts, lengths))[None]}
        keep = predicted_at + starts[row_index]  # ascending, each once
        batch_index, keep_index = np.zeros_like(row_index), np.arange(len(keep))
    else:
        width = int(lengths.max())
        mask = np.arange(width)[None] < lengths[:, None]
        padded = np.full((len(rows), width), pad_id, dtype=np.int64)
        padded[mask] = np.concatenate(ids)
        batch = {'input_ids': padded, 'position_ids': np.broadcast_to(np.arange(width), padded.shape).copy(),
                 'attention_mask': mask.astype(np.int64)}
        batch_index, flat = row_index, predicted_at
        if in_front is not None:
            del batch['position_ids']
            flat = predicted_at + in_front
        keep, keep_index = np.unique(flat, return_inverse=True)

    batch |= {'keep': keep, 'batch_index': batch_index, 'keep_index': keep_index, 'targets': targets,
              'row_index': row_index, 'lengths': lengths}
    tensors = {name: torch.from_numpy(np.ascontiguousarray(value, dtype=np.int64)) for name, value in batch.items()}
    tensors |= {'weights': torch.from_numpy(target_weights.astype(np.float32)),
                'num_tokens': torch.tensor(int((lengths * counted).sum()))}
    return tensors | ({'documents': Documents.of(lengths)} if documents and padding_free else {})
