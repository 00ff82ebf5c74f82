"""Numbers in few bits: evenly spaced codes in groups, and eight bits whose spacing follows the size (dynamic)."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch.nn import functional as F

_BLOCK = 256


@dataclass(frozen=True)
class Even:
    """A tensor in groups of evenly spaced codes, each group with its own step and zero.

    Attributes:
        codes: uint8, several to a byte where they fit.
        steps, zeros: [groups, 1], in the type of the tensor.
    """

    codes: torch.Tensor
    steps: torch.Tensor
    zeros: torch.Tensor


def to_even(tensor: torch.Tensor, bits: int, group_size: int) -> Even:
    """``code = round(x / step) + zero`` with ``step = (max - min) / (2^bits - 1)``, ``zero = -round(min / step)``.

    The last group is filled up with the last number. ``zero`` stays among the codes, as in Q-GaLore, so that 0 has a
    code of its own; a group that lies on one side of 0 is cut at it.
    """
    flat = tensor.flatten()
    missing = -len(flat) % group_size
    groups = torch.cat([flat, flat[-1:].expand(missing)]).view(-1, group_size)
    low, high, top = groups.amin(1, keepdim=True), groups.amax(1, keepdim=True), 2**bits - 1
    steps = (high - low).clamp(min=1e-5) / top
    zeros = (-torch.round(low / steps)).clamp(0, top)
    codes = (torch.round(groups / steps) + zeros).clamp(0, top).to(torch.uint8)
    return Even(_pack(codes.flatten(), bits), steps, zeros)


def from_even(even: Even, bits: int, group_size: int, shape: torch.Size | list[int]) -> torch.Tensor:
    codes = _unpack(even.codes, bits)[:len(even.steps) * group_size].view(-1, group_size).to(even.steps.dtype)
    return (even.steps * (codes - even.zeros)).flatten()[:math.prod(shape)].view(*shape)


def _pack(codes: torch.Tensor, bits: int) -> torch.Tensor:
    if bits not in (1, 2, 4):
        return codes
    many = 8 // bits
    columns = F.pad(codes, (0, -len(codes) % many)).view(-1, many)
    shifts = torch.arange(many, device=codes.device, dtype=torch.uint8) * bits
    return (columns << shifts).sum(1, dtype=torch.uint8)


def _unpack(codes: torch.Tensor, bits: int) -> torch.Tensor:
    if bits not in (1, 2, 4):
        return codes
    shifts = torch.arange(8 // bits, device=codes.device, dtype=torch.uint8) * bits
    return ((codes[:, None] >> shifts) & (2**bits - 1)).flatten()


@functools.cache
def dynamic_values(signed: bool) -> torch.Tensor:
    """The 256 numbers of dynamic eight-bit codes, ascending in [-1, 1] or [0, 1] (Dettmers et al. 2022).

    Seven decades below 1, each with twice as many numbers as the one below it: large numbers are told apart finely,
    and numbers of a millionth still have a code.
    """
    values = [0.0, 1.0]
    for decade in range(7):
        many = 2**decade if signed else 2**(decade + 1)
        edges = torch.linspace(0.1, 1.0, many + 1, dtype=torch.float64)
        means = (edges[:-1] + edges[1:]) / 2 * 10.0**(decade - 6)
        values += means.tolist() + ([-value for value in means.tolist()] if signed else [])
    return torch.tensor(sorted(values), dtype=torch.float32)


def to_dynamic(tensor: torch.Tensor, *, signed: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes (uint8, as many as numbers) and the largest size in each block of 256 (float32)."""
    blocks = F.pad(tensor.flatten(), (0, -tensor.numel() % _BLOCK)).view(-1, _BLOCK)
    largest = blocks.abs().amax(1).clamp(min=1e-30)
    values = dynamic_values(signed).to(tensor.device)
    codes = torch.bucketize(blocks / largest[:, None], (values[1:] + values[:-1]) / 2)
    return codes.to(torch.uint8).flatten()[:tensor.numel()], largest


def from_dynamic(codes: torch.Tensor, largest: torch.Tensor, shape: torch.Size | list[int], *,
                 signed: bool) -> torch.Tensor:
    """float32 numbers of this shape."""
    values = dynamic_values(signed).to(codes.device)[codes.int()]
    blocks = F.pad(values, (0, -len(values) % _BLOCK)).view(-1, _BLOCK) * largest[:, None]
    return blocks.flatten()[:len(values)].view(*shape)
