from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from swift.cli import main as cli
from swift.utils import launch, versions
from swift.utils.errors import NonFiniteError
from swift.version import __version__

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def calls(monkeypatch):
    """Runs no command: records what the function would have got."""
    seen = []
    monkeypatch.setattr(cli, '_load', lambda target: lambda args: seen.append((target, args)))
    monkeypatch.setattr(launch, 'replace_process', lambda command: seen.append(('exec', command)))
    for name in ('LOCAL_RANK', 'NPROC_PER_NODE', 'NNODES', 'NODE_RANK', 'MASTER_ADDR', 'MASTER_PORT'):
        monkeypatch.delenv(name, raising=False)
    return seen


def _sft(*more):
    return ['sft', '--model', 'owner/model', '--dataset', 'name', *more]


@pytest.mark.parametrize('argv', [[], ['--help'], ['-h'], ['help']])
def test_help_lists_the_commands(argv, capsys):
    assert cli.main(argv) == 0
    out = capsys.readouterr().out
    assert all(f'\n  {name} ' in out for name in cli.COMMANDS) and 'rlhf' in out


@pytest.mark.parametrize('argv', [['sft', '--help'], ['sft', '--lora_rnk', '3', '-h']])
def test_help_of_a_command_names_every_group(argv, capsys):
    assert cli.main(argv) == 0
    out = capsys.readouterr().out
    assert all(flag in out for flag in ('--lora_rank', '--dataset', '--max_length', '--deepspeed', '--seed'))
    assert '[8]' in out and 'of tokens' in out and 'sft_type' in out and 'run_name' in out


def test_version(capsys):
    assert cli.main(['version']) == cli.main(['--version']) == 0
    assert capsys.readouterr().out == f'{__version__}\n' * 2


def test_a_typo_in_a_command_suggests_one(capsys):
    assert cli.main(['sfft']) == 2
    assert "Unknown command 'sfft'. Did you mean 'sft'" in capsys.readouterr().err


@pytest.mark.parametrize('name', [*cli.LATER, 'merge_lora', 'web_ui'])
def test_commands_that_come_later_say_so_in_one_line(name, capsys):
    assert cli.main([name, '--model', 'x']) == 2
    err = capsys.readouterr().err
    assert "isn't there yet" in err and err.count('\n') == 1


@pytest.mark.parametrize('argv, text', [
    (_sft('--lora_rnk', '3'), "Unknown argument --lora_rnk. Did you mean '--lora_rank'?"),
    (_sft('--streaming', 'true'), '--streaming true needs --max_steps'),
    (['infer'], 'No model')])
@pytest.mark.parametrize('processes', ['1', '4'])
def test_wrong_usage_ends_with_2_and_launches_nothing(argv, text, processes, calls, capsys, monkeypatch):
    monkeypatch.setenv('NPROC_PER_NODE', processes)
    assert cli.main(argv) == 2
    err = capsys.readouterr().err
    assert err.startswith('swift: error: ') and text in err and 'Traceback' not in err
    assert calls == []


def test_the_function_gets_checked_arguments(calls):
    assert cli.main(_sft('--lora-rank', '4')) == 0
    ((target, args),) = calls
    assert target == 'swift.llm.pipelines.sft:sft_main'
    assert args.tuner.lora_rank == 4 and args.explicit == {'model', 'dataset', 'lora_rank'}


def test_several_processes_become_torchrun_with_the_same_words(calls, monkeypatch):
    monkeypatch.setenv('NPROC_PER_NODE', '2')
    cli.main(_sft('--system', '$(rm -rf /) "x"'))
    name, command = calls[0]
    assert name == 'exec' and command[-2:] == ['--system', '$(rm -rf /) "x"']
    assert command[command.index('--nproc_per_node') + 1] == '2'


def test_a_worker_does_not_launch_again(calls, monkeypatch):
    monkeypatch.setenv('NPROC_PER_NODE', '2')
    monkeypatch.setenv('LOCAL_RANK', '1')
    assert cli.main(_sft()) == 0
    assert [name for name, _ in calls] == ['swift.llm.pipelines.sft:sft_main']


def _raises(error):
    def function(args):
        raise error
    return lambda target: function


def test_errors_of_the_user_show_their_message_only(calls, capsys, monkeypatch):
    monkeypatch.setattr(cli, '_load', _raises(NonFiniteError('the loss is NaN at step 3')))
    assert cli.main(_sft()) == 1
    assert capsys.readouterr().err == 'swift: error: the loss is NaN at step 3\n'


def test_a_full_disk_is_one_line(calls, capsys, monkeypatch):
    monkeypatch.setattr(cli, '_load', _raises(OSError(errno.ENOSPC, 'No space left on device', '/x/args.json')))
    assert cli.main(_sft()) == 1
    assert capsys.readouterr().err == 'swift: error: /x/args.json could not be written: No space left on device.\n'


def test_ctrl_c_ends_with_130(calls, capsys, monkeypatch):
    monkeypatch.setattr(cli, '_load', _raises(KeyboardInterrupt()))
    assert cli.main(_sft()) == 130
    assert capsys.readouterr().err.strip() == 'Interrupted.'


def test_other_errors_keep_their_traceback(calls, monkeypatch):
    monkeypatch.setattr(cli, '_load', _raises(RuntimeError('a bug')))
    with pytest.raises(RuntimeError, match='a bug'):
        cli.main(_sft())


def test_an_unsupported_version_stops_before_anything_is_imported(calls, capsys, monkeypatch):
    monkeypatch.setattr(versions.check, '__defaults__', (lambda package: '1.0',))
    assert cli.main(_sft()) == 1
    assert 'transformers>=5.17,<6 is needed, and 1.0 is installed' in capsys.readouterr().err
    assert calls == []


def test_what_has_no_effect_is_said(calls, caplog):
    import logging
    logging.getLogger('swift').addHandler(caplog.handler)
    try:
        cli.main(_sft('--sft_type', 'full', '--lora_rank', '3'))
    finally:
        logging.getLogger('swift').removeHandler(caplog.handler)
    assert '--lora_rank has no effect with --tuner_type full' in caplog.text


def test_every_command_has_a_module_for_torchrun():
    for name in launch.TRAINING_COMMANDS:
        assert (ROOT / 'swift' / 'cli' / f'{name}.py').is_file()


@pytest.mark.parametrize('module', ['swift', 'swift.cli.main', 'swift.cli.sft'])
def test_ways_to_start_it(module):
    argv = ['--help'] if module == 'swift.cli.sft' else ['sft', '--help']
    done = subprocess.run([sys.executable, '-m', module, *argv], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith('Usage: swift sft')


@pytest.mark.parametrize(('words', 'reason'), [
    (['--template', 'chatmll'], "Unknown template 'chatmll'"),
    (['--loss_scale', 'raect'], "Did you mean 'react'"),
    (['--tools_prompt', 'react_enn'], "Did you mean 'react_en'"),
])
def test_names_are_looked_up_before_anything_is_loaded(calls, capsys, words, reason):
    assert cli.main([*_sft(), *words]) == 2
    assert reason in capsys.readouterr().err and not calls


def test_names_that_a_plug_in_may_register_are_looked_up_after_it(calls, tmp_path):
    (tmp_path / 'mine.py').write_text('')
    assert cli.main([*_sft(), '--template', 'mine', '--external_plugins', str(tmp_path / 'mine.py')]) == 0
    assert len(calls) == 1
