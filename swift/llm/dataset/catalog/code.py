"""Programming."""

from __future__ import annotations

from swift.llm.dataset.registry import DATASETS, DatasetEntry

DATASETS.add(DatasetEntry('code-alpaca-en', ms_id='wyj123456/code_alpaca_en', hf_id='sahil2801/CodeAlpaca-20k',
                          tags=('chat', 'coding')))
DATASETS.add(DatasetEntry('codefuse-python-en', ms_id='codefuse-ai/CodeExercise-Python-27k',
                          columns={'chat_rounds': 'messages'}, tags=('chat', 'coding')))
