"""What is looked at in a checkpoint folder before transformers touches it. Nothing of the folder is run here.

A hostile or broken folder is told apart from a good one by reading JSON and safetensors headers only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers import AutoModelForCausalLM  # noqa: F401  (fills the mapping below)
from transformers import __version__ as transformers_version
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from swift.utils.errors import SwiftError, UsageError
from swift.utils.files import read_json

_PICKLED = ('.bin', '.pt', '.pth', '.ckpt')
_KERNEL_KEYS = ('attn_implementation', 'experts_implementation')


def read_config(folder: Path) -> dict[str, Any]:
    """The parsed ``config.json`` of a model folder.

    Raises:
        UsageError: the folder is an adapter, or no model folder at all.
        SwiftError: the file is not a JSON object.
    """
    if not (folder / 'config.json').is_file():
        if (folder / 'adapter_config.json').is_file():
            raise UsageError(f'{folder} holds an adapter, not a model. Pass it as --adapters (or --ckpt_dir), '
                             'and its base model as --model.')
        raise UsageError(f'{folder} holds no model: it has no config.json.')
    config = read_json(folder / 'config.json')
    if not isinstance(config, dict):
        raise SwiftError(f'{folder / "config.json"} is not a JSON object.')
    return config


def check_config(folder: Path, config: dict[str, Any], *, trust_remote_code: bool) -> None:
    """Refuse a configuration that would fetch or run code that the user did not ask for.

    Raises:
        UsageError: a key names a kernel to be fetched (CVE-2026-4372); the architecture needs Python code of the
            folder and ``--trust_remote_code`` is off; or transformers does not implement the architecture.
    """
    for key, value in _walk(config):
        plain = key.lstrip('_')
        if plain.removesuffix('_internal') in _KERNEL_KEYS and value is not None:
            if plain.endswith('_internal') or not isinstance(value, str) or not value.replace('_', '').isalnum():
                raise UsageError(f'{folder / "config.json"} sets {key!r} to {value!r}, which would make the loader '
                                 'fetch and run a kernel. Nothing was run. Remove the key, and choose the attention '
                                 'with --attn_impl.')
    model_type = config.get('model_type')
    if model_type in CONFIG_MAPPING and model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return
    name = ', '.join(config.get('architectures') or ()) or model_type or 'without a model_type'
    reference = (config.get('auto_map') or {}).get('AutoModelForCausalLM') \
        or (config.get('auto_map') or {}).get('AutoConfig')
    if reference is None:
        raise UsageError(f'{folder} is a model {name!r}, which transformers {transformers_version} does not have as a '
                         'causal language model.')
    if not trust_remote_code:
        raise UsageError(f'{folder} is a model {name!r} that transformers does not implement: loading it would run '
                         f'{_code_file(folder, reference)}. Nothing was run. Read that file, and pass '
                         '--trust_remote_code true if you trust it.')


def check_tokenizer(folder: Path) -> None:
    """Refuse a folder without a tokenizer, before transformers guesses one.

    Raises:
        UsageError: none of the files of a tokenizer is there.
    """
    known = ('tokenizer.json', 'tokenizer.model', 'vocab.json', 'vocab.txt', 'spiece.model', 'tekken.json',
             'sentencepiece.bpe.model', 'tokenizer_config.json')
    if not any((folder / name).is_file() for name in known) and not any(folder.glob('*.tiktoken')):
        raise UsageError(f'{folder} has no tokenizer (looked for {", ".join(known[:3])} ...). Copy the tokenizer files '
                         'of the base model into it.')


def tokenizer_code(folder: Path) -> str | None:
    """The Python file that a tokenizer's ``auto_map`` names, or None."""
    path = folder / 'tokenizer_config.json'
    reference = (read_json(path).get('auto_map') or {}) if path.is_file() else {}
    if isinstance(reference, dict):
        reference = reference.get('AutoTokenizer') or ()
    names = [reference] if isinstance(reference, str) else [name for name in reference if name]
    return _code_file(folder, names[-1]) if names else None


def check_weights(folder: Path) -> int:
    """Read the header of every weight file.

    Returns:
        The size of all of them, in bytes.

    Raises:
        UsageError: there are no safetensors weights.
        SwiftError: a shard is missing, cut off or not safetensors.
    """
    index = folder / 'model.safetensors.index.json'
    if index.is_file():
        weight_map = read_json(index).get('weight_map') or {}
        files = [folder / name for name in sorted(set(weight_map.values()))]
        missing = [path.name for path in files if not path.is_file()]
        if missing:
            raise SwiftError(f'{folder} lacks {len(missing)} of its {len(files)} weight files: '
                             f'{", ".join(missing[:3])}. Copy or download them again.')
    else:
        files = sorted(folder.glob('*.safetensors'))
    if not files:
        pickled = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLED)
        if pickled:
            raise UsageError(f'{folder} has its weights only as {pickled[0]}, a pickle file, which can run code when '
                             'it is read. Only safetensors are loaded: take a safetensors revision of the model, or '
                             'convert it where you trust it.')
        raise UsageError(f'{folder} has no weights: no *.safetensors file.')
    for path in files:
        try:
            with safe_open(path, framework='numpy'):
                pass
        except (SafetensorError, OSError) as e:
            raise SwiftError(f'{path} is unreadable ({e}): the file is damaged or was not written to its end. '
                             'Copy or download it again.') from e
    return sum(path.stat().st_size for path in files)


def _walk(value: Any) -> Iterator[tuple[str, Any]]:
    """Every (key, value) of nested JSON."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            yield from _walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner)


def _code_file(folder: Path, reference: str) -> str:
    """``"modeling_x.XForCausalLM"`` -> the file, ``"owner/name--modeling_x.X"`` -> the file of that repository."""
    repository, _, tail = reference.rpartition('--')
    name = f'{tail.rpartition(".")[0]}.py'
    return f'{name} of the hub repository {repository}' if repository else str(folder / name)
