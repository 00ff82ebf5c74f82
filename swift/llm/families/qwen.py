"""Qwen1.5, Qwen2, Qwen2.5 and Qwen3 text models: one key a checkpoint (SWIFT 2) and one a family (newest)."""

from __future__ import annotations

from swift.llm.model.registry import MODELS, ModelFamily

_QKV = ('q_proj', 'k_proj', 'v_proj')
_SIZES_1_5 = ('0.5B', '1.8B', '4B', '7B', '14B', '32B', '72B', '110B')
_SIZES_2 = ('0.5B', '1.5B', '7B', '72B')
_SIZES_2_5 = ('0.5B', '1.5B', '3B', '7B', '14B', '32B', '72B')
_SIZES_3 = ('0.6B', '1.7B', '4B', '8B', '14B', '32B')


def _add_checkpoints(key: str, series: str, sizes: tuple[str, ...], chat: str, template: str) -> None:
    """The base and the chat checkpoint of every size, as ``<key>-<size>`` and ``<key>-<size>-<chat>``."""
    for size in sizes:
        name = f'{key}-{size.lower().replace(".", "_")}'
        for suffix, chosen in (('', 'default-generation'), (f'-{chat}', template)):
            MODELS.add(ModelFamily(
                name=name + suffix.lower(), hub_ids=(f'Qwen/{series}-{size}{suffix}',),
                architectures=('Qwen2ForCausalLM',), template=chosen, target_modules=_QKV))


_add_checkpoints('qwen1half', 'Qwen1.5', _SIZES_1_5, 'Chat', 'qwen')
_add_checkpoints('qwen2', 'Qwen2', _SIZES_2, 'Instruct', 'qwen')
_add_checkpoints('qwen2_5', 'Qwen2.5', _SIZES_2_5, 'Instruct', 'qwen2_5')

_QWEN_2_5 = tuple(f'Qwen/Qwen2.5-{size}{suffix}' for size in _SIZES_2_5 for suffix in ('', '-Instruct'))
MODELS.add(ModelFamily(
    name='qwen2', architectures=('Qwen2ForCausalLM',), template='qwen',
    hub_ids=(*(f'Qwen/Qwen1.5-{size}{suffix}' for size in _SIZES_1_5 for suffix in ('', '-Chat')),
             *(f'Qwen/Qwen2-{size}{suffix}' for size in _SIZES_2 for suffix in ('', '-Instruct')),
             *_QWEN_2_5),
    id_templates=tuple((hub_id, 'qwen2_5') for hub_id in _QWEN_2_5)))

MODELS.add(ModelFamily(  # a thinking model: its own template decides what of the thinking is kept
    name='qwen3', architectures=('Qwen3ForCausalLM',),
    hub_ids=(*(f'Qwen/Qwen3-{size}' for size in _SIZES_3), *(f'Qwen/Qwen3-{size}-Base' for size in _SIZES_3[:-1]))))
