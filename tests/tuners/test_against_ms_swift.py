"""Values and gradients of the modules of ms-swift 2.6.1 on the same weights: ``scripts/oracles/ms_swift.py``."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from swift.tuners.bottleneck import Bottleneck
from swift.tuners.methods.adapter import _adapted
from swift.tuners.methods.restuning import Bypass, ResTuningConfig
from swift.tuners.methods.scetuning import SCEAdapter
from swift.tuners.methods.side import SideNetwork
from swift.tuners.methods.vpt import PromptConfig, PromptTuner

DATA = Path(__file__).parents[1] / 'data' / 'tuners' / 'ms_swift.safetensors'
# as in the script
GATED = {'lateral_cfg': {'res_adapter': {'adapter_length': 6, 'adapter_weight': 'scale_channel'}},
         'vertical_cfg': {'res_adapter': {'adapter_length': 3, 'adapter_weight': 'gate'}}}


class Doubled(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


def plain(name: str) -> str:
    return re.sub(r'\b(linear|ln)1\b', 'down', re.sub(r'\b(linear|ln)2\b', 'up', name))


def adapter():
    module = Bottleneck(8, 5)
    return module, lambda x: _adapted(module, x), plain


def side():
    module = SideNetwork('mlp', 8, 0.0)
    return module, module, lambda name: name.replace('side_net.fc1', 'network.0').replace('side_net.fc2', 'network.2')


def sce():
    module = SCEAdapter(8, 4, torch.device('cpu'))
    return module, module, lambda name: plain(name.replace('tuner_op.', 'bottleneck.'))


def prompt(front: bool):
    model = nn.Sequential(Doubled(), nn.Identity())
    tuner = PromptTuner(model, PromptConfig(target_modules=['0', '1'], dim=8, prompt_length=4, attach_front=front))
    tuner.attach(model)
    return tuner, model, lambda name: f'prompts.{name[0]}.tokens'


def restuning(config):
    bypass = Bypass([8] * 3, ResTuningConfig(tuner_cfg=config))

    def ours(name: str) -> str:
        name = name.replace('bypass_blocks.', 'steps.').replace('_tuner.tuner.', '.')
        name = re.sub(r'\.ln1\.', '.bottleneck.down.', re.sub(r'\.ln2\.', '.bottleneck.up.', name))
        return re.sub(r'\.scaling$', '.weight.scale', re.sub(r'\.scaling\.', '.weight.gate.', name))
    # the frozen model's own states get no gradient: theirs detach inside
    return bypass, lambda *inputs: bypass(inputs[0].detach(), [one.detach() for one in inputs]), ours


CASES: dict[str, Callable] = {
    'adapter': adapter, 'side': side, 'sce': sce, 'prompt_front': lambda: prompt(True),
    'prompt_back': lambda: prompt(False), 'restuning': lambda: restuning('res_adapter'),
    'restuning_gated': lambda: restuning(GATED)}


@pytest.mark.parametrize('name', CASES)
def test_values_and_gradients_are_those_of_ms_swift(name):
    found = {key.partition('/')[2]: tensor for key, tensor in load_file(DATA).items() if key.startswith(f'{name}/')}
    module, call, ours_of = CASES[name]()
    weights = dict(module.double().named_parameters())
    recorded = {ours_of(key.removeprefix('weight.')): key.removeprefix('weight.')
                for key in found if key.startswith('weight.')}
    assert recorded.keys() == weights.keys()
    with torch.no_grad():
        for key, theirs in recorded.items():
            weights[key].copy_(found[f'weight.{theirs}'].reshape(weights[key].shape))
    inputs = [found[f'input.{i}'].requires_grad_() for i in range(sum(key.startswith('input.') for key in found))]
    output = call(*inputs)
    torch.testing.assert_close(output, found['output'], atol=1e-12, rtol=0)
    gradients = torch.autograd.grad(output, [*weights.values(), *inputs], found['above'], allow_unused=True)
    names = [*(f'gradient.{recorded[key]}' for key in weights), *(f'gradient.input.{i}' for i in range(len(inputs)))]
    compared = [(one, found[key]) for key, one in zip(names, gradients, strict=True)
                if key in found and one is not None]
    assert len(compared) >= len(weights)
    for one, theirs in compared:
        torch.testing.assert_close(one, theirs.reshape(one.shape), atol=1e-12, rtol=0)
