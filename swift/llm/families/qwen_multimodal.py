"""Qwen models that see, hear or speak: Qwen-VL, Qwen-Audio, Omni, ASR, TTS and Qwen3.5."""

from __future__ import annotations

import dataclasses
from functools import partial

from swift.llm.families._shapes import CHATML, SWIFT_4, like
from swift.llm.model.registry import QWEN_VL_PARTS, ModelParts, Variant, add_checkpoints, add_family, under
from swift.llm.template.chat_template import Thinking, WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.qwen import (
    QWEN3_5_NOTHINKING,
    QWEN3_6,
    QWEN3_8,
    write_dse_qwen2_vl,
    write_qwen2_5,
    write_qwen3,
    write_qwen3_5,
    write_qwen3_vl,
)

_QWEN_VL_TEMPLATE = like(CHATML, 'qwen_vl', default_system='You are a helpful assistant.')
like(_QWEN_VL_TEMPLATE, 'qwen_audio')
_QWEN2_VL_TEMPLATE = TEMPLATES.add(WrittenTemplate(
    'qwen2_vl', write_qwen2_5, default_system='You are a helpful assistant.', stop_words=('<|endoftext|>',),
    drops=frozenset({'reasoning'}), dialect='hermes', thinking=Thinking(),
    source='Qwen2-VL chat_template.json (axolotl); tools, for which it has no place, as in Qwen2.5'))
like(_QWEN2_VL_TEMPLATE, 'qwen2_5_vl',
     source='Qwen2.5-VL chat_template.json (TRL); tools, for which it has no place, as in Qwen2.5')
like(_QWEN2_VL_TEMPLATE, 'dse_qwen2_vl', write=write_dse_qwen2_vl,
     source='MrLight/dse-qwen2-2b-mrl-v1 chat template (vLLM examples)')
like(_QWEN2_VL_TEMPLATE, 'qwen2_audio', source=SWIFT_4)
like(_QWEN2_VL_TEMPLATE, 'qwen2_5_omni', source=SWIFT_4)
like(
    _QWEN2_VL_TEMPLATE, 'qvq', source=SWIFT_4,
    default_system=(
        'You are a helpful and harmless assistant. You are Qwen developed by Alibaba. Answer in the language of '
        'the question. You should think step-by-step.'))
_QWEN3_VL_TEMPLATE = TEMPLATES.add(WrittenTemplate(
    'qwen3_vl', write_qwen3_vl, stop_words=('<|endoftext|>',), drops=frozenset({'reasoning'}), dialect='hermes',
    thinking=Thinking(), source='Qwen3-VL-Instruct chat_template.json (TRL chat_templates/qwen3_vl)'))
like(_QWEN3_VL_TEMPLATE, 'qwen3_omni', source=SWIFT_4)
like(_QWEN3_VL_TEMPLATE, 'qwen3_vl_thinking', write=partial(write_qwen3, thinks='always'), drops=frozenset(),
     thinking=Thinking(prefix='<think>\n', empty='<think>\n\n</think>\n\n'),
     source='as qwen3_thinking; the prompt of SWIFT 4')
_QWEN3_5_TEMPLATE = TEMPLATES.add(WrittenTemplate(
    'qwen3_5', write_qwen3_5, stop_words=('<|endoftext|>',), options=('enable_thinking',), dialect='qwen3_5',
    thinking=Thinking(prefix='<think>\n', empty='<think>\n\n</think>\n\n'),
    source='Qwen3.5-4B chat_template.jinja (llama.cpp models/templates)'))
like(_QWEN3_5_TEMPLATE, 'qwen3_5_nothinking', write=partial(write_qwen3_5, release=QWEN3_5_NOTHINKING),
     source='Qwen3.5 chat_template.jinja of the models that think only when told (TRL chat_templates/qwen3_5_nothink)')
like(_QWEN3_5_TEMPLATE, 'qwen3_6', write=partial(write_qwen3_5, release=QWEN3_6),
     options=('enable_thinking', 'preserve_thinking'),
     source='Qwen3.6 chat_template.jinja (TRL chat_templates/qwen3_6)')
like(_QWEN3_5_TEMPLATE, 'qwen3_8', write=partial(write_qwen3_5, release=QWEN3_8),
     options=('enable_thinking', 'preserve_thinking', 'reasoning_effort'),
     source='Qwen3.8 chat_template.jinja (TRL chat_templates/qwen3_8)')
