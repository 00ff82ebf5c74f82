"""Starts of LoRA that look at the weights or at data, and adapters that fit the base model whatever their start.

``W x + s B A x`` with W [out, in] frozen, A [r, in], B [out, r]. peft computes the starts:

* pissa (Meng et al. 2024), olora (Büyükakyüz 2024): A0, B0 from the SVD or QR of W.
* corda (Yang et al. 2024): from the SVD of W C, with C the covariance of the layer's inputs over rows of data.
* lora_ga (Wang et al. 2024): from the SVD of the gradient of W over rows of data.
* eva (Paischer et al. 2024): A from the SVD of the layer's inputs, ranks moved to the layers that explain most; B = 0.

All but eva take their start out of the base, ``W' = W - s B0 A0``, so that the model begins as it was. A file with A
and B alone would then belong to a base model that nobody has. What is written here is a plain LoRA of rank 2r for W
itself, ``[B, -B0] [A; A0] = B A - B0 A0``. Both halves are in the file, so a run goes on from it as well: ``resume``
takes them apart and makes W' again, in the very arithmetic of the start.
"""

from __future__ import annotations

import copy
import math
import re
import warnings
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from peft import (
    LoraConfig,
    PeftConfig,
    PeftModel,
    initialize_lora_eva_weights,
    set_peft_model_state_dict,
)
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.loraga import preprocess_loraga
from peft.tuners.tuners_utils import check_target_module_exists
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from swift.tuners import loftq
from swift.utils.errors import SwiftError, UsageError
from swift.utils.files import read_json, write_json

Batches = Sequence[dict[str, Tensor]]
_CHANGES_BASE = re.compile(r'pissa(_niter_\d+)?|olora|corda|lora_ga')
_NEEDS_DATA = ('eva', 'corda', 'lora_ga')
_START = 'swift_start'  # in the metadata of a weights file: the start that its second halves are
_CONFIG, _WEIGHTS = 'adapter_config.json', 'adapter_model.safetensors'
_EVA_PASSES = 50

# model -> adapter -> layer -> (A0, B0) in fp32 on the CPU, of adapters whose start was taken out of the base
_initial: weakref.WeakKeyDictionary[nn.Module, dict[str, dict[str, tuple[Tensor, Tensor]]]] = \
    weakref.WeakKeyDictionary()


def start_of(config: PeftConfig | None) -> str:
    """The name of the start of a LoRA that is computed from weights or data, '' for all other configurations."""
    start = config.init_lora_weights if isinstance(config, LoraConfig) else True
    return start if isinstance(start, str) and (_CHANGES_BASE.fullmatch(start) or start in _NEEDS_DATA) else ''


def begin(model: nn.Module, config: PeftConfig, batches: Batches | None) -> dict[str, Tensor]:
    """What a start needs before the adapter is made; nothing for other configurations.

    Args:
        model: the model before it gets the adapter.
        batches: for eva, corda and lora_ga. Keyword arguments of the forward: ``input_ids`` and ``labels`` [B, T],
            ``attention_mask`` [B, T] where rows are padded.

    Returns:
        For :func:`finish`: copies, on the CPU, of half-precision weights that the start is about to change. peft takes
        the start out of them in fp32 and then rounds the adapter, which :func:`finish` sets right.

    Raises:
        UsageError: the start needs data and there is none, or is to change weights that are quantised.
    """
    _look_at_data(model, config, batches)
    start = start_of(config)
    if not _CHANGES_BASE.fullmatch(start):
        return {}
    targets = {name: module.weight for name, module in model.named_modules()
               if _is_linear(module) and check_target_module_exists(config, name)}
    for name, weight in targets.items():
        if not weight.is_floating_point():
            raise UsageError(f'The start {start} changes the frozen weights, and {name} is quantised: what is left of '
                             'it could not be stored. Take the start true, or weights of 16 bits.')
    return {name: weight.detach().to('cpu', copy=True) for name, weight in targets.items()
            if weight.dtype != torch.float32}


