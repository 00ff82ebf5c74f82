"""The operator against its formula in float64 and against peft's layers, in values and gradients."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig
from peft.tuners.lora import Linear as PeftLinear
from torch import nn
from torch.utils.checkpoint import checkpoint

from swift.kernels import lora_linear as operator
from swift.kernels.dora import dora_linear
from swift.kernels.dropout import plain_keep_mask
from swift.kernels.lora_linear import Adapter, Layer, lora_linear

WIDTH, OUT = 12, 9
# of the largest number of each tensor
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


def randn(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype).requires_grad_()


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def assert_near(ours, expected, tolerance=1e-5):
    assert ours.shape == expected.shape and ours.dtype == expected.dtype
    assert (ours.double() - expected.double()).abs().max() <= tolerance * expected.double().abs().max()


# ---- the formula


def group_of_three(dtype=torch.float64):
    """Two layers with weights, of which one has two adapters of other ranks, and one whose output is given."""
    tensors = {'x': randn(2, 5, WIDTH, dtype=dtype), 'w0': randn(7, WIDTH, dtype=dtype),
               'bias0': randn(7, dtype=dtype), 'w1': randn(OUT, WIDTH, dtype=dtype),
               'given': randn(2, 5, 6, dtype=dtype)}
    for name, out, rank in (('0', 7, 3), ('1', 7, 2), ('2', OUT, 4), ('3', 6, 2)):
        tensors |= {f'a{name}': randn(rank, WIDTH, dtype=dtype), f'b{name}': randn(out, rank, dtype=dtype)}
    return tensors


SCALES = (0.5, 2.0, 1.5, 3.0)


def apply_group(tensors, p=(0.0, 0.0, 0.0, 0.0)):
    t = tensors
    first, second, third, fourth = (Adapter(t[f'a{i}'], t[f'b{i}'], SCALES[i], p[i]) for i in range(4))
    return lora_linear(t['x'], [Layer(t['w0'], (first, second), t['bias0']), Layer(t['w1'], (third,)),
                                Layer(None, (fourth,), output=t['given'])])


def test_every_gradient_is_that_of_finite_differences():
    tensors = group_of_three()
    names = list(tensors)
    assert torch.autograd.gradcheck(
        lambda *given: tuple(apply_group(dict(zip(names, given, strict=True)))), tuple(tensors.values()))


@pytest.mark.parametrize('p', [(0.0,) * 4, (0.4,) * 4, (0.4, 0.0, 0.2, 0.4)], ids=str)
def test_it_is_the_formula_under_the_masks(monkeypatch, p):
    seeds = iter(range(1000, 2000))
    monkeypatch.setattr(operator, 'new_seed', lambda: next(seeds))
    tensors = group_of_three()
    masks = {}
    for number, chance in enumerate(dict.fromkeys(chance for chance in p if chance)):
        for group, index in enumerate(i for i in range(4) if p[i] == chance):
            masks[index] = plain_keep_mask(1000 + number, 10, WIDTH, group, chance, torch.device('cpu')).double()
            masks[index] /= 1 - chance
    x, t = tensors['x'], tensors
    parts = [(x.view(10, WIDTH) * masks.get(i, 1.0)).view_as(x) @ t[f'a{i}'].t() @ t[f'b{i}'].t() * SCALES[i]
             for i in range(4)]
    expected = [x @ t['w0'].t() + t['bias0'] + parts[0] + parts[1], x @ t['w1'].t() + parts[2], t['given'] + parts[3]]
    ours = apply_group(tensors, p)
    above = [torch.randn_like(y) for y in expected]
    for one, other in zip(ours, expected, strict=True):
        assert_near(one, other, 1e-12)
    wanted = torch.autograd.grad(expected, list(t.values()), above)
    for one, other in zip(torch.autograd.grad(ours, list(t.values()), above), wanted, strict=True):
        assert_near(one, other, 1e-12)


@pytest.mark.parametrize('used', [[0], [1], [2], [0, 2]])
def test_outputs_that_nobody_uses_have_no_part_in_the_gradient(used):
    tensors = group_of_three()
    t, x = tensors, tensors['x']
    plain = [x @ t['w0'].t() + t['bias0'] + sum(x @ t[f'a{i}'].t() @ t[f'b{i}'].t() * SCALES[i] for i in (0, 1)),
             x @ t['w1'].t() + x @ t['a2'].t() @ t['b2'].t() * SCALES[2],
             t['given'] + x @ t['a3'].t() @ t['b3'].t() * SCALES[3]]
    ours, expected = (torch.autograd.grad([outputs[i].sum() for i in used], list(t.values()), allow_unused=True)
                      for outputs in (apply_group(tensors), plain))
    for one, other in zip(ours, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert_near(one, other, 1e-12)


def test_what_is_frozen_gets_no_gradient_and_the_rest_the_same():
    everything = group_of_three()
    expected = torch.autograd.grad([y.square().sum() for y in apply_group(everything)],
                                   [everything[f'{side}{i}'] for i in range(4) for side in 'ab'])
    for name in ('x', 'w0', 'w1', 'bias0', 'given'):
        everything[name].requires_grad_(False)
    ours = torch.autograd.grad([y.square().sum() for y in apply_group(everything)],
                               [everything[f'{side}{i}'] for i in range(4) for side in 'ab'])
    for one, other in zip(ours, expected, strict=True):
        assert_near(one, other, 1e-12)


def test_no_tokens_and_no_adapters():
    x, w = randn(0, WIDTH), randn(OUT, WIDTH)
    y, = lora_linear(x, [Layer(w, (Adapter(randn(2, WIDTH), randn(OUT, 2), p=0.1),))])
    assert y.shape == (0, OUT)
    y.sum().backward()
    assert w.grad is not None and not w.grad.any()
    x = randn(3, WIDTH)
    y, = lora_linear(x, [Layer(w)])
    assert torch.equal(y, x @ w.t())


def test_outputs_may_be_changed_in_place_and_inputs_may_have_any_layout():
    tensors = group_of_three(torch.float32)
    expected = [y * 0.5 for y in apply_group(tensors)]
    ours = [y.mul_(0.5) for y in apply_group(tensors)]
    for one, other in zip(ours, expected, strict=True):
        assert torch.equal(one, other)
    sum(y.sum() for y in ours).backward()
    tensors['x'] = tensors['x'].detach().transpose(0, 1).contiguous().transpose(0, 1)
    tensors['given'] = tensors['given'].detach().transpose(0, 1).contiguous().transpose(0, 1)
    for one, other in zip(apply_group(tensors), expected, strict=True):
        assert_near(one, other * 2)


def test_a_second_derivative_is_refused():
    tensors = group_of_three()
    grad, = torch.autograd.grad(apply_group(tensors)[0].square().sum(), tensors['x'], create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'):
        grad.sum().backward()


def test_what_does_not_fit_is_told():
    x, w = randn(3, WIDTH), randn(OUT, WIDTH)
    with pytest.raises(ValueError, match='x is torch.float64 and a tensor of a layer torch.float32'):
        lora_linear(x, [Layer(w, (Adapter(randn(2, WIDTH, dtype=torch.float32), randn(OUT, 2)),))])
    with pytest.raises(ValueError, match=r'a must be \[1 \* r, 12\], got \[2, 11\]'):
        lora_linear(x, [Layer(w, (Adapter(randn(2, WIDTH - 1), randn(OUT, 2)),))])
    with pytest.raises(ValueError, match='either a weight or a given output'):
        Layer(None)


# ---- memory


def test_it_saves_the_input_and_what_is_as_wide_as_the_rank():
    x, w = randn(50, 400, dtype=torch.float32), torch.randn(300, 400)
    adapters = tuple(Adapter(randn(4, 400, dtype=torch.float32), randn(300, 4, dtype=torch.float32), p=0.1)
                     for _ in range(2))
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(tensor) or tensor, lambda tensor: tensor):
        y, = lora_linear(x, [Layer(w, adapters)])
    known = {tensor.data_ptr() for tensor in (x, w, *(t for adapter in adapters for t in (adapter.a, adapter.b)))}
    new = [tensor for tensor in saved if tensor.data_ptr() not in known]
    assert [tuple(tensor.shape) for tensor in new] == [(50, 8)]


def test_a_quantised_weight_is_made_dense_once_in_each_direction_and_not_kept():
    w, calls = torch.randn(OUT, WIDTH), []

    def dense(dtype):
        calls.append(dtype)
        return w.to(dtype, copy=True)

    x = randn(4, WIDTH, dtype=torch.float32)
    adapter = Adapter(randn(2, WIDTH, dtype=torch.float32), randn(OUT, 2, dtype=torch.float32))
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(tensor) or tensor, lambda tensor: tensor):
        y, = lora_linear(x, [Layer(dense, (adapter,))])
    assert calls == [torch.float32] and not any(tensor.shape == w.shape for tensor in saved)
    other, = lora_linear(x, [Layer(w, (adapter,))])
    inputs = (x, adapter.a, adapter.b)
    for one, expected in zip(torch.autograd.grad(y.square().sum(), inputs),
                             torch.autograd.grad(other.square().sum(), inputs), strict=True):
        assert torch.equal(one, expected)
    assert len(calls) == 2


def test_recomputing_draws_the_same_masks():
    tensors = group_of_three(torch.float32)

    def loss(t):
        return sum(y.square().sum() for y in apply_group(t, (0.4,) * 4))

    torch.manual_seed(5)
    plain = torch.autograd.grad(loss(tensors), list(tensors.values()))
    torch.manual_seed(5)
    again = torch.autograd.grad(checkpoint(loss, tensors, use_reentrant=False), list(tensors.values()))
    for one, other in zip(again, plain, strict=True):
        assert torch.equal(one, other)


# ---- peft


def peft_layer(dtype=torch.float32, bias=True, adapters=1, trained_base=False, **options):
    base = nn.Linear(WIDTH, OUT, bias=bias)
    layer = None
    for number in range(adapters):
        config = LoraConfig(**({'r': 4 + number, 'lora_alpha': 6, 'init_lora_weights': False} | options))
        if layer is None:
            layer = PeftLinear(base, 'a0', config, r=config.r, lora_alpha=config.lora_alpha)
        else:
            layer.update_layer(f'a{number}', config.r, lora_alpha=config.lora_alpha, config=config)
    layer.set_adapter([f'a{number}' for number in range(adapters)])
    layer.base_layer.requires_grad_(trained_base)
    return layer.to(dtype)


def ours_of(layer, x):
    adapters = tuple(Adapter(layer.lora_A[name].weight, layer.lora_B[name].weight, layer.scaling[name])
                     for name in layer.active_adapters)
    described = Layer(layer.base_layer.weight, adapters, layer.base_layer.bias)
    if 'a0' in layer.lora_magnitude_vector:
        return dora_linear(x, described, layer.lora_magnitude_vector['a0'].weight)
    return lora_linear(x, [described])[0]


def compare_with_peft(layer, dtype=torch.float32, autocast=False, tolerance=None):
    x = torch.randn(3, 5, WIDTH).to(dtype).requires_grad_()
    trained = [x, *(parameter for parameter in layer.parameters() if parameter.requires_grad)]
    found = []
    for way in (layer, lambda x: ours_of(layer, x)):
        with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
            y = way(x)
        found.append((y, *torch.autograd.grad(y.float().square().sum(), trained)))
    assert len(found[0]) >= 4
    for expected, ours in zip(*found, strict=True):
        assert_near(ours, expected, tolerance or TOLERANCE[torch.bfloat16 if autocast else dtype])


@pytest.mark.parametrize('dtype', TOLERANCE, ids=str)
@pytest.mark.parametrize('options', [{}, {'bias': False}, {'use_rslora': True}, {'adapters': 3},
                                     {'trained_base': True}, {'r': 1, 'adapters': 2}], ids=str)
def test_it_is_pefts_layer(options, dtype):
    compare_with_peft(peft_layer(dtype, **options), dtype)


@pytest.mark.parametrize('base', [torch.bfloat16, torch.float32])
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float32])
def test_under_autocast_adapters_in_float32_get_gradients_in_float32(base, dtype):
    layer = peft_layer(adapters=2)
    layer.base_layer.to(base)
    compare_with_peft(layer, dtype, autocast=True)


def test_autocast_leaves_float64_alone_as_torch_does():
    tensors = group_of_three()
    expected = apply_group(tensors)
    with torch.autocast('cpu', torch.bfloat16):
        assert all(torch.equal(one, other) for one, other in zip(apply_group(tensors), expected, strict=True))


def test_under_autocast_gradients_are_nearer_to_those_in_float32_than_pefts():
    layer = peft_layer()
    layer.base_layer.to(torch.bfloat16)
    x = torch.randn(400, WIDTH).bfloat16()
    trained = [layer.lora_A['a0'].weight, layer.lora_B['a0'].weight]
    exact = peft_layer()
    exact.load_state_dict(layer.state_dict())
    above = torch.randn(400, OUT).bfloat16()
    expected = torch.autograd.grad(exact(x.float()), [exact.lora_A['a0'].weight, exact.lora_B['a0'].weight],
                                   above.float())
    errors = []
    for way in (layer, lambda x: ours_of(layer, x)):
        with torch.autocast('cpu', torch.bfloat16):
            y = way(x)
        found = torch.autograd.grad(y, trained, above)
        errors.append(sum(((one - other).norm() / other.norm()).item() for one, other in
                          zip(found, expected, strict=True)))
    assert errors[1] <= errors[0] * 1.05 and errors[1] < 0.02


@pytest.mark.parametrize('bias', [True, False])
def test_dora_is_pefts_with_a_constant_norm(bias):
    layer = peft_layer(use_dora=True, bias=bias)
    with torch.no_grad():
        layer.lora_magnitude_vector['a0'].weight.mul_(torch.rand(OUT) + 0.5)
    compare_with_peft(layer)


def test_dora_in_bfloat16_and_under_autocast():
    compare_with_peft(peft_layer(torch.bfloat16, use_dora=True), torch.bfloat16, tolerance=4e-2)
    compare_with_peft(peft_layer(use_dora=True), autocast=True, tolerance=4e-2)


def test_dora_with_dropout_is_pefts_under_the_same_mask(monkeypatch):
    layer = peft_layer(use_dora=True, lora_dropout=0.3)
    mask = (torch.rand(3, 5, WIDTH) > 0.3) / 0.7
    monkeypatch.setattr(torch.nn.functional, 'dropout', lambda x, p, training=True, inplace=False: x * mask)
    x = torch.randn(3, 5, WIDTH).requires_grad_()
    adapter = Adapter(layer.lora_A['a0'].weight, layer.lora_B['a0'].weight, layer.scaling['a0'], 0.3)
    ours = dora_linear(x, Layer(layer.base_layer.weight, (adapter,), layer.base_layer.bias),
                       layer.lora_magnitude_vector['a0'].weight)
    expected = layer(x)
    assert_near(ours, expected)
    inputs = [x, *(parameter for parameter in layer.parameters() if parameter.requires_grad)]
    for one, other in zip(torch.autograd.grad(ours.square().sum(), inputs),
                          torch.autograd.grad(expected.square().sum(), inputs), strict=True):
        assert_near(one, other)


def test_dropout_has_pefts_distribution():
    """What an adapter adds, over many draws: mean and variance of a sum of dropped inputs."""
    x, w = torch.ones(20_000, 8), torch.zeros(1, 8)
    adapter = Adapter(torch.ones(1, 8), torch.ones(1, 1), p=0.25)
    y, = lora_linear(x, [Layer(w, (adapter,))])
    values, counts = y.mul(0.75).round().unique(return_counts=True)
    expected = torch.distributions.Binomial(8, torch.tensor(0.75)).log_prob(values).exp() * 20_000
    assert (counts - expected).square().div(expected).sum() < 30  # chi square of at most 8 degrees: 26 once in 1000
