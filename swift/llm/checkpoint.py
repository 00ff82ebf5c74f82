"""The run folder and ``args.json``: what a run was started with, written beside what it made, and read back.

It knows arguments and folders, not models. ``args.json`` lies in the run folder and in every checkpoint, so a
checkpoint alone says how to load, prompt and go on with it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from swift.llm.args.parser import Arguments, to_flat
from swift.utils.errors import SwiftError
from swift.utils.files import read_json, write_json
from swift.utils.logging import get_logger
from swift.version import __version__

logger = get_logger()

ARGS_FILE = 'args.json'
_GENERATION = 'generation_config.json'

# What a checkpoint hands on to inference: how to load the model and how to speak to it.
_MODEL_ARGS = ('model', 'model_type', 'model_revision', 'torch_dtype', 'attn_impl', 'rope_scaling', 'use_hf',
               'new_special_tokens', 'init_strategy',
               'template', 'system', 'truncation_strategy', 'max_new_tokens', 'do_sample', 'temperature', 'top_k',
               'top_p', 'repetition_penalty', 'num_beams', 'stop_words', 'stream')
QUANT_ARGS = ('quant_method', 'quant_bits', 'bnb_4bit_compute_dtype', 'bnb_4bit_quant_type',
              'bnb_4bit_use_double_quant', 'bnb_4bit_quant_storage', 'hqq_axis')
_DATA_ARGS = ('dataset', 'val_dataset', 'split_dataset_ratio', 'data_seed', 'interleave_prob', 'stopping_strategy',
              'columns', 'model_name', 'model_author', 'custom_dataset_info', 'max_rejected_ratio', 'seed')
_PATHS = ('model', 'dataset', 'val_dataset', 'new_special_tokens')  # the effective ones hold in every working folder
# What a resumed run must not take over from the run it goes on with.
_OWN_TO_A_RUN = ('resume_from_checkpoint', 'resume_only_model', 'ignore_data_skip', 'add_version',
                 'logging_dir')
# What makes code run counts only when it is typed: a checkpoint may come from anybody.
_ONLY_WHEN_TYPED = ('external_plugins', 'trust_remote_code')

A = TypeVar('A', bound=Arguments)


@dataclass(frozen=True)
class SavedArgs:
    """What ``args.json`` tells.

    Attributes:
        command: the subcommand ("sft").
        flat: flat name -> value, as typed or by default.
        effective: name -> value of what was decided at run time: the template, absolute paths of model and data.
        version: of swift.
    """

    command: str
    flat: dict[str, Any]
    effective: dict[str, Any]
    version: str


def save_args(folder: Path, args: Arguments, effective: dict[str, Any]) -> None:
    """Write ``args.json``; a hub token is never written."""
    flat = {name: value for name, value in to_flat(args).items() if name != 'hub_token'}
    write_json(folder / ARGS_FILE, {'swift_version': __version__, 'command': args.command, 'args': flat,
                                    'explicit': sorted(set(args.explicit) - {'hub_token'}), 'effective': effective})


def read_saved_args(folder: Path) -> SavedArgs | None:
    """The arguments saved in ``folder``, or None when it has no ``args.json``.

    Raises:
        SwiftError: the file is there and is not ours.
    """
    path = folder / ARGS_FILE
    if not path.is_file():
        return None
    raw = read_json(path)
    try:
        return SavedArgs(raw['command'], dict(raw['args']), dict(raw['effective']), raw['swift_version'])
    except (KeyError, TypeError, ValueError) as e:
        raise SwiftError(f'{path} was not written by swift ({e} is missing or wrong). Take another checkpoint; '
                         '`swift infer --load_args false` goes on without it.') from e


def merge_for_inference(args: A, saved: SavedArgs, *, with_data: bool) -> A:
    """``args`` with what the checkpoint knows; what the user typed wins."""
    names = _MODEL_ARGS + QUANT_ARGS + (_DATA_ARGS if with_data else ())
    known = {name: saved.flat[name] for name in names if name in saved.flat}
    known |= {name: value for name, value in saved.effective.items() if name in names}
    return _merge(args, saved, known)


def merge_for_resume(args: A, saved: SavedArgs) -> A:
    """``args`` with everything that the interrupted run was started with; what the user typed wins."""
    known = {name: value for name, value in saved.flat.items() if name not in _OWN_TO_A_RUN + _ONLY_WHEN_TYPED}
    known |= {name: value for name, value in saved.effective.items() if name in _PATHS}
    return _merge(args, saved, known)


def _merge(args: A, saved: SavedArgs, known: dict[str, Any]) -> A:
    mine = to_flat(args)
    if saved_plugins := saved.flat.get('external_plugins'):
        if 'external_plugins' not in args.explicit:
            logger.warning('Trained with --external_plugins %s; pass it to run that code here too.',
                           ' '.join(saved_plugins))
    known = {name: value for name, value in known.items() if name in mine and name not in args.explicit}
    return args.replaced(known)


def save_generation_config(folder: Path, base: Path, stop_ids: Collection[int]) -> None:
    """Write ``generation_config.json`` so that every engine stops where training said an answer ends.

    Args:
        folder: a checkpoint; what it already has is kept.
        base: the folder of the model it was made from, whose settings are taken otherwise.
        stop_ids: ids that end an answer; added to those that are there.
    """
    config = next((read_json(path) for path in (folder / _GENERATION, base / _GENERATION) if path.is_file()), {})
    known = config.get('eos_token_id')
    known = [] if known is None else [known] if isinstance(known, int) else list(known)
    ids = known + sorted(set(stop_ids) - set(known))
    write_json(folder / _GENERATION, config | ({'eos_token_id': ids[0] if len(ids) == 1 else ids} if ids else {}))


def run_name(model: str | None, model_type: str | None) -> str:
    """The folder name of a model: its registered name, or the last part of its id or path."""
    name = model_type or Path(str(model)).name or 'model'
    return re.sub(r'[^\w.\-]+', '_', name)


def next_version(parent: Path) -> int:
    """One more than the highest N of the ``vN-...`` folders in ``parent``."""
    found = [int(match[1]) for path in parent.glob('v*-*') if (match := re.match(r'v(\d+)-', path.name))]
    return max(found, default=-1) + 1


def claim_version(parent: Path, started: float) -> int:
    """Make the next :func:`version_folder`, empty, and return its N; runs that begin together get one each."""
    parent.mkdir(parents=True, exist_ok=True)
    while True:
        version = next_version(parent)
        try:
            version_folder(parent, version, started).mkdir()
        except FileExistsError:
            continue
        return version


def version_folder(parent: Path, version: int, started: float) -> Path:
    """``parent/vN-YYYYmmdd-HHMMSS``."""
    return parent / f'v{version}-{time.strftime("%Y%m%d-%H%M%S", time.localtime(started))}'


def latest_run(root: Path) -> Path:
    """The run folder under ``root`` whose newest checkpoint is the newest of all.

    Raises:
        SwiftError: there is none.
    """
    checkpoints = [*root.glob('checkpoint-*'), *root.glob('v*-*/checkpoint-*'), *root.glob('*/v*-*/checkpoint-*')]
    if not checkpoints:
        raise SwiftError(f'--resume_from_checkpoint latest: no checkpoint under {root}. Name one, or check '
                         '--output_dir.')
    return max(checkpoints, key=lambda path: path.stat().st_mtime).parent
