"""MiniMax."""

from __future__ import annotations

import dataclasses
from functools import partial

from swift.llm.families._shapes import SWIFT_4, declare, like
from swift.llm.model.registry import LLAVA_PARTS, Variant, add_family, hubs
from swift.llm.template.chat_template import Thinking, WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.minimax import write_minimax_m1, write_minimax_m2, write_minimax_m3

_MINIMAX_TEMPLATE = declare(
    'minimax',
    system_prefix=('<beginning_of_sentence>system ai_setting=assistant\n{{SYSTEM}}<end_of_sentence>\n',),
    prompt=('<beginning_of_sentence>user name=user\n{{QUERY}}<end_of_sentence>\n',
            '<beginning_of_sentence>ai name=assistant\n'),
    chat_sep=('<end_of_sentence>\n',), suffix=('<end_of_sentence>',))
like(_MINIMAX_TEMPLATE, 'minimax_vl')
TEMPLATES.add(WrittenTemplate(
    'minimax_m1', write_minimax_m1, drops=frozenset({'reasoning'}), dialect='minimax_m1',
    source='MiniMax-M1 chat_template (llama.cpp models/templates)'))
_MINIMAX_M2_TEMPLATE = TEMPLATES.add(WrittenTemplate(
    'minimax_m2', write_minimax_m2, options=('model_identity',), dialect='minimax_m2',
    thinking=Thinking(prefix='<think>\n', empty='<think>\n\n</think>\n\n'),
    source='MiniMax-M2 chat_template (llama.cpp models/templates)'))
for _release in ('M2.1', 'M2.5', 'M2.7'):
    TEMPLATES.add(dataclasses.replace(
        _MINIMAX_M2_TEMPLATE, name=f'minimax_{_release.lower().replace(".", "_")}',
        write=partial(write_minimax_m2, identity='You are a helpful assistant. Your name is '
                                                 f'MiniMax-{_release} and is built by MiniMax.'),
        source=f'MiniMax-M2 chat_template; who MiniMax-{_release} says it is from the {SWIFT_4}'))
TEMPLATES.add(WrittenTemplate(
    'minimax_m3_vl', write_minimax_m3, options=('thinking_mode', 'model_identity'), dialect='minimax_m3',
    thinking=Thinking(prefix='<mm:think>', empty='</mm:think>', history='</mm:think>',
                      tags=('<mm:think>', '</mm:think>')),
    source='MiniMax-M3 chat_template (llama.cpp models/templates)'))
TEMPLATES.alias('minimax_m3', 'minimax_m3_vl')

add_family(
    'minimax_vl', 'MiniMaxVL01ForConditionalGeneration', template='minimax_vl', multimodal=True, tags=('vision',),
    ids=(('MiniMax/MiniMax-VL-01', 'MiniMaxAI/MiniMax-VL-01'),))
add_family(
    'minimax', 'MiniMaxText01ForCausalLM', template='minimax',
    ids=(('MiniMax/MiniMax-Text-01', 'MiniMaxAI/MiniMax-Text-01'),))
add_family(
    'minimax_m1', 'MiniMaxM1ForCausalLM', template='minimax_m1',
    ids=hubs('MiniMax', 'MiniMaxAI', 'MiniMax-M1-40k', 'MiniMax-M1-80k'))
add_family(
    'minimax_m2', 'MiniMaxM2ForCausalLM', template='minimax_m2', requires=('transformers==4.57.1',),
    ids=(('MiniMax/MiniMax-M2', 'MiniMaxAI/MiniMax-M2'),),
    variants=(
        Variant('minimax_m2_1', (('MiniMax/MiniMax-M2.1', 'MiniMaxAI/MiniMax-M2.1'),)),
        Variant('minimax_m2_5', (('MiniMax/MiniMax-M2.5', 'MiniMaxAI/MiniMax-M2.5'),)),
        Variant('minimax_m2_7', (('MiniMax/MiniMax-M2.7', 'MiniMaxAI/MiniMax-M2.7'),))))
add_family(
    'minimax_m3_vl', 'MiniMaxM3SparseForConditionalGeneration', template='minimax_m3_vl', multimodal=True,
    parts=LLAVA_PARTS, tags=('vision', 'video'), ids=(('MiniMax/MiniMax-M3', 'MiniMaxAI/MiniMax-M3'),))
