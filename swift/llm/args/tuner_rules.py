"""Rules about tuning methods, what they go on, and quantised weights; see ``rules.py`` for what a rule is.

Which method can do what is told by ``tuner_types.METHODS``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from swift.llm.args.parser import flags
from swift.llm.args.rule_parts import is_zero3, json_problem, listed, missing_package, value_of
from swift.llm.args.tuner_types import LORA_FLAGS, METHODS, NOT_ON_BNB, ON_HQQ, STARTS, owner, start_of
from swift.utils.extras import available

CHANGES_BASE = ('pissa', 'olora', 'corda', 'lora-ga')  # values of --init_weights, by their beginnings


def quantiser_has_bits(args) -> str | None:
    quant = args.quant
    return (f'--quant_method {quant.quant_method} needs --quant_bits, for example 4.'
            if quant.quant_method and not quant.quant_bits and 'quant_bits' not in args.explicit else None)


def quantiser_is_installed(args) -> str | None:
    """HQQ is in no extra: peft imports it at every start where it is there, for seconds."""
    wanted = f'--quant_bits {args.quant.quant_bits} ({args.quant.method})'
    if args.quant.method == 'hqq' and not available('hqq'):
        return f'{wanted} needs the package hqq, which is not installed. Install it with: pip install hqq'
    return missing_package('bitsandbytes', wanted) if args.quant.method == 'bnb' else None


def freezing_is_for_full(args) -> str | None:
    typed = [name for name in ('freeze_parameters', 'freeze_parameters_ratio', 'trainable_parameters',
                               'freeze_parameters_regex', 'trainable_parameters_regex') if value_of(args, name)]
    return (f'--{typed[0]} is for --tuner_type full; with {args.tuner.tuner_type} the model itself is frozen.'
            if typed and args.tuner.tuner_type != 'full' else None)


def method_flags_are_of_the_method(args) -> str | None:
    """A typed flag of one method beside another: nobody meant that. Those of LoRA are many a script's habit, so that
    they are only noted (``adapter_flags_without_adapter``)."""
    chosen = args.tuner.tuner_type
    strange = [name for name in sorted(args.explicit) if owner(name) not in (None, chosen)]
    return (f'--{strange[0]} is for --tuner_type {owner(strange[0])}, and --tuner_type is {chosen}.'
            if strange else None)


def quantised_weights_stay_frozen(args) -> str | None:
    if args.quant.method is None or args.tuner.tuner_type != 'full':
        return None
    return (f'--quant_bits {args.quant.quant_bits} with --tuner_type full: quantised weights can not be trained. Use '
            '--tuner_type lora, or leave --quant_bits out.')


def method_fits_quantised_weights(args) -> str | None:
    method, chosen = args.quant.method, args.tuner.tuner_type
    refused = chosen in NOT_ON_BNB if method == 'bnb' else method == 'hqq' and chosen not in (*ON_HQQ, 'full')
    return (f'--tuner_type {chosen} does not work on weights of {method}'
            + (f'; {", ".join(ON_HQQ)} do' if method == 'hqq' else f'; all but {", ".join(NOT_ON_BNB)} do')
            + '. Change it, or leave --quant_bits out.' if refused else None)


def start_fits_quantised_weights(args) -> str | None:
    """These begin by taking a part out of the frozen weights, which quantised ones can't give to the bit."""
    value = args.tuner.init_weights
    if args.quant.method is None or not value.startswith(CHANGES_BASE):
        return None
    return (f'--init_weights {value} changes the frozen weights, and --quant_bits {args.quant.quant_bits} quantises '
            'them. Leave one of the two out; --init_weights true, gaussian and loftq go with both.')


def loftq_has_quantised_weights(args) -> str | None:
    if args.tuner.init_weights != 'loftq':
        return None
    if args.tuner.use_dora:
        return '--init_weights loftq does not go with --use_dora true; leave one of them out.'
    return ('--init_weights loftq makes up for what --quant_bits takes away from the weights: add --quant_bits 4, with '
            'a --model of 16-bit weights.' if args.quant.method is None else None)


def sharding_fits_quantised_weights(args) -> str | None:
    """Known here by name only; a DeepSpeed file is looked into where the model is loaded."""
    deepspeed = args.train.deepspeed or ''
    if args.quant.method is None or not (args.train.fsdp or deepspeed.startswith('zero3')):
        return None
    way = '--fsdp' if args.train.fsdp else f'--deepspeed {deepspeed}'
    return (f'{way} spreads every weight over the processes, which weights of --quant_bits {args.quant.quant_bits} do '
            'not allow. Use --deepspeed zero2, or processes alone.')


