"""LFM2 of Liquid AI."""

from __future__ import annotations

from functools import partial

from swift.llm.template.chat_template import Thinking, WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.liquid import write_lfm2, write_lfm2_5, write_lfm2_5_instruct

TEMPLATES.add(WrittenTemplate(
    'lfm2', write_lfm2, drops=frozenset({'calls', 'reasoning'}), dialect='lfm2',
    source='LFM2-8B-A1B chat_template (llama.cpp models/templates)'))
TEMPLATES.add(WrittenTemplate(
    'lfm2_v2', partial(write_lfm2, with_calls=True), drops=frozenset({'reasoning'}), dialect='lfm2',
    source='LFM2 chat_template, second version (TRL lfm2_v2)'))
_LFM2_5 = TEMPLATES.add(WrittenTemplate(
    'lfm2_5', write_lfm2_5, options=('preserve_thinking',), dialect='lfm2',
    thinking=Thinking(empty='<think></think>'), source='LFM2.5-8B-A1B chat_template (llama.cpp; TRL lfm2_2_5_v2)'))
TEMPLATES.add(WrittenTemplate(
    'lfm2_5_vl', partial(write_lfm2_5, escapes=True), options=('preserve_thinking',), dialect='lfm2',
    thinking=Thinking(empty='<think></think>'), source='LFM2.5-VL chat_template (TRL lfm2_2_5_vl)'))
TEMPLATES.add(WrittenTemplate(
    'lfm2_5_instruct', write_lfm2_5_instruct, drops=frozenset({'calls', 'reasoning'}), dialect='lfm2',
    options=('keep_past_thinking',), thinking=Thinking(),
    source='LFM2.5-Instruct chat_template (llama.cpp models/templates)'))
for _alias, _name in {
    'lfm2_2_5': 'lfm2_5', 'lfm2_2_5_v2': 'lfm2_5', 'lfm2_5_v2': 'lfm2_5', 'lfm2_2_5_vl': 'lfm2_5_vl',
}.items():
    TEMPLATES.alias(_alias, _name)
