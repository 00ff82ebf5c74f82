"""MiMo and MiDashengLM of Xiaomi."""

from __future__ import annotations

from swift.llm.families._shapes import SWIFT_4, declare, like
from swift.llm.model.registry import ModelParts, Variant, add_family
from swift.llm.template.chat_template import Thinking, WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.qwen import write_qwen2_5

_MIMO_VL_TEMPLATE = TEMPLATES.add(WrittenTemplate(
    'mimo_vl', write_qwen2_5, default_system='You are MiMo, an AI assistant developed by Xiaomi.',
    stop_words=('<|endoftext|>',), drops=frozenset({'reasoning'}), dialect='hermes', thinking=Thinking(),
    source='MiMo-VL chat template (llama.cpp models/templates)'))
like(_MIMO_VL_TEMPLATE, 'mimo_rl', source=SWIFT_4)
like(_MIMO_VL_TEMPLATE, 'midashenglm', source=SWIFT_4, default_system='You are a helpful assistant.')
declare(
    'mimo_v2', system_prefix=('<|im_start|>system\n{{SYSTEM}}<|im_end|>',),
    prompt=('<|im_start|>user\n{{QUERY}}<|im_end|>', '<|im_start|>assistant\n'), chat_sep=('<|im_end|>',),
    suffix=('<|im_end|>',), default_system='You are MiMo, a helpful AI assistant engineered by Xiaomi.',
    stop_words=('<|endoftext|>',))

add_family(
    'midashenglm', 'MiDashengLMModel', template='midashenglm', multimodal=True,
    parts=ModelParts(('decoder',), ('audio_projector',), ('audio_encoder',)),
    requires=('transformers>=4.52', 'soundfile'), tags=('audio',), ids=('mispeech/midashenglm-7b',))
add_family(
    'mimo', 'MiMoForCausalLM', template='qwen', requires=('transformers>=4.37',),
    ids=('XiaomiMiMo/MiMo-7B-Base', 'XiaomiMiMo/MiMo-7B-SFT', 'XiaomiMiMo/MiMo-7B-RL-Zero', 'XiaomiMiMo/MiMo-7B-RL'),
    variants=(
        Variant('mimo_rl', ('XiaomiMiMo/MiMo-7B-RL-0530',)),))
add_family(
    'mimo_v2', 'MiMoV2ForCausalLM', template='mimo_v2', multimodal=True,
    parts=ModelParts(('model', 'lm_head'), ('visual.merger',), ('visual', 'audio_encoder')),
    requires=('transformers>=4.57', 'qwen_vl_utils>0.0.6', 'decord', 'torchaudio'),
    tags=('vision', 'video', 'audio'), ids=('XiaomiMiMo/MiMo-V2.5',))
