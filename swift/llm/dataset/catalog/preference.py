"""Pairs of a chosen and a rejected answer."""

from __future__ import annotations

from swift.llm.dataset.registry import DATASETS, DatasetEntry

DATASETS.add(DatasetEntry(
    'shareai-llama3-dpo-zh-en-emoji', ms_id='hjh0119/shareAI-Llama3-DPO-zh-en-emoji',
    columns={'question': 'query', 'answer_zh': 'response', 'answer_en': 'rejected_response'},
    tags=('rlhf', 'dpo', 'pairwise')))
