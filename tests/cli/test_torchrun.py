from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from swift.utils.launch import free_port

ROOT = Path(__file__).resolve().parents[2]


def _start(script: Path) -> subprocess.Popen:
    command = [sys.executable, '-m', 'swift.cli.torchrun', '--nproc_per_node', '2', '--master_addr', '127.0.0.1',
               '--master_port', str(free_port()), str(script)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            start_new_session=True)


@pytest.mark.parametrize('last_line, code', [
    ('sys.exit(0)', 0), ('sys.exit(2 if rank == "1" else 0)', 2),
    ('os.kill(os.getpid(), 9) if rank == "0" else None', 137)])
def test_the_exit_code_is_the_workers_own(tmp_path, last_line, code):
    script = tmp_path / 'worker.py'
    script.write_text(f'import os, sys\nrank = os.environ["LOCAL_RANK"]\n{last_line}\n')
    process = _start(script)
    _, err = process.communicate(timeout=120)
    assert process.returncode == code
    assert 'Traceback' not in err
    assert ('ended with code' in err) == (code != 0)


def test_ctrl_c_ends_quietly_with_130(tmp_path):
    """A terminal sends the signal to the whole group: launcher and workers."""
    script = tmp_path / 'worker.py'
    script.write_text('import pathlib, os, sys, time\n'
                      f'pathlib.Path({str(tmp_path)!r}, os.environ["LOCAL_RANK"]).touch()\n'
                      'try:\n    time.sleep(100)\nexcept KeyboardInterrupt:\n    sys.exit(130)\n')
    process = _start(script)
    deadline = time.monotonic() + 120
    while not all((tmp_path / rank).exists() for rank in '01') and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)  # the workers are inside their try now
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert 'Traceback' not in err
