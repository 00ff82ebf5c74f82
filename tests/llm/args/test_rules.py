from __future__ import annotations

import json

import pytest

from swift.llm.args import rules, tuner_rules
from swift.llm.args.commands import InferArguments, PtArguments, SftArguments
from swift.llm.args.fields import ArgumentsError
from swift.utils import extras

GOOD = {'model': 'owner/model', 'dataset': ['name']}


def _problems(cls=SftArguments, **changes):
    return rules.check(cls.of(**(GOOD | changes)))


@pytest.mark.parametrize('cls', [SftArguments, PtArguments])
def test_a_plain_command_breaks_no_rule(cls):
    assert _problems(cls) == []


def test_infer_needs_no_data():
    assert rules.check(InferArguments.of(model='owner/model')) == []


@pytest.mark.parametrize('changes, text', [
    ({'model': None}, 'No model: give --model'),
    ({'dataset': []}, 'No training data: give --dataset'),
    ({'model': 'output/m/v0-1/checkpoint-5'}, '--model output/m/v0-1/checkpoint-5: no such folder'),
    ({'model': './nowhere'}, '--model ./nowhere: no such folder'),
    ({'dataset': ['a.jsonl#500']}, '--dataset a.jsonl#500: no such file'),
    ({'val_dataset': ['/no/such/folder']}, '--val_dataset /no/such/folder: no such file'),
    ({'external_plugins': ['x.py']}, '--external_plugins x.py: no such file'),
    ({'columns': '{"a": 1}'}, "--columns maps names to names; the value of 'a'"),
    ({'columns': 'a'}, '--columns is not JSON'),
    ({'device_map': 'gpu'}, '--device_map gpu: no such file'),
    ({'max_memory': ['1GB'], 'device_map': 'cpu'}, '--max_memory is for --device_map auto'),
    ({'rope_scaling': 'linear', 'max_length': -1}, '--rope_scaling linear needs --max_length'),
    ({'interleave_prob': [0.5, 0.5]}, 'got 2 for 1'),
    ({'dataset': ['self-cognition#9']}, 'needs --model_name and --model_author'),
    ({'dataset': ['swift/self-cognition:zh'], 'model_name': ['x']}, 'needs --model_author'),
    ({'streaming': True}, '--streaming true needs --max_steps'),
    ({'streaming_val_size': 5}, '--streaming_val_size is for --streaming'),
    ({'packing': True, 'padding_free': False}, '--packing true puts rows into one line, which --padding_free false'),
    ({'max_tokens_per_batch': 4096, 'padding_free': False}, '--max_tokens_per_batch 4096 puts rows into one line'),
    ({'packing': True, 'sft_type': 'prefix'}, '--packing true puts rows into one line, and --tuner_type prefix_tuning'),
    ({'packing': True, 'max_tokens_per_batch': 4096}, '--packing true and --max_tokens_per_batch exclude each other'),
    ({'batch_size': 2, 'max_tokens_per_batch': 4096}, '--per_device_train_batch_size 2 and --max_tokens_per_batch'),
    ({'packing_length': 4096}, '--packing_length 4096 is for --packing true'),
    ({'packing': True, 'max_length': -1}, '--packing true needs --max_length or --packing_length'),
    ({'packing': True, 'packing_length': 1024}, '--packing_length 1024 is below --max_length 2048'),
    ({'max_tokens_per_batch': 1024}, '--max_tokens_per_batch 1024 is below --max_length 2048'),
    ({'max_tokens_per_batch': 1024, 'max_length': -1, 'streaming': True, 'max_steps': 1},
     '--max_tokens_per_batch 1024 with --streaming true needs --max_length'),
    ({'freeze_parameters_ratio': 0.5}, '--freeze_parameters_ratio is for --tuner_type full'),
    ({'target_modules': []}, '--target_modules is empty'),
    ({'vera_rank': 8}, '--vera_rank is for --tuner_type vera, and --tuner_type is lora'),
    ({'sft_type': 'boft', 'fourier_scaling': 1.0}, '--fourier_scaling is for --tuner_type fourierft'),
    ({'sft_type': 'full', 'adalora_deltaT': 2}, '--adalora_deltaT is for --tuner_type adalora'),
    ({'sft_type': 'adalora', 'adalora_target_r': 12}, '--adalora_target_r 12 must be below --adalora_init_r 12'),
    ({'sft_type': 'adalora', 'fsdp': 'full_shard'}, 'adalora needs whole gradients after each step, which --fsdp'),
    ({'sft_type': 'boft', 'boft_block_num': 2}, '--boft_block_size 4 and --boft_block_num 2: one of them must be 0'),
    ({'sft_type': 'gralora', 'gralora_k': 5}, '--gralora_k 5 must divide --gralora_rank 32'),
    ({'sft_type': 'hra', 'hra_rank': 3}, '--hra_rank 3 must be even'),
    ({'sft_type': 'road', 'road_group_size': 7}, '--road_group_size 7 must be even'),
    ({'sft_type': 'bone', 'init_weights': 'olora'}, '--init_weights takes true or bat with --tuner_type miss'),
    ({'init_weights': 'bat'}, '--init_weights bat is for --tuner_type miss'),
    ({'quant_method': 'bnb'}, '--quant_method bnb needs --quant_bits, for example 4'),
    ({'quant_bits': 4, 'sft_type': 'full'}, '--quant_bits 4 with --tuner_type full: quantised weights can not'),
    ({'quant_bits': 8, 'sft_type': 'lokr'}, '--tuner_type lokr does not work on weights of bnb; all but delora, hra'),
    ({'quant_bits': 4, 'init_weights': 'pissa_niter_4'}, '--init_weights pissa_niter_4 changes the frozen weights'),
    ({'init_weights': 'loftq'}, '--init_weights loftq makes up for what --quant_bits takes away'),
    ({'init_weights': 'loftq', 'quant_bits': 4, 'use_dora': True}, '--init_weights loftq does not go with --use_dora'),
    ({'quant_bits': 4, 'deepspeed': 'zero3'}, '--deepspeed zero3 spreads every weight over the processes'),
    ({'quant_bits': 4, 'fsdp': 'full_shard'}, '--fsdp spreads every weight over the processes'),
    ({'sft_type': 'prompt', 'prompt_tuning_init': 'text'}, 'text needs --prompt_tuning_init_text'),
    ({'sft_type': 'prompt_tuning', 'prompt_tuning_init_text': 'Hi'}, 'and --prompt_tuning_init is sample_vocab'),
    ({'sft_type': 'prefix', 'gradient_checkpointing': True}, 'true does not work with --tuner_type prefix_tuning'),
    ({'sft_type': 'prefix', 'recompute': 'light'}, '--recompute light does not work with --tuner_type prefix_tuning'),
    ({'gradient_checkpointing': True, 'recompute': 'none'}, '--gradient_checkpointing true and --recompute none'),
    ({'offload_activations': True, 'recompute': 'light'}, 'which is --recompute full; got light'),
    ({'offload_activations': True, 'gradient_checkpointing': False}, 'which is --recompute full; got none'),
    ({'gradient_checkpointing': False, 'recompute': 'light'}, '--gradient_checkpointing false and --recompute light'),
    ({'sft_type': 'prefix', 'exclude_modules': ['q_proj']}, '--exclude_modules is about modules with an adapter'),
    ({'sft_type': 'longlora', 'attn_impl': 'eager'}, '--attn_impl eager does not go with --tuner_type longlora'),
    ({'sft_type': 'ptuning', 'fsdp': 'full_shard'}, 'p_tuning needs whole embeddings, which --fsdp does not'),
    ({'target_regex': '('}, 'is no regular expression'),
    ({'init_weights': 'orthogonal', 'lora_rank': 5}, '--init_weights orthogonal needs even ranks, got 5'),
    ({'init_weights': 'orthogonal', 'lora_rank_pattern': '{"q_proj": 3}'}, 'needs even ranks, got 3'),
    ({'freeze_vit': False, 'target_modules': ['q_proj']}, '--freeze_vit and --target_modules both choose modules'),
    ({'freeze_vit': True, 'target_modules': ['ALL']}, '--freeze_vit beside --target_modules ALL, which is every'),
    ({'freeze_llm': True, 'sft_type': 'lora_llm'}, '--freeze_llm: --tuner_type lora_llm is an adapter on the'),
    ({'sft_type': 'ia3', 'new_special_tokens': ['<a>']}, '--new_special_tokens: --tuner_type ia3 trains no single'),
    ({'new_special_tokens': ['nowhere.txt']}, '--new_special_tokens nowhere.txt: no such file'),
    ({'new_special_tokens': ['<a>'], 'fsdp': 'full_shard'}, '--new_special_tokens makes tables larger, which --fsdp'),
    ({'eva_rho': 1.0}, '--eva_rho is for --init_weights eva, and --init_weights is true'),
    ({'sft_type': 'ia3', 'corda_rows': 8}, '--corda_rows is for --tuner_type lora, and --tuner_type is ia3'),
    ({'init_weights': 'lora_ga', 'streaming': True, 'max_steps': 1}, '--init_weights lora-ga looks at training rows'),
    ({'init_weights': 'pissa', 'fsdp': 'full_shard'}, '--init_weights pissa needs whole weights, and --fsdp spreads'),
    ({'sft_type': 'ia3', 'target_parameters': ['EXPERTS']}, '--target_parameters is for --tuner_type lora'),
    ({'sft_type': 'full', 'exclude_modules': ['mlp']}, '--exclude_modules is about adapters, and --tuner_type is full'),
    ({'target_parameters': ['EXPERTS'], 'lora_dropout': 0.1}, '--target_parameters allows no dropout'),
    ({'target_parameters': ['EXPERTS'], 'use_dora': True}, '--target_parameters does not go with --use_dora true'),
    ({'resume_from_checkpoint': 'nowhere'}, '--resume_from_checkpoint nowhere: no such folder'),
    ({'resume_only_model': True}, '--resume_only_model needs --resume_from_checkpoint'),
    ({'deepspeed': 'zero4'}, "got 'zero4'. Did you mean 'zero"),
    ({'deepspeed': '{'}, '--deepspeed is not JSON'),
    ({'fsdp_config': '{}'}, '--fsdp_config needs --fsdp'),
    ({'fsdp': 'full_shard', 'device_map': 'auto'}, '--fsdp and --device_map exclude each other'),
    ({'optim': 'adamw_torh'}, "--optim adamw_torh is not known. Did you mean 'adamw_torch'"),
    ({'sft_type': 'llamapro', 'llamapro_num_new_blocks': 4, 'llamapro_num_groups': 3},
     '--llamapro_num_groups 3 must divide --llamapro_num_new_blocks 4'),
    ({'sft_type': 'llamapro', 'quant_bits': 4}, '--tuner_type llamapro does not work on weights of bnb'),
    ({'sft_type': 'reft', 'lora_dtype': 'bfloat16'}, '--lora_dtype bfloat16 does not go with --tuner_type reft'),
    ({'sft_type': 'reft', 'reft_args': '[1]'}, '--reft_args takes a JSON map'),
    ({'lr_scheduler_type': 'cosin'}, "--lr_scheduler_type cosin is not known. Did you mean 'cosine'"),
    ({'report_to': ['wandbb']}, '--report_to wandbb is not known'),
    ({'report_to': ['dvclive']}, '--report_to dvclive needs a package that is not installed'),
    ({'lr_scheduler_kwargs': '[]'}, '--lr_scheduler_kwargs takes a JSON map')])
