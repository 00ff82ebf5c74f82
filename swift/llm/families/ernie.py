"""ERNIE and PaddleOCR of Baidu."""

from __future__ import annotations

from swift.llm.families._shapes import declare, like
from swift.llm.model.registry import ModelParts, Variant, add_family, hubs
from swift.llm.template.chat_template import Thinking

_ERNIE_TEMPLATE = declare(
    'ernie', prefix=('<|begin_of_sentence|>',), system_prefix=('<|begin_of_sentence|>{{SYSTEM}}\n',),
    prompt=('User: {{QUERY}}\n', 'Assistant: '), chat_sep=('<|end_of_sentence|>',), suffix=('</s>',))
declare(
    'ernie_thinking',
    prefix=('<|im_start|>system\n<global_setting>\nthink_mode=True\n</global_setting><|im_end|>\n\n',),
    system_prefix=('<|im_start|>system\n<system_setting>\n{{SYSTEM}}\n'
                   '</system_setting>\n\n<global_setting>\nthink_mode=True\n'
                   '</global_setting><|im_end|>\n\n',),
    prompt=('<|im_start|>user\n{{QUERY}}<|im_end|>\n\n', '<|im_start|>assistant\n'), chat_sep=('<|im_end|>\n\n',),
    suffix=('<|im_end|>',), thinking=Thinking(prefix='<think>\n'))
like(_ERNIE_TEMPLATE, 'paddle_ocr')
like(_ERNIE_TEMPLATE, 'ernie_vl', thinking=Thinking(prefix='<think>'))
like(
    _ERNIE_TEMPLATE, 'ernie_vl_thinking',
    default_system=(
        'You are a multimodal AI assistant called ERNIE developed by Baidu based on the PaddlePaddle framework.'),
    thinking=Thinking(prefix='\n<think>\n'))
like(_ERNIE_TEMPLATE, 'paddle_ocr_1_5', prompt=('User: {{QUERY}}\n', 'Assistant:\n'))
declare('unlimited_ocr', prefix=(('bos_token',),), prompt=('{{QUERY}}',), chat_sep=None, suffix=(('eos_token',),))

add_family(
    'ernie4_5', 'Ernie4_5_ForCausalLM', template='ernie',
    ids=(('PaddlePaddle/ERNIE-4.5-0.3B-Base-PT', 'baidu/ERNIE-4.5-0.3B-PT'),
         ('PaddlePaddle/ERNIE-4.5-0.3B-PT', 'baidu/ERNIE-4.5-0.3B-PT')))
add_family(
    'ernie4_5_moe', 'Ernie4_5_MoeForCausalLM', template='ernie',
    ids=hubs('PaddlePaddle', 'baidu', 'ERNIE-4.5-21B-A3B-Base-PT', 'ERNIE-4.5-21B-A3B-PT',
             'ERNIE-4.5-300B-A47B-Base-PT', 'ERNIE-4.5-300B-A47B-PT'),
    variants=(
        Variant('ernie_thinking',
            ids=(('PaddlePaddle/ERNIE-4.5-21B-A3B-Thinking', 'baidu/ERNIE-4.5-21B-A3B-Thinking'),)),))
add_family(
    'ernie_vl', 'Ernie4_5_VLMoeForConditionalGeneration', template='ernie_vl', multimodal=True,
    parts=ModelParts(('model', 'lm_head'), ('model.resampler_model',), ('vision_model',)),
    requires=('transformers>=4.52', 'moviepy'),
    ids=hubs('PaddlePaddle', 'baidu', 'ERNIE-4.5-VL-28B-A3B-PT', 'ERNIE-4.5-VL-424B-A47B-PT',
             'ERNIE-4.5-VL-28B-A3B-Base-PT', 'ERNIE-4.5-VL-424B-A47B-Base-PT'),
    variants=(
        Variant('ernie_vl_thinking',
            ids=(('PaddlePaddle/ERNIE-4.5-VL-28B-A3B-Thinking', 'baidu/ERNIE-4.5-VL-28B-A3B-Thinking'),)),))
add_family(
    'paddle_ocr', 'PaddleOCRVLForConditionalGeneration', template='paddle_ocr', multimodal=True,
    parts=ModelParts(('model', 'lm_head'), ('mlp_AR',), ('visual',)), requires=('transformers<5.0',),
    ids=('PaddlePaddle/PaddleOCR-VL',))
add_family(
    'paddleocr_vl', 'PaddleOCRVLForConditionalGeneration', template='paddle_ocr_1_5', multimodal=True,
    parts=ModelParts(('model.language_model', 'lm_head'), ('model.projector',), ('model.visual',)),
    requires=('transformers>=5.0',), ids=('PaddlePaddle/PaddleOCR-VL-1.5', 'PaddlePaddle/PaddleOCR-VL-1.6'))
add_family(
    'unlimited_ocr', 'UnlimitedOCRForCausalLM', template='unlimited_ocr', multimodal=True,
    parts=ModelParts(('model.embed_tokens', 'model.layers', 'model.norm', 'lm_head'), ('model.projector',),
                     ('model.vision_model', 'model.sam_model')),
    requires=('transformers==4.46.3', 'easydict'), tags=('vision',), ids=('PaddlePaddle/Unlimited-OCR',))
