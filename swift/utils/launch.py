"""One process or many: which command line a training command becomes. Argument lists only, never a shell string.

    NPROC_PER_NODE   processes on this machine (a number, or gpu, cpu, auto)
    NNODES           machines
    NODE_RANK        this machine among them, from 0
    MASTER_ADDR      address of machine 0
    MASTER_PORT      its port

This process is replaced by the launcher (exec), so signals reach it directly and its exit code is ours. torchrun
itself ends with 1 whatever its workers ended with, and with a traceback on Ctrl-C; ``swift.cli.torchrun`` runs it and
ends with the worker's own code.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from swift.utils.errors import UsageError

TRAINING_COMMANDS = ('sft', 'pt')
LAUNCHER = 'swift.cli.torchrun'


def is_worker(environ: Mapping[str, str]) -> bool:
    """Whether this process was itself started by torchrun."""
    return 'LOCAL_RANK' in environ


def free_port() -> int:
    """A TCP port that nobody listens on, so that two runs on one machine do not meet."""
    with socket.socket() as listener:
        listener.bind(('', 0))
        return listener.getsockname()[1]


def build_command(command: str, argv: Sequence[str], environ: Mapping[str, str],
                  find_port: Callable[[], int] = free_port, *, always: bool = False) -> list[str] | None:
    """The command line that trains with several processes, or None when this process does the work.

    Args:
        command: a subcommand.
        argv: its arguments, already checked.
        environ: where the variables are looked up.
        find_port: finds a port when one machine trains and MASTER_PORT is not set.
        always: launch a single process, too, because it needs the launcher's environment (DeepSpeed).

    Raises:
        UsageError: a variable has no usable value, or one that several machines need is missing.
    """
    if command not in TRAINING_COMMANDS or is_worker(environ):
        return None
    processes, nodes = environ.get('NPROC_PER_NODE') or '1', environ.get('NNODES') or '1'
    if processes not in ('gpu', 'cpu', 'auto'):
        processes = str(_number('NPROC_PER_NODE', processes, 1))
    nodes = str(_number('NNODES', nodes, 1))
    if processes == '1' and nodes == '1' and not always:
        return None
    where = _one_machine(environ, find_port) if nodes == '1' else _several_machines(nodes, environ)
    return [sys.executable, '-m', LAUNCHER, '--nproc_per_node', processes, *where, '-m', f'swift.cli.{command}', *argv]


def _one_machine(environ: Mapping[str, str], find_port: Callable[[], int]) -> list[str]:
    port = environ.get('MASTER_PORT')
    port = str(_number('MASTER_PORT', port, 1)) if port else str(find_port())
    return ['--master_addr', environ.get('MASTER_ADDR') or '127.0.0.1', '--master_port', port]


def _several_machines(nodes: str, environ: Mapping[str, str]) -> list[str]:
    missing = [name for name in ('NODE_RANK', 'MASTER_ADDR') if not environ.get(name)]
    if missing:
        raise UsageError(f'NNODES={nodes} needs {" and ".join(missing)}: the number of this machine (from 0) and the '
                         'address of machine 0, the same on all.')
    rank = _number('NODE_RANK', environ['NODE_RANK'], 0)
    if rank >= int(nodes):
        raise UsageError(f'NODE_RANK={rank} is not below NNODES={nodes}; machines are numbered from 0.')
    words = ['--nnodes', nodes, '--node_rank', str(rank), '--master_addr', environ['MASTER_ADDR']]
    if environ.get('MASTER_PORT'):
        words += ['--master_port', str(_number('MASTER_PORT', environ['MASTER_PORT'], 1))]
    return words


def _number(name: str, text: str, low: int) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < low:
        raise UsageError(f'{name}={text!r} must be a whole number of at least {low}.')
    return int(text)


def replace_process(command: Sequence[str]) -> NoReturn:
    """Become ``command``: same process id, so signals and the exit code need no forwarding."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execvpe(command[0], list(command), os.environ)
