"""Rate and memory of preparing many rows, and tokenising against ``datasets.map``, in one run.

    python scripts/benchmark/data_million.py [--rows 1000000] [--num_proc N] [--output FILE.json]

Synthetic conversations of one question (5 to 30 words) and one answer (10 to 120 words), drawn from the words of
``examples/data``, are read, converted, tokenised with the demo model's tokenizer and template, and stored, as
``swift sft`` does it. Then ``--compared`` of them are tokenised by us and by ``datasets.map(batched=True, num_proc=N)``
with the same tokenizer in turn, ``--rounds`` times, and the best time of each counts: once where map applies the chat
template and tokenises, once where it is given the finished texts. We also find the trained tokens and look for forged
control tokens, which map is not asked to do. CPU time, of the process and its workers, is told beside the rates: it
depends less on what else the machine does.

Every part runs in its own process. Memory is the largest sum, over all moments looked at, of the proportional set sizes
of that process and its workers: pages that they share count once.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TOKENIZER = ROOT / 'tests' / 'data' / 'tokenizers' / 'smollm2'
TEMPLATE = 'smollm2'
SEED = 42


def write_rows(path: Path, count: int) -> None:
    """``count`` conversations, the same ones each time."""
    words = [word for file in sorted((ROOT / 'examples' / 'data').glob('*.jsonl'))
             for word in file.read_text(encoding='utf-8').split() if '"' not in word and '\\' not in word]
    rng = random.Random(SEED)
    with open(path, 'w', encoding='utf-8') as file:
        for i in range(count):
            question = ' '.join(rng.choices(words, k=rng.randint(5, 30)))
            answer = ' '.join(rng.choices(words, k=rng.randint(10, 120)))
            turns = [{'role': 'user', 'content': f'{i}: {question}'}, {'role': 'assistant', 'content': answer}]
            file.write(json.dumps({'messages': turns}, ensure_ascii=False) + '\n')


def prepare(path: Path, num_proc: int) -> dict[str, Any]:
    """Our preparation: seconds for reading and converting, and for tokenising; both with what is stored."""
    import numpy as np
    from transformers import AutoTokenizer

    from swift.llm.args.groups import TemplateArgs
    from swift.llm.dataset.hub import HubAccess
    from swift.llm.dataset.source import open_source
    from swift.llm.dataset.store import row_store, token_store
    from swift.llm.template.encode import make_template

    tokenizer = AutoTokenizer.from_pretrained(TOKENIZER)
    template = make_template(TemplateArgs(template=TEMPLATE, max_length=-1), tokenizer)
    source = open_source(str(path), columns={}, access=HubAccess(offline=True))
    started = time.perf_counter()
    rows = row_store(source)
    read, cpu = time.perf_counter(), cpu_seconds()
    tokens = token_store(rows, np.arange(len(rows)), template, source.label, num_proc=num_proc)
    done = time.perf_counter()
    return {'rows': len(tokens), 'tokens': int(tokens.lengths().sum()), 'read_seconds': read - started,
            'tokenise_seconds': done - read, 'cpu_seconds': cpu_seconds() - cpu}


def by_map(path: Path, num_proc: int, finished_texts: bool) -> dict[str, Any]:
    """``datasets.map``: seconds."""
    import datasets
    from transformers import AutoTokenizer

    datasets.disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(TOKENIZER)
    cache = str(path.parent / 'hf')
    rows = datasets.Dataset.from_json(str(path), cache_dir=cache)

    def render(batch: dict[str, list]) -> dict[str, list]:
        return {'text': [tokenizer.apply_chat_template(turns, tokenize=False) for turns in batch['messages']]}

    def tokenise(batch: dict[str, list]) -> dict[str, list]:
        texts = batch['text'] if finished_texts else render(batch)['text']
        return {'input_ids': tokenizer(texts, add_special_tokens=False)['input_ids']}

    if finished_texts:
        rows = rows.map(render, batched=True, num_proc=num_proc, remove_columns=rows.column_names)
    started, cpu = time.perf_counter(), cpu_seconds()
    made = rows.map(tokenise, batched=True, num_proc=num_proc, remove_columns=rows.column_names,
                    load_from_cache_file=False)
    seconds, cpu = time.perf_counter() - started, cpu_seconds() - cpu
    tokens = sum(len(ids) for batch in made.with_format('numpy').iter(1000) for ids in batch['input_ids'])
    return {'rows': len(made), 'tokens': tokens, 'tokenise_seconds': seconds, 'cpu_seconds': cpu}


def cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended."""
    return sum(os.times()[:4])


