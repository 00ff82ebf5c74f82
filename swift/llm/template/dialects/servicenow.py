"""Calls of Apriel: a JSON list between tags."""

from __future__ import annotations

from swift.llm.template.dialect import DIALECTS, Dialect
from swift.llm.template.dialects.json_list import JsonList

DIALECTS.add(Dialect('apriel', JsonList(r'<tool_calls>\s*(?=\[)', r'\s*</tool_calls>'),
                     source='Apriel-1.5-15b-Thinker chat template (llama.cpp models/templates)'))
