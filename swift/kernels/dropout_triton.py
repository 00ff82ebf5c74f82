"""The dropout mask of the kernels, made from a seed wherever it is needed; imported only where Triton is.

Nothing is saved: the same seed gives the same mask in the forward and in the backward, in whatever kernel and tile an
element falls. The numbers are those of Philox4x32 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011).
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def keep_mask(seed, row, col, columns, group: tl.constexpr, p):
    """Which elements of a [rows, columns] tensor are kept.

    Args:
        seed: integer, one for a layer and step.
        row, col: indices that broadcast to the tile, [R, 1] and [1, C].
        columns: width of the whole tensor.
        group: 0 to 3; up to four tensors of one shape have masks of their own from one seed.
        p: probability of being dropped.

    Returns:
        The mask of the tile, true with probability 1 - p.
    """
    offset = row.to(tl.int64) * columns + col
    r0, r1, r2, r3 = tl.rand4x(seed, offset)
    if group == 0:
        number = r0
    elif group == 1:
        number = r1
    elif group == 2:
        number = r2
    else:
        number = r3
    return number >= p
