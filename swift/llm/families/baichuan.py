"""Baichuan of Baichuan Inc."""

from __future__ import annotations

from swift.llm.families._shapes import declare
from swift.llm.model.registry import BASE, Variant, add_checkpoints, add_family

declare(
    'baichuan', system_prefix=('{{SYSTEM}}',), prompt=((195,), '{{QUERY}}', (196,)), chat_sep=(),
    suffix=(('eos_token',),))
declare(
    'baichuan_m1', system_prefix=('<B_SYS>{{SYSTEM}}',), prompt=('<C_Q>{{QUERY}}<C_A>',), chat_sep=(),
    suffix=('<C_A>',), default_system='You are a helpful assistant.')

_BAICHUAN = add_family(
    'baichuan', 'BaichuanForCausalLM', 'BaiChuanForCausalLM', template='baichuan', requires=('transformers<4.34',),
    ids=('baichuan-inc/Baichuan-13B-Chat', 'baichuan-inc/Baichuan-13B-Base',
         ('baichuan-inc/baichuan-7B', 'baichuan-inc/Baichuan-7B')))
add_checkpoints(
    _BAICHUAN,
    ('baichuan-7b', BASE, 'baichuan-inc/baichuan-7B'),
    ('baichuan-13b-chat', 'baichuan', 'baichuan-inc/Baichuan-13B-Chat'),
    ('baichuan-13b', BASE, 'baichuan-inc/Baichuan-13B-Base'),
    target_modules=('W_pack',))
add_family(
    'baichuan_m1', 'BaichuanM1ForCausalLM', template='baichuan_m1', requires=('transformers>=4.48',),
    ids=('baichuan-inc/Baichuan-M1-14B-Instruct',))
_BAICHUAN2 = add_family(
    'baichuan2', 'BaichuanForCausalLM', 'BaiChuanForCausalLM', template='baichuan',
    ids=('baichuan-inc/Baichuan2-7B-Chat', 'baichuan-inc/Baichuan2-7B-Base', 'baichuan-inc/Baichuan2-13B-Chat',
         'baichuan-inc/Baichuan2-13B-Base'),
    variants=(
        Variant('baichuan', requires=('bitsandbytes<0.41.2', 'accelerate<0.26'),
            ids=('baichuan-inc/Baichuan2-7B-Chat-4bits', 'baichuan-inc/Baichuan2-13B-Chat-4bits')),))
add_checkpoints(
    _BAICHUAN2,
    ('baichuan2-13b', BASE, 'baichuan-inc/Baichuan2-13B-Base'),
    ('baichuan2-13b-chat', 'baichuan', 'baichuan-inc/Baichuan2-13B-Chat'),
    ('baichuan2-7b', BASE, 'baichuan-inc/Baichuan2-7B-Base'),
    ('baichuan2-7b-chat', 'baichuan', 'baichuan-inc/Baichuan2-7B-Chat'),
    target_modules=('W_pack',))
add_checkpoints(
    _BAICHUAN2,
    ('baichuan2-7b-chat-int4', 'baichuan', 'baichuan-inc/Baichuan2-7B-Chat-4bits'),
    ('baichuan2-13b-chat-int4', 'baichuan', 'baichuan-inc/Baichuan2-13B-Chat-4bits'),
    target_modules=('W_pack',), requires=('bitsandbytes<0.41.2', 'accelerate<0.26'), dtype='bfloat16')
