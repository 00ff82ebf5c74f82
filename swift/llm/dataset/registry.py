"""Data sets known by name, as data. Knows neither files nor rows; standard library only."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swift.utils.errors import UsageError
from swift.utils.registry import Registry

RawConversion = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class DatasetEntry:
    """One data set.

    Attributes:
        name: what ``--dataset`` takes.
        ms_id: "owner/name" on ModelScope.
        hf_id: "owner/name" on Hugging Face.
        files: local files instead of a hub, by subset name.
        subsets: the subsets that are read when the user names none.
        split: the splits that are read, one after the other.
        columns: renames of columns, applied before ``convert``.
        convert: turns a raw row into one of the accepted formats; None where the columns speak for themselves.
        identity: rows hold {{NAME}} and {{AUTHOR}}, filled from --model_name and --model_author.
        tags: for lists of data sets.
        help: one line about it.
    """

    name: str
    ms_id: str | None = None
    hf_id: str | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
    subsets: tuple[str, ...] = ('default',)
    split: tuple[str, ...] = ('train',)
    columns: Mapping[str, str] = field(default_factory=dict)
    convert: RawConversion | None = None
    identity: bool = False
    tags: tuple[str, ...] = ()
    help: str = ''

    def __post_init__(self) -> None:
        if not (self.ms_id or self.hf_id or self.files):
            raise UsageError(f'The data set {self.name!r} has neither a hub id nor a file.')

    def hub_id(self, hub: str) -> str:
        """Its id on ``hub`` ('HF' or 'MS').

        Raises:
            UsageError: it is on the other hub only.
        """
        found = self.hf_id if hub == 'HF' else self.ms_id
        if found is None:
            other = 'MS' if hub == 'HF' else 'HF'
            raise UsageError(f'The data set {self.name!r} is not known on {hub}; write {other}::{self.name} to take it '
                             f'from {other}.')
        return found


DATASETS: Registry[DatasetEntry] = Registry('data set', 'swift.llm.dataset.catalog')


def find(name: str) -> DatasetEntry | None:
    """The entry with this name, or with this hub id when exactly one has it."""
    if name in DATASETS:
        return DATASETS.get(name)
    same_id = [entry for entry in DATASETS if name in (entry.ms_id, entry.hf_id)]
    return same_id[0] if len(same_id) == 1 else None


def add_dataset_info(text: str) -> list[DatasetEntry]:
    """Register the data sets of ``--custom_dataset_info``: the path of a JSON file, or JSON itself.

    Both shapes are read: an object by name (``dataset_id``, ``hf_dataset_id``, ``dataset_path``, ``columns``...), and a
    list of objects (``ms_dataset_id``, ``hf_dataset_id``, ``dataset_path``, ``dataset_name``...). Paths are relative to
    the file. A name that is there already is left as it is.

    Raises:
        UsageError: the file is missing, is no JSON, or an entry has no id and no path.
    """
    inline = text.lstrip().startswith(('{', '['))
    path = Path() if inline else Path(text).expanduser()
    try:
        raw = json.loads(text if inline else path.read_text(encoding='utf-8'))
    except FileNotFoundError as e:
        raise UsageError(f'--custom_dataset_info: no such file: {path}') from e
    except (json.JSONDecodeError, UnicodeDecodeError) as e:
        raise UsageError(f'--custom_dataset_info {text} is not valid JSON: {e}') from e
    items = [{'dataset_name': name, **item} for name, item in raw.items()] if isinstance(raw, dict) else raw
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise UsageError(f'--custom_dataset_info {text} must be a JSON object by name, or a list of objects.')
    folder = Path() if inline else path.parent
    entries = [_from_info(item, folder) for item in items]
    return [entry for entry in entries if entry.name not in DATASETS and DATASETS.add(entry)]


_INFO_KEYS = {'dataset_name', 'dataset_id', 'ms_dataset_id', 'hf_dataset_id', 'dataset_path', 'subsets', 'split',
              'columns', 'tags', 'help', 'remove_useless_columns', 'huge_dataset'}


def _from_info(item: Mapping[str, Any], folder: Path) -> DatasetEntry:
    ms_id, hf_id = item.get('ms_dataset_id', item.get('dataset_id')), item.get('hf_dataset_id')
    local = item.get('dataset_path')
    name = item.get('dataset_name') or ms_id or hf_id or local
    if not name or not (ms_id or hf_id or local):
        raise UsageError(f'--custom_dataset_info: an entry has neither dataset_path nor an id: '
                         f'{json.dumps(item)[:200]}')
    if unknown := sorted(set(item) - _INFO_KEYS):
        raise UsageError(f'--custom_dataset_info: the entry {name!r} has {unknown[0]!r}, which isn\'t read; '
                         f'it takes {", ".join(sorted(_INFO_KEYS))}. Other columns are named with "columns".')
    subsets = item.get('subsets', ['default'])
    if not all(isinstance(subset, str) for subset in subsets):
        raise UsageError(f'--custom_dataset_info: the entry {name!r} has a subset that is no name.')
    split = item.get('split', ['train'])
    files = {'default': (folder / Path(local).expanduser()).resolve()} if local else {}
    return DatasetEntry(name=name, ms_id=ms_id, hf_id=hf_id, files=files, subsets=tuple(subsets),
                        split=(split,) if isinstance(split, str) else tuple(split), columns=item.get('columns', {}),
                        tags=tuple(item.get('tags', ())), help=item.get('help') or '')


def import_plugins(paths: Iterable[str]) -> None:
    """Run the user's ``--external_plugins`` files, each once a process, as modules of their own.

    Raises:
        UsageError: a path is no Python file.
    """
    for text in paths:
        path = Path(text).expanduser().resolve()
        if path.suffix != '.py' or not path.is_file():
            raise UsageError(f'--external_plugins {text}: no such Python file.')
        name = f'swift_plugin_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}'
        if name in sys.modules:
            continue
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
