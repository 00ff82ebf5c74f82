"""A model with the fused head is the model it was, and gives its loss."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from swift.kernels.fused_head import FusedHead, Installed, install
from swift.kernels.loss_head import LossTerms


class Model(nn.Module):
    """Embeddings, a layer, a head, and what some models do to their logits."""

    def __init__(self, change=lambda logits: logits, tied=False):
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(20, 8)
        self.body = nn.Linear(8, 8)
        self.lm_head = nn.Linear(8, 20, bias=not tied)
        if tied:
            self.lm_head.weight = self.embed.weight
        self.change = change

    def forward(self, ids):
        return self.change(self.lm_head(torch.tanh(self.body(self.embed(ids)))))


IDS = torch.tensor([[3, 4, 5, 6], [7, 8, 9, 10]])
BATCH_INDEX, POSITIONS = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 2, 1, 2])
TARGETS, WEIGHTS = torch.tensor([4, 6, 9, 10]), torch.tensor([1.0, 0.5, 1.0, 2.0])
CHANGES = {
    'none': (lambda logits: logits, LossTerms()),
    'scaled': (lambda logits: logits * 0.25, LossTerms(scale=0.25)),
    'capped': (lambda logits: 2 * torch.tanh(logits / 2), LossTerms(softcap=2.0)),
    'both, as float32': (lambda logits: 3 * torch.tanh(logits.float() * 0.5 / 3), LossTerms(scale=0.5, softcap=3.0)),
    'sliced': (lambda logits: logits[:, -10:].contiguous(), LossTerms()),
}


def gradients(model, loss):
    return dict(zip([name for name, _ in model.named_parameters()], torch.autograd.grad(loss, [*model.parameters()]),
                    strict=True))


@pytest.mark.parametrize('tied', [False, True])
@pytest.mark.parametrize('change', CHANGES)
def test_loss_and_gradient_of_every_parameter_are_those_of_the_logits(change, tied):
    function, terms = CHANGES[change]
    model = Model(function, tied)
    logits = model(IDS)[BATCH_INDEX, POSITIONS]
    plain = (F.cross_entropy(logits, TARGETS, reduction='none') * WEIGHTS).sum()
    expected = gradients(model, plain)
    head = install(model, model.lm_head, terms).head
    with head.task(BATCH_INDEX, POSITIONS, TARGETS, WEIGHTS) as task:
        output = model(IDS)
    found = head.loss_of(task, output)
    torch.testing.assert_close(found.loss, plain)
    assert found.right.tolist() == (logits.argmax(1) == TARGETS).tolist()
    ours = gradients(model, found.loss)
    for name, gradient in expected.items():
        torch.testing.assert_close(ours[name], gradient, msg=name)


def test_outside_a_task_it_is_the_layer_that_it_replaced_and_checkpoints_are_the_same():
    model = Model()
    logits, state = model(IDS), model.state_dict()
    done = install(model, model.lm_head)
    assert isinstance(model.lm_head, FusedHead)
    assert torch.equal(model(IDS), logits)
    assert list(model.state_dict()) == list(state)
    assert model.lm_head.weight is done.original.weight


def test_restore_puts_back_the_very_layer_with_the_weights_of_now():
    model = Model()
    before = model.lm_head
    done = install(model, before)
    model.lm_head.weight = nn.Parameter(torch.zeros(20, 8))
    model.eval()
    done.restore()
    assert model.lm_head is before
    assert not model.lm_head.weight.any()
    assert not model.lm_head.training


def test_layers_that_are_more_than_a_linear_one_are_left_alone():
    class Adapted(nn.Linear):
        pass

    model = Model()
    model.lm_head = Adapted(8, 20)
    assert install(model, model.lm_head) == 'its output layer is a Adapted'
    model.lm_head = nn.Linear(8, 20)
    model.lm_head.register_forward_hook(lambda *_: None)
    assert install(model, model.lm_head) == 'its output layer has hooks'
    model.body = model.lm_head = nn.Linear(8, 20)
    assert install(model, model.lm_head) == 'its output layer has 2 names'


def test_a_forward_that_does_not_call_it_once_is_told():
    model = Model()
    done = install(model, model.lm_head)
    assert isinstance(done, Installed)
    with done.head.task(BATCH_INDEX, POSITIONS, TARGETS, WEIGHTS) as task:
        with pytest.raises(RuntimeError, match='without calling its output layer'):
            done.head.loss_of(task, torch.zeros(1))
        model(IDS)
        with pytest.raises(RuntimeError, match='twice'):
            model(IDS)
    assert model(IDS).shape == (2, 4, 20)  # the task is over