def run(part: str, path: Path, num_proc: int) -> dict[str, Any]:
    """One part in its own process, with its peak memory in GB."""
    command = [sys.executable, __file__, '--part', part, '--data', str(path), '--num_proc', str(num_proc)]
    with tempfile.TemporaryDirectory(dir=path.parent) as cache, open(f'{cache}/log', 'w+', encoding='utf-8') as log:
        environment = {**os.environ, 'SWIFT_CACHE': cache, 'HF_DATASETS_CACHE': cache, 'HF_HUB_OFFLINE': '1'}
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment, cwd=ROOT)
        peak = 0
        while child.poll() is None:
            peak = max(peak, sum(map(proportional_kb, family(child.pid))))
            time.sleep(1)  # looking at it takes the kernel some milliseconds
        output = child.stdout.read()
        if child.returncode:
            log.seek(0)
            sys.exit(f'{" ".join(command)} failed:\n{log.read()[-3000:]}')
    result = json.loads(output.splitlines()[-1]) | {'peak_memory_gb': round(peak * 1024 / 1e9, 2)}
    print(f'{part}: {result}', file=sys.stderr, flush=True)
    return result


def family(pid: int) -> list[int]:
    """A process and all that it has started."""
    found = [pid]
    for parent in found:
        try:
            for task in Path(f'/proc/{parent}/task').iterdir():
                found += map(int, (task / 'children').read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
    return found


def proportional_kb(pid: int) -> int:
    try:
        lines = Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith('Pss:')), 0)


def benchmark(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    path, part = folder / 'rows.jsonl', folder / 'part.jsonl'
    write_rows(path, options.rows)
    write_rows(part, min(options.compared, options.rows))
    whole = run('ours', path, options.num_proc)
    path.unlink()
    best: dict[str, dict[str, Any]] = {}
    for _ in range(options.rounds):
        for name in ('ours', 'map', 'map-texts'):
            result = run(name, part, options.num_proc)
            if name not in best or result['tokenise_seconds'] < best[name]['tokenise_seconds']:
                best[name] = result
    assert best['ours']['tokens'] == best['map']['tokens'] == best['map-texts']['tokens'], 'not the same tokens'
    rates = {name: result['rows'] / result['tokenise_seconds'] for name, result in best.items()}
    cpu = {name: round(result['cpu_seconds'] / result['rows'] * 1e6) for name, result in best.items()}
    return {
        'command': f'python scripts/benchmark/data_million.py --rows {options.rows} --compared {options.compared} '
                   f'--rounds {options.rounds} --num_proc {options.num_proc}',
        'machine': f'{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}',
        'load_at_start': options.load, 'num_proc': options.num_proc,
        'prepare': {
            'rows': whole['rows'], 'tokens': whole['tokens'], 'peak_memory_gb': whole['peak_memory_gb'],
            'read_and_convert_rows_per_second': round(whole['rows'] / whole['read_seconds']),
            'tokenise_rows_per_second': round(whole['rows'] / whole['tokenise_seconds']),
            'tokenise_tokens_per_second': round(whole['tokens'] / whole['tokenise_seconds']),
            'minutes': round((whole['read_seconds'] + whole['tokenise_seconds']) / 60, 1)},
        'against_datasets_map': {
            'rows': best['ours']['rows'], 'rounds': options.rounds,
            'ours_rows_per_second': round(rates['ours']),
            'map_rows_per_second': round(rates['map']),
            'map_of_finished_texts_rows_per_second': round(rates['map-texts']),
            'ours_over_map': round(rates['ours'] / rates['map'], 2),
            'ours_over_map_of_finished_texts': round(rates['ours'] / rates['map-texts'], 2),
            'cpu_microseconds_a_row': cpu,
            'peak_memory_gb': {name: result['peak_memory_gb'] for name, result in best.items()}}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rows', type=int, default=1_000_000, help='rows to prepare')
    parser.add_argument('--compared', type=int, default=100_000, help='rows of the comparison')
    parser.add_argument('--rounds', type=int, default=2, help='times that each side of the comparison runs')
    parser.add_argument('--num_proc', type=int, default=len(os.sched_getaffinity(0)), help='processes (one a core)')
    parser.add_argument('--output', type=Path, help='write the result there as JSON')
    parser.add_argument('--scratch', type=Path, help='folder for rows and prepared data; 3 KB a row are needed')
    parser.add_argument('--part', choices=['ours', 'map', 'map-texts'], help=argparse.SUPPRESS)
    parser.add_argument('--data', type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        result = prepare(options.data, options.num_proc) if options.part == 'ours' else by_map(
            options.data, options.num_proc, options.part == 'map-texts')
        print(json.dumps(result))
        return
    options.load = [round(value, 1) for value in os.getloadavg()]
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        result = benchmark(options, Path(folder))
    print(json.dumps(result, indent=2))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(result, indent=2) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
