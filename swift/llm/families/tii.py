"""Falcon of TII."""

from __future__ import annotations

from functools import partial

from swift.llm.template.chat_template import WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.community import DROPS, LOOPS, write_loop
from swift.llm.template.written.falcon import write_falcon_h1, write_falcon_instruct

TEMPLATES.add(WrittenTemplate(
    'falcon_instruct', write_falcon_instruct, drops=DROPS,
    source='chat_templates/falcon-instruct.jinja of chujiezheng/chat_templates, after FastChat'))
TEMPLATES.add(WrittenTemplate(
    'falcon_h1', write_falcon_h1, drops=frozenset({'calls', 'reasoning'}), dialect='hermes',
    source='axolotl chat template falcon_h1'))
TEMPLATES.add(WrittenTemplate(
    'falcon', partial(write_loop, loop=LOOPS['falcon']), drops=DROPS | {'system', 'results'},
    source=LOOPS['falcon'].source))
TEMPLATES.add(WrittenTemplate(
    'falcon_180b', partial(write_loop, loop=LOOPS['falcon_180b']), drops=DROPS | {'results'},
    source=LOOPS['falcon_180b'].source))
