"""A data set spec -> the local files behind it and how their rows are to be read. Knows nothing of what is in them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swift.llm.args.groups import DataArgs
from swift.llm.dataset import convert, read, turns
from swift.llm.dataset.hub import HubAccess, fetch
from swift.llm.dataset.read import READERS, RawRow
from swift.llm.dataset.registry import (
    DATASETS,
    DatasetEntry,
    Expansion,
    RawConversion,
    Subset,
    add_dataset_info,
    find,
    find_copied,
    import_plugins,
)
from swift.llm.dataset.spec import DatasetSpec, parse_spec, split_words
from swift.llm.dataset.toolalpaca import is_toolalpaca, toolalpaca
from swift.utils.errors import RowError, UsageError
from swift.utils.files import sha256, sha256_text
from swift.utils.logging import get_logger
from swift.utils.registry import suggest

logger = get_logger()

_HUB_ID = re.compile(r'\w[\w.-]*/\w[\w.-]*')
_HELD_OUT = re.compile(r'(^|[^a-z])(test|val|valid|validation|dev|eval)([^a-z]|$)', re.IGNORECASE)
_TRAIN = re.compile(r'(^|[^a-z])train([^a-z]|$)', re.IGNORECASE)
_CHINESE = re.compile(r'[\u4e00-\u9fff]')


@dataclass(frozen=True)
class Reading:
    """How the rows of one file become rows in one of the accepted formats: expanded, then renamed, then converted.

    Attributes:
        columns: renames of columns.
        conversations: where the turns are and how their roles are called, see :class:`DatasetEntry`.
        expand, convert: as in :class:`DatasetEntry`.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    conversations: Mapping[str, str] = field(default_factory=dict)
    expand: Expansion | None = None
    convert: RawConversion | None = None

    def key(self) -> str:
        """Changes with what this reading does: an edited plug-in counts."""
        functions = [_function_key(function) for function in (self.expand, self.convert)]
        return json.dumps([dict(self.columns), dict(self.conversations), functions], sort_keys=True)


@dataclass(frozen=True)
class ReadRow(RawRow):
    """A row of a data set whose files are not all read the same way."""

    reading: int = 0


@dataclass(frozen=True)
class Source:
    """One data set, found.

    Attributes:
        spec: what the user wrote.
        files: the local files, in order; a row is told by (number of its file, number in the file).
        entry: the registry entry, None for a data set that is not registered.
        readings: how each file is read; one for all files, or one for each.
        identity: ((zh name, en name), (zh author, en author)) for rows with placeholders.
        answer_required: rows without an answer can't be used.
    """

    spec: DatasetSpec
    files: tuple[Path, ...]
    entry: DatasetEntry | None
    readings: tuple[Reading, ...] = (Reading(),)
    identity: tuple[tuple[str, str], tuple[str, str]] | None = None
    answer_required: bool = True

    @property
    def label(self) -> str:
        return self.spec.name

    def name_of(self, file: int) -> str:
        """How the file with this number is called in messages."""
        return self.label if len(self.files) == 1 else str(self.files[file])

    def rows(self) -> Iterator[tuple[int, RawRow]]:
        """(file, raw row) of every row, straight from the files."""
        for file, path in enumerate(self.files):
            at = file if len(self.readings) > 1 else 0
            for row in _expanded(read.read_rows(path), self.readings[at].expand):
                yield file, ReadRow(row.number, row.value, row.error, at) if at else row

    def recognise(self, raw: RawRow) -> tuple[dict[str, Any], str]:
        """(row with known columns, name of its format) of a raw row.

        Raises:
            RowError: the row can't be used.
        """
        if raw.error is not None:
            raise RowError(raw.error)
        reading = self.readings[raw.reading if isinstance(raw, ReadRow) else 0]
        value, columns = raw.value, reading.columns
        if isinstance(value, dict) and (reading.conversations or reading.convert):
            value, columns = convert.rename(value, columns), {}
            try:
                if reading.conversations:
                    value = turns.name_turns(value, reading.conversations)
                if reading.convert:
                    value = reading.convert(value)
            except KeyError as e:
                raise RowError(f'the row has no {e}, which rows of {self.label} should have') from e
        if self.identity is not None:
            value = fill_identity(value, *self.identity)
        return convert.recognise(value, columns, answer_required=self.answer_required)

    def build(self, row: dict[str, Any], form: str) -> dict[str, Any]:
        """The standard row of what :meth:`recognise` returned.

        Raises:
            RowError: the row can't be used.
        """
        return convert.build(row, form, answer_required=self.answer_required)

    def content_key(self) -> str:
        """Hash of everything that the standard rows depend on: file contents, conversion, columns, names. No paths."""
        contents = [f'{path.suffix.lower()}:{sha256(path)}' for path in self.files]
        return sha256_text('rows', _code_version(), *(reading.key() for reading in self.readings),
                           json.dumps(self.identity), str(self.answer_required), *contents)


