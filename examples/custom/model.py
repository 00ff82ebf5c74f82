"""A model family of your own: --external_plugins examples/custom/model.py --model FOLDER --model_type my-llama."""

from swift.llm.model.registry import MODELS, ModelFamily

MODELS.add(ModelFamily(
    name='my-llama',
    hub_ids=('my-organisation/my-llama-1b', 'my-organisation/my-llama-8b'),
    architectures=('LlamaForCausalLM',),
    template='chatml',
    target_modules=('q_proj', 'v_proj')))
