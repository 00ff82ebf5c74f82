"""Weights of few bits: made while a model is loaded, and the quantised checkpoints that can be used as they are.

It knows the packages that quantise. It doesn't know files, adapters or devices beyond what it is told.

bitsandbytes works through transformers' own ``quantization_config``. HQQ does not with transformers 5.23, whose loader
has no step for it any more: its layers are put in here, once the weights are there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import BitsAndBytesConfig, Mxfp4Config, PreTrainedModel

from swift.llm.args.groups import QuantArgs, TunerArgs
from swift.llm.args.tuner_types import NOT_ON_BNB
from swift.utils.errors import MissingExtraError, UsageError
from swift.utils.extras import available, require
from swift.utils.logging import get_logger

logger = get_logger()

HQQ_GROUP = 64
# what loads a checkpoint of this kind: modules to import, and what is typed to install them
_PACKAGES = {'gptq': (('gptqmodel', 'optimum'), 'gptqmodel optimum'), 'awq': (('gptqmodel',), 'gptqmodel'),
             'compressed-tensors': (('compressed_tensors',), 'compressed-tensors')}
# kinds whose layers pass gradients on to an adapter
_TRAINABLE = ('bitsandbytes', 'gptq', 'awq', 'mxfp4')
_NAMES = {'gptq': 'GPTQ', 'awq': 'AWQ', 'fp8': 'FP8', 'mxfp4': 'MXFP4', 'hqq': 'HQQ'}


def stored_method(config: dict[str, Any]) -> str | None:
    """How the weights of a checkpoint are quantised, as its ``config.json`` says; None is not at all.

    Raises:
        UsageError: it says so in a way that nothing here understands.
    """
    parts = [config, *(config[name] for name in ('text_config', 'llm_config') if isinstance(config.get(name), dict))]
    for part in parts:
        stored = part.get('quantization_config')
        if stored is None:
            continue
        method = stored.get('quant_method') if isinstance(stored, dict) else None
        if method is None and isinstance(stored, dict) and (stored.get('load_in_4bit') or stored.get('load_in_8bit')):
            method = 'bitsandbytes'
        if not isinstance(method, str):
            raise UsageError('config.json has a quantization_config without a quant_method, so that nothing says how '
                             'its weights are to be read. Take the checkpoint from its publisher again.')
        return method
    return None


def check_stored(folder: Path, method: str | None, quant: QuantArgs, *, training: bool, full: bool) -> None:
    """Refuse what a quantised checkpoint can't be used for, before any weight is read.

    Args:
        folder: the checkpoint, for the message.
        method: :func:`stored_method` of it.
        quant: what was asked for.
        training, full: its weights will be under an adapter; will be trained themselves.

    Raises:
        UsageError: it would be quantised twice, trained although it can't, or nothing here reads it.
        MissingExtraError: a package is missing.
    """
    if method is None:
        return
    name = _NAMES.get(method, method)
    if quant.method is not None:
        raise UsageError(f'--quant_bits {quant.quant_bits}: {folder} is quantised already ({name}). Leave the flag '
                         'out, or name the model with its 16-bit weights.')
    if training and full:
        raise UsageError(f'--tuner_type full: {folder} is quantised ({name}), and such weights can not be trained. Use '
                         '--tuner_type lora, or name the model with its 16-bit weights.')
    if training and method not in _TRAINABLE or method == 'hqq':
        raise UsageError(f'{folder} is quantised by {name}, which can not be {"trained on" if training else "loaded"} '
                         'here. Name the model with its 16-bit weights'
                         + (', with --quant_bits 4 or 8 to save memory.' if training else '.'))
    if method == 'bitsandbytes':
        require('bitsandbytes', needed_by=f'{folder} (quantised by bitsandbytes)')
    modules, packages = _PACKAGES.get(method, ((), ''))
    missing = [module for module in modules if not available(module)]
    if missing:
        raise MissingExtraError(f'{folder} is quantised by {name}, and the package {missing[0]!r} is not installed. '
                                f'Install it with: pip install {packages}   (an environment of its own: it wants its '
                                'own version of torch), or name the model with its 16-bit weights.')


def loading_options(quant: QuantArgs, stored: str | None, dtype: torch.dtype, *, training: bool) -> dict[str, Any]:
    """Keyword arguments of ``from_pretrained`` that quantise; empty where nothing does, or :func:`finish` will.

    Args:
        quant: what was asked for.
        stored: :func:`stored_method` of the checkpoint.
        dtype: of what is not quantised; 4-bit weights are multiplied in it unless another type was asked for.
        training: MXFP4 weights are read as 16-bit ones, because their kernels have no backward.

    Raises:
        MissingExtraError: bitsandbytes or HQQ is not installed.
    """
    if quant.method == 'bnb':
        require('bitsandbytes', needed_by=f'--quant_bits {quant.quant_bits}')
    if quant.method == 'hqq' and not available('hqq'):
        raise MissingExtraError(f'--quant_bits {quant.quant_bits} (hqq) needs the package hqq, which is not installed. '
                                'Install it with: pip install hqq')
    if stored == 'mxfp4' and training:
        return {'quantization_config': Mxfp4Config(dequantize=True)}
    if quant.method != 'bnb':
        return {}
    if quant.quant_bits == 8:
        return {'quantization_config': BitsAndBytesConfig(load_in_8bit=True)}
    named = quant.bnb_4bit_compute_dtype
    return {'quantization_config': BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type=quant.bnb_4bit_quant_type,
        bnb_4bit_use_double_quant=quant.bnb_4bit_use_double_quant,
        bnb_4bit_compute_dtype=dtype if named == 'auto' else getattr(torch, named),
        bnb_4bit_quant_storage=quant.bnb_4bit_quant_storage)}


def finish(model: PreTrainedModel, quant: QuantArgs, stored: str | None, dtype: torch.dtype,
           device: torch.device | None = None) -> PreTrainedModel:
    """What is left to do when the weights are there, and a line that says what was quantised.

    Args:
        model: as loaded; changed in place.
        quant, stored, dtype: see :func:`loading_options`.
        device: where a model quantised by HQQ goes, layer by layer; None leaves it where it is.
    """
    if quant.method == 'hqq':
        _put_in_hqq(model, quant, dtype, device)
    if quant.method == 'bnb' or stored == 'bitsandbytes':
        _keep_gradients_on_cpu(model)
    if quant.method is not None:
        layers, share = _quantised(model)
        logger.info('%d linear layers have %d-bit weights (%s): %.0f %% of all weights.', layers, quant.quant_bits,
                    quant.method, 100 * share)
        if share < 0.5:
            logger.warning('Only %.0f %% of the weights are in linear layers that can be quantised; the others '
                           '(experts of a mixture, embeddings) stay as they are.', 100 * share)
    return model


def check_tuner(model: PreTrainedModel, tuner: TunerArgs) -> None:
    """Refuse a method that would compute with packed weights of bitsandbytes as if they were numbers.

    What peft does not know on other quantised layers, it refuses itself.

    Raises:
        UsageError: the method is one of these, or DoRA on 8-bit weights of a CPU, whose scales peft 0.21 loses at the
            second forward.
    """
    kinds = {type(module).__name__ for module in model.modules() if _is_bnb(module)}
    if kinds and tuner.tuner_type in NOT_ON_BNB:
        raise UsageError(f'--tuner_type {tuner.tuner_type} does not work on weights of bitsandbytes; all but '
                         f'{", ".join(NOT_ON_BNB)} do.')
    if 'Linear8bitLt' in kinds and tuner.tuner_type == 'lora' and tuner.use_dora and model.device.type == 'cpu':
        raise UsageError('--use_dora true on 8-bit weights needs a GPU. On a CPU use --quant_bits 4.')


def _is_bnb(module: nn.Module) -> bool:
    return type(module).__name__ in ('Linear4bit', 'Linear8bitLt') and isinstance(module, nn.Linear)


def _keep_gradients_on_cpu(model: PreTrainedModel) -> None:
    """On a CPU with AVX512-BF16, bitsandbytes 0.50 packs a 4-bit layer anew, for good, when it is first used without a
    gradient, and that form has no backward: after one evaluation, adapters below would silently get none. It also
    computes in bf16 whatever was asked for. Its layers have a switch for it each.
    """
    for module in model.modules():
        if type(module).__name__ == 'Linear4bit' and _is_bnb(module):
            module.support_avx512bf16_for_cpu = False


def _put_in_hqq(model: PreTrainedModel, quant: QuantArgs, dtype: torch.dtype, device: torch.device | None) -> None:
    """Replace every linear layer but the output head by one of HQQ, and move the rest to ``device``.

    Raises:
        UsageError: a layer can't be cut into groups.
    """
    from hqq.core.quantize import BaseQuantizeConfig, HQQLinear
    head = model.get_output_embeddings()
    chosen = [(name, module) for name, module in model.named_modules()
              if type(module) is nn.Linear and module is not head]
    for name, module in chosen:
        if module.weight.numel() % HQQ_GROUP or module.weight.shape[1 - quant.hqq_axis] % 8:
            raise UsageError(f'--quant_method hqq: {name} has {tuple(module.weight.shape)} weights, which groups of '
                             f'{HQQ_GROUP} do not divide. Use --quant_method bnb.')
        settings = BaseQuantizeConfig(nbits=quant.quant_bits, group_size=HQQ_GROUP, axis=quant.hqq_axis)
        model.set_submodule(name, HQQLinear(module, settings, compute_dtype=dtype,
                                            device=str(device or module.weight.device)))
    if device is not None:
        model.to(device)


def _quantised(model: nn.Module) -> tuple[int, float]:
    """(layers, fraction of all weights) that were quantised here."""
    sizes = {name: module.in_features * module.out_features for name, module in model.named_modules()
             if _is_bnb(module) or type(module).__name__ == 'HQQLinear'}
    rest = sum(p.numel() for name, p in model.named_parameters() if name.rpartition('.')[0] not in sizes)
    return len(sizes), sum(sizes.values()) / max(sum(sizes.values()) + rest, 1)
