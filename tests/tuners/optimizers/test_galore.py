"""GaLore, Q-GaLore and APOLLO against the papers' packages, AdamW, and the formulas in float64."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from swift.tuners.optimizers.apollo import Apollo
from swift.tuners.optimizers.codes import dynamic_values, from_dynamic, from_even, to_dynamic, to_even
from swift.tuners.optimizers.galore import GaLoreAdamW
from swift.tuners.optimizers.projection import random_bases
from swift.tuners.optimizers.q_galore import QGaLoreAdamW
from swift.utils.errors import NonFiniteError, UsageError

# as in scripts/oracles/galore.py, which made the file
RECORDED = Path(__file__).parents[2] / 'data' / 'tuners' / 'galore.safetensors'
STEPS, RANK, GAP, SCALE, LR, BETAS, EPS = 8, 4, 3, 0.5, 0.01, (0.9, 0.95), 1e-8


def after(optimizer_class, weight, gradients, *, rank=RANK, **options):
    parameter = nn.Parameter(weight.clone())
    optimizer = optimizer_class([{'params': [parameter], 'rank': rank}], lr=LR, betas=BETAS, eps=EPS, **options)
    for gradient in gradients:
        parameter.grad = gradient.clone().to(weight.dtype)
        optimizer.step()
    return parameter.detach(), optimizer


def assert_same_change(ours, expected, start, tolerance):
    difference = (ours.double() - expected.double()).abs().max() / (expected - start).abs().max()
    assert difference < tolerance, f'{difference:.1e} of the largest change'


@pytest.mark.parametrize('kind', ['std', 'reverse_std', 'left', 'right', 'full'])
@pytest.mark.parametrize('shape', ['tall', 'wide'])
def test_steps_of_galore_are_those_of_its_package(shape, kind):
    recorded = load_file(RECORDED)
    weight, gradients = recorded[f'{shape}.weight'], recorded[f'{shape}.gradients']
    first, last = (after(GaLoreAdamW, weight, gradients[:steps], update_proj_gap=GAP, scale=SCALE, proj_type=kind)[0]
                   for steps in (1, STEPS))
    expected = [recorded[f'{shape}.{kind}.{steps}'] for steps in (1, STEPS)]
    if kind != 'full':  # its first step is partly noise, see the module
        assert_same_change(first, expected[0], weight, 2e-5)
    assert_same_change(last - first, expected[1] - expected[0], torch.zeros_like(weight), 2e-5)


@pytest.mark.parametrize('shape', ['tall', 'wide'])
def test_steps_of_q_galore_are_those_of_its_package(shape):
    """Codes of the bases and the growing gap; so small a state stays float32."""
    recorded = load_file(RECORDED)
    weight = recorded[f'{shape}.weight']
    ours, optimizer = after(QGaLoreAdamW, weight, recorded[f'{shape}.gradients'], update_proj_gap=GAP, scale=SCALE,
                            proj_group_size=16, cos_threshold=0.0, queue_size=1)
    assert_same_change(ours, recorded[f'{shape}.coded'], weight, 2e-5)
    (state,) = optimizer.state.values()
    assert state['gap'] > GAP


def test_without_a_rank_it_is_adamw():
    torch.manual_seed(0)
    weight, gradients = torch.randn(6, 5), torch.randn(5, 6, 5)
    reference = nn.Parameter(weight.clone())
    adamw = torch.optim.AdamW([reference], lr=LR, betas=BETAS, eps=EPS, weight_decay=0.1)
    for gradient in gradients:
        reference.grad = gradient.clone()
        adamw.step()
    for kind in (GaLoreAdamW, QGaLoreAdamW, Apollo):
        ours, _ = after(kind, weight, gradients, rank=0, weight_decay=0.1)
        assert_same_change(ours, reference.detach(), weight, 1e-6)


def test_weight_decay_is_that_of_adamw_whatever_the_rank():
    weight, gradients = torch.ones(8, 6), torch.zeros(2, 8, 6)
    for kind in (GaLoreAdamW, Apollo):
        ours, _ = after(kind, weight, gradients, weight_decay=0.5)
        torch.testing.assert_close(ours, weight * (1 - LR * 0.5)**2)


def apollo_in_float64(weight, gradients, *, rank, per_tensor, scale, seed=0):
    """The paper's algorithm for one matrix, written from its formula."""
    w, last, first, second = weight.double(), None, 0.0, 0.0
    tall = w.shape[0] >= w.shape[1]
    for t, g in enumerate(gradients.double(), 1):
        (basis,) = random_bases(w.shape, rank, 'std', seed + (t - 1) // GAP, device=w.device,
                                dtype=torch.float32).values()
        low = g @ basis.double().T if tall else basis.double().T @ g
        first, second = BETAS[0] * first + (1 - BETAS[0]) * low, BETAS[1] * second + (1 - BETAS[1]) * low**2
        scaled, dim = first / (second.sqrt() + EPS), None if per_tensor else int(tall)
        size = scaled.norm(dim=dim, keepdim=True) / low.norm(dim=dim, keepdim=True)
        step = g * size
        if last is not None and step.norm() > 1.01 * last:
            step = step / step.norm() * 1.01 * last
        last = step.norm()
        correction = math.sqrt(1 - BETAS[1]**t) / (1 - BETAS[0]**t)
        w = w - LR * math.sqrt(scale) * correction * step
    return w