def _look_at_data(model: nn.Module, config: PeftConfig, batches: Batches | None) -> None:
    start = start_of(config)
    if start not in _NEEDS_DATA:
        return
    if not batches:
        raise UsageError(f'The start {start} looks at data: pass batches to Swift.prepare_model (--init_weights does '
                         'that with the first training rows).')
    device = next(model.parameters()).device
    moved = ({name: tensor.to(device) for name, tensor in batch.items()} for batch in batches)
    if start == 'corda':
        _corda(model, config, moved)
    elif start == 'lora_ga':
        def step() -> None:
            for batch in moved:
                model(**batch).loss.backward()
        with warnings.catch_warnings():  # token ids have no gradient, so hooks at the first layers see outputs only
            warnings.filterwarnings('ignore', message='Full backward hook is firing')
            preprocess_loraga(model, config, step)


def finish(model: PeftModel, adapter: str, batches: Batches | None, originals: dict[str, Tensor]) -> None:
    """What a start wants once the adapter is there: eva its data, the others that A0 and B0 are remembered.

    Raises:
        UsageError: eva sees too little in the data.
    """
    start = start_of(model.peft_config[adapter])
    if start == 'eva':
        _eva(model, adapter, batches)
    if not _CHANGES_BASE.fullmatch(start):
        return
    initial = {}
    for name, layer in model.named_modules():
        if isinstance(layer, LoraLayer) and adapter in layer.lora_A:
            a, b = layer.lora_A[adapter].weight.detach(), layer.lora_B[adapter].weight.detach()
            initial[name] = a.float().cpu().clone(), b.float().cpu().clone()
            original = originals.get(name.removeprefix('base_model.model.'))
            if original is not None:
                layer.get_base_layer().weight.data.copy_(original)
                _take_out(layer, *initial[name], layer.scaling[adapter], start)
    _initial.setdefault(model, {})[adapter] = initial


@torch.no_grad()
def _corda(model: nn.Module, config: LoraConfig, batches: Iterable[dict[str, Tensor]]) -> None:
    """Leave on each target layer what peft's start takes from there: the r outermost triples of the SVD of W C.

    C [in, in] is the mean of X^T X over batches, X [positions, in] scaled to a largest value of 1, and is damped until
    its inverse is one: ``W C = U S V^T``, so ``W = U S (V^T C^-1)``. (peft's own preparation does the same, and wants a
    package that it does not install.)
    """
    targets = {name: module for name, module in model.named_modules() if _is_linear(module)
               and check_target_module_exists(config, name)}
    sums: dict[str, Tensor] = {}
    mask: Tensor | None = None

    def count(name: str, inputs: Tensor) -> None:
        x = inputs.float()[mask]
        x = x / x.max().abs()
        sums[name] = sums.get(name, 0) + x.T @ x

    handles = [module.register_forward_pre_hook(lambda _, inputs, name=name: count(name, inputs[0]))
               for name, module in targets.items()]
    number, was_training = 0, model.training
    model.eval()
    for batch in batches:
        mask, number = batch.get('attention_mask', torch.ones_like(batch['input_ids'])).bool(), number + 1
        model(input_ids=batch['input_ids'], attention_mask=batch.get('attention_mask'))
    model.train(was_training)
    for handle in handles:
        handle.remove()
    for name, module in targets.items():
        key = next((key for key in config.rank_pattern if re.fullmatch(rf'(.*\.)?({key})', name)), None)
        rank = config.rank_pattern.get(key, config.r)
        largest = config.corda_config.corda_method == 'ipm'
        module.eigens = _outermost(module, sums.pop(name) / number, rank, largest=largest)


