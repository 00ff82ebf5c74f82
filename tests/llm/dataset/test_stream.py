from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
import torch

from swift.llm.args.groups import DataArgs
from swift.llm.dataset.load import load_datasets
from swift.llm.dataset.stream import shuffled
from swift.utils.errors import SwiftError


def stream(*specs, template, seed=7, run_dir=None, **options):
    args = DataArgs(dataset=[str(spec) for spec in specs], streaming=True, **options)
    return load_datasets(args, template, seed=seed, run_dir=run_dir)


def texts(rows, stub):
    return [stub.text_of(row) for row in rows]


def test_every_row_once_in_an_order_of_the_seed_and_the_epoch(stub, write_chat):
    path = write_chat(300)
    train = stream(path, template=stub(), shuffle_buffer_size=50).train
    first = texts(train, stub)
    assert Counter(first) == Counter(f'q{i}r{i}' for i in range(300))
    assert first != [f'q{i}r{i}' for i in range(300)]
    assert texts(train, stub) == first
    assert texts(stream(path, template=stub(), shuffle_buffer_size=50).train, stub) == first
    assert texts(stream(path, template=stub(), seed=8, shuffle_buffer_size=50).train, stub) != first
    assert texts(stream(path, template=stub(), seed=1, data_seed=7, shuffle_buffer_size=50).train, stub) == first
    train.set_epoch(1)
    assert texts(train, stub) != first and Counter(texts(train, stub)) == Counter(first)


def test_loader_workers_share_the_stream(stub, write_chat):
    train = stream(write_chat(100), template=stub(), shuffle_buffer_size=10).train
    loader = torch.utils.data.DataLoader(train, batch_size=None, num_workers=2)
    assert sorted(texts(loader, stub)) == sorted(texts(train, stub))


def test_only_the_buffer_is_read_ahead():
    taken = []
    items = shuffled((taken.append(i) or i for i in range(1000)), 10, np.random.default_rng(0))
    for _ in range(5):
        next(items)
    assert len(taken) <= 15


def test_a_row_count_takes_the_head(stub, write_chat):
    train = stream(f'{write_chat(100)}#10', template=stub()).train
    assert sorted(texts(train, stub)) == sorted(f'q{i}r{i}' for i in range(10))


def test_a_row_count_above_the_rows_begins_again(stub, write_chat):
    train = stream(f'{write_chat(10)}#25', template=stub()).train
    assert Counter(texts(train, stub)) == Counter({f'q{i}r{i}': 3 if i < 5 else 2 for i in range(10)})
    with pytest.raises(SwiftError):
        list(stream(f'{write_chat(0, "none.jsonl")}#5', template=stub()).train)


def test_a_new_stream_goes_on_as_the_interrupted_one(stub, write_chat, write_jsonl):
    two = write_jsonl([{'query': 'x', 'response': str(i)} for i in range(30)], 'two.jsonl')
    specs = [f'{write_chat(100)}#150', two]

    def epoch(number):
        train = stream(*specs, template=stub(), shuffle_buffer_size=20, interleave_prob=[0.7, 0.3]).train
        train.set_epoch(number)
        return texts(train, stub)

    whole = stream(*specs, template=stub(), shuffle_buffer_size=20, interleave_prob=[0.7, 0.3]).train
    for number in (0, 1):
        whole.set_epoch(number)
        before = [stub.text_of(row) for row, _ in zip(whole, range(40), strict=False)]
        assert epoch(number)[:40] == before
    assert epoch(0) != epoch(1)


def test_interleaving(stub, write_chat, write_jsonl):
    one, two = write_chat(200), write_jsonl([{'query': 'x', 'response': str(i)} for i in range(30)], 'two.jsonl')

    def counted(stopping):
        train = stream(one, two, template=stub(), interleave_prob=[0.5, 0.5], stopping_strategy=stopping,
                       shuffle_buffer_size=1).train
        assert texts(train, stub) == texts(train, stub)
        return Counter(text[0] for text in texts(train, stub))

    assert counted('first_exhausted')['x'] == 30
    both = counted('all_exhausted')
    assert both['q'] == 200 and both['x'] > 100


def test_validation_from_the_head_is_not_trained_on(stub, write_chat):
    data = stream(write_chat(100), template=stub(), streaming_val_size=7)
    assert texts(data.eval, stub) == [f'q{i}r{i}' for i in range(7)]
    assert data.eval.lengths.tolist() == [4] * 7
    assert sorted(texts(data.train, stub)) == sorted(f'q{i}r{i}' for i in range(7, 100))


def test_validation_from_a_file_of_its_own(stub, write_chat):
    data = stream(write_chat(100), template=stub(), val_dataset=[str(write_chat(5, 'val.jsonl'))])
    assert len(data.eval) == 5 and len(list(data.train)) == 100


def test_rejected_rows_are_counted_and_listed_once(stub, write_chat, tmp_path):
    path = write_chat(100, bad=lambda i: i in (10, 20))
    data = stream(path, template=stub(), run_dir=tmp_path)
    for epoch in range(2):
        data.train.set_epoch(epoch)
        assert len(list(data.train)) == 98
    lines = [json.loads(line) for line in (tmp_path / 'rejected.jsonl').read_text().splitlines()]
    assert sorted(line['row'] for line in lines) == [11, 21]
    assert lines[0]['source'] == str(path) and lines[0]['reason'] == 'an empty response'
    assert data.report.rejected == 2 and '98 ok' in data.report.sources[0].line()


def test_too_many_rejected_rows_stop_early(stub, write_chat):
    template = stub()
    rows = iter(stream(write_chat(5000, bad=lambda i: i % 5 == 0), template=template, shuffle_buffer_size=1).train)
    with pytest.raises(SwiftError, match='--max_rejected_ratio'):
        for _ in rows:
            pass
    assert template.calls < 1000


def test_no_usable_row(stub, write_chat):
    with pytest.raises(SwiftError, match='an empty response'):
        list(stream(write_chat(5, bad=lambda i: True), template=stub(), max_rejected_ratio=1.0).train)


def test_a_sample_holds_rows_that_can_be_encoded(stub, write_jsonl):
    path = write_jsonl([{'query': 'q', 'response': 'r' * (99 if i % 2 else 1)} for i in range(100)])
    data = stream(path, template=stub(max_length=10), max_rejected_ratio=1.0)
    assert len(data.sample) == 20
    assert all(len(row['messages'][1]['content']) == 1 for row in data.sample)
