"""The rows of a step: each exactly once, in one order for every cut."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from swift.trainers.batching import RankStream, StepBatchSampler, StepPlan


def steps(n_rows, batch_size, accumulation, world, epoch=0, seed=3):
    """The counted rows of each optimizer step, over all ranks."""
    per_rank = []
    for rank in range(world):
        sampler = StepBatchSampler(n_rows, StepPlan(batch_size, accumulation, rank, world), seed=seed)
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler)
        per_rank.append([batches[i:i + accumulation] for i in range(0, len(batches), accumulation)])
    assert len({len(rank_steps) for rank_steps in per_rank}) == 1, 'every rank takes equally many steps'
    for rank_steps in per_rank:
        assert [len(s) for s in rank_steps] == [len(s) for s in per_rank[0]], 'and equally many micro-batches'
    return [sorted(row for rank in together for batch in rank for row, counted in batch if counted)
            for together in zip(*per_rank, strict=True)]


@settings(max_examples=200, deadline=None)
@given(n_rows=st.integers(1, 60), batch_size=st.integers(1, 5), accumulation=st.integers(1, 4),
       world=st.integers(1, 4))
def test_every_row_is_in_exactly_one_step(n_rows, batch_size, accumulation, world):
    rows = list(itertools.chain(*steps(n_rows, batch_size, accumulation, world)))
    assert sorted(rows) == list(range(n_rows))


def test_cuts_of_equal_size_hold_the_same_rows_in_every_step():
    expected = steps(37, 8, 1, 1)
    assert steps(37, 2, 2, 2) == expected
    assert steps(37, 1, 2, 4) == expected


def test_order_changes_with_the_epoch_and_is_repeatable():
    assert steps(20, 4, 1, 1, epoch=0) != steps(20, 4, 1, 1, epoch=1)
    assert steps(20, 4, 1, 1, epoch=1) == steps(20, 4, 1, 1, epoch=1)


def test_drop_last_leaves_out_the_smaller_step():
    sampler = StepBatchSampler(10, StepPlan(2, 2), seed=0, drop_last=True)
    assert len(list(sampler)) == len(sampler) == 4


class ThreeRows:
    """A stream of three rows whose order is another one in each pass."""

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        return ((self.epoch, row) for row in range(3))


def test_a_stream_goes_on_with_its_next_pass_in_the_middle_of_a_step():
    expected = [(epoch, row) for epoch in range(3) for row in range(3)]
    assert list(itertools.islice(RankStream(ThreeRows(), StepPlan(2, 1)), 9)) == expected
    ranks = [list(itertools.islice(RankStream(ThreeRows(), StepPlan(1, 1, rank, 2)), 4)) for rank in (0, 1)]
    assert ranks == [expected[0:8:2], expected[1:8:2]], 'ranks stay together where a pass ends'


def test_a_stream_without_rows_ends():
    class NoRows(ThreeRows):
        def __iter__(self):
            return iter(())

    assert list(RankStream(NoRows(), StepPlan(1, 1))) == []
