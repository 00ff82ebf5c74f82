"""dots of rednote-hilab."""

from __future__ import annotations

from swift.llm.families._shapes import declare
from swift.llm.model.registry import ModelParts, add_family

declare(
    'dots_ocr', system_prefix=('<|system|>{{SYSTEM}}<|endofsystem|>\n',),
    prompt=('<|user|>{{QUERY}}<|endofuser|>', '<|assistant|>'), chat_sep=('<|endofassistant|>',),
    suffix=('<|endofassistant|>',))
declare(
    'dots1', prefix=('<|system|><|endofsystem|>',), system_prefix=('<|system|>{{SYSTEM}}<|endofsystem|>',),
    prompt=('<|userprompt|>{{QUERY}}<|endofuserprompt|><|response|>',), chat_sep=('<|endofresponse|>',),
    suffix=('<|endofresponse|>',), default_system='You are a helpful assistant.')

add_family(
    'dots1', 'Dots1ForCausalLM', template='dots1', requires=('transformers>=4.53',),
    ids=('rednote-hilab/dots.llm1.base', 'rednote-hilab/dots.llm1.inst'))
add_family(
    'dots_ocr', 'DotsOCRForCausalLM', template='dots_ocr', multimodal=True, parts=ModelParts(('model',)),
    requires=('transformers>=4.51.0',), ids=('rednote-hilab/dots.ocr',))
