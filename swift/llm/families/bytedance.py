"""Seed-OSS, SAIL-VL and Valley of ByteDance."""

from __future__ import annotations

from swift.llm.families._shapes import CHATML, declare, like
from swift.llm.model.registry import ModelParts, add_family
from swift.llm.template.chat_template import Thinking, WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.seed import NO_THINKING, write_seed_oss

TEMPLATES.add(WrittenTemplate(
    'seed_oss', write_seed_oss, options=('thinking_budget', 'use_json_tooldef'), dialect='seed_oss',
    thinking=Thinking(empty=NO_THINKING, tags=('<seed:think>', '</seed:think>')),
    source='Seed-OSS-36B-Instruct chat_template (llama.cpp models/templates/ByteDance-Seed-OSS.jinja)'))
declare(
    'sail_vl2', system_prefix=('<|im_start|>system\n{{SYSTEM}}<|im_end|>',),
    prompt=('<|im_start|>user\n{{QUERY}}<|im_end|>', '<|im_start|>assistant\n'), chat_sep=('<|im_end|>',),
    suffix=('<|im_end|>\n',),
    default_system='你是由抖音内容理解组开发的多模态大模型，英文名叫UniVL, 是一个有用无害的人工智能助手。',
    auto_add_bos=True)
like(
    CHATML, 'valley',
    default_system=(
        'You are Valley, a large language and vision assistant trained by ByteDance.You are able to understand '
        'the visual content or video that the user provides, and assist the user with a variety of tasks using '
        'natural language.Follow the instructions carefully and explain your answers in detail.'),
    stop_words=())

add_family(
    'sail_vl2', 'SAILVLModel', template='sail_vl2', multimodal=True,
    parts=ModelParts(('language_model',), ('mlp1',), ('vision_model',)), requires=('transformers<=4.51.3',),
    tags=('vision',),
    ids=('BytedanceDouyinContent/SAIL-VL2-2B', 'BytedanceDouyinContent/SAIL-VL2-2B-Thinking',
         'BytedanceDouyinContent/SAIL-VL2-8B', 'BytedanceDouyinContent/SAIL-VL2-8B-Thinking'))
add_family(
    'seed_oss', 'SeedOssForCausalLM', template='seed_oss', requires=('transformers>=4.56',),
    ids=('ByteDance-Seed/Seed-OSS-36B-Instruct', 'ByteDance-Seed/Seed-OSS-36B-Base',
         'ByteDance-Seed/Seed-OSS-36B-Base-woSyn'))
add_family(
    'valley', 'ValleyQwen2ForCausalLM', template='valley', multimodal=True,
    parts=ModelParts(('model',), vision_tower=('model.vision_tower', 'model.qwen2vl_vision_tower')),
    requires=('transformers>=4.42', 'av'), tags=('vision',), ids=(('bytedance-research/Valley-Eagle-7B', None),))
