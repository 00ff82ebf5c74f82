from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from swift.llm.args.groups import DataArgs
from swift.llm.dataset.load import load_datasets, load_rows
from swift.utils.errors import SwiftError, UsageError


def load(*specs, template, seed=7, run_dir=None, with_train=True, **options):
    return load_datasets(DataArgs(dataset=[str(spec) for spec in specs], **options), template, seed=seed,
                         run_dir=run_dir,
                         with_train=with_train)


def questions(dataset, stub):
    """The question of every row: ``q7`` of "q7r7"."""
    return [stub.text_of(dataset[i]).split('r')[0] for i in range(len(dataset))]


def test_rows_split_and_lengths(stub, write_chat):
    data = load(write_chat(200), template=stub())
    assert (len(data.train), len(data.eval)) == (198, 2)
    assert sorted(questions(data.train, stub) + questions(data.eval, stub)) == sorted(f'q{i}' for i in range(200))
    assert data.train.lengths.tolist() == [len(row['input_ids']) for row in data.train]
    row = data.train[5]
    assert isinstance(data.train, torch.utils.data.Dataset)
    assert row['input_ids'].dtype == np.int32 and row['weights'].dtype == np.float32 and isinstance(row['row'], int)
    assert questions(data.train, stub)[5] == f'q{row["row"] - 1}'
    with pytest.raises(IndexError):
        data.train[198]


def test_no_split(stub, write_chat):
    data = load(write_chat(20), template=stub(), split_dataset_ratio=0.0)
    assert len(data.train) == 20 and data.eval is None


def test_val_dataset_turns_the_split_off(stub, write_chat):
    path = write_chat(20)
    data = load(path, template=stub(), val_dataset=[f'{write_chat(10, "val.jsonl")}#4'], split_dataset_ratio=0.5)
    assert (len(data.train), len(data.eval)) == (20, 4)


def test_only_validation_rows_are_encoded_without_training(stub, write_chat):
    path, template = write_chat(100), stub()
    data = load(path, template=template, with_train=False, split_dataset_ratio=0.1)
    assert data.train is None and len(data.eval) == 10 and template.calls == 10
    both = load(path, template=stub(), split_dataset_ratio=0.1)
    assert questions(data.eval, stub) == questions(both.eval, stub)


def test_the_seed_decides_the_split_and_no_tokenizer_does(stub, write_chat):
    path = write_chat(300)

    def chosen(seed, template=None, **options):
        return questions(load(f'{path}#100', template=template or stub(), seed=seed, split_dataset_ratio=0.1,
                              **options).eval, stub)

    assert chosen(1) == chosen(1) == chosen(1, stub(name='other'))
    assert chosen(1) != chosen(2)
    assert chosen(1, data_seed=2) == chosen(2)


def test_sampling(stub, write_chat):
    path = write_chat(50)
    fewer = load(f'{path}#20', template=stub(), split_dataset_ratio=0.0)
    assert len(set(questions(fewer.train, stub))) == 20
    template = stub()
    more = load(f'{path}#130', template=template, split_dataset_ratio=0.0)
    counts = np.unique(questions(more.train, stub), return_counts=True)[1]
    assert sorted(counts) == [2] * 20 + [3] * 30
    assert template.calls == 50  # repeats are positions, not rows


def test_several_data_sets(stub, write_chat, write_jsonl):
    one, two = write_chat(30), write_jsonl([{'query': f'x{i}', 'response': 'r'} for i in range(10)], 'two.jsonl')
    data = load(one, two, template=stub(), split_dataset_ratio=0.1)
    asked = questions(data.train, stub)
    assert [q[0] for q in asked] == ['q'] * 27 + ['x'] * 9
    assert sorted(q[0] for q in questions(data.eval, stub)) == ['q'] * 3 + ['x']


def test_several_data_sets_in_one_word(stub, write_chat, write_jsonl):
    other = write_jsonl([{'query': f'x{i}', 'response': 'r'} for i in range(10)], 'other.jsonl')
    data = load(f'{write_chat(10)},{other}#5', template=stub(), split_dataset_ratio=0.0)
    assert sorted(row[0] for row in questions(data.train, stub)) == ['q'] * 10 + ['x'] * 5


def test_interleaving(stub, write_chat, write_jsonl):
    one, two = write_chat(300), write_jsonl([{'query': f'x{i}', 'response': 'r'} for i in range(300)], 'two.jsonl')

    def mixed(seed):
        return questions(load(one, two, template=stub(), seed=seed, interleave_prob=[0.8, 0.2],
                              split_dataset_ratio=0.0).train, stub)

    asked = mixed(1)
    assert asked == mixed(1) != mixed(2)
    assert 0.7 < sum(q[0] == 'q' for q in asked) / len(asked) < 0.9
    assert [q for q in asked if q[0] == 'q'] == [f'q{i}' for i in range(300)]
    with pytest.raises(UsageError, match='got 1 numbers for 2 data sets'):
        load(one, two, template=stub(), interleave_prob=[1.0])


