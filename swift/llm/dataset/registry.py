"""Data sets known by name, as data. Knows neither files nor rows; standard library only."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from swift.llm.dataset.convert import check_columns
from swift.utils.errors import SwiftError, UsageError
from swift.utils.registry import Registry, suggest

RawConversion = Callable[[dict[str, Any]], dict[str, Any]]
Expansion = Callable[[dict[str, Any]], Iterable[dict[str, Any]]]
ALL = 'all'


@dataclass(frozen=True)
class Subset:
    """A part of a data set that can be named after a colon. What is None is as the entry has it.

    Attributes:
        name: what the user writes.
        subset: its name on the hub, or the key among the entry's ``files``; None is ``name``.
        split: the splits that are read.
        columns, conversations, convert, expand: see :class:`DatasetEntry`.
        weak: another view of rows that a subset beside it has: read only when it is named, no part of ``all``.
    """

    name: str
    subset: str | None = None
    split: tuple[str, ...] | None = None
    columns: Mapping[str, str] | None = None
    conversations: Mapping[str, str] | None = None
    convert: RawConversion | None = None
    expand: Expansion | None = None
    weak: bool = False

    @property
    def hub_name(self) -> str:
        return self.name if self.subset is None else self.subset


@dataclass(frozen=True)
class DatasetEntry:
    """One data set.

    Attributes:
        name: what ``--dataset`` takes.
        ms_id: "owner/name" on ModelScope.
        hf_id: "owner/name" on Hugging Face.
        ms_revision, hf_revision: branch, tag or commit that is read; None is the hub's default.
        other_ids: former or further ids that mean this entry.
        files: local files instead of a hub, by subset name.
        subsets: its parts; a word is short for a :class:`Subset` that differs in nothing but its name.
        named: the subsets that ``name`` alone reads; none means all that are not weak.
        split: the splits that are read, one after the other.
        columns: renames of columns, applied before everything else.
        conversations: where the turns are and how their roles are called, where that isn't one of the usual ways:
            ``conversations_key``, ``from_key``, ``value_key``, ``user_role``, ``assistant_role``, ``system_role``,
            ``tool_role`` ('-' for a role that there is not).
        expand: turns a raw row into several.
        convert: turns a raw row into one of the accepted formats; None where the columns speak for themselves.
        identity: rows hold {{NAME}} and {{AUTHOR}}, filled from --model_name and --model_author.
        huge: more rows than one wants to fetch by accident: better with --streaming and a row count.
        verified: rows in the published schema are converted in a test; else the format is told by the columns.
        tags: for lists of data sets.
        help: one line about it.
    """

    name: str
    ms_id: str | None = None
    hf_id: str | None = None
    ms_revision: str | None = None
    hf_revision: str | None = None
    other_ids: tuple[str, ...] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    subsets: tuple[str | Subset, ...] = ('default',)
    named: tuple[str, ...] = ()
    split: tuple[str, ...] = ('train',)
    columns: Mapping[str, str] = field(default_factory=dict)
    conversations: Mapping[str, str] = field(default_factory=dict)
    expand: Expansion | None = None
    convert: RawConversion | None = None
    identity: bool = False
    huge: bool = False
    verified: bool = False
    tags: tuple[str, ...] = ()
    help: str = ''

    def __post_init__(self) -> None:
        if not (self.ms_id or self.hf_id or self.files):
            raise UsageError(f'The data set {self.name!r} has neither a hub id nor a file.')
        known = {subset.name for subset in self.parts()}
        if unknown := [name for name in self.named if name not in known]:
            raise UsageError(f'The data set {self.name!r} has no subset {unknown[0]!r}; it has {", ".join(known)}.')

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(i for i in (self.ms_id, self.hf_id, *self.other_ids) if i))

    def parts(self) -> tuple[Subset, ...]:
        return tuple(Subset(subset) if isinstance(subset, str) else subset for subset in self.subsets)

    def select(self, names: Iterable[str], *, by_id: bool = False) -> tuple[Subset, ...]:
        """The subsets to read.

        Args:
            names: those that were asked for; ``all`` is every subset that is not weak.
            by_id: it was named by a hub id: without ``names`` that means ``default``, or the only subset there is.

        Raises:
            UsageError: there is no such subset, or none was named where there are several.
        """
        parts = {subset.name: subset for subset in self.parts()}
        strong = tuple(subset for subset in parts.values() if not subset.weak)
        names = tuple(names)
        if ALL in names and ALL not in parts:
            return strong
        for name in names:
            if name not in parts:
                raise UsageError(f'The data set {self.name} has no subset {name!r}; it has {", ".join(parts)}.'
                                 f'{suggest(name, parts)}')
        if names:
            return tuple(parts[name] for name in dict.fromkeys(names))
        if not by_id:
            return tuple(parts[name] for name in self.named) or strong
        if len(strong) > 1 and 'default' not in parts:
            raise UsageError(f'The data set {self.name} has the subsets {", ".join(parts)}; name one or more of them '
                             f'({self.name}:{strong[0].name}/{strong[1].name}), or all of them: {self.name}:{ALL}.')
        return (parts['default'],) if 'default' in parts else strong

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

    def revision(self, hub: str) -> str | None:
        return self.hf_revision if hub == 'HF' else self.ms_revision


DATASETS: Registry[DatasetEntry] = Registry('data set', 'swift.llm.dataset.catalog')


class Found(NamedTuple):
    """An entry, and whether a hub id led to it."""

    entry: DatasetEntry
    by_id: bool


def find(name: str, hub: str | None = None) -> Found | None:
    """The entry that ``name`` means: a registered name, a hub id in any letter case, or the last part of an id.

    Where several entries are views of one repository, the one that is called like the repository is meant by its id.
    An id of the other hub leads to the entry, too.

    Args:
        name: what the user wrote.
        hub: 'HF' or 'MS' if the user named one; an id of this hub counts before an id of the other.
    """
    wanted, entries = name.lower(), list(DATASETS)
    if '/' in name:
        of_hub = [e for e in entries if wanted == ((e.hf_id if hub == 'HF' else e.ms_id) or '').lower()] if hub else []
        found = of_hub or [e for e in entries if wanted in map(str.lower, e.ids)]
        if not found and name in DATASETS:
            return Found(DATASETS.get(name), by_id=False)
        return Found(_leading(found), by_id=True) if found else None
    if name in DATASETS:
        return Found(DATASETS.get(name), by_id=False)
    if copied := find_copied(name):
        return Found(copied, by_id=True)
    same = [e for e in entries if e.name.lower() == wanted]
    return Found(same[0], by_id=False) if same else None


def find_copied(name: str) -> DatasetEntry | None:
    """The entry that a repository or folder of this name is a copy of: the last part of one of its ids is the same."""
    last, entries = name.rsplit('/', 1)[-1].lower(), list(DATASETS)
    for ids_of in (lambda entry: entry.ids[:1], lambda entry: entry.ids):  # the leading hub's ids count first
        if found := [e for e in entries if last in [i.rsplit('/', 1)[-1].lower() for i in ids_of(e)]]:
            return _leading(found)
    return None


def _leading(entries: list[DatasetEntry]) -> DatasetEntry:
    """Of several views of one repository, the one with its id for a name; else the first."""
    return next((entry for entry in entries if entry.name in entry.ids), entries[0])


def add_dataset_info(text: str) -> list[DatasetEntry]:
    """Register the data sets of ``--custom_dataset_info``: the path of a JSON file, or JSON itself.

    Both shapes are read: an object by name (``dataset_id``, ``hf_dataset_id``, ``dataset_path``, ``columns``...), and a
    list of objects (``ms_dataset_id``, ``hf_dataset_id``, ``dataset_path``, ``dataset_name``...). Paths are relative to
    the file, or to the working folder where the JSON itself was given. The same entry twice is one.

    Raises:
        UsageError: the file is missing, is no JSON, an entry has no id and no path, or another data set has its name.
    """
    inline = text.lstrip().startswith(('{', '['))
    path = Path() if inline else Path(text).expanduser()
    try:
        raw = json.loads(text if inline else path.read_text(encoding='utf-8'))
    except FileNotFoundError as e:
        raise UsageError(f'--custom_dataset_info: no such file: {path}') from e
    except OSError as e:
        raise UsageError(f'--custom_dataset_info {path} can\'t be read: {e.strerror}.') from e
    except (json.JSONDecodeError, UnicodeDecodeError) as e:
        raise UsageError(f'--custom_dataset_info {text} is not valid JSON: {e}') from e
    items = [{'dataset_name': name, **item} for name, item in raw.items()] if _is_by_name(raw) else raw
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise UsageError(f'--custom_dataset_info {text} must be a JSON object by name, or a list of objects.')
    folder = Path() if inline else path.parent
    entries = [_from_info(item, folder) for item in items]
    new = [entry for entry in entries if entry.name not in DATASETS or DATASETS.get(entry.name) != entry]
    try:
        return [DATASETS.add(entry) for entry in new]
    except UsageError as e:
        raise UsageError(f'--custom_dataset_info: {e}') from None


def _is_by_name(raw: Any) -> bool:
    return isinstance(raw, dict) and all(isinstance(item, dict) for item in raw.values())


_INFO_KEYS = {'dataset_name', 'dataset_id', 'ms_dataset_id', 'hf_dataset_id', 'ms_revision', 'hf_revision',
              'dataset_path', 'subsets', 'split', 'columns', 'conversations', 'messages', 'tags', 'help',
              'remove_useless_columns', 'huge_dataset'}
_SUBSET_KEYS = {'name', 'subset', 'split', 'columns', 'messages', 'is_weak_subset'}
# How the keys of "conversations" (SWIFT 2) and of "messages" (its later versions) are called in an entry.
_CHAT_KEYS = {'conversations_key': 'conversations_key', 'from_key': 'from_key', 'value_key': 'value_key',
              'role_key': 'from_key', 'content_key': 'value_key', 'user_role': 'user_role',
              'assistant_role': 'assistant_role', 'system_role': 'system_role', 'tool_role': 'tool_role'}


def _from_info(item: Mapping[str, Any], folder: Path) -> DatasetEntry:
    ms_id, hf_id = item.get('ms_dataset_id', item.get('dataset_id')), item.get('hf_dataset_id')
    local = item.get('dataset_path')
    name = item.get('dataset_name') or ms_id or hf_id or local
    if not name or not (ms_id or hf_id or local):
        raise UsageError(f'--custom_dataset_info: an entry has neither dataset_path nor an id: '
                         f'{json.dumps(item)[:200]}')
    where = f'--custom_dataset_info: the entry {name!r}'
    _check_keys(item, _INFO_KEYS, where, hint=' Other columns are named with "columns".')
    _check_shapes(item, where)
    subsets = item.get('subsets', ['default'])
    if not isinstance(subsets, list) or not all(isinstance(subset, (str, dict)) for subset in subsets):
        raise UsageError(f'{where} has a subset that is no name and no object.')
    columns, conversations = _turns_from_info(item, where)
    files = {'default': (folder / Path(local).expanduser()).resolve()} if local else {}
    return DatasetEntry(
        name=name, ms_id=ms_id, hf_id=hf_id, ms_revision=item.get('ms_revision'), hf_revision=item.get('hf_revision'),
        files=files, subsets=tuple(subset if isinstance(subset, str) else _subset_from_info(subset, where)
                                   for subset in subsets),
        split=_as_tuple(item.get('split', 'train')), columns=columns, conversations=conversations,
        tags=tuple(item.get('tags') or ()), help=item.get('help') or '', huge=bool(item.get('huge_dataset')))


def _subset_from_info(item: Mapping[str, Any], where: str) -> Subset:
    _check_keys(item, _SUBSET_KEYS, f'{where}: a subset')
    _check_shapes(item, f'{where}: a subset')
    if not (name := item.get('name') or item.get('subset')):
        raise UsageError(f'{where} has a subset without a name: {json.dumps(item)[:200]}')
    columns, conversations = _turns_from_info(item, where)
    return Subset(name, item.get('subset'), _as_tuple(item['split']) if item.get('split') else None, columns or None,
                  conversations or None, weak=bool(item.get('is_weak_subset')))


def _turns_from_info(item: Mapping[str, Any], where: str) -> tuple[dict[str, str], dict[str, str]]:
    """(columns, conversations) of an object. What says how to treat bad rows is not needed: they are set aside."""
    columns = check_columns(item.get('columns') or {}, f'{where}: "columns"')
    given = {**(item.get('conversations') or {}), **(item.get('messages') or {})}
    given.pop('error_strategy', None)
    media_type, media_key = given.pop('media_type', None), given.pop('media_key', None)
    if media_type and media_key:
        columns.setdefault(media_key, f'{media_type}s')
    _check_keys(given, _CHAT_KEYS, f'{where}: "conversations"')
    return columns, {_CHAT_KEYS[key]: value for key, value in given.items() if value is not None}


def _check_keys(item: Mapping[str, Any], known: Iterable[str], where: str, hint: str = '') -> None:
    if unknown := sorted(set(item) - set(known)):
        raise UsageError(f'{where} has {unknown[0]!r}, which isn\'t read; it takes {", ".join(sorted(known))}.{hint}')


# What is in an entry of dataset_info.json, in words, and the keys where it stands.
_SHAPES: dict[str, tuple[str, ...]] = {
    'text': ('dataset_name', 'dataset_id', 'ms_dataset_id', 'hf_dataset_id', 'ms_revision', 'hf_revision',
             'dataset_path', 'help', 'name', 'subset'),
    'an object of names': ('columns',),
    'an object': ('conversations', 'messages'),
    'a list of names': ('tags',),
    'a name or a list of names': ('split',),
}


def _check_shapes(item: Mapping[str, Any], where: str) -> None:
    def is_text(value: Any) -> bool:
        return isinstance(value, str)

    def is_texts(value: Any) -> bool:
        return isinstance(value, list) and all(map(is_text, value))

    fits: dict[str, Callable[[Any], bool]] = {
        'text': is_text, 'an object': lambda value: isinstance(value, dict), 'a list of names': is_texts,
        'an object of names': lambda value: isinstance(value, dict) and all(map(is_text, value.values())),
        'a name or a list of names': lambda value: is_text(value) or is_texts(value)}
    for shape, keys in _SHAPES.items():
        for key in keys:
            if item.get(key) is not None and not fits[shape](item[key]):
                raise UsageError(f'{where} has {key!r}: {json.dumps(item[key])[:100]}; it takes {shape}.')


def _as_tuple(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def import_plugins(paths: Iterable[str]) -> None:
    """Run the user's ``--external_plugins`` files, each once a process, as modules of their own.

    Raises:
        UsageError: a path is no Python file.
        SwiftError: the code of one fails.
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
        except BaseException as e:
            del sys.modules[name]
            if not isinstance(e, Exception) or isinstance(e, SwiftError):
                raise
            line = next((frame.lineno for frame in reversed(traceback.extract_tb(e.__traceback__))
                         if frame.filename == str(path)), 0)
            raise SwiftError(f'--external_plugins {text} failed in line {line}: {type(e).__name__}: {e}') from e
