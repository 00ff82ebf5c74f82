"""Every tuning method on the same model and rows: trained share, tokens/s, peak memory, loss after some steps.

    python scripts/benchmark/tuners.py --output docs/benchmarks/tuners_cpu.json       the demo model on real rows
    python scripts/benchmark/tuners.py --shape qwen2.5-1.5b --output FILE             random weights of that shape, GPU
    python scripts/benchmark/tuners.py --setup --output FILE                          seconds to adapt a 7B on meta

Lines are full (rows of a file put end to end, cut to ``--length``), one a step. Each method runs in a process of its
own on a CPU, and one after the other in one process on a GPU, where the allocator's peak is reset between them. The
first two steps are not timed.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from transformers import AutoModelForCausalLM, Qwen2Config, TrainingArguments

from swift.llm.args.groups import MethodArgs, QuantArgs, TunerArgs
from swift.llm.args.optimizing import OptimizingArgs
from swift.llm.args.tuner_types import METHODS
from swift.llm.model.adapt import adapt, step_hook
from swift.llm.model.quantize import finish, loading_options
from swift.trainers.build import enable_recompute
from swift.trainers.optimizers import OptimizerPlan, block_schedule, make_optimizer
from swift.tuners.api import Swift, base_model
from swift.tuners.optimizers.base import drop_state_of_frozen
from swift.utils.errors import SwiftError

ROOT = Path(__file__).resolve().parents[2]
ROWS = ROOT / 'examples' / 'data'
WARM_UP = 2
SHAPES = {
    'qwen2.5-0.5b': {'hidden_size': 896, 'intermediate_size': 4864, 'num_hidden_layers': 24, 'num_attention_heads': 14,
                     'num_key_value_heads': 2, 'vocab_size': 151936, 'tie_word_embeddings': True},
    'qwen2.5-1.5b': {'hidden_size': 1536, 'intermediate_size': 8960, 'num_hidden_layers': 28, 'num_attention_heads': 12,
                     'num_key_value_heads': 2, 'vocab_size': 151936, 'tie_word_embeddings': True},
    'qwen2.5-7b': {'hidden_size': 3584, 'intermediate_size': 18944, 'num_hidden_layers': 28, 'num_attention_heads': 28,
                   'num_key_value_heads': 4, 'vocab_size': 152064, 'tie_word_embeddings': False},
    'tiny': {'hidden_size': 256, 'intermediate_size': 512, 'num_hidden_layers': 2, 'num_attention_heads': 4,
             'num_key_value_heads': 2, 'vocab_size': 1024, 'tie_word_embeddings': True},
}
# what has to divide the layers of every model above; widths have 64 in common
SIZES = {'c3a_block_size': 64, 'vblora_vector_length': 64, 'oft_block_size': 32}
TARGETS = {'part': ['model.norm']}


@dataclasses.dataclass(frozen=True)
class Variant:
    """A row of the table: a method, and what is not by default with it."""

    tuner: dict[str, Any]
    method: dict[str, Any] = dataclasses.field(default_factory=dict)
    optim: str = 'adamw_torch'
    optimizing: dict[str, Any] = dataclasses.field(default_factory=dict)
    quant: dict[str, Any] = dataclasses.field(default_factory=dict)


def variants() -> dict[str, Variant]:
    table = {name: Variant({'tuner_type': name, 'target_modules': TARGETS.get(name, ['DEFAULT'])}) for name in METHODS}
    lora = {'tuner_type': 'lora'}
    return table | {
        'lora, rsLoRA': Variant({**lora, 'use_rslora': True}), 'lora, DoRA': Variant({**lora, 'use_dora': True}),
        'lora, 4 bits': Variant(lora, quant={'quant_bits': 4}), 'lora, 8 bits': Variant(lora, quant={'quant_bits': 8}),
        'lora, no dropout': Variant({**lora, 'lora_dropout': 0.0}),
        'full': Variant({'tuner_type': 'full'}),
        'full, GaLore': Variant({'tuner_type': 'full'}, optim='galore'),
        'full, APOLLO': Variant({'tuner_type': 'full'}, optim='apollo'),
        'full, APOLLO-Mini': Variant({'tuner_type': 'full'}, optim='apollo_mini'),
        'full, Muon': Variant({'tuner_type': 'full'}, optim='muon'),
        'full, LISA': Variant({'tuner_type': 'full'}, optimizing={'lisa_activated_layers': 2, 'lisa_step_interval': 4}),
        'full, BAdam': Variant({'tuner_type': 'full'}, optimizing={'badam_switch_interval': 4}),
    }


# ---------------------------------------------------------------------------------------------------- model and lines

def random_model(shape: str, device: str, dtype: torch.dtype) -> nn.Module:
    config = Qwen2Config(**SHAPES[shape], max_position_embeddings=32768, rope_theta=1e6)
    torch.manual_seed(0)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation='sdpa')


def quantised(model: nn.Module, quant: QuantArgs) -> nn.Module:
    """The same weights in few bits. They are quantised while they are loaded, so they are written to disk before."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        options = loading_options(quant, None, model.dtype, training=True)
        loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=model.dtype, device_map={'': model.device},
                                                      attn_implementation='sdpa', **options)
    return finish(loaded, quant, None, model.dtype)


