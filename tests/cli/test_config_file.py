from __future__ import annotations

import json

import pytest

from swift.cli.config_file import expand
from swift.llm.args.commands import InferArguments, SftArguments, parse
from swift.utils.errors import UsageError


@pytest.fixture
def write(tmp_path):
    def _write(text, name='run.yaml'):
        path = tmp_path / name
        path.write_text(text if isinstance(text, str) else json.dumps(text), encoding='utf-8')
        return str(path)
    return _write


def _parsed(argv, cls=SftArguments):
    return parse(cls, expand(argv, cls))[0]


VALUES = {'model_id_or_path': 'a/b', 'dataset': ['a,b.jsonl', '--seed', '中文'], 'lora-rank': 16, 'use_dora': True,
          'learning_rate': 1e-5, 'device_map': {'': 0}, 'system': '--lora_rank 3', 'max_length': -1,
          'val_dataset': 'v#5', 'target_regex': None, 'run_name': 'x', 'model_name': ['小', 'Xiao']}


@pytest.mark.parametrize('how', ['--config', '--config=', 'leading'])
@pytest.mark.parametrize('suffix', ['json', 'yaml', 'yml'])
def test_a_file_says_what_flags_say(write, how, suffix):
    path = write(VALUES, f'run.{suffix}')  # JSON is YAML
    argv = {'--config': ['--config', path], '--config=': [f'--config={path}'], 'leading': [path]}[how]
    args = _parsed(argv)
    assert args.model.model == 'a/b' and args.data.dataset == ['a,b.jsonl', '--seed', '中文']
    assert args.tuner.lora_rank == 16 and args.tuner.use_dora and args.train.learning_rate == 1e-5
    assert json.loads(args.model.device_map) == {'': 0} and args.template.system == '--lora_rank 3'
    assert args.template.max_length == -1 and args.train.hf_options == {'run_name': 'x'}
    assert 'target_regex' not in args.explicit and args.data.model_name == ['小', 'Xiao']


def test_plain_yaml(write):
    args = _parsed([write('model: a/b\ndataset:\n  - x.jsonl#5\n  - y\nlearning_rate: 1e-5\nlora_dropout: 0\n')])
    assert args.data.dataset == ['x.jsonl#5', 'y'] and args.train.learning_rate == 1e-5 and args.tuner.lora_dropout == 0


@pytest.mark.parametrize('typed', [['--lora_rank', '2', '--model', 'c', '--dataset', 'z'],
                                   ['--lora-rank=2', '--model_id_or_path', 'c', '--dataset', 'z']])
def test_what_is_typed_wins_in_every_spelling(write, typed):
    args = _parsed([write('lora_rank: 16\nmodel: a/b\ndataset: [x, y]\nseed: 3\n'), *typed])
    assert (args.tuner.lora_rank, args.model.model, args.data.dataset, args.run.seed) == (2, 'c', ['z'], 3)
    assert _parsed([*typed, '--config', write('lora_rank: 16\n')]).tuner.lora_rank == 2


def test_typed_checkpoint_wins_over_the_model_of_the_file(write, tmp_path):
    (tmp_path / 'config.json').write_text('{}')
    args = _parsed([write('model: a/b\n'), '--ckpt_dir', str(tmp_path)], InferArguments)
    assert args.model.model == str(tmp_path)


@pytest.mark.parametrize('text, message', [
    ('lora_rnk: 3\nfoo: 1\n', "unknown key 'lora_rnk'. Did you mean 'lora_rank'"),
    ('ENV:\n  A: b\n', 'export the variables in the shell'),
    ('a: [1\nb: 2\n', 'line 2'),
    ('seed: 3\nmodel: !!python/object/apply:os.getcwd []\n', 'line 2'),
    ('- a\n', 'must hold a map'),
    ('1: 2\n', 'must hold a map')])
def test_a_wrong_file_is_named_with_the_place(write, text, message):
    path = write(text)
    with pytest.raises(UsageError) as caught:
        expand([path], SftArguments)
    assert message in str(caught.value) and path in str(caught.value)


def test_broken_json_names_its_line(write):
    with pytest.raises(UsageError, match=r'run\.json, line 2'):
        expand([write('{\n"a": }', 'run.json')], SftArguments)


def test_refused_names_are_refused_from_a_file_too(write):
    with pytest.raises(UsageError, match="Liger kernels aren't there yet"):
        _parsed([write('use_liger: true\n')])
    assert _parsed([write('use_liger: false\n')]).explicit == frozenset()


@pytest.mark.parametrize('argv, message', [
    (['nowhere.yaml'], 'nowhere.yaml: no such file'),
    (['--config'], '--config needs a file'),
    (['a.yaml', '--config', 'b.yaml'], 'One config file at a time')])
def test_wrong_mentions_of_a_file(argv, message):
    with pytest.raises(UsageError, match=message):
        expand(argv, SftArguments)


def test_an_empty_file_and_no_file_change_nothing(write):
    assert expand([write(''), '--seed', '1'], SftArguments) == ['--seed', '1']
    assert expand(['--dataset', 'a.json'], SftArguments) == ['--dataset', 'a.json']