_QWEN_PARTS = dataclasses.replace(CHATML, dialect='hermes')
like(_QWEN_PARTS, 'qwen3_vl_emb', suffix=('<|endoftext|>',), default_system="Represent the user's input.")
like(
    _QWEN_PARTS, 'qwen3_vl_reranker',
    default_system=(
        'Judge whether the Document meets the requirements based on the Query and the Instruct provided. Note '
        'that the answer can only be "yes" or "no".'))
like(_QWEN_PARTS, 'qwen3_asr', prefix=('<|im_start|>system\n<|im_end|>\n',))
like(_QWEN_PARTS, 'qwen3_tts')
TEMPLATES.alias('qwen3_5_think', 'qwen3_5')
TEMPLATES.alias('qwen3_5_nothink', 'qwen3_5_nothinking')
TEMPLATES.alias('qwen-vl', 'qwen_vl')
TEMPLATES.alias('qwen-vl-generation', 'default-generation')
TEMPLATES.alias('qwen-audio', 'qwen_audio')
TEMPLATES.alias('qwen-audio-generation', 'default-generation')
TEMPLATES.alias('qwen2-audio', 'qwen2_audio')
TEMPLATES.alias('qwen2-audio-generation', 'default-generation')
TEMPLATES.alias('qwen2-vl', 'qwen2_vl')
TEMPLATES.alias('qwen2-vl-generation', 'default-generation')

_QWEN_AUDIO = add_family(
    'qwen_audio', 'QWenLMHeadModel', template='qwen_audio', multimodal=True,
    parts=ModelParts(('transformer.h',), vision_tower=('transformer.audio',)), tags=('audio',),
    ids=('Qwen/Qwen-Audio-Chat', 'Qwen/Qwen-Audio'))
add_checkpoints(
    _QWEN_AUDIO,
    ('qwen-audio', 'default-generation', 'Qwen/Qwen-Audio'),
    ('qwen-audio-chat', 'qwen_audio', 'Qwen/Qwen-Audio-Chat'),
    target_regex=under('transformer.h'))
_QWEN_VL = add_family(
    'qwen_vl', 'QWenLMHeadModel', template='qwen_vl', multimodal=True,
    parts=ModelParts(('transformer.h',), vision_tower=('transformer.visual',)), tags=('vision',),
    ids=('Qwen/Qwen-VL-Chat', 'Qwen/Qwen-VL', 'Qwen/Qwen-VL-Chat-Int4'))
add_checkpoints(
    _QWEN_VL,
    ('qwen-vl', 'default-generation', 'Qwen/Qwen-VL'),
    ('qwen-vl-chat', 'qwen_vl', 'Qwen/Qwen-VL-Chat'),
    target_regex=under('transformer.h'))
add_checkpoints(
    _QWEN_VL,
    ('qwen-vl-chat-int4', 'qwen_vl', 'Qwen/Qwen-VL-Chat-Int4'),
    target_regex=under('transformer.h'), requires=('auto_gptq>=0.5',), dtype='float16')
_QWEN2_VL = add_family(
    'qwen2_vl', 'Qwen2VLForConditionalGeneration', template='qwen2_vl', multimodal=True, parts=QWEN_VL_PARTS,
    requires=('transformers>=4.45', 'qwen_vl_utils>=0.0.6', 'decord'), tags=('vision', 'video'),
    ids=('Qwen/Qwen2-VL-2B-Instruct', 'Qwen/Qwen2-VL-7B-Instruct', 'Qwen/Qwen2-VL-72B-Instruct',
         'Qwen/Qwen2-VL-2B', 'Qwen/Qwen2-VL-7B', 'Qwen/Qwen2-VL-72B', 'Qwen/Qwen2-VL-2B-Instruct-GPTQ-Int4',
         'Qwen/Qwen2-VL-7B-Instruct-GPTQ-Int4', 'Qwen/Qwen2-VL-72B-Instruct-GPTQ-Int4',
         'Qwen/Qwen2-VL-2B-Instruct-GPTQ-Int8', 'Qwen/Qwen2-VL-7B-Instruct-GPTQ-Int8',
         'Qwen/Qwen2-VL-72B-Instruct-GPTQ-Int8', 'Qwen/Qwen2-VL-2B-Instruct-AWQ', 'Qwen/Qwen2-VL-7B-Instruct-AWQ',
         'Qwen/Qwen2-VL-72B-Instruct-AWQ', 'bytedance-research/UI-TARS-2B-SFT',
         'bytedance-research/UI-TARS-7B-SFT', 'bytedance-research/UI-TARS-7B-DPO',
         'bytedance-research/UI-TARS-72B-SFT', 'bytedance-research/UI-TARS-72B-DPO',
         'allenai/olmOCR-7B-0225-preview',
         ('OpenDataLab/MinerU2.5-Pro-2604-1.2B', 'opendatalab/MinerU2.5-Pro-2604-1.2B')),
    variants=(
        Variant('qvq', ('Qwen/QVQ-72B-Preview',)),))
