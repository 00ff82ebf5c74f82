"""What optimizers and schedules of full training keep in memory, on a model of the demo model's shape (135M, float32).

    python scripts/benchmark/optimizers.py [--steps 3] [METHOD ...]

Weights are random and rows too: bytes depend on shapes only. Times are of this machine's CPU, the first step apart,
because decompositions happen there. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from transformers import LlamaConfig, LlamaForCausalLM, TrainingArguments  # noqa: E402

from swift.llm.args.optimizing import OptimizingArgs  # noqa: E402
from swift.trainers.optimizers import OptimizerPlan, block_schedule, make_optimizer  # noqa: E402
from swift.tuners.optimizers.base import drop_state_of_frozen  # noqa: E402

METHODS: dict[str, tuple[str, dict]] = {
    'adamw': ('adamw_torch', {}),
    'galore': ('galore', {}),
    'q_galore': ('galore', {'galore_quantization': True, 'galore_proj_quant': True}),
    'galore in the backward': ('galore', {'galore_optim_per_parameter': True}),
    'apollo': ('apollo', {}),
    'apollo_mini': ('apollo_mini', {}),
    'muon': ('muon', {}),
    'lisa, 2 of 30 blocks': ('adamw_torch', {'lisa_activated_layers': 2}),
    'badam': ('adamw_torch', {'badam_switch_interval': 50}),
}


def measure(optim: str, settings: dict, steps: int, folder: str) -> dict[str, float]:
    """MiB of optimizer state and of gradients after a backward, and seconds of the optimizer's step."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, tie_word_embeddings=True)).train()
    plan = OptimizerPlan(optim, OptimizingArgs(**settings))
    arguments = TrainingArguments(output_dir=folder, use_cpu=True, report_to=[])
    schedule = block_schedule(model, plan.settings, 0)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = make_optimizer(model, plan, arguments, decayed=(), usual=lambda: (torch.optim.AdamW, {})
                               ) or torch.optim.AdamW(trained, lr=1e-5)
    if schedule is not None:
        schedule.begin(steps)
    ids, seconds, most = torch.randint(0, 49152, (1, 64)), [], 0
    for step in range(1, steps + 1):
        model(input_ids=ids, labels=ids).loss.backward()
        most = max(most, sum(p.grad.numel() * 4 for p in trained if p.grad is not None))
        started = time.perf_counter()
        optimizer.step()
        seconds.append(time.perf_counter() - started)
        if schedule is not None:
            schedule.after_optimizer(step)
            drop_state_of_frozen(optimizer)
        optimizer.zero_grad()
    states = sum(value.numel() * value.element_size() for state in optimizer.state.values()
                 for value in state.values() if isinstance(value, torch.Tensor))
    return {'states': states / 2**20, 'gradients': most / 2**20, 'first': seconds[0],
            'other': sum(seconds[1:]) / max(len(seconds) - 1, 1)}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('methods', nargs='*', default=list(METHODS), metavar='METHOD')
    parser.add_argument('--steps', type=int, default=3)
    options = parser.parse_args(argv)
    print('| method | states, MiB | gradients, MiB | first step, s | other steps, s |\n|---|---|---|---|---|')
    with tempfile.TemporaryDirectory() as folder:
        for name in options.methods:
            row = measure(*METHODS[name], options.steps, folder)
            numbers = f'{row["states"]:.0f} | {row["gradients"]:.0f} | {row["first"]:.2f} | {row["other"]:.2f}'
            print(f'| {name} | {numbers} |', flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
