"""Every argument of the two SWIFT vocabularies is a field, an alias, passed through, or refused with one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from swift.llm.args import aliases, rule_parts, rules
from swift.llm.args.commands import COMMANDS, InferArguments, SftArguments, parse
from swift.llm.args.fields import ArgumentsError
from swift.llm.args.parser import flags, pass_through

DATA = Path(__file__).parent / 'data'
# The values below are ours to choose; all others are the first choice or a plain value of the type.
SAMPLES = {
    'lr_scheduler_kwargs': '{}', 'columns': '{"a": "query"}', 'init_lora_weights': 'gaussian', 'init_weights': 'true',
    'template_type': 'AUTO', 'infer_backend': 'pt', 'attn_impl': 'flash_attn', 'torch_dtype': 'bfloat16',
    'lora_dtype': 'bfloat16', 'loss_scale': 'all', 'truncation_strategy': 'left', 'tuner_type': 'full',
    'lora_ga_max_length': '8', 'lora_ga_direction': 'ArBr', 'lora_ga_scale': 'unit',
    'tuner_backend': 'peft', 'sft_type': 'full', 'strict': 'true', 'ddp_backend': 'gloo', 'dtype': 'bf16',
    'galore_proj_type': 'left', 'optimizer': 'muon',
    'interleave_prob': '1', 'include_num_input_tokens_seen': 'true', 'use_flash_attn': 'true',
    'eval_steps': '7', 'save_steps': '7', 'save_strategy': 'steps', 'rope_scaling': 'linear',
    'bnb_4bit_quant_storage': 'bfloat16', 'quant_method': 'bnb', 'quant_bits': '4', 'quantization_bit': '4',
    'hqq_axis': '0', 'split_dataset_ratio': '0.5', 'dataset_test_ratio': '0.5', 'max_rejected_ratio': '0.5',
    'eval_strategy': 'epoch', 'adapter_act': 'relu'}


def _rows(era: str):
    tables = json.loads((DATA / f'{era}_args.json').read_text())
    return [pytest.param(command, *row, id=f'{era}-{command}-{row[0]}')
            for command, rows in tables.items() for row in rows]


def _sample(name: str, kind: str, choices: list) -> str:
    words = [c for c in choices if isinstance(c, str)]
    if name in SAMPLES:
        return SAMPLES[name]
    if words:
        return words[0]
    return 'true' if 'bool' in kind else '1' if 'int' in kind else '0.5' if 'float' in kind else 'word'


@pytest.mark.parametrize('command, name, kind, default, choices', [*_rows('seed'), *_rows('newest')])
def test_every_name_works_or_is_refused_with_a_line(command, name, kind, default, choices):
    cls, word = COMMANDS[command], _sample(name, kind, choices)
    known = flags(cls)
    alias = aliases.ALIASES.get(name)
    works = (name in known or name in pass_through(cls) or name in aliases.REDIRECTS
             or (alias is not None and alias.target in known))
    if works:
        args, explicit = parse(cls, [f'--{name}', word])
        assert explicit, f'--{name} {word} was parsed and changed nothing'
        return
    if aliases.is_what_happens_anyway(name, [word]):
        assert parse(cls, [f'--{name}', word])[1] == set()
        word = 'something-else'
    with pytest.raises(ArgumentsError) as caught:
        parse(cls, [f'--{name}', word])
    (problem,) = caught.value.problems
    assert problem.startswith(f'--{name}')
    assert 'Unknown' not in problem and len(problem) > len(name) + 20


def test_the_tables_are_whole():
    tables = json.loads((DATA / 'seed_args.json').read_text())
    assert [len(tables[c]) for c in ('sft', 'pt', 'infer')] == [212, 212, 83]


@pytest.mark.parametrize('argv, field, value', [
    (['--sft_type', 'full'], 'tuner_type', 'full'),
    (['--train_type', 'full'], 'tuner_type', 'full'),
    (['--sft_type', 'adalora'], 'tuner_type', 'adalora'),
    (['--train_type', 'bone'], 'tuner_type', 'miss'),
    (['--adalora_deltaT', '10'], 'adalora_deltaT', 10),
    (['--boft_target_modules', 'q_proj'], 'target_modules', ['q_proj']),
    (['--ia3_feedforward_modules', 'up_proj,down_proj'], 'ia3_feedforward_modules', ['up_proj', 'down_proj']),
    (['--model_id_or_path', 'a/b'], 'model', 'a/b'),
    (['--use_flash_attn', 'true'], 'attn_impl', 'flash_attention_2'),
    (['--use_flash_attn'], 'attn_impl', 'flash_attention_2'),
    (['--use_flash_attn', '0'], 'attn_impl', 'sdpa'),
    (['--dtype', 'fp32'], 'torch_dtype', 'float32'),
    (['--dtype', 'AUTO'], 'torch_dtype', 'auto'),
    (['--batch_size', '4'], 'per_device_train_batch_size', 4),
    (['--eval_batch_size', '4'], 'per_device_eval_batch_size', 4),
    (['--dataset_test_ratio', '0'], 'split_dataset_ratio', 0),
    (['--truncation_strategy', 'truncation_left'], 'truncation_strategy', 'left'),
    (['--evaluation_strategy', 'epoch'], 'eval_strategy', 'epoch'),
    (['--lora_bias_trainable', 'all'], 'lora_bias', 'all'),
    (['--target_modules', 'all-linear'], 'target_modules', ['ALL']),
    (['--target_modules', 'AUTO'], 'target_modules', ['DEFAULT']),
    (['--lora_target_modules', 'q_proj,v_proj'], 'target_modules', ['q_proj', 'v_proj']),
    (['--freeze_parameters', '0.5'], 'freeze_parameters_ratio', 0.5),
    (['--freeze_parameters', 'model.layers'], 'freeze_parameters', ['model.layers']),
    (['--dataset', 'a', '--custom_train_dataset_path', 'b', 'c'], 'dataset', ['a', 'b', 'c']),
    (['--custom_register_path', 'x.py'], 'external_plugins', ['x.py']),
    (['--deepspeed', 'default-zero2'], 'deepspeed', 'zero2'),
    (['--deepspeed', 'zero3-offload'], 'deepspeed', 'zero3_offload'),
    (['--save_total_limit', 'None'], 'save_total_limit', -1),
    (['--warmup_steps', '0.1'], 'warmup_ratio', 0.1),
    (['--warmup_steps', '10'], 'warmup_steps', 10),
    (['--strict', 'true'], 'max_rejected_ratio', 0),
    (['--quantization_bit', '4'], 'quant_bits', 4),
    (['--quantization_bit', '0'], 'quant_bits', 0),
    (['--quant_bits', 'None'], 'quant_bits', None),
    (['--bnb_4bit_comp_dtype', 'AUTO'], 'bnb_4bit_compute_dtype', 'auto'),
    (['--bnb_4bit_comp_dtype', 'bf16'], 'bnb_4bit_compute_dtype', 'bfloat16'),
    (['--per-device-train-batch-size', '3'], 'per_device_train_batch_size', 3),
    (['--activation_checkpointing', 'false'], 'gradient_checkpointing', False)])
def test_meaning_of_an_alias(argv, field, value):
    args, explicit = parse(SftArguments, argv)
    assert args.__dict__[flags(SftArguments)[field].group].__dict__[field] == value
    assert explicit == {field}


def test_ckpt_dir_looks_into_the_folder(tmp_path):
    (tmp_path / 'config.json').write_text('{}')
    assert parse(InferArguments, ['--ckpt_dir', str(tmp_path)])[0].model.model == str(tmp_path)
    (tmp_path / 'adapter_config.json').write_text('{}')
    args, explicit = parse(InferArguments, ['--ckpt_dir', str(tmp_path)])
    assert args.infer.adapters == [str(tmp_path)] and args.model.model is None
    assert explicit == {'adapters'}


def test_commas_split_data_sets_unless_a_file_is_called_so(tmp_path):
    odd = tmp_path / 'a,b.jsonl'
    odd.write_text('{}')
    args, _ = parse(SftArguments, ['--dataset', 'x#5,y', str(odd), f'{odd}#3'])
    assert args.data.dataset == ['x#5', 'y', str(odd), f'{odd}#3']


@pytest.mark.parametrize('argv, text', [
    (['--self_cognition_sample', '500'], '--dataset self-cognition#N'),
    (['--sft_type', 'dummy'], "--sft_type dummy: the tuner dummy isn't there yet"),
    (['--check_model_is_latest', 'true'], 'never asked'),
    (['--save_safetensors', 'false'], 'always written as safetensors'),
    (['--packing_strategy', 'sequential'], 'packed by their lengths'),
    (['--bf16', 'true'], '--torch_dtype bfloat16'),
    (['--ignore_args_error', 'true'], 'always an error'),
    (['--quant_method', 'awq'], 'recognised by its config.json: give it as --model'),
    (['--quant_method', 'eetq'], "eetq isn't there yet; bnb and hqq are"),
    (['--quant_bits', '5'], '--quant_bits with --quant_method hqq takes 8, 4, 3, 2, 1; got 5'),
    (['--quant_method', 'bnb', '--quant_bits', '3'], '--quant_bits with --quant_method bnb takes 4, 8; got 3'),
    (['--lora_dropout', '0.1', '--lora_dropout_p', '0.2'], 'same flag with different values')])
def test_refused_with_what_to_do(argv, text):
    with pytest.raises(ArgumentsError, match='(?s).*' + text.replace('(', r'\(')):
        parse(SftArguments, argv)


def test_asking_for_what_happens_anyway_is_taken():
    argv = ['--use_ray', 'false', '--packing_num_proc', '1', '--save_safetensors', 'true', '--check_model_is_latest',
            'false', '--tp', '1']
    args, explicit = parse(SftArguments, argv)
    assert args == SftArguments() and explicit == set()


def test_tables_do_not_contradict_each_other():
    fields = {name for cls in COMMANDS.values() for name in flags(cls)}
    assert not set(aliases.ALIASES) & fields
    assert not set(aliases.REMOVED) & set(aliases.NOT_YET)
    assert {alias.target for alias in aliases.ALIASES.values()} <= fields
    assert set(aliases.ANYWAY) <= set(aliases.REFUSED) | set(aliases.ALIASES)
    assert {name for name, _ in (*aliases.VALUES, *aliases.NOT_YET_VALUES)} <= fields


@pytest.mark.parametrize('line', [
    'sft --model_type qwen1half-7b-chat --dataset blossom-math-zh --num_train_epochs 5 --sft_type lora '
    '--output_dir output',
    'sft --model_type qwen1half-7b-chat --dataset blossom-math-zh --num_train_epochs 5 --sft_type full '
    '--output_dir output --eval_steps 500',
    'pt --model_type qwen1half-7b --dataset chinese-c4#100000 --num_train_epochs 1 --sft_type full --output_dir output '
    '--lazy_tokenize true',
    'infer --model_type qwen1half-7b-chat',
    'infer --ckpt_dir {adapter} --load_dataset_config true',
    'infer --ckpt_dir {adapter} --load_dataset_config true --merge_lora true',
    'infer --model_type pixtral-12b --dtype fp16'])
def test_commands_of_the_readme_are_taken(line, tmp_path):
    (tmp_path / 'adapter_config.json').write_text('{}')
    command, *argv = line.format(adapter=tmp_path).split()
    rules.enforce(parse(COMMANDS[command], argv)[0])


@pytest.mark.parametrize('value', ['default-zero2', 'default-zero3', 'zero2-offload', 'zero3-offload', 'zero2'])
def test_presets_of_deepspeed_are_known(value):
    args, _ = parse(SftArguments, ['--deepspeed', value])
    assert args.train.deepspeed in rule_parts.ZERO
