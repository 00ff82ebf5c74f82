from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from swift.llm.template.builtin import BUILTIN
from swift.llm.template.registry import TEMPLATES, ChatTemplate
from swift.utils.errors import UsageError


def test_an_unknown_name_suggests_one():
    with pytest.raises(UsageError, match="Did you mean 'smollm2'"):
        TEMPLATES.get('smolllm2')


def test_a_prompt_needs_a_question():
    with pytest.raises(ValueError, match='QUERY'):
        ChatTemplate(name='x', prompt=('hello',), chat_sep=None, suffix=())


def test_the_registry_needs_no_third_party_package():
    code = ('import sys, swift.llm.template.registry as r; len(r.TEMPLATES); '
            'print([m for m in ("torch", "transformers", "numpy", "jinja2") if m in sys.modules])')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'


def test_the_documentation_names_every_generic_template():
    documented = (Path(__file__).parents[3] / 'docs' / 'templates.md').read_text(encoding='utf-8')
    assert all(f'`{entry.name}`' in documented for entry in BUILTIN)
