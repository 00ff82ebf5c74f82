"""Phi and Florence of Microsoft."""

from __future__ import annotations

from swift.llm.families._shapes import declare, like
from swift.llm.model.registry import BASE, QKV, ModelParts, add_checkpoints, add_family, hubs, under
from swift.llm.template.chat_template import WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.microsoft import (
    write_phi3,
    write_phi3_5,
    write_phi3_medium,
    write_phi3_mini,
    write_phi3_small,
    write_phi3_vision,
    write_phi4,
    write_phi4_mini,
    write_phi4_reasoning,
)

declare('florence', prefix=('<s>',), prompt=('{{QUERY}}</s>',), chat_sep=None, suffix=('</s>',))
_PHI3_TEMPLATE = TEMPLATES.add(WrittenTemplate(
    'phi3', write_phi3, drops=frozenset({'tools', 'calls', 'results', 'reasoning'}),
    source='Phi-3-mini-4k-instruct chat_template (TRL phi3)'))
like(_PHI3_TEMPLATE, 'phi3_5', write=write_phi3_5,
     source='Phi-3.5-mini-instruct chat_template (llama.cpp models/templates; TRL)')
like(_PHI3_TEMPLATE, 'phi3_mini', write=write_phi3_mini, drops=_PHI3_TEMPLATE.drops | {'system'},
     source='Phi-3-mini chat_template as first published (llama.cpp tests)')
like(_PHI3_TEMPLATE, 'phi3_medium', write=write_phi3_medium, drops=_PHI3_TEMPLATE.drops | {'system'},
     source='Phi-3-medium chat_template (llama.cpp tests)')
like(_PHI3_TEMPLATE, 'phi3_small', write=write_phi3_small, source='Phi-3-small chat_template (llama.cpp tests)')
like(_PHI3_TEMPLATE, 'phi3_vision', write=write_phi3_vision, source='Phi-3-vision chat_template (llama.cpp tests)')
like(_PHI3_TEMPLATE, 'phi4', write=write_phi4, source='phi-4 chat_template (llama.cpp tests)')
like(_PHI3_TEMPLATE, 'phi4_reasoning', write=write_phi4_reasoning, source='Phi-4-reasoning chat_template (axolotl)')
TEMPLATES.add(WrittenTemplate(
    'phi4_mini', write_phi4_mini, drops=frozenset({'reasoning'}), dialect='phi4_mini',
    source='Phi-4-mini-instruct as in vLLM examples/tool_chat_template_phi4_mini.jinja'))
declare(
    'phi4_multimodal', system_prefix=('<|system|>\n{{SYSTEM}}<|end|>\n',),
    prompt=('<|user|>\n{{QUERY}}<|end|>\n', '<|assistant|>\n'), chat_sep=('<|end|>\n',), suffix=('<|end|>',),
    auto_add_bos=True)
for _alias, _name in {
    'phi_3': 'phi3', 'phi35': 'phi3_5', 'phi_3_5': 'phi3_5', 'phi_35': 'phi3_5', 'phi_4': 'phi4',
    'phi_4_mini': 'phi4_mini',
}.items():
    TEMPLATES.alias(_alias, _name)
TEMPLATES.alias('phi3-vl', 'phi3_vision')
for _alias, _name in {
    'phi3_5_mini': 'phi3_5', 'phi_3_mini': 'phi3_mini', 'phi_3_small': 'phi3_small', 'phi_3_medium': 'phi3_medium',
    'phi_3_vision': 'phi3_vision', 'phi_4_reasoning': 'phi4_reasoning', 'phi_3_5_mini': 'phi3_5',
}.items():
    TEMPLATES.alias(_alias, _name)

_PHI3_VISION = add_family(
    'phi3_vision', 'Phi3VForCausalLM', template='phi3_vision', multimodal=True,
    parts=ModelParts(('model.layers',), ('model.vision_embed_tokens.img_projection',),
                     ('model.vision_embed_tokens.img_processor',)),
    requires=('transformers>=4.36',), tags=('vision',),
    ids=hubs('LLM-Research', 'microsoft', 'Phi-3-vision-128k-instruct', 'Phi-3.5-vision-instruct'))
add_checkpoints(
    _PHI3_VISION,
    ('phi3_5-vision-instruct', 'phi3_vision', 'LLM-Research/Phi-3.5-vision-instruct'),
    ('phi3-vision-128k-instruct', 'phi3_vision', 'LLM-Research/Phi-3-vision-128k-instruct'),
    target_regex=under('model.layers', 'model.vision_embed_tokens.img_projection'))
