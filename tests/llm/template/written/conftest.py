"""What tests of written templates share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from swift.llm.protocol import Message
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.render import render_case


@pytest.fixture(scope='session')
def show() -> Callable[..., str]:
    """``show(name, messages, tools, **options)``: the rendering with what is trained between double brackets."""

    def write(name: str, messages: list[Message], tools: tuple = (), **options) -> str:
        segments = render_case(TEMPLATES.get(name), messages, tools, **options).segments
        return ''.join(f'[[{s.text}]]' if s.weight else s.text for s in segments).replace(']][[', '')

    return write
