"""Functionary of MeetKai: templates only."""

from __future__ import annotations

from swift.llm.template.chat_template import WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written import functionary

TEMPLATES.add(WrittenTemplate(
    'functionary_v3_1', functionary.write_functionary_v3_1, drops=frozenset({'reasoning'}), dialect='functionary_v3_1',
    stop_words=('<|eom_id|>',), source='functionary-medium-v3.1 chat template (llama.cpp models/templates)'))
TEMPLATES.add(WrittenTemplate(
    'functionary_v3_2', functionary.write_functionary_v3_2, drops=frozenset({'reasoning'}), dialect='functionary_v3_2',
    source='functionary-medium-v3.2 chat template (llama.cpp models/templates)'))
for _alias, _name in {
    'functionary_medium_v3_1': 'functionary_v3_1', 'functionary_medium_v3_2': 'functionary_v3_2',
}.items():
    TEMPLATES.alias(_alias, _name)
