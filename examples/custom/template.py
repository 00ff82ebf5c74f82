"""A chat template of your own: --external_plugins examples/custom/template.py --template robot."""

from swift.llm.template.registry import TEMPLATES, ChatTemplate

TEMPLATES.add(ChatTemplate(
    name='robot',
    system_prefix=('[rules]\n{{SYSTEM}}\n\n',),
    prompt=('[human]\n{{QUERY}}\n\n', '[robot]\n'),
    chat_sep=(('eos_token',), '\n'),
    suffix=(('eos_token',),),
    default_system='Answer like a robot.',
    dialect='hermes'))
