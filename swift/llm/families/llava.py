"""LLaVA and its descendants."""

from __future__ import annotations

from swift.llm.families._shapes import CHATML, LLAMA3, SWIFT_2, declare, like
from swift.llm.model.registry import LLAVA_PARTS, QWEN_VL_PARTS, ModelParts, add_checkpoints, add_family, hubs, under
from swift.llm.template.chat_template import WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.llava import write_llava, write_llava_next

declare(
    'llava1_5_hf', prefix=('<s>',), system_prefix=('<s>{{SYSTEM}}\n',), prompt=('USER: {{QUERY}}\n', 'ASSISTANT:'),
    chat_sep=('</s>',), suffix=('</s>',))
_LLAVA_NEXT_VIDEO_HF_TEMPLATE = declare(
    'llava_next_video_hf', prefix=(' ',), system_prefix=('{{SYSTEM}} ',),
    prompt=('USER: {{QUERY}} ', 'ASSISTANT:'), chat_sep=(' ',), suffix=(('eos_token',),), auto_add_bos=True)
_LLAVA1_6_MISTRAL_HF_TEMPLATE = declare(
    'llava1_6_mistral_hf', prefix=('<s>[INST] ',), system_prefix=('<<SYS>>\n{{system}}\n<</SYS>>\n\n',),
    prompt=('{{QUERY}} [/INST]',), chat_sep=('</s>[INST] ',), suffix=('</s>',))
_LLAVA1_6_VICUNA_HF_TEMPLATE = declare(
    'llava1_6_vicuna_hf', prefix=('<s>',), system_prefix=('<s>{{SYSTEM}} ',),
    prompt=('USER: {{QUERY}} ', 'ASSISTANT:'), chat_sep=('</s>',), suffix=('</s>',),
    default_system=(
        'A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, '
        "detailed, and polite answers to the human's questions."))
_LLAVA1_6_YI_HF_TEMPLATE = like(CHATML, 'llava1_6_yi_hf', stop_words=(), auto_add_bos=True)
_LLAMA3_LLAVA_NEXT_HF_TEMPLATE = like(LLAMA3, 'llama3_llava_next_hf')
_LLAVA_NEXT_QWEN_HF_TEMPLATE = like(CHATML, 'llava_next_qwen_hf', default_system='You are a helpful assistant.')
like(CHATML, 'llava_onevision_hf')
_LLAVA_LLAMA3_1_HF_TEMPLATE = like(
    _LLAMA3_LLAVA_NEXT_HF_TEMPLATE, 'llava_llama3_1_hf',
    default_system=(
        'You are a helpful language and vision assistant. You are able to understand the visual content that the '
        'user provides, and assist the user with a variety of tasks using natural language.'))
like(_LLAMA3_LLAVA_NEXT_HF_TEMPLATE, 'llava_llama3_hf')
like(_LLAVA1_6_MISTRAL_HF_TEMPLATE, 'llava1_6_mistral')
like(_LLAVA1_6_YI_HF_TEMPLATE, 'llava1_6_yi')
like(_LLAVA_LLAMA3_1_HF_TEMPLATE, 'llama3_llava_next')
like(_LLAVA_NEXT_QWEN_HF_TEMPLATE, 'llava_next_qwen')
like(_LLAVA_NEXT_QWEN_HF_TEMPLATE, 'llava_onevision1_5')
like(
    _LLAVA1_6_VICUNA_HF_TEMPLATE, 'llava-next-video', prefix=('<s> ',), chat_sep=(' ',), default_system=None,
    source=SWIFT_2)
like(
    _LLAVA_NEXT_VIDEO_HF_TEMPLATE, 'llava-next-video-yi', suffix=('<|im_end|>',), auto_add_bos=False,
    source=SWIFT_2)
TEMPLATES.add(WrittenTemplate(
    'llava', write_llava, drops=frozenset({'tools', 'calls', 'reasoning'}),
    source='llava-1.5-7b-hf chat template (Axolotl)'))
TEMPLATES.add(WrittenTemplate(
    'llava_next', write_llava_next, drops=frozenset({'tools', 'calls', 'reasoning'}),
    source='llava-v1.6-mistral-7b-hf chat template (TRL)'))
