"""Classification, extraction, similarity, ranking and other single tasks."""

from __future__ import annotations

from functools import partial

from swift.llm.dataset import shapes
from swift.llm.dataset.registry import DATASETS, DatasetEntry, Subset

_ADVERTISE = 'Task: Generating advertisements based on keywords.\nKeywords: {content}\nAdvertisements:'
_HC3_CLS = partial(shapes.human_or_chatgpt, to_text=False)

ENTRIES = (
    DatasetEntry('advertise-gen-zh', 'lvjianjin/AdvertiseGen', 'shibing624/AdvertiseGen', split=('train', 'validation'),
                 convert=partial(shapes.filled, query=_ADVERTISE, response='{summary}'), verified=True,
                 tags=('text-generation', '🔥')),
    DatasetEntry('cmnli-zh', 'modelscope/clue', 'clue', subsets=('cmnli',), split=('train', 'validation'),
                 convert=partial(shapes.classified, task='Natural Language Inference',
                                 labels=('neutral', 'entailment', 'contradiction'), columns=('sentence1', 'sentence2')),
                 verified=True, tags=('text-generation', 'classification')),
    DatasetEntry('jd-sentiment-zh', 'DAMO_NLP/jd',
                 subsets=('default',
                          Subset('cls', 'default',
                                 convert=partial(shapes.classified, task='', labels=(), to_text=False))),
                 named=('default',), split=('train', 'validation'),
                 convert=partial(shapes.classified, task='Sentiment Classification', labels=('negative', 'positive')),
                 verified=True, tags=('text-generation', 'classification', '🔥')),
    DatasetEntry('dureader-robust-zh', 'modelscope/DuReader_robust-QG', split=('train', 'validation', 'test'),
                 convert=shapes.text_pair, verified=True, tags=('text-generation', '🔥')),
    DatasetEntry('hc3-zh', 'simpleai/HC3-Chinese', 'Hello-SimpleAI/HC3-Chinese',
                 subsets=(Subset('baike'), Subset('baike_cls', 'baike', expand=_HC3_CLS), Subset('open_qa'),
                          Subset('open_qa_cls', 'open_qa', expand=_HC3_CLS), Subset('nlpcc_dbqa'),
                          Subset('nlpcc_dbqa_cls', 'nlpcc_dbqa', expand=_HC3_CLS), Subset('finance'),
                          Subset('finance_cls', 'finance', expand=_HC3_CLS), Subset('medicine'),
                          Subset('medicine_cls', 'medicine', expand=_HC3_CLS), Subset('law'),
                          Subset('law_cls', 'law', expand=_HC3_CLS), Subset('psychology'),
                          Subset('psychology_cls', 'psychology', expand=_HC3_CLS)),
                 named=('baike', 'open_qa', 'nlpcc_dbqa', 'finance', 'medicine', 'law', 'psychology'),
                 expand=shapes.human_or_chatgpt, verified=True, tags=('text-generation', 'classification', '🔥')),
    DatasetEntry('hc3-en', 'simpleai/HC3', 'Hello-SimpleAI/HC3',
                 subsets=(Subset('finance'), Subset('finance_cls', 'finance', expand=_HC3_CLS), Subset('medicine'),
                          Subset('medicine_cls', 'medicine', expand=_HC3_CLS)), named=('finance', 'medicine'),
                 expand=shapes.human_or_chatgpt, verified=True, tags=('text-generation', 'classification', '🔥')),
    DatasetEntry('cls-fudan-news-zh', 'damo/zh_cls_fudan-news', columns={'prompt': 'query', 'answer': 'response'},
                 verified=True, tags=('chat', 'classification')),
    DatasetEntry('ner-jave-zh', 'damo/zh_ner-JAVE', columns={'prompt': 'query', 'answer': 'response'}, verified=True,
                 tags=('chat', 'ner')),
    DatasetEntry('sentence-transformers/stsb', 'sentence-transformers/stsb', 'sentence-transformers/stsb',
                 subsets=(Subset('default', convert=partial(shapes.similar, how='embed')),
                          Subset('positive', 'default', expand=partial(shapes.alike, least=0.75),
                                 convert=partial(shapes.similar, how='embed')),
                          Subset('generate', 'default', convert=partial(shapes.similar, how='tell')),
                          Subset('reg', 'default', convert=partial(shapes.similar, how='rate'))), named=('default',),
                 verified=True, tags=('similarity', '🔥')),
    DatasetEntry('MTEB/scidocs-reranking', 'MTEB/scidocs-reranking', 'mteb/scidocs-reranking',
                 split=('validation', 'test'), convert=shapes.ranked, verified=True, tags=('rerank', '🔥')),
    DatasetEntry('MTEB/stackoverflowdupquestions-reranking', 'MTEB/stackoverflowdupquestions-reranking',
                 'mteb/stackoverflowdupquestions-reranking', split=('train', 'test'), convert=shapes.ranked,
                 verified=True, tags=('rerank', '🔥')),
)
for _entry in ENTRIES:
    DATASETS.add(_entry)
