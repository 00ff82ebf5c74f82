"""Apertus of the Swiss AI Initiative: template only."""

from __future__ import annotations

from swift.llm.template.chat_template import WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.swiss import write_apertus

TEMPLATES.add(WrittenTemplate(
    'apertus', write_apertus, drops=frozenset({'reasoning'}), dialect='apertus', options=('enable_thinking',),
    stop_words=('<|assistant_end|>', '<|tools_suffix|>'), ending='<|assistant_end|>',
    source='Apertus-8B-Instruct chat template (llama.cpp models/templates, vLLM)'))
