from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from swift.llm.dataset import store
from swift.llm.dataset.hub import HubAccess
from swift.llm.dataset.source import open_source
from swift.llm.dataset.store import row_store, run_lengths, token_store
from swift.utils import env
from swift.utils.errors import SwiftError


def rows_of(path):
    return row_store(open_source(str(path), columns={}, access=HubAccess()))


def tokens_of(path, template, **options):
    rows = rows_of(path)
    return token_store(rows, np.arange(len(rows)), template, str(path), **options)


def artefacts(kind):
    return sorted(path.parent for path in (env.cache_dir() / 'data' / kind).glob('*/data'))


def test_rows_come_back(write_chat):
    rows = rows_of(write_chat(5, bad=lambda i: i == 1))
    assert len(rows) == 4 and rows.rejected == 1
    assert rows.row(1) == {'messages': [{'role': 'user', 'content': 'q2'}, {'role': 'assistant', 'content': 'r2'}]}
    assert rows.origin(1) == (0, 3)
    assert rows.meta['formats'] == {'query/response': 5}
    assert [(r.row, r.reason) for r in rows.rejections()] == [(2, 'an empty response')]
    with pytest.raises(IndexError):
        rows.row(4)


def test_tokens_come_back(stub, write_jsonl):
    path = write_jsonl([{'messages': [{'role': 'user', 'content': 'ab'},
                                      {'role': 'assistant', 'content': 'cd', 'loss_scale': 0.3},
                                      {'role': 'user', 'content': 'e'}, {'role': 'assistant', 'content': 'fgh'}]}])
    tokens = tokens_of(path, stub())
    row = tokens.row(0)
    assert stub.text_of(row) == 'abcdefgh' and row['row'] == 1
    assert row['input_ids'].dtype == np.int32 and row['weights'].dtype == np.float32
    assert row['weights'].tolist() == np.float32([0, 0, 0.3, 0.3, 0, 1, 1, 1]).tolist()
    assert tokens.lengths().tolist() == [8]
    row['input_ids'][0] = 7  # a copy, not the cache
    assert tokens.row(0)['input_ids'][0] == ord('a')


def test_a_warm_cache_encodes_nothing(stub, write_chat):
    path = write_chat(50)
    cold, warm = stub(), stub()
    first, second = tokens_of(path, cold), tokens_of(path, warm)
    assert (cold.calls, warm.calls) == (50, 0)
    assert first.folder == second.folder


def test_the_same_content_elsewhere_is_a_hit(stub, write_chat, tmp_path, monkeypatch):
    tokens_of(write_chat(50), stub())
    monkeypatch.chdir(tmp_path.parent)
    again = stub()
    tokens_of(write_chat(50, 'renamed.jsonl'), again)
    assert again.calls == 0


@pytest.mark.parametrize('change', ['content', 'max_length', 'template', 'rows'])
def test_what_changes_tokens_is_a_miss(stub, write_chat, change):
    path = write_chat(50)
    tokens_of(path, stub())
    other = stub(max_length=9 if change == 'max_length' else 10_000, name='other' if change == 'template' else 'stub')
    if change == 'content':
        stat = path.stat()
        path.write_text(path.read_text().replace('q7', 'Q7'))
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # same name, size and time
    rows = rows_of(path)
    ids = np.arange(49) if change == 'rows' else np.arange(50)
    token_store(rows, ids, other, 'x')
    assert other.calls == len(ids)
    assert len(artefacts('tokens')) == 2


def test_rejections_are_remembered(stub, write_chat):
    path = write_chat(120, bad=lambda i: i == 3)
    for _ in range(2):
        tokens = tokens_of(path, stub(max_length=4))
        assert len(tokens) == 9 and tokens.rejected == 110
        assert [r.count for r in tokens.reasons()] == [110]  # one reason, though rows of 6 and of 8 tokens differ in it
        assert [r.row for r in tokens.rejections()] == list(range(11, 121))
        assert tokens.indices().tolist() == list(range(9))


def test_many_batches(stub, write_chat, monkeypatch):
    monkeypatch.setattr(store, '_BATCH_ROWS', 7)
    path = write_chat(100, bad=lambda i: i % 10 == 0)
    tokens = tokens_of(path, stub())
    rows = rows_of(path)
    assert len(rows) == 90 and len(tokens) == 90
    for i in (0, 6, 7, 8, 50, 89):
        expected = ''.join(turn['content'] for turn in rows.row(i)['messages'])
        assert stub.text_of(tokens.row(i)) == expected
        assert f'q{tokens.row(i)["row"] - 1}' == rows.row(i)['messages'][0]['content']
    assert tokens.lengths().tolist() == [len(tokens.row(i)['input_ids']) for i in range(90)]


def test_batches_are_bounded_by_characters(stub, write_jsonl, monkeypatch):
    monkeypatch.setattr(store, '_BATCH_CHARACTERS', 100)
    seen = []

    class Watching(stub):
        def encode_batch(self, rows):
            seen.append(len(rows))
            return super().encode_batch(rows)

    tokens = tokens_of(write_jsonl([{'text': 'x' * 60}] * 6), Watching())
    assert len(tokens) == 6 and seen == [1] * 6