TEMPLATES.alias('llava-next-llama3', 'llava_llama3_1_hf')
TEMPLATES.alias('llava1_5', 'llava1_5_hf')
TEMPLATES.alias('llava-mistral', 'llava1_6_mistral_hf')
TEMPLATES.alias('llava-vicuna', 'llava1_6_vicuna_hf')
TEMPLATES.alias('llava-yi', 'llava1_6_yi_hf')
TEMPLATES.alias('llama-llava-next-hf', 'llama3_llava_next_hf')
TEMPLATES.alias('llama-qwen-hf', 'llava_next_qwen_hf')
TEMPLATES.alias('llava-onevision-qwen', 'llava_onevision_hf')
TEMPLATES.alias('llava-llama-instruct', 'llava_llama3_hf')
TEMPLATES.alias('llama3-llava-next', 'llama3_llava_next')
TEMPLATES.alias('llava-qwen', 'llava_next_qwen')

_LLAVA_LLAMA3_HF = add_family(
    'llava_llama3_hf', 'LlavaForConditionalGeneration', template='llava_llama3_hf', multimodal=True,
    parts=LLAVA_PARTS, requires=('transformers>=4.36',), tags=('vision',),
    ids=(('AI-ModelScope/llava-llama-3-8b-v1_1-transformers', 'xtuner/llava-llama-3-8b-v1_1-transformers'),))
add_checkpoints(
    _LLAVA_LLAMA3_HF,
    ('llava-llama3-8b-v1_1', 'llava_llama3_hf', 'AI-ModelScope/llava-llama-3-8b-v1_1-transformers'),
    target_regex=under('language_model', 'multi_modal_projector'))
_LLAVA1_5_HF = add_family(
    'llava1_5_hf', 'LlavaForConditionalGeneration', template='llava1_5_hf', multimodal=True, parts=LLAVA_PARTS,
    requires=('transformers>=4.36',), tags=('vision',),
    ids=('llava-hf/llava-1.5-7b-hf', 'llava-hf/llava-1.5-13b-hf'))
add_checkpoints(
    _LLAVA1_5_HF,
    ('llava1_5-7b-instruct', 'llava1_5_hf', 'swift/llava-1.5-7b-hf', 'llava-hf/llava-1.5-7b-hf'),
    ('llava1_5-13b-instruct', 'llava1_5_hf', 'swift/llava-1.5-13b-hf', 'llava-hf/llava-1.5-13b-hf'),
    target_regex=under('language_model', 'multi_modal_projector'))
_LLAVA_ONEVISION_HF = add_family(
    'llava_onevision_hf', 'LlavaOnevisionForConditionalGeneration', template='llava_onevision_hf', multimodal=True,
    parts=LLAVA_PARTS, requires=('transformers>=4.45',), tags=('vision', 'video'),
    ids=('llava-hf/llava-onevision-qwen2-0.5b-ov-hf', 'llava-hf/llava-onevision-qwen2-7b-ov-hf',
         'llava-hf/llava-onevision-qwen2-72b-ov-hf'))
add_checkpoints(
    _LLAVA_ONEVISION_HF,
    ('llava-onevision-qwen2-72b-ov', 'llava_onevision_hf', 'AI-ModelScope/llava-onevision-qwen2-72b-ov-hf',
     'llava-hf/llava-onevision-qwen2-72b-ov-hf'),
    ('llava-onevision-qwen2-7b-ov', 'llava_onevision_hf', 'AI-ModelScope/llava-onevision-qwen2-7b-ov-hf',
     'llava-hf/llava-onevision-qwen2-7b-ov-hf'),
    target_regex=under('language_model', 'multi_modal_projector'))
add_checkpoints(
    _LLAVA_ONEVISION_HF,
    ('llava-onevision-qwen2-0_5b-ov', 'llava_onevision_hf', 'AI-ModelScope/llava-onevision-qwen2-0.5b-ov-hf',
     'llava-hf/llava-onevision-qwen2-0.5b-ov-hf'),
    target_regex=under('language_model', 'multi_modal_projector'), ignore_files=('onnx/*',))
_LLAVA_NEXT_QWEN_HF = add_family(
    'llava_next_qwen_hf', 'LlavaNextForConditionalGeneration', template='llava_next_qwen_hf', multimodal=True,
    parts=LLAVA_PARTS, requires=('transformers>=4.39',), tags=('vision',),
    ids=('llava-hf/llava-next-72b-hf', 'llava-hf/llava-next-110b-hf'))
add_checkpoints(
    _LLAVA_NEXT_QWEN_HF,
    ('llava-next-110b-hf', 'llava_next_qwen_hf', 'AI-ModelScope/llava-next-110b-hf', 'llava-hf/llava-next-110b-hf'),
    ('llava-next-72b-hf', 'llava_next_qwen_hf', 'AI-ModelScope/llava-next-72b-hf', 'llava-hf/llava-next-72b-hf'),
    target_regex=under('language_model', 'multi_modal_projector'))
