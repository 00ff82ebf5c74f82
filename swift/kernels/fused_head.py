"""The loss head in the place of a model's output layer, on this one instance, until it is taken out again.

A model's forward calls its output layer with the hidden states, whoever wraps the model. So the loss is computed where
the weight is at hand (DDP, ZeRO-3 and FSDP gather it around this very call), and nothing of the model's code is
touched. Parameters are the same objects under the same names: checkpoints, optimizers and tied embeddings see no
difference. It knows no model families: what a model does to its logits is told in :class:`LossTerms`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from swift.kernels.loss_head import MEMORY, PLAIN, HeadLoss, LossTerms, linear_nll


@dataclass
class _Task:
    batch_index: torch.Tensor
    positions: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    accuracy: bool
    found: HeadLoss | None = None


class FusedHead(nn.Linear):
    """An output layer that gives logits as before and, inside :meth:`task`, the loss.

    Args:
        head: the layer in whose place it stands; weight and bias are its own.
        terms: what the model's forward does to the logits after this layer, and what the loss adds.
        memory: see :func:`swift.kernels.loss_head.linear_nll`.
    """

    def __init__(self, head: nn.Linear, terms: LossTerms = PLAIN, memory: int = MEMORY) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = head.in_features, head.out_features
        self.weight, self.bias = head.weight, head.bias
        self.train(head.training)
        self.terms = terms
        self.memory = memory
        self._task: _Task | None = None

    @contextmanager
    def task(self, batch_index: torch.Tensor, positions: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, *,
             accuracy: bool = True) -> Iterator[_Task]:
        """Inside, the model's forward computes the loss; :meth:`loss_of` takes it from what the forward returns.

        Args:
            batch_index, positions: [N] int64, where in the hidden states [B, T, D] each target is predicted; no place
                twice.
            targets: [N] token ids.
            weights: [N] float32.
            accuracy: also find out which predictions are right.
        """
        self._task = task = _Task(batch_index, positions, targets, weights, accuracy)
        try:
            yield task
        finally:
            self._task = None

    def loss_of(self, task: _Task, output: torch.Tensor) -> HeadLoss:
        """The loss of a forward whose logits are ``output``, with the gradient going the way of the logits.

        The layer returns a number that is zero and has the loss's gradient. The model may scale and cap it as it does
        logits: zero stays zero, and at zero that multiplies the gradient by ``terms.scale``, which is divided out.
        So hooks on the model's outputs see the gradient pass, as those of DDP and FSDP must.

        Raises:
            RuntimeError: the model's forward did not call its output layer.
        """
        if task.found is None:
            raise RuntimeError('The forward returned without calling its output layer, so there is no loss.')
        carrier = output.sum() / self.terms.scale
        return HeadLoss(task.found.loss.detach() + carrier.to(task.found.loss.dtype), task.found.right)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """``hidden`` [..., D] to logits [..., V]; inside :meth:`task` [B, T, D] to the zero of :meth:`loss_of`."""
        task = self._task
        if task is None:
            return super().forward(hidden)
        if task.found is not None:
            raise RuntimeError('The forward called its output layer twice, so the fused loss head can\'t serve it.')
        # T is known only here: a prompt may have put positions of its own in front of those of the rows
        rows = task.batch_index * hidden.shape[1] + task.positions
        task.found = linear_nll(hidden.flatten(0, 1), self.weight, task.targets, task.weights, bias=self.bias,
                                rows=rows, terms=self.terms, accuracy=task.accuracy, memory=self.memory)
        loss = task.found.loss
        return (loss - loss.detach()).reshape(1, 1, 1)


@dataclass(frozen=True)
class Installed:
    """A fused head in its place.

    Attributes:
        head: it.
        name: of the module in the model ('lm_head').
    """

    head: FusedHead
    name: str
    model: nn.Module
    original: nn.Linear

    def restore(self) -> None:
        """Put the model's own layer back, with the weights of now."""
        self.original.weight, self.original.bias = self.head.weight, self.head.bias
        self.original.train(self.head.training)
        _put(self.model, self.name, self.original)


def install(model: nn.Module, head: nn.Module, terms: LossTerms = PLAIN, memory: int = MEMORY) -> Installed | str:
    """Put a :class:`FusedHead` in the place of ``head``, a module of ``model``.

    Returns:
        What undoes it; or why it was not done, as the end of a sentence.
    """
    names = [name for name, module in model.named_modules(remove_duplicate=False) if module is head]
    if type(head) is not nn.Linear:
        return f'its output layer is a {type(head).__name__}'
    if len(names) != 1:
        return f'its output layer has {len(names)} names'
    if head._forward_hooks or head._forward_pre_hooks or head._backward_hooks:
        return 'its output layer has hooks'
    fused = FusedHead(head, terms, memory)
    _put(model, names[0], fused)
    return Installed(fused, names[0], model, head)


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, leaf = name.rpartition('.')
    setattr(model.get_submodule(parent), leaf, module)
