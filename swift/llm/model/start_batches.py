"""Encoded training rows -> the batches that a start of LoRA looks at: plain keyword arguments of a model's forward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from swift.llm.args.groups import MethodArgs

Rows = Sequence[dict[str, Any]]


def start_batches(rows: Rows, start: str, method: MethodArgs) -> list[dict[str, Tensor]]:
    """The first rows in batches as ``start`` wants them; none for starts that look at no data.

    Args:
        rows: dicts with ``input_ids`` [T] and ``weights`` [T], the weight of each token as a target.
        start: the value of ``--init_weights``.
        method: tells how many rows, and how many at once.
    """
    size, number, longest = {
        'lora-ga': (method.lora_ga_batch_size, method.lora_ga_iters, method.lora_ga_max_length),
        'eva': (method.eva_batch_size, -(-method.eva_rows // method.eva_batch_size), None),
        'corda': (1, method.corda_rows, None),
    }.get(start, (1, 0, None))
    number = min(number, -(-len(rows) // size))
    return [_padded([rows[i] for i in range(at * size, min((at + 1) * size, len(rows)))], longest)
            for at in range(number)]


def _padded(rows: Rows, longest: int | None) -> dict[str, Tensor]:
    """``input_ids``, ``attention_mask`` and ``labels`` [B, T], padded at the right; -100 where nothing is trained."""
    ids = [torch.as_tensor(row['input_ids'][:longest]).long() for row in rows]
    weights = [torch.as_tensor(row['weights'][:longest]).float() for row in rows]
    labels = [one.masked_fill(weight <= 0, -100) for one, weight in zip(ids, weights, strict=True)]

    def pad(tensors: list[Tensor], value: int) -> Tensor:
        return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value)

    return {'input_ids': pad(ids, 0), 'attention_mask': pad([torch.ones_like(one) for one in ids], 0),
            'labels': pad(labels, -100)}