def _outermost(module: nn.Module, covariance: Tensor, rank: int, *, largest: bool) -> SimpleNamespace:
    """U [out, r], S [r] and V [in, r] under the names that peft's start reads."""
    weight = module.weight.float().T if _is_transposed(module) else module.weight.float()
    identity, damp = torch.eye(len(covariance), device=covariance.device), 0.01
    while True:
        damped = covariance + identity * covariance.diag().mean() * damp
        inverse = torch.linalg.inv(damped)
        if torch.dist(damped @ inverse, identity) < 0.05:
            break
        damp *= 2
    u, s, vh = torch.linalg.svd(weight @ damped, full_matrices=False)
    v = (vh @ inverse).T
    chosen = slice(None, rank) if largest else slice(len(s) - rank, None)
    return SimpleNamespace(U_WC=u[:, chosen].clone(), S_WC=s[chosen].clone(), V_WC=v[:, chosen].clone())


def _eva(model: PeftModel, adapter: str, batches: Batches | None) -> None:
    config = model.peft_config[adapter]
    most = max([config.r, *config.rank_pattern.values()])
    components = round(most * config.eva_config.rho)
    usable = [batch for batch in batches or () if int(_seen(batch, config).sum()) >= components]
    if not usable:
        raise UsageError(f'The start eva needs batches with at least {components} trained tokens (rank {most} times '
                         f'rho {config.eva_config.rho:g}), and there is none. Lower --lora_rank or --eva_rho, or raise '
                         '--eva_batch_size.')
    forwards = 0

    def forward(model: nn.Module, batch: dict[str, Tensor]) -> Any:
        nonlocal forwards
        forwards += 1
        if forwards > _EVA_PASSES * len(usable):
            raise UsageError(f'The start eva did not settle in {_EVA_PASSES} passes over {len(usable)} batches: rows '
                             'are too few or too alike. Raise --eva_rows, or lower --lora_rank or --eva_rho.')
        return model(**batch)

    initialize_lora_eva_weights(model, usable, forward_fn=forward, adapter_name=adapter,
                                gather_distributed_inputs=False, show_progress_bar=False)


def _seen(batch: dict[str, Tensor], config: LoraConfig) -> Tensor:
    """The positions of a batch that peft's eva looks at, bool [B, T]."""
    mask = batch.get('attention_mask', torch.ones_like(batch['input_ids'])).bool()
    return mask & (batch['labels'] != -100) if config.eva_config.use_label_mask and 'labels' in batch else mask


# ------------------------------------------------------------------------------------------------------------- files

def fit_to_base(model: nn.Module, folder: Path) -> None:
    """Rewrite what peft has just saved in ``folder`` so that it belongs to the base model as it was before the start.

    The adapter ``default`` is in the folder itself, others are in sub-folders of their names. Adapters without such a
    start, and those that were not saved there, are left alone. What a LoftQ start made up for is noted in the file.
    """
    wrapped = _peft_part(model)
    if wrapped is not None:
        loftq.mark(wrapped, folder)
    for adapter, initial in _initial.get(wrapped, {}).items() if wrapped is not None else ():
        place, start = folder if adapter == 'default' else folder / adapter, start_of(wrapped.peft_config.get(adapter))
        if start and (place / _WEIGHTS).is_file():  # not one that took the name of an adapter that is gone
            _add_halves(place, initial, start)


def _add_halves(place: Path, initial: dict[str, tuple[Tensor, Tensor]], start: str) -> None:
    state = load_file(place / _WEIGHTS)
    for name, (first_a, first_b) in initial.items():
        a, b = state[f'{name}.lora_A.weight'], state[f'{name}.lora_B.weight']
        # in fp32 though the adapter may be narrower: the base was changed by the exact product
        state[f'{name}.lora_A.weight'] = torch.cat([a.float(), first_a], dim=0)
        state[f'{name}.lora_B.weight'] = torch.cat([b.float(), -first_b], dim=1)
    for key in [key for key in state if re.search(r'lora_embedding_[AB]$', key)]:  # one rank is for all
        state[key] = torch.cat([state[key], torch.zeros_like(state[key])], dim=0 if key.endswith('A') else 1)
    save_file(state, place / _WEIGHTS, metadata={'format': 'pt', _START: start})
    config = read_json(place / _CONFIG)
    twice = math.sqrt(2) if config['use_rslora'] else 2  # alpha / sqrt(r) or alpha / r stays what it was
    config |= {'init_lora_weights': True, 'corda_config': None, 'lora_ga_config': None, 'r': 2 * config['r'],
               'lora_alpha': twice * config['lora_alpha'],
               'rank_pattern': {key: 2 * rank for key, rank in config['rank_pattern'].items()},
               'alpha_pattern': {key: twice * alpha for key, alpha in config['alpha_pattern'].items()}}
    write_json(place / _CONFIG, config)


