"""Apriel of ServiceNow: templates only."""

from __future__ import annotations

from swift.llm.template.chat_template import Thinking, WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written import servicenow

TEMPLATES.add(WrittenTemplate(
    'apriel_1_5', servicenow.write_apriel_1_5, drops=frozenset({'reasoning'}), dialect='apriel',
    source='Apriel-1.5-15b-Thinker chat template, as Unsloth publishes it (llama.cpp models/templates)'))
TEMPLATES.add(WrittenTemplate(
    'apriel_1_6', servicenow.write_apriel_1_6, dialect='apriel', options=('training_prompt',), stop_words=('<|end|>',),
    ending='\n<|end|>',
    thinking=Thinking(prefix='Here are my reasoning steps:\n', tags=('', '[BEGIN FINAL RESPONSE]')),
    source='Apriel-1.6-15b-Thinker chat template (llama.cpp models/templates)'))
for _alias, _name in {
    'apriel1_5': 'apriel_1_5', 'apriel1_6': 'apriel_1_6', 'apriel_1_6_thinker': 'apriel_1_6',
    'apriel_1_5_thinker': 'apriel_1_5',
}.items():
    TEMPLATES.alias(_alias, _name)
