"""Ling and Ring of inclusionAI (Ant Group)."""

from __future__ import annotations

from swift.llm.families._shapes import declare, like
from swift.llm.model.registry import Variant, add_family
from swift.llm.template.chat_template import Thinking, WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.inclusionai import write_ling3

_LING_TEMPLATE = declare(
    'ling', system_prefix=('<role>SYSTEM</role>{{SYSTEM}}',),
    prompt=('<role>HUMAN</role>{{QUERY}}<role>ASSISTANT</role>',), chat_sep=(), suffix=('<|endoftext|>',))
declare(
    'ling2', prefix=('<role>SYSTEM</role>detailed thinking off<|role_end|>',),
    system_prefix=('<role>SYSTEM</role>{{SYSTEM}}\ndetailed thinking off<|role_end|>',),
    prompt=('<role>HUMAN</role>{{QUERY}}<|role_end|>', '<role>ASSISTANT</role>'), chat_sep=('<|role_end|>',),
    suffix=('<|role_end|>',))
like(_LING_TEMPLATE, 'ring2', thinking=Thinking(prefix='<think>\n'))
declare(
    'ring2_5', system_prefix=('<role>SYSTEM</role>\n{{SYSTEM}}\n\n',),
    prompt=('<role>HUMAN</role>\n{{QUERY}}<|role_end|>\n\n', '<role>ASSISTANT</role>\n'),
    chat_sep=('<|role_end|>\n\n',), suffix=('<|role_end|>\n\n',), thinking=Thinking())
TEMPLATES.add(WrittenTemplate(
    'ling3', write_ling3, options=('enable_thinking', 'thinking_option'), dialect='ling3',
    thinking=Thinking(prefix='\n<think>', empty='\n<think></think>', history='\n<think></think>'),
    source='Ling-3.0-flash chat_template (llama.cpp models/templates)'))
for _alias in ('ling_3_flash', 'ling3_flash', 'ling_3'):
    TEMPLATES.alias(_alias, 'ling3')
for _alias, _name in {
    'ling_3_0_flash': 'ling3',
}.items():
    TEMPLATES.alias(_alias, _name)

add_family(
    'ling', 'BailingMoeForCausalLM', template='ling',
    ids=('inclusionAI/Ling-lite', 'inclusionAI/Ling-plus', 'inclusionAI/Ling-lite-base',
         'inclusionAI/Ling-plus-base'))
add_family(
    'bailing_moe', 'BailingMoeV2ForCausalLM', template='ling2',
    ids=('inclusionAI/Ling-mini-2.0', 'inclusionAI/Ling-mini-base-2.0', 'inclusionAI/Ling-1T'),
    variants=(
        Variant('ring2', ('inclusionAI/Ring-mini-2.0',)),))
add_family(
    'bailing_hybrid', 'BailingMoeV2_5ForCausalLM', template='ling2',
    ids=('inclusionAI/Ling-2.5-1T', 'inclusionAI/Ling-2.6-1T', 'inclusionAI/Ling-2.6-flash'),
    variants=(
        Variant('ring2_5', ('inclusionAI/Ring-2.5-1T', 'inclusionAI/Ring-2.6-1T')),))
