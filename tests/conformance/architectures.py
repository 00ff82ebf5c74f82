"""Which classes of transformers the registered families use, and which of those are not trained in a test, and why."""

from __future__ import annotations

from transformers.models.auto import modeling_auto

from swift.llm.model.checks import GENERATORS
from swift.llm.model.registry import MODELS, TRANSFORMERS_NAMES, ModelFamily

# where transformers builds several model types with one class: the one to try
MODEL_TYPES = {'LlamaForCausalLM': 'llama', 'GPT2LMHeadModel': 'gpt2'}
NOT_TRAINED = {
    'DeepseekOcr2ForConditionalGeneration': 'peft 0.21 renames the weights of its adapter when it loads them, and '
                                            'finds none',
    'DiffusionGemmaForBlockDiffusion': 'writes blocks by diffusion, not one token after the other',
    'Emu3ForCausalLM': 'transformers saves the language model alone under a model_type that no Auto class loads; the '
                       'published checkpoints bring their own code',
    'Florence2ForConditionalGeneration': 'an encoder and a decoder: the loss of a causal language model does not fit',
    'Gemma3nForConditionalGeneration': 'its vision tower is a model of the package timm',
    'Molmo2ForConditionalGeneration': 'wants mm_token_type_ids beside the tokens in training',
    'Qwen2_5OmniForConditionalGeneration': 'a frame around a thinker and a talker that has no forward of its own',
    'Qwen3OmniMoeForConditionalGeneration': 'a frame around a thinker and a talker that has no forward of its own',
}
# a sample of the large families, for every push
SAMPLE = ('LlamaForCausalLM', 'Qwen2ForCausalLM', 'Qwen3ForCausalLM', 'Qwen3MoeForCausalLM', 'MistralForCausalLM',
          'DeepseekV3ForCausalLM', 'Glm4ForCausalLM', 'Gemma2ForCausalLM', 'Phi3ForCausalLM',
          'Qwen2_5_VLForConditionalGeneration', 'InternVLForConditionalGeneration')


def implemented() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Class of transformers -> (its model_type, keys of the families that use it)."""
    users: dict[str, list[str]] = {}
    for family in MODELS:
        for name in dict.fromkeys(TRANSFORMERS_NAMES.get(a, a) for a in family.architectures):
            if not family.family:
                users.setdefault(name, []).append(family.name)
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for classes in GENERATORS.values():
        for model_type, name in classes.items():
            if name in users and name not in found:
                found[name] = (MODEL_TYPES.get(name, model_type), tuple(users[name]))
    return dict(sorted(found.items()))


def status(family: ModelFamily) -> str:
    """What a test shows about a family: ``trained``, or why there is none."""
    known = implemented()
    names = [TRANSFORMERS_NAMES.get(a, a) for a in family.architectures]
    if any(name in known and name not in NOT_TRAINED for name in names):
        return 'trained'
    for name in names:
        if name in NOT_TRAINED:
            return NOT_TRAINED[name]
    others = (modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
              modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES, modeling_auto.MODEL_MAPPING_NAMES)
    if any(name in classes.values() for classes in others for name in names) or 'bert' in family.tags:
        return 'no model that writes text'
    return 'own code' if names else 'no architecture is known'