add_family(
    'phi4_multimodal', 'Phi4MMForCausalLM', template='phi4_multimodal', multimodal=True,
    parts=ModelParts(('model.layers',),
                     ('model.embed_tokens_extend.image_embed.img_projection',
                      'model.embed_tokens_extend.audio_embed.audio_projection'),
                     ('model.embed_tokens_extend.image_embed.img_processor',
                      'model.embed_tokens_extend.audio_embed.encoder')),
    requires=('transformers>=4.36,<4.49', 'backoff', 'soundfile'), tags=('vision', 'audio'),
    ids=(('LLM-Research/Phi-4-multimodal-instruct', 'microsoft/Phi-4-multimodal-instruct'),))
_FLORENCE = add_family(
    'florence', 'Florence2ForConditionalGeneration', template='florence', multimodal=True,
    parts=ModelParts(('language_model',), vision_tower=('vision_tower',)), tags=('vision',),
    ids=hubs('AI-ModelScope', 'microsoft', 'Florence-2-base-ft', 'Florence-2-base', 'Florence-2-large',
             'Florence-2-large-ft'))
add_checkpoints(
    _FLORENCE,
    ('florence-2-large-ft', 'florence', 'AI-ModelScope/Florence-2-large-ft'),
    ('florence-2-large', 'florence', 'AI-ModelScope/Florence-2-large'),
    ('florence-2-base-ft', 'florence', 'AI-ModelScope/Florence-2-base-ft'),
    ('florence-2-base', 'florence', 'AI-ModelScope/Florence-2-base'),
    target_regex=under('language_model', 'image_projection'))
_PHI3_SMALL = add_family(
    'phi3_small', 'Phi3SmallForCausalLM', template='phi3', requires=('transformers>=4.36',),
    ids=hubs('LLM-Research', 'microsoft', 'Phi-3-small-8k-instruct', 'Phi-3-small-128k-instruct'))
add_checkpoints(
    _PHI3_SMALL,
    ('phi3-small-128k-instruct', 'phi3', 'LLM-Research/Phi-3-small-128k-instruct'),
    ('phi3-small-8k-instruct', 'phi3', 'LLM-Research/Phi-3-small-8k-instruct'),
    target_modules=('query_key_value',))
_PHI2 = add_family('phi2', 'PhiForCausalLM', template='default', ids=(('AI-ModelScope/phi-2', 'microsoft/phi-2'),))
add_checkpoints(
    _PHI2,
    ('phi2-3b', BASE, 'AI-ModelScope/phi-2'),
    target_modules=('Wqkv',), tags=('coding',))
_PHI3 = add_family(
    'phi3', 'Phi3ForCausalLM', template='phi3', requires=('transformers>=4.36',),
    ids=hubs('LLM-Research', 'microsoft', 'Phi-3-mini-4k-instruct', 'Phi-3-mini-128k-instruct',
             'Phi-3-medium-4k-instruct', 'Phi-3-medium-128k-instruct', 'Phi-3.5-mini-instruct',
             'Phi-4-mini-instruct'))
add_checkpoints(
    _PHI3,
    ('phi3_5-mini-instruct', 'phi3', 'LLM-Research/Phi-3.5-mini-instruct'),
    ('phi3-4b-4k-instruct', 'phi3', 'LLM-Research/Phi-3-mini-4k-instruct'),
    ('phi3-medium-128k-instruct', 'phi3', 'LLM-Research/Phi-3-medium-128k-instruct'),
    ('phi3-medium-4k-instruct', 'phi3', 'LLM-Research/Phi-3-medium-4k-instruct'),
    ('phi3-4b-128k-instruct', 'phi3', 'LLM-Research/Phi-3-mini-128k-instruct'),
    target_modules=('qkv_proj',))
add_family(
    'phi4', 'Phi3ForCausalLM', template='phi4', requires=('transformers>=4.36',),
    ids=(('LLM-Research/phi-4', 'microsoft/phi-4'),))
_PHI3_MOE = add_family(
    'phi3_moe', 'PhiMoEForCausalLM', template='phi3', requires=('transformers>=4.36',),
    ids=(('LLM-Research/Phi-3.5-MoE-instruct', 'microsoft/Phi-3.5-MoE-instruct'),))
add_checkpoints(
    _PHI3_MOE,
    ('phi3_5-moe-instruct', 'phi3', 'LLM-Research/Phi-3.5-MoE-instruct'),
    target_modules=QKV, tags=('moe',))
