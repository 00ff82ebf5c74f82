"""``--tuner_backend unsloth`` against a module of that name which notes its calls: the package itself wants a GPU."""

from __future__ import annotations

import sys
from types import ModuleType

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM

from swift.llm.args import rules, tuner_rules
from swift.llm.args.commands import SftArguments
from swift.llm.args.groups import ModelArgs, QuantArgs
from swift.llm.model.unsloth import load_with_unsloth
from swift.llm.pipelines.sft import sft_main
from swift.utils.errors import MissingExtraError, SwiftError, UsageError

GOOD = {'model': 'owner/model', 'dataset': ['name'], 'tuner_backend': 'unsloth'}


class FastLanguageModel:
    """The two calls of unsloth's documentation, made with transformers and peft."""

    calls: list[tuple[str, dict]] = []

    @classmethod
    def from_pretrained(cls, **options):
        cls.calls.append(('from_pretrained', options))
        return AutoModelForCausalLM.from_pretrained(options['model_name'], dtype=options['dtype']), None

    @classmethod
    def get_peft_model(cls, model, **options):
        cls.calls.append(('get_peft_model', dict(options)))
        seed, _ = options.pop('random_state'), options.pop('use_gradient_checkpointing')
        torch.manual_seed(seed)
        return peft.get_peft_model(model, peft.LoraConfig(task_type='CAUSAL_LM', **options))


@pytest.fixture
def unsloth(monkeypatch):
    module = ModuleType('unsloth')
    module.FastLanguageModel = FastLanguageModel
    monkeypatch.setitem(sys.modules, 'unsloth', module)
    monkeypatch.setattr(tuner_rules, 'available', lambda name: True)
    monkeypatch.setattr(FastLanguageModel, 'calls', [])
    return FastLanguageModel


def test_a_run_makes_the_documented_calls_and_saves_a_plain_adapter(unsloth, tiny_model_dir, chat_file, tmp_path):
    result = sft_main({
        'model': str(tiny_model_dir), 'dataset': [str(chat_file)], 'tuner_backend': 'unsloth', 'quant_bits': 4,
        'max_length': 512, 'lora_rank': 4, 'target_modules': ['q_proj', 'v_proj'], 'gradient_checkpointing': False,
        'max_steps': 3, 'batch_size': 2, 'gradient_accumulation_steps': 1, 'learning_rate': 0.01, 'logging_steps': 1,
        'split_dataset_ratio': 0, 'output_dir': str(tmp_path), 'disable_tqdm': True, 'report_to': ['none'],
        'template': 'smollm2'})
    (first, loading), (second, adding) = unsloth.calls
    assert (first, second) == ('from_pretrained', 'get_peft_model')
    assert loading == {'model_name': str(tiny_model_dir.resolve()), 'max_seq_length': 512, 'dtype': torch.float32,
                       'load_in_4bit': True, 'load_in_8bit': False, 'full_finetuning': False,
                       'trust_remote_code': False}
    assert adding['target_modules'] == ['q_proj', 'v_proj'] and adding['use_gradient_checkpointing'] is False
    assert (adding['r'], adding['lora_alpha'], adding['lora_dropout'], adding['bias']) == (4, 32, 0.05, 'none')
    assert (result.last_checkpoint / 'adapter_model.safetensors').is_file()
    losses = [row['loss'] for row in result.log_history if 'loss' in row]
    assert len(losses) == 3 and losses[-1] < losses[0]


def test_full_training_and_8_bits_and_the_models_own_length(unsloth, tiny_model_dir):
    model = ModelArgs(model=str(tiny_model_dir))
    load_with_unsloth(model, QuantArgs(), full=True, max_length=-1)
    load_with_unsloth(model, QuantArgs(quant_bits=8), full=False, max_length=64)
    (_, full), (_, eight) = unsloth.calls
    assert full['full_finetuning'] and full['max_seq_length'] == 2048 and not full['load_in_4bit']
    assert (eight['load_in_8bit'], eight['load_in_4bit'], eight['max_seq_length']) == (True, False, 64)


def test_what_it_can_not_load_or_start_is_one_line(unsloth, tiny_model_dir, monkeypatch):
    def fails(**_):
        raise RuntimeError('no kernel for this architecture')

    monkeypatch.setattr(unsloth, 'from_pretrained', fails)
    with pytest.raises(SwiftError, match='unsloth can not load .*no kernel for this architecture. Without --tuner_b'):
        load_with_unsloth(ModelArgs(model=str(tiny_model_dir)), QuantArgs(), full=False, max_length=64)
    monkeypatch.setitem(sys.modules, 'unsloth', None)
    with pytest.raises(UsageError, match='--tuner_backend unsloth can not start here: .* Leave the flag out'):
        load_with_unsloth(ModelArgs(model=str(tiny_model_dir)), QuantArgs(), full=False, max_length=64)


def test_files_are_checked_before_unsloth_sees_them(unsloth, broken, edit_config):
    edit_config(quantization_config={'quant_method': 'gptq'})
    with pytest.raises(MissingExtraError, match='gptqmodel'):
        load_with_unsloth(ModelArgs(model=str(broken)), QuantArgs(), full=False, max_length=64)
    assert unsloth.calls == []


@pytest.mark.parametrize('changes, text', [
    ({'sft_type': 'vera'}, '--tuner_backend unsloth has lora and full, not --tuner_type vera'),
    ({'use_dora': True, 'deepspeed': '{}'}, 'unsloth does not take --use_dora, --deepspeed'),
    ({'init_weights': 'pissa'}, 'unsloth does not take --init_weights'),
    ({'quant_bits': 4, 'quant_method': 'hqq'}, 'unsloth does not take --quant_method hqq')])
def test_what_it_does_not_have_is_refused_before_anything_is_loaded(monkeypatch, changes, text):
    monkeypatch.setattr(tuner_rules, 'available', lambda name: True)
    problems = rules.check(SftArguments.of(**GOOD, **changes))
    assert [problem for problem in problems if text in problem], problems


def test_without_the_package_one_line_says_so():
    (problem,) = rules.check(SftArguments.of(**GOOD))
    assert problem.startswith('--tuner_backend unsloth needs the package unsloth') and 'pip install unsloth' in problem
