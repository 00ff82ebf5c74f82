"""Multimodal models of publishers with one or two families."""

from __future__ import annotations

from swift.llm.families._shapes import CHATML, declare, like
from swift.llm.model.registry import ModelParts, add_checkpoints, add_family, hubs, under
from swift.llm.template.chat_template import WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.smollm import write_idefics3

declare('emu3_gen', prompt=('{{QUERY}}',), chat_sep=None, suffix=(('eos_token',),), auto_add_bos=True)
declare(
    'emu3_chat', prefix=(('bos_token',),), system_prefix=(('bos_token',), '{{SYSTEM}}'),
    prompt=(' User: {{QUERY}}.', ' Assistant:'), chat_sep=(('eos_token',),), suffix=(('eos_token',),),
    default_system='You are a helpful assistant.')
TEMPLATES.add(WrittenTemplate(
    'idefics3', write_idefics3, drops=frozenset({'tools', 'calls', 'reasoning'}),
    source='Idefics3-8B-Llama3 chat_template.json (TRL chat_templates/idefics3)'))
_KEYE_VL_TEMPLATE = like(CHATML, 'keye_vl')
like(_KEYE_VL_TEMPLATE, 'keye_vl_1_5', default_system='You are a helpful assistant.')
declare(
    'megrez_omni', prefix=('<|role_start|>system<|role_end|><|turn_end|>',),
    system_prefix=('<|role_start|>system<|role_end|>{{SYSTEM}}<|turn_end|>',),
    prompt=('<|role_start|>user<|role_end|>{{QUERY}}<|turn_end|><|role_start|>assistant<|role_end|>',),
    chat_sep=('<|turn_end|>',), suffix=('<|turn_end|>',),
    default_system='你是Megrez-3B-Instruct，将针对用户的问题给出详细的、积极的回答。')
like(_KEYE_VL_TEMPLATE, 'moss_vl', stop_words=(), auto_add_bos=True, dialect='hermes')
TEMPLATES.alias('emu3-chat', 'emu3_chat')

add_family(
    'emu3_gen', 'Emu3ForCausalLM', template='emu3_gen', multimodal=True, parts=ModelParts(('model',)),
    tags=('t2i',), ids=('BAAI/Emu3-Gen',))
_EMU3_CHAT = add_family(
    'emu3_chat', 'Emu3ForCausalLM', template='emu3_chat', multimodal=True, parts=ModelParts(('model',)),
    requires=('transformers>=4.44.0',), tags=('vision',), ids=('BAAI/Emu3-Chat',))
add_checkpoints(
    _EMU3_CHAT,
    ('emu3-chat', 'emu3_chat', 'BAAI/Emu3-Chat'),
    target_regex=under('model'))
_IDEFICS3 = add_family(
    'idefics3', 'Idefics3ForConditionalGeneration', template='idefics3', multimodal=True,
    parts=ModelParts(('model.text_model',), ('model.connector',), ('model.vision_model',)),
    requires=('transformers>=4.45',), tags=('vision',),
    ids=(('AI-ModelScope/Idefics3-8B-Llama3', 'HuggingFaceM4/Idefics3-8B-Llama3'),))
add_checkpoints(
    _IDEFICS3,
    ('idefics3-8b-llama3', 'idefics3', 'AI-ModelScope/Idefics3-8B-Llama3'),
    target_regex=under('model.text_model', 'model.connector'))
add_family(
    'megrez_omni', 'MegrezO', template='megrez_omni', multimodal=True,
    parts=ModelParts(('llm',), vision_tower=('vision', 'audio')), tags=('vision', 'audio'),
    ids=(('InfiniAI/Megrez-3B-Omni', 'Infinigence/Megrez-3B-Omni'),))
add_family(
    'keye_vl', 'KeyeForConditionalGeneration', template='keye_vl', multimodal=True,
    parts=ModelParts(('model', 'lm_head'), ('mlp_AR',), ('visual',)), requires=('keye_vl_utils',),
    tags=('vision',), ids=('Kwai-Keye/Keye-VL-8B-Preview',))
add_family(
    'keye_vl_1_5', 'KeyeVL1_5ForConditionalGeneration', template='keye_vl_1_5', multimodal=True,
    parts=ModelParts(('model', 'lm_head'), ('mlp_AR',), ('visual',)),
    requires=('keye_vl_utils>=1.5.2', 'transformers==4.52.4'), tags=('vision',), ids=('Kwai-Keye/Keye-VL-1_5-8B',))
add_family(
    'moss_vl', 'MossVLForConditionalGeneration', template='moss_vl', multimodal=True,
    parts=ModelParts(('model.language_model', 'lm_head'), ('model.visual.merger', 'model.separator_token'),
                     ('model.visual',)),
    requires=('transformers>=4.57.1,<5', 'torchcodec', 'joblib'), tags=('vision', 'video'),
    ids=hubs('openmoss', 'OpenMOSS-Team', 'MOSS-VL-Instruct-0708', 'MOSS-VL-Base-0708'))
