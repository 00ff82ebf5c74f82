"""Llama 3, 3.1, 3.2 and 3.3 text models: one key a checkpoint (SWIFT 2) and one for the family (newest)."""

from __future__ import annotations

from swift.llm.model.registry import MODELS, ModelFamily

# key, checkpoint (without -Instruct), template of the instruct version. From 3.1 on the official template writes a
# knowledge date and tools into the system turn; those checkpoints use their own.
_CHECKPOINTS = (
    ('llama3-8b', 'Meta-Llama-3-8B', 'llama3'),
    ('llama3-70b', 'Meta-Llama-3-70B', 'llama3'),
    ('llama3_1-8b', 'Meta-Llama-3.1-8B', None),
    ('llama3_1-70b', 'Meta-Llama-3.1-70B', None),
    ('llama3_1-405b', 'Meta-Llama-3.1-405B', None),
    ('llama3_2-1b', 'Llama-3.2-1B', None),
    ('llama3_2-3b', 'Llama-3.2-3B', None),
)
_MS, _HF = 'LLM-Research', 'meta-llama'

for _key, _checkpoint, _template in _CHECKPOINTS:
    for _suffix, _chosen in (('', 'default-generation'), ('-Instruct', _template)):
        MODELS.add(ModelFamily(
            name=_key + _suffix.lower(), hub_ids=(f'{_MS}/{_checkpoint}{_suffix}',),
            hf_ids=(f'{_HF}/{_checkpoint}{_suffix}',), architectures=('LlamaForCausalLM',), template=_chosen,
            target_modules=('q_proj', 'k_proj', 'v_proj')))

_IDS = (*(f'{checkpoint}{suffix}' for _, checkpoint, _ in _CHECKPOINTS for suffix in ('', '-Instruct')),
        'Llama-3.3-70B-Instruct')
MODELS.add(ModelFamily(
    name='llama', architectures=('LlamaForCausalLM',), template='llama3',
    hub_ids=tuple(f'{_MS}/{checkpoint}' for checkpoint in _IDS),
    hf_ids=tuple(f'{_HF}/{checkpoint}' for checkpoint in _IDS),
    id_templates=tuple((f'{_MS}/{checkpoint}', None) for checkpoint in _IDS if '-3-' not in checkpoint)))
