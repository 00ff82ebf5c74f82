from __future__ import annotations

import copy
import logging

import pytest

from swift.llm.args.groups import TemplateArgs
from swift.llm.template.encode import make_template
from swift.llm.template.fit import fitting_template
from swift.utils.errors import UsageError


@pytest.fixture
def lines(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger('swift'), 'propagate', True)
    caplog.set_level(logging.INFO)
    return caplog


def fit(tokenizer, *names: str) -> str | None:
    return fitting_template(names, lambda name: make_template(TemplateArgs(template=name), tokenizer))


def test_the_template_that_writes_as_the_checkpoint_does_is_found(tokenizer, lines):
    # SmolLM2 is ChatML with a default system text of its own
    assert fit(tokenizer, 'llama3', 'chatml', 'qwen2_5', 'smollm2', 'default') == 'smollm2'
    assert "writes as the registered template 'smollm2'" in lines.text


def test_none_fits_and_one_line_says_so(tokenizer, lines):
    assert fit(tokenizer, 'llama3', 'chatml') is None
    assert lines.text.count('\n') == 1
    assert "(llama3, chatml) writes as the checkpoint's own chat template: that one is used." in lines.text


def test_a_template_that_refuses_what_the_checkpoint_writes_does_not_fit(tokenizer):
    theirs = copy.deepcopy(tokenizer)
    theirs.chat_template = ('{% for m in messages %}{{ m.content }}{% endfor %}'
                            "{% if tools %}{{ tools[0]['function']['name'] }}{% endif %}")
    assert fit(theirs, 'default-generation') is None  # one round, no system text, no tools


def test_a_broken_chat_template_is_named_as_what_is_wrong(tokenizer):
    theirs = copy.deepcopy(tokenizer)
    theirs.chat_template = '{{ raise_exception("no") }}'
    with pytest.raises(UsageError, match="chat template of this checkpoint can't be used: .*no.*--template: smollm2"):
        fit(theirs, 'smollm2', 'chatml')
