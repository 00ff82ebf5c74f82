"""Checkpoints from ModelScope or Hugging Face. It fetches files and never reads them.

Only data is fetched: weights as safetensors, JSON, tokenizer files. Python files come along only when the user
trusts them with ``--trust_remote_code``.
"""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock

from swift.utils import env
from swift.utils.errors import SwiftError
from swift.utils.extras import require
from swift.utils.files import sha256_text
from swift.utils.logging import get_logger

logger = get_logger()

ALLOWED = ('*.safetensors', '*.json', '*.jinja', '*.txt', '*.model', '*.tiktoken', '*.vocab', 'LICENSE*')


def download(model_id: str, *, revision: str | None = None, use_hf: bool = False, token: str | None = None,
             offline: bool = False, with_code: bool = False) -> Path:
    """The local folder of a hub checkpoint, fetched when it is not there yet.

    Args:
        model_id: "owner/name" on the hub that is used.
        revision: branch, tag or commit; None is the hub's default.
        use_hf: Hugging Face instead of ModelScope.
        token: access token; None lets the hub's library read its own environment variable.
        offline: look only at what was fetched before; no socket is opened.
        with_code: fetch Python files too.

    Raises:
        SwiftError: the checkpoint is not there, or the hub can't be reached.
    """
    patterns = [*ALLOWED, *(('*.py',) if with_code else ())]
    hub = 'Hugging Face' if use_hf else 'ModelScope'
    fetch = _from_hugging_face if use_hf else _from_modelscope
    locks = env.cache_dir() / 'locks'
    locks.mkdir(parents=True, exist_ok=True)
    logger.info('%s %s from %s', 'Looking up' if offline else 'Fetching', model_id, hub)
    with FileLock(locks / f'{sha256_text(hub, model_id)[:16]}.lock'):  # one process fetches, the others find it
        try:
            return Path(fetch(model_id, revision, token, offline, patterns))
        except SwiftError:
            raise
        except Exception as e:  # two libraries with their own trees of errors; the cause stays attached
            raise _failure(model_id, hub, use_hf, offline, e) from e


def _failure(model_id: str, hub: str, use_hf: bool, offline: bool, error: Exception) -> SwiftError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if offline:
        return SwiftError(f'{model_id} was not fetched from {hub} before, and --offline true forbids it now '
                          f'({reason}). Pass a local folder: --model DIR.')
    other = '--use_hf false (ModelScope)' if use_hf else '--use_hf true (Hugging Face)'
    return SwiftError(f'{model_id} could not be fetched from {hub}: {reason}. Check the id, --model_revision and the '
                      f'network, try {other}, or pass a local folder: --model DIR (--offline true uses no network).')


def _from_modelscope(model_id: str, revision: str | None, token: str | None, offline: bool,
                     patterns: list[str]) -> str:
    require('modelscope', needed_by='Fetching from ModelScope (--use_hf true is the other hub)')
    from modelscope import snapshot_download
    return snapshot_download(model_id, revision=revision, token=token, local_files_only=offline,
                             allow_patterns=patterns)


def _from_hugging_face(model_id: str, revision: str | None, token: str | None, offline: bool,
                       patterns: list[str]) -> str:
    from huggingface_hub import snapshot_download
    return snapshot_download(model_id, revision=revision, token=token, local_files_only=offline,
                             allow_patterns=patterns)
