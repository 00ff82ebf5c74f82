"""``make demo``: teach a real model its name on a CPU, and show its answers before and after, side by side.

SmolLM2-135M-Instruct learns who it is from 80 identity rows, mixed with 79 short general questions so that it forgets
nothing; the general question below is not among them. Everything it needs lies in this repository and in two packages
of the extra ``demo``.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import textwrap
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODEL = 'smollm2-135m-instruct'
QUESTIONS = ('Who are you?', 'What is the capital of France?')
NAME, AUTHOR = 'Swifty', 'the Swift Team'


def answers(checkpoint: Path | None) -> list[str]:
    """Greedy answers of the model, with the adapter of ``checkpoint`` if given."""
    from swift.llm import InferRequest, RequestConfig, TransformersEngine

    engine = TransformersEngine(MODEL, adapters=[str(checkpoint)] if checkpoint else [])
    config = RequestConfig(max_tokens=48, temperature=0)
    requests = [InferRequest([{'role': 'user', 'content': question}]) for question in QUESTIONS]
    return [response.text.strip() for response in engine.infer(requests, config)]


def side_by_side(before: list[str], after: list[str]) -> str:
    """Questions with both answers in two columns as wide as the terminal."""
    width = max(30, min(shutil.get_terminal_size().columns, 120) // 2 - 2)
    lines = [f'{"BEFORE":<{width}} | AFTER', f'{"-" * width}-+-{"-" * width}']
    for question, old, new in zip(QUESTIONS, before, after, strict=True):
        lines.append(f'> {question}')
        left, right = textwrap.wrap(old, width), textwrap.wrap(new, width)
        for i in range(max(len(left), len(right))):
            lines.append(f'{left[i] if i < len(left) else "":<{width}} | {right[i] if i < len(right) else ""}')
        lines.append(f'{"":<{width}} |')
    return '\n'.join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--output_dir', default=str(ROOT / 'demo_output'), help='where the run folder goes')
    options = parser.parse_args()
    from swift.llm import sft_main

    started = time.time()
    print(f'1/3 {MODEL} answers as it is ...', flush=True)
    before = answers(None)
    print('2/3 Fine-tuning ...', flush=True)
    command = ['--model_type', MODEL, '--dataset', 'self-cognition:en', str(ROOT / 'examples/data/general_qa.jsonl'),
               '--model_name', NAME, '--model_author', AUTHOR, '--sft_type', 'lora', '--target_modules', 'ALL',
               '--num_train_epochs', '3', '--batch_size', '8', '--gradient_accumulation_steps', '1',
               '--learning_rate', '5e-4', '--eval_steps', '20', '--output_dir', options.output_dir]
    print('    swift sft', ' '.join(f'"{word}"' if ' ' in word else word for word in command), flush=True)
    result = sft_main(command)
    print('3/3 The fine-tuned model answers ...', flush=True)
    after = answers(result.last_checkpoint)
    print(f'\n{side_by_side(before, after)}\n')
    print(f'Done in {time.time() - started:.0f} s. Chat with it:')
    print(f'  swift infer --ckpt_dir {result.last_checkpoint}')
    learned = NAME in after[0] and 'Swift Team' in after[0]
    sane = 'Paris' in after[1]
    if not (learned and sane):
        print('But it did not learn its name, or forgot the capital of France.', file=sys.stderr)
    return 0 if learned and sane else 1


if __name__ == '__main__':
    sys.exit(main())
