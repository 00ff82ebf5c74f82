"""Packed rows: each once an epoch, never too many, nearly full, evenly dealt, the same for every cut."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swift.trainers.batching import StepPlan
from swift.trainers.packing import PackedSampler, PackedStream, best_fit_decreasing, deal, packed, spread, tokens_of
from swift.utils.errors import UsageError


def chat_lengths(n, seed=0, longest=2048):
    """Lengths as of chat data: log-normal, mean 350."""
    rng = np.random.default_rng(seed)
    return np.clip(rng.lognormal(np.log(350) - 0.32, 0.8, n), 16, longest).astype(np.int32)


def of_all_ranks(lengths, epoch=0, seed=3, **cut):
    """The micro-batches of each rank, and how many of them a step has."""
    world = cut.pop('world', 1)
    drop_last = cut.pop('drop_last', False)
    ranks = []
    for rank in range(world):
        plan = StepPlan(cut['batch_size'], cut['accumulation'], rank, world, cut['pack_length'])
        sampler = PackedSampler(lengths, plan, seed=seed, drop_last=drop_last)
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler)
        ranks.append(batches)
    assert len({len(batches) for batches in ranks}) == 1, 'every rank takes equally many micro-batches'
    return ranks


def steps(lengths, **cut):
    """The counted rows of each step, over all ranks."""
    ranks, size = of_all_ranks(lengths, **cut), cut['accumulation']
    return [sorted(row for batches in ranks for batch in batches[at:at + size] for row, counted in batch if counted)
            for at in range(0, len(ranks[0]), size)]


def slow_best_fit(lengths, capacity):
    """Best fit decreasing as the book has it: one row after the other, over all bins."""
    rooms = []
    for length in sorted(lengths, reverse=True):
        fits = [b for b, room in enumerate(rooms) if room >= length]
        if fits:
            rooms[min(fits, key=lambda b: rooms[b])] -= length
        else:
            rooms.append(capacity - length)
    return sorted(rooms)


@settings(max_examples=200, deadline=None)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=60), capacity=st.integers(40, 90))
def test_packing_equals_best_fit_decreasing_of_the_book(lengths, capacity):
    bins = best_fit_decreasing(np.array(lengths), capacity)
    fill = np.bincount(bins, weights=sorted(lengths, reverse=True)).astype(int)
    assert sorted(capacity - fill) == slow_best_fit(lengths, capacity)


cuts = st.fixed_dictionaries({'batch_size': st.integers(1, 3), 'accumulation': st.integers(1, 3),
                              'world': st.integers(1, 3), 'pack_length': st.integers(20, 50)})


@settings(max_examples=200, deadline=None)
@given(lengths=st.lists(st.integers(1, 20), min_size=1, max_size=60), cut=cuts, epoch=st.integers(0, 2))
def test_each_row_once_and_never_too_many_tokens(lengths, cut, epoch):
    lengths = np.array(lengths)
    ranks = of_all_ranks(lengths, epoch=epoch, **cut)
    batches = list(itertools.chain(*ranks))
    counted = [row for batch in batches for row, counts in batch if counts]
    assert sorted(counted) == list(range(len(lengths)))
    assert all(batch for batch in batches), 'every rank takes part in every backward'
    assert max(sum(lengths[row] for row, _ in batch) for batch in batches) <= cut['batch_size'] * cut['pack_length']


@settings(max_examples=50, deadline=None)
@given(lengths=st.lists(st.integers(1, 20), min_size=1, max_size=60), cut=cuts)
def test_every_epoch_has_the_same_number_of_micro_batches(lengths, cut):
    assert len({len(of_all_ranks(np.array(lengths), epoch=epoch, **cut)[0]) for epoch in range(3)}) == 1


def test_cuts_of_equal_size_hold_the_same_rows_in_every_step():
    lengths = chat_lengths(300)
    expected = steps(lengths, batch_size=8, accumulation=1, pack_length=2048)
    assert len(expected) == 7, 'the last of them is smaller'
    assert steps(lengths, batch_size=2, accumulation=2, world=2, pack_length=2048) == expected
    assert steps(lengths, batch_size=1, accumulation=2, world=4, pack_length=2048) == expected


def test_order_is_repeatable_and_neighbours_change_with_the_epoch():
    cut = {'batch_size': 1, 'accumulation': 1, 'pack_length': 2048}
    first, second = (of_all_ranks(chat_lengths(20000), epoch=epoch, **cut)[0] for epoch in (0, 1))
    assert first == of_all_ranks(chat_lengths(20000), **cut)[0] != second
    assert first != of_all_ranks(chat_lengths(20000), seed=4, **cut)[0]
    together = [{frozenset(pair) for batch in epoch for pair in itertools.combinations(sorted(batch), 2)}
                for epoch in (first, second)]
    assert len(together[0] & together[1]) < 0.2 * len(together[0]), 'most rows have new neighbours'


@pytest.mark.parametrize('capacity', [2048, 4096, 8192, 16384])
def test_chat_data_fills_batches_above_99_per_cent(capacity):
    lengths = chat_lengths(20000)
    plan = StepPlan(1, 1, pack_length=capacity)
    filled = [sum(lengths[row] for row, _ in batch) for batch in PackedSampler(lengths, plan, seed=0)]
    assert np.mean(filled) > 0.995 * capacity
    assert np.percentile(filled[:-1], 1) > 0.98 * capacity


@pytest.mark.parametrize('world', [2, 8])
def test_ranks_take_equally_many_tokens(world):
    lengths = chat_lengths(5000)
    ranks = of_all_ranks(lengths, batch_size=1, accumulation=2, world=world, pack_length=8192)
    tokens = np.array([[sum(lengths[row] for row, _ in batch) for batch in batches] for batches in ranks])
    whole = tokens[:, :tokens.shape[1] // 2 * 2].reshape(world, -1, 2).sum(2)
    assert ((whole.max(0) - whole.min(0)) / whole.max(0))[:-1].max() < 0.005, 'in a step'
    assert ((tokens.max(0) - tokens.min(0)) / tokens.max(0))[:-2].max() < 0.005, 'and in a micro-batch'


def test_uneven_units_are_dealt_forth_and_back():
    tokens = np.array([1, 80, 2, 70, 3, 60, 4, 50])
    ranks = [tokens[deal(tokens, StepPlan(1, 4, rank, 2))].tolist() for rank in (0, 1)]
    assert ranks == [[80, 50, 4, 1], [70, 60, 3, 2]]


def test_the_rows_of_the_last_step_are_spread_over_the_ranks():
    lengths = np.full(9, 10)
    ranks = of_all_ranks(lengths, batch_size=1, accumulation=2, world=4, pack_length=30)
    assert [[len(batch) for batch in batches] for batches in ranks] == [[3], [2], [2], [2]], '3 bins for 4 ranks'
    ranks = of_all_ranks(np.array([10, 10]), batch_size=1, accumulation=1, world=3, pack_length=10)
    assert sorted(counted for batches in ranks for batch in batches for _, counted in batch) == [False, True, True]


def test_spread_is_even():
    lengths = chat_lengths(200)
    tokens = np.bincount(spread(lengths, 7), weights=lengths)
    assert tokens.max() - tokens.min() < 50


def test_drop_last_leaves_out_the_smaller_step():
    ranks = of_all_ranks(np.full(10, 10), batch_size=1, accumulation=2, pack_length=20, drop_last=True)
    assert [len(batch) for batch in ranks[0]] == [2, 2, 2, 2]


def test_a_row_longer_than_a_bin_is_told_with_the_flags():
    with pytest.raises(UsageError, match='30 tokens, and rows are packed into at most 20.*--max_length.*--pack'):
        PackedSampler(np.array([3, 30]), StepPlan(1, 1, pack_length=20), seed=0)


class Stream:
    """A stream of ``n`` rows in another order in each pass."""

    def __init__(self, n, longest=2048):
        self.lengths = chat_lengths(n, longest=longest)

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        for row in np.random.default_rng(self.epoch).permutation(len(self.lengths)).tolist():
            yield {'row': (self.epoch, row), 'input_ids': np.zeros(self.lengths[row])}


def of_stream(n_rows, count, rank=0, world=1, batch_size=1, accumulation=1, pack_length=2048):
    plan = StepPlan(batch_size, accumulation, rank, world, pack_length)
    return list(itertools.islice(PackedStream(Stream(n_rows), plan, seed=1), count))


def test_a_stream_is_packed_full_pass_after_pass():
    batches = of_stream(5000, 1200)
    tokens = [tokens_of(batch) for batch in batches]
    assert max(tokens) <= 2048 and np.mean(tokens) > 0.995 * 2048
    seen = [row['row'] for batch in batches for row in batch]
    assert len(set(seen)) == len(seen), 'no row twice in a pass'
    assert {row for row in seen if row[0] == 0} == {(0, row) for row in range(5000)}, 'and none left out'


def test_a_stream_looks_ahead_so_far_and_no_farther():
    read = given = 0

    def counted():
        nonlocal read
        stream = Stream(20000)
        stream.set_epoch(0)
        for row in stream:
            read += 1
            yield row

    rows = packed(counted(), 2048, seed=0, window=64 * 2048)
    for batch in itertools.islice(rows, 500):
        given += len(batch)
        assert read - given < 1.2 * 64 * 2048 / 350, 'one window and the bin that was held back'


def test_ranks_of_a_stream_share_it_evenly_and_agree_on_steps():
    one = of_stream(3000, 40, accumulation=4)
    ranks = [of_stream(3000, 20, rank=rank, world=2, accumulation=2) for rank in (0, 1)]
    for step in range(10):
        whole = [row['row'] for batch in one[4 * step:4 * step + 4] for row in batch]
        cut = [row['row'] for batches in ranks for batch in batches[2 * step:2 * step + 2] for row in batch]
        assert sorted(whole) == sorted(cut)
        tokens = [sum(map(tokens_of, batches[2 * step:2 * step + 2])) for batches in ranks]
        assert abs(tokens[0] - tokens[1]) < 0.02 * tokens[0]


def test_a_stream_without_rows_ends():
    assert of_stream(0, 5) == []


def test_small_windows_of_a_stream_are_filled_up_by_the_next():
    rows = ({'input_ids': np.zeros(length)} for length in chat_lengths(3000, longest=300))
    filled = [tokens_of(b) for b in packed(rows, 1000, seed=0, window=4000)]
    assert np.mean(filled) > 0.95 * 1000, '0.83 when nothing is held back'


def test_every_row_of_a_stream_that_ends_is_in_one_bin():
    rows = [{'row': at, 'input_ids': np.zeros(length)} for at, length in enumerate([9, 8, 7, 3, 3, 2, 10, 1])]
    bins = list(packed(iter(rows), 10, seed=0, window=20))
    assert sorted(row['row'] for b in bins for row in b) == list(range(8))
    assert max(map(tokens_of, bins)) <= 10
