"""Which optimizers, schedules and other flags go together."""

from __future__ import annotations

import pytest

from swift.llm.args import rules
from swift.llm.args.commands import SftArguments
from swift.llm.args.derive import effective

GOOD = {'model': 'owner/model', 'dataset': ['name']}
IN_BACKWARD = {'sft_type': 'full', 'use_galore': True, 'galore_optim_per_parameter': True}


def _problems(**changes):
    return rules.check(SftArguments.of(**(GOOD | changes)))


@pytest.mark.parametrize('changes, text', [
    ({'galore_rank': 8}, '--galore_rank needs --use_galore true'),
    ({'optim': 'apollo', 'sft_type': 'full', 'muon_ns_steps': 4}, '--muon_ns_steps needs --optim muon'),
    ({'sft_type': 'full', 'lisa_step_interval': 4}, '--lisa_step_interval needs --lisa_activated_layers N'),
    ({'sft_type': 'full', 'use_galore': True, 'galore_proj_bits': 8}, '--galore_proj_bits needs --galore_quantization'),
    ({'use_galore': True}, '--use_galore true is for --tuner_type full: the matrices of lora are small'),
    ({'optim': 'apollo_mini'}, '--optim apollo_mini is for --tuner_type full'),
    ({'sft_type': 'full', 'use_galore': True, 'optim': 'sgd'}, 'it does not go with --optim sgd'),
    ({'sft_type': 'full', 'use_galore': True, 'fsdp': 'full_shard'}, '--use_galore true needs whole weights, which '
                                                                     '--fsdp cuts up'),
    ({'sft_type': 'full', 'optim': 'muon', 'fsdp': 'full_shard'}, '--optim muon needs whole weights'),
    (IN_BACKWARD | {'gradient_accumulation_steps': 2}, 'go with --gradient_accumulation_steps 2; raise'),
    (IN_BACKWARD | {'max_grad_norm': 0.5}, 'does not go with --max_grad_norm 0.5'),
    (IN_BACKWARD | {'torch_dtype': 'float16'}, 'does not go with --torch_dtype float16'),
    ({'optimizer_in_backward': True, 'optim': 'sgd'}, 'in_backward true does not go with --optim sgd; take'),
    ({'optimizer_in_backward': True, 'fsdp': 'full_shard'}, '--optimizer_in_backward true does not go with --fsdp'),
    ({'optimizer_in_backward': True, 'max_grad_norm': 1.0}, '--optimizer_in_backward true does not go with --max_grad'),
    ({'optim': 'adamw_bf16', 'fsdp': 'full_shard'}, '--optim adamw_bf16 needs whole weights, which --fsdp cuts up'),
    ({'freeze_parameters_regex': 'a'}, '--freeze_parameters_regex is for --tuner_type full'),
    ({'sft_type': 'full', 'trainable_parameters_regex': '('}, '--trainable_parameters_regex \'(\' is no regular'),
    ({'lisa_activated_layers': 2}, '--lisa_activated_layers is for --tuner_type full: with lora'),
    ({'sft_type': 'full', 'lisa_activated_layers': 2, 'badam_switch_interval': 5}, 'are two schedules of blocks'),
    ({'sft_type': 'full', 'badam_switch_interval': 5, 'fsdp': 'full_shard'}, 'which --fsdp does not allow'),
    ({'sft_type': 'full', 'badam_switch_interval': 5, 'ddp_find_unused_parameters': False}, 'give no gradient')])
def test_what_does_not_go_together_names_the_flags(changes, text):
    (problem,) = _problems(**changes)
    assert text in problem


@pytest.mark.parametrize('asked', [
    IN_BACKWARD, {'optimizer_in_backward': True}, {'optimizer_in_backward': True, 'optim': 'adamw_bf16'},
    {'optimizer_in_backward': True, 'sft_type': 'full', 'use_galore': True}])
def test_a_step_in_the_backward_takes_its_own_defaults_and_one_process(asked, monkeypatch):
    assert _problems(**asked) == []
    train = effective(SftArguments.of(**(GOOD | asked))).train
    assert (train.gradient_accumulation_steps, train.max_grad_norm) == (1, 0)
    monkeypatch.setenv('LOCAL_RANK', '0')
    monkeypatch.setenv('WORLD_SIZE', '2')
    (problem,) = _problems(**asked)
    assert 'does not go with 2 processes' in problem
