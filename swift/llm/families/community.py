"""Chat templates of well-known fine-tunes, which no entry of the model tables uses but many checkpoints do."""

from __future__ import annotations

from functools import partial

from swift.llm.template.chat_template import WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.community import DROPS, LOOPS, write_inkbot, write_loop

for _name in ('alpaca', 'vicuna', 'vicuna_1_1', 'orca_vicuna', 'amberchat', 'chatqa', 'openchat', 'starling', 'orca',
              'solar_instruct', 'zephyr_stripped', 'saiga', 'alphamonarch'):
    TEMPLATES.add(WrittenTemplate(
        _name, partial(write_loop, loop=LOOPS[_name]), drops=DROPS, source=LOOPS[_name].source))
for _name in ('alpaca_axolotl', 'solar', 'teleflm', 'metharme'):
    TEMPLATES.add(WrittenTemplate(
        _name, partial(write_loop, loop=LOOPS[_name]), drops=DROPS | {'results'}, source=LOOPS[_name].source))
TEMPLATES.add(WrittenTemplate(
    'orion_chat', partial(write_loop, loop=LOOPS['orion_chat']), drops=DROPS | {'system', 'results'},
    source=LOOPS['orion_chat'].source))
TEMPLATES.add(WrittenTemplate(
    'inkbot', write_inkbot, drops=DROPS | {'results'}, source='vLLM examples/template_inkbot.jinja'))
TEMPLATES.alias('openchat_3_5', 'openchat')
for _alias, _name in {
    'orion_14b': 'orion_chat', 'orion_14b_chat': 'orion_chat', 'starling_lm': 'starling',
    'solar_10_7b': 'solar_instruct',
}.items():
    TEMPLATES.alias(_alias, _name)