def test_broken_rules_of_training_name_the_flag(changes, text):
    (problem,) = _problems(**changes)
    assert text in problem


def test_packed_rows_are_not_for_unsloth():
    problems = _problems(packing=True, tuner_backend='unsloth')
    assert any("--packing true puts rows into one line, which --tuner_backend unsloth's" in line for line in problems)


@pytest.mark.parametrize('changes, text', [
    ({}, 'or --ckpt_dir CHECKPOINT'),
    ({'ckpt_dir': 'xxx/checkpoint-xxx'}, '--adapters (--ckpt_dir) xxx/checkpoint-xxx: no such folder'),
    ({'adapters': ['./nowhere']}, './nowhere: no such folder'),
    ({'model': 'm', 'merge_lora': True}, '--merge_lora true needs an adapter'),
    ({'model': 'm', 'load_data_args': True, 'load_args': False}, 'needs --load_args true'),
    ({'model': 'm', 'eval_human': False}, '--eval_human false answers a data set'),
    ({'model': 'm', 'num_beams': 2, 'stream': True}, 'exclude each other'),
    ({'model': 'm', 'do_sample': True, 'temperature': 0}, 'exclude each other')])
def test_broken_rules_of_inference_name_the_flag(changes, text):
    (problem,) = rules.check(InferArguments.of(**changes))
    assert text in problem


