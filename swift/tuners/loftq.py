"""LoftQ (Li et al. 2023): a LoRA that starts as what quantisation took away from the frozen weights.

``Q x + s B A x`` with Q [out, in] the numbers that the quantised weight stands for, A [r, in], B [out, r], s the scale
of the adapter. s B A begins as the best approximation of rank r of the error ``R = W - Q``; in the Frobenius norm that
is its truncated SVD: ``R = U S V^T``, ``B = U_r (S_r / s)^1/2``, ``A = (S_r / s)^1/2 V_r^T``. So Q + s B A is nearer to
W than Q. This is the paper's method with one iteration; further ones would quantise W - s B A anew.

Such an adapter belongs to Q and not to W: on whole weights it would add the error instead of making up for it. Its file
therefore says which quantised weights it was made for, and it is refused on others.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path

import torch
from peft import LoraConfig, PeftConfig, PeftModel
from peft.tuners.lora import LoraLayer
from peft.utils.integrations import dequantize_bnb_weight
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from swift.utils.errors import SwiftError, UsageError

Weights = Callable[[str], Tensor]
_KIND = 'swift_quantised_base'  # in the metadata of a weights file: the quantised weights that it is for
_WEIGHTS = 'adapter_model.safetensors'
_OTHER_WEIGHT = 0.75  # |W - Q| / |W| above which Q can't come from W: 4 bits give 0.1, two unrelated weights 1.4

# model -> adapter -> its configuration, and the kind of quantised weights that it makes up for
_kinds: weakref.WeakKeyDictionary[nn.Module, dict[str, tuple[PeftConfig, str]]] = weakref.WeakKeyDictionary()


def check_config(config: PeftConfig) -> None:
    """Raises:
        UsageError: the start can't be computed for such an adapter.
    """
    if not isinstance(config, LoraConfig) or config.init_lora_weights is not True:
        raise UsageError('weights are for a LoraConfig with init_lora_weights=True: they make its start that of LoftQ.')
    if config.use_dora:
        raise UsageError('The start loftq does not go with DoRA, which takes its magnitudes from the weights without '
                         'it. Leave one of the two out.')


@torch.no_grad()
def begin_near(model: PeftModel, adapter: str, weights: Weights) -> None:
    """Let a new LoRA make up for the quantisation of its layers; those that are not quantised keep their start.

    Args:
        model: with the adapter, whose B is zero.
        weights: name of a parameter in the model without adapters -> the weight [out, in] that was quantised; asked
            for one layer after another.

    Raises:
        UsageError: no layer of the adapter is quantised.
        SwiftError: a weight is not the one that was quantised.
    """
    kinds = set()
    for name, layer in model.named_modules():
        if not isinstance(layer, LoraLayer) or adapter not in layer.lora_A:
            continue
        base = layer.get_base_layer()
        kind = quantised_kind(base)
        if kind is None:
            continue
        kinds.add(kind)
        name = f'{name.removeprefix("base_model.model.")}.weight'
        a, b = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
        quantised = dequantised(base)
        weight = weights(name).to(quantised.device, torch.float32)
        error = weight - quantised if weight.shape == quantised.shape else None
        if error is None or not error.norm() <= _OTHER_WEIGHT * weight.norm():
            raise SwiftError(f'The weight that was read for {name}, {list(weight.shape)}, is not the one that was '
                             'quantised. Take the start true.')
        first_a, first_b = best_of_rank(error, len(a), layer.scaling[adapter])
        # a rank above that of the layer: what is left over keeps its random A and its zero B
        a[:len(first_a)] = first_a.to(a)
        b[:, :len(first_a)] = first_b.to(b)
    if not kinds:
        raise UsageError('The start loftq makes up for quantisation, and no layer with an adapter is quantised. Load '
                         'the model with --quant_bits 4 or 8, or take the start true.')
    _kinds.setdefault(model, {})[adapter] = model.peft_config[adapter], ', '.join(sorted(kinds))


def best_of_rank(error: Tensor, rank: int, scale: float) -> tuple[Tensor, Tensor]:
    """(A [k, in], B [out, k]) with ``scale B A`` the best approximation of ``error`` [out, in] of rank k, which is
    ``rank`` or what the matrix has."""
    u, s, vh = torch.linalg.svd(error, full_matrices=False)
    root = (s[:rank] / scale).sqrt()
    return root[:, None] * vh[:rank], u[:, :rank] * root


def quantised_kind(layer: nn.Module) -> str | None:
    """What tells the numbers of one quantised layer from those of another one: ``nf4``, ``int8`` ...; None if it is
    not quantised by bitsandbytes or HQQ."""
    match type(layer).__name__:
        case 'Linear4bit':
            return layer.weight.quant_type + (' with quantised scales' if layer.weight.quant_state.nested else '')
        case 'Linear8bitLt':
            return 'int8'
        case 'HQQLinear':
            return f'hqq with {layer.quant_config["weight_quant_params"]["nbits"]} bits'
    return None


def dequantised(layer: nn.Module) -> Tensor:
    """The numbers [out, in] that a layer with a :func:`quantised_kind` computes with, in fp32."""
    match type(layer).__name__:
        case 'HQQLinear':
            return layer.dequantize().float()
        case 'Linear8bitLt':
            # the first forward moves the scales from the weight to the layer
            scales = layer.state.SCB if layer.weight.SCB is None else layer.weight.SCB
            return layer.weight.data.float() * scales.to(layer.weight.device)[:, None] / 127
    return dequantize_bnb_weight(layer.weight).float()


# ------------------------------------------------------------------------------------------------------------- files

def mark(model: PeftModel, folder: Path) -> None:
    """Note in the adapters that peft has just saved in ``folder`` what they are for; others are left alone."""
    for adapter, (config, kind) in _kinds.get(model, {}).items():
        path = (folder if adapter == 'default' else folder / adapter) / _WEIGHTS
        # not one that took the name of an adapter that is gone
        if path.is_file() and model.peft_config.get(adapter) is config:
            save_file(load_file(path), path, metadata={'format': 'pt', _KIND: kind})


def base_of(folder: Path) -> str | None:
    """The kind of quantised weights that the adapter in ``folder`` makes up for; None if it has no such start."""
    if not (folder / _WEIGHTS).is_file():
        return None
    with safe_open(folder / _WEIGHTS, framework='pt') as file:
        return (file.metadata() or {}).get(_KIND)


def check_base(folder: Path, model: nn.Module) -> None:
    """Raises:
        UsageError: the adapter in ``folder`` makes up for another quantisation than that of ``model``.
    """
    wanted = base_of(folder)
    if wanted is None:
        return
    found = {kind for module in model.modules() if (kind := quantised_kind(module))}
    if not set(wanted.split(', ')) <= found:
        kinds = ', '.join(sorted(found)) or 'not quantised'
        raise UsageError(f'The adapter in {folder} started by LoftQ: it makes up for what quantisation to {wanted} '
                         f'took away, and the weights of this model are {kinds}. Load it with the --quant_bits that '
                         'the adapter was trained with.')


def remember(model: nn.Module, folder: Path, adapter: str = 'default') -> None:
    """Note that ``adapter`` goes on from the one in ``folder``, so that what is saved says what it is for."""
    kind = base_of(folder)
    inner = next((module for module in model.modules() if isinstance(module, PeftModel)), None)
    if kind is not None and inner is not None:
        _kinds.setdefault(inner, {})[adapter] = inner.peft_config[adapter], kind
