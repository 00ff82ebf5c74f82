"""What is looked at in a checkpoint folder before transformers touches it. Nothing of the folder is run here.

A hostile or broken folder is told apart from a good one by reading JSON and safetensors headers only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers import __version__ as transformers_version
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from swift.utils.errors import SwiftError, UsageError
from swift.utils.files import read_json

_PICKLED = ('.bin', '.pt', '.pth', '.ckpt')
_KERNEL_KEYS = ('attn_implementation', 'experts_implementation')
# what writes text, by the transformers class that loads it: model_type -> class. The first that has the class which
# config.json names is taken, so that a model with eyes is not loaded as its language model alone.
GENERATORS = {
    'AutoModelForCausalLM': modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    'AutoModelForImageTextToText': modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    'AutoModelForMultimodalLM': modeling_auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
}
_OTHERS = {
    'a classifier or reward model': modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    'a token classifier': modeling_auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
    'an encoder that fills masks': modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    'a model without an output head': modeling_auto.MODEL_MAPPING_NAMES,
}


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
    for key, right, wanted in (('model_type', _is_text, 'text'), ('architectures', _is_texts, 'a list of names'),
                               ('auto_map', _is_map, 'an object that maps the name of a class to its code')):
        if config.get(key) is not None and not right(config[key]):
            raise SwiftError(f'{folder / "config.json"} has {key!r}: {json.dumps(config[key])[:100]}, which is not '
                             f'{wanted}. Mend it, or take the file of the published model.')
    return config


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_map(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(code, str | list) for code in value.values()) and all(
        _is_text(value.get(name, '')) for name in ('AutoConfig', 'AutoModelForCausalLM'))


def check_config(folder: Path, config: dict[str, Any], *, trust_remote_code: bool, origin: str | None = None) -> str:
    """Refuse a configuration that would fetch or run code that the user did not ask for.

    Args:
        folder: where the configuration is.
        config: what it says.
        trust_remote_code: the user allows the folder's own code.
        origin: the hub repository that it comes from, while the other files are not here yet.

    Returns:
        Name of the transformers class that loads the model: a key of :data:`GENERATORS`.

    Raises:
        UsageError: a key names a kernel to be fetched (CVE-2026-4372); the architecture needs Python code of the
            folder and ``--trust_remote_code`` is off; or it is no model that writes text.
    """
    for key, value in _walk(config):
        plain = key.lstrip('_')
        if plain.removesuffix('_internal') in _KERNEL_KEYS and value is not None:
            if plain.endswith('_internal') or not isinstance(value, str) or not value.replace('_', '').isalnum():
                raise UsageError(f'{folder / "config.json"} sets {key!r} to {value!r}, which would make the loader '
                                 'fetch and run a kernel. Nothing was run. Remove the key, and choose the attention '
                                 'with --attn_impl.')
    where = origin or str(folder)
    named = tuple(config.get('architectures') or ())
    loader = native_loader(config)
    name = ', '.join(named) or config.get('model_type') or 'without a model_type'
    if loader is not None:
        for kind, classes in _OTHERS.items():
            if named and named[0] in classes.values() and not any(
                    named[0] in mapping.values() for mapping in GENERATORS.values()):
                raise UsageError(f'{where} is {kind} ({named[0]}). Only models that write text are loaded here; such '
                                 'a model is no base for --model.')
        return loader
    code = config.get('auto_map') or {}
    reference = code.get('AutoModelForCausalLM') or code.get('AutoConfig')
    if reference is None or 'AutoModelForCausalLM' not in code and 'AutoModel' in code:
        raise UsageError(f'{where} is a model {name!r}, which transformers {transformers_version} does not have as a '
                         'language model or an image-text model'
                         + (', and its own code offers no AutoModelForCausalLM.' if reference else '.'))
    if not trust_remote_code:
        raise UsageError(f'{where} is a model {name!r} that transformers does not implement: loading it would run '
                         f'{_code_file(origin or folder, reference)}. Nothing was run. Read that file, and pass '
                         '--trust_remote_code true if you trust it.')
    return 'AutoModelForCausalLM'


def native_loader(config: dict[str, Any]) -> str | None:
    """Name of the transformers class that loads this model without code of the folder, or None."""
    model_type, named = config.get('model_type'), tuple(config.get('architectures') or ())
    if model_type not in CONFIG_MAPPING:
        return None
    able = {loader: classes[model_type] for loader, classes in GENERATORS.items() if model_type in classes}
    exact = [loader for loader, cls in able.items() if cls in named]
    return next(iter([*exact, *able]), None)


def classes_of(model_type: str | None) -> list[str]:
    """The classes of transformers that write text with models of this type; for a config.json that names none."""
    return [classes[model_type] for classes in GENERATORS.values() if model_type in classes]


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


def _code_file(folder: Path | str, reference: str) -> str:
    """``"modeling_x.XForCausalLM"`` -> the file, ``"owner/name--modeling_x.X"`` -> the file of that repository."""
    repository, _, tail = reference.rpartition('--')
    name = f'{tail.rpartition(".")[0]}.py'
    if repository or isinstance(folder, str):
        return f'{name} of the hub repository {repository or folder}'
    return str(folder / name)