def test_a_folder_without_adapter_or_model_says_what_it_looked_for(tmp_path):
    (problem,) = rules.check(InferArguments.of(ckpt_dir=str(tmp_path)))
    assert 'adapter_config.json' in problem and 'checkpoint-N' in problem


@pytest.mark.parametrize('key, kind, problems', [
    ('peft_type', 'PROMPT_TUNING', 1), ('peft_type', 'PREFIX_TUNING', 1), ('peft_type', 'LORA', 0),
    ('peft_type', 'NEW', 0), ('swift_type', 'reft', 1), ('swift_type', 'llamapro', 0),
    ('swift_type', 'adapter', 1), ('swift_type', 'part', 0)])
def test_what_can_not_be_merged_is_told_before_anything_is_loaded(key, kind, problems, tmp_path):
    (tmp_path / 'adapter_config.json').write_text(json.dumps({key: kind}))
    found = rules.check(InferArguments.of(model='m', adapters=[str(tmp_path)], merge_lora=True))
    assert len(found) == problems
    assert not found or f'is of the type {kind.lower()}, which can not become part of the weights' in found[0]
    assert rules.check(InferArguments.of(model='m', adapters=[str(tmp_path)])) == []


def test_prompts_note_what_they_do_not_read():
    args = SftArguments.of(**GOOD, sft_type='p_tuning_v2', target_modules=['q_proj'], lora_rank=4, padding_free=True)
    assert args.tuner.tuner_type == 'prefix_tuning'
    assert rules.notes(args) == [
        '--target_modules, --lora_rank has no effect with --tuner_type prefix_tuning.',
        '--padding_free true has no effect: --tuner_type prefix_tuning needs rows of their own.']


