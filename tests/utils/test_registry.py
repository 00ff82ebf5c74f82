from __future__ import annotations

import sys
from dataclasses import dataclass

import pytest

from swift.utils.errors import UsageError
from swift.utils.registry import Registry, suggest


@dataclass(frozen=True)
class Entry:
    name: str


def test_add_get_iterate():
    registry: Registry[Entry] = Registry('thing')
    first = registry.add(Entry('qwen2_5'))
    assert registry.get('qwen2_5') is first and 'qwen2_5' in registry and len(registry) == 1
    assert list(registry) == [first] and registry.names() == ['qwen2_5']


def test_a_clash_and_a_typo_say_what_to_do():
    registry: Registry[Entry] = Registry('thing')
    registry.add(Entry('qwen2_5'))
    with pytest.raises(UsageError, match="already a thing called 'qwen2_5'"):
        registry.add(Entry('qwen2_5'))
    with pytest.raises(UsageError, match=r"Unknown thing 'qwen25'\. Did you mean 'qwen2_5'\?"):
        registry.get('qwen25')


def test_modules_of_the_package_are_imported_at_the_first_look(tmp_path, monkeypatch):
    package = tmp_path / 'discovered_things'
    package.mkdir()
    (package / '__init__.py').write_text('from swift.utils.registry import Registry\n'
                                         'THINGS = Registry("thing", "discovered_things")\n')
    (package / 'one.py').write_text('from dataclasses import dataclass\nfrom discovered_things import THINGS\n'
                                    '@dataclass(frozen=True)\nclass E:\n    name: str\nTHINGS.add(E("one"))\n')
    monkeypatch.syspath_prepend(tmp_path)
    from discovered_things import THINGS
    assert 'discovered_things.one' not in sys.modules
    assert THINGS.names() == ['one'] and 'discovered_things.one' in sys.modules


@pytest.mark.parametrize('word, text', [('LORA_RNK', " Did you mean 'lora_rank'?"), ('zzz', '')])
def test_suggestions(word, text):
    assert suggest(word, ['lora_rank', 'seed']) == text


def test_a_loose_registry_finds_other_spellings_of_one_name():
    strict, loose = Registry('thing'), Registry('thing', loose=True)
    for registry in (strict, loose):
        registry.add(Entry('llama3_1'))
        registry.add(Entry('a-b'))
        registry.add(Entry('a_b'))
        registry.alias('llama31_instruct', 'llama3_1')
    assert loose.get('Llama-3.1').name == loose.get('llama31-Instruct').name == 'llama3_1'
    assert loose.get('a-b').name == 'a-b' and 'a.b' not in loose  # two entries: neither is meant for sure
    assert 'Llama-3.1' not in strict
