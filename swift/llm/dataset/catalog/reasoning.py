"""Answers with the thinking before them."""

from __future__ import annotations

from functools import partial

from swift.llm.dataset import shapes
from swift.llm.dataset.registry import DATASETS, DatasetEntry

ENTRIES = (
    DatasetEntry('open-o1', 'AI-ModelScope/OpenO1-SFT', 'O1-OPEN/OpenO1-SFT', columns={'prompt': 'query'},
                 verified=True, tags=('chat', 'general', 'o1')),
    DatasetEntry('duet', 'AI-ModelScope/Duet-v0.5', 'G-reen/Duet-v0.5',
                 columns={'rewritten_question': 'query', 'rewritten_answer': 'response'}, verified=True,
                 tags=('CoT', 'en')),
    DatasetEntry('sft-nectar', 'AI-ModelScope/SFT-Nectar', 'AstraMindAI/SFT-Nectar', tags=('cot', 'en', 'quality')),
    DatasetEntry('open-hermes', 'swift/OpenHermes-2.5', 'teknium/OpenHermes-2.5', huge=True, verified=True,
                 tags=('cot', 'en', 'quality')),
    DatasetEntry('PowerInfer/QWQ-LONGCOT-500K', 'PowerInfer/QWQ-LONGCOT-500K', 'PowerInfer/QWQ-LONGCOT-500K',
                 verified=True, tags=('chat', 'sft', '🔥', 'cot')),
    DatasetEntry('PowerInfer/LONGCOT-Refine-500K', 'PowerInfer/LONGCOT-Refine-500K', 'PowerInfer/LONGCOT-Refine-500K',
                 tags=('chat', 'sft', '🔥', 'cot')),
    DatasetEntry('ServiceNow-AI/R1-Distill-SFT', 'ServiceNow-AI/R1-Distill-SFT', 'ServiceNow-AI/R1-Distill-SFT',
                 subsets=('v0', 'v1'), columns={'reannotated_messages': 'messages'}, verified=True,
                 tags=('chat', 'sft', 'cot', 'r1')),
    DatasetEntry('bespokelabs/Bespoke-Stratos-17k', 'bespokelabs/Bespoke-Stratos-17k',
                 'bespokelabs/Bespoke-Stratos-17k', verified=True, tags=('chat', 'sft', 'cot', 'r1')),
    DatasetEntry('open-thoughts/OpenThoughts-114k', 'open-thoughts/OpenThoughts-114k',
                 'open-thoughts/OpenThoughts-114k', verified=True, tags=('chat', 'sft', 'cot', 'r1')),
    DatasetEntry('liucong/Chinese-DeepSeek-R1-Distill-data-110k-SFT',
                 'liucong/Chinese-DeepSeek-R1-Distill-data-110k-SFT',
                 'Congliu/Chinese-DeepSeek-R1-Distill-data-110k-SFT', verified=True,
                 tags=('chat', 'sft', 'cot', 'r1', '🔥')),
    DatasetEntry('FreedomIntelligence/medical-o1-reasoning-SFT', 'FreedomIntelligence/medical-o1-reasoning-SFT',
                 'FreedomIntelligence/medical-o1-reasoning-SFT', subsets=('en', 'zh'),
                 convert=partial(shapes.with_thoughts, query='Question', thoughts='Complex_CoT', response='Response'),
                 verified=True, tags=('medical', 'o1', '🔥')),
    DatasetEntry('iic/DocQA-RL-1.6K', 'iic/DocQA-RL-1.6K', 'Tongyi-Zhiwen/DocQA-RL-1.6K',
                 tags=('docqa', 'rl', 'long-sequence')),
    DatasetEntry('swift/Chinese-Qwen3-235B-2507-Distill-data-110k-SFT',
                 'swift/Chinese-Qwen3-235B-2507-Distill-data-110k-SFT', tags=('🔥', 'distill', 'sft')),
    DatasetEntry('swift/Chinese-Qwen3-235B-Thinking-2507-Distill-data-110k-SFT',
                 'swift/Chinese-Qwen3-235B-Thinking-2507-Distill-data-110k-SFT',
                 tags=('🔥', 'distill', 'sft', 'cot', 'r1', 'thinking')),
)
for _entry in ENTRIES:
    DATASETS.add(_entry)
