"""Data sets of a hub -> local Arrow files. The only place that knows the hub libraries.

A repository is downloaded file by file (resumable, each hub's own cache), then read by ``datasets`` from the folder, so
that both hubs and offline use go one way. No code of a repository is run.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from swift.llm.args.groups import ModelArgs
from swift.utils import env
from swift.utils.errors import MissingExtraError, SwiftError
from swift.utils.files import sha256_text

_DATA_FILES = ['*.json', '*.jsonl', '*.csv', '*.tsv', '*.parquet', '*.txt', '*.arrow', '*.json.gz', '*.jsonl.gz',
               '*.zst', '*.zip', '*.md', '*.yaml']


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


def fetch(hub: str, name: str, subset: str, split: str, access: HubAccess) -> list[Path]:
    """Arrow files with the rows of one split of one subset ('default' leaves the choice to the repository).

    Raises:
        SwiftError: the hub can't be reached, has no such data set, subset or split, or ``offline`` and not downloaded.
    """
    from datasets import load_dataset
    locks = env.cache_dir() / 'locks'
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f'{sha256_text("dataset", hub, name)[:16]}.lock'):  # one process fetches, the others find it
        try:
            folder = _download(hub, name, access)
        except MissingExtraError:
            raise
        except Exception as e:  # two libraries with their own trees of errors; the cause stays attached
            where = ' and --offline true forbids to fetch it' if access.offline else ''
            raise SwiftError(f'--dataset {hub}::{name} is not on this machine{where}: {_first_line(e)}. '
                             'Give a local file or folder, or the other hub (HF:: or MS::).') from e
        try:
            data = load_dataset(folder, None if subset == 'default' else subset, split=split)
        except (OSError, ValueError) as e:
            raise SwiftError(f'{hub}::{name}: subset {subset!r}, split {split!r} can\'t be read from {folder}: '
                             f'{_first_line(e)}') from e
    return [Path(file['filename']) for file in data.cache_files]


def _download(hub: str, name: str, access: HubAccess) -> str:
    options = {'repo_type': 'dataset', 'allow_patterns': _DATA_FILES, 'local_files_only': access.offline,
               'token': access.token or env.hub_token()}
    if hub == 'HF':
        from huggingface_hub import snapshot_download
        return snapshot_download(name, **options)
    try:
        from modelscope import snapshot_download
    except ImportError as e:
        raise MissingExtraError("ModelScope data sets need the package 'modelscope', which is not installed. Install "
                                "it with: pip install 'ms-swift[llm]'   or write HF::owner/name.") from e
    return snapshot_download(name, **options)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
