"""Templates to test with: the generic ones and small jinja ones with the habits of published checkpoints."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from swift.llm.args.groups import TemplateArgs
from swift.llm.template.builtin import BUILTIN
from swift.llm.template.encode import Template, make_template

DATA = Path(__file__).parents[2] / 'data'
SPECIAL = re.compile(r'<\|[a-z_/]+\|>|<s>')
PLAIN = re.compile(r'</?(?:think|tool_call|tool_response)>')


@pytest.fixture(scope='session')
def jinja_tokenizer() -> Callable:
    """``jinja_tokenizer(name)``: SmolLM2's tokenizer with ``tests/data/chat_templates/name.jinja``.

    ``<|...|>`` of the template are added as special tokens, tags such as ``<think>`` as tokens that are not special.
    """
    from transformers import AutoTokenizer

    made = {}

    def make(name: str):
        if name not in made:
            tokenizer = AutoTokenizer.from_pretrained(DATA / 'tokenizers' / 'smollm2')
            source = (DATA / 'chat_templates' / f'{name}.jinja').read_text(encoding='utf-8')
            tokenizer.add_tokens(sorted(set(SPECIAL.findall(source))), special_tokens=True)
            tokenizer.add_tokens(sorted(set(PLAIN.findall(source))))
            tokenizer.chat_template = source
            made[name] = tokenizer
        return made[name]

    return make


@pytest.fixture(scope='session')
def declared_tokenizer(tokenizer):
    """SmolLM2's tokenizer with every ``<|...|>`` that a generic template writes."""
    from transformers import AutoTokenizer

    own = AutoTokenizer.from_pretrained(tokenizer.name_or_path)
    written = {token for entry in BUILTIN for token in SPECIAL.findall(repr(entry))}
    llama3 = {'<|begin_of_text|>', '<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>'}
    own.add_tokens(sorted(written | llama3), special_tokens=True)
    return own


@pytest.fixture(scope='session')
def template_for(declared_tokenizer, jinja_tokenizer) -> Callable[..., Template]:
    """``template_for(name, **TemplateArgs)``: ``jinja:NAME`` of the data folder, or a registered template."""

    def make(name: str, *, task: str = 'sft', **options) -> Template:
        options = {'max_length': -1, **options}
        if name.startswith('jinja:'):
            return make_template(TemplateArgs(**options), jinja_tokenizer(name.removeprefix('jinja:')), task=task)
        return make_template(TemplateArgs(template=name, **options), declared_tokenizer, task=task)

    return make


@pytest.fixture(scope='session')
def shown() -> Callable[..., str]:
    """``shown(template, row)``: the rendered text with ``[[trained]]`` and ``{{written by somebody else}}``."""

    def show(template: Template, row: dict, **options) -> str:
        pieces = []
        for segment in template.render(row, **options).segments:
            if segment.weight:
                pieces.append(f'[[{segment.text}]]')
            else:
                pieces.append(segment.text if segment.kind == 'control' else f'{{{{{segment.text}}}}}')
        return ''.join(pieces).replace(']][[', '')

    return show
