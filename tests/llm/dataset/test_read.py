from __future__ import annotations

import json
import random
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from swift.llm.dataset import read
from swift.llm.dataset.read import read_rows
from swift.utils.errors import SwiftError

ROWS = [{'query': 'a "quoted"\nline', 'response': 'NA'}, {'query': '中文 \u2028 x', 'response': '{"k": [1]}'}]


def values(path):
    return [row.value for row in read_rows(path)]


def test_jsonl(tmp_path):
    path = tmp_path / 'a.jsonl'
    text = '\ufeff' + json.dumps(ROWS[0]) + '\r\n\n' + json.dumps(ROWS[1],
                                                                  ensure_ascii=False)  # BOM, CRLF, a blank line, no end
    path.write_bytes(text.encode())
    rows = list(read_rows(path))
    assert [row.value for row in rows] == ROWS
    assert [row.number for row in rows] == [1, 3]


def test_a_broken_line_is_one_bad_row_with_its_line(tmp_path):
    path = tmp_path / 'a.jsonl'
    path.write_bytes(b'{"a": 1}\n{"a": \n\xff\xfe\n' + b'[' * 100_000 + b'\n{"a": 2}\n')
    rows = list(read_rows(path))
    assert [row.number for row in rows if row.error is None] == [1, 5]
    assert 'broken JSON: Expecting value' in rows[1].error and (rows[1].number, rows[1].value) == (2, '{"a":')
    assert rows[2].error == 'the line is not UTF-8 text'
    assert 'nested too deep' in rows[3].error


@pytest.mark.parametrize('indent', [None, 2])
def test_json_array(tmp_path, indent):
    path = tmp_path / 'a.json'
    path.write_text('\n ' + json.dumps(ROWS, indent=indent, ensure_ascii=False) + '\n', encoding='utf-8')
    rows = list(read_rows(path))
    assert [row.value for row in rows] == ROWS
    assert [row.number for row in rows] == [1, 2]


@pytest.mark.parametrize('chunk', [1, 2, 3, 7, 64])
def test_json_array_read_in_pieces(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(read, '_CHUNK', chunk)
    rng = random.Random(chunk)
    rows = [{'text': 'x\\"\n' * rng.randrange(40), 'n': -1.5e-3,
             'deep': [[None, True], {'é': '\U0001f600'}]} for _ in range(30)]
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(rows, indent=rng.choice([None, 1])), encoding='utf-8')
    assert values(path) == rows


def test_json_lines_called_json(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text('\n'.join(map(json.dumps, ROWS)))
    assert values(path) == ROWS


@pytest.mark.parametrize(('text', 'named'), [
    ('[{"a": 1},\n {"a": nul}, {"a": 3}' + ' ' * 40 + ']', 'a.json:2: broken JSON in row 2'),
    ('[{"a": 1}\n\n {"a": 2}]', 'a.json:3: broken JSON after row 1'),
    ('[{"a": 1},', 'row 2'),
    ('[{"a": 1}', "got 'the end'"),
    ('{"data":\n [1]}', 'one JSON object'),
    ('hello', "starts with 'h'"),
    ('', 'is empty'),
])
def test_broken_json_names_file_and_line(tmp_path, text, named):
    path = tmp_path / 'a.json'
    path.write_text(text)
    with pytest.raises(SwiftError) as caught:
        values(path)
    assert named in str(caught.value)


def test_a_fault_far_into_an_array_has_its_line(tmp_path, monkeypatch):
    monkeypatch.setattr(read, '_CHUNK', 50)
    path = tmp_path / 'a.json'
    path.write_text('[' + '{"a": 1},\n' * 99 + '{"a": nul}' + ' ' * 40 + ']')
    with pytest.raises(SwiftError, match=r'a\.json:100: broken JSON in row 100'):
        values(path)


def test_empty_array(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text('[ ]')
    assert values(path) == []


def test_csv_cells_are_text(tmp_path):
    path = tmp_path / 'a.csv'
    path.write_bytes('\ufeffquery,response\r\n"a ""quoted""\r\nline",NA\r\nnull,007\r\n'.encode())
    assert values(path) == [{'query': 'a "quoted"\r\nline', 'response': 'NA'}, {'query': 'null', 'response': '007'}]


def test_csv_long_cells_and_ragged_rows(tmp_path):
    path = tmp_path / 'a.csv'
    path.write_text(f'query,response\nq,{"x" * 200_000}\na,b,c\nonly\n')
    rows = list(read_rows(path))
    assert len(rows[0].value['response']) == 200_000
    assert 'more cells' in rows[1].error
    assert rows[2].value == {'query': 'only', 'response': None}


def test_parquet_and_arrow(tmp_path):
    table = pa.Table.from_pylist(ROWS * 700)
    pq.write_table(table, tmp_path / 'a.parquet', row_group_size=300)
    with pa.OSFile(str(tmp_path / 's.arrow'), 'wb') as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    with pa.OSFile(str(tmp_path / 'f.arrow'), 'wb') as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    for name in ('a.parquet', 's.arrow', 'f.arrow'):
        rows = list(read_rows(tmp_path / name))
        assert [row.value for row in rows] == ROWS * 700
        assert [row.number for row in rows] == list(range(1, 1401))


def test_txt_is_one_row_a_line(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_text('one\n\n two \r\n', encoding='utf-8', newline='')
    assert [(row.number, row.value) for row in read_rows(path)] == [(1, {'text': 'one'}), (3, {'text': ' two '})]


def test_wrong_files_are_named(tmp_path):
    (tmp_path / 'a.parquet').write_text('no')
    with pytest.raises(SwiftError, match=r'a\.parquet can\'t be read as \.parquet'):
        values(tmp_path / 'a.parquet')
    with pytest.raises(SwiftError, match='No such file'):
        values(tmp_path / 'missing.jsonl')
    with pytest.raises(SwiftError, match=r'unknown kind of file \'\.xls\'; rows are read from \.jsonl'):
        values(tmp_path / 'a.xls')


@pytest.mark.parametrize('kind', ['jsonl', 'json', 'csv', 'txt'])
def test_reading_holds_a_bounded_part_of_the_file(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(read, '_CHUNK', 1 << 16)
    row = {'query': 'q' * 500, 'response': 'r' * 500}
    path = tmp_path / f'a.{kind}'
    with open(path, 'w') as file:
        file.write({'json': '[', 'csv': 'query,response\n'}.get(kind, ''))
        for i in range(6_000):  # 6 MB
            comma = ',' if i else ''
            file.write({'json': f'{comma}{json.dumps(row)}\n', 'jsonl': f'{json.dumps(row)}\n',
                        'csv': f'{row["query"]},{row["response"]}\n', 'txt': f'{row["query"] * 2}\n'}[kind])
        file.write(']' if kind == 'json' else '')
    tracemalloc.start()
    assert sum(1 for _ in read_rows(path)) == 6_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_500_000
