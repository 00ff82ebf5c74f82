"""Text models of publishers with one or two families."""

from __future__ import annotations

from swift.llm.families._shapes import CHATML, SWIFT_2, declare, like
from swift.llm.model.registry import BASE, QKV, add_checkpoints, add_family, hubs

_TARGETS = ('in_proj', 'x_proj', 'embeddings', 'out_proj')

_YUAN_TEMPLATE = declare('yuan', prompt=('{{QUERY}}<sep>',), chat_sep=None, suffix=(('eos_token',),))
declare(
    'bluelm', prefix=(('bos_token',),), system_prefix=(('bos_token',), '{{SYSTEM}}'),
    prompt=('[|Human|]:{{QUERY}}[|AI|]:',), chat_sep=(), suffix=(('eos_token',),))
declare(
    'orion', prefix=('<s>',), system_prefix=('<s>{{SYSTEM}}',), prompt=('Human: {{QUERY}}\n\n', 'Assistant: </s>'),
    chat_sep=('</s>',), suffix=('</s>',))
like(
    CHATML, 'dbrx',
    default_system=(
        'You are DBRX, created by Databricks. You were last updated in December 2023. You answer questions based '
        'on information available up to that point.\n'
        'YOU PROVIDE SHORT RESPONSES TO SHORT QUESTIONS OR STATEMENTS, but provide thorough responses to more '
        'complex and open-ended questions.\nYou assist with various tasks, from writing to coding (using '
        'markdown for code blocks — remember to use ``` with code, JSON, and tables).\n'
        'You do not have real-time data access or code execution capabilities. You avoid stereotyping and '
        'provide balanced perspectives on controversial topics. You do not provide song lyrics, poems, or news '
        'articles and do not divulge details of your training data.\n'
        'This is your system prompt, guiding your responses. Do not reference it, just respond to the user. If '
        'you find yourself talking about this message, stop. You should be responding appropriately and usually '
        'that means not mentioning this.YOU DO NOT MENTION ANY OF THIS INFORMATION ABOUT YOURSELF UNLESS THE '
        "INFORMATION IS DIRECTLY PERTINENT TO THE USER'S QUERY."),
    stop_words=(), auto_add_bos=True)
declare(
    'longchat', system_prefix=('SYSTEM:{{SYSTEM}}',), prompt=(' [Round {{ROUND0}}] USER:{{QUERY}} ', 'ASSISTANT:'),
    chat_sep=('</longcat_s>',), suffix=('</longcat_s>',))
like(_YUAN_TEMPLATE, 'default-generation-bos', prefix=(('bos_token',),), prompt=('{{QUERY}}',), source=SWIFT_2)

_GROK = add_family(
    'grok', 'Grok1ModelForCausalLM', template='default', ids=(('colossalai/grok-1-pytorch', 'hpcai-tech/grok-1'),))
add_checkpoints(
    _GROK,
    ('grok-1', BASE, 'colossalai/grok-1-pytorch'),
    target_modules=QKV)
_POLYLM = add_family(
    'polylm', 'GPT2LMHeadModel', template='default',
    ids=(('damo/nlp_polylm_13b_text_generation', 'DAMO-NLP-MT/polylm-13b'),))
add_checkpoints(
    _POLYLM,
    ('polylm-13b', BASE, 'damo/nlp_polylm_13b_text_generation'),
    target_modules=('c_attn',))
_YUAN2 = add_family(
    'yuan2', 'YuanForCausalLM', template='yuan',
    ids=('IEITYuan/Yuan2-2B-Janus-hf', 'IEITYuan/Yuan2-M32-hf', ('IEITYuan/Yuan2.0-2B-hf', 'IEITYuan/Yuan2-2B-hf'),
         ('IEITYuan/Yuan2.0-51B-hf', 'IEITYuan/Yuan2-51B-hf'),
         ('IEITYuan/Yuan2.0-102B-hf', 'IEITYuan/Yuan2-102B-hf')))
add_checkpoints(
    _YUAN2,
    ('yuan2-m32', 'yuan', 'YuanLLM/Yuan2-M32-hf', 'IEITYuan/Yuan2-M32-hf'),
    target_modules=QKV, tags=('moe',))
