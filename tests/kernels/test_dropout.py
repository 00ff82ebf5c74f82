"""The dropout mask: the numbers of the definition, the same in every tile, kept with the right probability."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from swift.kernels.dropout import plain_keep_mask
from tests.kernels.philox import keep_mask as expected_mask
from tests.kernels.philox import philox

pytest.importorskip('triton', reason='triton is not installed: pip install triton')
import triton
import triton.language as tl

from swift.kernels.dropout_triton import keep_mask

DEVICE = torch.device('cuda' if torch.cuda.is_available() else 'cpu')


@triton.jit
def _masks(out_ptr, seed, rows, columns, first_row, p, GROUP: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS))[:, None]
    col = (tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS))[None, :]
    keep = keep_mask(seed, row + first_row, col, columns, GROUP, p)
    tl.store(out_ptr + row * columns + col, keep.to(tl.uint8), mask=(row < rows) & (col < columns))


def in_tiles(seed, rows, columns, group, p, tile, first_row=0):
    out = torch.empty(rows, columns, dtype=torch.uint8, device=DEVICE)
    grid = (triton.cdiv(rows, tile[0]), triton.cdiv(columns, tile[1]))
    _masks[grid](out, seed, rows, columns, first_row, p, GROUP=group, ROWS=tile[0], COLUMNS=tile[1])
    return out.bool().cpu()


def test_the_oracle_is_philox():
    """The known answer of Random123 for counter 0 and key 0."""
    found = [hex(int(word[0])) for word in philox(np.zeros(1, np.uint64), 0)]
    assert found == ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']


@pytest.mark.parametrize(('seed', 'group', 'tile'), [(0, 0, (16, 64)), (7, 1, (8, 32)), (2 ** 31 + 5, 2, (16, 16)),
                                                     (2 ** 40 + 3, 3, (4, 64)), (2 ** 60, 0, (16, 64))])
def test_it_is_that_of_the_definition_in_every_tile(seed, group, tile):
    assert torch.equal(in_tiles(seed, 13, 37, group, 0.3, tile), expected_mask(seed, 13, 37, group, 0.3))


def test_elements_beyond_the_two_to_the_thirty_second_have_numbers_of_their_own():
    near, far = (in_tiles(3, 4, 2 ** 12, 0, 0.5, (4, 4096), first) for first in (0, 2 ** 20))
    assert 0.45 < (near == far).float().mean() < 0.55
    assert torch.equal(far, expected_mask(3, 4, 2 ** 12, 0, 0.5, first_row=2 ** 20))


@pytest.mark.parametrize('p', [0.01, 0.05, 0.5])
def test_dropped_elements_do_not_know_of_each_other(p):
    """Correlations at every distance in rows and columns (by Fourier), sums of rows and columns, and of seeds."""
    rows, columns, chance = 1024, 896, round(p * 65536) / 65536
    masks = {(seed, group): (~expected_mask(seed, rows, columns, group, p)).float() - chance
             for seed in (2 ** 33 + 1, 2 ** 33 + 2, 2 ** 59 + 12345) for group in range(4)}
    unit = rows * columns * chance * (1 - chance)
    for dropped in masks.values():
        spectrum = torch.fft.rfft2(dropped).abs().square() / unit
        spectrum[0, 0] = 0
        at_distance = torch.fft.irfft2(spectrum, s=dropped.shape)
        at_distance[0, 0] = 0
        assert at_distance.abs().max() * (rows * columns) ** 0.5 < 7.5  # of 917,504 normal ones: 5 expected
        assert spectrum.max() < 25  # of exponential ones: 14 expected
        for axis in (0, 1):
            ratio = dropped.sum(axis).square().sum() / unit
            assert abs(ratio - 1) < 5 * (2 / dropped.shape[1 - axis]) ** 0.5
    for one, other in itertools.combinations(masks.values(), 2):
        assert abs((one * other).sum()) < 5 * (rows * columns) ** 0.5 * chance * (1 - chance)


@pytest.mark.parametrize('p', [0.05, 0.5])
def test_elements_are_kept_with_their_probability_and_groups_are_independent(p):
    masks = [expected_mask(11, 200, 500, group, p).double() for group in range(4)]
    masks += [plain_keep_mask(11, 200, 500, group, p, torch.device('cpu')).double() for group in range(4)]
    sigma = (p * (1 - p) / 100_000) ** 0.5
    for mask in masks:
        assert abs(mask.mean().item() - (1 - p)) < 5 * sigma
        assert (mask.mean(0) - (1 - p)).abs().max() < 6 * (p * (1 - p) / 200) ** 0.5
    correlations = torch.corrcoef(torch.stack([mask.flatten() for mask in masks])) - torch.eye(8)
    assert correlations.abs().max() < 5 / 100_000 ** 0.5


def test_the_plain_mask_is_the_same_each_time_and_another_for_another_seed():
    cpu = torch.device('cpu')
    one = plain_keep_mask(5, 30, 40, 1, 0.5, cpu)
    assert torch.equal(one, plain_keep_mask(5, 30, 40, 1, 0.5, cpu))
    assert not torch.equal(one, plain_keep_mask(6, 30, 40, 1, 0.5, cpu))
    assert not torch.equal(one, plain_keep_mask(5, 30, 40, 2, 0.5, cpu))


def test_the_four_elements_of_one_draw_of_the_plain_mask_are_independent():
    """Each keeps its chance, and is told nothing by those beside it; sizes that four doesn't divide are filled too."""
    p, rows, columns = 0.05, 401, 501
    dropped = (~plain_keep_mask(7, rows, columns, 0, p, torch.device('cpu'))).double().flatten() - p
    deviation = (p * (1 - p)) ** 0.5
    for lane in range(4):
        assert abs(dropped[lane::4].mean()) < 5 * deviation / (rows * columns / 4) ** 0.5
    for distance in (1, 2, 3, 4, columns):
        together = (dropped[:-distance] * dropped[distance:]).mean() / deviation ** 2
        assert abs(together) < 5 / (rows * columns) ** 0.5
    assert not plain_keep_mask(7, 30, 40, 0, 1 - 1e-9, torch.device('cpu')).float().mean() > 0.01
    assert plain_keep_mask(7, 30, 40, 0, 1e-9, torch.device('cpu')).all()
