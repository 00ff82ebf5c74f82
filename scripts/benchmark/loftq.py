"""How near the demo model in NF4 is to its whole weights: as it is, and with LoftQ of several ranks.

    python scripts/benchmark/loftq.py [--ranks 8 64]

Mean KL divergence over the tokens of three short texts, nats a token, in float32; and the seconds that the start takes.
"""

from __future__ import annotations

import argparse
import time

import torch
from peft import LoraConfig
from torch import Tensor, nn

from swift.llm.args.groups import ModelArgs, QuantArgs
from swift.llm.model.load import load_model
from swift.llm.model.whole_weights import whole_weights
from swift.tuners.api import Swift

TEXTS = ('The capital of France is Paris, and the capital of Italy is Rome. ',
         'def add(a, b):\n    return a + b\n\nprint(add(1, 2))\n',
         'Photosynthesis is the process by which plants turn light into energy.')
LAYERS = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']
MODEL = ModelArgs(model_type='smollm2-135m-instruct', torch_dtype='float32')


@torch.no_grad()
def answers(model: nn.Module, lines: list[Tensor]) -> list[Tensor]:
    """Logarithms of probabilities, [1, tokens, vocabulary] a line."""
    return [model.eval()(line).logits.log_softmax(-1) for line in lines]


def divergence(wanted: list[Tensor], found: list[Tensor]) -> float:
    total = sum((one.exp() * (one - other)).sum() for one, other in zip(wanted, found, strict=True))
    return (total / sum(one.shape[1] for one in wanted)).item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--ranks', type=int, nargs='*', default=[8, 64])
    ranks = parser.parse_args().ranks
    whole = load_model(MODEL, training=True)
    lines = [whole.tokenizer(text, return_tensors='pt').input_ids for text in TEXTS]
    wanted = answers(whole.model, lines)
    for rank in (0, *ranks):
        model = load_model(MODEL, training=True, quant=QuantArgs(quant_bits=4)).model
        started = time.perf_counter()
        if rank:
            model = Swift.prepare_model(model, LoraConfig(r=rank, lora_alpha=32, target_modules=LAYERS),
                                        weights=whole_weights(whole.path))
        seconds = time.perf_counter() - started
        name = f'LoftQ, rank {rank}' if rank else 'QLoRA alone'
        kl = divergence(wanted, answers(model, lines))
        print(f'{name}: {kl:.3f} nats a token, start {seconds:.1f} s', flush=True)


if __name__ == '__main__':
    main()
