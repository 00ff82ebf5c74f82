"""RWKV."""

from __future__ import annotations

from swift.llm.template.chat_template import Thinking, WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.rwkv import write_rwkv_world

TEMPLATES.add(WrittenTemplate(
    'rwkv_world', write_rwkv_world, drops=frozenset({'tools', 'calls', 'results', 'reasoning'}),
    options=('enable_thinking',), thinking=Thinking(empty=' <think>\n</think>'),
    source='llama.cpp models/templates/llama-cpp-rwkv-world.jinja'))
TEMPLATES.alias('rwkv', 'rwkv_world')