def unsloth_takes_the_rest(args) -> str | None:
    """What that package has no counterpart for, and first of all that it is there."""
    tuner = args.tuner
    if tuner.tuner_backend != 'unsloth':
        return None
    if not available('unsloth'):
        return ('--tuner_backend unsloth needs the package unsloth, which is not installed. Install it, in an '
                'environment of its own, with: pip install unsloth   or leave the flag out.')
    if tuner.tuner_type not in ('lora', 'full'):
        return f'--tuner_backend unsloth has lora and full, not --tuner_type {tuner.tuner_type}; leave one of them out.'
    strange = [f'--{name}' for name in ('use_dora', 'target_regex', 'target_parameters', 'lora_rank_pattern',
                                        'lora_alpha_pattern', 'new_special_tokens', 'deepspeed', 'fsdp', 'device_map',
                                        'rope_scaling') if value_of(args, name)]
    strange += ['--init_weights'] if tuner.init_weights not in ('true', 'false', 'gaussian') else []
    strange += ['--quant_method hqq'] if args.quant.method == 'hqq' else []
    return f'--tuner_backend unsloth does not take {", ".join(strange)}; leave one of them out.' if strange else None


def init_weights_fit_the_method(args) -> str | None:
    value, chosen = args.tuner.init_weights, args.tuner.tuner_type
    if chosen in ('lora', 'lora_llm') and value == 'orthogonal':
        odd = [rank for rank in (args.tuner.lora_rank, *json.loads(args.tuner.lora_rank_pattern or '{}').values())
               if rank % 2]
        return f'--init_weights orthogonal needs even ranks, got {odd[0]}.' if odd else None
    if chosen in ('lora', 'lora_llm') and value == 'bat':
        return '--init_weights bat is for --tuner_type miss.'
    if chosen == 'miss' and value not in ('true', 'bat'):
        return f'--init_weights takes true or bat with --tuner_type miss, got {value}.'
    return None


def starts_have_what_they_need(args) -> str | None:
    """Starts of LoRA that are computed from weights or training rows."""
    start = args.tuner.init_weights
    strange = [name for name in sorted(args.explicit) if start_of(name) not in (None, start)]
    if strange and args.tuner.tuner_type == 'lora':
        return f'--{strange[0]} is for --init_weights {start_of(strange[0])}, and --init_weights is {start}.'
    if start in STARTS.values() and args.data.streaming:
        return f'--init_weights {start} looks at training rows before the first step, which --streaming true has not.'
    computed = start in STARTS.values() or start.startswith(('pissa', 'olora'))
    sharded = (f'--deepspeed {args.train.deepspeed}' if (args.train.deepspeed or '').startswith('zero3')
               else '--fsdp' if args.train.fsdp else None)
    if computed and sharded:
        return f'--init_weights {start} needs whole weights, and {sharded} spreads them; use zero2, or true.'
    return None


def parts_are_chosen_once(args) -> str | None:
    """The flags about parts of a model say what the default targets are; named targets say it themselves."""
    tuner = args.tuner
    typed = [name for name in ('freeze_llm', 'freeze_vit', 'freeze_aligner') if name in args.explicit]
    if not typed:
        return None
    if tuner.tuner_type == 'lora_llm':
        return f'--{typed[0]}: --tuner_type lora_llm is an adapter on the language model, and the rest trained whole.'
    if tuner.tuner_type == 'full' or tuner.target_modules == ['DEFAULT'] and not tuner.target_regex:
        return None
    usual = not tuner.freeze_llm and tuner.freeze_vit and tuner.freeze_aligner
    if tuner.target_modules == ['ALL'] and not tuner.target_regex:
        return (f'--{typed[0]} beside --target_modules ALL, which is every linear layer, towers too. Leave '
                '--target_modules out: the default is the language model.' if usual else None)
    flag = 'target_regex' if tuner.target_regex else 'target_modules'
    return f'--{typed[0]} and --{flag} both choose modules; keep one.'


def new_tokens_are_trained(args) -> str | None:
    words, chosen = args.model.new_special_tokens, args.tuner.tuner_type
    if not words:
        return None
    sharded = (f'--deepspeed {args.train.deepspeed}' if (args.train.deepspeed or '').startswith('zero3')
               else '--fsdp' if args.train.fsdp else None)
    if sharded:
        return f'--new_special_tokens makes tables larger, which {sharded} has spread already; use zero2.'
    if chosen in ('lora', 'lora_llm', 'full') or args.tuner.modules_to_save:
        return None
    return (f'--new_special_tokens: --tuner_type {chosen} trains no single vectors. Use lora or full, or train the '
            'tables whole: --modules_to_save EMBEDDING lm_head.')


