"""Step and GOT-OCR of StepFun."""

from __future__ import annotations

from swift.llm.families._shapes import CHATML, declare, like
from swift.llm.model.registry import LLAVA_PARTS, ModelParts, add_checkpoints, add_family, under
from swift.llm.template.chat_template import Thinking, WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.stepfun import write_step3_5, write_step5_vl

_GOT_OCR2_TEMPLATE = like(
    CHATML, 'got_ocr2',
    default_system='        You should follow the instructions carefully and explain your answers in detail.')
like(_GOT_OCR2_TEMPLATE, 'got_ocr2_hf')
_STEP_AUDIO2_MINI_TEMPLATE = declare(
    'step_audio2_mini', system_prefix=('<|BOT|>system\n{{SYSTEM}}<|EOT|>',),
    prompt=('<|BOT|>human\n{{QUERY}}<|EOT|>', '<|BOT|>assistant\n'), chat_sep=('<|EOT|>',), suffix=('<|EOT|>',))
like(
    _STEP_AUDIO2_MINI_TEMPLATE, 'step_audio', prefix=('<s>',),
    system_prefix=('<s><|BOT|>system\n{{SYSTEM}}<|EOT|>',))
like(CHATML, 'step3_vl', dialect='hermes', thinking=Thinking(prefix='<think>\n'))
TEMPLATES.add(WrittenTemplate(
    'step3_5', write_step3_5, stop_words=('<|endoftext|>',), dialect='qwen3_5',
    thinking=Thinking(prefix='<think>\n', empty='<think>\n\n</think>\n'),
    source='Step-3.5-Flash chat template (llama.cpp models/templates)'))
TEMPLATES.add(WrittenTemplate(
    'step5_vl', write_step5_vl, drops=frozenset({'tools', 'calls', 'reasoning'}),
    thinking=Thinking(prefix='<think>\n', empty='<think>\n\n</think>\n\n'),
    source='minimal template for Step5-VL of vLLM (examples)'))
TEMPLATES.alias('step3_5_flash', 'step3_5')
for _alias, _name in {
    'step_3_5_flash': 'step3_5', 'stepfun3_5_flash': 'step3_5',
}.items():
    TEMPLATES.alias(_alias, _name)

_GOT_OCR2 = add_family(
    'got_ocr2', 'GOTQwenForCausalLM', template='got_ocr2', multimodal=True,
    parts=ModelParts(('model.layers',), ('model.mm_projector_vary',), ('model.vision_tower_high',)),
    tags=('vision',), ids=('stepfun-ai/GOT-OCR2_0',))
add_checkpoints(
    _GOT_OCR2,
    ('got-ocr2', 'got_ocr2', 'stepfun-ai/GOT-OCR2_0'),
    target_regex=under('model.layers', 'model.mm_projector_vary'), tags=('audio',))
add_family(
    'got_ocr2_hf', 'GotOcr2ForConditionalGeneration', template='got_ocr2_hf', multimodal=True, parts=LLAVA_PARTS,
    tags=('vision',), ids=('stepfun-ai/GOT-OCR-2.0-hf',))
add_family(
    'step_audio', 'Step1ForCausalLM', template='step_audio', multimodal=True,
    requires=('funasr', 'sox', 'conformer', 'openai-whisper', 'librosa'), tags=('audio',),
    ids=('stepfun-ai/Step-Audio-Chat',))
add_family(
    'step_audio2_mini', 'StepAudio2ForCausalLM', template='step_audio2_mini', multimodal=True,
    parts=ModelParts(('model', 'lm_head'), ('adapter',), ('encoder',)),
    requires=('transformers==4.53.3', 'torchaudio', 'librosa'), tags=('audio',),
    ids=('stepfun-ai/Step-Audio-2-mini',))
add_family(
    'step3_vl', 'StepVLForConditionalGeneration', template='step3_vl', multimodal=True,
    parts=ModelParts(('model.language_model', 'lm_head'), ('model.vit_large_projector',), ('model.vision_model',)),
    requires=('transformers>=4.57.0',), tags=('vision',),
    ids=('stepfun-ai/Step3-VL-10B-Base', 'stepfun-ai/Step3-VL-10B'))
