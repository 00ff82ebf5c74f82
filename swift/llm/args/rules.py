"""Rules across groups: small functions from arguments to a problem or None, run before torch is imported.

They may ask whether a local path exists and whether a package is installed; they read no data, import nothing heavy
and open no connection. ``NOTES`` are not errors: what was typed has no effect, and the user is told so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from swift.llm.args.fields import ArgumentsError
from swift.llm.args.hf_names import OPTIMIZERS, REPORTERS, SCHEDULERS
from swift.llm.args.optimizing import OWN_OPTIMIZERS
from swift.llm.args.optimizing import RULES as OPTIMIZING
from swift.llm.args.parser import Arguments, flags
from swift.llm.args.tuner_types import LORA_FLAGS, METHODS, NOT_ON_BNB, ON_HQQ, STARTS, owner, start_of
from swift.utils.errors import MissingExtraError
from swift.utils.extras import available, require
from swift.utils.registry import suggest

Rule = Callable[[Arguments], str | None]
ZERO = ('zero1', 'zero2', 'zero3', 'zero2_offload', 'zero3_offload')
_DATA_SUFFIXES = ('.jsonl', '.json', '.csv', '.parquet', '.txt')
CHANGES_BASE = ('pissa', 'olora', 'corda', 'lora-ga')  # values of --init_weights, by their beginnings
_SPREADING = ('auto', 'balanced', 'balanced_low_0', 'sequential')
_DEVICE = re.compile('|'.join(_SPREADING) + r'|cpu|mps|(cuda|npu|xpu)(:\d+)?')


def check(args: Arguments) -> list[str]:
    """Every broken rule, in the order of the table; empty when all hold."""
    trains = args.command in ('sft', 'pt')
    rules = (*COMMON, *(TRAINING if trains else INFERENCE))
    return [problem for rule in rules if (problem := rule(args))]


def enforce(args: Arguments) -> None:
    """Check all rules.

    Raises:
        ArgumentsError: at least one is broken; all are told.
    """
    problems = check(args)
    if problems:
        raise ArgumentsError(problems)


def notes(args: Arguments) -> list[str]:
    """What was typed and has no effect."""
    return [note for rule in NOTES if (note := rule(args))]


# ------------------------------------------------------------------------------------------------------------- common

def model_is_named(args) -> str | None:
    adapters = args.command == 'infer' and args.infer.adapters
    resumes = args.command != 'infer' and args.train.resume_from_checkpoint
    if args.model.model or args.model.model_type or adapters or resumes:
        return None
    return ('No model: give --model ID_OR_FOLDER or --model_type NAME'
            + (', or --ckpt_dir CHECKPOINT.' if args.command == 'infer' else '.'))


def model_folder_exists(args) -> str | None:
    model = args.model.model
    if not model or not _looks_local(model) or Path(model).expanduser().is_dir():
        return None
    is_file = Path(model).expanduser().is_file()
    return f'--model {model}: {"this is a file; a model is a folder" if is_file else "no such folder"}.'


def data_files_exist(args) -> str | None:
    lost = [f'--{name} {spec}' for name in ('dataset', 'val_dataset')
            for spec in value_of(args, name) if _is_lost_path(spec)]
    return f'{" and ".join(lost)}: no such file or folder.' if lost else None


def plugins_exist(args) -> str | None:
    lost = [path for path in args.data.external_plugins if not Path(path).expanduser().is_file()]
    return f'--external_plugins {lost[0]}: no such file.' if lost else None


def dataset_info_exists(args) -> str | None:
    return _json_or_file('custom_dataset_info', args.data.custom_dataset_info, (dict, list))


def columns_is_a_map(args) -> str | None:
    problem = _json_problem('columns', args.data.columns, dict)
    if problem or args.data.columns is None:
        return problem
    bad = [k for k, v in json.loads(args.data.columns).items() if not isinstance(v, str)]
    return f'--columns maps names to names; the value of {bad[0]!r} is not text.' if bad else None


def device_map_is_one(args) -> str | None:
    value = args.model.device_map
    return None if value is None or _DEVICE.fullmatch(value) else _json_or_file('device_map', value, (dict,))


def new_tokens_are_there(args) -> str | None:
    lost = [word for word in args.model.new_special_tokens
            if word.endswith('.txt') and not Path(word).expanduser().is_file()]
    if lost:
        return f'--new_special_tokens {lost[0]}: no such file. A word that ends in .txt is a file with one word a line.'
    blank = [word for word in args.model.new_special_tokens if not word.strip()]
    return '--new_special_tokens: a token can not be white space alone.' if blank else None


def max_memory_has_device_map(args) -> str | None:
    if args.model.max_memory and args.model.device_map not in (None, *_SPREADING):
        return f'--max_memory is for --device_map auto, and --device_map is {args.model.device_map}.'
    return None


def rope_scaling_has_length(args) -> str | None:
    if args.model.rope_scaling and args.template.max_length == -1:
        return f'--rope_scaling {args.model.rope_scaling} needs --max_length, to know how far to stretch.'
    return None


def probabilities_fit_datasets(args) -> str | None:
    given, wanted = len(args.data.interleave_prob), len(args.data.dataset)
    return (f'--interleave_prob needs one number a data set: got {given} for {wanted} in --dataset.'
            if given and given != wanted else None)


def self_cognition_has_names(args) -> str | None:
    named = any(re.split(r'[:#]', spec.rpartition('::')[2])[0].rpartition('/')[2] == 'self-cognition'
                for spec in (*args.data.dataset, *args.data.val_dataset))
    missing = [f'--{name}' for name in ('model_name', 'model_author') if not value_of(args, name)]
    if not named or not missing:
        return None
    return f'--dataset self-cognition needs {" and ".join(missing)} (Chinese and English).'


def quantiser_has_bits(args) -> str | None:
    quant = args.quant
    return (f'--quant_method {quant.quant_method} needs --quant_bits, for example 4.'
            if quant.quant_method and not quant.quant_bits and 'quant_bits' not in args.explicit else None)


def quantiser_is_installed(args) -> str | None:
    """HQQ is in no extra: peft imports it at every start where it is there, for seconds."""
    wanted = f'--quant_bits {args.quant.quant_bits} ({args.quant.method})'
    if args.quant.method == 'hqq' and not available('hqq'):
        return f'{wanted} needs the package hqq, which is not installed. Install it with: pip install hqq'
    return _missing('bitsandbytes', wanted) if args.quant.method == 'bnb' else None


# ----------------------------------------------------------------------------------------------------------- training

def dataset_is_named(args) -> str | None:
    if args.data.dataset or args.train.resume_from_checkpoint:
        return None
    return 'No training data: give --dataset FILE_OR_NAME.'


def stream_has_an_end(args) -> str | None:
    return ('--streaming true needs --max_steps: the length of a stream is not known.'
            if args.data.streaming and args.train.max_steps < 1 else None)


def streaming_val_needs_stream(args) -> str | None:
    return ('--streaming_val_size is for --streaming true; use --split_dataset_ratio or --val_dataset.'
            if args.data.streaming_val_size and not args.data.streaming else None)


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
    if method is None or method.recomputes or not args.train.gradient_checkpointing:
        return None
    return (f'--gradient_checkpointing true does not work with --tuner_type {args.tuner.tuner_type}: its keys and '
            'values are in the cache, which is emptied. Leave it out, or use prompt_tuning or p_tuning.')


def method_finds_weights_whole(args) -> str | None:
    method, train = METHODS.get(args.tuner.tuner_type), args.train
    if method is None or (method.has_targets and not method.native):
        return None
    if not (train.fsdp or _is_zero3(train.deepspeed)):
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
    return _json_problem('reft_args', args.method.reft_args, dict)


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


def resume_folder_exists(args) -> str | None:
    value = args.train.resume_from_checkpoint
    if value in (None, 'latest') or Path(value).expanduser().is_dir():
        return None
    return f'--resume_from_checkpoint {value}: no such folder (latest finds the newest under --output_dir).'


def resume_switches_need_resume(args) -> str | None:
    typed = [name for name in ('resume_only_model', 'ignore_data_skip') if value_of(args, name)]
    return (f'--{typed[0]} needs --resume_from_checkpoint.'
            if typed and not args.train.resume_from_checkpoint else None)


def deepspeed_is_there(args) -> str | None:
    value = args.train.deepspeed
    if value is None:
        return None
    if value not in ZERO and not value.lstrip().startswith('{') and not Path(value).expanduser().is_file():
        return f'--deepspeed takes {", ".join(ZERO)}, a JSON file or JSON text; got {value!r}.{suggest(value, ZERO)}'
    broken = None if value in ZERO else _json_or_file('deepspeed', value, (dict,))
    return broken or _missing('deepspeed', '--deepspeed')


def one_way_of_sharding(args) -> str | None:
    ways = [f'--{name}' for name in ('deepspeed', 'fsdp', 'device_map') if value_of(args, name)]
    return f'{" and ".join(ways)} exclude each other; keep one.' if len(ways) > 1 else None


def fsdp_config_is_one(args) -> str | None:
    if args.train.fsdp_config and not args.train.fsdp:
        return '--fsdp_config needs --fsdp, for example --fsdp "full_shard auto_wrap".'
    return _json_or_file('fsdp_config', args.train.fsdp_config, (dict,))


def scheduler_kwargs_are_a_map(args) -> str | None:
    return _json_problem('lr_scheduler_kwargs', args.train.lr_scheduler_kwargs, dict)


def names_of_transformers_exist(args) -> str | None:
    """``--optim``, ``--lr_scheduler_type`` and ``--report_to`` take names that transformers knows, or ours."""
    known = {'optim': (*OWN_OPTIMIZERS, *OPTIMIZERS), 'lr_scheduler_type': SCHEDULERS,
             'report_to': (*REPORTERS, 'none')}
    for name, choices in known.items():
        value = args.train.__dict__[name]
        for word in value if isinstance(value, list) else [value]:
            if word not in choices:
                return f'--{name} {word} is not known.{suggest(word, choices)} Known: {", ".join(choices)}.'
    return None


def reporters_are_installed(args) -> str | None:
    """TensorBoard is the default and may be missing; what was named instead may not."""
    missing = [name for name in args.train.report_to
               if name in REPORTERS and name != 'tensorboard' and not available(name)]
    return (f'--report_to {missing[0]} needs a package that is not installed: pip install {missing[0]}'
            if missing else None)


# ---------------------------------------------------------------------------------------------------------- inference

def adapters_exist(args) -> str | None:
    lost = [folder for folder in args.infer.adapters
            if _looks_local(folder) and not Path(folder).expanduser().is_dir()]
    if lost:
        return f'--adapters (--ckpt_dir) {lost[0]}: no such folder.'
    empty = [folder for folder in args.infer.adapters if Path(folder).expanduser().is_dir()
             and not (Path(folder).expanduser() / 'adapter_config.json').is_file()]
    return (f'--adapters (--ckpt_dir) {empty[0]} holds neither an adapter (adapter_config.json) nor a model '
            '(config.json). A run folder has them in checkpoint-N.' if empty else None)


def merge_has_adapter(args) -> str | None:
    return ('--merge_lora true needs an adapter: --adapters or --ckpt_dir.'
            if args.infer.merge_lora and not args.infer.adapters else None)


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


def data_args_need_checkpoint(args) -> str | None:
    if args.infer.load_data_args and not args.infer.load_args:
        return '--load_data_args true needs --load_args true.'
    return None


def batch_has_rows(args) -> str | None:
    rows = args.data.val_dataset or args.data.dataset or args.infer.load_data_args
    return ('--eval_human false answers a data set: give --val_dataset FILE or --load_data_args true.'
            if args.infer.eval_human is False and not rows else None)


def beams_do_not_stream(args) -> str | None:
    return ('--stream true and --num_beams above 1 exclude each other: beams are compared at the end.'
            if args.generation.num_beams > 1 and args.generation.stream and 'stream' in args.explicit else None)


def sampling_is_possible(args) -> str | None:
    return ('--do_sample true and --temperature 0 exclude each other: 0 takes the likeliest token each time.'
            if args.generation.do_sample and args.generation.temperature == 0 else None)


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
    return f'{_listed(names)} has no effect with --tuner_type {chosen}.' if names else None


def padding_free_beside_padding(args) -> str | None:
    method = None if args.command == 'infer' else METHODS.get(args.tuner.tuner_type)
    return (f'--padding_free true has no effect: --tuner_type {args.tuner.tuner_type} needs rows of their own.'
            if method is not None and method.needs_padding and args.template.padding_free else None)


def evaluation_without_rows(args) -> str | None:
    """No error: scripts set --eval_steps, from which --save_steps follows, and --dataset_test_ratio 0 together."""
    if args.command == 'infer' or args.train.eval_strategy == 'no':
        return None
    typed = [name for name in ('eval_strategy', 'eval_steps') if name in args.explicit]
    data = args.data
    if not typed or data.val_dataset or (data.streaming_val_size if data.streaming else data.split_dataset_ratio):
        return None
    source = '--streaming_val_size' if data.streaming else '--split_dataset_ratio'
    return f'--{typed[0]} has nothing to evaluate on; --val_dataset or {source} would give rows.'


def split_beside_val_dataset(args) -> str | None:
    typed = 'split_dataset_ratio' in args.explicit and args.data.split_dataset_ratio > 0
    return '--split_dataset_ratio has no effect: --val_dataset is given.' if args.data.val_dataset and typed else None


def epochs_beside_steps(args) -> str | None:
    return ('--num_train_epochs has no effect: --max_steps is given.' if args.command != 'infer'
            and args.train.max_steps > 0 and 'num_train_epochs' in args.explicit else None)


def settings_of_another_quantiser(args) -> str | None:
    quant = args.quant
    unread = [name for name in flags(type(args)) if name in args.explicit and (
        name.startswith('bnb_4bit_') and (quant.method, quant.quant_bits) != ('bnb', 4)
        or name == 'hqq_axis' and quant.method != 'hqq')]
    how = f'--quant_bits {quant.quant_bits} ({quant.method})' if quant.method else 'weights that are not quantised'
    return f'{_listed(unread)} has no effect with {how}.' if unread else None


def warmup_told_twice(args) -> str | None:
    return ('--warmup_ratio has no effect: --warmup_steps is given.' if args.command != 'infer'
            and args.train.warmup_steps > 0 and 'warmup_ratio' in args.explicit else None)


COMMON: tuple[Rule, ...] = (
    model_is_named, model_folder_exists, data_files_exist, plugins_exist, dataset_info_exists, columns_is_a_map,
    device_map_is_one, max_memory_has_device_map, rope_scaling_has_length, probabilities_fit_datasets,
    self_cognition_has_names, sampling_is_possible, new_tokens_are_there, quantiser_has_bits,
    quantiser_is_installed)
LORA: tuple[Rule, ...] = (
    new_tokens_are_trained, starts_have_what_they_need, targets_have_something_to_be, parts_are_chosen_once)
TRAINING: tuple[Rule, ...] = (
    *LORA,
    dataset_is_named, stream_has_an_end, streaming_val_needs_stream, freezing_is_for_full,
    quantised_weights_stay_frozen, method_fits_quantised_weights, start_fits_quantised_weights,
    loftq_has_quantised_weights,
    sharding_fits_quantised_weights, unsloth_takes_the_rest,
    method_flags_are_of_the_method, init_weights_fit_the_method, sizes_of_the_method_fit,
    *OPTIMIZING,
    adalora_sees_gradients, start_of_the_prompt_is_told, recomputing_fits_the_method, method_finds_weights_whole,
    attention_fits_the_method, edits_are_in_fp32, groups_divide_new_blocks,
    adapter_has_targets, regex_compiles, resume_folder_exists,
    resume_switches_need_resume, deepspeed_is_there,
    one_way_of_sharding, fsdp_config_is_one, scheduler_kwargs_are_a_map, names_of_transformers_exist,
    reporters_are_installed)
INFERENCE: tuple[Rule, ...] = (
    adapters_exist, merge_has_adapter, merge_is_possible, data_args_need_checkpoint, batch_has_rows,
    beams_do_not_stream)
NOTES: tuple[Rule, ...] = (
    adapter_flags_without_adapter, padding_free_beside_padding, evaluation_without_rows, split_beside_val_dataset,
    epochs_beside_steps, warmup_told_twice, settings_of_another_quantiser)


# -------------------------------------------------------------------------------------------------- small functions

def value_of(args: Arguments, name: str):
    """The value of a field by its flat name."""
    return args.__dict__[flags(type(args))[name].group].__dict__[name]


def _looks_local(text: str) -> bool:
    """Whether a word can only be a path: a hub id is ``owner/name``, and nobody calls a model ``checkpoint-5``."""
    parts = Path(text).parts
    return (text.startswith(('/', './', '../', '~', '.\\', '..\\')) or text in ('.', '..') or Path(text).is_absolute()
            or len(parts) > 2 or bool(parts and re.match(r'checkpoint-', parts[-1])))


def _is_lost_path(spec: str) -> bool:
    """Whether a data set spec can only be a path, and nothing is there. ``a.jsonl#500`` is looked up without the
    number, ``a.jsonl:sub`` without the subset, and a hub prefix (``HF::``) means that it is no path."""
    if '::' in spec:
        return False
    head, _, number = spec.rpartition('#')
    path = head if head and number.isdigit() else spec
    candidates = (spec, path, path.partition(':')[0])
    if any(Path(candidate).expanduser().exists() for candidate in candidates if candidate):
        return False
    return _looks_local(path.partition(':')[0]) or path.lower().endswith(_DATA_SUFFIXES)


def _json_problem(flag: str, text: str | None, wanted: type | tuple[type, ...]) -> str | None:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as e:
        return f'--{flag} is not JSON ({e}): {text}'
    return None if isinstance(value, wanted) else f'--{flag} takes a JSON map, got {text}'


def _json_or_file(flag: str, value: str | None, wanted: tuple[type, ...]) -> str | None:
    """A problem with a value that is either JSON text or the path of a JSON file."""
    if value is None:
        return None
    if value.lstrip().startswith(('{', '[')):
        return _json_problem(flag, value, wanted)
    path = Path(value).expanduser()
    if not path.is_file():
        return f'--{flag} {value}: no such file; it takes a JSON file or JSON text.'
    try:
        return _json_problem(flag, path.read_text(encoding='utf-8'), wanted)
    except UnicodeDecodeError:
        return f'--{flag} {value} is not a JSON file.'


def _is_zero3(deepspeed: str | None) -> bool:
    """Whether ``--deepspeed`` cuts parameters; a value that is none is told by another rule."""
    if deepspeed is None or deepspeed in ZERO:
        return (deepspeed or '').startswith('zero3')
    path = Path(deepspeed).expanduser()
    try:
        text = deepspeed if deepspeed.lstrip().startswith('{') else path.read_text(encoding='utf-8')
        return json.loads(text)['zero_optimization']['stage'] == 3
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _method_in(path: Path) -> str:
    """The method that an adapter_config.json names; one that is none is told where it is loaded."""
    try:
        config = json.loads(path.read_text(encoding='utf-8'))
        return str(config['swift_type'] if 'swift_type' in config else config['peft_type']).lower()
    except (OSError, ValueError, LookupError, TypeError):
        return ''


def _missing(package: str, needed_by: str) -> str | None:
    try:
        require(package, needed_by=needed_by)
    except MissingExtraError as e:
        return str(e)
    return None


def _listed(names: list[str]) -> str:
    return ', '.join(f'--{name}' for name in names)
