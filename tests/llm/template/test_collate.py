"""A micro-batch holds each row's tokens, positions and targets, in both layouts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from swift.llm.template.collate import collate

ROWS = [{'input_ids': np.array([5, 6, 7]), 'weights': np.array([0, 0, 1.0])},
        {'input_ids': np.array([8, 9]), 'weights': np.array([1.0, 0.5])},  # weight on a first token is no target
        {'input_ids': np.array([10, 11, 12, 13]), 'weights': np.array([0, 1.0, 0, 2.0])}]


def where(batch):
    """(id before the target, target, weight) of each target, read from the batch as the loss does."""
    positions = batch['keep'][batch['keep_index']]
    before = batch['input_ids'][batch['batch_index'], positions]
    return sorted(zip(before.tolist(), batch['targets'].tolist(), batch['weights'].tolist(), strict=True))


@pytest.mark.parametrize('padding_free', [True, False])
def test_targets_follow_the_token_that_predicts_them(padding_free):
    batch = collate(ROWS, pad_id=0, padding_free=padding_free)
    assert where(batch) == [(6, 7, 1.0), (8, 9, 0.5), (10, 11, 1.0), (12, 13, 2.0)]
    assert batch['row_index'].tolist() == [0, 1, 2, 2]


def test_padding_free_wastes_nothing_and_positions_restart():
    batch = collate(ROWS, pad_id=0, padding_free=True)
    assert batch['input_ids'].tolist() == [[5, 6, 7, 8, 9, 10, 11, 12, 13]]
    assert batch['position_ids'].tolist() == [[0, 1, 2, 0, 1, 0, 1, 2, 3]]
    assert 'attention_mask' not in batch


def test_padded_rows_are_masked_by_length_not_by_id():
    rows = [{'input_ids': np.array([1, 2, 2]), 'weights': np.ones(3)},
            {'input_ids': np.array([2]), 'weights': np.ones(1)}]
    batch = collate(rows, pad_id=2, padding_free=False)
    assert batch['attention_mask'].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch['targets'].tolist() == [2, 2]


def test_a_row_that_fills_a_rank_counts_nothing():
    batch = collate([{**ROWS[0], 'counted': False}], pad_id=0, padding_free=True)
    assert batch['targets'].tolist() == [7] and batch['weights'].tolist() == [0.0]
    assert all(value.dtype in (torch.int64, torch.float32) for value in batch.values())
