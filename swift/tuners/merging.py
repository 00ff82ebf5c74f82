"""Adding adapters of peft into base weights: in fp32, layer by layer, rounded once, and exactly undone."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import torch
from peft import PeftModel, PeftType
from peft.tuners.osf.layer import OSFLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from swift.utils.errors import NonFiniteError, SwiftError, UsageError

# What they add depends on the input, or is a bias that most layers don't have.
_NOT_IN_WEIGHTS = (PeftType.ADAPTION_PROMPT, PeftType.BEFT, PeftType.LILY, PeftType.SHADOW)

# Base weights of layers that were merged reversibly, on the CPU. In 16 bit a sum that is taken back by subtraction is
# not what it was, and the error would grow with each merge.
_ORIGINALS: WeakKeyDictionary[BaseTunerLayer, dict[str, Tensor]] = WeakKeyDictionary()


def merge_layers(model: nn.Module, adapter_names: Sequence[str]) -> None:
    """Merge into every layer that peft has adapted.

    Raises:
        NonFiniteError: a merged weight would be NaN or Inf.
    """
    for name, layer in adapted_layers(model):
        if not isinstance(layer, OSFLayer):  # these peft adds, and would add again, when it takes its wrappers away
            _merge(name, layer, adapter_names)


def merge_layers_reversibly(model: nn.Module, adapter_names: Sequence[str]) -> None:
    """As :func:`merge_layers`; after an error every layer is as it was."""
    try:
        for name, layer in adapted_layers(model):
            if layer not in _ORIGINALS:
                _ORIGINALS[layer] = {key: weight.detach().to('cpu', copy=True)
                                     for key, weight in layer.get_base_layer().named_parameters()}
            _merge(name, layer, adapter_names)
    except SwiftError:
        unmerge_layers(model)
        raise


def unmerge_layers(model: nn.Module) -> None:
    """Take merged adapters out of every layer; what :func:`merge_layers_reversibly` merged comes back bit-equal."""
    for _, layer in adapted_layers(model):
        if layer.merged:
            layer.unmerge()
        for key, original in _ORIGINALS.pop(layer, {}).items():
            layer.get_base_layer().get_parameter(key).data.copy_(original)


def check_mergeable(model: PeftModel | None, adapter_names: Sequence[str]) -> None:
    """Raises:
        UsageError: one of these adapters has no place in the weights, or the weights are quantised.
    """
    for name in adapter_names:
        config = model.peft_config.get(name) if model is not None else None
        if config is not None and (config.is_prompt_learning or config.peft_type in _NOT_IN_WEIGHTS):
            raise UsageError(f'An adapter of the type {config.peft_type.value.lower()} can not become part of the '
                             'weights. Use it as it is.')
    for name, layer in adapted_layers(model) if model is not None and adapter_names else ():
        if any(not weight.is_floating_point() for weight in layer.get_base_layer().parameters()):
            raise UsageError(f'{name} has quantised weights, which an adapter can not be added to. Load the adapter '
                             'onto the model with its 16-bit weights and merge it there.')


def adapted_layers(model: nn.Module) -> list[tuple[str, BaseTunerLayer]]:
    return [(name, module) for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)]


def untie_embeddings(model: PeftModel) -> None:
    """Give the head a weight of its own where it shares one that an adapter will be merged into.

    An adapter on one of two tied modules changes that one only; merged into the shared weight it would change both.
    """
    for module in _tied_to_adapted(model):
        module.weight = nn.Parameter(module.weight.detach().clone(), requires_grad=module.weight.requires_grad)


def check_untied(model: PeftModel) -> None:
    """Raises:
        UsageError: an adapted module shares its weight with another one, which merging would change too.
    """
    if _tied_to_adapted(model):
        raise UsageError('An adapter is on a module whose weight another one shares (tied embeddings): merged into it, '
                         'it would change both. Swift.merge_and_unload gives each a weight of its own.')


def _tied_to_adapted(model: PeftModel) -> list[nn.Module]:
    base = model.get_base_model()
    layers = [layer for _, layer in adapted_layers(base)]
    inside = {id(part) for layer in layers for part in layer.modules()}
    adapted = {id(layer.get_base_layer().weight) for layer in layers if isinstance(
        layer.get_base_layer(), (nn.Linear, nn.Embedding))}
    return [module for module in base.modules() if id(module) not in inside
            and isinstance(module, (nn.Linear, nn.Embedding)) and id(module.weight) in adapted]


def _merge(name: str, layer: BaseTunerLayer, adapter_names: Sequence[str]) -> None:
    base = layer.get_base_layer()
    types = {id(parameter): parameter.dtype for parameter in layer.parameters()}
    layer.float()
    try:
        layer.merge(safe_merge=True, adapter_names=list(adapter_names))
    except ValueError as e:
        if 'NaN' not in str(e):
            raise SwiftError(f'{name} can not be merged: {e}') from e
        raise NonFiniteError(f'Merging the adapter would give NaN or Inf in {name}; nothing was merged into a '
                             'file.') from e
    finally:
        for parameter in layer.parameters():
            parameter.data = parameter.data.to(types.get(id(parameter), torch.float32))
        base.to(next(iter({types.get(id(p), torch.float32) for p in base.parameters()})))
