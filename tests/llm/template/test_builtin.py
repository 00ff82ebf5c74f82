from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from swift.llm.protocol import Message
from swift.llm.template.builtin import BUILTIN
from swift.llm.template.loss_scale import turn_weights
from swift.llm.template.registry import TEMPLATES, ChatTemplate
from swift.llm.template.render import render
from swift.utils.errors import UsageError

GOLDENS = Path(__file__).parents[2] / 'data' / 'template_goldens'
# This rendition of ChatML strips contents; the ChatML of published checkpoints does not.
STRIPPED = {('chatml', 'whitespace')}


@pytest.mark.parametrize('family', ['chatml', 'qwen2_5', 'llama3'])
def test_official_renderings(family):
    template = TEMPLATES.get(family)
    checked = 0
    for line in (GOLDENS / f'{family}.jsonl').read_text(encoding='utf-8').splitlines():
        case = json.loads(line)
        if case['tools'] or (family, case['case']) in STRIPPED or any(m['role'] == 'tool' for m in case['messages']):
            continue
        if any(m.get('tool_calls') for m in case['messages']):
            continue
        messages = [Message(m['role'], m['content']) for m in case['messages']]
        if messages[0].role != 'system' and template.default_system:
            messages.insert(0, Message('system', template.default_system))
        rendered = render(template, messages, special_tokens=case['special_tokens'],
                          add_generation_prompt=case['add_generation_prompt'], loss=turn_weights(messages, 'default'))
        assert rendered.text == case['rendered'], case['case']
        checked += 1
    assert checked >= 24


def test_an_unknown_name_suggests_one():
    with pytest.raises(UsageError, match="Did you mean 'chatml'"):
        TEMPLATES.get('chatlm')


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
