"""Rows that teach a model who it is."""

from __future__ import annotations

from pathlib import Path

from swift.llm.dataset.registry import DATASETS, DatasetEntry

_DATA = Path(__file__).parent / 'data'

DATASETS.add(DatasetEntry(
    'self-cognition', ms_id='swift/self-cognition', hf_id='modelscope/self-cognition', identity=True,
    files={'zh': _DATA / 'self_cognition_zh.jsonl', 'en': _DATA / 'self_cognition_en.jsonl'},
    tags=('chat', 'self-cognition'),
    help='75 Chinese and 80 English rows, part of the package; self-cognition:en takes the English ones. Needs '
         '--model_name and --model_author.'))
