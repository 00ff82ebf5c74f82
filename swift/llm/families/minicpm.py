"""MiniCPM, MiniCPM-V and MiniCPM-o of OpenBMB."""

from __future__ import annotations

from functools import partial

from swift.llm.families._shapes import CHATML, LLAMA3, declare, like
from swift.llm.model.registry import QKV, ModelParts, Variant, add_checkpoints, add_family, hubs, under
from swift.llm.template.chat_template import Thinking, WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.minicpm import write_minicpm3, write_minicpm5
from swift.llm.template.written.qwen import write_qwen3

_TARGETS = ('q_a_proj', 'q_b_proj', 'kv_a_proj_with_mqa', 'kv_b_proj')

_MINICPM_TEMPLATE = declare(
    'minicpm', prefix=('<s>',), system_prefix=('<s>{{SYSTEM}}',), prompt=('<用户>{{QUERY}}<AI>',), chat_sep=(),
    suffix=('</s>',))
like(_MINICPM_TEMPLATE, 'minicpmv')
like(LLAMA3, 'minicpmv2_5', dialect='llama3')
_MINICPMV2_6_TEMPLATE = like(
    CHATML, 'minicpmv2_6', default_system='You are a helpful assistant.', dialect='hermes')
_MINICPMV4_TEMPLATE = like(CHATML, 'minicpmv4', stop_words=(), auto_add_bos=True)
like(
    _MINICPMV2_6_TEMPLATE, 'minicpmo',
    default_system='You are Qwen, created by Alibaba Cloud. You are a helpful assistant.')
TEMPLATES.add(WrittenTemplate(
    'minicpmv4_5', partial(write_qwen3, thinks='when_told'), stop_words=('<|endoftext|>',),
    options=('enable_thinking',), dialect='hermes',
    thinking=Thinking(prefix='<think>\n', empty='<think>\n\n</think>\n\n'),
    source='MiniCPM-V-4_5 chat template (vLLM examples)'))
like(_MINICPMV2_6_TEMPLATE, 'minicpmo4_5', default_system=None, thinking=Thinking(empty='<think>\n\n</think>\n\n'))
like(_MINICPMV4_TEMPLATE, 'minicpmv4_6', thinking=Thinking(prefix='<think>\n', empty='<think>\n\n</think>\n\n'))
TEMPLATES.add(WrittenTemplate(
    'minicpm5', write_minicpm5, options=('enable_thinking',), dialect='minicpm5',
    thinking=Thinking(prefix='<think>\n', empty='<think>\n\n</think>\n\n'),
    source='MiniCPM5-1B chat template (llama.cpp models/templates)'))
TEMPLATES.add(WrittenTemplate(
    'minicpm3', write_minicpm3, drops=frozenset({'reasoning'}), dialect='minicpm3',
    thinking=Thinking(tags=('<|thought_start|>', '<|thought_end|>')),
    source='OpenBMB/MiniCPM demo/minicpm3/function_call/minicpm_chat_template_with_tool.jinja'))
TEMPLATES.alias('minicpm-v-v2_6', 'minicpmv2_6')
TEMPLATES.alias('minicpm-v-v2_5', 'minicpmv2_5')
TEMPLATES.alias('minicpm-v', 'minicpm')
TEMPLATES.alias('minicpm_v_4_5', 'minicpmv4_5')
for _alias, _name in {
    'minicpmv45': 'minicpmv4_5',
}.items():
    TEMPLATES.alias(_alias, _name)

_MINICPM_MOE = add_family(
    'minicpm_moe', 'MiniCPMForCausalLM', template='minicpm', requires=('transformers>=4.36',),
    ids=(('OpenBMB/MiniCPM-MoE-8x2B', 'openbmb/MiniCPM-MoE-8x2B'),))
add_checkpoints(
    _MINICPM_MOE,
    ('minicpm-moe-8x2b', 'minicpm', 'OpenBMB/MiniCPM-MoE-8x2B'),
    target_modules=QKV, requires=('transformers>=4.36.0',), tags=('moe',))
_MINICPMV = add_family(
    'minicpmv', 'MiniCPMV', template='minicpmv', multimodal=True,
    parts=ModelParts(('llm',), ('resampler',), ('vpm',)), requires=('timm', 'transformers<4.42'), tags=('vision',),
    ids=hubs('OpenBMB', 'openbmb', 'MiniCPM-V', 'MiniCPM-V-2'))
add_checkpoints(
    _MINICPMV,
    ('minicpm-v-v2-chat', 'minicpm', 'OpenBMB/MiniCPM-V-2'),
    ('minicpm-v-3b-chat', 'minicpm', 'OpenBMB/MiniCPM-V'),
    target_regex=under('llm', 'resampler'))
_MINICPMV2_5 = add_family(
    'minicpmv2_5', 'MiniCPMV', template='minicpmv2_5', multimodal=True,
    parts=ModelParts(('llm',), ('resampler',), ('vpm',)), requires=('timm', 'transformers>=4.36'),
    tags=('vision',), ids=(('OpenBMB/MiniCPM-Llama3-V-2_5', 'openbmb/MiniCPM-Llama3-V-2_5'),))
