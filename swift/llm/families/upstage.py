"""Solar of Upstage: templates; no model of it is in the tables of SWIFT."""

from __future__ import annotations

from swift.llm.template.chat_template import Thinking, WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.upstage import write_solar

TEMPLATES.add(WrittenTemplate(
    'solar_open', write_solar, stop_words=('<|calls|>',), options=('reasoning_effort', 'default_system_prompt'),
    drops=frozenset({'reasoning'}), dialect='solar',
    thinking=Thinking(tags=('<|begin|>assistant<|think|>', '<|end|>')),
    source='Solar-Open-100B chat_template (llama.cpp models/templates)'))
for _alias, _name in {
    'solar_open_100b': 'solar_open',
}.items():
    TEMPLATES.alias(_alias, _name)
