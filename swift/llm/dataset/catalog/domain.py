"""Law, medicine, finance, literature and other fields."""

from __future__ import annotations

from swift.llm.dataset.registry import DATASETS, DatasetEntry

ENTRIES = (
    DatasetEntry('zhihu-kol-filtered', 'OmniData/Zhihu-KOL-More-Than-100-Upvotes',
                 'bzb2023/Zhihu-KOL-More-Than-100-Upvotes', columns={'INSTRUCTION': 'query', 'RESPONSE': 'response'},
                 verified=True, tags=('zhihu', 'qa')),
    DatasetEntry('zhihu-kol', 'OmniData/Zhihu-KOL', 'wangrui6/Zhihu-KOL',
                 columns={'INSTRUCTION': 'query', 'RESPONSE': 'response'}, huge=True, verified=True,
                 tags=('zhihu', 'qa')),
    DatasetEntry('finance-en', 'wyj123456/finance_en', 'ssbuild/alpaca_finance_en', verified=True,
                 tags=('chat', 'financial')),
    DatasetEntry('poison-mpts', 'iic/100PoisonMpts', columns={'prompt': 'query', 'answer': 'response'}, verified=True,
                 tags=('poison-management', 'zh')),
    DatasetEntry('poetry-zh', 'modelscope/chinese-poetry-collection', split=('test',), columns={'text1': 'response'},
                 verified=True, tags=('text-generation', 'poetry')),
    DatasetEntry('lawyer-llama-zh', 'AI-ModelScope/lawyer_llama_data', 'Skepsun/lawyer_llama_data',
                 columns={'instruction': 'query', 'output': 'response', 'history': '-'}, verified=True,
                 tags=('chat', 'law')),
    DatasetEntry('webnovel-zh', 'AI-ModelScope/webnovel_cn', 'zxbsmk/webnovel_cn', verified=True,
                 tags=('chat', 'novel')),
    DatasetEntry('generated-chat-zh', 'AI-ModelScope/generated_chat_0.4M', 'BelleGroup/generated_chat_0.4M',
                 verified=True, tags=('chat', 'character-dialogue')),
    DatasetEntry('disc-law-sft-zh', 'AI-ModelScope/DISC-Law-SFT', 'ShengbinYue/DISC-Law-SFT',
                 columns={'input': 'query', 'output': 'response'}, verified=True, tags=('chat', 'law', '🔥')),
    DatasetEntry('disc-med-sft-zh', 'AI-ModelScope/DISC-Med-SFT', 'Flmc/DISC-Med-SFT', verified=True,
                 tags=('chat', 'medical', '🔥')),
    DatasetEntry('medical-en', 'swift/medical_zh', subsets=('en',), split=('train', 'val', 'test'),
                 columns={'input': 'query', 'output': 'response'}, verified=True, tags=('chat', 'medical')),
    DatasetEntry('medical-zh', 'swift/medical_zh', subsets=('zh',), split=('train', 'val', 'test'),
                 columns={'instruction': 'query', 'output': 'response'}, verified=True, tags=('chat', 'medical')),
    DatasetEntry('swift/medical_zh', 'swift/medical_zh', subsets=('en', 'zh'), split=('train', 'val', 'test'),
                 verified=True, tags=('chat', 'medical')),
)
for _entry in ENTRIES:
    DATASETS.add(_entry)