add_checkpoints(
    _MINICPMV2_5,
    ('minicpm-v-v2_5-chat', 'minicpmv2_5', 'OpenBMB/MiniCPM-Llama3-V-2_5'),
    target_regex=under('llm', 'resampler'))
_MINICPMV2_6 = add_family(
    'minicpmv2_6', 'MiniCPMV', template='minicpmv2_6', multimodal=True,
    parts=ModelParts(('llm',), ('resampler',), ('vpm',)), requires=('timm', 'transformers>=4.36', 'decord'),
    tags=('vision', 'video'), ids=(('OpenBMB/MiniCPM-V-2_6', 'openbmb/MiniCPM-V-2_6'),))
add_checkpoints(
    _MINICPMV2_6,
    ('minicpm-v-v2_6-chat', 'minicpmv2_6', 'OpenBMB/MiniCPM-V-2_6'),
    target_regex=under('llm', 'resampler'), requires=('timm', 'transformers>=4.36'))
add_family(
    'minicpmo', 'MiniCPMO', template='minicpmo', multimodal=True,
    parts=ModelParts(('llm',), ('resampler',), ('vpm', 'apm')),
    requires=('timm', 'transformers>=4.36', 'decord', 'soundfile'), tags=('vision', 'video', 'omni', 'audio'),
    ids=(('OpenBMB/MiniCPM-o-2_6', 'openbmb/MiniCPM-o-2_6'),),
    variants=(
        Variant('minicpmo4_5',
                requires=('timm', 'transformers==4.51.3', 'decord', 'soundfile', 'minicpmo-utils==1.0.6'),
            ids=(('OpenBMB/MiniCPM-o-4_5', 'openbmb/MiniCPM-o-4_5'),)),))
add_family(
    'minicpmv4', 'MiniCPMV', template='minicpmv4', multimodal=True,
    parts=ModelParts(('llm',), ('resampler',), ('vpm',)), requires=('timm', 'transformers>=4.36', 'decord'),
    tags=('vision', 'video'), ids=(('OpenBMB/MiniCPM-V-4', 'openbmb/MiniCPM-V-4'),))
add_family(
    'minicpmv4_5', 'MiniCPMV', template='minicpmv4_5', multimodal=True,
    parts=ModelParts(('llm',), ('resampler',), ('vpm',)), requires=('timm', 'transformers>=4.36', 'decord'),
    tags=('vision', 'video'), ids=(('OpenBMB/MiniCPM-V-4_5', 'openbmb/MiniCPM-V-4_5'),))
add_family(
    'minicpmv4_6', 'MiniCPMV4_6ForConditionalGeneration', template='minicpmv4_6', multimodal=True,
    parts=ModelParts(('model.language_model',), ('model.merger',), ('model.vision_tower',)),
    requires=('transformers>=5.7.0',), tags=('vision', 'video'),
    ids=(('OpenBMB/MiniCPM-V-4.6', 'openbmb/MiniCPM-V-4.6'),))
_MINICPM = add_family(
    'minicpm', 'MiniCPMForCausalLM', template='minicpm', requires=('transformers>=4.36.0',),
    ids=hubs('OpenBMB', 'openbmb', 'MiniCPM-2B-sft-fp32', 'MiniCPM-2B-dpo-fp32', 'MiniCPM-1B-sft-bf16'))
add_checkpoints(
    _MINICPM,
    ('minicpm-1b-sft-chat', 'minicpm', 'OpenBMB/MiniCPM-1B-sft-bf16'),
    target_modules=QKV)
add_checkpoints(
    _MINICPM,
    ('minicpm-2b-chat', 'minicpm', 'OpenBMB/MiniCPM-2B-dpo-fp32'),
    ('minicpm-2b-sft-chat', 'minicpm', 'OpenBMB/MiniCPM-2B-sft-fp32'),
    target_modules=QKV, requires=())
_MINICPM_CHATML = add_family(
    'minicpm_chatml', 'MiniCPMForCausalLM', template='chatml', requires=('transformers>=4.36',),
    ids=hubs('OpenBMB', 'openbmb', 'MiniCPM-2B-128k', 'MiniCPM4-0.5B', 'MiniCPM4-8B'))
add_checkpoints(
    _MINICPM_CHATML,
    ('minicpm-2b-128k', 'chatml', 'OpenBMB/MiniCPM-2B-128k'),
    target_modules=QKV, requires=('transformers>=4.36.0',))
_MINICPM3 = add_family(
    'minicpm3', 'MiniCPM3ForCausalLM', template='chatml', requires=('transformers>=4.36',),
    ids=(('OpenBMB/MiniCPM3-4B', 'openbmb/MiniCPM3-4B'),))
add_checkpoints(
    _MINICPM3,
    ('minicpm3-4b', 'chatml', 'OpenBMB/MiniCPM3-4B'),
    target_modules=_TARGETS)