def test_worker_processes_make_the_same_tokens(stub, write_chat, monkeypatch):
    monkeypatch.setattr(store, '_BATCH_ROWS', 10)
    path = write_chat(95)
    alone, workers = stub(), stub(name='workers')
    one, two = tokens_of(path, alone), tokens_of(path, workers, num_proc=2)
    assert workers.calls == 0  # the work was done elsewhere
    assert [stub.text_of(one.row(i)) for i in range(95)] == [stub.text_of(two.row(i)) for i in range(95)]


def test_a_store_works_in_another_process(stub, write_chat):
    tokens = tokens_of(write_chat(5), stub())
    tokens.row(0)
    with multiprocessing.get_context('spawn').Pool(1) as pool:
        assert pool.apply(tokens.row, (4,))['input_ids'].tolist() == tokens.row(4)['input_ids'].tolist()


def _build(cache, path, template, barrier, calls):
    os.environ['SWIFT_CACHE'] = cache
    barrier.wait()
    tokens = tokens_of(path, template)
    calls.put((template.calls, len(tokens)))


def test_two_processes_build_once(stub, write_chat):
    class Slow(stub):
        def encode_batch(self, rows):
            time.sleep(0.5)
            return super().encode_batch(rows)

    context = multiprocessing.get_context('fork')
    barrier, calls = context.Barrier(2), context.Queue()
    path = write_chat(50)
    processes = [context.Process(target=_build,
                                 args=(str(env.cache_dir()), path, Slow(), barrier, calls)) for _ in range(2)]
    for process in processes:
        process.start()
    results = sorted(calls.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert results == [(0, 50), (50, 50)]
    assert len(artefacts('tokens')) == 1


def test_a_failed_build_leaves_nothing(stub, write_chat):
    class Failing(stub):
        def encode_batch(self, rows):
            raise ZeroDivisionError

    path = write_chat(5)
    with pytest.raises(ZeroDivisionError):
        tokens_of(path, Failing())
    assert artefacts('tokens') == []
    assert not list((env.cache_dir() / 'data' / 'tokens').rglob('.tmp-*'))
    assert len(tokens_of(path, stub())) == 5


def test_leftovers_of_a_killed_build_go_and_an_unfinished_artefact_is_built_again(stub, write_chat):
    path = write_chat(5)
    folder = tokens_of(path, stub()).folder
    (folder / 'manifest.json').unlink()
    (folder.parent / '.tmp-data-dead').mkdir()
    again = stub()
    assert len(tokens_of(path, again)) == 5 and again.calls == 5
    assert not list(folder.parent.glob('.tmp-*'))
    (folder / 'rows.arrow').write_bytes(b'short')
    again = stub()
    assert len(tokens_of(path, again)) == 5 and again.calls == 5


def test_rebuilding_does_not_hurt_who_reads(stub, write_chat):
    path = write_chat(5)
    reading = tokens_of(path, stub())
    first = reading.row(0)['input_ids'].tolist()
    (reading.folder / 'manifest.json').unlink()
    tokens_of(path, stub())
    assert reading.row(0)['input_ids'].tolist() == first
    assert len(reading) == 5


def test_a_full_disk_is_told(stub, write_chat, monkeypatch):
    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(store, '_write_meta', full)
    with pytest.raises(SwiftError, match='No space left on device. Make room, or set SWIFT_CACHE'):
        rows_of(write_chat(5))
    assert artefacts('rows') == []


def test_unknown_columns_stop_at_once(write_jsonl, monkeypatch):
    path = write_jsonl([{'foo': i, 'bar': 'x'} for i in range(1000)])
    found = open_source(str(path), columns={}, access=HubAccess())
    read = []
    real = type(found).rows
    monkeypatch.setattr(type(found), 'rows', lambda self: (read.append(1) or row for row in real(self)))
    with pytest.raises(SwiftError) as caught:
        row_store(found)
    assert 'no format has the columns foo, bar' in str(caught.value)
    assert '"query": "..."' in str(caught.value) and '"conversations"' in str(caught.value)
    assert len(read) < 100


def _peaks(stub, path) -> tuple[int, int]:
    """(Python bytes, Arrow bytes) at the worst moment of preparing and reading ``path``."""
    pa.default_memory_pool().release_unused()
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    tokens = tokens_of(path, stub(name=str(path)))
    for i in range(0, len(tokens), 97):
        tokens.row(i)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak, pa.total_allocated_bytes() - before


def test_memory_is_flat_in_the_number_of_rows(stub, write_jsonl, monkeypatch):
    monkeypatch.setattr(store, '_BATCH_ROWS', 200)
    row = {'query': 'q' * 200, 'response': 'r' * 200}
    small, large = (write_jsonl([row] * count, f'{count}.jsonl') for count in (500, 4000))
    (few, few_arrow), (many, many_arrow) = _peaks(stub, small), _peaks(stub, large)
    text = 3500 * 400  # characters more; as token ids four times that
    assert many - few < 0.3 * text, (few, many)
    assert many_arrow - few_arrow < 0.3 * text, (few_arrow, many_arrow)


@pytest.mark.parametrize('weights', [[], [0.0], [1, 1, 1], [0, 0, 1, 0.5, 0.5, 0]])
def test_run_lengths(weights):
    lengths, values = run_lengths(np.array(weights, np.float32))
    assert np.repeat(values, lengths).tolist() == weights
    assert len(values) == len([i for i in range(len(weights)) if i == 0 or weights[i] != weights[i - 1]])


def test_the_artefact_can_be_read_by_datasets(stub, write_chat):
    from datasets import Dataset
    tokens = tokens_of(write_chat(3), stub())
    table = pa.ipc.open_file(pa.memory_map(str(tokens.folder / 'rows.arrow'))).read_all()
    assert Dataset(table)[1]['input_ids'] == [ord(c) for c in 'q1r1']
    assert json.loads((tokens.folder / 'meta.json').read_text())['kept'] == 3
    assert Path(tokens.folder / 'manifest.json').is_file()


@pytest.mark.parametrize('num_proc', [1, 3])
def test_chosen_rows_are_encoded_and_no_others(stub, write_chat, monkeypatch, num_proc):
    monkeypatch.setattr(store, '_BATCH_ROWS', 7)
    rows = rows_of(write_chat(100, bad=lambda i: i % 10 == 0))
    ids = np.array([0, 5, 6, 7, 13, 40, 41, 42, 43, 44, 45, 46, 47, 48, 88, 89])
    tokens = token_store(rows, ids, stub(), 'x', num_proc=num_proc)
    assert tokens.indices().tolist() == ids.tolist()
    for at, i in enumerate(ids.tolist()):
        assert stub.text_of(tokens.row(at)) == ''.join(turn['content'] for turn in rows.row(i)['messages'])
        assert tokens.row(at)['row'] == rows.origin(i)[1]


def test_scattered_rows_are_put_together_into_batches(stub, write_chat, monkeypatch):
    monkeypatch.setattr(store, '_BATCH_ROWS', 10)
    rows = rows_of(write_chat(100))
    spans = store._TokenBuild(rows, np.arange(0, 100, 4), stub(), 'x', 1).spans()
    assert spans[0][0] == 0 and spans[-1][1] == 25
    assert all(a[1] == b[0] for a, b in itertools.pairwise(spans))
    assert len(spans) == 3 and max(stop - start for start, stop in spans) <= 10
    assert store._TokenBuild(rows, np.arange(0), stub(), 'x', 1).spans() == []


def test_every_core_is_used_where_no_number_is_given(stub, write_chat, monkeypatch):
    monkeypatch.setattr(store, '_BATCH_ROWS', 10)
    monkeypatch.setattr(store, 'cores', lambda: 2)
    rows, workers = rows_of(write_chat(30)), stub()
    tokens = token_store(rows, np.arange(30), workers, 'x', num_proc=None)
    assert len(tokens) == 30 and workers.calls == 0
    few, alone = rows_of(write_chat(5, 'few.jsonl')), stub()
    token_store(few, np.arange(5), alone, 'x', num_proc=None)
    assert alone.calls == 5  # one batch is not worth a process


def test_a_worker_that_dies_is_told(stub, write_chat, monkeypatch):
    class Dying(stub):
        def encode_batch(self, rows):
            os._exit(9)  # as when the kernel is out of memory

    monkeypatch.setattr(store, '_BATCH_ROWS', 10)
    with pytest.raises(SwiftError, match='has died, most likely for want of memory.*--dataset_num_proc 1'):
        tokens_of(write_chat(50), Dying(), num_proc=2)
    assert artefacts('tokens') == []


def test_an_error_in_a_worker_reaches_the_user(stub, write_chat, monkeypatch):
    class Failing(stub):
        def encode_batch(self, rows):
            raise SwiftError('no such token')

    monkeypatch.setattr(store, '_BATCH_ROWS', 10)
    with pytest.raises(SwiftError, match='no such token'):
        tokens_of(write_chat(50), Failing(), num_proc=2)


def test_a_pass_over_all_rows_leaves_no_pages_of_them_mapped(stub, write_jsonl):
    rows = rows_of(write_jsonl([{'query': f'{i}', 'response': 'r' * 400} for i in range(1500)]))
    token_store(rows, np.arange(1500), stub(), 'x')
    path = str(rows.folder / 'rows.arrow')
    resident, counted = 0, False
    for line in Path('/proc/self/smaps').read_text().splitlines():
        if not line[:1].isupper():  # the header of a mapping
            counted = line.endswith(path)
        elif counted and line.startswith('Rss:'):
            resident += int(line.split()[1]) * 1024
    assert resident < 0.5 * os.path.getsize(path)


def test_runs_of_many_rows_do_not_cross_their_borders():
    weights = [np.array(w, np.float32) for w in ([1, 1], [1, 0], [], [0], [2, 2, 2])]
    lengths, values, counts = store._runs(weights, np.array([len(w) for w in weights], np.int32))
    assert lengths.tolist() == [2, 1, 1, 1, 3] and values.tolist() == [1, 1, 0, 0, 2]
    assert counts.tolist() == [1, 2, 0, 1, 1]
