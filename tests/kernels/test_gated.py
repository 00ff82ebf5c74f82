"""The gated activation against its formula in float64, transformers' activations, and Triton against plain PyTorch."""

from __future__ import annotations

import pytest
import torch
from transformers.activations import ACT2FN

from swift.kernels.dropout import plain_keep_mask
from swift.kernels.gated import KINDS, check, gated, gated_backward, gated_pair, gated_pair_backward
from tests.kernels.philox import keep_mask

pytest.importorskip('triton', reason='triton is not installed: pip install triton')

DEVICE = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
# of the largest value: the last bit of each dtype, as everything is computed in float32
TOLERANCE = {torch.float64: 1e-14, torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}
SIZES = [(3, 1), (5, 7), (1, 896), (0, 16), (131, 65), (3, 1537)]
EXACT = {'silu': lambda g: g * torch.sigmoid(g), 'gelu': torch.nn.functional.gelu,
         'gelu_tanh': lambda g: torch.nn.functional.gelu(g, approximate='tanh')}


def near(ours, expected, tolerance):
    assert ours.shape == expected.shape
    if expected.numel():
        difference = (ours.double() - expected.double()).abs().max().item()
        assert difference <= tolerance * expected.double().abs().max().item()


def problem(rows, width, dtype, rank=0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = ((rows, 2 * width), (rows, width), (rows, rank), (rank, width))
    return [(2 * torch.randn(shape, generator=generator)).to(DEVICE, dtype) for shape in shapes]


def formula(gu, d, kind):
    """In float64, gradient by autograd."""
    gu = gu.detach().double().requires_grad_()
    gate, up = gu.chunk(2, 1)
    a = EXACT[kind](gate) * up
    return a.detach(), torch.autograd.grad(a, gu, d.double())[0]


def wider(tensor):
    """The same numbers in a part of a wider buffer."""
    buffer = torch.full((tensor.shape[0], tensor.shape[1] + 5), float('nan'), dtype=tensor.dtype, device=tensor.device)
    part = buffer[:, 3:3 + tensor.shape[1]]
    part.copy_(tensor)
    return part


def untouched(part):
    return part._base[:, :3].isnan().all() and part._base[:, -2:].isnan().all()


@pytest.mark.parametrize('kind', EXACT)
@pytest.mark.parametrize('dtype', TOLERANCE, ids=str)
@pytest.mark.parametrize(('rows', 'width'), SIZES)
@pytest.mark.parametrize('backend', ['torch', 'triton'])
def test_values_and_gradients_are_those_of_the_formula(backend, rows, width, dtype, kind):
    if backend == 'triton' and dtype == torch.float64:
        pytest.skip('kernels compute in float32')
    gu, da, _, _ = problem(rows, width, dtype)
    a, dgu = formula(gu, da, kind)
    near(gated(gu, kind, backend=backend), a, TOLERANCE[dtype])
    again = torch.empty_like(da)
    ours = gated_backward(da, gu, kind, act_out=again, backend=backend)
    assert ours.dtype == dtype
    near(ours, dgu, TOLERANCE[dtype])
    near(again, a, TOLERANCE[dtype])


@pytest.mark.parametrize(('name', 'kind'), [(name, kind) for name, kind in KINDS.items() if name != 'gelu_fast'])
def test_it_is_the_activation_of_transformers(name, kind):
    gu, _, _, _ = problem(20, 96, torch.float32)
    gate, up = gu.chunk(2, 1)
    near(gated(gu, kind), ACT2FN[name](gate) * up, 1e-6)


# bfloat16 is not here: the interpreter multiplies its bits as integers; `check` compares it on the GPU
@pytest.mark.parametrize(('backend', 'dtype'), [('torch', torch.float64), ('torch', torch.bfloat16),
                                                ('triton', torch.float32), ('triton', torch.float16)])
@pytest.mark.parametrize(('rows', 'width', 'rank'), [(33, 129, 1), (5, 7, 16), (64, 256, 24), (40, 60, 100)])
def test_with_an_adapter_the_gradient_is_that_of_both_ways(backend, dtype, rows, width, rank):
    gu, da, low, low_weight = problem(rows, width, dtype, rank)
    _, expected = formula(gu, da.double() + low.double() @ low_weight.double(), 'silu')
    near(gated_backward(da, gu, 'silu', low=low, low_weight=low_weight, backend=backend), expected, TOLERANCE[dtype])
    strided = gated_backward(da, gu, 'silu', low=wider(low), low_weight=wider(low_weight), backend=backend)
    near(strided, expected, TOLERANCE[dtype])


@pytest.mark.parametrize('backend', ['torch', 'triton'])
def test_the_adapters_dropout_is_that_of_the_seed(backend):
    rows, width, p, seed = 41, 150, 0.3, 2 ** 33 + 1
    gu, da, low, low_weight = problem(rows, width, torch.float32, 8)
    mask = (keep_mask(seed, rows, width, 0, p) if backend == 'triton'
            else plain_keep_mask(seed, rows, width, 0, p, DEVICE)).to(DEVICE)
    d = da.double() + mask * (low.double() @ low_weight.double()) / (1 - p)
    ours = gated_backward(da, gu, 'silu', low=low, low_weight=low_weight, drop=(p, seed), backend=backend)
    near(ours, formula(gu, d, 'silu')[1], 1e-6)
    without = gated_backward(da, gu, 'silu', low=low, low_weight=low_weight, drop=(0.0, seed), backend=backend)
    assert torch.equal(without, gated_backward(da, gu, 'silu', low=low, low_weight=low_weight, backend=backend))
    nothing = gated_backward(da, gu, 'silu', low=low, low_weight=low_weight, drop=(1.0, seed), backend=backend)
    torch.testing.assert_close(nothing, gated_backward(da, gu, 'silu', backend=backend))


@pytest.mark.parametrize('adapter', [False, True])
@pytest.mark.parametrize('backend', ['torch', 'triton'])
def test_rows_may_lie_in_wider_buffers_and_results_where_inputs_were(backend, adapter):
    gu, da, low, low_weight = problem(37, 131, torch.float32, 4)
    given = {'low': low, 'low_weight': low_weight} if adapter else {}
    a, again = gated(gu, 'silu', backend=backend), torch.empty_like(da)
    dgu = gated_backward(da, gu, 'silu', act_out=again, backend=backend, **given)
    out = wider(torch.zeros_like(da))
    assert gated(wider(gu), 'silu', out=out, backend=backend) is out
    assert torch.equal(out, a) and untouched(out)
    in_gu, in_da = wider(gu), wider(da)
    assert gated_backward(in_da, in_gu, 'silu', out=in_gu, act_out=in_da, backend=backend, **given) is in_gu
    assert torch.equal(in_gu, dgu) and torch.equal(in_da, again) and untouched(in_gu) and untouched(in_da)


@pytest.mark.parametrize('backend', ['torch', 'triton'])
def test_gate_and_up_may_be_apart(backend):
    gu, da, _, _ = problem(9, 70, torch.float32)
    gate, up = (half.contiguous() for half in gu.chunk(2, 1))
    assert torch.equal(gated_pair(gate, up, 'gelu', backend=backend), gated(gu, 'gelu', backend=backend))
    dgate, dup = torch.empty_like(gate), torch.empty_like(up)
    gated_pair_backward(da, gate, up, 'gelu', dgate=dgate, dup=dup, backend=backend)
    assert torch.equal(torch.cat([dgate, dup], 1), gated_backward(da, gu, 'gelu', backend=backend))


@pytest.mark.filterwarnings('ignore:overflow encountered:RuntimeWarning')  # numpy's, in the interpreter
def test_extreme_gates_give_numbers():
    gate = torch.tensor([[-1e4, -88.0, -20.0, 0.0, 20.0, 88.0, 1e4]], device=DEVICE)
    gu = torch.cat([gate, torch.ones_like(gate)], 1)
    for kind in EXACT:
        for backend in ('torch', 'triton'):
            a = gated(gu, kind, backend=backend)
            dgu = gated_backward(torch.ones_like(gate), gu, kind, backend=backend)
            torch.testing.assert_close(a, gate.clamp(min=0), atol=1e-5, rtol=1e-6)
            torch.testing.assert_close(dgu[:, :7], torch.tensor([[0, 0, 0, 0.5, 1, 1, 1]], device=DEVICE), atol=1e-5,
                                       rtol=1e-6)


def test_what_does_not_fit_is_told():
    gu, da, low, low_weight = problem(3, 4, torch.float32, 2)
    with pytest.raises(ValueError, match="kind must be silu, gelu_tanh or gelu, got 'relu'"):
        gated(gu, 'relu')
    with pytest.raises(ValueError, match=r'must be \[T, 2 I\], got \[3, 7\]'):
        gated(gu[:, :7], 'silu')
    with pytest.raises(ValueError, match=r'da must be \[T, I\], here \[3, 4\].*got \[3, 3\]'):
        gated_backward(da[:, :3], gu, 'silu')
    with pytest.raises(ValueError, match='low and low_weight go together'):
        gated_backward(da, gu, 'silu', low=low)
    with pytest.raises(ValueError, match=r'low must be \[3, r\] and low_weight \[r, 4\], got \[3, 2\] and \[4, 2\]'):
        gated_backward(da, gu, 'silu', low=low, low_weight=low_weight.t())
    with pytest.raises(ValueError, match='low is torch.float32 and low_weight torch.float64'):
        gated_backward(da, gu, 'silu', low=low, low_weight=low_weight.double())
    with pytest.raises(ValueError, match='from 0 to 1, got 1.5'):
        gated_backward(da, gu, 'silu', low=low, low_weight=low_weight, drop=(1.5, 3))


def test_check_finds_nothing_wrong_here_and_what_is_wrong_elsewhere(monkeypatch):
    assert check(DEVICE, torch.float16) is None
    monkeypatch.setattr('swift.kernels.gated_triton.backward', lambda *args: args[4].zero_())
    assert 'differs from plain' in check(DEVICE, torch.float32)
