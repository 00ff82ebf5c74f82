"""The one place where an optimizer is chosen: parameter groups, and which class steps them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor
from transformers import TrainingArguments

from swift.kernels.adamw import choose_backend
from swift.llm.args.optimizing import OptimizingArgs, own_optimizer, steps_in_backward
from swift.trainers.adamw import AdamW
from swift.tuners.api import base_model
from swift.tuners.optimizers.apollo import Apollo
from swift.tuners.optimizers.galore import GaLoreAdamW
from swift.tuners.optimizers.muon import MuonAdamW
from swift.tuners.optimizers.q_galore import QGaLoreAdamW
from swift.tuners.schedules import BlockSchedule, badam, lisa
from swift.tuners.targets import embedding_names, linear_names
from swift.utils.errors import UsageError
from swift.utils.logging import get_logger

logger = get_logger()

Group = dict[str, Any]

# By --optim: what our AdamW keeps moments in and that it rounds stochastically. Its other names have torch's numbers:
# moments in the type of each weight, rounded to nearest.
_STOCHASTIC = {'adamw_bf16': torch.bfloat16, 'adamw_sr': torch.float32}


@dataclass(frozen=True)
class OptimizerPlan:
    """What was asked for.

    Attributes:
        optim: the value of ``--optim``; None takes :func:`default_optimizer`.
        settings: of the optimizers that are ours.
        lora_plus_ratio: learning rate of LoRA's B matrices over that of A (LoRA+), None for one rate.
        lora_plus_embedding_lr: with LoRA+, the learning rate of adapters on embeddings.
    """

    optim: str | None
    settings: OptimizingArgs
    lora_plus_ratio: float | None = None
    lora_plus_embedding_lr: float = 1e-6


def make_optimizer(model: nn.Module, plan: OptimizerPlan, arguments: TrainingArguments, *, decayed: Collection[str],
                   usual: Callable[[], tuple[type[torch.optim.Optimizer], dict[str, Any]]],
                   ) -> torch.optim.Optimizer | None:
    """The optimizer of a run, over the parameters that need a gradient; None where the Trainer's own way is right.

    Args:
        arguments: give the learning rate, weight decay and Adam's numbers.
        decayed: names of parameters that get weight decay.
        usual: class and options of the optimizer that ``--optim`` names in transformers.

    Raises:
        UsageError: nothing that the optimizer is for is trained.
    """
    own, sharded = own_optimizer(plan.optim, plan.settings), bool(arguments.deepspeed or arguments.fsdp)
    optim = own or plan.optim or default_optimizer(model, sharded=sharded)
    in_backward = steps_in_backward(plan.optim, plan.settings)
    rates, is_decayed = _learning_rates(plan, arguments.learning_rate), set(decayed)

    def groups(is_special: Callable[[nn.Parameter], bool] = lambda parameter: False, **special: Any) -> list[Group]:
        return parameter_groups(model, lambda name, parameter: {
            'lr': rates(name), 'weight_decay': arguments.weight_decay if name in is_decayed else 0.0,
            **(special if is_special(parameter) else {})})

    adam = {'betas': (arguments.adam_beta1, arguments.adam_beta2), 'eps': arguments.adam_epsilon}
    as_torch = own is None and (in_backward or optim == 'adamw_torch' and not sharded and _on_cuda(model))
    if optim in _STOCHASTIC or as_torch:
        return _adamw(optim, groups(), adam, arguments.seed, in_backward=in_backward)
    if own is None:
        if plan.lora_plus_ratio is None:
            return None
        optimizer_class, options = usual()
        return optimizer_class(groups(), **options)
    chosen = _matrices(model, plan.settings if own == 'galore' else OptimizingArgs())
    if own == 'muon':
        settings = plan.settings
        return MuonAdamW(groups(lambda parameter: id(parameter) in chosen, muon=True), momentum=settings.muon_momentum,
                         ns_steps=settings.muon_ns_steps, adjust_lr=settings.muon_adjust_lr, **adam)
    rank = plan.settings.galore_rank if own == 'galore' else _apollo(plan)['rank']
    with_rank = groups(lambda parameter: id(parameter) in chosen, rank=rank)
    logger.info('%s: %d of %d parameters are matrices that are projected to rank %d.', own,
                sum(len(group['params']) for group in with_rank if 'rank' in group),
                sum(len(group['params']) for group in with_rank), rank)
    if own == 'galore':
        optimizer = _galore(with_rank, plan.settings, adam)
        if in_backward:
            optimizer.step_in_backward()
        return optimizer
    return Apollo(with_rank, seed=arguments.seed, **{**_apollo(plan), 'rank': 0}, **adam)


def default_optimizer(model: nn.Module, *, sharded: bool) -> str:
    """``--optim`` where it was not typed. bfloat16 weights that are rounded to nearest lose the steps of a usual
    learning rate; DeepSpeed and FSDP keep float32 weights of their own."""
    trained = {parameter.dtype for parameter in model.parameters() if parameter.requires_grad}
    return 'adamw_bf16' if torch.bfloat16 in trained and not sharded else 'adamw_torch'


def _on_cuda(model: nn.Module) -> bool:
    """Whether every weight that is trained is a whole tensor on a GPU."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return all(parameter.is_cuda and not isinstance(parameter, DTensor) for parameter in trained)


