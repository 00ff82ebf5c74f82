from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swift.llm.args.commands import COMMANDS, InferArguments, PtArguments, SftArguments, parse, to_argv, to_flat
from swift.llm.args.fields import ArgumentsError, Group, opt
from swift.llm.args.groups import DataArgs, GenerationArgs, ModelArgs, TemplateArgs, TrainArgs
from swift.llm.args.parser import Arguments, flags

# the texts that shells, splitters and parsers stumble over, among any others
TEXT = st.one_of(st.text(max_size=20), st.sampled_from([
    '--not a flag', '--lora_rank', '--lora_rank=3', '-1', '-1e-5', '--', '-', '$(rm -rf /)', "it's", '"quoted"',
    '两\n行', 'a b', '', '[1]', '["x"]', '{"a": 1}', 'none', 'null', 'true', 'a,b', 'x\\', '\t', '#5', 'model_name=x']))
WORDS = st.lists(TEXT, max_size=3)


@settings(max_examples=150, deadline=None)
@given(model=TEXT, system=TEXT, dataset=WORDS, author=st.lists(TEXT, max_size=2), ratio=st.floats(0, 0.99),
       rate=st.none() | st.floats(1e-9, 1), steps=st.just(-1) | st.integers(1, 10**9), stream=st.booleans(),
       lazy=st.none() | st.booleans(), options=st.dictionaries(
           st.sampled_from(['run_name', 'tf32', 'optim_args', 'eval_delay']),
           TEXT | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.none()))
def test_parse_of_to_argv_is_the_same(model, system, dataset, author, ratio, rate, steps, stream, lazy, options):
    args = SftArguments(
        model=ModelArgs(model=model), template=TemplateArgs(system=system),
        data=DataArgs(dataset=dataset, model_author=author, split_dataset_ratio=ratio, streaming=stream,
                      lazy_tokenize=lazy),
        train=TrainArgs(learning_rate=rate, max_steps=steps, hf_options=options))
    again, explicit = parse(SftArguments, to_argv(args))
    assert again == args
    changed = {name for name, value in to_flat(args).items() if value != to_flat(SftArguments())[name]}
    assert explicit == changed - {'hf_options'} | set(options)


@settings(max_examples=100, deadline=None)
@given(words=WORDS, system=TEXT, temperature=st.none() | st.floats(0, 5))
def test_of_to_flat_is_the_same(words, system, temperature):
    args = InferArguments(template=TemplateArgs(system=system, max_length=-1), data=DataArgs(val_dataset=words),
                          generation=GenerationArgs(stop_words=words, temperature=temperature))
    flat = json.loads(json.dumps(to_flat(args)))
    assert InferArguments.of(**flat) == args


def test_optional_values_that_are_not_the_default_come_back():
    args = PtArguments.of(lazy_tokenize=None, eval_steps=None)
    assert args.data.lazy_tokenize is None and args.train.eval_steps is None
    assert parse(PtArguments, to_argv(args))[0] == args


def test_explicit_is_what_was_typed_even_when_it_equals_the_default():
    args, explicit = parse(SftArguments, ['--lora_rank', '8', '--seed=7'])
    assert explicit == {'lora_rank', 'seed'} == set(args.explicit)
    assert args.tuner.lora_rank == 8 and args.run.seed == 7


def test_commands_differ_in_defaults():
    assert SftArguments().tuner.tuner_type == 'lora' and PtArguments().tuner.tuner_type == 'full'
    assert PtArguments().tuner.target_modules == ['ALL'] and PtArguments().train.eval_steps == 500
    assert SftArguments().template.max_length == 2048 and InferArguments().template.max_length == -1


@pytest.mark.parametrize('words, value', [
    ([], True), (['true'], True), (['1'], True), (['FALSE'], False), (['0'], False)])
def test_switches(words, value):
    assert parse(SftArguments, ['--use_dora', *words, '--seed', '1'])[0].tuner.use_dora is value


def test_lists_take_several_words_and_the_last_mention_wins():
    args, _ = parse(SftArguments, ['--dataset', 'a', '--model_name', '小黄', 'Xiao Huang', '--dataset', 'b', 'c'])
    assert args.data.dataset == ['b', 'c'] and args.data.model_name == ['小黄', 'Xiao Huang']


def test_values_that_start_with_a_dash():
    args, _ = parse(SftArguments, ['--max_length', '-1', '--system', '- be brief', '--learning_rate', '1e-5'])
    assert args.template.max_length == -1 and args.template.system == '- be brief'
    assert parse(SftArguments, ['--system=--seed'])[0].template.system == '--seed'


def test_values_are_not_touched_by_the_rule_for_dashes():
    assert parse(SftArguments, ['--model-type', 'qwen2-0_5b'])[0].model.model_type == 'qwen2-0_5b'


