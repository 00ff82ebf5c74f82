"""mPLUG-Owl and DocOwl of Alibaba."""

from __future__ import annotations

from swift.llm.families._shapes import CHATML, declare, like
from swift.llm.model.registry import ModelParts, add_checkpoints, add_family, hubs, under
from swift.llm.template.registry import TEMPLATES

_TARGETS = ('q_proj', 'k_proj.multiway.0', 'k_proj.multiway.1', 'v_proj.multiway.0', 'v_proj.multiway.1')

declare(
    'mplug_owl2', system_prefix=('{{SYSTEM}}',), prompt=('USER: {{QUERY}}ASSISTANT:',), chat_sep=('</s>',),
    suffix=(('eos_token',),), stop_words=('<|endoftext|>', '</s>'))
_MPLUG_OWL3_TEMPLATE = like(CHATML, 'mplug_owl3', prefix=('<|im_start|>system\n<|im_end|>\n',))
like(_MPLUG_OWL3_TEMPLATE, 'mplug_owl3_241101')
declare(
    'doc_owl2', prefix=('<s>',), prompt=(' USER: {{QUERY}} ', 'ASSISTANT:'), chat_sep=('</s>',), suffix=('</s>',))
TEMPLATES.alias('mplug-owl2', 'mplug_owl2')
TEMPLATES.alias('mplug_owl3v', 'mplug_owl3_241101')

_MPLUG_OWL2 = add_family(
    'mplug_owl2', template='mplug_owl2', multimodal=True, requires=('transformers<4.35', 'icecream'),
    tags=('vision',), ids=(('iic/mPLUG-Owl2', 'MAGAer13/mplug-owl2-llama2-7b'),))
add_checkpoints(
    _MPLUG_OWL2,
    ('mplug-owl2-chat', 'mplug_owl2', 'iic/mPLUG-Owl2'),
    target_modules=_TARGETS)
_MPLUG_OWL2_1 = add_family(
    'mplug_owl2_1', template='mplug_owl2', multimodal=True, requires=('transformers<4.35', 'icecream'),
    tags=('vision',), ids=(('iic/mPLUG-Owl2.1', 'Mizukiluke/mplug_owl_2_1'),))
add_checkpoints(
    _MPLUG_OWL2_1,
    ('mplug-owl2_1-chat', 'mplug_owl2', 'iic/mPLUG-Owl2.1'),
    target_modules=('c_attn.multiway.0', 'c_attn.multiway.1'))
_MPLUG_OWL3 = add_family(
    'mplug_owl3', 'mPLUGOwl3Model', template='mplug_owl3', multimodal=True,
    parts=ModelParts(('language_model',), ('vision2text_model',), ('vision_model',)),
    requires=('transformers>=4.36', 'icecream', 'decord'), tags=('vision', 'video'),
    ids=hubs('iic', 'mPLUG', 'mPLUG-Owl3-1B-241014', 'mPLUG-Owl3-2B-241014', 'mPLUG-Owl3-7B-240728'))
add_checkpoints(
    _MPLUG_OWL3,
    ('mplug-owl3-7b-chat', 'mplug_owl3', 'iic/mPLUG-Owl3-7B-240728'),
    ('mplug-owl3-2b-chat', 'mplug_owl3', 'iic/mPLUG-Owl3-2B-241014'),
    ('mplug-owl3-1b-chat', 'mplug_owl3', 'iic/mPLUG-Owl3-1B-241014'),
    target_regex=under('language_model', 'vision2text_model'), requires=('transformers>=4.36', 'icecream'))
_MPLUG_OWL3_241101 = add_family(
    'mplug_owl3_241101', 'mPLUGOwl3Model', template='mplug_owl3_241101', multimodal=True,
    parts=ModelParts(('language_model',), ('vision2text_model',), ('vision_model',)),
    requires=('transformers>=4.36', 'icecream'), tags=('vision', 'video'),
    ids=(('iic/mPLUG-Owl3-7B-241101', 'mPLUG/mPLUG-Owl3-7B-241101'),))
add_checkpoints(
    _MPLUG_OWL3_241101,
    ('mplug-owl3v-7b-chat', 'mplug_owl3_241101', 'iic/mPLUG-Owl3-7B-241101'),
    target_regex=under('language_model', 'vision2text_model'))
add_family(
    'doc_owl2', 'mPLUGDocOwl2', template='doc_owl2', multimodal=True,
    parts=ModelParts(('model.layers',), ('model.vision2text', 'model.hr_compressor'), ('model.vision_model',)),
    requires=('transformers>=4.36', 'icecream'), tags=('vision',), ids=(('iic/DocOwl2', 'mPLUG/DocOwl2'),))
