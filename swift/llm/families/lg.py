"""EXAONE of LG AI Research: templates; no model of it is in the tables of SWIFT."""

from __future__ import annotations

from swift.llm.template.chat_template import Thinking, WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.lg import write_exaone, write_exaone4

TEMPLATES.add(WrittenTemplate(
    'exaone', write_exaone, drops=frozenset({'tools', 'calls', 'reasoning'}),
    source='EXAONE 3 chat_template (axolotl)'))
TEMPLATES.add(WrittenTemplate(
    'exaone4', write_exaone4, options=('enable_thinking', 'skip_think'), dialect='hermes',
    thinking=Thinking(prefix='<think>\n', empty='<think>\n\n</think>\n\n', history='<think>\n\n</think>\n\n'),
    source='EXAONE 4 chat_template (axolotl)'))
for _alias, _name in {
    'exaone3': 'exaone', 'exaone_3': 'exaone', 'exaone3_5': 'exaone', 'exaone_3_5': 'exaone', 'exaone_4': 'exaone4',
}.items():
    TEMPLATES.alias(_alias, _name)