def _expanded(rows: Iterator[RawRow], expand: Expansion | None) -> Iterator[RawRow]:
    """Several rows of each; they keep its number. A row that can't be expanded is one bad row.

    ``expand`` None leaves rows as they are, but for files whose first row shows that each row holds several.
    """
    if expand is None:
        first = next(rows, None)
        if first is None:
            return
        rows = itertools.chain([first], rows)
        if not (isinstance(first.value, dict) and is_toolalpaca(first.value)):
            yield from rows
            return
        expand = toolalpaca
    for row in rows:
        if row.error is not None or not isinstance(row.value, dict):
            yield row
            continue
        try:
            values = list(expand(row.value))
        except (KeyError, TypeError, ValueError) as e:
            yield RawRow(row.number, row.value, f'the row lacks what this data set is made of: {e}')
            continue
        for value in values:
            yield RawRow(row.number, value)


def extend_registry(args: DataArgs) -> None:
    """Make the user's own data sets known: ``--external_plugins`` and ``--custom_dataset_info``."""
    import_plugins(args.external_plugins)
    if args.custom_dataset_info:
        add_dataset_info(args.custom_dataset_info)


def open_sources(specs: Sequence[str], args: DataArgs, access: HubAccess, *, answer_required: bool = True,
                 flag: str = '--dataset') -> list[Source]:
    """Find every data set of ``specs``, read as ``args`` says; ``flag`` is what they were given with."""
    columns = convert.parse_columns(args.columns)
    return [open_source(spec, columns=columns, access=access, model_name=args.model_name, flag=flag,
                        model_author=args.model_author, answer_required=answer_required) for spec in split_words(specs)]


def open_source(text: str, *, columns: Mapping[str, str], access: HubAccess, model_name: list[str] | None = None,
                model_author: list[str] | None = None, answer_required: bool = True,
                flag: str = '--dataset') -> Source:
    """Find the data set that one word of ``flag`` names, downloading it where it is on a hub.

    Raises:
        UsageError: nothing has this name, or names for placeholders are missing.
        SwiftError: the files can't be had.
    """
    spec = parse_spec(text, flag)
    if spec.path is not None:
        entry, reading = _folder_reading(spec.path, columns)
        identity = _identity(entry, model_name or [], model_author or [], flag)
        return Source(spec, local_files(spec.path, flag), entry, (reading,), identity, answer_required)
    entry, parts = _named(spec)
    identity = _identity(entry, model_name or [], model_author or [], flag)
    files = [(file, _reading(entry, part, columns)) for part in parts
             for file in _part_files(entry, part, spec, access)]
    readings = tuple(reading for _, reading in files)
    if all(reading == readings[0] for reading in readings):
        readings = readings[:1]
    return Source(spec, tuple(file for file, _ in files), entry, readings, identity, answer_required)


def _folder_reading(path: Path, columns: Mapping[str, str]) -> tuple[DatasetEntry | None, Reading]:
    """A folder that is called like a repository that is known holds what the repository holds."""
    entry = find_copied(path.resolve().name) if path.is_dir() else None
    if entry is None:
        return None, Reading(columns)
    logger.info('The folder %s is read as the data set %s.', path, entry.name)
    return entry, _reading(entry, entry.select(())[0], columns)


def _named(spec: DatasetSpec) -> tuple[DatasetEntry, tuple[Subset, ...]]:
    """The entry that a spec names, and the subsets of it.

    A repository that is not registered is read as the one with the same last part, else as its columns say.
    """
    is_id = _HUB_ID.fullmatch(spec.name) is not None and Path(spec.name).suffix.lower() not in READERS
    if found := find(spec.name, spec.hub):
        entry, by_id = found
    elif not is_id:
        if '://' in spec.text:
            raise UsageError(f'{spec.flag} {spec.text} is an address, which isn\'t fetched: download the file and give '
                             'its path.')
        raise UsageError(f'{spec.flag} {spec.text}: there is no file or folder {spec.name!r} and no data set of that '
                         f'name.{suggest(spec.name, [*_known_names(), *_neighbours(spec.name)])}')
    elif copied := find_copied(spec.name):
        logger.info('The data set %s is read as %s is.', spec.name, copied.name)
        entry, by_id = dataclasses.replace(copied, ms_id=spec.name, hf_id=spec.name, ms_revision=None,
                                           hf_revision=None, other_ids=(), files={}), True
    else:
        subsets = spec.subsets or ('default',)
        entry, by_id = DatasetEntry(spec.name, ms_id=spec.name, hf_id=spec.name, subsets=subsets), False
    try:
        return entry, entry.select(spec.subsets, by_id=by_id)
    except UsageError as e:
        raise UsageError(f'{spec.flag} {spec.text}: {e}') from None


