"""Plain text for pre-training."""

from __future__ import annotations

from functools import partial

from swift.llm.dataset import shapes
from swift.llm.dataset.registry import DATASETS, DatasetEntry

ENTRIES = (
    DatasetEntry('ruozhiba', 'AI-ModelScope/ruozhiba', subsets=('post-annual', 'title-good', 'title-norm'),
                 convert=shapes.ruozhiba, verified=True, tags=('pretrain', '🔥')),
    DatasetEntry('tigerbot-law-zh', 'AI-ModelScope/tigerbot-law-plugin', 'TigerResearch/tigerbot-law-plugin',
                 convert=shapes.law_text, verified=True, tags=('text-generation', 'law', 'pretrained')),
    DatasetEntry('chinese-c4', 'swift/chinese-c4', 'shjwudp/chinese-c4', huge=True, tags=('pretrain', 'zh', 'quality')),
    DatasetEntry('c4', hf_id='allenai/c4', huge=True, verified=True, tags=('pretrain', 'quality')),
    DatasetEntry('dolma', 'swift/dolma', 'allenai/dolma', subsets=('v1_7',), huge=True, verified=True,
                 tags=('pretrain', 'quality')),
    DatasetEntry('fineweb', hf_id='HuggingFaceFW/fineweb', huge=True, verified=True, tags=('pretrain', 'quality')),
    DatasetEntry('rwkv-pretrain-web', 'mapjack/openwebtext_dataset', huge=True, verified=True,
                 tags=('pretrain', 'zh', 'quality')),
    DatasetEntry('refinedweb', hf_id='tiiuae/falcon-refinedweb', columns={'content': 'response'}, huge=True,
                 verified=True, tags=('pretrain', 'quality')),
    DatasetEntry('redpajama-data-v2', 'swift/RedPajama-Data-V2', 'togethercomputer/RedPajama-Data-V2',
                 columns={'raw_content': 'response'}, huge=True, verified=True, tags=('pretrain', 'quality')),
    DatasetEntry('redpajama-data-1t', 'swift/RedPajama-Data-1T', 'togethercomputer/RedPajama-Data-1T', huge=True,
                 verified=True, tags=('pretrain', 'quality')),
    DatasetEntry('wikipedia', 'swift/wikipedia', 'wikipedia', huge=True, verified=True, tags=('pretrain', 'quality')),
    DatasetEntry('wikipedia-cn-filtered', 'AI-ModelScope/wikipedia-cn-20230720-filtered',
                 'pleisto/wikipedia-cn-20230720-filtered', columns={'completion': 'response'}, verified=True,
                 tags=('pretrain', 'quality')),
    DatasetEntry('pile', 'AI-ModelScope/pile', 'EleutherAI/pile', huge=True, verified=True, tags=('pretrain',)),
    DatasetEntry('skypile', 'AI-ModelScope/SkyPile-150B', 'Skywork/SkyPile-150B', huge=True, verified=True,
                 tags=('pretrain', 'quality', 'zh')),
    DatasetEntry('the-stack', 'AI-ModelScope/the-stack', 'bigcode/the-stack', columns={'content': 'response'},
                 huge=True, verified=True, tags=('pretrain', 'quality')),
    DatasetEntry('starcoder', 'AI-ModelScope/starcoderdata', 'bigcode/starcoderdata', columns={'content': 'response'},
                 huge=True, verified=True, tags=('pretrain', 'quality')),
    DatasetEntry('wikipedia-zh', 'AI-ModelScope/wikipedia-cn-20230720-filtered',
                 'pleisto/wikipedia-cn-20230720-filtered', columns={'completion': 'response'}, verified=True,
                 tags=('text-generation', 'general', 'pretrained')),
    DatasetEntry('slim-pajama-627b', hf_id='cerebras/SlimPajama-627B', huge=True, verified=True,
                 tags=('pretrain', 'quality')),
    DatasetEntry('moondream2-coyo-5M', 'swift/moondream2-coyo-5M-captions', 'isidentical/moondream2-coyo-5M-captions',
                 convert=partial(shapes.captioned, query='What is the caption of this image?', image='url',
                                 response='moondream2_caption'), huge=True, verified=True,
                 tags=('caption', 'pretrain', 'quality')),
    DatasetEntry('github-code', 'swift/github-code', 'codeparrot/github-code', columns={'code': 'response'}, huge=True,
                 verified=True, tags=('pretrain', 'quality')),
    DatasetEntry('pileval', 'swift/pile-val-backup', 'mit-han-lab/pile-val-backup', split=('validation',),
                 verified=True, tags=('text-generation', 'awq')),
    DatasetEntry('AI-ModelScope/wikipedia-cn-20230720-filtered', 'AI-ModelScope/wikipedia-cn-20230720-filtered',
                 'pleisto/wikipedia-cn-20230720-filtered', huge=True, verified=True, tags=('pretrain', 'quality')),
)
for _entry in ENTRIES:
    DATASETS.add(_entry)
