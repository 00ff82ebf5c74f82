"""The generic chat templates, as data. Those of one vendor stand in ``swift/llm/families/<vendor>.py``."""

from __future__ import annotations

import dataclasses

from swift.llm.template.chat_template import ChatTemplate

_CHATML = ChatTemplate(
    name='chatml',
    system_prefix=('<|im_start|>system\n{{SYSTEM}}<|im_end|>\n',),
    prompt=('<|im_start|>user\n{{QUERY}}<|im_end|>\n', '<|im_start|>assistant\n'),
    chat_sep=('<|im_end|>\n',),
    suffix=('<|im_end|>\n',),
    auto_add_bos=True,
    source='ChatML, https://github.com/openai/openai-python/blob/release-v0.28.1/chatml.md',
)

BUILTIN = (
    _CHATML,
    dataclasses.replace(
        _CHATML, name='smollm2', auto_add_bos=False, stop_words=('<|endoftext|>',),
        default_system='You are a helpful AI assistant named SmolLM, trained by Hugging Face',
        source='SmolLM2-135M-Instruct tokenizer_config.json'),
    ChatTemplate(
        name='default',
        system_prefix=('{{SYSTEM}}\n\n',),
        prompt=('### Human:\n{{QUERY}}\n\n', '### Assistant:\n'),
        chat_sep=('\n\n',),
        suffix=(('eos_token',),),
        default_system='You are a helpful assistant.',
        auto_add_bos=True,
        source='the template that SWIFT uses for models without one of their own',
    ),
    ChatTemplate(
        name='default-generation',
        prompt=('{{QUERY}}',),
        chat_sep=None,
        suffix=(('eos_token',),),
        auto_add_bos=True,
        source='plain text, for base models',
    ),
)
