"""Repositories of ModelScope and Hugging Face behind one interface. It fetches files and never reads them.

Only data is fetched: weights as safetensors, JSON, tokenizer files. Python files come along only when the user
trusts them with ``--trust_remote_code``. The hubs' own libraries do the work: their caches (``MODELSCOPE_CACHE``,
``HF_HOME``) are shared with every other tool, and a download that broke goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Protocol

from filelock import FileLock

from swift.utils import env
from swift.utils.errors import MissingExtraError, SwiftError
from swift.utils.extras import require
from swift.utils.files import sha256_text
from swift.utils.logging import get_logger

logger = get_logger()

ALLOWED = ('*.safetensors', '*.json', '*.jinja', '*.txt', '*.model', '*.tiktoken', '*.vocab', 'LICENSE*')
_PAGE = 100  # files of a data set that ModelScope lists at a time
Kind = Literal['model', 'dataset']


class Hub(Protocol):
    """A place that repositories are fetched from. Its errors are those of its library."""

    title: str

    def files(self, repo: str, kind: Kind, *, revision: str | None = None, token: str | None = None) -> list[str]:
        """The paths of the files in a repository, sorted."""

    def fetch(self, repo: str, kind: Kind, patterns: Sequence[str], *, revision: str | None = None,
              token: str | None = None, offline: bool = False) -> Path:
        """The local folder with the files that match ``patterns``; what is there already is not fetched again.

        Args:
            revision: branch, tag or commit; None is the hub's default.
            token: access token; None lets the library read its own environment variable.
            offline: look only at what was fetched before; no socket is opened.
        """


@dataclass(frozen=True)
class HuggingFace:
    """``endpoint`` None is ``HF_ENDPOINT``, else huggingface.co; ``cache_dir`` None is in ``HF_HOME``."""

    endpoint: str | None = None
    cache_dir: Path | None = None
    title: str = 'Hugging Face'

    def files(self, repo: str, kind: Kind, *, revision: str | None = None, token: str | None = None) -> list[str]:
        from huggingface_hub import HfApi
        return sorted(HfApi(endpoint=self.endpoint).list_repo_files(repo, repo_type=kind, revision=revision,
                                                                    token=token))

    def fetch(self, repo: str, kind: Kind, patterns: Sequence[str], *, revision: str | None = None,
              token: str | None = None, offline: bool = False) -> Path:
        from huggingface_hub import snapshot_download
        return Path(snapshot_download(repo, repo_type=kind, revision=revision, token=token, cache_dir=self.cache_dir,
                                      local_files_only=offline, allow_patterns=list(patterns),
                                      endpoint=self.endpoint))


@dataclass(frozen=True)
class ModelScope:
    """``endpoint`` None is ``MODELSCOPE_ENDPOINT``, else modelscope.cn; ``cache_dir`` None is ``MODELSCOPE_CACHE``."""

    endpoint: str | None = None
    cache_dir: Path | None = None
    title: str = 'ModelScope'

    def files(self, repo: str, kind: Kind, *, revision: str | None = None, token: str | None = None) -> list[str]:
        self._required()
        from modelscope.hub.api import HubApi
        api, listed, page = HubApi(endpoint=self.endpoint, token=token), [], 1
        if kind == 'model':
            listed = api.get_model_files(repo, revision=revision, recursive=True)
        else:
            while len(listed) == (page - 1) * _PAGE:
                listed += api.get_dataset_files(repo, revision=revision or 'master', page_number=page, page_size=_PAGE)
                page += 1
        paths = {file['Path'] for file in listed}
        folders = {str(parent) for path in paths for parent in PurePosixPath(path).parents}  # they are listed, too
        return sorted(paths - folders)

    def fetch(self, repo: str, kind: Kind, patterns: Sequence[str], *, revision: str | None = None,
              token: str | None = None, offline: bool = False) -> Path:
        self._required()
        from modelscope import snapshot_download
        return Path(snapshot_download(repo, repo_type=kind, revision=revision, token=token, cache_dir=self.cache_dir,
                                      local_files_only=offline, allow_patterns=list(patterns),
                                      endpoint=self.endpoint))

    @staticmethod
    def _required() -> None:
        require('modelscope', needed_by='Fetching from ModelScope (--use_hf true is the other hub)')


HUBS: dict[str, Hub] = {'MS': ModelScope(), 'HF': HuggingFace()}


def hub_of(use_hf: bool) -> Hub:
    return HUBS['HF' if use_hf else 'MS']


def fetch_once(hub: Hub, repo: str, kind: Kind, patterns: Sequence[str], **options: Any) -> Path:
    """:meth:`Hub.fetch` with one process at work, while the others on this machine wait and then find the files."""
    locks = env.cache_dir() / 'locks'
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f'{sha256_text(kind, hub.title, repo)[:16]}.lock'):
        return hub.fetch(repo, kind, patterns, **options)


def download(model_id: str, *, revision: str | None = None, use_hf: bool = False, token: str | None = None,
             offline: bool = False, with_code: bool = False, only: Sequence[str] = (),
             ignore: Sequence[str] = ()) -> Path:
    """The local folder of a hub checkpoint, fetched when it is not there yet.

    Args:
        model_id: "owner/name" on the hub that is used.
        revision: branch, tag or commit; None is the hub's default.
        use_hf: Hugging Face instead of ModelScope.
        token: access token; None lets the hub's library read its own environment variable.
        offline: look only at what was fetched before; no socket is opened.
        with_code: fetch Python files too.
        only: fetch just these files.
        ignore: patterns of files that are not needed: a second copy of the weights.

    Raises:
        SwiftError: the checkpoint is not there, or the hub can't be reached.
    """
    patterns = tuple(only) or (*ALLOWED, *(('*.py',) if with_code else ()))
    hub = hub_of(use_hf)
    logger.info('%s %s%s from %s', 'Looking up' if offline else 'Fetching', f'{", ".join(only)} of ' if only else '',
                model_id, hub.title)
    try:
        if ignore and not offline:
            names = hub.files(model_id, 'model', revision=revision, token=token)
            patterns = tuple(name for name in names if _matches(name, patterns) and not _matches(name, ignore))
        return fetch_once(hub, model_id, 'model', patterns, revision=revision, token=token, offline=offline)
    except MissingExtraError:
        raise
    except Exception as e:  # two libraries with their own trees of errors; the cause stays attached
        raise _failure(model_id, hub, offline, e) from e


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _failure(model_id: str, hub: Hub, offline: bool, error: Exception) -> SwiftError:
    if offline:
        return SwiftError(f'{model_id} was not fetched from {hub.title} before, and --offline true forbids it now '
                          f'({first_line(error)}). Pass a local folder: --model DIR.')
    other = '--use_hf false (ModelScope)' if hub is HUBS['HF'] else '--use_hf true (Hugging Face)'
    return SwiftError(f'{model_id} could not be fetched from {hub.title}: {first_line(error)}. Check the id, '
                      f'--model_revision and the network, try {other}, or pass a local folder: --model DIR '
                      '(--offline true uses no network).')
