"""What ``test_tuners`` looks at from outside its own process: ``python tuner_child.py FOLDER``.

FOLDER has the base model and ``adapter-METHOD`` with its logits. For each method a line ``fresh METHOD True`` says that
the adapter loaded here gives those logits to the last bit; then two processes train each method under DDP, and
``ddp METHOD True`` says that the averaged gradients are those of one process on all rows, in two steps.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file
from torch.nn.parallel import DistributedDataParallel
from transformers import LlamaForCausalLM

from swift.tuners.api import Swift
from tests.conformance.test_tuners import IDS, logits, prepared, trained


def loaded_afresh(folder: Path) -> bool:
    base = LlamaForCausalLM.from_pretrained(folder.parent / 'base').eval()
    model = Swift.from_pretrained(base, folder).eval()
    return torch.equal(logits(model), load_file(folder / 'logits.safetensors')['logits'])


def loss(model, ids: torch.Tensor) -> torch.Tensor:
    output = model(input_ids=ids).logits[:, -ids.shape[1]:]
    return torch.nn.functional.cross_entropy(output[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def averaged(method: str, rank: int) -> bool:
    """In two steps under DDP, a row for each process, the gradients are those of both rows in one process."""
    models = prepared(method).train(), prepared(method).train()
    calls = models[0], DistributedDataParallel(models[1])
    for _ in range(2):  # a parameter that got no gradient is noticed in the second one
        gradients = []
        for model, call, ids in zip(models, calls, (IDS, IDS[rank:rank + 1]), strict=True):
            weights = list(trained(model).values())
            for weight in weights:
                weight.grad = None
            loss(call, ids).backward()
            gradients.append(torch.cat([weight.grad.flatten() for weight in weights]))
            torch.optim.SGD(weights, lr=0.1).step()
    return bool((gradients[0] - gradients[1]).norm() < 1e-4 * gradients[0].norm())


def train_two(rank: int, folder: str, methods: list[str]) -> None:
    dist.init_process_group('gloo', init_method=f'file://{folder}/meeting', rank=rank, world_size=2)
    for method in methods:
        try:
            result = str(averaged(method, rank))
        except RuntimeError as e:
            result = str(e).splitlines()[0]
        if rank == 0:
            print('ddp', method, result, flush=True)
    dist.destroy_process_group()


def main(folder: Path) -> None:
    logging.disable(logging.INFO)
    places = sorted(folder.glob('adapter-*'))
    names = [place.name.removeprefix('adapter-') for place in places]
    for name, place in zip(names, places, strict=True):
        print('fresh', name, loaded_afresh(place), flush=True)
    # nothing ran on several threads so far: forked, both have all imports already
    mp.start_processes(train_two, (str(folder), names), nprocs=2, start_method='fork')


if __name__ == '__main__':
    main(Path(sys.argv[1]))
