"""A vision transformer learns which way stripes run, once with each way of tuning; its own weights stay frozen.

    python examples/tuners/vit.py [lora adapter restuning prompt side]

The model is small and random, so that nothing is downloaded: put `ViTForImageClassification.from_pretrained(...)` in
its place. The head is trained beside each (`modules_to_save`).
"""

import sys

import torch
from transformers import ViTConfig, ViTForImageClassification

from swift import LoraConfig, Swift
from swift.tuners.methods.adapter import AdapterConfig
from swift.tuners.methods.restuning import ResTuningConfig
from swift.tuners.methods.side import SideConfig
from swift.tuners.methods.vpt import PromptConfig

HEAD = ['classifier']
WAYS = {
    'lora': LoraConfig(r=8, target_modules=['q_proj', 'v_proj'], modules_to_save=HEAD),
    'adapter': AdapterConfig(adapter_length=16, modules_to_save=HEAD),
    # the bypass is fed by all blocks and changes what the last normalisation is given; no pass back through the blocks
    'restuning': ResTuningConfig(gated=True, modules_to_save=HEAD),
    # the classifier reads the first token, so that the prompt comes out again behind each block
    'prompt': PromptConfig(prompt_length=8, extract_embedding=True, modules_to_save=HEAD),
    # four convolutions beside the model as a whole: from the image to the logits
    'side': SideConfig(source_hidden_pos='pixel_values', target_hidden_pos='logits', alpha=0.0),
}


def images(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Stripes that lie (0) or stand (1), of some width and place, under noise: [count, 3, 32, 32] and [count]."""
    draw = torch.Generator().manual_seed(seed)
    width, place = (torch.rand(count, 1, 1, generator=draw) for _ in range(2))
    stripes = torch.sin(torch.arange(32.0) / (1 + 2 * width) + 6 * place).expand(count, 32, 32)
    kinds = torch.arange(count) % 2
    pictures = torch.where(kinds[:, None, None] == 0, stripes.transpose(1, 2), stripes)
    return pictures[:, None] + 0.2 * torch.randn(count, 3, 32, 32, generator=draw), kinds


def model() -> ViTForImageClassification:
    torch.manual_seed(0)
    return ViTForImageClassification(ViTConfig(
        image_size=32, patch_size=8, hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=128,
        num_labels=2, initializer_range=0.2))  # random weights that do something


def tune(way: str, steps: int = 60) -> float:
    """Share of unseen images that it tells right."""
    tuned = Swift.prepare_model(model(), WAYS[way]).train()
    optimizer = torch.optim.AdamW([p for p in tuned.parameters() if p.requires_grad], lr=5e-3)
    for step in range(steps):
        pixels, kinds = images(32, seed=step)
        loss = torch.nn.functional.cross_entropy(tuned(pixel_values=pixels).logits, kinds)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    pixels, kinds = images(200, seed=10_000)
    with torch.no_grad():
        right = (tuned.eval()(pixel_values=pixels).logits.argmax(-1) == kinds).float().mean().item()
    print(f'{way:<10} {Swift.get_trainable_parameters(tuned)}; {right:.0%} of unseen images right')
    return right


if __name__ == '__main__':
    for name in sys.argv[1:] or WAYS:
        tune(name)
