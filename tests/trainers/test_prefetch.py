"""A thread reads ahead: same items, errors when it is their turn, no thread left behind."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from swift.trainers.prefetch import Prefetcher

CPU = torch.device('cpu')


def reading_threads():
    return [thread for thread in threading.enumerate() if thread.name == 'swift-prefetch']


def wait_until(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_items_come_in_order_and_the_end_stays_the_end():
    ahead = Prefetcher(iter(range(50)), ahead=3, device=CPU)
    assert list(ahead) == list(range(50)) and list(ahead) == []
    wait_until(lambda: not reading_threads())


def test_it_reads_so_far_ahead_and_no_farther():
    made = []

    def source():
        for item in range(10):
            made.append(item)
            yield item

    ahead = Prefetcher(source(), ahead=3, device=CPU)
    wait_until(lambda: len(made) == 3)
    time.sleep(0.05)
    assert len(made) == 3
    assert next(ahead) == 0
    wait_until(lambda: len(made) == 4)
    ahead.close()
    assert not reading_threads() and len(made) == 4


def test_an_error_comes_when_it_is_its_turn():
    def source():
        yield 1
        raise KeyError('broken row')

    ahead = Prefetcher(source(), ahead=3, device=CPU)
    assert next(ahead) == 1
    with pytest.raises(KeyError, match='broken row'):
        next(ahead)


def test_closing_while_an_item_is_made_ends_the_thread():
    started, go_on = threading.Event(), threading.Event()

    def source():
        started.set()
        go_on.wait()
        yield 1
        raise AssertionError('nobody wants another one')

    ahead = Prefetcher(source(), ahead=3, device=CPU)
    started.wait()
    threading.Timer(0.05, go_on.set).start()
    ahead.close()
    assert not reading_threads()
