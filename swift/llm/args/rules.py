"""Rules across groups: small functions from arguments to a problem or None, run before torch is imported.

They may ask whether a local path exists and whether a package is installed; they read no data, import nothing heavy
and open no connection. Those about tuning methods are in ``tuner_rules.py``, about optimizers in ``optimizing.py``,
about packing in ``packing_rules.py``.
``NOTES`` are not errors: what was typed has no effect, and the user is told so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from swift.llm.args import optimizing, packing_rules, tuner_rules
from swift.llm.args.fields import ArgumentsError
from swift.llm.args.hf_names import OPTIMIZERS, REPORTERS, SCHEDULERS
from swift.llm.args.optimizing import OWN_OPTIMIZERS
from swift.llm.args.parser import Arguments
from swift.llm.args.rule_parts import (
    ZERO,
    is_lost_path,
    json_or_file,
    json_problem,
    looks_local,
    missing_package,
    value_of,
)
from swift.utils.extras import available
from swift.utils.registry import suggest

Rule = Callable[[Arguments], str | None]
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
    if not model or not looks_local(model) or Path(model).expanduser().is_dir():
        return None
    is_file = Path(model).expanduser().is_file()
    return f'--model {model}: {"this is a file; a model is a folder" if is_file else "no such folder"}.'


def data_files_exist(args) -> str | None:
    lost = [f'--{name} {spec}' for name in ('dataset', 'val_dataset')
            for spec in value_of(args, name) if is_lost_path(spec)]
    return f'{" and ".join(lost)}: no such file or folder.' if lost else None


def plugins_exist(args) -> str | None:
    lost = [path for path in args.data.external_plugins if not Path(path).expanduser().is_file()]
    return f'--external_plugins {lost[0]}: no such file.' if lost else None


def dataset_info_exists(args) -> str | None:
    return json_or_file('custom_dataset_info', args.data.custom_dataset_info, (dict, list))


def columns_is_a_map(args) -> str | None:
    problem = json_problem('columns', args.data.columns, dict)
    if problem or args.data.columns is None:
        return problem
    bad = [k for k, v in json.loads(args.data.columns).items() if not isinstance(v, str)]
    return f'--columns maps names to names; the value of {bad[0]!r} is not text.' if bad else None


def device_map_is_one(args) -> str | None:
    value = args.model.device_map
    return None if value is None or _DEVICE.fullmatch(value) else json_or_file('device_map', value, (dict,))


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
    broken = None if value in ZERO else json_or_file('deepspeed', value, (dict,))
    return broken or missing_package('deepspeed', '--deepspeed')


def one_way_of_sharding(args) -> str | None:
    ways = [f'--{name}' for name in ('deepspeed', 'fsdp', 'device_map') if value_of(args, name)]
    return f'{" and ".join(ways)} exclude each other; keep one.' if len(ways) > 1 else None


def offloading_recomputes(args) -> str | None:
    typed = 'none' if args.train.gradient_checkpointing is False else args.train.recompute
    if not args.train.offload_activations or typed in ('auto', 'full'):
        return None
    return (f'--offload_activations true keeps the inputs of blocks alone, which is --recompute full; got {typed}. '
            'Leave one of them out.')


def recompute_is_told_once(args) -> str | None:
    older, policy = args.train.gradient_checkpointing, args.train.recompute
    if older is None or 'recompute' not in args.explicit or policy == 'auto' or older == (policy != 'none'):
        return None
    return (f'--gradient_checkpointing {str(older).lower()} and --recompute {policy} contradict each other; keep '
            '--recompute.')


def fsdp_config_is_one(args) -> str | None:
    if args.train.fsdp_config and not args.train.fsdp:
        return '--fsdp_config needs --fsdp, for example --fsdp "full_shard auto_wrap".'
    return json_or_file('fsdp_config', args.train.fsdp_config, (dict,))


def scheduler_kwargs_are_a_map(args) -> str | None:
    return json_problem('lr_scheduler_kwargs', args.train.lr_scheduler_kwargs, dict)


def names_of_transformers_exist(args) -> str | None:
    """``--optim``, ``--lr_scheduler_type`` and ``--report_to`` take names that transformers knows, or ours."""
    known = {'optim': (*OWN_OPTIMIZERS, *OPTIMIZERS), 'lr_scheduler_type': SCHEDULERS,
             'report_to': (*REPORTERS, 'none')}
    for name, choices in known.items():
        value = args.train.__dict__[name]
        for word in value if isinstance(value, list) else [value]:
            if word is not None and word not in choices:
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
            if looks_local(folder) and not Path(folder).expanduser().is_dir()]
    if lost:
        return f'--adapters (--ckpt_dir) {lost[0]}: no such folder.'
    empty = [folder for folder in args.infer.adapters if Path(folder).expanduser().is_dir()
             and not (Path(folder).expanduser() / 'adapter_config.json').is_file()]
    return (f'--adapters (--ckpt_dir) {empty[0]} holds neither an adapter (adapter_config.json) nor a model '
            '(config.json). A run folder has them in checkpoint-N.' if empty else None)


def merge_has_adapter(args) -> str | None:
    return ('--merge_lora true needs an adapter: --adapters or --ckpt_dir.'
            if args.infer.merge_lora and not args.infer.adapters else None)


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


def warmup_told_twice(args) -> str | None:
    return ('--warmup_ratio has no effect: --warmup_steps is given.' if args.command != 'infer'
            and args.train.warmup_steps > 0 and 'warmup_ratio' in args.explicit else None)


COMMON: tuple[Rule, ...] = (
    model_is_named, model_folder_exists, data_files_exist, plugins_exist, dataset_info_exists, columns_is_a_map,
    device_map_is_one, max_memory_has_device_map, rope_scaling_has_length, probabilities_fit_datasets,
    self_cognition_has_names, sampling_is_possible, new_tokens_are_there, *tuner_rules.QUANTISERS)
TRAINING: tuple[Rule, ...] = (
    *tuner_rules.TRAINING, *optimizing.RULES, *packing_rules.RULES,
    dataset_is_named, stream_has_an_end, streaming_val_needs_stream, resume_folder_exists, resume_switches_need_resume,
    deepspeed_is_there, one_way_of_sharding, offloading_recomputes, recompute_is_told_once, fsdp_config_is_one,
    scheduler_kwargs_are_a_map, names_of_transformers_exist, reporters_are_installed)
INFERENCE: tuple[Rule, ...] = (
    adapters_exist, merge_has_adapter, *tuner_rules.INFERENCE, data_args_need_checkpoint, batch_has_rows,
    beams_do_not_stream)
NOTES: tuple[Rule, ...] = (
    *tuner_rules.NOTES, evaluation_without_rows, split_beside_val_dataset, epochs_beside_steps, warmup_told_twice)