@pytest.mark.parametrize('argv, text', [
    (['--lora_rnk', '3'], "Unknown argument --lora_rnk. Did you mean '--lora_rank'?"),
    (['--lora_ran', '3'], 'Unknown argument --lora_ran'),  # no guessing of abbreviations
    (['--seed', 'x'], "--seed takes a whole number, got 'x'"),
    (['--seed'], '--seed needs a value'),
    (['--learning_rate', 'nan'], 'finite'),
    (['--use_dora', 'maybe'], "--use_dora takes true or false, got 'maybe'"),
    (['--system', 'You', 'are', 'x'], '--system takes one value, got 3: You | are | x'),
    (['--attn_impl', 'sdpaa'], "got 'sdpaa'. Did you mean 'sdpa'?"),
    (['--sft_type', 'lorra'], '--sft_type (--tuner_type) takes lora, lora_llm, adalora'),
    (['--batch_size', '0'], '--batch_size (--per_device_train_batch_size) must be at least 1 (rows), got 0'),
    (['--lora_rank', '0'], '--lora_rank must be at least 1, got 0'),
    (['--max_steps', '0'], '--max_steps'),
    (['--interleave_prob', '0.5', '0.2'], 'sum to 1'),
    (['--save_total_limit', '0'], 'keep nothing'),
    (['--model_name', 'a', 'b', 'c'], 'Quote a name'),
    (['--init_weights', 'zero'], '--init_weights takes'),
    (['--max_batch_size', '2'], '--max_batch_size is an argument of `swift infer`'),
    (['--hf_options', '{}'], 'Unknown argument --hf_options'),
    (['stray'], "Unexpected 'stray'")])
def test_wrong_command_lines_say_what_is_wrong(argv, text):
    with pytest.raises(ArgumentsError) as caught:
        parse(SftArguments, argv)
    assert text in str(caught.value)


def test_all_problems_are_told_at_once():
    with pytest.raises(ArgumentsError) as caught:
        parse(SftArguments, ['--lora_rnk', '3', '--lora_rank', '0', '--seed', 'x', '--max_length', '0'])
    assert len(caught.value.problems) == 4 and str(caught.value).startswith('4 problems:')


def test_names_of_transformers_pass_through_as_typed():
    argv = ['--tf32', 'False', '--run_name', 'x', '--eval_delay', '1.5', '--include_for_metrics', 'a', 'b',
            '--logging_first_step']
    args, explicit = parse(SftArguments, argv)
    assert args.train.hf_options == {'tf32': False, 'run_name': 'x', 'eval_delay': 1.5, 'logging_first_step': True,
                                     'include_for_metrics': ['a', 'b']}
    assert explicit == set(args.train.hf_options)


def test_python_keywords_take_every_spelling_and_type(tmp_path):
    args = SftArguments.of(model_id_or_path=tmp_path, dataset='a.jsonl', lora_rank=4, use_flash_attn=None,
                           lr_scheduler_kwargs={'num_cycles': 2}, run_name='r')
    assert args.model.model == str(tmp_path) and args.data.dataset == ['a.jsonl']
    assert json.loads(args.train.lr_scheduler_kwargs) == {'num_cycles': 2}
    assert args.explicit == {'model', 'dataset', 'lora_rank', 'lr_scheduler_kwargs', 'run_name'}
    with pytest.raises(ArgumentsError, match='lora_rnk'):
        SftArguments.of(lora_rnk=3)
    with pytest.raises(ArgumentsError, match='--lora_rank needs a value'):
        SftArguments.of(lora_rank=None)


def test_replaced_changes_values_and_keeps_what_was_typed():
    args = SftArguments.of(seed=1)
    other = args.replaced({'lora_rank': 2, 'model': 'm'})
    assert (other.tuner.lora_rank, other.model.model, other.run.seed) == (2, 'm', 1)
    assert other.explicit == {'seed'} and args.tuner.lora_rank == 8


def test_two_owners_of_one_flag_are_a_type_error():
    @dataclass(frozen=True)
    class First(Group):
        rank: int = opt(1, 'x')

    @dataclass(frozen=True)
    class Second(Group):
        rank: int = opt(1, 'x')

    @dataclass(frozen=True)
    class Both(Arguments, command='both'):
        first: First = field(default_factory=First)
        second: Second = field(default_factory=Second)

    del COMMANDS['both']
    with pytest.raises(TypeError, match='--rank is declared by both First and Second'):
        flags(Both)


def test_groups_check_themselves_in_python_too():
    with pytest.raises(ArgumentsError, match="--max_length takes int, got '5'"):
        TemplateArgs(max_length='5')
    with pytest.raises(ArgumentsError, match='--dataset takes a list of str'):
        DataArgs(dataset='a')
    with pytest.raises(dataclasses.FrozenInstanceError):
        TemplateArgs().max_length = 3


def test_defaults_are_not_shared():
    SftArguments().data.dataset.append('x')
    assert SftArguments().data.dataset == []


@pytest.mark.parametrize(('words', 'expected'), [
    (['--use_loss_scale', 'true'], 'react'),
    (['--use_loss_scale', 'false'], 'default'),
    (['--loss_scale_config_path', 'DEFAULT'], 'react'),
    (['--use_loss_scale', 'true', '--loss_scale_config_path', 'agent-flan'], 'agent-flan'),
    (['--loss_scale_config_path', 'mine.json', '--use_loss_scale', 'true'], 'mine.json'),
    (['--loss_scale', 'last_round+react'], 'last_round+react'),
])
def test_weights_of_words_in_both_vocabularies(words, expected):
    assert parse(SftArguments, ['--model', 'x', '--dataset', 'y', *words])[0].template.loss_scale == expected
