"""Everything on and everything off learn the same: losses of 200 steps, evaluation, and gradients step by step.

    python scripts/benchmark/same_curve.py [--steps 200] [--output FILE]        a GPU
    python scripts/benchmark/same_curve.py --tiny                               a dry run, on a CPU too

A model of Qwen2.5-0.5B's shape with random weights is trained twice on the rows of ``examples/data``, read with
SmolLM2's tokenizer: once as swift does by itself, once with every fast path off (``OFF``). Both take the same rows in
the same steps. It fails when the evaluation losses are more than 1 % apart at the end, or when a gradient in float32 is
more than 1e-5 off (norm of the difference over the norm); what it is in bfloat16 is told. No dropout, whose masks are
drawn otherwise on the two ways. Needs what ``gpu.py`` needs, without liger-kernel.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, Qwen2Config, TrainerCallback  # noqa: E402

from scripts.benchmark.gpu_recipes import RECIPES, shrunk  # noqa: E402
from scripts.benchmark.gpu_sides import CUDA, DEVICE, about, trainer_of  # noqa: E402

# The flags that turn every fast path off. A new fast path adds its flag here, and the slow test of fifty steps has it.
# The optimizer is the same on both ways: how it rounds bfloat16 weights is part of what is learned.
OFF = {'fused_loss_head': 'false', 'fused_blocks': 'false', 'attn_impl': 'sdpa', 'padding_free': 'false',
       'recompute': 'none'}
CASES = {'full': {'tuner_type': 'full', 'learning_rate': '1e-4'},
         'lora': {'tuner_type': 'lora', 'lora_rank': '16', 'lora_dropout': '0', 'learning_rate': '4e-4'}}
ROWS_A_STEP, HELD_OUT, LONGEST = 16, 32, 1024
EVAL_TOLERANCE, FP32_TOLERANCE = 0.01, 1e-5


class TextRows(torch.utils.data.Dataset):
    """Encoded conversations: the turns of the assistant are trained."""

    def __init__(self, rows: list[dict[str, np.ndarray]]) -> None:
        self._rows = rows
        self.lengths = np.array([len(row['input_ids']) for row in rows])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> dict[str, np.ndarray]:
        return self._rows[number]


def real_rows(tokenizer: Any, *, longest: int, vocabulary: int) -> tuple[TextRows, TextRows]:
    """Rows to train on and rows held out, of every file in ``examples/data``."""
    from swift.llm.dataset.convert import convert
    from swift.llm.dataset.read import read_rows

    rows = []
    for path in sorted((ROOT / 'examples' / 'data').glob('*.jsonl')):
        for raw in read_rows(path):
            turns = [(turn['role'], tokenizer(f'{turn["role"]}\n{turn["content"]}\n')['input_ids'])
                     for turn in convert(raw.value)['messages']]
            ids = np.concatenate([np.array(part, dtype=np.int32) for _, part in turns])[:longest] % vocabulary
            weights = np.concatenate([np.full(len(part), role == 'assistant', np.float32) for role, part in turns])
            if weights[1:longest].any():
                rows.append({'input_ids': ids, 'weights': weights[:longest]})
    order = np.random.default_rng(0).permutation(len(rows))
    mixed = [rows[number] for number in order]
    return TextRows(mixed[HELD_OUT:]), TextRows(mixed[:HELD_OUT])


class Gradients(TrainerCallback):
    """Keeps the gradients of every step on the CPU, or compares them with kept ones."""

    def __init__(self, kept: list[dict[str, torch.Tensor]] | None = None) -> None:
        self.steps: list[dict[str, torch.Tensor]] = []
        self.found: list[dict[str, Any]] = []
        self._kept = kept

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        now = {name: p.grad.detach() for name, p in model.named_parameters() if p.grad is not None}
        if self._kept is None:
            self.steps.append({name: gradient.float().cpu() for name, gradient in now.items()})
            return
        before = self._kept[len(self.found)]
        if set(before) != set(now):
            raise RuntimeError(f'gradients of other parameters: {sorted(set(before) ^ set(now))[:3]}')
        off = {name: gradient.to(DEVICE) for name, gradient in before.items()}
        differences = {name: (now[name].float() - off[name]).norm().item() for name in now}
        norms = {name: gradient.norm().item() for name, gradient in off.items()}
        whole = float(np.linalg.norm(list(norms.values())))
        worst = max(differences, key=lambda name: differences[name] / max(norms[name], 1e-3 * whole))
        self.found.append({
            'relative': float(np.linalg.norm(list(differences.values()))) / whole, 'worst_parameter': worst,
            'worst_relative': differences[worst] / max(norms[worst], 1e-3 * whole)})


def flags_of(case: str, on: bool, folder: str, **more: str) -> list[str]:
    typed = {'model': 'random', 'dataset': 'examples', 'max_length': str(LONGEST), 'report_to': 'none',
             'disable_tqdm': 'true', 'save_strategy': 'no', 'output_dir': folder, 'logging_steps': '1',
             'per_device_train_batch_size': str(ROWS_A_STEP), 'gradient_accumulation_steps': '1',
             **CASES[case], **({} if on else OFF), **more}
    return [word for name, value in typed.items() for word in (f'--{name}', value)]


def run(case: str, on: bool, data: tuple[TextRows, TextRows], tokenizer: Any, shape: dict[str, Any],
        dtype: torch.dtype, callback: TrainerCallback | None = None, **more: str) -> list[dict[str, Any]]:
    """The logged rows of a run."""

    def random_model(attention: str | None) -> torch.nn.Module:
        torch.manual_seed(0)
        chosen = {'attn_implementation': attention} if attention else {}
        with DEVICE:
            config = Qwen2Config(**shape | {'pad_token_id': tokenizer.pad_token_id})
            return AutoModelForCausalLM.from_config(config, dtype=dtype, **chosen)

    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(flags_of(case, on, folder, **more), random_model, *data, tokenizer, Path(folder))
        if callback is not None:
            trainer.add_callback(callback)
        trainer.train()
    history = trainer.state.log_history
    del trainer
    gc.collect()
    if CUDA:
        torch.cuda.empty_cache()
    return history


def same_curve(case: str, steps: int, *common: Any) -> dict[str, Any]:
    """Both curves, and how far their evaluation losses are apart at the end."""
    curves = {}
    for name, on in (('on', True), ('off', False)):
        history = run(case, on, *common, torch.bfloat16 if CUDA else torch.float32, max_steps=str(steps),
                      eval_steps=str(steps))
        curves[name] = {'losses': [round(row['loss'], 5) for row in history if 'loss' in row],
                        'eval_loss': [row['eval_loss'] for row in history if 'eval_loss' in row][-1]}
    on, off = curves['on'], curves['off']
    apart = abs(on['eval_loss'] / off['eval_loss'] - 1)
    return {'case': case, **curves, 'eval_apart': apart, 'ok': apart < EVAL_TOLERANCE,
            'worst_step_apart': max(abs(a / b - 1) for a, b in zip(on['losses'], off['losses'], strict=True))}


def same_gradients(case: str, dtype: torch.dtype, steps: int, *common: Any) -> dict[str, Any]:
    """Gradients of both ways on the rows of several steps, at the same weights: the learning rate is 0."""
    still = {'max_steps': str(steps), 'learning_rate': '0', 'max_grad_norm': '0', 'eval_strategy': 'no'}
    if case == 'lora':  # B does not start at 0, where A has no gradient
        still['init_weights'] = 'false'
    plain = Gradients()
    run(case, False, *common, dtype, plain, **still)
    fast = Gradients(plain.steps)
    run(case, True, *common, dtype, fast, **still)
    worst = max(found['relative'] for found in fast.found)
    name = str(dtype).removeprefix('torch.')
    return {'case': case, 'dtype': name, 'steps': fast.found, 'worst': worst,
            'ok': dtype != torch.float32 or worst < FP32_TOLERANCE}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--steps', type=int, default=200, help='of a curve')
    parser.add_argument('--gradient_steps', type=int, default=4, help='steps whose gradients are compared')
    parser.add_argument('--cases', nargs='*', choices=CASES, default=list(CASES))
    parser.add_argument('--tiny', action='store_true', help='two layers and few steps: shows that it runs')
    parser.add_argument('--output', type=Path, help='write everything there as JSON')
    args = parser.parse_args()
    recipe, longest = RECIPES['0.5b-full-16k'], LONGEST
    if args.tiny:
        recipe, longest, args.steps, args.gradient_steps = shrunk(recipe), 64, 8, 2
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(ROOT / 'tests/data/tokenizers/smollm2/tokenizer.json'),
                                        pad_token='<|im_end|>')
    data = real_rows(tokenizer, longest=longest, vocabulary=recipe.shape['vocab_size'])
    result: dict[str, Any] = {
        'command': ' '.join(['python', 'scripts/benchmark/same_curve.py', *sys.argv[1:]]), 'about': about(),
        'off': OFF, 'rows': [len(part) for part in data], 'curves': [], 'gradients': []}
    common = (data, tokenizer, recipe.shape)
    for case in args.cases:
        for dtype in (torch.float32, torch.bfloat16):
            found = same_gradients(case, dtype, args.gradient_steps, *common)
            result['gradients'].append(found)
            print(f'{case}, {found["dtype"]}: gradients {found["worst"]:.2e} apart at most '
                  f'({"ok" if found["ok"] else "TOO FAR"})', flush=True)
        found = same_curve(case, args.steps, *common)
        result['curves'].append(found)
        print(f'{case}: evaluation loss {found["on"]["eval_loss"]:.5f} on, {found["off"]["eval_loss"]:.5f} off, '
              f'{found["eval_apart"]:.2%} apart; a step at most {found["worst_step_apart"]:.2%} '
              f'({"ok" if found["ok"] else "TOO FAR"})', flush=True)
        if args.output:
            args.output.parent.mkdir(parents=True, exist_ok=True)
            args.output.write_text(json.dumps(result, indent=1) + '\n', encoding='utf-8')
    sys.exit(0 if all(found['ok'] for found in result['curves'] + result['gradients']) else 1)


if __name__ == '__main__':
    main()
