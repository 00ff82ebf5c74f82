"""Reka Edge."""

from __future__ import annotations

from swift.llm.template.chat_template import Thinking, WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.reka import write_reka_edge

TEMPLATES.add(WrittenTemplate(
    'reka_edge', write_reka_edge, options=('enable_thinking',), dialect='hermes',
    thinking=Thinking(prefix=' <think>\n', empty=' <think>\n\n</think>\n\n'),
    source='Reka-Edge chat template (llama.cpp models/templates)'))
TEMPLATES.alias('reka', 'reka_edge')