def test_general_data_is_mixed_in_by_a_ratio(stub, write_chat, write_jsonl):
    mine = write_chat(101)
    others = [write_jsonl([{'query': f'{name}{i}', 'response': 'r'} for i in range(300)], f'{name}.jsonl')
              for name in 'xy']

    def trained(ratio, seed=7):
        args = DataArgs(dataset=[str(mine)], train_dataset_mix_ratio=ratio, train_dataset_mix_ds=list(map(str, others)))
        data = load_datasets(args, stub(), seed=seed, run_dir=None)
        return questions(data.train, stub), questions(data.eval, stub)

    rows, held_out = trained(0.5)
    assert held_out == trained(0.0)[1] and len(held_out) == 1  # nothing of the general data is held out
    assert len(rows) == 150 and sum(row[0] == 'q' for row in rows) == 100
    drawn = [row for row in rows if row[0] != 'q']
    assert len(set(drawn)) == 50 and {row[0] for row in drawn} == {'x', 'y'}
    assert trained(0.5)[0] == rows and trained(0.5, seed=8)[0] != rows
    assert len(trained(9.0)[0]) == 100 + 600  # all there are
    with pytest.raises(UsageError, match='--train_dataset_mix_ratio.*--streaming'):
        load_datasets(DataArgs(dataset=[str(mine)], streaming=True, train_dataset_mix_ratio=0.5), stub(), seed=7,
                      run_dir=None)


def test_rejected_rows_are_listed_counted_and_never_replaced(stub, write_chat, write_jsonl, tmp_path):
    path = write_chat(100, bad=lambda i: i in (3, 60))
    path.write_text(path.read_text().replace('{"query": "q50"', '{query: "q50"'))
    for template in (stub(max_length=6), stub(max_length=6)):  # the second time from the cache
        run = tmp_path / f'run{id(template)}'
        data = load(path, template=template, split_dataset_ratio=0.0, run_dir=run, max_rejected_ratio=0.1)
        assert questions(data.train, stub) == [f'q{i}' for i in range(100) if i not in (3, 50, 60)]
        lines = [json.loads(line) for line in (run / 'rejected.jsonl').read_text().splitlines()]
        assert [(line['row'], line['source']) for line in lines] == [(4, str(path)), (51, str(path)), (61, str(path))]
        assert lines[1]['reason'].startswith('broken JSON: Expecting property name')
        assert data.report.rejected == 3
        line = data.report.sources[0].line()
        assert line.startswith(f'{path}: 100 rows, read as query/response, 97 ok; 3 set aside: an empty response (2,')
        assert 'broken JSON' in line and 'first row 51' in line


def test_rows_that_the_template_refuses_are_listed_too(stub, write_jsonl, tmp_path):
    path = write_jsonl([{'query': 'q', 'response': 'r' * (100 if i == 7 else 5)} for i in range(50)])
    data = load(path, template=stub(max_length=50), run_dir=tmp_path, split_dataset_ratio=0.0)
    assert len(data.train) == 49
    assert json.loads((tmp_path / 'rejected.jsonl').read_text()) == {
        'source': str(path), 'row': 8, 'reason': '101 tokens are more than --max_length 50'}


def test_too_many_rejected_rows_stop_the_run(stub, write_chat, tmp_path):
    path = write_chat(100, bad=lambda i: i < 10)
    with pytest.raises(SwiftError) as caught:
        load(path, template=stub(), run_dir=tmp_path)
    message = str(caught.value)
    for part in ('10 rows', '10.0%', '--max_rejected_ratio 0.05', '10 rows of', 'an empty response',
                 'row 1: {"query": "q0"',
                 str(tmp_path / 'rejected.jsonl')):
        assert part in message
    assert len((tmp_path / 'rejected.jsonl').read_text().splitlines()) == 10
    assert len(load(path, template=stub(), max_rejected_ratio=0.1, split_dataset_ratio=0.0).train) == 90


@pytest.mark.parametrize('count', [1, 5, 7, 11])
def test_exactly_the_ratio_is_not_over_it(stub, write_chat, count):
    path = write_chat(100, bad=lambda i: i < count)
    data = load(path, template=stub(), max_rejected_ratio=count / 100, split_dataset_ratio=0.0)
    assert len(data.train) == 100 - count
    with pytest.raises(SwiftError, match='--max_rejected_ratio'):
        load(path, template=stub(), max_rejected_ratio=(count - 0.5) / 100)


def test_rejected_rows_outside_a_sample_do_not_stop_it(stub, write_chat):
    path = write_chat(1000, bad=lambda i: i % 50 == 0)  # 2 % of the file, more rows than the sample has
    assert len(load(f'{path}#10', template=stub(), split_dataset_ratio=0.0).train) == 10


