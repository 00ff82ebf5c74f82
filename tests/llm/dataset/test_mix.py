from __future__ import annotations

import numpy as np
import pytest

from swift.llm.dataset.mix import choose, concatenate, draw, interleave, sample
from swift.utils.errors import UsageError


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_all_rows_keep_their_order():
    choice = choose(10, None, 0.0, rng())
    assert choice.train.tolist() == list(range(10))
    assert len(choice.eval) == 0


@pytest.mark.parametrize(('total', 'count', 'ratio', 'held_out', 'train'), [
    (1000, None, 0.01, 10, 990), (1000, None, 0.0199, 19, 981), (50, None, 0.01, 1, 49), (2, None, 0.01, 1, 1),
    (1, None, 0.5, 0, 1), (0, None, 0.1, 0, 0), (1000, 100, 0.1, 10, 90), (100, 250, 0.1, 10, 240), (10, None, 0.0, 0,
                                                                                                     10)])
def test_validation_is_taken_first(total, count, ratio, held_out, train):
    choice = choose(total, count, ratio, rng())
    assert (len(choice.eval), len(choice.train)) == (held_out, train)
    assert not set(choice.eval) & set(choice.train)
    assert len(set(choice.eval)) == held_out
    assert choice.train.max(initial=-1) < total


def test_fewer_rows_than_there_are_come_without_repeats():
    assert len(set(sample(np.arange(100), 40, rng()).tolist())) == 40


def test_more_rows_are_whole_repeats_and_a_random_remainder():
    counts = np.bincount(sample(np.arange(10), 34, rng()))
    assert sorted(counts) == [3] * 6 + [4] * 4


def test_the_seed_decides():
    first, same, other = (choose(1000, 200, 0.1, rng(seed)) for seed in (1, 1, 2))
    assert first.train.tolist() == same.train.tolist() and first.eval.tolist() == same.eval.tolist()
    assert first.train.tolist() != other.train.tolist() and first.eval.tolist() != other.eval.tolist()


def test_rows_drawn_from_several_data_sets():
    drawn = draw([100, 0, 50], 60, rng())
    assert [len(rows) for rows in drawn][1] == 0 and sum(map(len, drawn)) == 60
    assert all(len(set(rows.tolist())) == len(rows) and (rows == np.sort(rows)).all() for rows in drawn)
    assert drawn[0].max() < 100 and drawn[2].max() < 50
    assert [rows.tolist() for rows in draw([100, 0, 50], 60, rng())] == [rows.tolist() for rows in drawn]
    assert [rows.tolist() for rows in draw([2, 3], 9, rng())] == [[0, 1], [0, 1, 2]]
    assert [rows.tolist() for rows in draw([2, 3], 0, rng())] == [[], []]


def test_concatenate():
    which, position = concatenate([2, 0, 3])
    assert which.tolist() == [0, 0, 2, 2, 2]
    assert position.tolist() == [0, 1, 0, 1, 2]


def oracle(lengths, probabilities, stopping, generator):
    """Draw one at a time, as a loop."""
    taken, out, ended = [0] * len(lengths), [], set()
    for k in generator.choice(len(lengths), size=sum(lengths) + 1, p=probabilities):  # the same draws
        out.append((int(k), taken[k] % lengths[k]))
        taken[k] += 1
        if taken[k] == lengths[k]:
            ended.add(k)
        if ended and (stopping == 'first_exhausted' or len(ended) == len(lengths)):
            return out
    return None  # the one block of draws was not enough


@pytest.mark.parametrize('stopping', ['first_exhausted', 'all_exhausted'])
@pytest.mark.parametrize('seed', range(8))
def test_interleave_equals_drawing_one_at_a_time(stopping, seed):
    lengths, share = [30, 50, 20], [0.3, 0.5, 0.2]
    expected = oracle(lengths, share, stopping, rng(seed))
    which, position = interleave(lengths, share, stopping, rng(seed))
    if expected is not None:
        assert list(zip(which.tolist(), position.tolist(), strict=True)) == expected
    else:
        assert [len(set(position[which == k].tolist())) for k in range(3)] == lengths


@pytest.mark.parametrize('seed', range(20))
def test_interleave_ends_where_it_says(seed):
    lengths, share = [5, 40, 17], [0.6, 0.3, 0.1]
    which, position = interleave(lengths, share, 'first_exhausted', rng(seed))
    counts = np.bincount(which, minlength=3)
    assert (counts == lengths).sum() == 1 and (counts <= lengths).all()
    assert position[-1] == lengths[which[-1]] - 1

    which, position = interleave(lengths, share, 'all_exhausted', rng(seed))
    counts = np.bincount(which, minlength=3)
    assert (counts >= lengths).all() and counts[which[-1]] == lengths[which[-1]]
    for k, length in enumerate(lengths):
        assert position[which == k].tolist() == [i % length for i in range(counts[k])]


@pytest.mark.parametrize('share', [[0.5], [0.5, 0.6], [1.0, 0.0], [1.5, -0.5]])
def test_interleave_refuses_wrong_probabilities(share):
    with pytest.raises(UsageError, match='--interleave_prob'):
        interleave([3, 3], share, 'first_exhausted', rng())
