"""Mathematics."""

from __future__ import annotations

from typing import Any

from swift.llm.dataset.registry import DATASETS, DatasetEntry


def _blossom(row: dict[str, Any]) -> dict[str, Any]:
    """The final answer is in a column of its own, beside the way to it."""
    return {'query': row.get('input'), 'response': f'{row.get("output", "")}\n\nAnswer: {row.get("answer", "")}'}


DATASETS.add(DatasetEntry('blossom-math-zh', ms_id='AI-ModelScope/blossom-math-v2', hf_id='Azure99/blossom-math-v2',
                          convert=_blossom, tags=('chat', 'math')))
DATASETS.add(DatasetEntry('school-math-zh', ms_id='AI-ModelScope/school_math_0.25M',
                          hf_id='BelleGroup/school_math_0.25M', tags=('chat', 'math')))
DATASETS.add(DatasetEntry('gsm8k', ms_id='modelscope/gsm8k', hf_id='openai/gsm8k', subsets=('main',),
                          tags=('chat', 'math')))