def targets_have_something_to_be(args) -> str | None:
    """Flags that say more about the modules with an adapter, where there are none."""
    tuner = args.tuner
    typed = [name for name in ('exclude_modules', 'layers_to_transform', 'target_parameters') if value_of(args, name)]
    if typed and tuner.tuner_type == 'full':
        return f'--{typed[0]} is about adapters, and --tuner_type is full.'
    if typed and not METHODS[tuner.tuner_type].has_targets:
        return f'--{typed[0]} is about modules with an adapter, and --tuner_type {tuner.tuner_type} has none.'
    if tuner.target_parameters and tuner.tuner_type not in ('lora', 'lora_llm'):
        return f'--target_parameters is for --tuner_type lora, and --tuner_type is {tuner.tuner_type}.'
    if not tuner.target_parameters:
        return None
    if 'lora_dropout' in args.explicit and tuner.lora_dropout:
        return f'--target_parameters allows no dropout: leave --lora_dropout {tuner.lora_dropout} out, or make it 0.'
    wrong = [f'--{name} {str(value_of(args, name)).lower()}' for name in ('use_dora', 'init_weights', 'lora_bias')
             if value_of(args, name) not in (False, 'true', 'none')]
    return f'--target_parameters does not go with {wrong[0]}.' if wrong else None


def sizes_of_the_method_fit(args) -> str | None:
    chosen, method = args.tuner.tuner_type, args.method
    if chosen == 'adalora' and method.adalora_target_r >= method.adalora_init_r:
        return (f'--adalora_target_r {method.adalora_target_r} must be below --adalora_init_r {method.adalora_init_r}: '
                'ranks are only taken away.')
    if chosen == 'boft' and bool(method.boft_block_size) == bool(method.boft_block_num):
        return (f'--boft_block_size {method.boft_block_size} and --boft_block_num {method.boft_block_num}: one of them '
                'must be 0.')
    if chosen == 'gralora' and method.gralora_rank % method.gralora_k:
        return f'--gralora_k {method.gralora_k} must divide --gralora_rank {method.gralora_rank}.'
    if chosen == 'hra' and method.hra_rank % 2:
        return f'--hra_rank {method.hra_rank} must be even, so that reflections cancel at the start.'
    if chosen == 'road' and method.road_group_size % 2:
        return f'--road_group_size {method.road_group_size} must be even: its two halves are the pairs.'
    return None


def adalora_sees_gradients(args) -> str | None:
    if args.tuner.tuner_type != 'adalora':
        return None
    ways = [f'--{name}' for name in ('deepspeed', 'fsdp') if value_of(args, name)]
    return (f'--tuner_type adalora needs whole gradients after each step, which {ways[0]} does not leave. Train on '
            'one GPU or on several with NPROC_PER_NODE alone, or use lora.' if ways else None)


def start_of_the_prompt_is_told(args) -> str | None:
    text, start = args.method.prompt_tuning_init_text, args.method.prompt_tuning_init
    if args.tuner.tuner_type == 'prompt_tuning' and start == 'text' and not text:
        return '--prompt_tuning_init text needs --prompt_tuning_init_text.'
    if text and start != 'text':
        return f'--prompt_tuning_init_text is for --prompt_tuning_init text, and --prompt_tuning_init is {start}.'
    return None


def attention_fits_the_method(args) -> str | None:
    chosen = args.model.attn_impl
    return (f'--attn_impl {chosen} does not go with --tuner_type longlora, which has its own attention in training; '
            'leave it out.' if args.tuner.tuner_type == 'longlora' and chosen not in ('auto', 'sdpa') else None)


def recomputing_fits_the_method(args) -> str | None:
    method = METHODS.get(args.tuner.tuner_type)
    typed = ('--gradient_checkpointing true' if args.train.gradient_checkpointing else
             f'--recompute {args.train.recompute}' if args.train.recompute not in ('auto', 'none') else None)
    if method is None or method.recomputes or typed is None:
        return None
    return (f'{typed} does not work with --tuner_type {args.tuner.tuner_type}: its keys and '
            'values are in the cache, which is emptied. Leave it out, or use prompt_tuning or p_tuning.')


def method_finds_weights_whole(args) -> str | None:
    method, train = METHODS.get(args.tuner.tuner_type), args.train
    if method is None or (method.has_targets and not method.native):
        return None
    if not (train.fsdp or is_zero3(train.deepspeed)):
        return None
    way = '--fsdp' if train.fsdp else '--deepspeed with ZeRO-3'
    return (f'--tuner_type {args.tuner.tuner_type} needs whole {"modules" if method.native else "embeddings"}, which '
            f'{way} does not leave. Use --deepspeed zero2, or several processes with NPROC_PER_NODE alone.')


def edits_are_in_fp32(args) -> str | None:
    if args.tuner.tuner_type != 'reft':
        return None
    if args.tuner.lora_dtype not in ('auto', 'float32'):
        return (f'--lora_dtype {args.tuner.lora_dtype} does not go with --tuner_type reft: rotations are kept in '
                'float32.')
    return json_problem('reft_args', args.method.reft_args, dict)


