"""Pairs of a chosen and a rejected answer, and answers marked good or bad."""

from __future__ import annotations

from functools import partial

from swift.llm.dataset import shapes
from swift.llm.dataset.registry import DATASETS, DatasetEntry

ENTRIES = (
    DatasetEntry('hh-rlhf', 'AI-ModelScope/hh-rlhf',
                 subsets=('harmless-base', 'helpful-base', 'helpful-online', 'helpful-rejection-sampled'),
                 split=('train', 'test'), convert=shapes.hh_rlhf, huge=True, verified=True,
                 tags=('rlhf', 'dpo', 'pairwise')),
    DatasetEntry('hh-rlhf-cn', 'AI-ModelScope/hh_rlhf_cn',
                 subsets=('hh_rlhf', 'harmless_base_cn', 'harmless_base_en', 'helpful_base_cn', 'helpful_base_en'),
                 split=('train', 'test'), convert=shapes.hh_rlhf_cn, verified=True,
                 tags=('rlhf', 'dpo', 'pairwise', '🔥')),
    DatasetEntry('ultrafeedback-kto', 'AI-ModelScope/ultrafeedback-binarized-preferences-cleaned-kto', verified=True,
                 tags=('rlhf', 'kto')),
    DatasetEntry('shareai-llama3-dpo-zh-en-emoji', 'hjh0119/shareAI-Llama3-DPO-zh-en-emoji', 'shareAI/DPO-zh-en-emoji',
                 columns={'answer_zh': 'response', 'answer_en': 'rejected_response'}, verified=True,
                 tags=('rlhf', 'dpo', 'pairwise')),
    DatasetEntry('orpo-dpo-mix-40k', 'AI-ModelScope/orpo-dpo-mix-40k', 'mlabonne/orpo-dpo-mix-40k',
                 columns={'chosen': 'messages', 'rejected': 'rejected_messages'},
                 expand=partial(shapes.other_than, column='source', value='toxic-dpo-v0.2'), verified=True,
                 tags=('dpo', 'orpo', 'en', 'quality')),
    DatasetEntry('zhihu-rlhf', 'AI-ModelScope/zhihu_rlhf_3k', 'liyucheng/zhihu_rlhf_3k',
                 columns={'prompt': 'query', 'chosen': 'response', 'rejected': 'rejected_response'}, verified=True,
                 tags=('rlhf', 'dpo', 'zh')),
    DatasetEntry('orca_dpo_pairs', 'swift/orca_dpo_pairs', 'Intel/orca_dpo_pairs',
                 columns={'question': 'query', 'chosen': 'response', 'rejected': 'rejected_response'}, verified=True,
                 tags=('rlhf', 'quality')),
    DatasetEntry('stack-exchange-paired', 'AI-ModelScope/stack-exchange-paired', 'lvwerra/stack-exchange-paired',
                 columns={'question': 'query', 'response_j': 'response', 'response_k': 'rejected_response'}, huge=True,
                 verified=True, tags=('hfrl', 'dpo', 'pairwise')),
    DatasetEntry('HumanLLMs/Human-Like-DPO-Dataset', 'HumanLLMs/Human-Like-DPO-Dataset',
                 'HumanLLMs/Human-Like-DPO-Dataset', verified=True, tags=('rlhf', 'dpo')),
)
for _entry in ENTRIES:
    DATASETS.add(_entry)
