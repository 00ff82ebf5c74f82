"""TeleChat of China Telecom."""

from __future__ import annotations

from swift.llm.families._shapes import SWIFT_2, declare, like
from swift.llm.model.registry import add_checkpoints, add_family, hubs

_TELECHAT_TEMPLATE = declare(
    'telechat', system_prefix=('<_system>{{SYSTEM}}\n',), prompt=('<_user>', '{{QUERY}}', '<_bot>'),
    chat_sep=(('eos_token',),), suffix=(('eos_token',),), auto_add_bos=True)
like(
    _TELECHAT_TEMPLATE, 'telechat2',
    default_system=(
        '你是中国电信星辰语义大模型，英文名是TeleChat，你是由中电信人工'
        '智能科技有限公司和中国电信人工智能研究院（TeleAI）研发的人工智能助手。'))
_TELECHAT_SWIFT2_TEMPLATE = declare(
    'telechat-swift2', prompt=('<_user>{{QUERY}}<_bot>',), chat_sep=('<_end>',), suffix=('<_end>',),
    auto_add_bos=True, source=SWIFT_2)
like(
    _TELECHAT_SWIFT2_TEMPLATE, 'telechat2-swift2', prefix=('<_start>',), prompt=((4,), '{{QUERY}}', (5,)),
    source=SWIFT_2)

_TELECHAT = add_family(
    'telechat', 'TelechatForCausalLM', 'TeleChatForCausalLM', template='telechat',
    ids=('TeleAI/TeleChat-52B', ('TeleAI/TeleChat-7B', 'Tele-AI/telechat-7B'),
         ('swift/TeleChat-12B-V2-GPTQ-Int4', None),
         *hubs('TeleAI', 'Tele-AI', 'TeleChat-12B', 'TeleChat-12B-v2', 'TeleChat2-35B', 'TeleChat2-115B')))
add_checkpoints(
    _TELECHAT,
    ('telechat2-115b', 'telechat2-swift2', 'TeleAI/TeleChat2-115B'),
    target_modules=('key_value', 'query'), dtype='float16')
add_checkpoints(
    _TELECHAT,
    ('telechat-12b-v2-gptq-int4', 'telechat-swift2', 'swift/TeleChat-12B-V2-GPTQ-Int4'),
    target_modules=('key_value', 'query'), requires=('auto_gptq>=0.5',), dtype='float16')
add_checkpoints(
    _TELECHAT,
    ('telechat-12b-v2', 'telechat-swift2', 'TeleAI/TeleChat-12B-v2'),
    ('telechat-12b', 'telechat-swift2', 'TeleAI/TeleChat-12B'),
    ('telechat-7b', 'telechat-swift2', 'TeleAI/TeleChat-7B'),
    target_modules=('key_value', 'query'))
add_family(
    'telechat2', 'TeleChat2ForCausalLM', template='telechat2',
    ids=hubs('TeleAI', 'Tele-AI', 'TeleChat2-3B', 'TeleChat2-7B-32K', 'TeleChat2-35B-32K', 'TeleChat2-35B-Nov'))
