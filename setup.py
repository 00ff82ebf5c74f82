"""Packaging: the core in requirements/framework.txt, one requirements file an extra."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
# what resolves together with the core; `eval` and `vllm` pin versions of their own, `tests` and `docs` are for us
TOGETHER = ('llm', 'aigc', 'data', 'demo', 'deepspeed', 'multimodal', 'quant', 'rlhf', 'ui')
APART = ('eval', 'vllm', 'tests', 'docs')


def requirements(name: str) -> list[str]:
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith('#')]


def version() -> str:
    return re.search(r"__version__ = '([^']+)'", (ROOT / 'swift' / 'version.py').read_text(encoding='utf-8'))[1]


readme = ROOT / 'README.md'
extras = {name: requirements(name) for name in TOGETHER + APART}
extras['all'] = sorted({line for name in TOGETHER for line in extras[name]})

setup(
    name='ms-swift',
    version=version(),
    description='Fine-tuning, inference, evaluation and deployment of large language models',
    long_description=readme.read_text(encoding='utf-8') if readme.is_file() else '',
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    license_files=['LICENSE'],
    python_requires='>=3.11',
    packages=find_packages(include=['swift', 'swift.*']),
    package_data={'swift': ['**/*.json', '**/*.jsonl', '**/*.md']},
    install_requires=requirements('framework'),
    extras_require=extras,
    entry_points={'console_scripts': ['swift = swift.cli.main:main']},
    classifiers=['Development Status :: 3 - Alpha', 'Intended Audience :: Developers',
                 'Intended Audience :: Science/Research', 'Operating System :: POSIX :: Linux',
                 'Programming Language :: Python :: 3', 'Topic :: Scientific/Engineering :: Artificial Intelligence'],
)
