"""The skinny products of LoRA in plain PyTorch, against the formulas in float64."""

from __future__ import annotations

import pytest
import torch

from swift.kernels.dropout import plain_keep_mask
from swift.kernels.lora import Drop, a_grad, b_grad, down, new_seed, up_grad

CPU = torch.device('cpu')
DROP = Drop(0.3, 2 ** 40 + 1)
# of the largest number: rounding of inputs and results, sums are wider
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}


def given(tokens, width, rank, groups, dtype=torch.float32):
    generator = torch.Generator().manual_seed(tokens + width)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in (
        (tokens, width), (groups * rank, width), (tokens, groups * rank), (tokens, width))]


def masks_of(drop, tokens, width, groups):
    """[G, N, D] in float64, 1 / (1 - p) where kept."""
    if drop is None:
        return torch.ones(groups, tokens, width, dtype=torch.float64)
    return torch.stack([plain_keep_mask(drop.seed, tokens, width, group, drop.p, CPU).double() / (1 - drop.p)
                        for group in range(groups)])


def by_formula(x, a, low, dx, masks):
    """(xa, dx after up_grad, da) in float64."""
    rank = a.shape[0] // len(masks)
    x, a, low, dx = (tensor.double() for tensor in (x, a, low, dx))
    parts = [slice(g * rank, (g + 1) * rank) for g in range(len(masks))]
    xa = torch.cat([(mask * x) @ a[part].t() for mask, part in zip(masks, parts, strict=True)], 1)
    dx = dx + sum(mask * (low[:, part] @ a[part]) for mask, part in zip(masks, parts, strict=True))
    da = torch.cat([low[:, part].t() @ (mask * x) for mask, part in zip(masks, parts, strict=True)])
    return xa, dx, da


def assert_near(one, other, tolerance):
    assert one.shape == other.shape
    if one.numel():
        assert (one.double() - other).abs().max() <= tolerance * other.abs().max()


@pytest.mark.parametrize('dtype', TOLERANCE, ids=str)
@pytest.mark.parametrize('drop', [None, Drop(0.0, 3), DROP], ids=['none', 'zero', 'p'])
@pytest.mark.parametrize(('tokens', 'width', 'rank', 'groups'), [(0, 7, 2, 1), (1, 1, 1, 1), (5, 30, 4, 3),
                                                                (130, 65, 8, 4)])
def test_they_are_the_formulas(tokens, width, rank, groups, drop, dtype):
    x, a, low, dx = given(tokens, width, rank, groups, dtype)
    masks = masks_of(None if drop is None or not drop.p else drop, tokens, width, groups)
    expected = by_formula(x, a, low, dx, masks)
    up_grad(low, a, dx, groups=groups, drop=drop)
    found = down(x, a, groups=groups, drop=drop), dx, a_grad(low, x, groups=groups, drop=drop, out_dtype=dtype)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == dtype
        assert_near(one, other, TOLERANCE[dtype])


@pytest.mark.parametrize('drop', [None, DROP], ids=['none', 'p'])
def test_rows_may_be_further_apart(drop):
    x, a, low, dx = given(9, 20, 4, 2)
    expected = by_formula(x, a, low, dx, masks_of(drop, 9, 20, 2))
    wide_x, wide_dx, wide_low, wide_out = (torch.full((9, 50), 7.0) for _ in range(4))
    wide_x[:, 3:23], wide_dx[:, 3:23], wide_low[:, 1:9] = x, dx, low
    found = down(wide_x[:, 3:23], a, groups=2, drop=drop, out=wide_out[:, 5:13])
    up_grad(wide_low[:, 1:9], a, wide_dx[:, 3:23], groups=2, drop=drop)
    assert found.data_ptr() == wide_out[:, 5:].data_ptr()
    assert (wide_out[:, :5] == 7).all() and (wide_out[:, 13:] == 7).all() and (wide_dx[:, :3] == 7).all()
    da = a_grad(wide_low[:, 1:9], wide_x[:, 3:23], groups=2, drop=drop)
    for one, other in zip((found, wide_dx[:, 3:23], da), expected, strict=True):
        assert_near(one, other, 1e-5)


@pytest.mark.parametrize('drop', [None, DROP], ids=['none', 'p'])
def test_what_dx_holds_may_be_overwritten(drop):
    x, a, low, dx = given(9, 20, 4, 2)
    expected = by_formula(x, a, low, torch.zeros_like(dx), masks_of(drop, 9, 20, 2))[1]
    dx.fill_(float('nan'))
    up_grad(low, a, dx, groups=2, drop=drop, overwrite=True)
    assert_near(dx, expected, 1e-5)


def test_the_gradient_of_b_is_the_sum_over_tokens_in_float32():
    dy, xa = torch.randn(50, 12).bfloat16(), torch.randn(50, 4).bfloat16()
    found = b_grad(dy, xa)
    assert found.dtype == torch.float32
    assert_near(found, dy.double().t() @ xa.double(), 1e-2)


def test_a_group_has_masks_of_its_own_and_everything_may_be_dropped():
    x, a = torch.ones(40, 60), torch.ones(1, 60).repeat(4, 1)
    counts = down(x, a, groups=4, drop=DROP)
    assert len({tuple(column.tolist()) for column in counts.t()}) == 4
    assert not down(x, a, groups=4, drop=Drop(1.0, 5)).any()


def test_seeds_are_drawn_again_under_the_same_state_and_fit_what_kernels_take():
    state = torch.random.get_rng_state()
    first = [new_seed() for _ in range(3)]
    torch.random.set_rng_state(state)
    assert [new_seed() for _ in range(3)] == first and len(set(first)) == 3
    assert all(2 ** 32 < seed < 2 ** 62 for seed in first)


def test_what_does_not_fit_is_told():
    with pytest.raises(ValueError, match='from 0 to 1, got 1.5'):
        Drop(1.5, 0)
    with pytest.raises(ValueError, match=r'a must be \[2 \* r, 20\], got \[3, 20\]'):
        down(torch.ones(2, 20), torch.ones(3, 20), groups=2)
    with pytest.raises(ValueError, match='at most 4 adapters, got 5'):
        down(torch.ones(2, 20), torch.ones(5, 20), groups=5, drop=DROP)
    with pytest.raises(ValueError, match='3 columns, which 2 groups do not divide'):
        a_grad(torch.ones(2, 3), torch.ones(2, 20), groups=2)
