"""Hermes of Nous Research, and xLAM of Salesforce: models known for calling tools."""

from __future__ import annotations

from functools import partial

from swift.llm.families._shapes import like
from swift.llm.template.chat_template import WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.hermes import write_hermes, write_openhermes
from swift.llm.template.written.salesforce import LLAMA, write_xlam

TEMPLATES.add(WrittenTemplate(
    'hermes', write_hermes, drops=frozenset({'reasoning'}), dialect='hermes',
    source='Hermes-2-Pro-Llama-3-8B and Hermes-3-Llama-3.1-8B, template "tool_use" (llama.cpp models/templates)'))
TEMPLATES.add(WrittenTemplate(
    'openhermes', write_openhermes, drops=frozenset({'tools', 'calls', 'reasoning'}),
    source='OpenHermes-2.5-Mistral-7B tokenizer_config.json (llama.cpp tests)'))
_XLAM_TEMPLATE = TEMPLATES.add(WrittenTemplate(
    'xlam_qwen', write_xlam, drops=frozenset({'reasoning'}), dialect='xlam',
    source='rendition for xLAM-2 of vLLM (examples/tool_chat_template_xlam_qwen)'))
like(_XLAM_TEMPLATE, 'xlam_llama', write=partial(write_xlam, markup=LLAMA),
     source='rendition for xLAM-2 of vLLM (examples/tool_chat_template_xlam_llama)')
for _alias in ('hermes2_pro', 'hermes2_pro_tool_use', 'hermes_2_pro', 'hermes3', 'hermes_3', 'nous_hermes'):
    TEMPLATES.alias(_alias, 'hermes')
TEMPLATES.alias('openhermes_2_5', 'openhermes')
TEMPLATES.alias('xlam', 'xlam_qwen')
for _alias, _name in {
    'openhermes2_5': 'openhermes', 'hermes2_pro_llama3': 'hermes', 'hermes3_tool_use': 'hermes',
    'hermes_3_tool_use': 'hermes', 'hermes_2_pro_tool_use': 'hermes',
}.items():
    TEMPLATES.alias(_alias, _name)