def demo_model(variant: Variant) -> tuple[nn.Module, Any]:
    from swift.llm.args.groups import ModelArgs
    from swift.llm.model.load import load_model

    loaded = load_model(ModelArgs(model_type='smollm2-135m-instruct', torch_dtype='float32'), training=True,
                        quant=QuantArgs(**variant.quant))
    return loaded.model, loaded.tokenizer


def real_lines(tokenizer: Any, path: Path, length: int, count: int) -> torch.Tensor:
    """Rows put end to end, int64 [count, length]."""
    from swift.llm.dataset.convert import convert
    from swift.llm.dataset.read import read_rows

    ids: list[int] = []
    for raw in read_rows(path):
        ids += tokenizer.apply_chat_template(convert(raw.value)['messages'], return_dict=False)
    if len(ids) < length * count:
        ids *= -(-length * count // len(ids))
    return torch.tensor(ids[:length * count]).view(count, length)


# --------------------------------------------------------------------------------------------------------- one method

def measure(model: nn.Module, lines: torch.Tensor, variant: Variant, *, steps: int, rate: float) -> dict[str, Any]:
    """Prepare and train; the model is used up."""
    device = next(model.parameters()).device
    full = variant.tuner['tuner_type'] == 'full'
    tuner = TunerArgs(**variant.tuner)
    if device.type != 'cpu':
        torch.accelerator.reset_peak_memory_stats()
    started = time.perf_counter()
    torch.manual_seed(0)
    adapted = adapt(model, tuner, method=MethodArgs(**(SIZES | variant.method)))
    result: dict[str, Any] = {'setup_s': round(time.perf_counter() - started, 2)}
    trained, total = Swift.get_trainable_parameters(adapted)
    result |= {'trained': trained, 'trained_%': round(100 * trained / total, 4)}
    if device.type != 'cpu' and METHODS.get(tuner.tuner_type, METHODS['lora']).recomputes:
        enable_recompute(base_model(adapted))
    optimizer = optimizer_of(adapted, variant, rate / 10 if full else rate)
    hook = step_hook(adapted, tuner) or block_schedule(adapted, OptimizingArgs(**variant.optimizing), seed=0)
    if hook is not None:
        hook.begin(steps)
    adapted.train()
    losses, clock = [], 0.0
    for step in range(1, steps + 1):
        if step == WARM_UP + 1:
            clock = now(device)
        line = lines[(step - 1) % len(lines)][None].to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type != 'cpu'):
            loss = loss_of(adapted, line)
        (loss if hook is None else loss + hook.penalty()).backward()
        torch.nn.utils.clip_grad_norm_([p for p in adapted.parameters() if p.requires_grad], 1.0)
        optimizer.step()
        if hook is not None:
            hook.after_optimizer(step)
            drop_state_of_frozen(optimizer)
        optimizer.zero_grad()
        losses.append(loss.detach())
    seconds = now(device) - clock
    values = torch.stack(losses).float().tolist()
    tail = values[-5:]
    return result | {
        'tokens_per_second': round((steps - WARM_UP) * lines.shape[1] / seconds, 1),
        'memory_gib': round(peak_gib(device), 2), 'first_loss': round(values[0], 4),
        'last_loss': round(sum(tail) / len(tail), 4)}


def loss_of(model: nn.Module, line: torch.Tensor) -> torch.Tensor:
    """Mean over all tokens but the first; a method with virtual positions in front gives more logits than tokens."""
    logits = model(input_ids=line, use_cache=False).logits[:, -line.shape[1]:]
    return torch.nn.functional.cross_entropy(logits[0, :-1].float(), line[0, 1:])


def optimizer_of(model: nn.Module, variant: Variant, rate: float) -> torch.optim.Optimizer:
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(output_dir=folder, learning_rate=rate, weight_decay=0.1, report_to=[],
                                      use_cpu=not torch.accelerator.is_available())
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    plan = OptimizerPlan(variant.optim, OptimizingArgs(**variant.optimizing))
    made = make_optimizer(model, plan, arguments, decayed=[n for n, p in parameters.items() if p.ndim > 1],
                          usual=lambda: (torch.optim.AdamW, {'lr': rate}))
    return made or torch.optim.AdamW(parameters.values(), lr=rate, weight_decay=0.1,
                                     fused=torch.accelerator.is_available())


def now(device: torch.device) -> float:
    if device.type != 'cpu':
        torch.accelerator.synchronize()
    return time.perf_counter()


def peak_gib(device: torch.device) -> float:
    if device.type == 'cpu':
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return torch.accelerator.max_memory_allocated() / 2**30


# ------------------------------------------------------------------------------------------------------------- tables

