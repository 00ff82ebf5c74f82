"""Do two models answer alike? Their logits on the same tokens, as three numbers.

It knows models and token ids; where these come from, and what difference is too large, is the caller's business.

Models of 16-bit weights are run in float32 (:func:`in_float32`): rounding of activations would hide ten times what
rounding of weights does, and with it an adapter that was added at nine tenths of its size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from swift.tuners.targets import find_blocks
from swift.utils.errors import UsageError

_BUDGET = 2**27  # bytes of logits that are kept of one model
_POSITIONS = 256
_CHUNK = 32  # positions compared at a time, in float64


@dataclass(frozen=True)
class Difference:
    """What one model's logits differ from another's by.

    Attributes:
        positions: how many tokens were compared.
        largest: largest absolute difference of two logits.
        divergence: mean Kullback-Leibler divergence of the second model's next token from the first's, nats a token.
        agreement: fraction of positions at which both find the same token likeliest.
    """

    positions: int
    largest: float
    divergence: float
    agreement: float

    def __str__(self) -> str:
        return (f'over {self.positions} tokens, logits differ by at most {self.largest:.1e}, mean KL divergence '
                f'{self.divergence:.1e}, likeliest token the same for {100 * self.agreement:.1f} %')


def probe_limit(vocabulary: int) -> int:
    """How many positions are compared: no more than take seconds, and than 128 MiB of logits have."""
    return min(max(_BUDGET // (4 * vocabulary), 32), _POSITIONS)


def cut_probes(rows: Sequence[Sequence[int]], limit: int, longest: int = 48) -> list[list[int]]:
    """The first rows, each cut at ``longest`` ids, that have ``limit`` ids together; the last may be cut shorter."""
    kept: list[list[int]] = []
    for row in rows:
        room = limit - sum(map(len, kept))
        if room > 0 and len(row):
            kept.append(list(map(int, row[:min(longest, room)])))
    return kept


@contextmanager
def in_float32(model: nn.Module) -> Iterator[None]:
    """Inside, every forward of ``model`` computes in float32, on float32 copies of its weights that are made block by
    block and dropped again: no more memory than the model and one such block.

    It holds for a model whose code takes its types from its inputs; one that names a type itself fails with torch's
    own RuntimeError.
    """
    kept: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {}

    def up(unit: nn.Module, *_: object) -> None:
        tensors = [*unit.parameters(), *unit.buffers()]
        kept[unit] = [(tensor, tensor.data) for tensor in tensors if tensor.dtype in (torch.float16, torch.bfloat16)]
        for tensor, original in kept[unit]:
            tensor.data = original.float()

    def down(unit: nn.Module, *_: object) -> None:
        for tensor, original in kept.pop(unit, ()):
            tensor.data = original

    with ExitStack() as stack:
        for unit in _units(model):
            stack.enter_context(unit.register_forward_pre_hook(up))
            stack.enter_context(unit.register_forward_hook(down, always_call=True))
        yield


def _units(model: nn.Module) -> list[nn.Module]:
    """The blocks of a model, and each part beside them as a whole."""
    try:
        path = find_blocks(model).split('.')
    except UsageError:
        return [model]
    units: list[nn.Module] = []
    module = model
    for name in path:
        units += [child for other, child in module.named_children() if other != name]
        module = module.get_submodule(name)
    return [*units, *module.children()]


@torch.no_grad()
def outputs(model: nn.Module, probes: Sequence[Sequence[int]]) -> list[Tensor]:
    """Logits of each probe, float32 [T, vocabulary] on the CPU."""
    return [_logits(model, ids) for ids in probes]


@torch.no_grad()
def difference(expected: Sequence[Tensor], model: nn.Module, probes: Sequence[Sequence[int]]) -> Difference:
    """Compare a model with :func:`outputs` of another one; a probe's logits are made, compared and dropped.

    NaN in the logits of either makes ``divergence`` NaN.
    """
    positions, largest, divergence, same = 0, 0.0, 0.0, 0
    for wanted, ids in zip(expected, probes, strict=True):
        for one, other in zip(wanted.split(_CHUNK), _logits(model, ids).split(_CHUNK), strict=True):
            one, other = one.double(), other.double()  # [t, V]
            logp, logq = one.log_softmax(-1), other.log_softmax(-1)
            divergence += float((logp.exp() * (logp - logq)).sum())
            largest = max(largest, float((one - other).abs().max()))
            same += int((one.argmax(-1) == other.argmax(-1)).sum())
            positions += len(one)
    return Difference(positions, largest, max(divergence / positions, 0.0) if divergence == divergence else divergence,
                      same / positions)


def _logits(model: nn.Module, ids: Sequence[int]) -> Tensor:
    device = model.get_input_embeddings().weight.device
    return model(input_ids=torch.tensor([list(ids)], device=device), use_cache=False).logits[0].float().cpu()
