"""Tool use and agents."""

from __future__ import annotations

from functools import partial

from swift.llm.dataset import shapes
from swift.llm.dataset.registry import DATASETS, DatasetEntry, Subset

ENTRIES = (
    DatasetEntry('damo-agent-zh-mini', 'damo/MSAgent-Bench', split=('train', 'validation'),
                 expand=shapes.several_plugins, verified=True, tags=('chat', 'agent', 'multi-round')),
    DatasetEntry('damo-agent-zh', 'damo/MSAgent-Bench', split=('train', 'validation'), verified=True,
                 tags=('chat', 'agent', 'multi-round')),
    DatasetEntry('toolbench-for-alpha-umi', 'shenweizhou/alpha-umi-toolbench-processed-v2',
                 subsets=('backbone', 'caller', 'planner', 'summarizer'), convert=shapes.alpha_umi, huge=True,
                 verified=True, tags=('chat', 'agent', '🔥')),
    DatasetEntry('agent-instruct-all-en', 'huangjintao/AgentInstruct_copy',
                 subsets=('alfworld', 'db', 'kg', 'mind2web', 'os', 'webshop'),
                 convert=partial(shapes.mended, column='conversations'), verified=True,
                 tags=('chat', 'agent', 'multi-round')),
    DatasetEntry('ms-agent-multirole', 'iic/MSAgent-MultiRole',
                 tags=('chat', 'agent', 'multi-round', 'role-play', 'multi-agent')),
    DatasetEntry('toolbench', 'swift/ToolBench', verified=True, tags=('chat', 'agent', 'multi-round')),
    DatasetEntry('ms-agent-for-agentfabric', 'AI-ModelScope/ms_agent_for_agentfabric', subsets=('default', 'addition'),
                 tags=('chat', 'agent', 'multi-round', '🔥')),
    DatasetEntry('ms-agent', 'iic/ms_agent', verified=True, tags=('chat', 'agent', 'multi-round', '🔥')),
    DatasetEntry('msagent-pro', 'iic/MSAgent-Pro', verified=True, tags=('chat', 'agent', 'multi-round', '🔥')),
    DatasetEntry('damo/MSAgent-Bench', 'damo/MSAgent-Bench',
                 subsets=('default', Subset('mini', 'default', expand=shapes.several_plugins, weak=True)),
                 split=('train', 'validation'), verified=True, tags=('chat', 'agent', 'multi-round')),
    DatasetEntry('LLM-Research/xlam-function-calling-60k', 'LLM-Research/xlam-function-calling-60k',
                 'Salesforce/xlam-function-calling-60k',
                 subsets=(Subset('default', 'dataset'),
                          Subset('grpo', 'dataset', convert=shapes.function_calls_to_check)),
                 convert=shapes.function_calls, named=('default',), verified=True, tags=('agent', 'grpo', '🔥')),
    DatasetEntry('AI-ModelScope/function-calling-chatml', 'AI-ModelScope/function-calling-chatml',
                 'Locutusque/function-calling-chatml', tags=('agent', 'en', 'sft', '🔥')),
)
for _entry in ENTRIES:
    DATASETS.add(_entry)
