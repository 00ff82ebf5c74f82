"""Code models: CodeFuse and IQuest-Coder."""

from __future__ import annotations

from functools import partial

from swift.llm.families._shapes import CHATML, declare, like
from swift.llm.model.registry import QKV, add_checkpoints, add_family
from swift.llm.template.chat_template import WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.community import DROPS, LOOPS, write_loop

declare(
    'codefuse_codellama', system_prefix=('{{SYSTEM}}',),
    prompt=('<|role_start|>human<|role_end|>{{QUERY}}<|role_start|>bot<|role_end|>',), chat_sep=(),
    suffix=(('eos_token',),))
TEMPLATES.add(WrittenTemplate(
    'codefuse', partial(write_loop, loop=LOOPS['codefuse']), drops=DROPS | {'results'},
    source=LOOPS['codefuse'].source))
declare(  # as the README of MFTCoder and SWIFT have it: no line break in front of the end of an answer
    'codefuse-swift2', system_prefix=('<s>system\n{{SYSTEM}}\n',), prompt=('<s>human\n{{QUERY}}\n', '<s>bot\n'),
    chat_sep=(('eos_token',), '\n'), suffix=(('eos_token',),))
like(
    CHATML, 'iquestcoder', default_system='You are LoopCoder, a helpful assistant developed by IQuest.',
    dialect='hermes')
TEMPLATES.alias('codefuse-codellama', 'codefuse_codellama')

_CODEFUSE_QWEN = add_family(
    'codefuse_qwen', 'QWenLMHeadModel', template='codefuse', tags=('coding',),
    ids=('codefuse-ai/CodeFuse-QWen-14B',))
add_checkpoints(
    _CODEFUSE_QWEN,
    ('codefuse-qwen-14b-chat', 'codefuse-swift2', 'codefuse-ai/CodeFuse-QWen-14B'),
    target_modules=('c_attn',))
_CODEFUSE_CODEGEEX2 = add_family(
    'codefuse_codegeex2', 'ChatGLMModel', 'ChatGLMForConditionalGeneration', template='codefuse',
    requires=('transformers<4.34',), tags=('coding',), ids=('codefuse-ai/CodeFuse-CodeGeeX2-6B',))
add_checkpoints(
    _CODEFUSE_CODEGEEX2,
    ('codefuse-codegeex2-6b-chat', 'codefuse-swift2', 'codefuse-ai/CodeFuse-CodeGeeX2-6B'),
    target_modules=('query_key_value',))
_CODEFUSE_CODELLAMA = add_family(
    'codefuse_codellama', 'LlamaForCausalLM', template='codefuse_codellama', tags=('coding',),
    ids=('codefuse-ai/CodeFuse-CodeLlama-34B',))
add_checkpoints(
    _CODEFUSE_CODELLAMA,
    ('codefuse-codellama-34b-chat', 'codefuse_codellama', 'codefuse-ai/CodeFuse-CodeLlama-34B'),
    target_modules=QKV)
add_family(
    'iquestcoder', 'IQuestCoderForCausalLM', template='iquestcoder', requires=('transformers==4.52.4',),
    ids=('IQuestLab/IQuest-Coder-V1-40B-Base-Stage1', 'IQuestLab/IQuest-Coder-V1-40B-Base',
         'IQuestLab/IQuest-Coder-V1-40B-Instruct'))
