from __future__ import annotations

import importlib.util
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def _generator():
    path = ROOT / 'scripts' / 'docs' / 'command_reference.py'
    spec = importlib.util.spec_from_file_location('command_reference', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_command_reference_is_up_to_date():
    module = _generator()
    assert module.TARGET.read_text(encoding='utf-8') == module.render(), (
        'docs/command_reference.md differs from the dataclasses; run python scripts/docs/command_reference.py')
    assert module.main(['--check']) == 0


def test_every_flag_and_every_spelling_is_in_the_reference():
    from swift.llm.args.aliases import ALIASES, REFUSED
    from swift.llm.args.commands import COMMANDS
    from swift.llm.args.parser import flags

    text = (ROOT / 'docs' / 'command_reference.md').read_text(encoding='utf-8')
    names = {n for cls in COMMANDS.values() for n, flag in flags(cls).items() if flag.kind.item is not dict}
    assert not [name for name in {*names, *ALIASES, *REFUSED} if f'`--{name}`' not in text]


def test_links_between_pages_lead_somewhere():
    pages = [*(ROOT / 'docs').rglob('*.md'), *ROOT.glob('*.md')]
    lost = [f'{page.relative_to(ROOT)}: {target}' for page in pages
            for target in re.findall(r'\]\(([^)#\s]+)', page.read_text(encoding='utf-8'))
            if '://' not in target and not (page.parent / target).exists()]
    assert not lost


def test_flags_named_in_the_pages_exist():
    from swift.llm.args.commands import COMMANDS
    from swift.llm.args.parser import known_names

    known = set().union(*(known_names(cls) for cls in COMMANDS.values())) | {'help', 'config'}
    for page in ('defaults.md', 'launch.md'):
        text = (ROOT / 'docs' / page).read_text(encoding='utf-8')
        named = {name.replace('-', '_') for name in re.findall(r'--([A-Za-z][\w-]*)', text)}
        assert not named - known, page


def test_every_page_has_a_chinese_twin_that_names_the_same_flags():
    docs = ROOT / 'docs'
    pages = [page for page in docs.glob('*.md')
             if not page.stem.endswith('_zh') and page != _generator().TARGET]
    wrong = []
    for page in pages:
        twin = page.with_name(f'{page.stem}_zh.md')
        if not twin.is_file():
            wrong.append(f'{page.name} has no {twin.name}')
            continue
        english, chinese = page.read_text(encoding='utf-8'), twin.read_text(encoding='utf-8')
        if f'[中文]({twin.name})' not in english or f'[English]({page.name})' not in chinese:
            wrong.append(f'{page.name} and {twin.name} do not link each other')
        if lonely := _flags(english) ^ _flags(chinese):
            wrong.append(f'{page.name} or {twin.name} alone names {", ".join(sorted(lonely))}')
    assert not wrong
    assert {twin.stem.removesuffix('_zh') for twin in docs.glob('*_zh.md')} == {page.stem for page in pages}


def _flags(text: str) -> set[str]:
    return set(re.findall(r'--[A-Za-z][A-Za-z0-9_-]*', text))
