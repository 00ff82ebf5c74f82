"""How wide the hidden states are that a module gives: seen from its layers, nothing is run."""

from __future__ import annotations

from torch import nn

from swift.tuners.targets import is_norm, parameter_size
from swift.utils.errors import UsageError


def width_of(model: nn.Module, name: str, flag: str = 'dim') -> int:
    """The size of the hidden states (channels, for images) that the module ``name`` of ``model`` gives.

    A layer says so itself. A part of a block has the width of the normalisations beside it, a block that of those in
    it: they read what it adds to (of experts, the last layer in the order of definition may be the router). Of any
    other module it is the output of its last layer.

    Args:
        name: full name of the module, empty for the model itself.
        flag: the setting that tells the width, for the message.

    Raises:
        UsageError: it has no layer that says it.
    """
    module = model.get_submodule(name)
    own = _width(module)
    if own is not None:
        return own
    path, _, last = name.rpartition('.')
    beside = module if last.isdigit() else model.get_submodule(path) if name else None
    norms = {_width(child) for child in beside.children() if is_norm(child)} if beside is not None else set()
    if len(norms) == 1 and None not in norms:
        return norms.pop()
    widths = [width for inner in module.modules() if (width := _width(inner)) is not None]
    if not widths:
        raise UsageError(f'How wide the output of {name or type(model).__name__} is can not be seen from its layers; '
                         f'give {flag}.')
    return widths[-1]


def _width(module: nn.Module) -> int | None:
    """The size of the output of one layer; None for a module of another kind."""
    if isinstance(module, nn.Linear):
        return module.out_features
    if isinstance(module, nn.Embedding):
        return module.embedding_dim
    if isinstance(module, nn.modules.conv._ConvNd):
        return module.out_channels
    if isinstance(module, nn.GroupNorm):
        return module.num_channels
    parts = dict(module.named_children())
    if 'base_layer' in parts:  # what peft has put an adapter around
        return _width(parts['base_layer'])
    own = dict(module.named_parameters(recurse=False))
    if type(module).__name__ == 'Conv1D':  # GPT-2's: as many biases as outputs
        return parameter_size(own['bias'])
    return parameter_size(own['weight']) if is_norm(module) and 'weight' in own else None
