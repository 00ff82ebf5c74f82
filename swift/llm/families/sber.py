"""GigaChat of Sber: templates; no model of it is in the tables of SWIFT."""

from __future__ import annotations

from swift.llm.families._shapes import like
from swift.llm.template.chat_template import WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.sber import write_gigachat, write_gigachat3, write_gigachat3_1

TEMPLATES.add(WrittenTemplate(
    'gigachat', write_gigachat, drops=frozenset({'tools', 'calls', 'results', 'reasoning'}),
    source='GigaChat-20B-A3B-instruct chat_template (llama.cpp tests)'))
_GIGACHAT3_TEMPLATE = TEMPLATES.add(WrittenTemplate(
    'gigachat3', write_gigachat3, drops=frozenset({'reasoning', 'parallel calls'}), dialect='gigachat3',
    source='GigaChat3-10B-A1.8B chat_template (llama.cpp models/templates)'))
like(_GIGACHAT3_TEMPLATE, 'gigachat3_1', write=write_gigachat3_1,
     source='GigaChat3.1-10B-A1.8B chat_template (llama.cpp models/templates)')
for _alias, _name in {
    'gigachat_3': 'gigachat3', 'gigachat_3_1': 'gigachat3_1',
}.items():
    TEMPLATES.alias(_alias, _name)