def _adamw(optim: str, groups: list[Group], adam: dict[str, Any], seed: int, *,
           in_backward: bool) -> torch.optim.Optimizer:
    """Our AdamW; torch's fused one on a GPU where our kernel does not run and torch's numbers are asked for."""
    trained = [parameter for group in groups for parameter in group['params']]
    dtypes = {(parameter.device, parameter.dtype) for parameter in trained}
    state_dtype, stochastic = _STOCHASTIC.get(optim), optim in _STOCHASTIC
    if not stochastic and not in_backward and 'torch' in {choose_backend(*one) for one in dtypes}:
        return torch.optim.AdamW(groups, fused=True, **adam)
    if not stochastic and torch.bfloat16 in {dtype for _, dtype in dtypes}:
        logger.warning('--optim %s rounds bfloat16 weights to nearest, so that steps of under 1/512 of a weight get '
                       'lost; --optim adamw_bf16 keeps them in the mean.', optim)
    optimizer = AdamW(groups, state_dtype=state_dtype, stochastic=stochastic, seed=seed, **adam)
    if in_backward:
        optimizer.step_in_backward()
    logger.info('Optimizer: %s%s, moments in %s%s.', optim, ' in the backward' if in_backward else '',
                str(state_dtype or trained[0].dtype).removeprefix('torch.'),
                ', bfloat16 rounded stochastically' if stochastic else '')
    return optimizer


def _learning_rates(plan: OptimizerPlan, rate: float) -> Callable[[str], float]:
    """Name of a parameter -> its learning rate. LoRA+ (Hayou, Ghosh, Yu 2024): B learns ``ratio`` times as fast."""
    def lora_plus(name: str) -> float:
        if 'lora_embedding_' in name:
            return plan.lora_plus_embedding_lr
        return rate * plan.lora_plus_ratio if 'lora_B' in name else rate
    return (lambda name: rate) if plan.lora_plus_ratio is None else lora_plus


def parameter_groups(model: nn.Module, options_of: Callable[[str, nn.Parameter], dict[str, Any]]) -> list[Group]:
    """Parameters that need a gradient, those with the same options in one group, in the order of the model."""
    groups: dict[tuple, Group] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            options = options_of(name, parameter)
            group = groups.setdefault(tuple(sorted(options.items())), {'params': [], **options})
            group['params'].append(parameter)
    return list(groups.values())


def _matrices(model: nn.Module, settings: OptimizingArgs) -> set[int]:
    """Ids of the matrices that an optimizer for matrices takes: weights of linear layers but the head, or those named.

    Raises:
        UsageError: a name matches no module with a matrix.
    """
    head = base_model(model).get_output_embeddings()
    names = linear_names(model, [head] if head is not None else [])
    if settings.galore_target_modules:
        everything = [*linear_names(model), *embedding_names(model)]
        names = []
        for target in settings.galore_target_modules:
            found = [name for name in everything if name == target or name.endswith(f'.{target}')]
            if not found:
                parts = sorted({name.rpartition('.')[2] for name in everything})
                raise UsageError(f'--galore_target_modules: no linear layer or embedding is called {target!r}. '
                                 f'There are: {", ".join(parts)}.')
            names += found
    if settings.galore_with_embedding:
        names = [*names, *embedding_names(model)]
    return {id(parameter) for name in names for parameter in model.get_submodule(name).parameters(recurse=False)
            if parameter.ndim == 2}


def _galore(groups: list[Group], settings: OptimizingArgs, adam: dict[str, Any]) -> GaLoreAdamW:
    options = {'update_proj_gap': settings.galore_update_proj_gap, 'scale': settings.galore_scale,
               'proj_type': settings.galore_proj_type, **adam}
    if not settings.galore_quantization:
        return GaLoreAdamW(groups, **options)
    return QGaLoreAdamW(
        groups, proj_quant=settings.galore_proj_quant, proj_bits=settings.galore_proj_bits,
        proj_group_size=settings.galore_proj_group_size, cos_threshold=settings.galore_cos_threshold,
        gamma_proj=settings.galore_gamma_proj, queue_size=settings.galore_queue_size, **options)


def _apollo(plan: OptimizerPlan) -> dict[str, Any]:
    mini = plan.optim == 'apollo_mini'
    settings = plan.settings
    return {'rank': settings.apollo_rank or (1 if mini else 256), 'per_tensor': mini,
            'scale': settings.apollo_scale or (128.0 if mini else 1.0),
            'update_proj_gap': settings.apollo_update_proj_gap}


def block_schedule(model: nn.Module, settings: OptimizingArgs, seed: int) -> BlockSchedule | None:
    """The schedule of blocks that was asked for; most runs have none.

    Raises:
        UsageError: the model has no list of blocks, or too few.
    """
    if settings.lisa_activated_layers:
        return lisa(model, settings.lisa_activated_layers, settings.lisa_step_interval, seed)
    if settings.badam_switch_interval:
        return badam(model, settings.badam_switch_interval, settings.badam_switch_mode, seed)
    return None
