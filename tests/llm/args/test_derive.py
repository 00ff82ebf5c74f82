from __future__ import annotations

import pytest

from swift.llm.args.commands import InferArguments, PtArguments, SftArguments
from swift.llm.args.derive import effective


@pytest.mark.parametrize('cls, flat, expected', [
    (SftArguments, {}, {'learning_rate': 1e-4, 'eval_steps': 50, 'save_steps': 50, 'per_device_eval_batch_size': 1,
                        'gradient_accumulation_steps': 16, 'add_version': True, 'eval_strategy': 'steps'}),
    (SftArguments, {'sft_type': 'full'}, {'learning_rate': 1e-5, 'eval_steps': 200, 'save_steps': 200}),
    (PtArguments, {}, {'learning_rate': 1e-5, 'eval_steps': 500, 'save_steps': 500}),
    (PtArguments, {'sft_type': 'lora'}, {'learning_rate': 1e-4, 'eval_steps': 500}),
    (SftArguments, {'learning_rate': 0.0, 'eval_steps': 3, 'save_steps': 9, 'add_version': False,
                    'eval_batch_size': 5, 'gradient_accumulation_steps': 2},
     {'learning_rate': 0.0, 'eval_steps': 3, 'save_steps': 9, 'add_version': False, 'per_device_eval_batch_size': 5,
      'gradient_accumulation_steps': 2}),
    (SftArguments, {}, {'recompute': 'auto'}),
    (SftArguments, {'gradient_checkpointing': True}, {'recompute': 'full'}),
    (SftArguments, {'activation_checkpointing': False}, {'recompute': 'none'}),
    (SftArguments, {'gradient_checkpointing': True, 'recompute': 'light'}, {'recompute': 'light'}),
    (SftArguments, {'sft_type': 'prefix_tuning'}, {'recompute': 'none'}),
    (SftArguments, {'packing': True}, {'packing_length': 2048, 'gradient_accumulation_steps': 16}),
    (SftArguments, {'packing': True, 'packing_length': 4096, 'batch_size': 2},
     {'packing_length': 4096, 'gradient_accumulation_steps': 8, 'per_device_eval_batch_size': 2}),
    (SftArguments, {'max_tokens_per_batch': 8192}, {'packing_length': None, 'gradient_accumulation_steps': 1}),
    (SftArguments, {'max_tokens_per_batch': 8192, 'gradient_accumulation_steps': 3},
     {'gradient_accumulation_steps': 3}),
    (SftArguments, {'split_dataset_ratio': 0}, {'eval_strategy': 'no', 'eval_steps': 50}),
    (SftArguments, {'streaming': True, 'max_steps': 5}, {'eval_strategy': 'no'}),
    (SftArguments, {'streaming': True, 'max_steps': 5, 'streaming_val_size': 4}, {'eval_strategy': 'steps'})])
def test_defaults_that_depend_on_other_flags(cls, flat, expected):
    train = effective(cls.of(**flat)).train
    assert {name: train.__dict__[name] for name in expected} == expected


@pytest.mark.parametrize('rows, world, steps', [(1, 1, 16), (3, 1, 6), (4, 4, 1), (1, 32, 1), (5, 2, 2)])
def test_a_step_has_about_sixteen_rows(rows, world, steps):
    args = effective(SftArguments.of(batch_size=rows), world_size=world)
    assert args.train.gradient_accumulation_steps == steps


def test_validation_data_replaces_the_split_and_seeds_follow():
    data = effective(SftArguments.of(val_dataset='v', seed=7)).data
    assert data.split_dataset_ratio == 0 and data.data_seed == 7 and data.lazy_tokenize is False
    assert effective(SftArguments.of(data_seed=3)).data.data_seed == 3
    assert effective(PtArguments()).data.lazy_tokenize is True
    assert effective(PtArguments.of(streaming=True)).data.lazy_tokenize is False


def test_inference():
    assert effective(InferArguments.of(model='m')).infer.eval_human is True
    assert effective(InferArguments.of(model='m', val_dataset='v')).infer.eval_human is False
    assert effective(InferArguments.of(model='m', val_dataset='v', eval_human=True)).infer.eval_human is True
    assert effective(InferArguments.of(temperature=0)).generation.do_sample is False
    assert effective(InferArguments.of(num_beams=3)).generation.stream is False


def test_what_was_typed_is_kept():
    args = effective(SftArguments.of(lora_rank=3))
    assert args.explicit == {'lora_rank'} and args.tuner.lora_rank == 3
