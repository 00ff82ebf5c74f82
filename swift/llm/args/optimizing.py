"""The arguments of methods that are optimizers or schedules: which weights are stepped when, and in what space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from swift.llm.args.fields import Group, opt
from swift.utils import env

# What --optim takes beside the names of transformers
_ADAMW = ('adamw_bf16', 'adamw_sr')
OWN_OPTIMIZERS = (*_ADAMW, 'galore', 'apollo', 'apollo_mini', 'muon')
# Those whose step of a parameter needs no other one; None is the default, which is one of them
_BY_PARAMETER = (None, 'adamw_torch', 'adamw_torch_fused', *_ADAMW)


@dataclass(frozen=True)
class OptimizingArgs(Group):
    """Optimizers that save memory, and schedules that train some blocks at a time."""

    optimizer_in_backward: bool = opt(
        False, 'Step each weight during the backward and drop its gradient at once: for every AdamW of torch or ours, '
        'and GaLore. Needs one micro-batch a step, no clipping and one process.')
    use_galore: bool = opt(False, 'GaLore: AdamW with its moments in a small space of the gradient; the same as '
                                  '--optim galore.')
    galore_rank: int = opt(128, 'GaLore: size of that space.', at_least=1)
    galore_target_modules: list[str] = opt([], 'GaLore: modules whose weights are projected; default: every linear '
                                               'layer but the head.')
    galore_with_embedding: bool = opt(False, 'GaLore: project the embeddings, too.')
    galore_update_proj_gap: int = opt(50, 'GaLore: from one decomposition of a gradient to the next.', unit='steps',
                                      at_least=1)
    galore_scale: float = opt(1.0, 'GaLore: scale of a projected step.', above=0)
    galore_proj_type: Literal['std', 'reverse_std', 'left', 'right', 'full'] = opt(
        'std', 'GaLore: side that is projected. std: the one that leaves the smaller state.')
    galore_optim_per_parameter: bool = opt(
        False, 'GaLore: step each weight during the backward and drop its gradient at once. Needs one micro-batch a '
        'step, no clipping and one process.')
    galore_quantization: bool = opt(False, 'Q-GaLore: 8-bit moments, and fewer decompositions where they agree.')
    galore_proj_quant: bool = opt(False, 'Q-GaLore: keep the projection in few bits.')
    galore_proj_bits: int = opt(4, 'Q-GaLore: so many.', unit='bits', at_least=1, at_most=8)
    galore_proj_group_size: int = opt(256, 'Q-GaLore: numbers that share a scale.', at_least=1)
    galore_cos_threshold: float = opt(0.4, 'Q-GaLore: mean cosine of the last decompositions from which the gap grows.',
                                      at_least=-1, at_most=1)
    galore_gamma_proj: int = opt(2, 'Q-GaLore: factor by which it grows.', at_least=1)
    galore_queue_size: int = opt(5, 'Q-GaLore: decompositions that are compared.', at_least=1)
    apollo_rank: int | None = opt(None, 'APOLLO: size of the random space; default: 256, for apollo_mini 1.',
                                  at_least=1)
    apollo_scale: float | None = opt(None, 'APOLLO: its root scales a step; default: 1, for apollo_mini 128.', above=0)
    apollo_update_proj_gap: int = opt(200, 'APOLLO: from one random space to the next.', unit='steps', at_least=1)
    muon_momentum: float = opt(0.95, 'Muon: momentum of the hidden matrices.', at_least=0, below=1)
    muon_ns_steps: int = opt(5, 'Muon: Newton-Schulz iterations.', at_least=1, below=100)
    muon_adjust_lr: Literal['match_rms_adamw', 'original'] = opt(
        'match_rms_adamw', 'Muon: scale of a step. match_rms_adamw: so that a learning rate of AdamW fits.')
    lisa_activated_layers: int = opt(0, 'LISA: so many random blocks are trained at a time, with embeddings and head; '
                                        '0 is off.', unit='blocks', at_least=0)
    lisa_step_interval: int = opt(20, 'LISA: from one draw of blocks to the next.', unit='steps', at_least=1)
    badam_switch_interval: int = opt(0, 'BAdam: so many steps on one block, then the next; 0 is off.', unit='steps',
                                     at_least=0)
    badam_switch_mode: Literal['descending', 'ascending', 'random'] = opt(
        'descending', 'BAdam: order of the blocks; descending begins at the output.')


def own_optimizer(optim: str | None, optimizing: OptimizingArgs) -> str | None:
    """The optimizer of ours that is asked for: one of ``OWN_OPTIMIZERS``, None for one of transformers or the
    default."""
    if optimizing.use_galore:
        return 'galore'
    return optim if optim in OWN_OPTIMIZERS else None


def steps_in_backward(optim: str | None, optimizing: OptimizingArgs) -> bool:
    if own_optimizer(optim, optimizing) == 'galore':
        return optimizing.galore_optim_per_parameter or optimizing.optimizer_in_backward
    return optimizing.optimizer_in_backward


def backward_flag(optimizing: OptimizingArgs) -> str:
    """The flag that asks for steps in the backward, for messages."""
    name = 'optimizer_in_backward' if optimizing.optimizer_in_backward else 'galore_optim_per_parameter'
    return f'--{name} true'


def has_schedule(optimizing: OptimizingArgs) -> bool:
    """Whether blocks are frozen and freed while training."""
    return optimizing.lisa_activated_layers > 0 or optimizing.badam_switch_interval > 0


# ---------------------------------------------------------- rules, as those of rules.py: arguments -> problem or None

def optimizer_flags_are_of_the_optimizer(args) -> str | None:
    """A typed flag that belongs to an optimizer or schedule that was not asked for."""
    typed, optimizing = args.explicit, args.optimizing
    own = own_optimizer(args.train.optim, optimizing) or ''
    owners = {'galore_': (own == 'galore', '--use_galore true'), 'apollo_': ('apollo' in own, '--optim apollo'),
              'muon_': (own == 'muon', '--optim muon'),
              'lisa_': (optimizing.lisa_activated_layers > 0, '--lisa_activated_layers N'),
              'badam_': (optimizing.badam_switch_interval > 0, '--badam_switch_interval N')}
    off = ('lisa_activated_layers', 'badam_switch_interval')
    for prefix, (is_asked_for, how) in owners.items():
        strange = [name for name in sorted(typed) if name.startswith(prefix) and name not in off]
        if strange and not is_asked_for:
            return f'--{strange[0]} needs {how}.'
    coded = ('galore_proj_quant', 'galore_proj_bits', 'galore_proj_group_size', 'galore_cos_threshold',
             'galore_gamma_proj', 'galore_queue_size')
    strange = [name for name in coded if name in typed]
    return (f'--{strange[0]} needs --galore_quantization true.' if strange and not optimizing.galore_quantization
            else None)


def optimizer_is_one(args) -> str | None:
    optim, galore = args.train.optim, args.optimizing.use_galore
    if galore and optim not in (None, 'adamw_torch', 'adamw_torch_fused', 'galore'):
        return f'--use_galore true is AdamW in a small space; it does not go with --optim {optim}.'
    chosen, own = args.tuner.tuner_type, own_optimizer(optim, args.optimizing)
    if own in ('galore', 'apollo', 'apollo_mini') and chosen != 'full':
        flag = '--use_galore true' if galore else f'--optim {optim}'
        return f'{flag} is for --tuner_type full: the matrices of {chosen} are small already.'
    return None


def optimizer_sees_matrices(args) -> str | None:
    ways = _sharding(args.train)
    own = own_optimizer(args.train.optim, args.optimizing)
    if own is None or not ways:
        return None
    flag = '--use_galore true' if args.optimizing.use_galore else f'--optim {own}'
    return (f'{flag} needs whole weights, which {ways[0]} cuts up. Train on one GPU or on several with '
            'NPROC_PER_NODE alone, or use --optim adamw_torch.')


def backward_can_step(args) -> str | None:
    """What would need all gradients at once, or several backwards a step."""
    if not steps_in_backward(args.train.optim, args.optimizing):
        return None
    train, explicit = args.train, args.explicit
    own = own_optimizer(train.optim, args.optimizing)
    other = own != 'galore' and train.optim not in _BY_PARAMETER
    ways = _sharding(train) if own is None else []  # of ours all need whole weights
    reasons = (
        (other, f'--optim {train.optim}; take adamw_torch, adamw_bf16, adamw_sr or galore'),
        (bool(ways), f'{"".join(ways[:1])}, which needs gradients after the backward'),
        ((train.gradient_accumulation_steps or 1) > 1, f'--gradient_accumulation_steps '
         f'{train.gradient_accumulation_steps}; raise --per_device_train_batch_size instead'),
        ('max_grad_norm' in explicit and train.max_grad_norm > 0, f'--max_grad_norm {train.max_grad_norm:g}, which '
         'needs all gradients; leave it out'),
        (args.model.torch_dtype == 'float16', '--torch_dtype float16, whose gradients are scaled; use bfloat16'),
        (env.world_size() > 1, f'{env.world_size()} processes, whose gradients are averaged after the backward'))
    wrong = [reason for applies, reason in reasons if applies]
    return f'{backward_flag(args.optimizing)} does not go with {wrong[0]}.' if wrong else None


def schedule_fits(args) -> str | None:
    if not has_schedule(args.optimizing):
        return None
    lisa = args.optimizing.lisa_activated_layers > 0
    flag = '--lisa_activated_layers' if lisa else '--badam_switch_interval'
    if lisa and args.optimizing.badam_switch_interval:
        return '--lisa_activated_layers and --badam_switch_interval are two schedules of blocks; keep one.'
    if args.tuner.tuner_type != 'full':
        return f'{flag} is for --tuner_type full: with {args.tuner.tuner_type} the blocks are frozen.'
    if args.train.ddp_find_unused_parameters is False:
        return f'{flag} needs --ddp_find_unused_parameters true: frozen blocks give no gradient.'
    ways = _sharding(args.train)
    return (f'{flag} freezes and frees blocks while training, which {ways[0]} does not allow. Train on one GPU or on '
            'several with NPROC_PER_NODE alone.' if ways else None)


def _sharding(train) -> list[str]:
    return [flag for flag, value in (('--deepspeed', train.deepspeed), ('--fsdp', train.fsdp)) if value]


RULES = (optimizer_flags_are_of_the_optimizer, optimizer_is_one, optimizer_sees_matrices, backward_can_step,
         schedule_fits)
