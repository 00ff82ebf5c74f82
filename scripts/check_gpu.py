"""What `swift sft` has to show on a GPU machine, each line a run of the command line; prints a table and JSON.

    python scripts/check_gpu.py [--output FILE] [--tiny]

A random model of Qwen2.5-0.5B's shape (SmolLM2's tokenizer) trains on rows of examples/data. Checked: data types,
that padding, DDP on two GPUs and layers spread over two GPUs take the step that one GPU takes, that a resumed run is
bit-identical, and that the adapter answers. `--tiny` is the dry run for a machine without a GPU.
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
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

ROOT = Path(__file__).resolve().parents[1]
TOKENIZER = ROOT / 'tests/data/tokenizers/smollm2'
ROWS = ROOT / 'examples/data/gsm8k_128.jsonl'
FP32 = {'dtype': 'fp32', 'sft_type': 'full', 'max_steps': '1', 'lr_scheduler_type': 'constant', 'warmup_ratio': '0'}


def make_model(folder: Path, tiny: bool) -> None:
    tokenizer = AutoTokenizer.from_pretrained(TOKENIZER)
    torch.manual_seed(0)
    hidden, inner, layers, heads = (64, 128, 2, 4) if tiny else (896, 4864, 24, 14)
    config = Qwen2Config(vocab_size=len(tokenizer), num_key_value_heads=2, tie_word_embeddings=True,
                         max_position_embeddings=4096, eos_token_id=tokenizer.eos_token_id, hidden_size=hidden,
                         intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads)
    Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


class Runs:
    """Runs of the command line, with what each logged."""

    def __init__(self, model: Path, scratch: Path) -> None:
        self._model, self._scratch = model, scratch
        self.rows: list[dict] = []

    def sft(self, name: str, gpus: str = '0', processes: int = 1, **flags: str) -> Path:
        """Train; returns the run folder."""
        folder = self._scratch / name
        flags = {'model': str(self._model), 'dataset': str(ROWS), 'batch_size': '8',
                 'gradient_accumulation_steps': '2', 'dataset_test_ratio': '0', 'max_steps': '20',
                 'learning_rate': '1e-4', 'logging_steps': '1', 'save_steps': '10', 'save_total_limit': '-1',
                 'target_modules': 'ALL', 'report_to': 'none', 'disable_tqdm': 'true', 'add_version': 'false'} | flags
        if flags.get('sft_type') == 'full':
            del flags['target_modules']
        if 'resume_from_checkpoint' in flags:
            flags = {'resume_from_checkpoint': flags['resume_from_checkpoint'], 'add_version': 'false'}
        words = [word for key, value in (flags | {'output_dir': str(folder)}).items() for word in (f'--{key}', value)]
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')]))
        environment = {**os.environ, 'CUDA_VISIBLE_DEVICES': gpus, 'PYTHONPATH': path,
                       'SWIFT_CACHE': str(self._scratch / 'cache')}
        if processes > 1:
            environment['NPROC_PER_NODE'] = str(processes)
        started = time.time()
        done = subprocess.run([sys.executable, '-m', 'swift', 'sft', *words], env=environment, cwd=self._scratch,
                              capture_output=True, text=True, timeout=400)
        row = {'run': name, 'seconds': round(time.time() - started, 1), 'exit': done.returncode}
        if done.returncode:
            row['error'] = (done.stderr or done.stdout)[-1500:]
        else:
            steps = [r for r in map(json.loads, (folder / 'logging.jsonl').read_text().splitlines()) if 'loss' in r]
            half = steps[len(steps) // 2:]
            row |= {'first_loss': steps[0]['loss'], 'last_loss': steps[-1]['loss'], 'grad_norm': steps[0]['grad_norm'],
                    'tokens_per_second': round(sum(r['tokens'] for r in half)
                                               / sum(r['tokens'] / r['tokens_per_second'] for r in half)),
                    'memory_gib': round(max(r['memory(GiB)'] for r in steps), 2)}
        self.rows.append(row)
        print(json.dumps(row), flush=True)
        return folder


def close(rows: list[dict], name: str, other: str) -> bool:
    """Whether two runs took the same first step in float32, up to the order of sums."""
    a, b = (next(row for row in rows if row['run'] == n) for n in (name, other))
    return not a['exit'] and not b['exit'] and all(
        abs(a[key] - b[key]) <= 2e-4 * abs(b[key]) for key in ('first_loss', 'grad_norm'))


def same_bits(first: Path, second: Path) -> bool:
    a, b = (load_file(folder / 'checkpoint-20' / 'adapter_model.safetensors') for folder in (first, second))
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def answers(model: Path, checkpoint: Path) -> bool:
    sys.path.insert(0, str(ROOT))
    from swift.llm import InferRequest, RequestConfig, TransformersEngine

    engine = TransformersEngine(str(model), adapters=[str(checkpoint)], max_batch_size=4)
    requests = [InferRequest([{'role': 'user', 'content': 'Count ' * n}]) for n in (1, 5, 9)]
    together = engine.infer(requests, RequestConfig(max_tokens=16, temperature=0))
    return all(response.error is None and response.usage.completion_tokens for response in together)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--output', type=Path, help='write the result there as JSON')
    parser.add_argument('--tiny', action='store_true', help='a tiny model, for a dry run')
    options = parser.parse_args()
    two = torch.cuda.device_count() > 1
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        model = scratch / 'qwen2-random'
        make_model(model, options.tiny)
        runs = Runs(model, scratch)
        lora = runs.sft('lora-auto', full_determinism='true', lora_dropout='0.1')
        resumed = runs.sft('lora-resumed', resume_from_checkpoint=str(lora / 'checkpoint-10'))
        runs.sft('full-bf16', sft_type='full', dtype='bf16', save_strategy='no')
        runs.sft('full-fp16', sft_type='full', dtype='fp16', save_strategy='no')
        runs.sft('lora-bf16-kept-activations', dtype='bf16', gradient_checkpointing='false', save_strategy='no')
        runs.sft('fp32-one-gpu', save_strategy='no', **FP32)
        runs.sft('fp32-padded', save_strategy='no', padding_free='false', **FP32)
        checks = {'padded batches take the same step': close(runs.rows, 'fp32-padded', 'fp32-one-gpu'),
                  'a resumed run is bit-identical': same_bits(lora, resumed),
                  'the adapter answers': answers(model, lora / 'checkpoint-20')}
        if two or options.tiny:
            runs.sft('fp32-ddp', '0,1', 2, save_strategy='no', **FP32 | {'gradient_accumulation_steps': '1'})
            checks['DDP takes the same step'] = close(runs.rows, 'fp32-ddp', 'fp32-one-gpu')
            runs.sft('lora-bf16-ddp', '0,1', 2, **({} if options.tiny else {'dtype': 'bf16'}))
        if two:
            runs.sft('fp32-layers-on-two', '0,1', save_strategy='no', **FP32)
            checks['layers on two GPUs take the same step'] = close(runs.rows, 'fp32-layers-on-two', 'fp32-one-gpu')
    checks['every run ended well'] = not any(row['exit'] for row in runs.rows)
    result = {'command': ' '.join(sys.argv), 'python': platform.python_version(), 'torch': torch.__version__,
              'transformers': transformers.__version__,
              'devices': [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
              'checks': checks, 'runs': runs.rows}
    print(json.dumps(checks, indent=2))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(result, indent=2) + '\n', encoding='utf-8')
    sys.exit(0 if all(checks.values()) else 1)


if __name__ == '__main__':
    main()
