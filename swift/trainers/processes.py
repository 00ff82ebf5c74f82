"""Processes that train together: joining them, and agreeing on a number before anything else is shared.

The group is joined early, but no collective is open while models load and data is prepared: ranks wait for prepared
data on a file lock, which knows no time-out.
"""

from __future__ import annotations

import datetime

import torch

from swift.llm.args.groups import TrainArgs
from swift.utils import env
from swift.utils.errors import UsageError


def join_processes(train: TrainArgs) -> None:
    """Start the process group that torchrun's environment describes; nothing when alone.

    Raises:
        UsageError: DeepSpeed without torchrun's environment; it would look for MPI.
    """
    if train.deepspeed and env.local_rank() < 0:
        raise UsageError('--deepspeed runs under torchrun, which the command line starts when --deepspeed is typed or '
                         'NPROC_PER_NODE is above 1.')
    if env.world_size() == 1 or torch.distributed.is_initialized():
        return
    if torch.accelerator.is_available():
        torch.accelerator.set_device_index(env.local_rank() % torch.accelerator.device_count())
    backend = train.ddp_backend or torch.distributed.get_default_backend_for_device(
        torch.accelerator.current_accelerator() or 'cpu')
    torch.distributed.init_process_group(backend, timeout=datetime.timedelta(seconds=train.ddp_timeout))


def agree(value: int) -> int:
    """Rank 0's value, on every rank."""
    if env.world_size() == 1:
        return value
    device = torch.accelerator.current_accelerator() or torch.device('cpu')
    shared = torch.tensor(value, dtype=torch.int64, device=device)
    torch.distributed.broadcast(shared, src=0)
    return int(shared.item())


def wait_for_all() -> None:
    """A barrier; nothing when alone."""
    if env.world_size() > 1:
        torch.distributed.barrier()


def leave_processes() -> None:
    """Leave the group; after a clean end (``wait_for_all``) or an error, when the others can't be waited for."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
