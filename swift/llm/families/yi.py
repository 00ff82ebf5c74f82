"""Yi of 01.AI."""

from __future__ import annotations

from swift.llm.families._shapes import CHATML, SWIFT_2, declare, like
from swift.llm.model.registry import BASE, QKV, ModelParts, Variant, add_checkpoints, add_family, hubs, under
from swift.llm.template.registry import TEMPLATES

declare(
    'sus', system_prefix=('{{SYSTEM}}',), prompt=('### Human: {{QUERY}}\n\n', '### Assistant: '),
    chat_sep=('<|endoftext|>',), suffix=('<|endoftext|>',))
_YI_TEMPLATE = like(CHATML, 'yi', auto_add_bos=True, source=f'{SWIFT_2}; Yi-34B-Chat is plain ChatML')
like(_YI_TEMPLATE, 'yi1_5', system_prefix=('{{SYSTEM}}',),
     source='Yi-1.5-9B-Chat tokenizer_config.json, whose system text has no markup')
like(CHATML, 'yi_coder', default_system='You are a helpful assistant.', stop_words=(), auto_add_bos=True)
_YI_VL_TEMPLATE = declare(
    'yi_vl', system_prefix=('{{SYSTEM}}\n\n',), prompt=((8308,), ' Human: {{QUERY}}\n', (8308,), ' Assistant:'),
    chat_sep=('\n',), suffix=('\n', (8308,)),
    default_system=(
        'This is a chat between an inquisitive human and an AI assistant. Assume the role of the AI assistant. '
        "Read all the images carefully, and respond to the human's questions with informative, helpful, detailed "
        'and polite answers. '
        '这是一个好奇的人类和一个人工智能助手之间的对话。假设你扮演这个AI助手'
        '的角色。仔细阅读所有的图像，并对人类的问题做出信息丰富、有帮助、详细的和礼貌的回答。'))
like(_YI_VL_TEMPLATE, 'yi-vl', prompt=((8308,), 'Human: {{QUERY}}\n', (8308,), 'Assistant:'), source=SWIFT_2)
TEMPLATES.alias('yi-coder', 'yi_coder')

_YI_VL = add_family(
    'yi_vl', 'LlavaLlamaForCausalLM', template='yi_vl', multimodal=True,
    parts=ModelParts(('model.layers',), ('model.mm_projector',), ('model.vision_tower',)),
    requires=('transformers>=4.34',), tags=('vision',), ids=hubs('01ai', '01-ai', 'Yi-VL-6B', 'Yi-VL-34B'))
add_checkpoints(
    _YI_VL,
    ('yi-vl-6b-chat', 'yi-vl', '01ai/Yi-VL-6B'),
    ('yi-vl-34b-chat', 'yi-vl', '01ai/Yi-VL-34B'),
    target_regex=under('model.layers', 'model.mm_projector'))
_YI = add_family(
    'yi', 'LlamaForCausalLM', template='chatml',
    ids=(*hubs('01ai', '01-ai', 'Yi-6B', 'Yi-6B-200K', 'Yi-6B-Chat', 'Yi-6B-Chat-4bits', 'Yi-6B-Chat-8bits',
               'Yi-9B', 'Yi-9B-200K', 'Yi-34B', 'Yi-34B-200K', 'Yi-34B-Chat', 'Yi-34B-Chat-4bits',
               'Yi-34B-Chat-8bits', 'Yi-1.5-6B', 'Yi-1.5-6B-Chat', 'Yi-1.5-9B', 'Yi-1.5-9B-Chat',
               'Yi-1.5-9B-Chat-16K', 'Yi-1.5-34B', 'Yi-1.5-34B-Chat', 'Yi-1.5-34B-Chat-16K'),
         *hubs('AI-ModelScope', 'modelscope', 'Yi-1.5-6B-Chat-GPTQ', 'Yi-1.5-6B-Chat-AWQ', 'Yi-1.5-9B-Chat-GPTQ',
               'Yi-1.5-9B-Chat-AWQ', 'Yi-1.5-34B-Chat-GPTQ', 'Yi-1.5-34B-Chat-AWQ')),
    variants=(
        Variant('yi_coder', tags=('coding',),
            ids=hubs('01ai', '01-ai', 'Yi-Coder-1.5B', 'Yi-Coder-9B', 'Yi-Coder-1.5B-Chat', 'Yi-Coder-9B-Chat')),
        Variant('sus', (('SUSTC/SUS-Chat-34B', 'SUSTech/SUS-Chat-34B'),))))
