"""General conversations."""

from __future__ import annotations

from swift.llm.dataset.registry import DATASETS, DatasetEntry

for _entry in (
    DatasetEntry('alpaca-en', ms_id='AI-ModelScope/alpaca-gpt4-data-en', hf_id='vicgalle/alpaca-gpt4',
                 tags=('chat', 'general')),
    DatasetEntry('alpaca-zh', ms_id='AI-ModelScope/alpaca-gpt4-data-zh', hf_id='llm-wizard/alpaca-gpt4-data-zh',
                 tags=('chat', 'general')),
    DatasetEntry('ms-bench', ms_id='iic/ms_bench', tags=('chat', 'general', 'multi-round')),
    DatasetEntry('sharegpt-gpt4', ms_id='AI-ModelScope/sharegpt_gpt4',
                 subsets=('default', 'V3_format', 'zh_38K_format'), tags=('chat', 'multilingual', 'multi-round')),
    DatasetEntry('firefly-zh', ms_id='AI-ModelScope/firefly-train-1.1M', hf_id='YeungNLP/firefly-train-1.1M',
                 tags=('chat', 'general')),
    DatasetEntry('ms-agent', ms_id='iic/ms_agent', tags=('chat', 'agent', 'multi-round')),
):
    DATASETS.add(_entry)
