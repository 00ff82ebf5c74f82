"""A gate over every Python file of the repository: nothing that runs what it reads."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

_MODULES = {'pickle', 'cPickle', '_pickle', 'dill', 'cloudpickle', 'joblib', 'shelve', 'marshal', 'commands', 'popen2'}
_BUILTINS = {'eval', 'exec', 'compile', '__import__'}
_CALLS = {'os.system': 'a shell string', 'os.popen': 'a shell string', 'subprocess.getoutput': 'a shell string',
          'subprocess.getstatusoutput': 'a shell string', 'yaml.load': 'unsafe YAML',
          'yaml.unsafe_load': 'unsafe YAML', 'yaml.full_load': 'unsafe YAML', 'torch.save': 'pickle',
          'pandas.read_pickle': 'pickle'}


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f'{dotted(node.value)}.{node.attr}'
    return node.id if isinstance(node, ast.Name) else '?'


def keyword(node: ast.Call, name: str) -> object:
    value = next((k.value for k in node.keywords if k.arg == name), None)
    return value.value if isinstance(value, ast.Constant) else value


def dangers(source: str, name: str = '<text>') -> list[str]:
    """What a file does that it must not, one line each."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or '']
            found += [f'{name}:{node.lineno} imports {module}' for module in names if module.split('.')[0] in _MODULES]
        if not isinstance(node, ast.Call):
            continue
        called = dotted(node.func)
        what = None
        if isinstance(node.func, ast.Name) and called in _BUILTINS:
            what = f'built-in {called}'
        elif called in _CALLS:
            what = f'{called}: {_CALLS[called]}'
        elif called == 'torch.load' and keyword(node, 'weights_only') is not True:
            what = 'torch.load without weights_only=True'
        elif called.endswith('.load') and called.split('.')[0] in ('np', 'numpy') and keyword(node, 'allow_pickle'):
            what = 'numpy.load with allow_pickle'
        elif keyword(node, 'shell') not in (None, False):
            what = 'shell=True'
        elif keyword(node, 'trust_remote_code') is True:
            what = 'trust_remote_code=True'
        if what:
            found.append(f'{name}:{node.lineno} uses {what}')
    return found


def python_files() -> list[Path]:
    listed = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard', '*.py'], cwd=ROOT, capture_output=True,
                            text=True, check=False).stdout.split()
    files = [ROOT / name for name in listed] if listed else \
        [path for path in ROOT.rglob('*.py') if not {'.venv', 'build'} & set(path.relative_to(ROOT).parts)]
    return [path for path in files if path.is_file()]


def test_no_file_of_the_repository_runs_what_it_reads():
    files = python_files()
    assert len(files) > 50
    found = [line for path in files
             for line in dangers(path.read_text(encoding='utf-8'), path.relative_to(ROOT).as_posix())
             # a test of the switch itself has to turn it
             if not (line.startswith('tests/') and line.endswith('trust_remote_code=True'))]
    assert not found, '\n'.join(found)


@pytest.mark.parametrize('source', [
    'import pickle', 'from dill import loads', 'import os\nos.system("ls")', 'eval("1")', 'exec("x")',
    'import subprocess\nsubprocess.run("ls", shell=True)', 'import yaml\nyaml.load(f)',
    'import torch\ntorch.load(f)', 'import torch\ntorch.load(f, weights_only=False)', 'np.load(f, allow_pickle=True)',
    'AutoModel.from_pretrained(x, trust_remote_code=True)'])
def test_the_gate_sees_each_kind(source):
    assert dangers(source)


def test_the_gate_lets_the_safe_forms_pass():
    assert not dangers('import yaml, torch\nyaml.safe_load(f)\ntorch.load(f, weights_only=True)\nmodel.eval()\n'
                       'subprocess.run(["ls"])\nre.compile("x")')
