"""Linear layers that read the same input, as one matrix, with the LoRA adapters of all of them.

    y = [x | xa] [W | s B]^T + b,   xa_g = dropout_g(x) A_g^T

W are the weights of the members one below the other (q, k, v; gate, up; or one alone), B the block-diagonal matrix of
their adapters, s their scaling. One matmul serves all members; the input is read once for all A; where the producer of
x writes into a wider buffer the adapters ride along in further columns of that matmul, and y is not touched twice:

    columns of x    xa            fraction of the work at rank 16 and 1536 columns: 2 % (gate, up), 3 % (q, k, v)

Where it does not (``extend=False``), ``y += xa (s B)^T`` follows. Backwards:

    low = dy (s B);  dx = dy W + sum_g keep_g * (low_g A_g) / (1 - p)
    dA_g = low_g^T dropout_g(x);  dB_g = s dy_g^T xa_g;  dW = dy^T x

Saved are x (shared with its producer) and s xa alone; masks are drawn again from a seed. The adapters' part of dx is
written first and the matmul adds to it, which costs no pass of its own. Weights keep being the parameters that they
were, as views of the one matrix.

In this file: N tokens, D inputs, O outputs of all members, G adapters of the largest rank R (a multiple of 8, for the
alignment of rows; smaller ranks are filled with zeros), E = G R further columns.

Idea of the further columns: none of the LoRA implementations read (peft, unsloth, axolotl, NeMo) has it; unsloth and
NeMo add B's product into the output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from swift.kernels.lora import Drop, a_grad, b_grad, down, up_grad
from swift.kernels.small_copies import Copy

_ALIGNED = 8  # elements of 16 bits in the 16 bytes that matmuls want rows to begin at

@dataclass(frozen=True)
class Adapter:
    """LoRA of one layer: ``a`` [rank, inputs], ``b`` [outputs, rank]."""

    a: nn.Parameter
    b: nn.Parameter
    scaling: float
    dropout: float


@dataclass(frozen=True)
class Member:
    """One of the layers.

    Attributes:
        weight: [outputs, inputs].
        bias: [outputs] or None.
        adapter: or None.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None
    adapter: Adapter | None

    def parameters(self) -> list[nn.Parameter | None]:
        adapter = self.adapter
        return [self.weight, self.bias, adapter.a if adapter else None, adapter.b if adapter else None]


