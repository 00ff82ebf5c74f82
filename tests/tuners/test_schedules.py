"""LISA and BAdam: which blocks learn when, what memory is kept, and that nothing else moves."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from swift.tuners.optimizers.base import drop_state_of_frozen
from swift.tuners.schedules import badam, lisa
from swift.utils.errors import UsageError

IDS = torch.arange(24).view(2, 12)
BLOCKS = 5


def llama():
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=64, hidden_size=16, intermediate_size=24, num_hidden_layers=BLOCKS, num_attention_heads=2,
        num_key_value_heads=2, tie_word_embeddings=False)).train()


def made(kind, model, seed=0):
    if kind == 'lisa':
        return lisa(model, 2, 3, seed)
    return badam(model, 3, kind.removeprefix('badam '), seed)


def adamw(model):
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01, weight_decay=0.1)


def step(model, optimizer, schedule, number):
    model(input_ids=IDS, labels=IDS).loss.backward()
    optimizer.step()
    schedule.after_optimizer(number)
    drop_state_of_frozen(optimizer)
    optimizer.zero_grad()


def blocks_that_differ(one, other):
    return [number for number in range(BLOCKS) if any(
        not torch.equal(a, b) for a, b in zip(one.model.layers[number].parameters(),
                                              other.model.layers[number].parameters(), strict=True))]


def outside(model):
    return [parameter for name, parameter in model.named_parameters() if '.layers.' not in name]


KINDS = ('lisa', 'badam descending', 'badam ascending', 'badam random')


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('recomputes', [False, True])
def test_only_the_blocks_of_the_period_change_and_only_they_take_memory(kind, recomputes):
    model = llama()
    if recomputes:
        model.gradient_checkpointing_enable({'use_reentrant': False})
    schedule = made(kind, model)
    optimizer = adamw(model)
    schedule.begin(12)
    for period in range(4):
        active, before = schedule.active(), copy.deepcopy(model)
        assert len(active) == (2 if kind == 'lisa' else 1)
        for number in range(3 * period + 1, 3 * period + 4):
            model(input_ids=IDS, labels=IDS).loss.backward()
            trained = [p for block in active for p in model.model.layers[block].parameters()]
            trained += outside(model) if kind == 'lisa' else []
            wanted = sum(p.numel() for p in trained)
            assert sum(p.grad.numel() for p in model.parameters() if p.grad is not None) == wanted
            optimizer.step()
            moments = sum(value.numel() for state in optimizer.state.values() for value in state.values()
                          if value.ndim > 0)
            assert moments == 2 * wanted
            schedule.after_optimizer(number)
            drop_state_of_frozen(optimizer)
            optimizer.zero_grad()
        assert blocks_that_differ(model, before) == active
        moved = [not torch.equal(a, b) for a, b in zip(outside(model), outside(before), strict=True)]
        assert all(moved) if kind == 'lisa' else not any(moved)


def test_orders_of_badam():
    orders = {}
    for kind in KINDS[1:]:
        schedule = made(kind, llama())
        seen = []
        for period in range(2 * BLOCKS):
            schedule.load_state_dict({'steps': 3 * period})
            seen += schedule.active()
        orders[kind] = seen
    assert orders['badam ascending'] == [0, 1, 2, 3, 4] * 2
    assert orders['badam descending'] == [4, 3, 2, 1, 0] * 2
    first, second = orders['badam random'][:BLOCKS], orders['badam random'][BLOCKS:]
    assert sorted(first) == sorted(second) == [0, 1, 2, 3, 4] and first != second


def test_lisa_draws_every_block_and_follows_the_seed():
    model = llama()
    draws = []
    for seed in (0, 0, 1):
        schedule, drawn = lisa(model, 2, 3, seed), []
        for period in range(20):
            schedule.load_state_dict({'steps': 3 * period})
            drawn.append(schedule.active())
        draws.append(drawn)
    assert draws[0] == draws[1] != draws[2]
    assert {number for active in draws[0] for number in active} == set(range(BLOCKS))
    assert len({tuple(active) for active in draws[0]}) > 4
    with pytest.raises(UsageError, match='--lisa_activated_layers 6: the model has 5 blocks'):
        lisa(model, 6, 3, 0)


def test_badam_is_a_fresh_adam_for_each_block_in_turn():
    ours, theirs = llama(), llama()
    schedule = badam(ours, 3, 'ascending', 0)
    optimizer = adamw(ours)
    schedule.begin(9)
    for number in range(1, 10):
        step(ours, optimizer, schedule, number)
    for block in range(3):
        fresh = torch.optim.AdamW(theirs.model.layers[block].parameters(), lr=0.01, weight_decay=0.1)
        for _ in range(3):
            theirs(input_ids=IDS, labels=IDS).loss.backward()
            fresh.step()
            theirs.zero_grad()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('stop', [4, 6])  # inside a period, and where one ends
def test_goes_on_exactly_where_it_was(kind, stop):
    whole = llama()
    schedule = made(kind, whole)
    optimizer = adamw(whole)
    schedule.begin(10)
    for number in range(1, stop + 1):
        step(whole, optimizer, schedule, number)
    weights, moments, state = (copy.deepcopy(one.state_dict()) for one in (whole, optimizer, schedule))
    for number in range(stop + 1, 11):
        step(whole, optimizer, schedule, number)
    again = llama()
    again.load_state_dict(weights)
    other = made(kind, again)
    resumed = adamw(again)
    resumed.load_state_dict(moments)
    other.load_state_dict(state)
    other.begin(10)
    for number in range(stop + 1, 11):
        step(again, resumed, other, number)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize('kind', KINDS)
def test_what_was_frozen_before_stays_so(kind):
    model = llama()
    frozen = model.model.layers[1].mlp.up_proj.weight
    frozen.requires_grad_(False)
    schedule = made(kind, model)
    schedule.begin(30)
    for number in range(1, 30):
        schedule.after_optimizer(number)
        assert not frozen.requires_grad