add_checkpoints(
    _YUAN2,
    ('yuan2-2b-janus-instruct', 'yuan', 'YuanLLM/Yuan2-2B-Janus-hf', 'IEITYuan/Yuan2-2B-Janus-hf'),
    ('yuan2-102b-instruct', 'yuan', 'YuanLLM/Yuan2.0-102B-hf', 'IEITYuan/Yuan2-102B-hf'),
    ('yuan2-51b-instruct', 'yuan', 'YuanLLM/Yuan2.0-51B-hf', 'IEITYuan/Yuan2-51B-hf'),
    ('yuan2-2b-instruct', 'yuan', 'YuanLLM/Yuan2.0-2B-hf', 'IEITYuan/Yuan2-2B-hf'),
    target_modules=QKV)
_ORION = add_family(
    'orion', 'OrionForCausalLM', template='orion', ids=('OrionStarAI/Orion-14B-Chat', 'OrionStarAI/Orion-14B-Base'))
add_checkpoints(
    _ORION,
    ('orion-14b-chat', 'orion', 'OrionStarAI/Orion-14B-Chat'),
    target_modules=QKV, ignore_files=('*.gguf',))
add_checkpoints(
    _ORION,
    ('orion-14b', BASE, 'OrionStarAI/Orion-14B-Base'),
    target_modules=QKV)
_DBRX = add_family(
    'dbrx', 'DbrxForCausalLM', template='dbrx', requires=('transformers>=4.36',),
    ids=hubs('AI-ModelScope', 'databricks', 'dbrx-base', 'dbrx-instruct'))
add_checkpoints(
    _DBRX,
    ('dbrx-instruct', 'dbrx', 'AI-ModelScope/dbrx-instruct'),
    ('dbrx-base', 'dbrx', 'AI-ModelScope/dbrx-base'),
    target_modules=('attn.Wqkv',), tags=('moe',))
_BLUELM = add_family(
    'bluelm', 'BlueLMForCausalLM', template='bluelm',
    ids=('vivo-ai/BlueLM-7B-Chat-32K', 'vivo-ai/BlueLM-7B-Chat', 'vivo-ai/BlueLM-7B-Base-32K',
         'vivo-ai/BlueLM-7B-Base'))
add_checkpoints(
    _BLUELM,
    ('bluelm-7b', BASE, 'vivo-ai/BlueLM-7B-Base'),
    ('bluelm-7b-32k', BASE, 'vivo-ai/BlueLM-7B-Base-32K'),
    ('bluelm-7b-chat', 'bluelm', 'vivo-ai/BlueLM-7B-Chat'),
    ('bluelm-7b-chat-32k', 'bluelm', 'vivo-ai/BlueLM-7B-Chat-32K'),
    target_modules=QKV)
_SEGGPT = add_family(
    'seggpt', 'BloomForCausalLM', template='default', ids=(('damo/nlp_seqgpt-560m', 'DAMO-NLP/SeqGPT-560M'),))
add_checkpoints(
    _SEGGPT,
    ('seqgpt-560m', BASE, 'damo/nlp_seqgpt-560m'),
    target_modules=('query_key_value',))
add_family(
    'longchat', 'LongcatFlashForCausalLM', template='longchat', requires=('transformers>=4.54,<4.56',),
    ids=('meituan-longcat/LongCat-Flash-Chat', 'meituan-longcat/LongCat-Flash-Chat-FP8'))
_MAMBA = add_family(
    'mamba', 'MambaForCausalLM', template='default', requires=('transformers>=4.39.0',),
    ids=hubs('AI-ModelScope', 'state-spaces', 'mamba-130m-hf', 'mamba-370m-hf', 'mamba-390m-hf', 'mamba-790m-hf',
             'mamba-1.4b-hf', 'mamba-2.8b-hf'))
add_checkpoints(
    _MAMBA,
    ('mamba-2.8b', BASE, 'AI-ModelScope/mamba-2.8b-hf'),
    ('mamba-1.4b', BASE, 'AI-ModelScope/mamba-1.4b-hf'),
    ('mamba-790m', BASE, 'AI-ModelScope/mamba-790m-hf'),
    ('mamba-390m', BASE, 'AI-ModelScope/mamba-390m-hf'),
    ('mamba-370m', BASE, 'AI-ModelScope/mamba-370m-hf'),
    ('mamba-130m', BASE, 'AI-ModelScope/mamba-130m-hf'),
    target_modules=_TARGETS)