@pytest.mark.parametrize('value, refused', [
    ('zero2', False), ('zero3_offload', True), ('{"zero_optimization": {"stage": 3}}', True),
    ('{"zero_optimization": {"stage": 2}}', False), ('{}', False)])
def test_prompts_are_not_cut_by_zero3(value, refused, monkeypatch):
    monkeypatch.setattr(extras, 'available', lambda package: True)
    found = _problems(sft_type='prompt_tuning', deepspeed=value)
    assert any('--deepspeed with ZeRO-3 does not leave' in problem for problem in found) == refused


@pytest.mark.parametrize('method', ['part', 'llamapro', 'reft'])
def test_tuners_of_ours_are_not_sharded(method, monkeypatch):
    monkeypatch.setattr(extras, 'available', lambda package: True)
    changes = {'sft_type': method, **({'target_modules': ['lm_head']} if method == 'part' else {})}
    for way in ({'deepspeed': 'zero3'}, {'fsdp': 'full_shard auto_wrap'}):
        (problem,) = _problems(**changes, **way)
        assert f'--tuner_type {method} needs whole modules, which --' in problem
    assert _problems(**changes, deepspeed='zero2') == []


def test_files_that_are_there_pass(tmp_path):
    data, table, module = tmp_path / 'a#b.jsonl', tmp_path / 'ds.json', tmp_path / 'p.py'
    for path in (data, module):
        path.write_text('')
    table.write_text('{"zero_optimization": {"stage": 2}}')
    assert _problems(dataset=[str(data), f'{data}#5'], external_plugins=[module], custom_dataset_info=table,
                     model=str(tmp_path), resume_from_checkpoint=str(tmp_path)) == []


