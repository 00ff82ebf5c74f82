"""ReFT: every intervention against its formula in float64, what is edited, saved and refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from swift.tuners.api import Swift
from swift.tuners.methods.reft import KINDS, Intervention, ReftConfig, Rotation
from swift.utils.errors import UsageError

IDS = torch.arange(12).view(2, 6)
D, R = 12, 3
DATA = Path(__file__).parents[1] / 'data' / 'tuners'
FORMULAS = {  # h [n, d], rows [r, d], w [r, d], b [r], of the paper and of pyreft 0.1.0
    'LoreftIntervention': lambda h, rows, w, b: h + (h @ w.T + b - h @ rows.T) @ rows,
    'NoreftIntervention': lambda h, rows, w, b: h + (h @ w.T + b - h @ rows.T) @ rows,
    'ConsreftIntervention': lambda h, rows, w, b: h + (b - h @ rows.T) @ rows,
    'LobireftIntervention': lambda h, rows, w, b: h + b @ rows,
    'DireftIntervention': lambda h, rows, w, b: h + (h @ w.T + b) @ rows,
    'NodireftIntervention': lambda h, rows, w, b: h + (h @ w.T + b) @ rows,
}


def rows_by_reflections(vectors: torch.Tensor) -> torch.Tensor:
    """Rotation's rows with each reflection written out as a matrix."""
    product = torch.eye(len(vectors), dtype=vectors.dtype)
    for k in range(vectors.shape[1]):
        v = torch.cat([torch.zeros(k), torch.ones(1)]).to(vectors)
        v = torch.cat([v, vectors[k + 1:, k]])
        product = product @ (torch.eye(len(v), dtype=v.dtype) - 2 * torch.outer(v, v) / (v @ v))
    return product[:, :vectors.shape[1]].T


