"""Data sets of a hub -> local files.

A repository is downloaded file by file (resumable, each hub's own cache), then read by ``datasets`` from the folder, so
that both hubs and offline use go one way. No code of a repository is run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from swift.llm.args.groups import ModelArgs
from swift.llm.dataset.read import READERS
from swift.llm.model.hub import HUBS, fetch_once, first_line
from swift.utils import env
from swift.utils.errors import MissingExtraError, SwiftError
from swift.utils.files import sha256_text
from swift.utils.logging import get_logger

logger = get_logger()
_DATA_FILES = ('*.json', '*.jsonl', '*.csv', '*.tsv', '*.parquet', '*.txt', '*.arrow', '*.json.gz', '*.jsonl.gz',
               '*.zst', '*.zip', '*.md', '*.yaml')


@dataclass(frozen=True)
class HubAccess:
    """How hubs may be reached.

    Attributes:
        use_hf: Hugging Face is the default; None leaves it to ``USE_HF``, and without that it is ModelScope.
        offline: take only what is already downloaded.
        token: for private data sets; None leaves it to the environment.
    """

    use_hf: bool | None = None
    offline: bool = False
    token: str | None = None

    @classmethod
    def of(cls, model: ModelArgs) -> HubAccess:
        """As the model is fetched: ``--use_hf``, ``--offline`` and ``--hub_token`` hold for data, too."""
        return cls(model.use_hf, model.offline, model.hub_token)

    @property
    def default(self) -> str:
        return 'HF' if (env.use_hf() if self.use_hf is None else self.use_hf) else 'MS'


def fetch(hub: str, name: str, subset: str, split: str, access: HubAccess, *,
          revision: str | None = None) -> list[Path]:
    """Files with the rows of one split of one subset ('default' leaves the choice to the repository).

    Args:
        hub: 'HF' or 'MS'.
        revision: branch, tag or commit; None is the hub's default.

    Raises:
        SwiftError: the hub can't be reached, has no such data set, subset or split, or ``offline`` and not downloaded.
    """
    from datasets.exceptions import DatasetsError
    try:
        folder = fetch_once(HUBS[hub], name, 'dataset', _DATA_FILES, revision=revision, token=access.token,
                            offline=access.offline)
    except MissingExtraError:
        raise
    except Exception as e:  # two libraries with their own trees of errors; the cause stays attached
        raise _failure(hub, name, access, e) from e
    try:
        return _as_configured(folder, subset, split)
    except (OSError, ValueError, DatasetsError) as e:
        if files := files_by_name(folder, subset, split):
            logger.info('%s::%s: datasets can\'t read subset %r, split %r (%s); taking its files by their names: %s',
                        hub, name, subset, split, first_line(e), ', '.join(file.name for file in files[:5]))
            return files
        raise SwiftError(f'{hub}::{name}: subset {subset!r}, split {split!r} can\'t be read from {folder}: '
                         f'{first_line(e)}') from e


def _as_configured(folder: Path, subset: str, split: str) -> list[Path]:
    """Arrow files of what the repository itself calls so, in its README or by where its files are."""
    from datasets import load_dataset
    locks = env.cache_dir() / 'locks'
    with FileLock(locks / f'{sha256_text("arrow", str(folder))[:16]}.lock'):
        data = load_dataset(str(folder), None if subset == 'default' else subset, split=split)
    return [Path(file['filename']) for file in data.cache_files]


_SPLITS = {'train': 'train', 'test': 'test', 'validation': 'validation', 'valid': 'validation', 'val': 'validation',
           'dev': 'validation', 'eval': 'test'}
_NO_ROWS = ('dataset_info.json', 'dataset_infos.json', 'state.json', 'readme.txt', 'license.txt')


def files_by_name(folder: Path, subset: str, split: str) -> list[Path]:
    """The data files of a subset and a split, by the names of files and of folders around them.

    Many repositories, above all on ModelScope, say nowhere which files are what, and ``datasets`` refuses JSON lines
    whose columns differ; rows are then read from the files as they are. A file that names no split is of ``train``.
    """
    found = []
    for path in sorted(folder.rglob('*')):
        inside = path.relative_to(folder)
        if path.suffix.lower() not in READERS or path.name.lower() in _NO_ROWS or not path.is_file():
            continue
        if any(part.startswith('.') for part in inside.parts):
            continue
        parts = [_plain(part) for part in (*inside.parts[:-1], inside.stem)]
        words = set(re.split(r'[^a-z0-9]+', str(inside.with_suffix('')).lower()))
        splits = {_SPLITS[word] for word in words if word in _SPLITS} or {'train'}
        if (subset == 'default' or _plain(subset) in parts) and (_SPLITS.get(split, split) in splits or split in words):
            found.append(path)
    return found


def _plain(name: str) -> str:
    return re.sub(r'[^a-z0-9]', '', name.lower())


def _failure(hub: str, name: str, access: HubAccess, error: Exception) -> SwiftError:
    other = 'MS' if hub == 'HF' else 'HF'
    if access.offline:
        return SwiftError(f'The data set {hub}::{name} is not on this machine and --offline true forbids to fetch it: '
                          f'{first_line(error)}. Give a local file or folder, or the other hub ({other}::).')
    return SwiftError(f'The data set {hub}::{name} could not be fetched from {HUBS[hub].title}: {first_line(error)}. '
                      f'Check the id, --hub_token and the network, try the other hub ({other}::owner/name), or give a '
                      'local file or folder.')
