"""Bielik of SpeakLeash: template only."""

from __future__ import annotations

from swift.llm.template.chat_template import Thinking, WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.bielik import write_bielik_v3

TEMPLATES.add(WrittenTemplate(
    'bielik_v3', write_bielik_v3, dialect='hermes', options=('enable_thinking',),
    thinking=Thinking(prefix='<think>\n', empty='<think>\n\n</think>\n'),
    source='Bielik-11B-v3.0-Instruct chat template (llama.cpp models/templates)'))
for _alias, _name in {
    'bielik': 'bielik_v3', 'bielik3': 'bielik_v3',
}.items():
    TEMPLATES.alias(_alias, _name)
