"""Jamba of AI21."""

from __future__ import annotations

from swift.llm.template.chat_template import WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.ai21 import write_jamba

TEMPLATES.add(WrittenTemplate(
    'jamba', write_jamba, drops=frozenset({'reasoning'}), dialect='jamba', source='axolotl chat template jamba'))
