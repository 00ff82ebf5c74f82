"""What many chat templates have in common, for the files of vendors; it registers nothing."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from swift.llm.template.chat_template import ChatTemplate, WrittenTemplate
from swift.llm.template.registry import TEMPLATES

SWIFT_2 = 'template table of SWIFT 2.6'
SWIFT_4 = 'template table of SWIFT 4'

CHATML = ChatTemplate(
    name='',
    system_prefix=('<|im_start|>system\n{{SYSTEM}}<|im_end|>\n',),
    prompt=('<|im_start|>user\n{{QUERY}}<|im_end|>\n', '<|im_start|>assistant\n'),
    chat_sep=('<|im_end|>\n',),
    suffix=('<|im_end|>\n',),
    stop_words=('<|endoftext|>',),
    source=SWIFT_4,
)
LLAMA3 = ChatTemplate(
    name='',
    prefix=('<|begin_of_text|>',),
    system_prefix=('<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n{{SYSTEM}}<|eot_id|>',),
    prompt=('<|start_header_id|>user<|end_header_id|>\n\n{{QUERY}}<|eot_id|>',
            '<|start_header_id|>assistant<|end_header_id|>\n\n'),
    chat_sep=('<|eot_id|>',),
    suffix=('<|eot_id|>',),
    source=SWIFT_4,
)


_Template = TypeVar('_Template', ChatTemplate, WrittenTemplate)


def like(base: _Template, name: str, **changes: Any) -> _Template:
    """Register ``base`` under another name, with the fields that differ."""
    return TEMPLATES.add(dataclasses.replace(base, name=name, **changes))


def declare(name: str, **fields: Any) -> ChatTemplate:
    """Register a template of which SWIFT's table is the source, unless another is given."""
    return TEMPLATES.add(ChatTemplate(name=name, **{'source': SWIFT_4, **fields}))
