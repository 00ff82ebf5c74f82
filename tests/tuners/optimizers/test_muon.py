"""Muon and AdamW as one optimizer, and steps that are made in the backward."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from swift.trainers.state import load_tree, save_tree
from swift.tuners.optimizers.base import drop_state_of_frozen
from swift.tuners.optimizers.galore import GaLoreAdamW
from swift.tuners.optimizers.muon import MuonAdamW
from swift.utils.errors import UsageError


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(10, 8), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 10))


def step(model, optimizer, number):
    ids = torch.arange(10).roll(number)
    loss = nn.functional.cross_entropy(model(ids), ids)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def hidden(model):
    return [model[1].weight, model[3].weight]


def others(model):
    return [model[0].weight, model[1].bias, model[3].bias]


def muon(model):
    return MuonAdamW([{'params': hidden(model), 'muon': True, 'lr': 0.02}, {'params': others(model)}], lr=0.01,
                     weight_decay=0.1, momentum=0.9, betas=(0.9, 0.95))


def test_each_half_is_that_of_torch():
    ours, theirs = network(), network()
    together = muon(ours)
    apart = [torch.optim.Muon(hidden(theirs), lr=0.02, weight_decay=0.1, momentum=0.9, adjust_lr_fn='match_rms_adamw'),
             torch.optim.AdamW(others(theirs), lr=0.01, weight_decay=0.1, betas=(0.9, 0.95))]
    for number in range(4):
        step(ours, together, number)
        ids = torch.arange(10).roll(number)
        nn.functional.cross_entropy(theirs(ids), ids).backward()
        for optimizer in apart:
            optimizer.step()
            optimizer.zero_grad()
    assert all(torch.equal(one, other) for one, other in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_a_schedule_of_the_learning_rate_reaches_both_halves():
    model = network()
    optimizer = muon(model)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda number: 1.0 if number == 0 else 0.0)
    step(model, optimizer, 0)
    schedule.step()
    still = [parameter.detach().clone() for parameter in model.parameters()]
    step(model, optimizer, 1)
    assert all(torch.equal(one, other) for one, other in zip(still, model.parameters(), strict=True))


def test_goes_on_exactly_where_it_was(tmp_path):
    whole = network()
    optimizer = muon(whole)
    for number in range(3):
        step(whole, optimizer, number)
    resumed = copy.deepcopy(whole)
    save_tree(tmp_path, 'optimizer', optimizer.state_dict())
    again = muon(resumed)
    again.load_state_dict(load_tree(tmp_path, 'optimizer'))
    for number in range(3, 6):
        step(whole, optimizer, number)
        step(resumed, again, number)
    assert all(torch.equal(one, other) for one, other in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_muon_needs_hidden_matrices():
    with pytest.raises(UsageError, match='Muon is for hidden matrices, and there is none'):
        MuonAdamW([{'params': [nn.Parameter(torch.ones(3))]}])
    with pytest.raises(UsageError, match='2D'):
        MuonAdamW([{'params': [nn.Parameter(torch.ones(3))], 'muon': True}])


def galore(model):
    return GaLoreAdamW([{'params': hidden(model), 'rank': 3}, {'params': others(model)}], lr=0.02, update_proj_gap=2)


def test_steps_in_the_backward_are_the_same_and_keep_one_gradient_at_a_time():
    usual, inside = network(), network()
    optimizer, other = galore(usual), galore(inside)
    other.load_state_dict(other.state_dict())  # as accelerate does; groups are new objects then
    handles = other.step_in_backward()
    most = []
    for parameter in inside.parameters():  # this hook comes after ours
        parameter.register_post_accumulate_grad_hook(
            lambda _: most.append(sum(one.grad is not None for one in inside.parameters())))
    schedules = [torch.optim.lr_scheduler.ExponentialLR(one, 0.5) for one in (optimizer, other)]
    for number in range(5):
        step(usual, optimizer, number)
        step(inside, other, number)
        for schedule in schedules:
            schedule.step()
    assert all(torch.equal(one, two) for one, two in zip(usual.parameters(), inside.parameters(), strict=True))
    assert most and max(most) == 0
    for handle in handles:
        handle.remove()
    inside(torch.arange(10)).sum().backward()
    assert all(parameter.grad is not None for parameter in inside.parameters())


def test_state_of_frozen_parameters_is_dropped_and_starts_anew():
    model = network()
    optimizer = galore(model)
    step(model, optimizer, 0)
    model[1].weight.requires_grad_(False)
    drop_state_of_frozen(optimizer)
    assert model[1].weight not in optimizer.state and model[3].weight in optimizer.state
    still = model[1].weight.detach().clone()
    step(model, optimizer, 1)
    assert torch.equal(model[1].weight, still)
    model[1].weight.requires_grad_(True)
    step(model, optimizer, 2)
    assert optimizer.state[model[1].weight]['step'] == 1
