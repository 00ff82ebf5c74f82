"""Kimi and Moonlight of Moonshot AI."""

from __future__ import annotations

import dataclasses
from functools import partial

from swift.llm.families._shapes import SWIFT_4, declare, like
from swift.llm.model.registry import ModelParts, add_family
from swift.llm.template.chat_template import Thinking, WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.moonshot import (
    write_kimi_k2,
    write_kimi_k2_instruct,
    write_kimi_k2_thinking,
    write_kimi_k3,
)

_MOONLIGHT_TEMPLATE = declare(
    'moonlight', system_prefix=('<|im_system|>system<|im_middle|>{{SYSTEM}}<|im_end|>',),
    prompt=('<|im_user|>user<|im_middle|>{{QUERY}}<|im_end|>', '<|im_assistant|>assistant<|im_middle|>'),
    chat_sep=('<|im_end|>',), suffix=('<|im_end|>',), default_system='You are a helpful assistant')
like(_MOONLIGHT_TEMPLATE, 'kimi_vl')
TEMPLATES.add(WrittenTemplate(
    'kimi_k2', write_kimi_k2, drops=frozenset({'reasoning'}), dialect='kimi_k2',
    source='Kimi-K2-Instruct chat_template of July 2025 (llama.cpp models/templates/moonshotai-Kimi-K2.jinja)'))
TEMPLATES.add(WrittenTemplate(
    'kimi_k2_instruct', write_kimi_k2_instruct, drops=frozenset({'reasoning'}), dialect='kimi_k2',
    source='Kimi-K2-Instruct-0905 chat_template (llama.cpp models/templates/Kimi-K2-Instruct.jinja)'))
_KIMI_K2_THINKING_TEMPLATE = TEMPLATES.add(WrittenTemplate(
    'kimi_k2_thinking', write_kimi_k2_thinking, dialect='kimi_k2',
    thinking=Thinking(empty='<think></think>', history='<think></think>'),
    source='Kimi-K2-Thinking chat_template (llama.cpp models/templates)'))
TEMPLATES.add(dataclasses.replace(
    _KIMI_K2_THINKING_TEMPLATE, name='kimi_k25', options=('thinking',), dialect='kimi_k25',
    write=partial(write_kimi_k2_thinking, default_system='', prompts_thinking=True),
    thinking=Thinking(prefix='<think>', empty='<think></think>', history='<think></think>'),
    source=f'Kimi-K2-Thinking chat_template, with the prompt and the default system text of the {SWIFT_4}; unproven '
           'with tools, which the checkpoint\'s own tokenizer writes as TypeScript'))
TEMPLATES.add(WrittenTemplate(
    'kimi_k3', write_kimi_k3, options=('thinking', 'thinking_effort', 'tool_choice'), dialect='kimi_k3',
    thinking=Thinking(prefix='<|open|>think<|sep|>',
                      empty='<|open|>think<|sep|><|close|>think<|sep|><|open|>response<|sep|>',
                      history='<|open|>think<|sep|><|close|>think<|sep|><|open|>response<|sep|>',
                      tags=('<|open|>think<|sep|>', '<|close|>think<|sep|>')),
    source='Kimi-K3 chat_template (llama.cpp models/templates)'))
TEMPLATES.alias('kimi_k2_0905', 'kimi_k2_instruct')
TEMPLATES.alias('kimi_k2_5', 'kimi_k25')

add_family(
    'kimi_vl', 'KimiVLForConditionalGeneration', template='kimi_vl', multimodal=True,
    parts=ModelParts(('language_model',), ('multi_modal_projector',), ('vision_tower',)),
    requires=('transformers<4.49',),
    ids=('moonshotai/Kimi-VL-A3B-Instruct', 'moonshotai/Kimi-VL-A3B-Thinking',
         'moonshotai/Kimi-VL-A3B-Thinking-2506'))
add_family(
    'kimi_k25', 'KimiK25ForConditionalGeneration', template='kimi_k25', multimodal=True,
    parts=ModelParts(('language_model',), ('mm_projector',), ('vision_tower',)),
    requires=('transformers>=4.57.1,<5.0.0',),
    ids=('moonshotai/Kimi-K2.5', 'moonshotai/Kimi-K2.6', 'moonshotai/Kimi-K2.7-Code'))
add_family(
    'kimi_k3', 'KimiK3ForConditionalGeneration', template='kimi_k3', multimodal=True,
    parts=ModelParts(('language_model',), ('mm_projector',), ('vision_tower',)),
    requires=('transformers>=5', 'tiktoken'), tags=('vision',), ids=('moonshotai/Kimi-K3',))
