"""The dropout mask of the kernels, made from a seed wherever it is needed; imported only where Triton is.

Nothing is saved: the same seed gives the same mask in the forward and in the backward, in whatever kernel and tile an
element falls.

A kernel that reads 16-bit numbers as fast as an H100's memory gives them has about ten integer instructions to spare
for each. Philox4x32 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011) for every element takes
fifty-five. So Philox gives each row a key of 128 bits, and its round alone (a product of 64 bits whose halves are laid
over each other), twice with the key before it, tells the columns of the row apart: five instructions.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _fold(x, factor):
    """Both halves of the product of 64 bits laid over each other: one instruction for the product, one for the rest."""
    product = x.to(tl.uint64) * factor
    return (product >> 32).to(tl.uint32) ^ product.to(tl.uint32)


@triton.jit
def keep_mask(seed, row, col, columns, group: tl.constexpr, p):
    """Whether elements are kept; true with probability 1 - p, p taken to the nearest multiple of 2^-16.

    Args:
        seed: integer, one for a layer and step.
        row, col: indices that broadcast to the tile, [R, 1] and [1, C]: a row's key is then made once.
        columns: width of the whole tensor (the mask does not depend on it).
        group: 0 to 3; up to four tensors of one shape have masks of their own from one seed. Those of groups 0 and 1
            (2 and 3) are halves of one number: asked for together they cost one.
        p: probability of being dropped.
    """
    key0, key1, key2, _ = tl.randint4x(seed, row)
    x = _fold(col.to(tl.uint32) ^ key0, 0xD2511F53)
    x = _fold(x ^ key1, 0xCD9E8D57)
    if group >= 2:
        x = _fold(x ^ key2, 0x9E3779B1)
    if group % 2 == 1:
        x = x << 16
    return x >= (tl.cast(p * 65536 + 0.5, tl.uint32) << 16)