class LinearGroup:
    """See the top of the file.

    Args:
        members: layers with the same inputs, weights of one dtype, and adapters with the same dropout.
        extend: adapters ride along in further columns; the input comes in :meth:`buffer`.
    """

    def __init__(self, members: Sequence[Member], *, extend: bool) -> None:
        self.members = tuple(members)
        self.dtype = members[0].weight.dtype
        self.inputs = members[0].weight.shape[1]
        self._outputs = [member.weight.shape[0] for member in members]
        self._ends = [sum(self._outputs[:i + 1]) for i in range(len(members))]
        self._adapted = [(i, member.adapter) for i, member in enumerate(members) if member.adapter is not None]
        largest = max((adapter.a.shape[0] for _, adapter in self._adapted), default=0)
        self.rank = -(-largest // _ALIGNED) * _ALIGNED
        self.groups = len(self._adapted)
        self.dropout = self._adapted[0][1].dropout if self._adapted else 0.0
        scalings = [adapter.scaling for _, adapter in self._adapted]
        self._scaling: float | torch.Tensor = scalings[0] if len(set(scalings)) == 1 else torch.tensor(
            scalings, dtype=self.dtype, device=members[0].weight.device).repeat_interleave(self.rank)
        self.columns = self.groups * self.rank  # E
        self.extends = extend and self.columns > 0
        self._pack()

    def _pack(self) -> None:
        """Bring the weights of the members into one matrix; each stays the parameter it is, as a view."""
        outputs, device = self._ends[-1], self.members[0].weight.device
        self._matrix: torch.Tensor | None = None  # of one layer alone its weight, whatever takes its place
        if len(self.members) > 1 or self.extends:
            self._matrix = torch.zeros(outputs, self.inputs + (self.columns if self.extends else 0), dtype=self.dtype,
                                       device=device)
            for rows, member in self._rows():
                view = self._matrix[rows, :self.inputs]
                view.copy_(member.weight.detach())
                member.weight.data = view
        self._bias: torch.Tensor | None = None
        if any(member.bias is not None for member in self.members):
            self._bias = torch.zeros(outputs, dtype=self.dtype, device=device)
            for rows, member in self._rows():
                if member.bias is not None:
                    self._bias[rows].copy_(member.bias.detach())
                    member.bias.data = self._bias[rows]
        self._a = self._b = None
        if self._adapted:
            self._a = torch.zeros(self.columns, self.inputs, dtype=self.dtype, device=device)
            self._b = (self._matrix[:, self.inputs:] if self.extends
                       else torch.zeros(outputs, self.columns, dtype=self.dtype, device=device))

    def unpack(self) -> None:
        """Give every member memory of its own again."""
        for member in self.members:
            member.weight.data = member.weight.detach().clone(memory_format=torch.contiguous_format)
            if member.bias is not None:
                member.bias.data = member.bias.detach().clone()

    def _rows(self):
        begin = 0
        for end, member in zip(self._ends, self.members, strict=True):
            yield slice(begin, end), member
            begin = end

    def is_packed(self) -> bool:
        """Whether weights and biases still are the views that :meth:`_pack` made (``.to()`` makes others)."""
        if self._bias is not None and any(
                member.bias is not None and member.bias.data_ptr() != self._bias[rows].data_ptr()
                for rows, member in self._rows()):
            return False
        if self._matrix is None:
            return not self._adapted or self._b.device == self.members[0].weight.device
        size = self._matrix.element_size() * self._matrix.stride(0)
        return all(member.weight.data_ptr() == self._matrix.data_ptr() + rows.start * size
                   for rows, member in self._rows())

    def copies(self) -> list[Copy]:
        """What takes over the adapters as they are; to be done whenever they may have changed."""
        found = []
        for g, (i, adapter) in enumerate(self._adapted):
            rank, rows = adapter.a.shape[0], slice(self._ends[i] - self._outputs[i], self._ends[i])
            found += [Copy(adapter.a, self._a[g * self.rank:g * self.rank + rank], 1.0),
                      Copy(adapter.b, self._b[rows, g * self.rank:g * self.rank + rank], adapter.scaling)]
        return found

    @property
    def a(self) -> torch.Tensor | None:
        """A of all adapters [E, D], as the last :meth:`copies` left them."""
        return self._a

    def buffer(self, tokens: int) -> torch.Tensor:
        """[N, D + E], whose first D columns the producer of x fills; the rest is :meth:`forward`'s."""
        width = self.inputs + (self.columns if self.extends else 0)
        return torch.empty(tokens, width, dtype=self.dtype, device=self.members[0].weight.device)

    def weights(self) -> torch.Tensor:
        """W [O, D]."""
        return self.members[0].weight.detach() if self._matrix is None else self._matrix[:, :self.inputs]

    def forward(self, x: torch.Tensor, drop: Drop | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """``x`` [N, D] or, where the group extends, :meth:`buffer` -> y [N, O] and s xa [N, E]."""
        if self.extends:
            xa = down(x[:, :self.inputs], self._a, groups=self.groups, drop=drop, out=x[:, self.inputs:])
            matrix = self._matrix
        else:
            matrix = self.weights()
        y = torch.mm(x, matrix.t()) if self._bias is None else torch.addmm(self._bias, x, matrix.t())
        if not self._adapted:
            return y, None
        if not self.extends:
            xa = down(x, self._a, groups=self.groups, drop=drop)
            y.addmm_(xa, self._b.t())
        return y, xa * self._scaling  # also a copy of its own: xa is a view of a buffer that need not stay

    def down_only(self, x: torch.Tensor, drop: Drop | None) -> torch.Tensor:
        """``x`` [N, D] -> s xa [N, E] alone."""
        return down(x, self._a, groups=self.groups, drop=drop) * self._scaling

    def low(self, dy: torch.Tensor) -> torch.Tensor | None:
        """``dy`` [N, O] -> the gradient that reaches xa, [N, E]."""
        return torch.mm(dy, self._b) if self._adapted else None

    def input_grad(self, dy: torch.Tensor, low: torch.Tensor | None, drop: Drop | None) -> torch.Tensor:
        """``dy`` [N, O] and ``low`` of :meth:`low` -> dx [N, D]."""
        if low is None:
            return torch.mm(dy, self.weights())
        dx = dy.new_empty(dy.shape[0], self.inputs)
        up_grad(low, self._a, dx, groups=self.groups, drop=drop, overwrite=True)
        return dx.addmm_(dy, self.weights())

    def needs_input(self) -> bool:
        """Whether :meth:`parameter_grads` reads x."""
        return any(member.weight.requires_grad or member.adapter is not None and member.adapter.a.requires_grad
                   for member in self.members)

    def parameter_grads(self, dy: torch.Tensor, x: torch.Tensor | None, xa: torch.Tensor | None,
                        low: torch.Tensor | None, drop: Drop | None) -> list[torch.Tensor | None]:
        """Gradients of :meth:`parameters`.

        Args:
            dy: [N, O].
            x: [N, D]; may be None where :meth:`needs_input` says so.
            xa: s xa [N, E] of the forward.
            low: [N, E] of :meth:`low`.
            drop: of the forward.
        """
        wants = [member.weight.requires_grad for member in self.members]
        of_weight = torch.mm(dy.t(), x) if any(wants) else None
        of_bias = None
        if any(member.bias is not None and member.bias.requires_grad for member in self.members):
            of_bias = dy.sum(0, dtype=torch.float64 if self.dtype == torch.float64 else torch.float32)
        of_a = None
        if any(adapter.a.requires_grad for _, adapter in self._adapted):
            of_a = a_grad(low, x, groups=self.groups, drop=drop)
        grads: list[torch.Tensor | None] = []
        g = 0
        for rows, member in self._rows():
            grads.append(of_weight[rows] if member.weight.requires_grad else None)
            trained = member.bias is not None and member.bias.requires_grad
            grads.append(of_bias[rows].to(member.bias.dtype) if trained else None)
            adapter = member.adapter
            if adapter is None:
                grads += [None, None]
                continue
            columns = slice(g * self.rank, g * self.rank + adapter.a.shape[0])
            grads.append(of_a[columns].to(adapter.a.dtype) if adapter.a.requires_grad else None)
            grads.append(b_grad(dy[:, rows], xa[:, columns]).to(adapter.b.dtype) if adapter.b.requires_grad else None)
            g += 1
        return grads

    def parameters(self) -> list[nn.Parameter | None]:
        """Weight, bias, A and B of each member; None where there is none."""
        return [parameter for member in self.members for parameter in member.parameters()]