def _known_names() -> list[str]:
    """Everything that an entry answers to: its name, its ids, and their last parts."""
    return [name for entry in DATASETS
            for name in (entry.name, *entry.ids, *(i.rsplit('/', 1)[-1] for i in entry.ids))]


def _reading(entry: DatasetEntry, part: Subset, columns: Mapping[str, str]) -> Reading:
    own = entry.columns if part.columns is None else part.columns
    return Reading({**own, **columns}, entry.conversations if part.conversations is None else part.conversations,
                   part.expand or entry.expand, part.convert or entry.convert)


def local_files(path: Path, flag: str = '--dataset') -> tuple[Path, ...]:
    """The file, or the data files under a folder; those that a name marks as test or validation are left out.

    Raises:
        UsageError: there is no such path, or nothing there that rows can be read from; ``flag`` named it.
    """
    if not path.exists():
        raise UsageError(f'{flag} {path}: no such file or folder.')
    if path.is_file():
        if path.suffix.lower() not in READERS:
            raise UsageError(f'{flag} {path}: unknown kind of file {path.suffix!r}; rows are read from '
                             f'{", ".join(READERS)}.')
        return (path,)
    found = [file for file in sorted(path.rglob('*')) if file.suffix.lower() in READERS and file.is_file()
             and not any(part.startswith('.') for part in file.relative_to(path).parts)
             and file.name not in ('dataset_info.json', 'dataset_infos.json', 'state.json')]
    if not found:
        raise UsageError(f'{flag} {path}: the folder has no file to read rows from ({", ".join(READERS)}).')
    names = {file: str(file.relative_to(path).with_suffix('')) for file in found}
    train = [file for file in found if _TRAIN.search(names[file])]
    return tuple(train or [file for file in found if not _HELD_OUT.search(names[file])] or found)


def fill_identity(row: Any, names: tuple[str, str], authors: tuple[str, str]) -> Any:
    """Put the model's name and author, of the row's language, where its texts say {{NAME}} and {{AUTHOR}}."""
    if not isinstance(row, dict):
        return row
    text = json.dumps(row, ensure_ascii=False)
    language = 0 if row.get('tag') == 'zh' or ('tag' not in row and _CHINESE.search(text)) else 1
    values = {'{{NAME}}': names[language], '{{AUTHOR}}': authors[language]}
    return {key: _filled(value, values) for key, value in row.items() if key != 'tag'}


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_filled(item, values) for item in value]
    if isinstance(value, dict):
        return {key: _filled(item, values) for key, item in value.items()}
    if isinstance(value, str):
        for mark, name in values.items():
            value = value.replace(mark, name).replace(mark.lower(), name)
    return value


def _identity(entry: DatasetEntry | None, names: list[str], authors: list[str],
              flag: str) -> tuple[tuple[str, str], tuple[str, str]] | None:
    """What fills the placeholders of a data set that has some, None for every other."""
    if entry is None or not entry.identity:
        return None
    missing = [flag for flag, value in (('--model_name', names), ('--model_author', authors)) if not value]
    if missing:
        raise UsageError(f'{flag} {entry.name} teaches a model who it is and needs {" and ".join(missing)}, '
                         'e.g. --model_name 小黄 "Huang" --model_author 魔搭 "ModelScope" (Chinese and English; '
                         'one serves both).')
    return (names[0], names[-1]), (authors[0], authors[-1])


def _part_files(entry: DatasetEntry, part: Subset, spec: DatasetSpec, access: HubAccess) -> list[Path]:
    if entry.files:
        chosen = [entry.files[part.hub_name]] if part.hub_name in entry.files else list(entry.files.values())
        return [file for path in chosen
                for file in local_files(path, f'{spec.flag} {spec.text}: the dataset_path')]
    hub = spec.hub or access.default
    name, revision = entry.hub_id(hub), entry.revision(hub)
    return [file for split in part.split or entry.split
            for file in fetch(hub, name, part.hub_name, split, access, revision=revision)]


def _neighbours(name: str) -> list[str]:
    folder = Path(name).expanduser().parent
    return [str(folder / path.name) for path in folder.iterdir()] if folder.is_dir() else []


def _function_key(function: Callable[..., Any] | None) -> list[str]:
    """A conversion is told by its name, its settings and the file that defines it."""
    if function is None:
        return []
    if isinstance(function, functools.partial):
        return [*_function_key(function.func), repr(function.args), repr(sorted(function.keywords.items()))]
    return [function.__qualname__, sha256(Path(inspect.getsourcefile(function)))]


@functools.cache
def _code_version() -> str:
    """Hash of the code that makes standard rows: old rows never meet a new conversion, and no number is forgotten."""
    digest = hashlib.sha256()
    for module in (convert, turns, read, inspect.getmodule(toolalpaca)):
        digest.update(Path(module.__file__).read_bytes())
    return digest.hexdigest()
