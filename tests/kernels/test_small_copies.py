"""Many copies in one launch against one by one."""

from __future__ import annotations

import torch

from swift.kernels.small_copies import Copy, SmallCopies

DEVICE = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
SHAPES = [(1, 1), (3, 7), (16, 100), (130, 8), (1, 5000), (40, 0)]


def copies(dtype: torch.dtype) -> list[Copy]:
    torch.manual_seed(0)
    found = []
    for n, (rows, columns) in enumerate(SHAPES):
        wide = torch.full((rows, columns + 3), 9.0, device=DEVICE, dtype=torch.bfloat16)
        found.append(Copy(torch.randn(rows, columns, device=DEVICE, dtype=dtype), wide[:, 1:columns + 1], 1 + n / 2))
    return found


def check(these: list[Copy]) -> None:
    for copy in these:
        torch.testing.assert_close(copy.target, (copy.source.float() * copy.factor).to(torch.bfloat16))
        whole = copy.target._base
        assert bool((whole[:, :1] == 9).all()) and bool((whole[:, -2:] == 9).all())


def test_targets_are_scaled_sources_and_nothing_beside_them_is_written():
    these = copies(torch.float32) + copies(torch.bfloat16)
    all_of = SmallCopies(these)
    for _ in range(2):
        all_of.make()
        check(these)
        for copy in these:
            copy.source.add_(1)


def test_the_kernel_is_the_same():
    from swift.kernels.small_copies_triton import copy_all, tables
    these = copies(torch.float32) + copies(torch.bfloat16)
    found = tables(these)
    assert len(found) == 2
    for table in found:
        copy_all(table)
    check(these)
