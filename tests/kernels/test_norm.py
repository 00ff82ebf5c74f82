"""RMSNorm against its formula in float64, transformers' layers, and Triton against plain PyTorch."""

from __future__ import annotations

import pytest
import torch
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from swift.kernels.norm import add_rms_norm, check, rms_norm, rms_norm_backward

pytest.importorskip('triton', reason='triton is not installed: pip install triton')

DEVICE = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
# of the largest value: the last bit of each dtype, as everything is computed in float32
TOLERANCE = {torch.float64: 1e-14, torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}
SIZES = [(3, 1), (5, 7), (1, 896), (0, 16), (131, 64), (3, 1537), (2, 3584)]
EPS = 1e-5


def near(ours, expected, tolerance, least=0.0):
    """To the largest value, or to ``least`` if that is more."""
    assert ours.shape == expected.shape
    if expected.numel():
        difference = (ours.double() - expected.double()).abs().max().item()
        assert difference <= tolerance * max(expected.double().abs().max().item(), least)


def problem(rows, width, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x, y, dy, residual = (torch.randn(rows, width, generator=generator) for _ in range(4))
    weight = torch.randn(width, generator=generator)
    return [tensor.to(DEVICE, dtype) for tensor in (3 * x, y, dy, residual, weight)]


def formula(x, weight, offset, dy, residual):
    """The formula in float64, gradients by autograd."""
    x, weight = (tensor.detach().double().requires_grad_() for tensor in (x, weight))
    y = x / (x.pow(2).mean(1, keepdim=True) + EPS).sqrt() * (offset + weight)
    dx, dweight = torch.autograd.grad(y, (x, weight), dy.double())
    return y.detach(), dx + residual.double(), dweight


def wider(tensor):
    """The same numbers in a part of a wider buffer."""
    buffer = torch.full((tensor.shape[0], tensor.shape[1] + 5), float('nan'), dtype=tensor.dtype, device=tensor.device)
    part = buffer[:, 3:3 + tensor.shape[1]]
    part.copy_(tensor)
    return part


@pytest.mark.parametrize('offset', [0.0, 1.0])
@pytest.mark.parametrize('dtype', TOLERANCE, ids=str)
@pytest.mark.parametrize(('rows', 'width'), SIZES)
@pytest.mark.parametrize('backend', ['torch', 'triton'])
def test_values_and_gradients_are_those_of_the_formula(backend, rows, width, dtype, offset):
    if backend == 'triton' and dtype == torch.float64:
        pytest.skip('kernels compute in float32')
    x, _, dy, residual, weight = problem(rows, width, dtype)
    y, dx, dweight = formula(x, weight, offset, dy, residual)
    ours, rstd = rms_norm(x, weight, EPS, offset=offset, backend=backend)
    near(ours, y, TOLERANCE[dtype])
    assert rstd.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    ours_dx, ours_dweight = rms_norm_backward(dy, x, weight, rstd, offset=offset, residual=residual, backend=backend)
    assert ours_dx.dtype == dtype and ours_dweight.dtype == rstd.dtype
    near(ours_dx, dx, TOLERANCE[dtype])
    near(ours_dweight, dweight, TOLERANCE[torch.float64 if dtype == torch.float64 else torch.float32])
    without, none = rms_norm_backward(dy, x, weight, rstd, offset=offset, weight_grad=False, backend=backend)
    assert none is None
    near(without, dx - residual.double(), TOLERANCE[dtype], least=1.0)  # one number alone cancels: dx is almost 0


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16], ids=str)  # the interpreter cuts bfloat16 off
@pytest.mark.parametrize('backend', ['torch', 'triton'])
def test_of_a_sum_it_is_the_norm_of_the_rounded_sum(backend, dtype):
    x, y, _, _, weight = problem(9, 130, dtype)
    total, normed, rstd = add_rms_norm(x, y, weight, EPS, backend=backend)
    assert torch.equal(total, x + y)
    expected, expected_rstd = rms_norm(x + y, weight, EPS, backend=backend)
    assert torch.equal(normed, expected) and torch.equal(rstd, expected_rstd)
    doubled, _, _ = add_rms_norm(x, x, weight, EPS, backend=backend)
    assert torch.equal(doubled, x + x)