_LLAMA3_LLAVA_NEXT_HF = add_family(
    'llama3_llava_next_hf', 'LlavaNextForConditionalGeneration', template='llama3_llava_next_hf', multimodal=True,
    parts=LLAVA_PARTS, requires=('transformers>=4.39',), tags=('vision',),
    ids=('llava-hf/llama3-llava-next-8b-hf',))
add_checkpoints(
    _LLAMA3_LLAVA_NEXT_HF,
    ('llama3-llava-next-8b-hf', 'llama3_llava_next_hf', 'swift/llama3-llava-next-8b-hf',
     'llava-hf/llama3-llava-next-8b-hf'),
    target_regex=under('language_model', 'multi_modal_projector'))
_LLAVA1_6_VICUNA_HF = add_family(
    'llava1_6_vicuna_hf', 'LlavaNextForConditionalGeneration', template='llava1_6_vicuna_hf', multimodal=True,
    parts=LLAVA_PARTS, requires=('transformers>=4.39',), tags=('vision',),
    ids=('llava-hf/llava-v1.6-vicuna-7b-hf', 'llava-hf/llava-v1.6-vicuna-13b-hf'))
add_checkpoints(
    _LLAVA1_6_VICUNA_HF,
    ('llava1_6-vicuna-13b-instruct', 'llava1_6_vicuna_hf', 'swift/llava-v1.6-vicuna-13b-hf',
     'llava-hf/llava-v1.6-vicuna-13b-hf'),
    ('llava1_6-vicuna-7b-instruct', 'llava1_6_vicuna_hf', 'swift/llava-v1.6-vicuna-7b-hf',
     'llava-hf/llava-v1.6-vicuna-7b-hf'),
    target_regex=under('language_model', 'multi_modal_projector'))
_LLAVA1_6_MISTRAL_HF = add_family(
    'llava1_6_mistral_hf', 'LlavaNextForConditionalGeneration', template='llava1_6_mistral_hf', multimodal=True,
    parts=LLAVA_PARTS, requires=('transformers>=4.39',), tags=('vision',),
    ids=('llava-hf/llava-v1.6-mistral-7b-hf',))
add_checkpoints(
    _LLAVA1_6_MISTRAL_HF,
    ('llava1_6-mistral-7b-instruct', 'llava1_6_mistral_hf', 'swift/llava-v1.6-mistral-7b-hf',
     'llava-hf/llava-v1.6-mistral-7b-hf'),
    target_regex=under('language_model', 'multi_modal_projector'))
_LLAVA_LLAMA3_1_HF = add_family(
    'llava_llama3_1_hf', 'LlavaNextForConditionalGeneration', template='llava_llama3_1_hf', multimodal=True,
    parts=LLAVA_PARTS, requires=('transformers>=4.41',), tags=('vision',), ids=(('swift/llava-llama3.1-8b', None),))
add_checkpoints(
    _LLAVA_LLAMA3_1_HF,
    ('llava1_6-llama3_1-8b-instruct', 'llava_llama3_1_hf', 'swift/llava-llama3.1-8b'),
    target_regex=under('language_model', 'multi_modal_projector'))
_LLAVA1_6_YI_HF = add_family(
    'llava1_6_yi_hf', 'LlavaNextForConditionalGeneration', template='llava1_6_yi_hf', multimodal=True,
    parts=LLAVA_PARTS, requires=('transformers>=4.39',), tags=('vision',), ids=('llava-hf/llava-v1.6-34b-hf',))
add_checkpoints(
    _LLAVA1_6_YI_HF,
    ('llava1_6-yi-34b-instruct', 'llava1_6_yi_hf', 'swift/llava-v1.6-34b-hf', 'llava-hf/llava-v1.6-34b-hf'),
    target_regex=under('language_model', 'multi_modal_projector'))
_LLAVA_NEXT_VIDEO_HF = add_family(
    'llava_next_video_hf', 'LlavaNextVideoForConditionalGeneration', template='llava_next_video_hf',
    multimodal=True, parts=LLAVA_PARTS, requires=('transformers>=4.42', 'av'), tags=('video',),
    ids=('llava-hf/LLaVA-NeXT-Video-7B-DPO-hf', 'llava-hf/LLaVA-NeXT-Video-7B-32K-hf',
         'llava-hf/LLaVA-NeXT-Video-7B-hf'))
