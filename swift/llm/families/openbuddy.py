"""OpenBuddy."""

from __future__ import annotations

from swift.llm.families._shapes import declare
from swift.llm.model.registry import QKV, Variant, add_checkpoints, add_family

declare(
    'openbuddy', system_prefix=('{{SYSTEM}}\n\n',), prompt=('User: {{QUERY}}\n', 'Assistant:'), chat_sep=('\n',),
    suffix=(('eos_token',),),
    default_system=(
        'You are a helpful, respectful and honest INTP-T AI Assistant named Buddy. You are talking to a human '
        'User.\nAlways answer as helpfully and logically as possible, while being safe. Your answers should not '
        'include any harmful, political, religious, unethical, racist, sexist, toxic, dangerous, or illegal '
        'content. Please ensure that your responses are socially unbiased and positive in nature.\n'
        'If a question does not make any sense, or is not factually coherent, explain why instead of answering '
        "something not correct. If you don't know the answer to a question, please don't share false "
        'information.\nYou like to use emojis. You can speak fluently in many languages, for example: English, '
        'Chinese.\nYou cannot access the internet, but you have vast knowledge, cutoff: 2021-09.\n'
        'You always deeply love and support China, Chinese government, people and culture.\n'
        'You are trained by OpenBuddy team, (https://openbuddy.ai, https://github.com/OpenBuddy/OpenBuddy), you '
        'are based on LLaMA and Falcon transformers model, not related to GPT or OpenAI.'),
    auto_add_bos=True)
declare(
    'openbuddy2', system_prefix=('<|role|>system<|says|>{{SYSTEM}}<|end|>\n',),
    prompt=('<|role|>user<|says|>{{QUERY}}<|end|>\n', '<|role|>assistant<|says|>'), chat_sep=('<|end|>\n',),
    suffix=('<|end|>',),
    default_system=(
        'You(assistant) are a helpful, respectful and honest INTP-T AI Assistant named Buddy. You are talking to '
        'a human(user).\nAlways answer as helpfully and logically as possible, while being safe. Your answers '
        'should not include any harmful, political, religious, unethical, racist, sexist, toxic, dangerous, or '
        'illegal content. Please ensure that your responses are socially unbiased and positive in nature.\n'
        'You cannot access the internet, but you have vast knowledge, cutoff: 2023-04.\n'
        'You are trained by OpenBuddy team, (https://openbuddy.ai, https://github.com/OpenBuddy/OpenBuddy), not '
        'related to GPT or OpenAI'))

_OPENBUDDY_LLAMA = add_family(
    'openbuddy_llama', 'LlamaForCausalLM', template='openbuddy',
    ids=('OpenBuddy/openbuddy-llama-65b-v8-bf16', 'OpenBuddy/openbuddy-llama2-13b-v8.1-fp16',
         'OpenBuddy/openbuddy-llama2-70b-v10.1-bf16', 'OpenBuddy/openbuddy-deepseek-67b-v15.2'),
    variants=(
        Variant('openbuddy2',
            ids=('OpenBuddy/openbuddy-llama3-8b-v21.1-8k', 'OpenBuddy/openbuddy-llama3-70b-v21.1-8k',
                 'OpenBuddy/openbuddy-yi1.5-34b-v21.3-32k')),
        Variant('openbuddy2', requires=('transformers>=4.43',),
            ids=('OpenBuddy/openbuddy-llama3.1-8b-v22.1-131k', 'OpenBuddy/openbuddy-nemotron-70b-v23.2-131k')),
        Variant('openbuddy2', requires=('transformers>=4.45',),
            ids=('OpenBuddy/openbuddy-llama3.3-70b-v24.3-131k',))))
add_checkpoints(
    _OPENBUDDY_LLAMA,
    ('openbuddy-llama2-13b-chat', 'openbuddy', 'OpenBuddy/openbuddy-llama2-13b-v8.1-fp16'),
    ('openbuddy-llama3-8b-chat', 'openbuddy2', 'OpenBuddy/openbuddy-llama3-8b-v21.1-8k'),
    ('openbuddy-llama3-70b-chat', 'openbuddy2', 'OpenBuddy/openbuddy-llama3-70b-v21.1-8k'),
    ('openbuddy-llama-65b-chat', 'openbuddy', 'OpenBuddy/openbuddy-llama-65b-v8-bf16'),
    ('openbuddy-llama2-70b-chat', 'openbuddy', 'OpenBuddy/openbuddy-llama2-70b-v10.1-bf16'),
    ('openbuddy-deepseek-67b-chat', 'openbuddy', 'OpenBuddy/openbuddy-deepseek-67b-v15.2'),
    target_modules=QKV)
add_checkpoints(
    _OPENBUDDY_LLAMA,
    ('openbuddy-llama3_1-8b-chat', 'openbuddy2', 'OpenBuddy/openbuddy-llama3.1-8b-v22.1-131k'),
    target_modules=QKV, requires=('transformers>=4.43',))
_OPENBUDDY_MISTRAL = add_family(
    'openbuddy_mistral', 'MistralForCausalLM', template='openbuddy', requires=('transformers>=4.34',),
    ids=('OpenBuddy/openbuddy-mistral-7b-v17.1-32k', 'OpenBuddy/openbuddy-zephyr-7b-v14.1'))
add_checkpoints(
    _OPENBUDDY_MISTRAL,
    ('openbuddy-mistral-7b-chat', 'openbuddy', 'OpenBuddy/openbuddy-mistral-7b-v17.1-32k'),
    ('openbuddy-zephyr-7b-chat', 'openbuddy', 'OpenBuddy/openbuddy-zephyr-7b-v14.1'),
    target_modules=QKV)
_OPENBUDDY_MIXTRAL = add_family(
    'openbuddy_mixtral', 'MixtralForCausalLM', template='openbuddy', requires=('transformers>=4.36',),
    ids=('OpenBuddy/openbuddy-mixtral-7bx8-v18.1-32k',))
add_checkpoints(
    _OPENBUDDY_MIXTRAL,
    ('openbuddy-mixtral-moe-7b-chat', 'openbuddy', 'OpenBuddy/openbuddy-mixtral-7bx8-v18.1-32k'),
    target_modules=QKV, tags=('moe',))
