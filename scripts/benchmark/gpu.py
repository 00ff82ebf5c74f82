"""Training speed and memory on one GPU: swift's variants and plain transformers + peft + Liger in the same call.

    python scripts/benchmark/gpu.py                                         every recipe
    python scripts/benchmark/gpu.py 1.5b-lora-8k 0.5b-lora-16k --output FILE
    python scripts/benchmark/gpu.py 1.5b-lora-8k --swift tuned --swift tuned+fused_loss_head=false
    python scripts/benchmark/gpu.py 1.5b-lora-8k --profile --swift tuned    milliseconds by kernel
    python scripts/benchmark/gpu.py --tiny                                  a dry run, on a CPU too

Models have the shape of Qwen2.5's and random weights made on the device; rows are the same for all (see
``gpu_recipes.py``). Throughput counts real tokens over the time of CUDA events from the start of the first step behind
the warm-up to the end of the last one, data and optimizer included. MFU is model operations without recomputing over
790 TFLOP/s. Memory is the peak of allocated tensors less what was there before. Everything is bfloat16, LoRA of rank 16
on all linear layers, AdamW.

Variants of swift: ``default`` types nothing but the work itself (so LoRA dropout is 0.05 and batch, recomputing and
kernels are what a ``swift sft`` takes by itself); ``tuned`` types the recipe's tokens a step, its recomputing and no
dropout. ``+name=value`` adds any flag of ``swift sft`` to either, and ``+tokens=16384`` changes the recipe's step.

Each side runs in a process of its own (Liger changes modules of transformers), one setting after the other; the two
take turns, and one that waits holds no tensors. Needed: torch with CUDA, triton, transformers, peft, accelerate, and
for the plain side liger-kernel, a wheel without dependencies (``pip download --no-deps liger-kernel==0.8.5``, unpacked
anywhere on PYTHONPATH). This path of swift imports no other package: not datasets, modelscope, or any hub.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scripts.benchmark.gpu_recipes import RECIPES, Recipe, shrunk  # noqa: E402

ENVIRONMENT = {'HF_HUB_OFFLINE': '1', 'TOKENIZERS_PARALLELISM': 'false', 'TRANSFORMERS_VERBOSITY': 'error',
               'PYTORCH_ALLOC_CONF': 'expandable_segments:True'}
_START_S = 20  # less time than this is not enough for another setting


@dataclasses.dataclass(frozen=True)
class Job:
    """One line of the table: a recipe on one side, with options."""

    name: str
    side: str
    variant: str
    recipe: Recipe
    options: dict[str, str]


def jobs_of(names: list[str], plain: list[str], ours: list[str], *, tiny: bool) -> list[Job]:
    """Every recipe on every side, the plain one first.

    Raises:
        ValueError: a variant is not written ``base+name=value``.
    """
    jobs = []
    for name in names:
        for side, variants in (('plain', plain), ('swift', ours)):
            for variant in variants:
                base, options = parsed(variant, ('plain',) if side == 'plain' else ('default', 'tuned'))
                tokens = options.pop('tokens', None)
                recipe = RECIPES[name] if tokens is None else dataclasses.replace(RECIPES[name], tokens=int(tokens))
                recipe = shrunk(recipe) if tiny else recipe
                jobs.append(Job(name, side, variant, recipe, options | ({'base': base} if side == 'swift' else {})))
    return jobs


def parsed(variant: str, bases: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    base, *pairs = variant.split('+')
    if base not in bases or not all('=' in pair for pair in pairs):
        raise ValueError(f'A variant is {" or ".join(bases)}, then +name=value as often as wanted; got {variant!r}.')
    return base, dict(pair.split('=', 1) for pair in pairs)


# ------------------------------------------------------------------------------------------------------------- workers

class Worker:
    """A process that trains settings of one side, one after the other; started when it is first needed."""

    def __init__(self, side: str, log: IO[str]) -> None:
        self._side = side
        self._log = log
        self._child: subprocess.Popen | None = None

    def ask(self, question: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The answer; a process that dies or takes longer is ended, and the next question starts a new one."""
        if self._child is None:
            path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')]))
            self._child = subprocess.Popen(
                [sys.executable, __file__, '--worker', self._side], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=self._log, text=True, env={**ENVIRONMENT, **os.environ, 'PYTHONPATH': path},
                start_new_session=True)
        started = time.time()
        try:
            self._child.stdin.write(json.dumps(question) + '\n')
            self._child.stdin.flush()
            ready, _, _ = select.select([self._child.stdout], [], [], seconds)
            line = self._child.stdout.readline() if ready else ''
        except BrokenPipeError:
            line = ''
        if line:
            return json.loads(line)
        waited = time.time() - started
        self.end()
        reason = 'the process died' if waited < seconds else 'it took too long'
        return {'error': f'no result after {waited:.0f} s: {reason}'}

    def end(self) -> None:
        if self._child is not None:
            try:
                os.killpg(self._child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self._child.wait()
            self._child = None


def work(side: str) -> None:
    """The life of a worker: a question a line in, an answer a line out; all other output goes to standard error."""
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    from scripts.benchmark.gpu_sides import Length, about, attempt

    for line in sys.stdin:
        question = json.loads(line)
        if question['what'] == 'about':
            answer = about()
        else:
            answer = attempt(side, Recipe(**question['recipe']), question['options'], Length(**question['length']))
        print(json.dumps(answer), file=answers, flush=True)


# --------------------------------------------------------------------------------------------------------------- table

def measure(jobs: list[Job], args: argparse.Namespace) -> dict[str, Any]:
    """Run every job within the budget; what was found so far is written behind each."""
    started = time.time()
    length = {'warmup': args.warmup, 'measured': args.steps, 'profiled': 3 if args.profile else 0}
    result: dict[str, Any] = {'command': ' '.join(['python', 'scripts/benchmark/gpu.py', *sys.argv[1:]]), 'rows': []}
    with open(args.log, 'w', encoding='utf-8') as log:
        workers = {side: Worker(side, log) for side in dict.fromkeys(job.side for job in jobs)}
        try:
            first = next(iter(workers.values()))
            result['about'] = first.ask({'what': 'about'}, args.limit)
            print(json.dumps(result['about']), flush=True)
            for job in jobs:
                left = args.budget - (time.time() - started)
                if left < _START_S:
                    found = {'error': 'not run: the budget is spent'}
                else:
                    found = workers[job.side].ask({'what': 'train', 'recipe': dataclasses.asdict(job.recipe),
                                                   'options': job.options, 'length': length}, min(args.limit, left))
                row = {'recipe': job.name, 'side': job.side, 'variant': job.variant} | found
                result['rows'].append(row | compared(row, result['rows']))
                print(line_of(result['rows'][-1]), flush=True)
                if args.output:
                    write(args.output, result)
        finally:
            for worker in workers.values():
                worker.end()
    result['wall_s'] = round(time.time() - started)
    return result


def compared(row: dict[str, Any], before: list[dict[str, Any]]) -> dict[str, Any]:
    """Speed and memory over those of the first plain row of the same recipe."""
    plain = next((other for other in before if other['recipe'] == row['recipe'] and other['side'] == 'plain'
                  and 'error' not in other), None)
    if plain is None or row['side'] == 'plain' or 'error' in row:
        return {}
    ratios = {'speed_over_plain': round(row['tokens_per_second'] / plain['tokens_per_second'], 3)}
    if row.get('memory_gib') and plain.get('memory_gib'):
        ratios['memory_over_plain'] = round(row['memory_gib'] / plain['memory_gib'], 3)
    return ratios


HEAD = (f'{"recipe":21} {"variant":34} {"tokens/s":>9} {"ratio":>6} {"MFU %":>6} {"GiB":>6} {"ratio":>6} {"ms":>8} '
        f'{"tok/step":>8} {"losses":>15} {"wall s":>6}')


def line_of(row: dict[str, Any]) -> str:
    start = f'{row["recipe"]:21} {row["variant"]:34}'
    if 'error' in row:
        return f'{start} {row["error"]:.100}'
    ratio, memory = row.get('speed_over_plain', ''), row.get('memory_over_plain', '')
    return (f'{start} {row["tokens_per_second"]:9.0f} {ratio:>6} {row["mfu"]:6.1f} {row.get("memory_gib", 0):6.1f} '
            f'{memory:>6} {row["step_ms"]:8.1f} {row["tokens_per_step"]:8} '
            f'{row["first_loss"]:7.3f} {row["last_loss"]:7.3f} {row["wall_s"]:6.0f}')


def write(path: Path, result: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + '\n', encoding='utf-8')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('recipes', nargs='*', metavar='RECIPE', help=f'of {", ".join(RECIPES)}; default: all')
    parser.add_argument('--swift', action='append', help='a variant; may be repeated. Default: default and tuned')
    parser.add_argument('--plain', action='append', help='plain, or plain+liger=false; "none" leaves that side out')
    parser.add_argument('--warmup', type=int, default=6, help='steps before the clock')
    parser.add_argument('--steps', type=int, default=20, help='steps on the clock')
    parser.add_argument('--budget', type=float, default=540, help='seconds for everything')
    parser.add_argument('--limit', type=float, default=180, help='seconds for one setting')
    parser.add_argument('--profile', action='store_true', help='three more steps under torch.profiler')
    parser.add_argument('--tiny', action='store_true', help='two layers and few steps: shows that it runs')
    parser.add_argument('--output', type=Path, help='write everything there as JSON')
    parser.add_argument('--log', type=Path, default=Path(os.devnull), help='what the workers say')
    parser.add_argument('--worker', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(args.worker)
        return
    unknown = sorted(set(args.recipes) - set(RECIPES))
    if unknown:
        parser.error(f'no recipe is called {", ".join(unknown)}; there are {", ".join(RECIPES)}')
    if args.tiny:
        args.warmup, args.steps = 2, 3
    plain = [variant for variant in args.plain or ['plain'] if variant != 'none']
    try:
        jobs = jobs_of(args.recipes or list(RECIPES), plain, args.swift or ['default', 'tuned'], tiny=args.tiny)
    except ValueError as e:
        parser.error(str(e))
    result = measure(jobs, args)
    if args.output:
        write(args.output, result)
    print(f'\n{HEAD}')
    for row in result['rows']:
        print(line_of(row))
    for row in result['rows']:
        if 'profile' in row:
            from scripts.benchmark.gpu_profile import as_text

            print(f'\n{row["recipe"]} {row["variant"]}: {as_text(row["profile"])}')
    print(f'{result["wall_s"]} s')
    sys.exit(1 if any('error' in row for row in result['rows']) else 0)


if __name__ == '__main__':
    main()