add_checkpoints(
    _QWEN2_VL,
    ('qwen2-vl-2b', 'default-generation', 'Qwen/Qwen2-VL-2B'),
    ('qwen2-vl-2b-instruct', 'qwen2_vl', 'Qwen/Qwen2-VL-2B-Instruct'),
    ('qwen2-vl-7b', 'default-generation', 'Qwen/Qwen2-VL-7B'),
    ('qwen2-vl-7b-instruct', 'qwen2_vl', 'Qwen/Qwen2-VL-7B-Instruct'),
    ('qwen2-vl-72b', 'default-generation', 'Qwen/Qwen2-VL-72B'),
    ('qwen2-vl-72b-instruct', 'qwen2_vl', 'Qwen/Qwen2-VL-72B-Instruct'),
    target_regex=under('model'), requires=('transformers>=4.45.dev.0', 'qwen_vl_utils'))
add_checkpoints(
    _QWEN2_VL,
    ('qwen2-vl-2b-instruct-gptq-int4', 'qwen2_vl', 'Qwen/Qwen2-VL-2B-Instruct-GPTQ-Int4'),
    ('qwen2-vl-2b-instruct-gptq-int8', 'qwen2_vl', 'Qwen/Qwen2-VL-2B-Instruct-GPTQ-Int8'),
    ('qwen2-vl-7b-instruct-gptq-int4', 'qwen2_vl', 'Qwen/Qwen2-VL-7B-Instruct-GPTQ-Int4'),
    ('qwen2-vl-7b-instruct-gptq-int8', 'qwen2_vl', 'Qwen/Qwen2-VL-7B-Instruct-GPTQ-Int8'),
    ('qwen2-vl-72b-instruct-gptq-int4', 'qwen2_vl', 'Qwen/Qwen2-VL-72B-Instruct-GPTQ-Int4'),
    ('qwen2-vl-72b-instruct-gptq-int8', 'qwen2_vl', 'Qwen/Qwen2-VL-72B-Instruct-GPTQ-Int8'),
    target_regex=under('model'), requires=('transformers>=4.45.dev.0', 'qwen_vl_utils', 'auto_gptq>=0.5'),
    dtype='float16')
add_checkpoints(
    _QWEN2_VL,
    ('qwen2-vl-2b-instruct-awq', 'qwen2_vl', 'Qwen/Qwen2-VL-2B-Instruct-AWQ'),
    ('qwen2-vl-7b-instruct-awq', 'qwen2_vl', 'Qwen/Qwen2-VL-7B-Instruct-AWQ'),
    ('qwen2-vl-72b-instruct-awq', 'qwen2_vl', 'Qwen/Qwen2-VL-72B-Instruct-AWQ'),
    target_regex=under('model'), requires=('transformers>=4.45.dev.0', 'qwen_vl_utils', 'autoawq'), dtype='float16')
add_family(
    'qwen2_5_vl', 'Qwen2_5_VLForConditionalGeneration', template='qwen2_5_vl', multimodal=True,
    parts=QWEN_VL_PARTS, requires=('transformers>=4.49', 'qwen_vl_utils>=0.0.6', 'decord'),
    tags=('vision', 'video'),
    ids=('Qwen/Qwen2.5-VL-3B-Instruct', 'Qwen/Qwen2.5-VL-7B-Instruct', 'Qwen/Qwen2.5-VL-32B-Instruct',
         'Qwen/Qwen2.5-VL-72B-Instruct', 'Qwen/Qwen2.5-VL-3B-Instruct-AWQ', 'Qwen/Qwen2.5-VL-7B-Instruct-AWQ',
         'Qwen/Qwen2.5-VL-32B-Instruct-AWQ', 'Qwen/Qwen2.5-VL-72B-Instruct-AWQ'),
    variants=(
        Variant('mimo_vl', ('XiaomiMiMo/MiMo-VL-7B-SFT', 'XiaomiMiMo/MiMo-VL-7B-RL')),))
