"""Files that are either whole or not there: atomic writes, hashes, manifests.

A folder is written under a temporary name beside its target, checked, and renamed. The manifest lists size and
SHA-256 of every file and is the last file written, so a folder without a valid manifest was never finished.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swift.utils.errors import SwiftError

MANIFEST = 'manifest.json'
_TEMPORARY = '.tmp-'


def sha256(path: Path) -> str:
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def sha256_text(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode('utf-8', 'surrogatepass')
        digest.update(len(raw).to_bytes(8, 'big'))  # the length keeps ("ab", "c") apart from ("a", "bc")
        digest.update(raw)
    return digest.hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write JSON (UTF-8, indented) so that ``path`` holds either the old text or all of the new one."""
    temporary = path.with_name(f'{_TEMPORARY}{path.name}-{uuid.uuid4().hex[:8]}')
    with open(temporary, 'w', encoding='utf-8') as file:
        json.dump(value, file, ensure_ascii=False, indent=2)
        file.write('\n')
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def read_json(path: Path) -> Any:
    """Parse a JSON file.

    Raises:
        SwiftError: the file is missing or is not JSON; the message names file and line.
    """
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError as e:
        raise SwiftError(f'No such file: {path}') from e
    except (json.JSONDecodeError, UnicodeDecodeError) as e:
        raise SwiftError(f'{path} is not valid JSON: {e}') from e


def write_manifest(folder: Path) -> None:
    """List size and SHA-256 of every file under ``folder`` in ``manifest.json``, last, and flush all to disk."""
    files = {}
    for path in sorted(p for p in folder.rglob('*') if p.is_file() and p.name != MANIFEST):
        with open(path, 'rb') as file:
            os.fsync(file.fileno())
            files[path.relative_to(folder).as_posix()] = {
                'size': path.stat().st_size, 'sha256': hashlib.file_digest(file, 'sha256').hexdigest()}
    write_json(folder / MANIFEST, {'files': files})
    _sync_folder(folder)


def verify_manifest(folder: Path) -> str | None:
    """None when every listed file is there with its size and hash, else what is wrong."""
    if not (folder / MANIFEST).is_file():
        return f'{folder} has no {MANIFEST}: it was never finished'
    try:
        files = {name: (entry['size'], entry['sha256'])
                 for name, entry in read_json(folder / MANIFEST)['files'].items()}
    except (SwiftError, KeyError, TypeError, AttributeError):
        return f'{folder / MANIFEST} is unreadable'
    if not files:
        return f'{folder / MANIFEST} lists no files'
    for name, (size, digest) in files.items():
        path = folder / name
        if not path.is_file():
            return f'{path} is missing'
        if path.stat().st_size != size:
            return f'{path} has {path.stat().st_size} bytes, not {size}'
        if sha256(path) != digest:
            return f'{path} does not have the hash it was written with'
    return None


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary folder beside ``target`` that becomes ``target`` when the block ends without an error.

    An existing ``target`` is replaced. On an error the temporary folder is removed and ``target`` is untouched.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f'{_TEMPORARY}{target.name}-{uuid.uuid4().hex[:8]}')
    temporary.mkdir()
    try:
        yield temporary
        replace_folder(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def replace_folder(source: Path, target: Path) -> None:
    """Rename ``source`` to ``target``; an old ``target`` is moved aside first and removed afterwards."""
    old = target.with_name(f'{_TEMPORARY}{target.name}-old-{uuid.uuid4().hex[:8]}')
    if target.exists():
        os.replace(target, old)
    os.replace(source, target)
    _sync_folder(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Delete a folder; it loses its name in one move, so that nobody finds it half deleted."""
    doomed = folder.with_name(f'{_TEMPORARY}{folder.name}-{uuid.uuid4().hex[:8]}')
    os.replace(folder, doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def remove_leftovers(parent: Path) -> None:
    """Remove what an interrupted write left in ``parent``; a folder moved aside and not replaced comes back."""
    for path in parent.glob(f'{_TEMPORARY}*-old-*'):
        target = parent / path.name.removeprefix(_TEMPORARY).rpartition('-old-')[0]
        if not target.exists():
            os.replace(path, target)
    for path in parent.glob(f'{_TEMPORARY}*'):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