def test_hub_ids_that_look_like_nothing_local_pass():
    assert _problems(dataset=['AI-ModelScope/alpaca-gpt4-data-zh#500', 'HF::owner/x.json', 'id:subset/other#5']) == []


def test_a_broken_json_file_is_told(tmp_path):
    path = tmp_path / 'ds.json'
    path.write_text('{"a": ')
    (problem,) = _problems(custom_dataset_info=str(path))
    assert '--custom_dataset_info is not JSON' in problem


def test_a_missing_package_is_told_before_anything_is_loaded(monkeypatch):
    monkeypatch.setattr(extras, 'installed_version', lambda package: None)
    (problem,) = _problems(deepspeed='zero2')
    assert problem == ("--deepspeed needs the package 'deepspeed', which is not installed. "
                       "Install it with: pip install 'ms-swift[deepspeed]'")


@pytest.mark.parametrize('bits, package', [(4, 'bitsandbytes'), (8, 'bitsandbytes'), (3, 'hqq')])
def test_a_missing_quantiser_is_told_before_anything_is_loaded(monkeypatch, bits, package):
    monkeypatch.setattr(tuner_rules, 'available', lambda module: False)
    monkeypatch.setattr(extras, 'available', lambda module: False)
    (problem,) = _problems(quant_bits=bits)
    assert f'--quant_bits {bits}' in problem and package in problem and 'pip install' in problem
    assert rules.check(InferArguments.of(model='owner/model', quant_bits=bits)) == [problem]


def test_hqq_takes_the_methods_that_peft_has_for_it(monkeypatch):
    monkeypatch.setattr(tuner_rules, 'available', lambda module: True)
    assert _problems(quant_bits=2, sft_type='vera') == []
    (problem,) = _problems(quant_bits=4, quant_method='hqq', sft_type='ia3')
    assert problem.startswith('--tuner_type ia3 does not work on weights of hqq; lora, lora_llm, longlora')


def test_resuming_needs_neither_model_nor_data(tmp_path):
    assert rules.check(SftArguments.of(resume_from_checkpoint=str(tmp_path))) == []
    assert rules.check(SftArguments.of(resume_from_checkpoint='latest')) == []


def test_all_broken_rules_are_told_together():
    with pytest.raises(ArgumentsError) as caught:
        rules.enforce(SftArguments.of(streaming=True))
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize('changes, text', [
    ({'tuner_type': 'full', 'lora_rank': 4, 'use_dora': True}, '--lora_rank, --use_dora has no effect'),
    ({'tuner_type': 'vera', 'lora_rank': 4, 'lora_dtype': 'bfloat16'}, '--lora_rank has no effect with --tuner_type '
                                                                       'vera'),
    ({'tuner_type': 'adalora', 'lora_rank': 4, 'lora_alpha': 8}, '--lora_rank has no effect with'),
    ({'val_dataset': ['v'], 'split_dataset_ratio': 0.1}, '--split_dataset_ratio has no effect'),
    ({'eval_steps': 5, 'split_dataset_ratio': 0}, '--eval_steps has nothing to evaluate on'),
    ({'max_steps': 5, 'num_train_epochs': 3}, '--num_train_epochs has no effect'),
    ({'warmup_steps': 5, 'warmup_ratio': 0.1}, '--warmup_ratio has no effect')])
def test_what_has_no_effect_is_noted(changes, text):
    args = SftArguments.of(**(GOOD | changes))
    assert rules.check(args) == []
    (note,) = rules.notes(args)
    assert text in note


def test_defaults_are_not_noted():
    assert rules.notes(PtArguments.of(**GOOD)) == [] == rules.notes(InferArguments.of(model='m'))


@pytest.mark.skipif(not extras.available('deepspeed'), reason='needs the extra deepspeed')
def test_deepspeed_as_json_text():
    assert _problems(deepspeed=json.dumps({'zero_optimization': {'stage': 3}})) == []