def groups_divide_new_blocks(args) -> str | None:
    new, groups = args.method.llamapro_num_new_blocks, args.method.llamapro_num_groups
    if args.tuner.tuner_type != 'llamapro' or groups is None or new % groups == 0:
        return None
    return (f'--llamapro_num_groups {groups} must divide --llamapro_num_new_blocks {new}: every group gets as many '
            'new blocks.')


def adapter_has_targets(args) -> str | None:
    tuner = args.tuner
    if tuner.tuner_type == 'part' and not tuner.target_regex and tuner.target_modules == ['DEFAULT']:
        return '--tuner_type part trains modules whole: name them with --target_modules.'
    if tuner.tuner_type == 'full' or tuner.target_modules or tuner.target_regex or tuner.target_parameters:
        return None
    if not METHODS[tuner.tuner_type].has_targets:
        return None
    return '--target_modules is empty: name modules, or DEFAULT or ALL.'


def regex_compiles(args) -> str | None:
    for name in ('target_regex', 'freeze_parameters_regex', 'trainable_parameters_regex'):
        try:
            re.compile(value_of(args, name) or '')
        except re.error as e:
            return f'--{name} {value_of(args, name)!r} is no regular expression: {e}.'
    return None


def merge_is_possible(args) -> str | None:
    if not args.infer.merge_lora:
        return None
    for folder in args.infer.adapters:
        path = Path(folder).expanduser() / 'adapter_config.json'
        kind = _method_in(path) if path.is_file() else ''
        if kind in METHODS and not METHODS[kind].merges:
            return (f'--merge_lora true: the adapter in {folder} is of the type {kind}, which can not become part of '
                    'the weights. Leave --merge_lora out: it is used as it is.')
    return None


def _method_in(path: Path) -> str:
    """The method that an adapter_config.json names; one that is none is told where it is loaded."""
    try:
        config = json.loads(path.read_text(encoding='utf-8'))
        return str(config['swift_type'] if 'swift_type' in config else config['peft_type']).lower()
    except (OSError, ValueError, LookupError, TypeError):
        return ''


# -------------------------------------------------------------------------------------------------------------- notes

def adapter_flags_without_adapter(args) -> str | None:
    if args.command == 'infer':
        return None
    chosen = args.tuner.tuner_type
    targets = ('target_modules', 'target_regex')
    unread = ((*LORA_FLAGS, 'lora_dtype', *targets, 'modules_to_save') if chosen == 'full'
              else set(LORA_FLAGS if METHODS[chosen].has_targets else (*LORA_FLAGS, *targets))
              - set(METHODS[chosen].shared))
    names = [name for name in flags(type(args)) if name in args.explicit and name in unread]
    return f'{listed(names)} has no effect with --tuner_type {chosen}.' if names else None


def padding_free_beside_padding(args) -> str | None:
    method = None if args.command == 'infer' else METHODS.get(args.tuner.tuner_type)
    return (f'--padding_free true has no effect: --tuner_type {args.tuner.tuner_type} needs rows of their own.'
            if method is not None and method.needs_padding and args.template.padding_free else None)


def settings_of_another_quantiser(args) -> str | None:
    quant = args.quant
    unread = [name for name in flags(type(args)) if name in args.explicit and (
        name.startswith('bnb_4bit_') and (quant.method, quant.quant_bits) != ('bnb', 4)
        or name == 'hqq_axis' and quant.method != 'hqq')]
    how = f'--quant_bits {quant.quant_bits} ({quant.method})' if quant.method else 'weights that are not quantised'
    return f'{listed(unread)} has no effect with {how}.' if unread else None


QUANTISERS = (quantiser_has_bits, quantiser_is_installed)
TRAINING = (
    new_tokens_are_trained, starts_have_what_they_need, targets_have_something_to_be, parts_are_chosen_once,
    freezing_is_for_full, quantised_weights_stay_frozen, method_fits_quantised_weights,
    start_fits_quantised_weights, loftq_has_quantised_weights, sharding_fits_quantised_weights,
    unsloth_takes_the_rest, method_flags_are_of_the_method, init_weights_fit_the_method,
    sizes_of_the_method_fit, adalora_sees_gradients, start_of_the_prompt_is_told, recomputing_fits_the_method,
    method_finds_weights_whole, attention_fits_the_method, edits_are_in_fp32, groups_divide_new_blocks,
    adapter_has_targets, regex_compiles)
INFERENCE = (merge_is_possible,)
NOTES = (adapter_flags_without_adapter, padding_free_beside_padding, settings_of_another_quantiser)
