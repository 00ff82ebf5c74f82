"""Nemotron of NVIDIA."""

from __future__ import annotations

from functools import partial

from swift.llm.families._shapes import like
from swift.llm.model.registry import add_family, hubs
from swift.llm.template.chat_template import Thinking, WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.nvidia import (
    LIGHTNING,
    SUPER,
    ULTRA,
    write_nemotron_3,
    write_nemotron_h,
    write_nemotron_nano_v2,
)

_NEMOTRON_3_TEMPLATE = TEMPLATES.add(WrittenTemplate(
    'nemotron_h', partial(write_nemotron_3, model=LIGHTNING),
    options=('enable_thinking', 'truncate_history_thinking'), dialect='qwen3_coder',
    thinking=Thinking(prefix='<think>\n', empty='<think></think>', history='<think></think>'),
    source='Nemotron-3.5-Lightning chat template (TRL chat_templates/nemotron_3_5_lightning)'))
like(_NEMOTRON_3_TEMPLATE, 'nemotron_3_nano', write=write_nemotron_3,
     source='NVIDIA-Nemotron-3-Nano-30B-A3B-BF16 chat template (llama.cpp models/templates)')
like(_NEMOTRON_3_TEMPLATE, 'nemotron_3_super', write=partial(write_nemotron_3, model=SUPER),
     options=('enable_thinking', 'truncate_history_thinking', 'low_effort'),
     source='Nemotron 3 Super chat template (TRL chat_templates/nemotron_3_super)')
like(_NEMOTRON_3_TEMPLATE, 'nemotron_3_ultra', write=partial(write_nemotron_3, model=ULTRA),
     options=('enable_thinking', 'truncate_history_thinking', 'medium_effort'),
     source='Nemotron 3 Ultra chat template (TRL chat_templates/nemotron_3_ultra)')
TEMPLATES.add(WrittenTemplate(
    'nemotron_nano_v2', write_nemotron_nano_v2, drops=frozenset({'reasoning'}), dialect='nemotron',
    thinking=Thinking(prefix='<think>\n', empty='<think></think>'),
    source='NVIDIA-Nemotron-Nano-9B-v2 chat template (llama.cpp models/templates)'))
TEMPLATES.add(WrittenTemplate(
    'nemotron_h_chatml', write_nemotron_h, drops=frozenset({'tools', 'calls', 'reasoning'}),
    source='rendition for Nemotron-H of axolotl (chat_templates/nemotron_h)'))
TEMPLATES.alias('nemotron_3_5_lightning', 'nemotron_h')
TEMPLATES.alias('nemotron_3', 'nemotron_3_nano')
TEMPLATES.alias('nemotron_v2', 'nemotron_nano_v2')
for _alias, _name in {
    'nemotron3_nano': 'nemotron_3_nano', 'nemotron3_super': 'nemotron_3_super', 'nemotron3_ultra': 'nemotron_3_ultra',
    'nemotron3_5_lightning': 'nemotron_h', 'nemotron_h_axolotl': 'nemotron_h_chatml',
}.items():
    TEMPLATES.alias(_alias, _name)

add_family(
    'nemotron_h', 'NemotronHForCausalLM', template='nemotron_h',
    requires=('transformers>=5.0', 'mamba-ssm', 'causal-conv1d>=1.2.0'),
    ids=hubs('nv-community', 'nvidia', 'NVIDIA-Nemotron-3.5-Lightning-30B-A3B-BF16',
             'NVIDIA-Nemotron-3.5-Lightning-30B-A3B-NVFP4'))
