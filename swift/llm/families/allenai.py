"""OLMoE and Molmo of the Allen Institute for AI."""

from __future__ import annotations

from swift.llm.families._shapes import CHATML, declare, like
from swift.llm.model.registry import ModelParts, Variant, add_checkpoints, add_family, hubs, under

_OLMOE_TEMPLATE = declare(
    'olmoe', prefix=('|||IP_ADDRESS|||',), system_prefix=('|||IP_ADDRESS|||<|system|>\n{{SYSTEM}}\n',),
    prompt=('<|user|>\n{{QUERY}}\n', '<|assistant|>\n'), chat_sep=('|||IP_ADDRESS|||\n',),
    suffix=('|||IP_ADDRESS|||',), stop_words=('<|endoftext|>',))
like(
    _OLMOE_TEMPLATE, 'olmoe_0924', prefix=('<|endoftext|>',),
    system_prefix=('<|endoftext|><|system|>\n{{SYSTEM}}\n',), chat_sep=('<|endoftext|>\n',),
    suffix=('<|endoftext|>',))
declare('molmo', prompt=(' User: {{QUERY}} Assistant:',), chat_sep=None, suffix=('<|endoftext|>',))
like(CHATML, 'molmo2', stop_words=(), auto_add_bos=True)

add_family(
    'olmoe', 'OlmoeForCausalLM', template='olmoe_0924',
    ids=('allenai/OLMoE-1B-7B-0924', 'allenai/OLMoE-1B-7B-0924-Instruct', 'allenai/OLMoE-1B-7B-0924-SFT'),
    variants=(
        Variant('olmoe', ('allenai/OLMoE-1B-7B-0125', 'allenai/OLMoE-1B-7B-0125-Instruct')),))
_MOLMOE = add_family(
    'molmoe', 'OLMoForCausalLM', template='molmo', multimodal=True,
    parts=ModelParts(('model.transformer',), ('model.vision_backbone.image_projector',), ('model.vision_backbone',)),
    requires=('transformers>=4.45',), tags=('vision',), dtype='float32',
    ids=(('LLM-Research/MolmoE-1B-0924', 'allenai/MolmoE-1B-0924'),))
add_checkpoints(
    _MOLMOE,
    ('molmoe-1b', 'molmo', 'LLM-Research/MolmoE-1B-0924'),
    target_regex=under('model.transformer'), requires=('transformers>=4.45.0',))
_MOLMO = add_family(
    'molmo', 'MolmoForCausalLM', template='molmo', multimodal=True,
    parts=ModelParts(('model.transformer',), ('model.vision_backbone.image_projector',), ('model.vision_backbone',)),
    requires=('transformers>=4.45',), tags=('vision',),
    ids=hubs('LLM-Research', 'allenai', 'Molmo-7B-O-0924', 'Molmo-7B-D-0924', 'Molmo-72B-0924'))
add_checkpoints(
    _MOLMO,
    ('molmo-72b', 'molmo', 'LLM-Research/Molmo-72B-0924'),
    ('molmo-7b-d', 'molmo', 'LLM-Research/Molmo-7B-D-0924'),
    ('molmo-7b-o', 'molmo', 'LLM-Research/Molmo-7B-O-0924'),
    target_regex=under('model.transformer'), requires=('transformers>=4.45.0',))
add_family(
    'molmo2', 'Molmo2ForConditionalGeneration', template='molmo2', multimodal=True,
    parts=ModelParts(('model.transformer',), ('model.vision_backbone.image_projector',), ('model.vision_backbone',)),
    requires=('transformers>=4.57.1,<5', 'decord'), tags=('vision', 'video'),
    ids=('allenai/Molmo2-4B', 'allenai/Molmo2-8B', 'allenai/Molmo2-O-7B'))
