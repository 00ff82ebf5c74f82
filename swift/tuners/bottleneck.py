"""The small network of adapters: down to a few numbers, an activation, and up again."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from swift.utils.errors import UsageError
from swift.utils.registry import suggest

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    'gelu': nn.GELU, 'gelu_new': lambda: nn.GELU('tanh'), 'gelu_pytorch_tanh': lambda: nn.GELU('tanh'),
    'relu': nn.ReLU, 'relu6': nn.ReLU6, 'leaky_relu': nn.LeakyReLU, 'silu': nn.SiLU, 'swish': nn.SiLU,
    'mish': nn.Mish, 'tanh': nn.Tanh, 'sigmoid': nn.Sigmoid, 'linear': nn.Identity}


def activation(name: str) -> nn.Module:
    """An activation by the name that transformers gives it.

    Raises:
        UsageError: there is none of this name here.
    """
    if name not in ACTIVATIONS:
        raise UsageError(f'Unknown activation {name!r}.{suggest(name, ACTIVATIONS)} There are: '
                         f'{", ".join(ACTIVATIONS)}.')
    return ACTIVATIONS[name]()


class Bottleneck(nn.Module):
    """``T(x) = W_up act(W_down x + b_down) + b_up`` with W_down ``[length, dim]`` and W_up ``[out or dim, length]``.

    Args:
        dim: size of the hidden states, or number of channels.
        length: size in between.
        act: name of the activation.
        zero_up: T is 0 at the start.
        out: size of the output, by default ``dim``.
    """

    def __init__(self, dim: int, length: int, act: str = 'gelu', *, zero_up: bool = True, out: int | None = None,
                 device: torch.device | None = None) -> None:
        super().__init__()
        if length < 1:
            raise UsageError(f'A bottleneck of length {length}: it takes at least 1.')
        self.down = nn.Linear(dim, length, device=device, dtype=torch.float32)
        self.act = activation(act)
        self.up = nn.Linear(length, dim if out is None else out, device=device, dtype=torch.float32)
        nn.init.xavier_uniform_(self.down.weight)
        nn.init.zeros_(self.down.bias)
        (nn.init.zeros_ if zero_up else nn.init.xavier_uniform_)(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` is ``[..., dim]`` or ``[batch, dim, height, width]``; the result has the type of the weights."""
        return channels_last(x.to(self.up.weight.dtype), lambda rows: self.up(self.act(self.down(rows))))


def channels_last(x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply ``function``, which takes ``[..., channels]``; of four and more dimensions the second are the channels."""
    if x.dim() < 4:
        return function(x)
    return function(x.movedim(1, -1)).movedim(-1, 1)


def added(x: Tensor, correction: Tensor) -> Tensor:
    """``x + correction`` in the type of ``x``, rounded once."""
    return (x + correction).to(x.dtype)
