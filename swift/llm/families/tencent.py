"""Hunyuan and Youtu of Tencent."""

from __future__ import annotations

from swift.llm.families._shapes import declare
from swift.llm.model.registry import ModelParts, Variant, add_family, hubs
from swift.llm.template.chat_template import Thinking, WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.tencent import write_hunyuan_a13b, write_hy3

declare(
    'hunyuan_moe', prefix=('<|startoftext|>',), system_prefix=('<|startoftext|>{{SYSTEM}}<|extra_4|>',),
    prompt=('{{QUERY}}<|extra_0|>',), chat_sep=('<|eos|><|startoftext|>',), suffix=('<|eos|>',))
declare(
    'hunyuan', prefix=('<｜hy_begin▁of▁sentence｜>',),
    system_prefix=('<｜hy_begin▁of▁sentence｜>{{SYSTEM}}<｜hy_place▁holder▁no▁3｜>',),
    prompt=('<｜hy_User｜>{{QUERY}}<｜hy_Assistant｜>',), chat_sep=('<｜hy_place▁holder▁no▁2｜>',),
    suffix=('<｜hy_place▁holder▁no▁2｜>',), dialect='hunyuan_hermes',
    thinking=Thinking(empty='<think>\n\n</think>\n'))
declare(
    'hy_v3_preview', prefix=('<｜hy_begin▁of▁sentence｜>',),
    system_prefix=('<｜hy_begin▁of▁sentence｜>{{SYSTEM}}',), prompt=('<｜hy_User｜>{{QUERY}}<｜hy_Assistant｜>',),
    chat_sep=('<｜hy_eos｜>',), suffix=('<｜hy_eos｜>',), dialect='hy_v3_preview',
    thinking=Thinking(prefix='<think>', empty='<think></think>', history='<think></think>'))
TEMPLATES.add(WrittenTemplate(
    'hy_v3', write_hy3, options=('reasoning_effort', 'preserved_thinking', 'is_training'), dialect='hy_v3',
    thinking=Thinking(prefix='<think:opensource>', empty='<think:opensource></think:opensource>',
                      history='<think:opensource></think:opensource>',
                      tags=('<think:opensource>', '</think:opensource>')),
    source='Hy3 chat_template (llama.cpp models/templates)'))
TEMPLATES.add(WrittenTemplate(
    'hunyuan_a13b', write_hunyuan_a13b, drops=frozenset({'reasoning'}), options=('enable_thinking',),
    dialect='hunyuan_a13b', source='Hunyuan-A13B-Instruct as in vLLM examples/tool_chat_template_hunyuan_a13b.jinja'))
for _alias in ('hunyuan_hy3', 'hy3', 'hunyuan3'):
    TEMPLATES.alias(_alias, 'hy_v3')
declare(
    'youtu_llm', prefix=(('bos_token',),), system_prefix=(('bos_token',), '{{SYSTEM}}'),
    prompt=('<|User|>{{QUERY}}<|Assistant|>',), chat_sep=('<|end_of_text|>',), suffix=('<|end_of_text|>',),
    dialect='youtu', thinking=Thinking(empty='<think>\n\n</think>\n\n'))
declare(
    'hunyuan_ocr', prefix=('<｜hy_begin▁of▁sentence｜>',),
    system_prefix=('<｜hy_begin▁of▁sentence｜>{{SYSTEM}}<｜hy_place▁holder▁no▁3｜>',),
    prompt=('{{QUERY}}<｜hy_User｜>',), chat_sep=('<｜hy_Assistant｜><｜hy_begin▁of▁sentence｜>',),
    suffix=('<｜hy_Assistant｜>',))

add_family(
    'hunyuan', 'HunYuanMoEV1ForCausalLM', template='hunyuan_moe',
    ids=(('Tencent-Hunyuan/Hunyuan-A13B-Instruct', 'tencent/Hunyuan-A13B-Instruct'),))
add_family(
    'hunyuan_v1_dense', 'HunYuanDenseV1ForCausalLM', template='hunyuan', requires=('transformers>=4.55.0.dev0',),
    ids=hubs('Tencent-Hunyuan', 'tencent', 'Hunyuan-0.5B-Instruct', 'Hunyuan-1.8B-Instruct', 'Hunyuan-4B-Instruct',
             'Hunyuan-7B-Instruct', 'Hunyuan-0.5B-Pretrain', 'Hunyuan-1.8B-Pretrain', 'Hunyuan-4B-Pretrain',
             'Hunyuan-7B-Pretrain', 'Hunyuan-0.5B-Instruct-FP8', 'Hunyuan-1.8B-Instruct-FP8',
             'Hunyuan-4B-Instruct-FP8', 'Hunyuan-7B-Instruct-FP8', 'Hunyuan-0.5B-Instruct-AWQ-Int4',
             'Hunyuan-1.8B-Instruct-AWQ-Int4', 'Hunyuan-4B-Instruct-AWQ-Int4', 'Hunyuan-7B-Instruct-AWQ-Int4',
             'Hunyuan-0.5B-Instruct-GPTQ-Int4', 'Hunyuan-1.8B-Instruct-GPTQ-Int4', 'Hunyuan-4B-Instruct-GPTQ-Int4',
             'Hunyuan-7B-Instruct-GPTQ-Int4'))
add_family(
    'hy_v3', 'HYV3ForCausalLM', template='hy_v3_preview', requires=('transformers>=5.6.0',),
    ids=hubs('Tencent-Hunyuan', 'tencent', 'Hy3-preview', 'Hy3-preview-Base'),
    variants=(
        Variant('hy_v3', hubs('Tencent-Hunyuan', 'tencent', 'Hy3', 'Hy3-FP8')),))
add_family(
    'youtu_llm', 'YoutuForCausalLM', template='youtu_llm', requires=('transformers>=4.56',),
    ids=hubs('Tencent-YouTu-Research', 'tencent', 'Youtu-LLM-2B', 'Youtu-LLM-2B-Base'))
add_family(
    'hunyuan_ocr', 'HunYuanVLForConditionalGeneration', template='hunyuan_ocr', multimodal=True,
    parts=ModelParts(('model',), ('vit.perceive',), ('vit',)), requires=('transformers>=4.49.0',),
    ids=(('Tencent-Hunyuan/HunyuanOCR', 'tencent/HunyuanOCR'),))