@pytest.mark.parametrize('shape', ['tall', 'wide'])
@pytest.mark.parametrize(('rank', 'per_tensor', 'scale'), [(RANK, False, 1.0), (1, True, 128.0)])
def test_steps_of_apollo_are_those_of_the_formula(shape, rank, per_tensor, scale):
    recorded = load_file(RECORDED)
    weight = recorded[f'{shape}.weight']
    gradients = recorded[f'{shape}.gradients'] * torch.linspace(1, 3, STEPS)[:, None, None]  # the limiter has work
    ours, _ = after(Apollo, weight, gradients, rank=rank, per_tensor=per_tensor, scale=scale, update_proj_gap=GAP)
    expected = apollo_in_float64(weight, gradients, rank=rank, per_tensor=per_tensor, scale=scale)
    assert_same_change(ours, expected, weight, 1e-5)


def state_bytes(optimizer):
    return sum(value.numel() * value.element_size() for state in optimizer.state.values()
               for value in state.values() if isinstance(value, torch.Tensor))


def test_states_take_the_memory_that_is_promised():
    """One weight of 1024 x 512, rank 32; AdamW would take 4 MiB."""
    torch.manual_seed(0)
    weight, gradients = torch.randn(1024, 512), torch.randn(1, 1024, 512)
    m, n, r = 1024, 512, 32
    sizes = {kind.__name__: state_bytes(after(kind, weight, gradients, rank=r)[1])
             for kind in (GaLoreAdamW, QGaLoreAdamW, Apollo)}
    assert sizes['GaLoreAdamW'] == 4 * (2 * m * r + n * r)
    codes, blocks = 2 * m * r + n * r // 2, 2 * 4 * m * r // 256 + 2 * 4 * n * r // 256
    assert sizes['QGaLoreAdamW'] == codes + blocks + 4 * n
    assert sizes['Apollo'] == 4 * (2 * m * r + 1)


@pytest.mark.parametrize(('kind', 'more'), [
    (GaLoreAdamW, {}), (GaLoreAdamW, {'proj_type': 'full'}), (QGaLoreAdamW, {}),
    (QGaLoreAdamW, {'proj_quant': False}), (Apollo, {}), (Apollo, {'per_tensor': True})])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_goes_on_exactly_where_it_was(kind, more, dtype, tmp_path):
    """Through the files of a checkpoint; the weight has enough numbers for eight-bit states."""
    from swift.trainers.state import load_tree, save_tree

    torch.manual_seed(0)
    weight, gradients = torch.randn(160, 96).to(dtype), torch.randn(10, 160, 96)
    options = {'rank': 32, 'update_proj_gap': 4, **more}
    whole, _ = after(kind, weight, gradients, **options)
    half, optimizer = after(kind, weight, gradients[:5], **options)
    save_tree(tmp_path, 'optimizer', optimizer.state_dict())
    parameter = nn.Parameter(half.clone())
    again = kind([{'params': [parameter], 'rank': 32}], lr=LR, betas=BETAS, eps=EPS, update_proj_gap=4, **more)
    again.load_state_dict(load_tree(tmp_path, 'optimizer'))
    for gradient in gradients[5:]:
        parameter.grad = gradient.to(dtype)
        again.step()
    assert torch.equal(parameter, whole) and not torch.equal(parameter, half)


def test_what_is_no_matrix_has_no_rank():
    for kind in (GaLoreAdamW, QGaLoreAdamW, Apollo):
        with pytest.raises(UsageError, match=r'Only matrices .* shape \(3,\)'):
            kind([{'params': [nn.Parameter(torch.ones(3))], 'rank': 2}])
    with pytest.raises(UsageError, match="takes std, reverse_std, left, right, full; got 'both'"):
        GaLoreAdamW([nn.Parameter(torch.ones(3, 3))], rank=2, proj_type='both')


def test_a_gradient_that_is_no_number_is_told():
    with pytest.raises(NonFiniteError, match='NaN or Inf'):
        after(GaLoreAdamW, torch.ones(4, 4), torch.full((1, 4, 4), float('nan')))


def test_the_gap_grows_only_where_bases_stay_alike():
    torch.manual_seed(0)
    steady, wild = torch.randn(1, 12, 10).expand(12, 12, 10), torch.randn(12, 12, 10)
    gaps = []
    for gradients in (steady, wild):
        _, optimizer = after(QGaLoreAdamW, torch.randn(12, 10), gradients, update_proj_gap=1, queue_size=2,
                             cos_threshold=0.9)
        gaps.append(next(iter(optimizer.state.values()))['gap'])
    assert gaps[0] > 1 and gaps[1] == 1


@pytest.mark.parametrize('bits', [1, 2, 4, 8])
def test_even_codes_are_off_by_half_a_step(bits):
    torch.manual_seed(0)
    tensor = torch.randn(7, 37)
    even = to_even(tensor, bits, 64)
    assert even.codes.numel() == -(-7 * 37 // 64) * 64 * bits // 8
    error = (from_even(even, bits, 64, tensor.shape) - tensor).abs().flatten()
    steps = even.steps.expand(-1, 64).flatten()[:7 * 37]
    assert (error <= steps * (1.0 if bits == 1 else 0.51)).float().mean() > (0.5 if bits == 1 else 0.95)


def test_dynamic_codes_keep_small_numbers_beside_large_ones():
    for signed in (True, False):
        assert len(dynamic_values(signed)) == 256 and dynamic_values(signed).diff().min() > 0
    tensor = torch.logspace(-5, 0, 4096) * torch.tensor([1.0, -1.0]).repeat(2048)
    back = from_dynamic(*to_dynamic(tensor, signed=True), tensor.shape, signed=True)
    assert ((back - tensor).abs() / tensor.abs()).max() < 0.35 and (back.sign() == tensor.sign()).all()
    close = from_dynamic(*to_dynamic(torch.ones(300), signed=False), (300,), signed=False)
    assert torch.equal(close, torch.ones(300))
