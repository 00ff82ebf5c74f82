"""Ovis and Marco of AIDC-AI (Alibaba International)."""

from __future__ import annotations

from swift.llm.families._shapes import CHATML, LLAMA3, declare, like
from swift.llm.model.registry import QWEN_VL_PARTS, ModelParts, Variant, add_checkpoints, add_family, under
from swift.llm.template.chat_template import Thinking

_OVIS_OCR2_TEMPLATE = like(
    CHATML, 'ovis_ocr2', dialect='qwen3_5', thinking=Thinking(prefix='<think>\n', empty='<think>\n\n</think>\n\n'))
declare(
    'ovis1_6', prefix=('<bos>',), system_prefix=('<bos><start_of_turn>system\n{{SYSTEM}}<end_of_turn>\n',),
    prompt=('<start_of_turn>user\n{{QUERY}}<end_of_turn>\n', '<start_of_turn>model\n'),
    chat_sep=('<end_of_turn>\n',), suffix=('<end_of_turn>',))
like(LLAMA3, 'ovis1_6_llama3', default_system='You are a helpful and honest multimodal assistant.')
_OVIS2_TEMPLATE = like(CHATML, 'ovis2', default_system='You are a helpful assistant.', dialect='hermes')
like(_OVIS_OCR2_TEMPLATE, 'ovis2_5', dialect='hermes', thinking=Thinking())
like(
    _OVIS2_TEMPLATE, 'marco_o1',
    default_system=(
        '\n你是一个经过良好训练的AI助手，你的名字是Marco-o1.由阿里国际数字商业集团的AI Business创造.\n'
        '        \n## 重要！！！！！\n当你回答问题时，你的思考应该在<Thought>内完成，<Output>内输出你的结果。\n'
        '<Thought>应该尽可能是英文，但是有2个特例，一个是对原文中的引'
        '用，另一个是是数学应该使用markdown格式，<Output>内的输出需要遵循用户输入的语言。\n'
        '        '))

add_family(
    'ovis_ocr2', 'Qwen3_5ForConditionalGeneration', template='ovis_ocr2', multimodal=True, parts=QWEN_VL_PARTS,
    requires=('transformers>=5.0.0.dev', 'qwen_vl_utils>=0.0.14', 'decord'), tags=('vision',),
    ids=('ATH-MaaS/OvisOCR2',))
_OVIS1_6 = add_family(
    'ovis1_6', 'Ovis', template='ovis1_6', multimodal=True,
    parts=ModelParts(('llm',), vision_tower=('visual_tokenizer', 'vte')), requires=('transformers>=4.42',),
    tags=('vision',),
    ids=('AIDC-AI/Ovis1.6-Gemma2-9B', 'AIDC-AI/Ovis1.6-Gemma2-9B-GPTQ-Int4', 'AIDC-AI/Ovis1.6-Gemma2-27B'),
    variants=(
        Variant('ovis1_6_llama3', ('AIDC-AI/Ovis1.6-Llama3.2-3B',), requires=()),))
add_checkpoints(
    _OVIS1_6,
    ('ovis1_6-gemma2-9b', 'ovis1_6', 'AIDC-AI/Ovis1.6-Gemma2-9B'),
    target_regex=under('llm'))
add_family(
    'ovis2', 'Ovis', template='ovis2', multimodal=True,
    parts=ModelParts(('llm',), vision_tower=('visual_tokenizer', 'vte')),
    requires=('transformers>=4.46.2', 'moviepy<2'), tags=('vision',),
    ids=('AIDC-AI/Ovis2-1B', 'AIDC-AI/Ovis2-2B', 'AIDC-AI/Ovis2-4B', 'AIDC-AI/Ovis2-8B', 'AIDC-AI/Ovis2-16B',
         'AIDC-AI/Ovis2-34B'))
add_family(
    'ovis2_5', 'Ovis2_5', template='ovis2_5', multimodal=True,
    parts=ModelParts(('llm',), ('visual_tokenizer.head',), ('visual_tokenizer.vit', 'vte')),
    requires=('transformers>=4.46.2', 'moviepy<2'), tags=('vision',),
    ids=('AIDC-AI/Ovis2.5-2B', 'AIDC-AI/Ovis2.5-9B'))
