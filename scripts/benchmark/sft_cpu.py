"""tokens/s and peak memory of ``swift sft`` against the same LoRA run in plain transformers + peft, in one run.

    python scripts/benchmark/sft_cpu.py [--data FILE] [--rows 64] [--output docs/benchmarks/sft_cpu.json]

Both train the demo model in float32 with LoRA rank 8 on all linear layers, on the same rows in the same batches of 4,
one after the other, each in its own process. Reported: real (not padding) tokens/s from the second step on, the peak
resident memory of the process, and the time from its start to the end of its first step.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BATCH, SEED = 4, 42


def rows_of(path: Path, count: int) -> list[list[dict]]:
    """``count`` rows spread evenly over a file, as question and answer."""
    from swift.llm.dataset.convert import convert
    from swift.llm.dataset.read import read_rows

    messages = [convert(raw.value)['messages'] for raw in read_rows(path)]
    two_turns = [m for m in messages if [turn['role'] for turn in m] == ['user', 'assistant']]
    return two_turns[::max(1, len(two_turns) // count)][:count]


def batches_of(n_rows: int) -> list[list[int]]:
    """The batches that ``swift sft`` makes of so many rows."""
    from swift.trainers.batching import StepBatchSampler, StepPlan

    return [[row for row, _ in batch] for batch in StepBatchSampler(n_rows, StepPlan(BATCH, 1), seed=SEED)]


def run(command: list[str], log: Path, first_step_over: Callable[[], bool]) -> dict[str, float]:
    """Run a child to its end: seconds until ``first_step_over``, and its peak resident memory in GB."""
    started, first = time.time(), None
    with open(log, 'w', encoding='utf-8') as output:
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT)
        while True:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            if first is None and first_step_over():
                first = time.time() - started
            time.sleep(0.05)
    if status:
        sys.exit(f'{" ".join(command)} failed:\n{log.read_text(encoding="utf-8")[-3000:]}')
    return {'first_step_after_s': round(first, 1), 'peak_memory_gb': round(usage.ru_maxrss * 1024 / 1e9, 2)}


def plain(model: Path, rows: list[list[dict]], scratch: Path) -> dict[str, float]:
    settings, log = scratch / 'plain.json', scratch / 'plain.log'
    settings.write_text(json.dumps({'model': str(model), 'rows': rows, 'batches': batches_of(len(rows))}))
    figures = run([sys.executable, str(ROOT / 'scripts/benchmark/plain_loop.py'), str(settings)], log,
                  lambda: '"step": 1' in log.read_text())
    steps = [json.loads(line) for line in log.read_text().splitlines() if line.startswith('{"step"')]
    tokens, seconds = sum(s['tokens'] for s in steps[1:]), sum(s['seconds'] for s in steps[1:])
    return {'tokens_per_second': round(tokens / seconds, 1), 'first_loss': steps[0]['loss'],
            'last_loss': steps[-1]['loss'], 'tokens': sum(s['tokens'] for s in steps)} | figures


def ours(model: Path, rows: list[list[dict]], scratch: Path) -> dict[str, float]:
    data, run_dir = scratch / 'rows.jsonl', scratch / 'run'
    data.write_text(''.join(json.dumps({'messages': messages}) + '\n' for messages in rows))
    command = [sys.executable, '-m', 'swift.cli.main', 'sft', '--model', str(model), '--dataset', str(data),
               '--sft_type', 'lora', '--target_modules', 'ALL', '--dtype', 'fp32', '--batch_size', str(BATCH),
               '--gradient_accumulation_steps', '1', '--num_train_epochs', '1', '--dataset_test_ratio', '0',
               '--max_length', '-1', '--logging_steps', '1', '--warmup_ratio', '0', '--lr_scheduler_type', 'constant',
               '--weight_decay', '0.01', '--adam_beta2', '0.999', '--save_strategy', 'no', '--seed', str(SEED),
               '--add_output_dir_suffix', 'false', '--output_dir', str(run_dir)]
    log_file = run_dir / 'logging.jsonl'
    figures = run(command, scratch / 'ours.log', log_file.exists)
    steps = [row for row in map(json.loads, log_file.read_text().splitlines()) if 'loss' in row]
    tokens, seconds = (sum(values) for values in zip(*(
        (s['tokens'], s['tokens'] / s['tokens_per_second']) for s in steps[1:]), strict=True))
    return {'tokens_per_second': round(tokens / seconds, 1), 'first_loss': steps[0]['loss'],
            'last_loss': steps[-1]['loss'], 'tokens': sum(s['tokens'] for s in steps)} | figures


def compare(data: Path, count: int, scratch: Path) -> dict:
    from swift.llm.args.groups import ModelArgs
    from swift.llm.model.load import resolve_model

    model = resolve_model(ModelArgs(model_type='smollm2-135m-instruct')).path  # converted before any clock runs
    rows = rows_of(data, count)
    os.environ['SWIFT_CACHE'] = str(scratch / 'cache')  # rows are prepared anew: that time counts
    result = {'plain': plain(model, rows, scratch), 'swift': ours(model, rows, scratch)}
    ratio = {key: round(result['swift'][key] / result['plain'][key], 2)
             for key in ('tokens_per_second', 'peak_memory_gb')}
    later = result['swift']['first_step_after_s'] - result['plain']['first_step_after_s']
    return {'command': ' '.join(sys.argv), 'data': data.name, 'rows': len(rows), 'batch': BATCH,
            'machine': f'{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}',
            **result, 'swift_over_plain': ratio, 'swift_first_step_later_by_s': round(later, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, default=ROOT / 'examples/data/gsm8k_128.jsonl', help='rows to train on')
    parser.add_argument('--rows', type=int, default=64)
    parser.add_argument('--output', type=Path, help='write the result there as JSON')
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        result = compare(options.data, options.rows, Path(scratch))
    print(json.dumps(result, indent=2))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(result, indent=2) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
