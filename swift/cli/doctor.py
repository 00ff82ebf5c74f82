"""``swift version`` and ``swift doctor``: what is installed, which devices there are, what is missing or wrong."""

from __future__ import annotations

import importlib.util
import os
import platform
from collections.abc import Sequence

from swift.utils import env
from swift.utils.errors import EXIT_DONE, EXIT_FAILED, UsageError
from swift.utils.extras import EXTRAS, installed_version
from swift.utils.versions import SUPPORTED, installed, requirement, state
from swift.version import __version__


def version_main(argv: Sequence[str]) -> int:
    if argv and argv[0] not in ('-h', '--help'):
        raise UsageError(f'`swift version` takes no arguments, got {argv[0]!r}.')
    print(__version__)
    return EXIT_DONE


def doctor_main(argv: Sequence[str]) -> int:
    """Print the report; the code is 1 when a package of the core is missing or unsupported.

    With ``--kernels`` also compare every kernel with plain PyTorch on this device; the code is 1 when one differs.
    """
    if list(argv) == ['--kernels']:
        return _check_kernels()
    if argv and argv[0] not in ('-h', '--help'):
        raise UsageError(f'`swift doctor` takes --kernels or nothing, got {" ".join(argv)!r}.')
    lines = [f'swift {__version__}, Python {platform.python_version()}, {platform.platform()}', '', 'Core packages:',
             *core_lines(), '', 'Devices:', *device_lines(), '', 'Optional packages:', *optional_lines(), '', 'Places:',
             f'  cache  {env.cache_dir()}', f'  hub    {"Hugging Face" if env.use_hf() else "ModelScope"} (USE_HF)']
    print('\n'.join(lines))
    broken = [e for e in SUPPORTED if state(e, installed(e.package)) in ('missing', 'too old', 'too new')]
    return EXIT_FAILED if broken else EXIT_DONE


def _check_kernels() -> int:
    """A line for each kernel and type of numbers while they are checked; then how it went."""
    import torch

    from swift.kernels.checks import run_checks

    device = torch.accelerator.current_accelerator() or torch.device('cpu')
    print(f'Kernels of swift {__version__} against plain PyTorch {torch.__version__} on {device.type}:')
    failed = ran = 0
    for result in run_checks(device):
        failed += result.problem is not None
        ran += not result.skipped
        state = 'not for this device' if result.skipped else f'WRONG: {result.problem}' if result.problem else 'ok'
        print(f'  {result.name:<28} {str(result.dtype).removeprefix("torch."):<9} {result.seconds:6.1f} s  {state}',
              flush=True)
    if failed:
        print(f'{failed} of {ran} checks failed. Training compares what it uses too, and leaves out what differs.')
        return EXIT_FAILED
    print(f'All of {ran} checks agree.')
    return EXIT_DONE


def core_lines() -> list[str]:
    """Installed against supported and tested versions."""
    lines = []
    for entry in SUPPORTED:
        version = installed(entry.package)
        lines.append(f'  {entry.package:<13} {version or "-":<14} {state(entry, version):<18} '
                     f'supported {requirement(entry)}, tested up to {entry.tested}')
    return lines


def device_lines() -> list[str]:
    lines = [f'  cpu    {os.cpu_count()} cores']
    if importlib.util.find_spec('torch') is None:
        return [*lines, '  torch is not installed, so no other device was looked for']
    import torch

    if not torch.accelerator.is_available():
        return [*lines, '  no GPU or other accelerator that this torch can use']
    kind = torch.accelerator.current_accelerator().type
    for index in range(torch.accelerator.device_count()):
        name, memory = kind, ''
        if kind == 'cuda':
            properties = torch.cuda.get_device_properties(index)
            name, memory = properties.name, f', {properties.total_memory / 2**30:.0f} GiB'
            memory += f', bfloat16 {"yes" if properties.major >= 8 else "no: float16 is used"}'
        lines.append(f'  {kind}:{index} {name}{memory}')
    return lines


def optional_lines() -> list[str]:
    """Each optional package with its version, or with what it would enable and how to install it."""
    lines = []
    for extra in EXTRAS.values():
        for package in extra.packages:
            version, enables = installed_version(package), package.enables or extra.enables
            if version is not None:
                lines.append(f'  {package.name:<13} {version:<14} {enables}')
                continue
            apart = ', in an environment of its own' if extra.own_environment else ''
            lines.append(f"  {package.name:<13} {'-':<14} would enable {enables}: "
                         f"pip install 'ms-swift[{extra.name}]'{apart}")
    return lines
