"""Every official rendering of 66 families, through the command that users have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from swift.cli.main import main
from swift.llm.template.registry import TEMPLATES

GOLDENS = Path(__file__).parents[1] / 'data' / 'template_goldens'
FAMILIES = sorted(path.stem for path in GOLDENS.glob('*.jsonl'))
# (family, case) -> why we render it otherwise
DIFFERENT = {
    ('chatml', 'whitespace'): 'this rendition of ChatML strips contents; the ChatML of published checkpoints, and of '
                              'SWIFT, does not',
    ('codefuse', 'documented_readme'): 'the README of MFTCoder has EOS right after the answer, its jinja template, '
                                       'which we follow, a line end before it',
    ('deepseek_coder', 'documented_readme'): 'the README writes DeepSeek and no BOS, the tokenizer\'s own template, '
                                             'which we follow, Deepseek and a BOS',
}


def cases(family: str) -> list[dict]:
    return [json.loads(line) for line in (GOLDENS / f'{family}.jsonl').read_text(encoding='utf-8').splitlines()]


def test_all_of_them_are_here():
    assert len(FAMILIES) == 66
    assert sum(len(cases(family)) for family in FAMILIES) == 2911


@pytest.mark.parametrize('family', FAMILIES)
def test_official_renderings(family, tmp_path, capsys):
    assert family in TEMPLATES
    output = tmp_path / 'out.jsonl'
    code = main(['template', 'render', '--input', str(GOLDENS / f'{family}.jsonl'), '--output', str(output)])
    assert code == 0, capsys.readouterr().err
    rendered = [json.loads(line) for line in output.read_text(encoding='utf-8').splitlines()]
    assert len(rendered) == len(cases(family))
    for case in rendered:
        if (family, case['case']) in DIFFERENT:
            assert case['ours'] != case['rendered'], 'not different any more: take it out of the table'
            continue
        assert case['ours'] == case['rendered'], (case['case'], case['add_generation_prompt'], case['template_kwargs'])