add_family(
    'qwen3_vl', 'Qwen3VLForConditionalGeneration', template='qwen3_vl', multimodal=True,
    parts=ModelParts(('model.language_model', 'lm_head'),
                     ('model.visual.merger', 'model.visual.deepstack_merger_list'), ('model.visual',)),
    requires=('transformers>=4.57', 'qwen_vl_utils>=0.0.14', 'decord'), tags=('vision', 'video'),
    ids=('Qwen/Qwen3-VL-2B-Instruct', 'Qwen/Qwen3-VL-2B-Thinking', 'Qwen/Qwen3-VL-2B-Instruct-FP8',
         'Qwen/Qwen3-VL-2B-Thinking-FP8', 'Qwen/Qwen3-VL-4B-Instruct', 'Qwen/Qwen3-VL-4B-Thinking',
         'Qwen/Qwen3-VL-4B-Instruct-FP8', 'Qwen/Qwen3-VL-4B-Thinking-FP8', 'Qwen/Qwen3-VL-8B-Instruct',
         'Qwen/Qwen3-VL-8B-Thinking', 'Qwen/Qwen3-VL-8B-Instruct-FP8', 'Qwen/Qwen3-VL-8B-Thinking-FP8',
         'Qwen/Qwen3-VL-32B-Instruct', 'Qwen/Qwen3-VL-32B-Thinking', 'Qwen/Qwen3-VL-32B-Instruct-FP8',
         'Qwen/Qwen3-VL-32B-Thinking-FP8'))
add_family(
    'qwen3_vl_moe', 'Qwen3VLMoeForConditionalGeneration', template='qwen3_vl', multimodal=True,
    parts=ModelParts(('model.language_model', 'lm_head'),
                     ('model.visual.merger', 'model.visual.deepstack_merger_list'), ('model.visual',)),
    requires=('transformers>=4.57', 'qwen_vl_utils>=0.0.14', 'decord'), tags=('vision', 'video'),
    ids=('Qwen/Qwen3-VL-30B-A3B-Instruct', 'Qwen/Qwen3-VL-30B-A3B-Thinking', 'Qwen/Qwen3-VL-30B-A3B-Instruct-FP8',
         'Qwen/Qwen3-VL-30B-A3B-Thinking-FP8', 'Qwen/Qwen3-VL-235B-A22B-Instruct',
         'Qwen/Qwen3-VL-235B-A22B-Thinking', 'Qwen/Qwen3-VL-235B-A22B-Instruct-FP8',
         'Qwen/Qwen3-VL-235B-A22B-Thinking-FP8'))
add_family(
    'qwen3_5_moe', 'Qwen3_5MoeForConditionalGeneration', template='qwen3_5', multimodal=True, parts=QWEN_VL_PARTS,
    requires=('transformers>=5.2.0', 'qwen_vl_utils>=0.0.14', 'decord'), tags=('vision', 'video'),
    ids=('Qwen/Qwen3.5-35B-A3B-Base', 'Qwen/Qwen3.5-35B-A3B', 'Qwen/Qwen3.5-122B-A10B', 'Qwen/Qwen3.5-397B-A17B',
         'Qwen/Qwen3.5-35B-A3B-FP8', 'Qwen/Qwen3.5-122B-A10B-FP8', 'Qwen/Qwen3.5-397B-A17B-FP8',
         'Qwen/Qwen3.6-35B-A3B', 'Qwen/Qwen3.6-35B-A3B-FP8'),
    variants=(
        Variant('qwen3_8', ('Qwen/Qwen3.8-2.4T-A95B', 'Qwen/Qwen3.8-2.4T-A95B-FP8')),))
add_family(
    'qwen3_5', 'Qwen3_5ForConditionalGeneration', template='qwen3_5', multimodal=True, parts=QWEN_VL_PARTS,
    requires=('transformers>=5.0.0.dev', 'qwen_vl_utils>=0.0.14', 'decord'), tags=('vision', 'video'),
    ids=('Qwen/Qwen3.5-0.8B', 'Qwen/Qwen3.5-2B', 'Qwen/Qwen3.5-4B', 'Qwen/Qwen3.5-9B', 'Qwen/Qwen3.5-27B',
         'Qwen/Qwen3.5-27B-FP8', 'Qwen/Qwen3.5-0.8B-Base', 'Qwen/Qwen3.5-2B-Base', 'Qwen/Qwen3.5-4B-Base',
         'Qwen/Qwen3.5-9B-Base', 'Qwen/Qwen3.6-27B', 'Qwen/Qwen3.6-27B-FP8'),
    variants=(
        Variant('qwen3_8', ('Qwen/Qwen3.8-27B', 'Qwen/Qwen3.8-27B-FP8')),))