def on_gpu(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    device = torch.accelerator.current_accelerator()
    if device is None:
        print('no accelerator here: a dry run on the CPU', file=sys.stderr)
    torch.manual_seed(1)
    lines = torch.randint(0, SHAPES[args.shape]['vocab_size'], (8, args.length))
    for name, variant in chosen(args).items():
        # some methods leave tensors in caches of peft: what is there before a row does not count in it
        before = 0.0 if device is None else torch.accelerator.memory_allocated() / 2**30
        model = random_model(args.shape, str(device or 'cpu'), torch.bfloat16 if device else torch.float32)
        if variant.quant:
            model = quantised(model, QuantArgs(**variant.quant))
        row = {'method': name} | attempt(model, lines, variant, args)
        if 'memory_gib' in row:
            row['memory_gib'] = round(row['memory_gib'] - before, 2)
        yield row
        del model
        gc.collect()
        if device is not None:
            torch.accelerator.empty_cache()


def attempt(model: nn.Module, lines: torch.Tensor, variant: Variant, args: argparse.Namespace) -> dict[str, Any]:
    """One row; what a method refuses, or has no memory for, is its row."""
    try:
        return measure(model, lines, variant, steps=args.steps, rate=args.learning_rate)
    except (SwiftError, RuntimeError, ValueError, TypeError) as e:
        return {'failed': str(e).strip().splitlines()[0][:200]}


def on_cpu(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A child a method: the peak memory of a process can't be reset."""
    for name in chosen(args):
        command = [sys.executable, __file__, '--child', name, '--steps', str(args.steps), '--length', str(args.length),
                   '--learning_rate', str(args.learning_rate), '--data', str(args.data)]
        child = subprocess.run(command, capture_output=True, text=True, cwd=ROOT,
                               env={**os.environ, 'PYTHONPATH': str(ROOT)})
        lines = child.stdout.strip().splitlines()
        failed = {'failed': (child.stderr.strip().splitlines() or ['no output'])[-1][:200]}
        yield {'method': name} | (json.loads(lines[-1]) if child.returncode == 0 else failed)


def child(args: argparse.Namespace) -> None:
    variant = variants()[args.child]
    model, tokenizer = demo_model(variant)
    lines = real_lines(tokenizer, args.data, args.length, args.steps)
    print(json.dumps(attempt(model, lines, variant, args)))


def on_meta(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Seconds to put an adapter on a model of 7B without weights."""
    for name in chosen(args):
        if name not in METHODS:
            continue
        model = random_model('qwen2.5-7b', 'meta', torch.bfloat16)
        started = time.perf_counter()
        try:
            with torch.device('meta'):
                adapted = adapt(model, TunerArgs(**variants()[name].tuner), method=MethodArgs(**SIZES))
            row: dict[str, Any] = {'trained': Swift.get_trainable_parameters(adapted).trained}
        except (SwiftError, RuntimeError, ValueError, NotImplementedError) as e:
            row = {'failed': str(e).strip().splitlines()[0][:200]}
        yield {'method': name, 'setup_s': round(time.perf_counter() - started, 2)} | row


def chosen(args: argparse.Namespace) -> dict[str, Variant]:
    table = variants()
    return {name: table[name] for name in args.methods or table if name not in args.without}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--methods', nargs='*', help='rows of the table; default: all')
    parser.add_argument('--without', nargs='*', default=[], help='rows to leave out')
    parser.add_argument('--shape', choices=SHAPES, help='random weights of this shape instead of the demo model')
    parser.add_argument('--setup', action='store_true', help='only the time to adapt a model of 7B on meta')
    parser.add_argument('--steps', type=int, default=12)
    parser.add_argument('--length', type=int, help='tokens a line; default: 256 on a CPU, 2048 on a GPU')
    parser.add_argument('--learning_rate', type=float, default=1e-4, help='of adapters; full training takes a tenth')
    parser.add_argument('--data', type=Path, default=ROWS / 'general_qa.jsonl')
    parser.add_argument('--output', type=Path)
    parser.add_argument('--child', help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.length = args.length or (2048 if args.shape else 256)
    if args.steps <= WARM_UP:
        parser.error(f'--steps {args.steps}: the first {WARM_UP} are not timed; give more.')
    if args.child:
        child(args)
        return
    device = torch.accelerator.current_accelerator()
    about = {'device': torch.cuda.get_device_name() if device and device.type == 'cuda' else 'cpu',
             'cpus': os.cpu_count(), 'torch': torch.__version__, 'transformers': transformers.__version__,
             'shape': 'qwen2.5-7b' if args.setup else args.shape or 'smollm2-135m-instruct',
             'tokens_a_step': args.length, 'steps': args.steps}
    rows = []
    for row in on_meta(args) if args.setup else on_gpu(args) if args.shape else on_cpu(args):
        print('  '.join(f'{key} {value}' for key, value in row.items()), flush=True)
        rows.append(row)
        if args.output:  # after every row: a run that is stopped keeps what it has
            args.output.write_text(json.dumps({'about': about, 'rows': rows}, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