@pytest.mark.parametrize('backend', ['torch', 'triton'])
def test_rows_may_lie_in_wider_buffers(backend):
    x, y, dy, residual, weight = problem(6, 33, torch.float32)
    total, normed, rstd = add_rms_norm(x, y, weight, EPS, backend=backend)
    out, into = wider(torch.zeros_like(x)), wider(torch.zeros_like(x))
    add_rms_norm(wider(x), wider(y), weight, EPS, total=into, out=out, backend=backend)
    assert torch.equal(into, total) and torch.equal(out, normed)
    assert out._base[:, :3].isnan().all() and out._base[:, -2:].isnan().all()
    dx, dweight = rms_norm_backward(dy, total, weight, rstd, residual=residual, backend=backend)
    ours, ours_dweight = rms_norm_backward(wider(dy), wider(total), weight, rstd, residual=wider(residual), out=out,
                                           backend=backend)
    assert ours is out and torch.equal(ours, dx) and torch.equal(ours_dweight, dweight)
    assert out._base[:, :3].isnan().all() and out._base[:, -2:].isnan().all()


@pytest.mark.parametrize('backend', ['torch', 'triton'])
def test_results_may_go_where_inputs_were(backend):
    x, y, dy, residual, weight = problem(6, 33, torch.float32)
    total, normed, rstd = add_rms_norm(x, y, weight, EPS, backend=backend)
    dx, _ = rms_norm_backward(dy, total, weight, rstd, residual=residual, backend=backend)
    for place in ('dy', 'residual', 'x'):
        given = {'dy': dy.clone(), 'x': total.clone(), 'residual': residual.clone()}
        ours, _ = rms_norm_backward(weight=weight, rstd=rstd, out=given[place], backend=backend, **given)
        assert ours is given[place] and torch.equal(ours, dx)
    into, out = y.clone(), x.clone()
    add_rms_norm(out, into, weight, EPS, total=into, out=out, backend=backend)
    assert torch.equal(into, total) and torch.equal(out, normed)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(('layer', 'offset'), [(LlamaRMSNorm, 0.0), (GemmaRMSNorm, 1.0)])
def test_it_is_the_layer_of_transformers(layer, offset, dtype):
    x, _, dy, _, weight = problem(20, 96, dtype)
    theirs = layer(96, eps=EPS).to(DEVICE, dtype)
    theirs.weight.data.copy_(weight)
    x.requires_grad_()
    expected = theirs(x)
    dx, dweight = torch.autograd.grad(expected, (x, theirs.weight), dy)
    ours, rstd = rms_norm(x.detach(), weight, EPS, offset=offset)
    near(ours, expected.detach(), TOLERANCE[dtype])
    ours_dx, ours_dweight = rms_norm_backward(dy, x.detach(), weight, rstd, offset=offset)
    near(ours_dx, dx, 2 * TOLERANCE[dtype])
    near(ours_dweight, dweight, 2 * TOLERANCE[dtype])


def test_weights_may_be_wider_than_rows():
    x, _, _, _, weight = problem(4, 10, torch.float16)
    exact = weight.float() + 1e-3
    expected = x.double() / (x.double().pow(2).mean(1, keepdim=True) + EPS).sqrt() * exact.double()
    for backend in ('torch', 'triton'):
        ours, _ = rms_norm(x, exact, EPS, backend=backend)
        assert torch.equal(ours, expected.to(torch.float16))


def test_the_weights_gradient_is_the_same_each_time_and_over_several_tiles_of_a_program():
    x, _, dy, _, weight = problem(300, 300, torch.float32)  # 75 tiles, 8 programs in the interpreter
    rstd = rms_norm(x, weight, EPS)[1]
    first, second = (rms_norm_backward(dy, x, weight, rstd, backend='triton')[1] for _ in range(2))
    assert torch.equal(first, second)
    near(first, (dy.double() * x.double() * rstd[:, None].double()).sum(0), 1e-6)


def test_shapes_that_do_not_fit_are_told():
    x = torch.zeros(3, 4)
    with pytest.raises(ValueError, match=r'rows must be \[T, D\] and weight \[D\], got \[3, 4\] and \[3\]'):
        rms_norm(x, torch.ones(3), EPS)
    with pytest.raises(ValueError, match=r'out must be \[3, 4\] with its last dimension contiguous.*strides \[1, 3\]'):
        rms_norm(x, torch.ones(4), EPS, out=torch.zeros(4, 3).t())
    with pytest.raises(ValueError, match=r'rstd must be \[3\], got \[3, 1\]'):
        rms_norm_backward(x, x, torch.ones(4), torch.ones(3, 1))


def test_check_finds_nothing_wrong_here_and_what_is_wrong_elsewhere(monkeypatch):
    assert check(DEVICE, torch.float16) is None
    monkeypatch.setattr('swift.kernels.norm_triton.backward', lambda *args: torch.zeros_like(args[2]))
    assert check(DEVICE, torch.float32) == 'result 6 of 7 differs from plain PyTorch\'s'

    def broken(*args):
        raise RuntimeError('no kernel image\nat line 3')

    monkeypatch.setattr('swift.kernels.norm_triton.forward', broken)
    assert check(DEVICE, torch.float32) == 'it does not run here (no kernel image)'