add_family(
    'qwen2_5_omni', 'Qwen2_5OmniModel', 'Qwen2_5OmniForConditionalGeneration', template='qwen2_5_omni',
    multimodal=True,
    parts=ModelParts(('thinker.model', 'thinker.lm_head'), ('thinker.audio_tower.proj', 'thinker.visual.merger'),
                     ('thinker.audio_tower', 'thinker.visual'), ('talker', 'token2wav')),
    requires=('transformers>=4.50', 'soundfile', 'qwen_omni_utils', 'decord'), tags=('vision', 'video', 'audio'),
    ids=('Qwen/Qwen2.5-Omni-3B', 'Qwen/Qwen2.5-Omni-7B'))
add_family(
    'qwen3_omni_moe', 'Qwen3OmniMoeForConditionalGeneration', template='qwen3_omni', multimodal=True,
    parts=ModelParts(('thinker.model', 'thinker.lm_head'),
                     ('thinker.audio_tower.proj1', 'thinker.audio_tower.proj2', 'thinker.visual.merger',
                      'thinker.visual.merger_list'),
                     ('thinker.audio_tower', 'thinker.visual'), ('talker', 'code2wav')),
    requires=('transformers>=4.57.dev0', 'soundfile', 'decord', 'qwen_omni_utils>=0.0.9'),
    tags=('vision', 'video', 'audio'),
    ids=('Qwen/Qwen3-Omni-30B-A3B-Instruct', 'Qwen/Qwen3-Omni-30B-A3B-Thinking',
         'Qwen/Qwen3-Omni-30B-A3B-Captioner'))
add_family(
    'qwen3_asr', 'Qwen3ASRForConditionalGeneration', template='qwen3_asr', multimodal=True,
    parts=ModelParts(('thinker.model', 'thinker.lm_head'),
                     ('thinker.audio_tower.proj1', 'thinker.audio_tower.proj2'), ('thinker.audio_tower',)),
    requires=('qwen-asr', 'transformers==4.57.6'), tags=('audio',),
    ids=('Qwen/Qwen3-ASR-1.7B', 'Qwen/Qwen3-ASR-0.6B'))
add_family(
    'qwen3_tts', 'Qwen3TTSForConditionalGeneration', template='qwen3_tts', multimodal=True,
    parts=ModelParts(('talker',), generator=('speaker_encoder',)), requires=('qwen-tts', 'transformers<5'),
    tags=('audio', 'tts'),
    ids=('Qwen/Qwen3-TTS-12Hz-1.7B-Base', 'Qwen/Qwen3-TTS-12Hz-1.7B-CustomVoice', 'Qwen/Qwen3-TTS-12Hz-0.6B-Base',
         'Qwen/Qwen3-TTS-12Hz-0.6B-CustomVoice'))
_QWEN2_AUDIO = add_family(
    'qwen2_audio', 'Qwen2AudioForConditionalGeneration', template='qwen2_audio', multimodal=True,
    parts=ModelParts(('language_model',), ('multi_modal_projector',), ('audio_tower',)),
    requires=('transformers>=4.45,<4.49', 'librosa'), tags=('audio',),
    ids=('Qwen/Qwen2-Audio-7B-Instruct', 'Qwen/Qwen2-Audio-7B'))
add_checkpoints(
    _QWEN2_AUDIO,
    ('qwen2-audio-7b', 'default-generation', 'Qwen/Qwen2-Audio-7B'),
    ('qwen2-audio-7b-instruct', 'qwen2_audio', 'Qwen/Qwen2-Audio-7B-Instruct'),
    target_regex=under('language_model', 'multi_modal_projector'), requires=('librosa', 'transformers>=4.45'))
add_family(
    'qwen3_vl_emb', 'Qwen3VLForConditionalGeneration', template='qwen3_vl_emb', multimodal=True,
    parts=ModelParts(('model.language_model', 'lm_head'),
                     ('model.visual.merger', 'model.visual.deepstack_merger_list'), ('model.visual',)),
    requires=('transformers>=4.57', 'qwen_vl_utils>=0.0.14', 'decord'), tags=('vision', 'video'),
    ids=('Qwen/Qwen3-VL-Embedding-2B', 'Qwen/Qwen3-VL-Embedding-8B'))
add_family(
    'qwen3_vl_reranker', 'Qwen3VLForConditionalGeneration', template='qwen3_vl_reranker', multimodal=True,
    parts=ModelParts(('model.language_model', 'lm_head'),
                     ('model.visual.merger', 'model.visual.deepstack_merger_list'), ('model.visual',)),
    requires=('transformers>=4.57', 'qwen_vl_utils>=0.0.14', 'decord'), tags=('vision', 'video'),
    ids=('Qwen/Qwen3-VL-Reranker-2B', 'Qwen/Qwen3-VL-Reranker-8B'))
