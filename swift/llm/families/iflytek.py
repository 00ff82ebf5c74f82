"""Spark of iFLYTEK."""

from __future__ import annotations

from swift.llm.template.chat_template import Thinking, WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.spark import write_spark2_5

TEMPLATES.add(WrittenTemplate(
    'spark2_5', write_spark2_5, options=('enable_thinking',), dialect='glm4_7',
    thinking=Thinking(prefix='<think>', empty='</think>', history='</think>'),
    source='Spark2.5 chat_template (llama.cpp models/templates)'))
for _alias, _name in {
    'spark_2_5': 'spark2_5',
}.items():
    TEMPLATES.alias(_alias, _name)
