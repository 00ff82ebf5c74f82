"""An adapter and its base model -> one ordinary checkpoint folder beside the adapter.

It decides where the folder lies and whether one that is there can be used again; how weights are added is the
tuners' business.
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

from safetensors import SafetensorError

from swift.llm.args.groups import ModelArgs, TemplateArgs
from swift.llm.checkpoint import ARGS_FILE, save_generation_config
from swift.llm.model.load import load_model, resolve_model
from swift.llm.template.encode import make_template
from swift.tuners.api import Swift
from swift.utils.errors import SwiftError, UsageError
from swift.utils.files import new_folder, read_json, sha256, verify_manifest, write_json, write_manifest
from swift.utils.logging import get_logger

logger = get_logger()
ORIGIN_FILE = 'merged_from.json'
_WEIGHTS = 'adapter_model.safetensors'


def merged_folder(adapter: Path) -> Path:
    """Where ``adapter`` goes when it is merged: ``<adapter>-merged``."""
    return adapter.with_name(f'{adapter.name}-merged')


def merge_adapter(adapter: Path, model: ModelArgs, template: TemplateArgs, target: Path | None = None) -> Path:
    """Write base model plus adapter to ``target``, or use what an earlier call wrote there.

    The weights are added in fp32 and written in the type that the base checkpoint has, or ``--torch_dtype``. The folder
    appears whole or not at all.

    Args:
        adapter: folder of the adapter.
        model: the base model.
        template: tells where generation stops, for the generation config.
        target: default: :func:`merged_folder`.

    Raises:
        UsageError: the folder holds no adapter.
        SwiftError: something else is at ``target``, or it can't be written.
    """
    adapter = adapter.expanduser().resolve()
    if not (adapter / _WEIGHTS).is_file():
        raise UsageError(f'{adapter} has no {_WEIGHTS}, so there is nothing to merge.')
    target = target or merged_folder(adapter)
    origin = {'adapter_sha256': sha256(adapter / _WEIGHTS), 'base': str(resolve_model(model).path)}
    if target.exists():
        _check_reusable(target, origin)
        logger.info('Using the merged model in %s', target)
        return target
    loaded = load_model(dataclasses.replace(model, torch_dtype=_dtype_of(model)), training=False)
    stop_ids = make_template(template, loaded.tokenizer, loaded.family, task='sft').stop_ids
    merged = Swift.merge_and_unload(Swift.from_pretrained(loaded.model, adapter))
    try:
        with new_folder(target) as folder:
            merged.save_pretrained(folder)
            loaded.tokenizer.save_pretrained(folder)
            save_generation_config(folder, loaded.path, stop_ids)
            if (adapter / ARGS_FILE).is_file():
                shutil.copyfile(adapter / ARGS_FILE, folder / ARGS_FILE)
            write_json(folder / ORIGIN_FILE, {**origin, 'adapter': str(adapter)})
            write_manifest(folder)
    except (OSError, SafetensorError) as e:
        raise SwiftError(f'The merged model can not be written to {target}: {e}. Nothing was left there.') from e
    logger.info('Merged %s into %s', adapter, target)
    return target


def _check_reusable(target: Path, origin: dict[str, str]) -> None:
    """Raises:
        SwiftError: ``target`` is not what merging this adapter wrote, or is damaged.
    """
    known = read_json(target / ORIGIN_FILE) if (target / ORIGIN_FILE).is_file() else None
    if not isinstance(known, dict) or any(known.get(name) != value for name, value in origin.items()):
        raise SwiftError(f'{target} is there already and does not come from this adapter and this base model. Move it '
                         'away, then merge again; nothing was overwritten.')
    if problem := verify_manifest(target):
        raise SwiftError(f'The merged model is damaged: {problem}. Remove {target}, then merge again.')


def _dtype_of(model: ModelArgs) -> str:
    """The type to write: what was typed, else that of the base checkpoint, else what the device likes."""
    if model.torch_dtype != 'auto':
        return model.torch_dtype
    config = read_json(resolve_model(model).path / 'config.json')
    dtype = config.get('dtype') or config.get('torch_dtype')
    return dtype if dtype in ('float32', 'bfloat16', 'float16') else 'auto'
