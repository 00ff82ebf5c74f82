"""docs/tuners: a page a method in two languages, with flags and examples that work."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest
import torch
from peft import PeftConfig
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from scripts.docs import tuner_pages as PAGES
from swift import Swift
from swift.llm.args import rules
from swift.llm.args.commands import SftArguments
from swift.llm.args.fields import ArgumentsError
from swift.llm.args.parser import parse
from swift.llm.args.tuner_types import METHODS

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / 'docs' / 'tuners'


NAMES = list(PAGES.PAGES)


def test_every_method_has_a_page_in_both_languages():
    assert METHODS.keys() <= PAGES.PAGES.keys()
    assert {path.name for path in FOLDER.iterdir()} == {f'{name}{end}.md' for name in NAMES for end in ('', '_zh')}


def test_the_pages_are_up_to_date():
    for path, text in PAGES.render().items():
        assert path.read_text(encoding='utf-8') == text, (
            f'{path.relative_to(ROOT)} differs; run python scripts/docs/tuner_pages.py')
    assert PAGES.main(['--check']) == 0


@pytest.mark.parametrize('name', NAMES)
def test_both_languages_say_the_same(name):
    english, chinese = (PAGES.page(name, words) for words in (PAGES.EN, PAGES.ZH))
    assert set(re.findall(r'--[A-Za-z]\w*', english)) == set(re.findall(r'--[A-Za-z]\w*', chinese))
    for pattern in (r'^#+ ', r'^\| `', r'^- ', r'^```'):
        assert len(re.findall(pattern, english, re.M)) == len(re.findall(pattern, chinese, re.M)), pattern
    assert re.findall(r'```.*?```', english, re.S) == re.findall(r'```.*?```', chinese, re.S)
    assert not re.search(r'[\u4e00-\u9fff]', english.replace('[中文]', ''))


def test_no_translation_is_left_over(monkeypatch):
    used = set()

    class Seen(dict):
        def __getitem__(self, text):
            used.add(text)
            return super().__getitem__(text)
    known = PAGES.tuner_texts_zh.MEANINGS
    monkeypatch.setattr(PAGES.tuner_texts_zh, 'MEANINGS', Seen(known))
    for name in NAMES:
        PAGES.page(name, PAGES.ZH)
    assert not known.keys() - used


def test_every_flag_of_a_method_is_on_its_page():
    for name in METHODS:
        assert set(PAGES.flags_of(name)) >= set(METHODS[name].shared)
    both = [flag for name in METHODS for flag in set(PAGES.flags_of(name)) - set(METHODS[name].shared)]
    own = {field for field in PAGES._DESCRIPTIONS if field in {f.name for f in PAGES.dataclasses.fields(
        PAGES.MethodArgs)}}
    assert own == set(both) and len(own) == len(both)


COMMANDS = {name: PAGES.shell(name) for name in NAMES if PAGES.shell(name)}
COMMANDS |= {title: [*PAGES.shell('lora'), *how.split()] for title, how, _, _ in PAGES.tuner_texts.LORA}


@pytest.mark.parametrize('name', COMMANDS)
def test_the_command_of_a_page_breaks_no_rule(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('train.jsonl').write_text('{"query": "a", "response": "b"}\n')
    try:
        args, _ = parse(SftArguments, COMMANDS[name][1:])
    except ArgumentsError as e:
        pytest.fail(str(e))
    assert not [problem for problem in rules.check(args) if 'pip install' not in problem]


def _model() -> nn.Module:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=64, hidden_size=128, intermediate_size=128, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=64))


@pytest.mark.parametrize('name', [name for name, page in PAGES.PAGES.items() if page.config])
def test_the_python_example_of_a_page_works(name):
    module, cls, settings = PAGES.PAGES[name].config
    config = getattr(importlib.import_module(module), cls)(**settings)
    assert f'{cls}(' in PAGES.page(name, PAGES.EN)
    if name == 'scetuning':  # for UNets; tests/tuners/test_module_tuners.py has one
        return
    model = Swift.prepare_model(_model(), config)
    if name != 'neftune':
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        assert trained and sum(p.numel() for p in trained) < sum(p.numel() for p in model.parameters())
    if isinstance(config, PeftConfig):
        assert model.peft_config['default'].peft_type == config.peft_type


@pytest.mark.parametrize('name', [name for name, page in PAGES.PAGES.items() if page.code])
def test_what_an_example_imports_is_there(name):
    line, module, imported = PAGES.PAGES[name].code
    assert callable(vars(importlib.import_module(module))[imported])
    call = ast.parse(line).body[0].value
    assert call.func.id == imported


def test_what_a_page_says_of_the_start_is_what_the_suite_finds():
    tree = ast.parse((ROOT / 'tests' / 'conformance' / 'test_tuners.py').read_text(encoding='utf-8'))
    [found] = [ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign)
               and isinstance(node.targets[0], ast.Name) and node.targets[0].id == 'START']
    for name in METHODS:
        wanted = 'base' if name not in found else 'near' if found[name] <= 1e-4 else 'other'
        assert PAGES.PAGES[name].start == wanted, name


def test_figures_are_those_of_the_benchmark(tmp_path, monkeypatch):
    folder = tmp_path / 'benchmarks'
    folder.mkdir()
    (folder / 'tuners_cpu.json').write_text(
        '{"about": {"shape": "x"}, "rows": [{"method": "lora, DoRA", "trained_%": 0.456, "tokens_per_second": 812.5, '
        '"memory_gib": 1.25, "last_loss": 2.125}, {"method": "lora_llm", "last_loss": 3}, {"method": "lora", '
        '"error": "x"}]}')
    monkeypatch.setattr(PAGES, 'DOCS', tmp_path)
    text = PAGES.page('lora', PAGES.EN)
    assert '| [cpu](../benchmarks/tuners_cpu.json) | lora, DoRA | 0.456 | 812.5 | 1.25 | 2.125 |' in text
    assert text.count('tuners_cpu.json') == 1
    assert '## Measured' not in PAGES.page('ia3', PAGES.EN)
