"""A diffusion UNet of diffusers learns to take noise out of one picture: SCEdit on its skip connections, or LoRA.

    python examples/tuners/unet.py [scetuning lora adapter]

The model is small and random, so that nothing is downloaded: put `UNet2DConditionModel.from_pretrained(...,
subfolder='unet')` in its place. Needs `pip install diffusers`.
"""

import sys

import torch
from diffusers import UNet2DConditionModel

from swift import LoraConfig, Swift
from swift.tuners.methods.adapter import AdapterConfig
from swift.tuners.methods.scetuning import SCETuningConfig

WAYS = {
    'scetuning': SCETuningConfig(),  # all skip connections, their channels seen from the layers
    'lora': LoraConfig(r=8, target_modules=['to_q', 'to_k', 'to_v', 'to_out.0']),
    'adapter': AdapterConfig(target_modules=['ff'], adapter_length=16),  # behind the MLPs of its attention blocks
}


def model() -> UNet2DConditionModel:
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=16, in_channels=4, out_channels=4, block_out_channels=(16, 32), layers_per_block=1,
        down_block_types=('DownBlock2D', 'CrossAttnDownBlock2D'), up_block_types=('CrossAttnUpBlock2D', 'UpBlock2D'),
        cross_attention_dim=16, attention_head_dim=4, norm_num_groups=8)


def tune(way: str, steps: int = 40) -> tuple[float, float]:
    """The mean loss of the first and of the last five steps."""
    tuned = Swift.prepare_model(model(), WAYS[way]).train()
    optimizer = torch.optim.AdamW([p for p in tuned.parameters() if p.requires_grad], lr=1e-2)
    draw = torch.Generator().manual_seed(0)
    picture, words = torch.randn(1, 4, 16, 16, generator=draw), torch.randn(1, 3, 16, generator=draw)
    losses = []
    for _ in range(steps):
        noise = torch.randn(8, 4, 16, 16, generator=draw)
        times = torch.randint(0, 1000, (8,), generator=draw)
        kept = (1 - times / 1000).view(-1, 1, 1, 1)  # how much of the picture is left
        noisy = kept.sqrt() * picture + (1 - kept).sqrt() * noise
        loss = (tuned(noisy, times, encoder_hidden_states=words.expand(8, -1, -1)).sample - noise).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    first, last = sum(losses[:5]) / 5, sum(losses[-5:]) / 5
    print(f'{way:<10} {Swift.get_trainable_parameters(tuned)}; loss {first:.3f} -> {last:.3f}')
    return first, last


if __name__ == '__main__':
    for name in sys.argv[1:] or WAYS:
        tune(name)
