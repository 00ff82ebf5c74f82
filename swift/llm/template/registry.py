"""The chat templates by name. Vendor files under ``swift/llm/families`` add theirs with ``TEMPLATES.add(...)``.

Standard library only: ``swift --help`` and the argument parser may import it.
"""

from __future__ import annotations

from swift.llm.template.builtin import BUILTIN
from swift.llm.template.chat_template import PLACEHOLDERS, ChatTemplate, Part, Thinking, WrittenTemplate
from swift.utils.registry import Registry

__all__ = ['PLACEHOLDERS', 'TEMPLATES', 'ChatTemplate', 'Part', 'Thinking', 'WrittenTemplate']

TEMPLATES: Registry[ChatTemplate | WrittenTemplate] = Registry('template', 'swift.llm.families', loose=True)
for _entry in BUILTIN:
    TEMPLATES.add(_entry)
