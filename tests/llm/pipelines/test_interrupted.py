"""Runs that are killed or run out of disk leave a state that loads, and go on from it.

One warm runner imports everything once and forks a child a run, so that a run costs its steps and not its imports.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from swift.llm.checkpoint import latest_run
from swift.trainers.checkpointing import checkpoints_of, resumable
from swift.utils.files import verify_manifest

ROOT = Path(__file__).parents[3]

# Reads a JSON list of [argv, file size limit or null] a line; forks, trains, answers with the child's pid.
RUNNER = '''
import json, os, resource, signal, sys
from swift.llm.pipelines.sft import sft_main
from swift.utils.errors import SwiftError
print('ready', flush=True)
for line in sys.stdin:
    argv, limit = json.loads(line)
    pid = os.fork()
    if pid == 0:
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        os.dup2(os.open(argv[0], os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        os.dup2(2, 1)
        try:
            sft_main(argv[1:])
        except SwiftError as e:
            print(e, file=sys.stderr)
            os._exit(1)
        os._exit(0)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
'''


class Runner:
    def __init__(self, log):
        self.log = log
        self._process = subprocess.Popen([sys.executable, '-c', RUNNER], cwd=ROOT, text=True, stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._process.stdout.readline() == 'ready\n'

    def start(self, argv, limit=None):
        self._process.stdin.write(json.dumps([[str(self.log), *argv], limit]) + '\n')
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def wait(self):
        return int(self._process.stdout.readline())

    def run(self, argv, limit=None):
        self.start(argv, limit)
        return self.wait()

    def close(self):
        self._process.stdin.close()
        self._process.wait()


@pytest.fixture(scope='module')
def runner(tmp_path_factory):
    log = tmp_path_factory.mktemp('runner') / 'log'
    runner = Runner(log)
    yield runner
    runner.close()


def command(model, rows, out, steps):
    return ['--model', str(model), '--dataset', str(rows), '--output_dir', str(out), '--batch_size', '1',
            '--gradient_accumulation_steps', '1', '--max_steps', str(steps), '--save_steps', '1', '--sft_type', 'full',
            '--split_dataset_ratio', '0', '--disable_tqdm', 'true', '--report_to', 'none']


@pytest.mark.parametrize('kills', [2, pytest.param(20, marks=pytest.mark.slow)])
def test_kills_at_random_moments_leave_a_loadable_state(runner, tiny_model_dir, chat_file, tmp_path, kills):
    from transformers import AutoModelForCausalLM

    moments, out = random.Random(kills), tmp_path / 'out'
    argv, saved = command(tiny_model_dir, chat_file, out, 400), 0
    for _ in range(kills):
        pid = runner.start(argv)
        deadline = time.monotonic() + 60
        while not any(out.glob('*/*/checkpoint-*')) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(moments.uniform(0, 4))  # loading, or inside one of the saves, of which there is one a step
        os.kill(pid, signal.SIGKILL)
        assert runner.wait() == -signal.SIGKILL
        for checkpoint in out.glob('*/*/checkpoint-*'):
            assert verify_manifest(checkpoint) is None, 'what has its final name is whole'
        newest = resumable(latest_run(out))
        AutoModelForCausalLM.from_pretrained(newest)
        step = int(newest.name.removeprefix('checkpoint-'))
        assert step >= saved, 'a kill loses nothing that was saved'
        saved = step
        argv = ['--resume_from_checkpoint', 'latest', '--output_dir', str(out), '--max_steps', str(step + 400)]
    assert runner.run([*argv[:-1], str(saved + 2)]) == 0, 'and the last of them trains on to its end'


def test_a_save_that_does_not_fit_keeps_the_last_good_checkpoint(runner, tiny_model_dir, chat_file, tmp_path):
    """The kernel refuses to write files over a limit that is below the size of the weights."""
    argv = command(tiny_model_dir, chat_file, tmp_path / 'out', 2)
    assert runner.run(argv, limit=200_000) == 1
    run_dir = next((tmp_path / 'out').glob('*/v*'))
    assert checkpoints_of(run_dir) == [] and not list(run_dir.glob('.tmp-*'))
    log = runner.log.read_text()
    assert 'Older checkpoints are untouched and training goes on' in log
    assert 'checkpoint-2 could not be written' in log.splitlines()[-1]
    assert runner.run(argv) == 0