add_checkpoints(
    _YI,
    ('yi-6b', BASE, '01ai/Yi-6B'),
    ('yi-9b-200k', BASE, '01ai/Yi-9B-200K'),
    ('yi-9b', BASE, '01ai/Yi-9B'),
    ('yi-6b-200k', BASE, '01ai/Yi-6B-200K'),
    ('yi-34b', BASE, '01ai/Yi-34B'),
    ('yi-34b-200k', BASE, '01ai/Yi-34B-200K'),
    ('yi-34b-chat', 'chatml', '01ai/Yi-34B-Chat'),
    ('yi-6b-chat', 'chatml', '01ai/Yi-6B-Chat'),
    ('yi-coder-9b-chat', 'yi_coder', '01ai/Yi-Coder-9B-Chat'),
    ('yi-coder-1_5b-chat', 'yi_coder', '01ai/Yi-Coder-1.5B-Chat'),
    ('yi-coder-9b', BASE, '01ai/Yi-Coder-9B'),
    ('yi-coder-1_5b', BASE, '01ai/Yi-Coder-1.5B'),
    ('sus-34b-chat', 'sus', 'SUSTC/SUS-Chat-34B'),
    ('yi-1_5-34b-chat-16k', 'chatml', '01ai/Yi-1.5-34B-Chat-16K'),
    ('yi-1_5-34b-chat', 'chatml', '01ai/Yi-1.5-34B-Chat'),
    ('yi-1_5-34b', BASE, '01ai/Yi-1.5-34B'),
    ('yi-1_5-9b-chat-16k', 'chatml', '01ai/Yi-1.5-9B-Chat-16K'),
    ('yi-1_5-9b-chat', 'chatml', '01ai/Yi-1.5-9B-Chat'),
    ('yi-1_5-9b', BASE, '01ai/Yi-1.5-9B'),
    ('yi-1_5-6b-chat', 'chatml', '01ai/Yi-1.5-6B-Chat'),
    ('yi-1_5-6b', BASE, '01ai/Yi-1.5-6B'),
    target_modules=QKV)
add_checkpoints(
    _YI,
    ('yi-34b-chat-int8', 'chatml', '01ai/Yi-34B-Chat-8bits'),
    ('yi-6b-chat-int8', 'chatml', '01ai/Yi-6B-Chat-8bits'),
    target_modules=QKV, requires=('auto_gptq',), dtype='float16')
add_checkpoints(
    _YI,
    ('yi-34b-chat-awq', 'chatml', '01ai/Yi-34B-Chat-4bits'),
    ('yi-6b-chat-awq', 'chatml', '01ai/Yi-6B-Chat-4bits'),
    ('yi-1_5-34b-chat-awq-int4', 'chatml', 'AI-ModelScope/Yi-1.5-34B-Chat-AWQ'),
    ('yi-1_5-9b-chat-awq-int4', 'chatml', 'AI-ModelScope/Yi-1.5-9B-Chat-AWQ'),
    ('yi-1_5-6b-chat-awq-int4', 'chatml', 'AI-ModelScope/Yi-1.5-6B-Chat-AWQ'),
    target_modules=QKV, requires=('autoawq',), dtype='float16')
add_checkpoints(
    _YI,
    ('yi-1_5-34b-chat-gptq-int4', 'chatml', 'AI-ModelScope/Yi-1.5-34B-Chat-GPTQ'),
    ('yi-1_5-9b-chat-gptq-int4', 'chatml', 'AI-ModelScope/Yi-1.5-9B-Chat-GPTQ'),
    ('yi-1_5-6b-chat-gptq-int4', 'chatml', 'AI-ModelScope/Yi-1.5-6B-Chat-GPTQ'),
    target_modules=QKV, requires=('auto_gptq>=0.5',), dtype='float16')