add_checkpoints(
    _LLAVA_NEXT_VIDEO_HF,
    ('llava-next-video-7b-instruct', 'llava-next-video', 'swift/LLaVA-NeXT-Video-7B-hf',
     'llava-hf/LLaVA-NeXT-Video-7B-hf'),
    ('llava-next-video-7b-32k-instruct', 'llava-next-video', 'swift/LLaVA-NeXT-Video-7B-32K-hf',
     'llava-hf/LLaVA-NeXT-Video-7B-32K-hf'),
    ('llava-next-video-7b-dpo-instruct', 'llava-next-video', 'swift/LLaVA-NeXT-Video-7B-DPO-hf',
     'llava-hf/LLaVA-NeXT-Video-7B-DPO-hf'),
    target_regex=under('language_model', 'multi_modal_projector', 'vision_resampler'))
_LLAVA_NEXT_VIDEO_YI_HF = add_family(
    'llava_next_video_yi_hf', 'LlavaNextVideoForConditionalGeneration', template='llava_next_video_hf',
    multimodal=True, parts=LLAVA_PARTS, requires=('transformers>=4.42', 'av'), tags=('video',),
    ids=('llava-hf/LLaVA-NeXT-Video-34B-hf',))
add_checkpoints(
    _LLAVA_NEXT_VIDEO_YI_HF,
    ('llava-next-video-34b-instruct', 'llava-next-video-yi', 'swift/LLaVA-NeXT-Video-34B-hf',
     'llava-hf/LLaVA-NeXT-Video-34B-hf'),
    target_regex=under('language_model', 'multi_modal_projector', 'vision_resampler'))
_LLAMA3_LLAVA_NEXT = add_family(
    'llama3_llava_next', 'LlavaLlamaForCausalLM', template='llama3_llava_next', multimodal=True,
    parts=ModelParts(('model.layers',), ('model.mm_projector',), ('model.vision_tower',)),
    requires=('transformers>=4.42', 'av'), tags=('vision',),
    ids=(('AI-ModelScope/llama3-llava-next-8b', 'lmms-lab/llama3-llava-next-8b'),))
add_checkpoints(
    _LLAMA3_LLAVA_NEXT,
    ('llama3-llava-next-8b', 'llama3_llava_next', 'AI-ModelScope/llama3-llava-next-8b'),
    target_regex=under('model.layers', 'model.mm_projector'), requires=())
add_family(
    'llava1_6_mistral', 'LlavaMistralForCausalLM', template='llava1_6_mistral', multimodal=True,
    parts=ModelParts(('model.layers',), ('model.mm_projector',), ('model.vision_tower',)),
    requires=('transformers>=4.34',), tags=('vision',),
    ids=(('AI-ModelScope/llava-v1.6-mistral-7b', 'liuhaotian/llava-v1.6-mistral-7b'),))
add_family(
    'llava1_6_yi', 'LlavaLlamaForCausalLM', template='llava1_6_yi', multimodal=True,
    requires=('transformers>=4.34',), tags=('vision',),
    ids=(('AI-ModelScope/llava-v1.6-34b', 'liuhaotian/llava-v1.6-34b'),))
_LLAVA_NEXT_QWEN = add_family(
    'llava_next_qwen', 'LlavaQwenForCausalLM', template='llava_next_qwen', multimodal=True,
    requires=('transformers>=4.42', 'av'), tags=('vision',),
    ids=hubs('AI-ModelScope', 'lmms-lab', 'llava-next-72b', 'llava-next-110b'))
add_checkpoints(
    _LLAVA_NEXT_QWEN,
    ('llava-next-110b', 'llava_next_qwen', 'AI-ModelScope/llava-next-110b'),
    ('llava-next-72b', 'llava_next_qwen', 'AI-ModelScope/llava-next-72b'),
    target_regex=under('language_model', 'multi_modal_projector'), requires=())
add_family(
    'llava_onevision1_5', 'LLaVAOneVision1_5_ForConditionalGeneration', template='llava_onevision1_5',
    multimodal=True, parts=QWEN_VL_PARTS, requires=('transformers>=4.53.0', 'qwen_vl_utils'), tags=('vision',),
    ids=('lmms-lab/LLaVA-OneVision-1.5-4B-Instruct', 'lmms-lab/LLaVA-OneVision-1.5-8B-Instruct',
         'lmms-lab/LLaVA-OneVision-1.5-4B-Base', 'lmms-lab/LLaVA-OneVision-1.5-8B-Base'))