def test_losses_of_reading_and_encoding_add_up(stub, write_jsonl):
    rows = [{'query': 'q', 'response': '' if i < 4 else 'r' * (90 if i < 8 else 5)} for i in range(100)]
    with pytest.raises(SwiftError, match=r'8 rows can\'t be used: 8\.0%'):
        load(write_jsonl(rows), template=stub(max_length=50), split_dataset_ratio=0.0)


def test_no_row_left_after_reading(stub, write_jsonl, tmp_path):
    path = write_jsonl([{'query': 'q', 'response': ''}] * 5 + [{'query': [1], 'response': 'r'}] * 2 + ['{']
                       + [{'query': 'q', 'response': 1.5, 'history': 'x'}] * 3 + [{'messages': []}])
    with pytest.raises(SwiftError) as caught:
        load(path, template=stub(), max_rejected_ratio=1.0)
    message = str(caught.value)
    assert 'No row of' in message and '12 rows, read as query/response and messages' in message
    assert '5 rows of' in message and 'an empty response' in message
    assert 'row 1: {"query": "q", "response": ""}' in message
    assert 'history' in message and 'query is a list, not text' in message
    assert 'no turns' not in message  # the three commonest reasons only


def test_no_row_left_after_encoding(stub, write_chat):
    with pytest.raises(SwiftError, match=r'(?s)No row of .* can be used.*10 rows of .*more than --max_length 1'):
        load(write_chat(10), template=stub(max_length=1), max_rejected_ratio=1.0)


def test_few_rows_of_unknown_columns_list_the_formats(stub, write_jsonl):
    with pytest.raises(SwiftError) as caught:
        load(write_jsonl([{'foo': 1}, {'foo': 2}]), template=stub())
    assert 'no format has the columns foo' in str(caught.value) and '--columns' in str(caught.value)


def test_an_empty_file(stub, write_jsonl):
    with pytest.raises(SwiftError, match='has no rows'):
        load(write_jsonl([]), template=stub())


def test_no_dataset(stub):
    with pytest.raises(UsageError, match='--dataset is missing'):
        load(template=stub())


def test_columns(stub, write_jsonl):
    path = write_jsonl([{'ask': 'q1', 'reply': 'r1'}] * 4)
    data = load(path, template=stub(), columns='{"ask": "query", "reply": "response"}')
    assert questions(data.train, stub) == ['q1'] * 3


def test_self_cognition(stub):
    data = load('self-cognition:en#40', template=stub(), model_name=['小黄', 'Huang'], model_author=['ModelScope'])
    text = ''.join(stub.text_of(row) for row in data.train)
    assert 'Huang' in text and 'ModelScope' in text and '{{' not in text and '小黄' not in text


def test_a_folder_and_its_files(stub, tmp_path):
    folder = tmp_path / 'data'
    folder.mkdir()
    (folder / 'a.csv').write_text('query,response\nq1,r1\nq2,\n')
    (folder / 'b.jsonl').write_text('{"query": "q3", "response": "r3"}\n{"query": "q4", "response": "r4"}\n')
    data = load(folder, template=stub(), split_dataset_ratio=0.0, run_dir=tmp_path, max_rejected_ratio=0.5)
    assert questions(data.train, stub) == ['q1', 'q3', 'q4']
    assert json.loads((tmp_path / 'rejected.jsonl').read_text()) == {
        'source': str(folder / 'a.csv'), 'row': 2, 'reason': 'an empty response'}


def test_a_sample_is_given_to_look_at(stub, write_chat):
    data = load(write_chat(100), template=stub())
    assert len(data.sample) == 20
    assert data.sample[0]['messages'][0]['role'] == 'user'


def test_other_ranks_write_no_list(stub, write_chat, tmp_path, monkeypatch):
    monkeypatch.setenv('RANK', '1')
    monkeypatch.setenv('LOCAL_RANK', '1')
    load(write_chat(10), template=stub(), run_dir=tmp_path / 'run')
    assert not (tmp_path / 'run').exists()


def test_a_loader_with_workers_reads_it(stub, write_chat):
    data = load(write_chat(40), template=stub(), split_dataset_ratio=0.0)
    loader = torch.utils.data.DataLoader(data.train, batch_size=8, num_workers=2, collate_fn=list)
    assert [stub.text_of(row) for batch in loader for row in batch] == [stub.text_of(row) for row in data.train]


def test_load_rows_gives_the_rows_that_training_held_out(stub, write_chat):
    path = write_chat(100)
    args = DataArgs(dataset=[str(path)], split_dataset_ratio=0.1)
    held_out = load_datasets(args, stub(), seed=7, run_dir=None).eval
    rows = load_rows(args, seed=7)
    assert [row['messages'][0]['content'] for row in rows] == questions(held_out, stub)


def test_load_rows_of_a_val_dataset_need_no_answer(write_jsonl):
    rows = load_rows(DataArgs(val_dataset=[str(write_jsonl([{'query': 'a'}, {'query': 'b', 'response': 'c'}]))]),
                     seed=1)
    assert [[turn['content'] for turn in row['messages']] for row in rows] == [['a'], ['b', 'c']]
