"""YandexGPT of Yandex: templates; no model of it is in the tables of SWIFT."""

from __future__ import annotations

from swift.llm.families._shapes import like
from swift.llm.template.chat_template import WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.yandex import write_yandexgpt, write_yandexgpt_answers

_YANDEX_TEMPLATE = TEMPLATES.add(WrittenTemplate(
    'yandexgpt5_lite', write_yandexgpt, drops=frozenset({'system', 'calls', 'reasoning'}),
    source='YandexGPT-5-Lite-8B-instruct chat_template (llama.cpp tests)'))
like(_YANDEX_TEMPLATE, 'yandexgpt5_lite_sft', write=write_yandexgpt_answers,
     source='the same, with the last answer behind its prompt: the official template asks for answers only')
TEMPLATES.alias('yandexgpt', 'yandexgpt5_lite')
for _alias, _name in {
    'yandexgpt_5_lite': 'yandexgpt5_lite',
}.items():
    TEMPLATES.alias(_alias, _name)
