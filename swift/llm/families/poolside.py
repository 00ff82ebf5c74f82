"""Laguna of Poolside."""

from __future__ import annotations

from functools import partial

from swift.llm.template.chat_template import Thinking, WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.poolside import write_laguna_s, write_laguna_xs

TEMPLATES.add(WrittenTemplate(
    'laguna_xs', write_laguna_xs, options=('enable_thinking',), dialect='glm4_5',
    thinking=Thinking(empty='</think>', history='</think>'),
    source='Laguna-XS.2 chat_template (llama.cpp models/templates)'))
TEMPLATES.add(WrittenTemplate(
    'laguna_xs_2_1', partial(write_laguna_xs, default_system=''), options=('enable_thinking',), dialect='glm4_5',
    thinking=Thinking(empty='</think>', history='</think>'),
    source='Laguna-XS-2.1 chat_template (llama.cpp models/templates)'))
TEMPLATES.add(WrittenTemplate(
    'laguna_s', write_laguna_s, options=('enable_thinking', 'preserve_thinking'), dialect='glm4_7',
    thinking=Thinking(prefix='<think>', empty='</think>', history='<think></think>'),
    source='Laguna-S-2.1 chat_template (llama.cpp models/templates)'))
TEMPLATES.alias('laguna_xs_2', 'laguna_xs')
TEMPLATES.alias('laguna_s_2_1', 'laguna_s')
for _alias, _name in {
    'laguna_xs2': 'laguna_xs',
}.items():
    TEMPLATES.alias(_alias, _name)
