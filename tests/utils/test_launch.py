from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from swift.utils.errors import UsageError
from swift.utils.launch import build_command, free_port

ARGV = ['--dataset', 'a b.jsonl', '--system', "$(rm -rf /) 'q' \n 中"]


def _build(command='sft', **environ):
    return build_command(command, ARGV, environ, find_port=lambda: 12345)


@pytest.mark.parametrize('environ', [
    {}, {'NPROC_PER_NODE': '1'}, {'NPROC_PER_NODE': '', 'NNODES': ''}, {'NNODES': '1', 'NODE_RANK': '0'},
    {'NPROC_PER_NODE': '4', 'LOCAL_RANK': '0'}, {'WORLD_SIZE': '2', 'RANK': '1'}])
def test_one_process_runs_here(environ):
    assert _build(**environ) is None


@pytest.mark.parametrize('command', ['infer', 'data', 'doctor'])
def test_only_training_is_launched(command):
    assert _build(command, NPROC_PER_NODE='4') is None


@pytest.mark.parametrize('command', ['sft', 'pt'])
def test_several_processes_on_one_machine(command):
    assert _build(command, NPROC_PER_NODE='4') == [
        sys.executable, '-m', 'swift.cli.torchrun', '--nproc_per_node', '4', '--master_addr', '127.0.0.1',
        '--master_port', '12345', '-m', f'swift.cli.{command}', *ARGV]


def test_one_process_that_needs_the_launcher():
    command = build_command('sft', ARGV, {}, find_port=lambda: 12345, always=True)
    assert command[3:5] == ['--nproc_per_node', '1'] and command[-len(ARGV):] == ARGV
    assert build_command('sft', ARGV, {'LOCAL_RANK': '0'}, always=True) is None, 'it is launched already'


def test_the_users_port_is_kept():
    command = _build(NPROC_PER_NODE='gpu', MASTER_PORT='29501', MASTER_ADDR='10.0.0.1')
    assert command[3:9] == ['--nproc_per_node', 'gpu', '--master_addr', '10.0.0.1', '--master_port', '29501']


def test_several_machines():
    command = _build(NNODES='2', NODE_RANK='1', MASTER_ADDR='10.0.0.1', NPROC_PER_NODE='8')
    assert command[3:13] == ['--nproc_per_node', '8', '--nnodes', '2', '--node_rank', '1', '--master_addr', '10.0.0.1',
                             '-m', 'swift.cli.sft']
    command = _build(NNODES='2', NODE_RANK='0', MASTER_ADDR='h', MASTER_PORT='1')
    assert command[3:13] == ['--nproc_per_node', '1', '--nnodes', '2', '--node_rank', '0', '--master_addr', 'h',
                             '--master_port', '1']


@pytest.mark.parametrize('environ, text', [
    ({'NPROC_PER_NODE': 'two'}, "NPROC_PER_NODE='two' must be a whole number of at least 1"),
    ({'NPROC_PER_NODE': '0'}, 'at least 1'),
    ({'NPROC_PER_NODE': '2', 'MASTER_PORT': 'x'}, "MASTER_PORT='x'"),
    ({'NNODES': '2'}, 'needs NODE_RANK and MASTER_ADDR'),
    ({'NNODES': '2', 'NODE_RANK': '0'}, 'needs MASTER_ADDR'),
    ({'NNODES': '2', 'NODE_RANK': '2', 'MASTER_ADDR': 'h'}, 'machines are numbered from 0')])
def test_wrong_variables_are_named(environ, text):
    with pytest.raises(UsageError, match=text):
        _build(**environ)


def test_the_free_port_is_free():
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', free_port()))


def test_replacing_the_process_keeps_words_and_exit_code():
    code = ('import sys; from swift.utils.launch import replace_process; '
            "replace_process([sys.executable, '-c', 'import sys; print(sys.argv[1]); sys.exit(7)', '$HOME \"x\"'])")
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 7 and done.stdout == '$HOME "x"\n'
