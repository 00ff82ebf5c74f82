"""The examples of tuners run as they are, and learn."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest
import torch

from swift.tuners.api import Swift
from swift.tuners.methods.scetuning import SCETuningConfig

FOLDER = Path(__file__).parents[2] / 'examples' / 'tuners'


def load(name: str):
    spec = importlib.util.spec_from_file_location(f'example_{name}', FOLDER / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_loop_of_your_own(tmp_path, monkeypatch, capsys):
    torch.manual_seed(0)
    monkeypatch.setattr(sys, 'argv', ['loop.py', str(tmp_path)])
    load('loop')
    losses = [float(number) for number in re.findall(r'loss (?:of )?(\d+\.\d+)', capsys.readouterr().out)]
    assert len(losses) == 5 and losses[3] < losses[0] < 4.2
    assert losses[3] < losses[4] < 4.3, 'one alone is not both'
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {'attention', 'mlp'}
    assert len(re.findall(r'^\S', (FOLDER / 'loop.py').read_text(), re.M)) < 30


@pytest.mark.parametrize('way', ['adapter', 'restuning', *(
    pytest.param(name, marks=pytest.mark.slow) for name in ('lora', 'prompt', 'side'))])
def test_a_vision_transformer(way):
    assert load('vit').tune(way) > 0.95


@pytest.mark.parametrize(('way', 'less'), [
    ('scetuning', 0.1), pytest.param('lora', 0.04, marks=pytest.mark.slow),
    pytest.param('adapter', 0.01, marks=pytest.mark.slow)])
def test_a_unet_of_diffusers(way, less):
    pytest.importorskip('diffusers')
    first, last = load('unet').tune(way)
    assert last < first - less


@pytest.mark.parametrize('channels', [(16, 32), (8, 16, 24), (16, 16)])
@pytest.mark.parametrize('layers', [1, 2])
def test_the_skip_connections_of_a_unet_are_seen_from_its_layers(channels, layers):
    diffusers = pytest.importorskip('diffusers')
    unet = diffusers.UNet2DModel(
        sample_size=16, in_channels=3, out_channels=3, block_out_channels=channels, layers_per_block=layers,
        norm_num_groups=4, down_block_types=('DownBlock2D',) * len(channels),
        up_block_types=('UpBlock2D',) * len(channels)).eval()
    skips: list[int] = []
    unet.conv_in.register_forward_hook(lambda _module, _inputs, output: skips.append(output.shape[1]))
    for block in unet.down_blocks:
        block.register_forward_hook(lambda _module, _inputs, output: skips.extend(s.shape[1] for s in output[1]))
    x = torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        start = unet(x, 3).sample
        wanted = skips[::-1]
        model = Swift.prepare_model(unet, SCETuningConfig())
        assert [tuner.dim for tuner in model.tuners['default'].tuner.tuners] == wanted
        assert torch.equal(model(x, 3).sample, start)
