"""Imports go down only. Every file is parsed, imports inside functions included."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent

_BASE = {'swift.utils', 'swift.version'}
_CONTRACTS = _BASE | {'swift.llm.args', 'swift.llm.protocol'}
_DOMAIN = _CONTRACTS | {'swift.llm.model', 'swift.llm.template', 'swift.llm.dataset', 'swift.llm.families',
                        'swift.llm.checkpoint', 'swift.tuners'}
_ENGINES = _DOMAIN | {'swift.llm.infer'}
_SERVICES = _ENGINES | {'swift.trainers', 'swift.llm.export'}

# A package may import itself and what is listed. The longest matching name counts.
ALLOWED = {
    'swift': _SERVICES | {'swift.cli', 'swift.llm', 'swift.llm.pipelines'},  # lazy public names, python -m swift
    'swift.version': set(),
    'swift.utils': _BASE,
    'swift.cli': _BASE | {'swift.llm.args', 'swift.llm.pipelines', 'swift.kernels'},  # doctor checks kernels
    'swift.tuners': _BASE,
    'swift.kernels': _BASE,
    'swift.llm': _SERVICES | {'swift.llm.pipelines'},  # lazy public names
    'swift.llm.protocol': _BASE,
    'swift.llm.args': _BASE,
    'swift.llm.checkpoint': _CONTRACTS,
    'swift.llm.model': _CONTRACTS | {'swift.llm.families', 'swift.tuners', 'swift.kernels'},
    'swift.llm.template': _CONTRACTS | {'swift.llm.families', 'swift.kernels'},
    'swift.llm.dataset': _CONTRACTS | {'swift.llm.template', 'swift.llm.model'},
    'swift.llm.families': _BASE | {'swift.llm.model', 'swift.llm.template'},
    'swift.llm.infer': _DOMAIN,
    'swift.llm.export': _ENGINES,
    'swift.trainers': _ENGINES | {'swift.kernels'},
    'swift.llm.pipelines': _SERVICES,
}
# What may not be imported when a module of these is imported: they must stay light.
LIGHT = ('swift.cli', 'swift.utils', 'swift.version', 'swift.llm.args', 'swift.llm.protocol', 'swift.llm.families',
         'swift.llm.dataset.catalog')
STDLIB_ONLY_FILES = {'registry.py', '__main__.py'}


def modules() -> list[tuple[str, Path]]:
    return [('.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__'), path)
            for path in sorted((ROOT / 'swift').rglob('*.py'))]


def imports(path: Path, module: str, top_level_only: bool = False) -> list[tuple[int, str]]:
    tree = ast.parse(path.read_text(encoding='utf-8'))
    nodes = ast.walk(tree)
    if top_level_only:
        nodes = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    found = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}:{node.lineno}: relative import'
            if node.module == '__future__':
                continue
            names = [f'{node.module}.{alias.name}' for alias in node.names]
            found += [(node.lineno, name if node.module in ('swift', 'swift.llm', 'swift.utils') else node.module)
                      for name in names]
    return found


def owner(name: str) -> str:
    return max((package for package in ALLOWED if name == package or name.startswith(f'{package}.')), key=len)


def test_imports_go_down_only():
    wrong = []
    for module, path in modules():
        mine = owner(module)
        for line, name in imports(path, module):
            if name.split('.')[0] == 'swift' and (theirs := owner(name)) != mine and theirs not in ALLOWED[mine]:
                allowed = ', '.join(sorted(ALLOWED[mine])) or 'nothing'
                wrong.append(f'{path.relative_to(ROOT)}:{line} imports {name}; {mine} may import: {allowed}')
    assert not wrong, '\n'.join(wrong)


def test_light_modules_import_nothing_heavy_when_imported():
    import sys

    wrong = []
    for module, path in modules():
        light = any(module == name or module.startswith(f'{name}.') for name in LIGHT)
        if not light and path.name not in STDLIB_ONLY_FILES:
            continue
        for line, name in imports(path, module, top_level_only=True):
            if name.split('.')[0] not in sys.stdlib_module_names | {'swift'}:
                wrong.append(f'{path.relative_to(ROOT)}:{line} imports {name} when it is imported')
    assert not wrong, '\n'.join(wrong)