def config_to_resume(config: PeftConfig, folder: Path) -> PeftConfig:
    """The configuration of a run that goes on from ``folder``: nothing of the start is computed again, and ranks that
    data have chosen (eva) are those in the folder."""
    start = start_of(config)
    if not start:
        return config
    config = copy.copy(config)
    config.init_lora_weights, config.eva_config, config.corda_config, config.lora_ga_config = True, None, None, None
    if start == 'eva':
        saved = read_json(folder / _CONFIG)
        config.target_modules = set(saved['target_modules'])
        config.rank_pattern, config.alpha_pattern = saved['rank_pattern'], saved['alpha_pattern']
    return config


def resume(model: nn.Module, folder: Path, adapter: str = 'default') -> bool:
    """Go on from an adapter that :func:`fit_to_base` wrote: put its trained half into ``model``, change the base as the
    start did.

    Args:
        model: made with :func:`config_to_resume`, on the base model as it is on disk.

    Returns:
        Whether it was such an adapter; if not, nothing was done.

    Raises:
        SwiftError: its layers are not those of the model.
    """
    model = _peft_part(model)
    if model is None or not (folder / _WEIGHTS).is_file():
        return False
    with safe_open(folder / _WEIGHTS, framework='pt') as file:
        start = (file.metadata() or {}).get(_START)
    if start is None:
        return False
    state = load_file(folder / _WEIGHTS)
    initial = {}
    for name, layer in model.named_modules():
        if isinstance(layer, LoraLayer) and adapter in layer.lora_embedding_A:
            r = layer.r[adapter]
            state[f'{name}.lora_embedding_A'] = state[f'{name}.lora_embedding_A'][:r]
            state[f'{name}.lora_embedding_B'] = state[f'{name}.lora_embedding_B'][:, :r]
        elif isinstance(layer, LoraLayer) and adapter in layer.lora_A:
            a, b, r = state.get(f'{name}.lora_A.weight'), state.get(f'{name}.lora_B.weight'), layer.r[adapter]
            if a is None or b is None or len(a) != 2 * r:
                raise SwiftError(f'{folder} can not be resumed: it has no adapter of rank {r} for {name}.')
            state[f'{name}.lora_A.weight'], state[f'{name}.lora_B.weight'] = a[:r], b[:, :r]
            initial[name] = (a[r:].clone(), -b[:, r:])
            _take_out(layer, *initial[name], layer.scaling[adapter], start)
    set_peft_model_state_dict(model, state, adapter_name=adapter)
    _initial.setdefault(model, {})[adapter] = initial
    model.peft_config[adapter].init_lora_weights = start  # so that the next file is written as this one was
    return True


@torch.no_grad()
def _take_out(layer: LoraLayer, a: Tensor, b: Tensor, scale: float, start: str) -> None:
    """``W' = W - s B0 A0`` in the order of operations of peft's start, so that W' is the same to the last bit."""
    base = layer.get_base_layer()
    weight, a, b = base.weight, a.to(base.weight.device), b.to(base.weight.device)
    delta = scale * (b @ a) if start == 'lora_ga' else scale * b @ a
    delta = delta.T if _is_transposed(base) else delta
    weight.copy_((weight.float() - delta).to(weight.dtype))


def _peft_part(model: nn.Module) -> PeftModel | None:
    return next((module for module in model.modules() if isinstance(module, PeftModel)), None)


def _is_transposed(module: nn.Module) -> bool:
    """GPT-2's ``Conv1D``, a linear layer with W [in, out]."""
    return type(module).__name__ == 'Conv1D'


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or _is_transposed(module)
