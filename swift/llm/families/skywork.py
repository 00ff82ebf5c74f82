"""Skywork, and its reward models."""

from __future__ import annotations

from swift.llm.families._shapes import LLAMA3, declare, like
from swift.llm.model.registry import BASE, QKV, add_checkpoints, add_family, hubs

declare(
    'skywork', prefix=('<s>',), system_prefix=('<s>{{SYSTEM}}',), prompt=('</s><s>[USER]{{QUERY}}[SEP]', '[BOT]'),
    chat_sep=None, suffix=('[SEP]</s>',))
like(
    LLAMA3, 'skywork_o1',
    prefix=('<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n'
            'Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n'
            '<|eot_id|>',),
    system_prefix=('<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n'
                   'Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n'
                   '{{SYSTEM}}<|eot_id|>',),
    default_system=(
        'You are Skywork-o1, a thinking model developed by Skywork AI, specializing in solving complex problems '
        "involving mathematics, coding, and logical reasoning through deep thought. When faced with a user's "
        'request, you first engage in a lengthy and in-depth thinking process to explore possible solutions to '
        'the problem. After completing your thoughts, you then provide a detailed explanation of the solution '
        'process in your response.'),
    dialect='llama3')

_SKYWORK = add_family(
    'skywork', 'SkyworkForCausalLM', template='skywork',
    ids=('skywork/Skywork-13B-base', ('skywork/Skywork-13B-chat', None)))
add_checkpoints(
    _SKYWORK,
    ('skywork-13b', BASE, 'skywork/Skywork-13B-base'),
    ('skywork-13b-chat', 'skywork', 'skywork/Skywork-13B-chat'),
    target_modules=QKV)
add_family(
    'llama3_2_reward', 'LlamaForSequenceClassification', template='llama3_2', requires=('transformers>=4.43',),
    task_type='reward',
    ids=(*hubs('AI-ModelScope', 'Skywork', 'Skywork-Reward-Llama-3.1-8B', 'Skywork-Reward-Llama-3.1-8B-v0.2'),
         *hubs('AI-ModelScope', 'Ray2333', 'GRM_Llama3.1_8B_rewardmodel-ft', 'GRM-llama3.2-3B-rewardmodel-ft')))
