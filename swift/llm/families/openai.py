"""gpt-oss of OpenAI."""

from __future__ import annotations

from swift.llm.model.registry import add_family, hubs
from swift.llm.template.chat_template import Thinking, WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.openai import write_gpt_oss

TEMPLATES.add(WrittenTemplate(
    'gpt_oss', write_gpt_oss, stop_words=('<|return|>', '<|call|>'), options=('reasoning_effort', 'model_identity'),
    drops=frozenset({'parallel calls'}),
    dialect='gpt_oss', thinking=Thinking(tags=('<|channel|>analysis<|message|>', '<|end|>')),
    source='gpt-oss-120b chat_template (llama.cpp models/templates; TRL gptoss)'))
TEMPLATES.alias('gptoss', 'gpt_oss')
TEMPLATES.alias('gpt-oss', 'gpt_oss')
for _alias, _name in {
    'gpt_oss_120b': 'gpt_oss', 'gpt_oss_20b': 'gpt_oss',
}.items():
    TEMPLATES.alias(_alias, _name)

add_family(
    'gpt_oss', 'GptOssForCausalLM', template='gpt_oss', requires=('transformers>=4.55',),
    ignore_files=('metal/*', 'original/*'), ids=hubs('openai-mirror', 'openai', 'gpt-oss-20b', 'gpt-oss-120b'))
