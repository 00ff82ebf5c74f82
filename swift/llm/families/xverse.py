"""XVERSE."""

from __future__ import annotations

from swift.llm.families._shapes import declare
from swift.llm.model.registry import BASE, QKV, add_checkpoints, add_family

declare(
    'xverse', system_prefix=('{{SYSTEM}}',), prompt=('Human: {{QUERY}}\n\n', 'Assistant: '),
    chat_sep=(('eos_token',),), suffix=(('eos_token',),))

_XVERSE = add_family(
    'xverse', 'XverseForCausalLM', template='xverse',
    ids=('xverse/XVERSE-7B-Chat', 'xverse/XVERSE-7B', 'xverse/XVERSE-13B', 'xverse/XVERSE-13B-Chat',
         'xverse/XVERSE-65B', 'xverse/XVERSE-65B-2', 'xverse/XVERSE-65B-Chat', 'xverse/XVERSE-13B-256K'))
add_checkpoints(
    _XVERSE,
    ('xverse-7b', BASE, 'xverse/XVERSE-7B'),
    ('xverse-7b-chat', 'xverse', 'xverse/XVERSE-7B-Chat'),
    ('xverse-13b-256k', BASE, 'xverse/XVERSE-13B-256K'),
    ('xverse-65b-chat', 'xverse', 'xverse/XVERSE-65B-Chat'),
    ('xverse-65b-v2', BASE, 'xverse/XVERSE-65B-2'),
    ('xverse-65b', BASE, 'xverse/XVERSE-65B'),
    ('xverse-13b', BASE, 'xverse/XVERSE-13B'),
    ('xverse-13b-chat', 'xverse', 'xverse/XVERSE-13B-Chat'),
    target_modules=QKV)
_XVERSE_MOE = add_family('xverse_moe', 'XverseForCausalLM', template='xverse', ids=('xverse/XVERSE-MoE-A4.2B',))
add_checkpoints(
    _XVERSE_MOE,
    ('xverse-moe-a4_2b', BASE, 'xverse/XVERSE-MoE-A4.2B'),
    target_modules=QKV, tags=('moe',))
