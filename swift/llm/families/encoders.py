"""Encoders, embedding models and rerankers."""

from __future__ import annotations

from swift.llm.families._shapes import CHATML, declare, like
from swift.llm.model.registry import QWEN_VL_PARTS, ModelParts, add_family, hubs
from swift.llm.template.chat_template import Thinking

_DUMMY_TEMPLATE = declare(
    'dummy', prompt=('{{QUERY}}',), chat_sep=None, suffix=(('eos_token',),), auto_add_bos=True)
declare('bge_reranker', prefix=('<s> ',), prompt=('{{QUERY}}</s></s> ',), chat_sep=(), suffix=('</s>',))
like(_DUMMY_TEMPLATE, 'bert', prompt=('{{QUERY}}[SEP]',), chat_sep=('[SEP]',))
_QWEN3_EMB_TEMPLATE = like(
    _DUMMY_TEMPLATE, 'qwen3_emb', chat_sep=(), suffix=('<|endoftext|>',), auto_add_bos=False)
_QWEN3_RERANKER_TEMPLATE = like(
    CHATML, 'qwen3_reranker',
    default_system=(
        'Judge whether the Document meets the requirements based on the Query and the Instruct provided. Note '
        'that the answer can only be "yes" or "no".'),
    thinking=Thinking(empty='<think>\n\n</think>\n\n'))
_QWEN3_5_EMB_TEMPLATE = like(
    _QWEN3_RERANKER_TEMPLATE, 'qwen3_5_emb', suffix=('<|endoftext|>',),
    default_system="Represent the user's input.", dialect='hermes',
    thinking=Thinking(prefix='<think>\n', empty='<think>\n\n</think>\n\n'))
like(_QWEN3_5_EMB_TEMPLATE, 'qwen2_gme', default_system='You are a helpful assistant.', thinking=None)
like(_QWEN3_EMB_TEMPLATE, 'jina_reranker_m0', suffix=(('eos_token',),))

add_family(
    'bge_reranker', 'XLMRobertaForSequenceClassification', template='bge_reranker', task_type='reranker',
    ids=('BAAI/bge-reranker-base', 'BAAI/bge-reranker-v2-m3', 'BAAI/bge-reranker-large'))
add_family(
    'modern_bert', 'ModernBertForMaskedLM', template='dummy', requires=('transformers>=4.48',), tags=('bert',),
    ids=('answerdotai/ModernBERT-base', 'answerdotai/ModernBERT-large'))
add_family(
    'modern_bert_gte', 'ModernBertModel', template='dummy', requires=('transformers>=4.48',),
    tags=('bert', 'embedding'), ids=(('iic/gte-modernbert-base', 'Alibaba-NLP/gte-modernbert-base'),))
add_family(
    'modern_bert_gte_reranker', 'ModernBertForSequenceClassification', template='bert',
    requires=('transformers>=4.48',), tags=('bert', 'reranker'), task_type='reranker',
    ids=(('iic/gte-reranker-modernbert-base', 'Alibaba-NLP/gte-reranker-modernbert-base'),))
add_family('bert', template='dummy', tags=('bert',), ids=(('iic/nlp_structbert_backbone_base_std', None),))
add_family(
    'qwen3_5_emb', 'Qwen3_5ForConditionalGeneration', template='qwen3_5_emb', multimodal=True,
    parts=ModelParts(('language_model',), ('visual.merger',), ('visual',)),
    requires=('transformers>=5.0.0.dev', 'qwen_vl_utils>=0.0.14', 'decord'), tags=('vision', 'video'),
    ids=('iic/UEmbed-2B',))
add_family(
    'qwen3_emb', 'Qwen3ForCausalLM', template='qwen3_emb',
    ids=('Qwen/Qwen3-Embedding-0.6B', 'Qwen/Qwen3-Embedding-4B', 'Qwen/Qwen3-Embedding-8B'))
add_family(
    'qwen3_reranker', 'Qwen3ForCausalLM', template='qwen3_reranker',
    ids=('Qwen/Qwen3-Reranker-0.6B', 'Qwen/Qwen3-Reranker-4B', 'Qwen/Qwen3-Reranker-8B'))
add_family('gemma_emb', 'Gemma3TextModel', template='dummy', ids=('google/embeddinggemma-300m',))
add_family(
    'qwen2_gte', 'Qwen2ForCausalLM', template='dummy',
    ids=(('iic/gte_Qwen2-1.5B-instruct', 'Alibaba-NLP/gte-Qwen2-1.5B-instruct'),
         ('iic/gte_Qwen2-7B-instruct', 'Alibaba-NLP/gte-Qwen2-7B-instruct')))
add_family(
    'qwen2_gme', 'Qwen2VLForConditionalGeneration', template='qwen2_gme', multimodal=True, parts=QWEN_VL_PARTS,
    tags=('vision',), ids=hubs('iic', 'Alibaba-NLP', 'gme-Qwen2-VL-2B-Instruct', 'gme-Qwen2-VL-7B-Instruct'))
add_family(
    'jina_reranker_m0', 'JinaRerankerM0ForConditionalGeneration', template='jina_reranker_m0', multimodal=True,
    parts=QWEN_VL_PARTS, tags=('reranker', 'vision'), task_type='reranker', ids=('JinaAI/jina-reranker-m0',))
