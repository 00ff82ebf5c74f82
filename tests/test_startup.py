"""What a command imports before it works: causes of a slow start, not seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_JYTHON = 'org'  # the standard library's copy module looks for Jython
HEAVY = {'torch', 'transformers', 'numpy', 'peft', 'datasets', 'accelerate', 'gradio', 'modelscope', 'huggingface_hub'}


def _imported(*argv: str) -> tuple[set[str], int]:
    """Top-level names that ``python -m swift.cli.main ARGV`` imports, and its exit code."""
    done = subprocess.run([sys.executable, '-X', 'importtime', '-m', 'swift.cli.main', *argv], cwd=ROOT, text=True,
                          capture_output=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith('import time:') and '|' in line]
    return {line.rpartition('|')[2].strip().partition('.')[0] for line in lines}, done.returncode


def _foreign(names: set[str]) -> set[str]:
    """Names from neither the standard library nor this project; ``site`` imports what .pth files of the environment
    ask for, whatever the program."""
    bare = subprocess.run([sys.executable, '-X', 'importtime', '-c', 'pass'], text=True, capture_output=True).stderr
    anyway = {line.rpartition('|')[2].strip().partition('.')[0] for line in bare.splitlines()}
    return names - set(sys.stdlib_module_names) - {'swift', 'imported package', _JYTHON} - anyway


@pytest.mark.parametrize('argv, code', [
    (['--help'], 0), (['sft', '--help'], 0), (['pt', '--help'], 0), (['infer', '--help'], 0), (['version'], 0),
    (['sfft'], 2), (['rlhf'], 2),
    (['sft', '--model', 'a/b', '--dataset', 'x', '--lora_rnk', '3'], 2),
    (['sft', '--model', 'a/b', '--dataset', 'nowhere.jsonl'], 2),
    (['infer', '--max_new_tokens', '0', '--model', 'a/b'], 2)])
def test_nothing_foreign_is_imported(argv, code):
    names, returned = _imported(*argv)
    assert returned == code and 'swift' in names
    assert _foreign(names) == set()


def test_a_config_file_imports_yaml_and_nothing_more(tmp_path):
    path = tmp_path / 'run.yaml'
    path.write_text('lora_rnk: 3\n')
    names, returned = _imported('sft', str(path))
    assert returned == 2 and _foreign(names) <= {'yaml', '_yaml'}


@pytest.mark.parametrize('module', [
    'swift', 'swift.llm', 'swift.llm.args.commands', 'swift.llm.args.derive', 'swift.llm.args.rules',
    'swift.llm.protocol', 'swift.utils.extras', 'swift.utils.launch'])
def test_light_modules_stay_light(module):
    code = f'import sys, {module}; print(*sys.modules)'
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not HEAVY & {name.partition('.')[0] for name in done.stdout.split()}


def test_the_two_lists_of_public_names_agree():
    import ast

    import swift

    tree = ast.parse((ROOT / 'swift' / '__init__.py').read_text(encoding='utf-8'))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {alias.name: node.module for node in block.body for alias in node.names}
    assert typed == swift._EXPORTS
    assert {*swift._EXPORTS, '__version__'} == set(swift.__all__) <= set(dir(swift))


def test_an_unknown_public_name_lists_the_known_ones():
    import swift
    import swift.llm

    with pytest.raises(AttributeError, match='SftArguments'):
        swift.SftArgument  # noqa: B018
    with pytest.raises(AttributeError, match='sft_main'):
        swift.llm.sft_mian  # noqa: B018


def test_public_names_of_the_light_modules():
    from swift import InferRequest, SftArguments
    from swift.llm import RequestConfig

    assert SftArguments().tuner.lora_rank == 8 and RequestConfig().n == 1
    assert InferRequest([{'role': 'user', 'content': 'x'}]).messages[0].content == 'x'
