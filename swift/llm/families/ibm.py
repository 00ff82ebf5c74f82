"""Granite of IBM: templates; no model of it is in the tables of SWIFT."""

from __future__ import annotations

from swift.llm.families._shapes import like
from swift.llm.template.chat_template import WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.ibm import (
    write_granite3,
    write_granite3_3,
    write_granite3_vllm,
    write_granite4,
    write_granite4_1,
)

_GRANITE3_TEMPLATE = TEMPLATES.add(WrittenTemplate(
    'granite_3_0', write_granite3, drops=frozenset({'calls', 'results', 'reasoning'}),
    source='granite-3.0-8b-instruct chat_template (llama.cpp tests)'))
like(_GRANITE3_TEMPLATE, 'granite_3_tools', write=write_granite3_vllm, drops=frozenset({'reasoning'}),
     dialect='granite', source='Granite 3 as in vLLM examples/tool_chat_template_granite.jinja')
like(_GRANITE3_TEMPLATE, 'granite_3_3', write=write_granite3_3, drops=frozenset({'calls', 'reasoning'}),
     options=('thinking',), source='granite-3.3-2b-instruct chat_template (llama.cpp models/templates)')
_GRANITE4_TEMPLATE = like(
    _GRANITE3_TEMPLATE, 'granite_4', write=write_granite4, drops=frozenset({'reasoning'}), dialect='hermes',
    source='Granite 4.0 chat_template (llama.cpp models/templates)')
like(_GRANITE4_TEMPLATE, 'granite_4_1', write=write_granite4_1,
     source='Granite 4.1 chat_template (llama.cpp models/templates)')
for _alias, _name in {
    'granite': 'granite_3_3', 'granite3': 'granite_3_0', 'granite_3': 'granite_3_0', 'granite3_3': 'granite_3_3',
    'granite4': 'granite_4', 'granite_4_0': 'granite_4', 'granite4_1': 'granite_4_1',
}.items():
    TEMPLATES.alias(_alias, _name)
for _alias, _name in {
    'granite3_0': 'granite_3_0', 'granite4_0': 'granite_4',
}.items():
    TEMPLATES.alias(_alias, _name)
