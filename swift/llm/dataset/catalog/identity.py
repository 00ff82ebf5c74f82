"""Rows that teach a model who it is."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from swift.llm.dataset import shapes
from swift.llm.dataset.registry import DATASETS, DatasetEntry, Subset

_DATA = Path(__file__).parent / 'data'

ENTRIES = (DatasetEntry(
    'self-cognition', ms_id='swift/self-cognition', hf_id='modelscope/self-cognition', identity=True,
    files={'zh': _DATA / 'self_cognition_zh.jsonl', 'en': _DATA / 'self_cognition_en.jsonl'},
    subsets=('default', Subset('zh', weak=True), Subset('en', weak=True),
             Subset('qwen3', 'default', convert=partial(shapes.without_thoughts, suffix=' /no_think')),
             Subset('empty_think', 'default', convert=shapes.without_thoughts)),
    named=('default',), verified=True, tags=('chat', 'self-cognition', '🔥'),
    help='75 Chinese and 80 English rows, part of the package; self-cognition:en takes the English ones, :qwen3 and '
         ':empty_think answer without thinking. Needs --model_name and --model_author.'),)
for _entry in ENTRIES:
    DATASETS.add(_entry)