@pytest.mark.parametrize('name', KINDS)
def test_values_and_gradients_are_those_of_the_formula(name):
    torch.manual_seed(0)
    module = Intervention(D, R, KINDS[name]).double()
    h, weight = torch.randn(5, D, dtype=torch.float64, requires_grad=True), torch.randn(5, D, dtype=torch.float64)
    rows = module.projection.weight if module.rotation is None else rows_by_reflections(module.rotation.vectors)
    w, b = (module.source.weight, module.source.bias) if module.source is not None else (None, module.bias)
    wanted, got = FORMULAS[name](h, rows, w, b), module(h)
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)
    inputs = [h, *module.parameters()]
    for one, other in zip(torch.autograd.grad((got * weight).sum(), inputs),
                          torch.autograd.grad((wanted * weight).sum(), inputs), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_rows_stay_orthonormal_under_weight_decay():
    torch.manual_seed(0)
    rotation = Rotation(D, R)
    torch.testing.assert_close(rotation() @ rotation().T, torch.eye(R))
    optimizer = torch.optim.AdamW(rotation.parameters(), lr=0.1, weight_decay=0.1)
    target = torch.randn(R, D)
    before = rotation().detach()
    for _ in range(20):
        (rotation() - target).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    torch.testing.assert_close(rotation() @ rotation().T, torch.eye(R))
    assert (rotation() - target).norm() < (before - target).norm()


def test_settings_of_pyreft():
    torch.manual_seed(0)
    h = torch.randn(4, D)
    module = Intervention(D, R, KINDS['NoreftIntervention'], act_fn='relu', add_bias=True)
    p, s = module.projection, module.source
    wanted = h + ((h @ s.weight.T + s.bias).relu() - (h @ p.weight.T + p.bias)) @ p.weight
    torch.testing.assert_close(module(h), wanted)
    dropped = Intervention(D, R, KINDS['LobireftIntervention'], dropout=0.9).train()
    assert (dropped(h) == 0).any() and not (dropped.eval()(h) == 0).any()
    assert module(h.bfloat16()).dtype == torch.bfloat16 and module.source.weight.dtype == torch.float32


def test_chosen_blocks_are_edited_at_every_position(llama):
    model = Swift.prepare_model(llama(), ReftConfig(layers=[1], r=2))
    seen = {}
    for index in (0, 1):
        model.model.model.layers[index].register_forward_hook(
            lambda _m, _i, out, index=index: seen.__setitem__(index, out))
    with torch.no_grad():
        model(IDS)
        edited = dict(seen)
        with model.disable_adapter():
            model(IDS)
    assert torch.equal(edited[0], seen[0])
    assert (edited[1] != seen[1]).any(-1).all()
    inner = model.tuners['default'].tuner.interventions['1']
    torch.testing.assert_close(edited[1], inner(seen[1]))


def test_rows_do_not_see_each_other_and_generation_with_cache_equals_without(llama):
    model = Swift.prepare_model(llama(), ReftConfig()).eval()
    with torch.no_grad():
        alone = model(IDS[:1]).logits
        mask = torch.ones_like(IDS)
        mask[1, :3] = 0
        torch.testing.assert_close(model(IDS, attention_mask=mask).logits[:1], alone)
    more = {'max_new_tokens': 6, 'do_sample': False, 'eos_token_id': None, 'pad_token_id': 0,
            'attention_mask': torch.ones_like(IDS)}
    assert torch.equal(model.generate(IDS, **more), model.generate(IDS, use_cache=False, **more))


def test_what_is_saved_is_small(llama, tmp_path):
    Swift.save_pretrained(Swift.prepare_model(llama(), ReftConfig()), tmp_path)
    shapes = {name: list(tensor.shape) for name, tensor in load_file(tmp_path / 'adapter_model.safetensors').items()}
    one = {'rotation.vectors': [64, 4], 'source.weight': [4, 64], 'source.bias': [4]}
    assert shapes == {f'tuner.interventions.{i}.{name}': shape for i in (0, 1) for name, shape in one.items()}


@pytest.mark.parametrize(('settings', 'message'), [
    ({'intervention_type': 'LoreftIntervention2'}, "Did you mean 'LoreftIntervention'"),
    ({'layers': [2]}, 'model.layers has no block 2; there are 0 to 1'),
    ({'layer_key': 'model.norm'}, r'--reft_layer_key model.norm: .* its lists are model.layers'),
    ({'r': 65}, 'r 65 is more than the width of the hidden state, 64'),
    ({'args': '{"dropout": 2}'}, 'dropout: 2 is none of the settings'),
    ({'args': '{"act_fn": "swish"}'}, 'act_fn one of linear, gelu'),
    ({'args': '{"add_bias": true}'}, 'add_bias: True is none of the settings'),
    ({'args': '[]'}, 'is none of the settings'), ({'args': '{'}, 'args is not JSON'),
])
def test_settings_that_do_not_fit(llama, settings, message):
    with pytest.raises(UsageError, match=message):
        Swift.prepare_model(llama(), ReftConfig(**settings))


def test_the_width_of_a_model_without_normalisations_is_asked_for():
    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.steps = nn.ModuleList(nn.Sequential(nn.Linear(8, 8)) for _ in range(2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for step in self.steps:
                x = step(x)
            return x

    with pytest.raises(UsageError, match='Give hidden_size'):
        Swift.prepare_model(Stack(), ReftConfig())
    stack, x = Stack(), torch.randn(2, 8)
    before = stack(x)
    model = Swift.prepare_model(stack, ReftConfig(hidden_size=8, r=2))
    assert not torch.equal(model(x), before)
    with pytest.raises(UsageError, match="'default': an adapter of the type reft can not become part of the weights"):
        Swift.merge_and_unload(model)


@pytest.mark.parametrize('name', KINDS)
def test_values_and_gradients_are_those_of_pyreft(name):
    """Recorded by ``scripts/oracles/pyreft.py``."""
    all_of = load_file(DATA / 'pyreft.safetensors')
    found = {key.removeprefix(f'{name}.'): tensor for key, tensor in all_of.items() if key.startswith(f'{name}.')}
    state = {key.removeprefix('state.'): tensor for key, tensor in found.items() if key.startswith('state.')}
    ours = Intervention(found['x'].shape[-1], 3, KINDS[name])
    ours.load_state_dict(state)
    x = found['x'].requires_grad_()
    y = ours(x)
    (y * found['weight']).sum().backward()
    torch.testing.assert_close(y, found['y'], atol=2e-6, rtol=1e-5)
    gradients = {'gradient.x': x.grad, **{f'gradient.{key}': p.grad for key, p in ours.named_parameters()}}
    compared = [key for key in found if key.startswith('gradient.')]
    assert len(compared) >= 2
    for key in compared:
        torch.testing.assert_close(gradients[key], found[key], atol=1e-5, rtol=1e-4)
