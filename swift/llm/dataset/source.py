"""A data set spec -> the local files behind it and how their rows are to be read. Knows nothing of what is in them."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift.llm.args.groups import DataArgs
from swift.llm.dataset import convert, read
from swift.llm.dataset.hub import HubAccess, fetch
from swift.llm.dataset.read import READERS, RawRow
from swift.llm.dataset.registry import DATASETS, DatasetEntry, add_dataset_info, find, import_plugins
from swift.llm.dataset.spec import DatasetSpec, parse_spec
from swift.utils.errors import RowError, UsageError
from swift.utils.files import sha256, sha256_text
from swift.utils.registry import suggest

_HUB_ID = re.compile(r'\w[\w.-]*/\w[\w.-]*')
_HELD_OUT = re.compile(r'(^|[^a-z])(test|val|valid|validation|dev|eval)([^a-z]|$)', re.IGNORECASE)
_TRAIN = re.compile(r'(^|[^a-z])train([^a-z]|$)', re.IGNORECASE)
_CHINESE = re.compile(r'[\u4e00-\u9fff]')


@dataclass(frozen=True)
class Source:
    """One data set, found.

    Attributes:
        spec: what the user wrote.
        files: the local files, in order; a row is told by (number of its file, number in the file).
        entry: the registry entry, None for a data set that is not registered.
        columns: renames of columns.
        identity: ((zh name, en name), (zh author, en author)) for rows with placeholders.
        answer_required: rows without an answer can't be used.
    """

    spec: DatasetSpec
    files: tuple[Path, ...]
    entry: DatasetEntry | None
    columns: Mapping[str, str]
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
            for row in read.read_rows(path):
                yield file, row

    def recognise(self, raw: RawRow) -> tuple[dict[str, Any], str]:
        """(row with known columns, name of its format) of a raw row.

        Raises:
            RowError: the row can't be used.
        """
        if raw.error is not None:
            raise RowError(raw.error)
        value, columns = raw.value, self.columns
        if self.entry is not None and self.entry.convert is not None and isinstance(value, dict):
            value, columns = self.entry.convert(convert.rename(value, columns)), {}
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
        return sha256_text('rows', _code_version(), json.dumps(dict(self.columns), sort_keys=True),
                           _conversion_key(self.entry), json.dumps(self.identity), str(self.answer_required), *contents)


def extend_registry(args: DataArgs) -> None:
    """Make the user's own data sets known: ``--external_plugins`` and ``--custom_dataset_info``."""
    import_plugins(args.external_plugins)
    if args.custom_dataset_info:
        add_dataset_info(args.custom_dataset_info)


def open_sources(specs: Sequence[str], args: DataArgs, access: HubAccess, *,
                 answer_required: bool = True) -> list[Source]:
    """Find every data set of ``specs``, read as ``args`` says."""
    columns = convert.parse_columns(args.columns)
    return [open_source(spec, columns=columns, access=access, model_name=args.model_name,
                        model_author=args.model_author, answer_required=answer_required) for spec in specs]


def open_source(text: str, *, columns: Mapping[str, str], access: HubAccess, model_name: list[str] | None = None,
                model_author: list[str] | None = None, answer_required: bool = True) -> Source:
    """Find the data set that one word of ``--dataset`` names, downloading it where it is on a hub.

    Raises:
        UsageError: nothing has this name, or names for placeholders are missing.
        SwiftError: the files can't be had.
    """
    spec = parse_spec(text)
    if spec.path is not None:
        return Source(spec, local_files(spec.path), None, columns, answer_required=answer_required)
    entry = find(spec.name)
    if entry is None and (Path(spec.name).suffix.lower() in READERS or not _HUB_ID.fullmatch(spec.name)):
        raise UsageError(f'--dataset {text}: there is no file or folder {spec.name!r} and no data set of that name.'
                         f'{suggest(spec.name, [*DATASETS.names(), *_neighbours(spec.name)])}')
    entry = entry or DatasetEntry(spec.name, ms_id=spec.name, hf_id=spec.name)
    identity = _identity(entry, model_name or [], model_author or []) if entry.identity else None
    columns = {**entry.columns, **columns}
    return Source(spec, _entry_files(entry, spec, access), entry, columns, identity, answer_required)


def local_files(path: Path) -> tuple[Path, ...]:
    """The file, or the data files under a folder; those that a name marks as test or validation are left out.

    Raises:
        SwiftError: the folder has no file that rows can be read from.
    """
    if path.is_file():
        if path.suffix.lower() not in READERS:
            raise UsageError(f'--dataset {path}: unknown kind of file {path.suffix!r}; rows are read from '
                             f'{", ".join(READERS)}.')
        return (path,)
    found = [file for file in sorted(path.rglob('*')) if file.suffix.lower() in READERS and file.is_file()
             and not any(part.startswith('.') for part in file.relative_to(path).parts)
             and file.name not in ('dataset_info.json', 'dataset_infos.json', 'state.json')]
    if not found:
        raise UsageError(f'--dataset {path}: the folder has no file to read rows from ({", ".join(READERS)}).')
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


def _identity(entry: DatasetEntry, names: list[str], authors: list[str]) -> tuple[tuple[str, str], tuple[str, str]]:
    missing = [flag for flag, value in (('--model_name', names), ('--model_author', authors)) if not value]
    if missing:
        raise UsageError(f'--dataset {entry.name} teaches a model who it is and needs {" and ".join(missing)}, '
                         'e.g. --model_name 小黄 "Huang" --model_author 魔搭 "ModelScope" (Chinese and English; '
                         'one serves both).')
    return (names[0], names[-1]), (authors[0], authors[-1])


def _entry_files(entry: DatasetEntry, spec: DatasetSpec, access: HubAccess) -> tuple[Path, ...]:
    if entry.files:
        subsets = spec.subsets or tuple(entry.files)
        for subset in subsets:
            if subset not in entry.files:
                raise UsageError(f'--dataset {spec.text}: {entry.name} has no subset {subset!r}; it has '
                                 f'{", ".join(entry.files)}.')
        return tuple(file for subset in subsets for file in local_files(entry.files[subset]))
    hub = spec.hub or access.default
    found: list[Path] = []
    for subset in spec.subsets or entry.subsets:
        for split in entry.split:
            found.extend(fetch(hub, entry.hub_id(hub), subset, split, access))
    return tuple(found)


def _neighbours(name: str) -> list[str]:
    folder = Path(name).expanduser().parent
    return [str(folder / path.name) for path in folder.iterdir()] if folder.is_dir() else []


def _conversion_key(entry: DatasetEntry | None) -> str:
    """An entry's own conversion is told by its name and by the file that defines it: editing a plug-in counts."""
    function: Callable[..., Any] | None = entry.convert if entry else None
    if function is None:
        return ''
    return f'{entry.name}:{sha256(Path(inspect.getsourcefile(function)))}'


@functools.cache
def _code_version() -> str:
    """Hash of the code that makes standard rows: old rows never meet a new conversion, and no number is forgotten."""
    digest = hashlib.sha256()
    for module in (convert, read):
        digest.update(Path(module.__file__).read_bytes())
    return digest.hexdigest()
