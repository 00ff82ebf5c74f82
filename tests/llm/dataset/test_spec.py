from __future__ import annotations

import pytest

from swift.llm.dataset.spec import DatasetSpec, anchored, parse_spec, split_words
from swift.utils.errors import UsageError


@pytest.mark.parametrize(('text', 'expected'), [
    ('alpaca-en', DatasetSpec('alpaca-en', 'alpaca-en')),
    ('alpaca-en#500', DatasetSpec('alpaca-en#500', 'alpaca-en', count=500)),
    ('owner/name:a/b#7', DatasetSpec('owner/name:a/b#7', 'owner/name', subsets=('a', 'b'), count=7)),
    ('hf::owner/name', DatasetSpec('hf::owner/name', 'owner/name', hub='HF')),
    ('MS::owner/name:sub', DatasetSpec('MS::owner/name:sub', 'owner/name', hub='MS', subsets=('sub',))),
])
def test_names(text, expected):
    assert parse_spec(text) == expected


def test_path_with_a_row_count(tmp_path):
    path = tmp_path / 'a.jsonl'
    path.touch()
    spec = parse_spec(f'{path}#20')
    assert (spec.path, spec.count, spec.subsets) == (path, 20, ())


@pytest.mark.parametrize('name', ['a#5', 'a#x.jsonl', 'a:b.jsonl', 'hf::a.jsonl', 'ms::x:y#3'])
def test_an_existing_path_wins_at_every_step(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).touch()
    assert parse_spec(name).path == (tmp_path / name).relative_to(tmp_path)
    assert parse_spec(name).count is None
    with_count = parse_spec(f'{name}#9')
    assert (with_count.name, with_count.count) == (name, 9)


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'a.jsonl').touch()
    assert parse_spec('~/a.jsonl').path == tmp_path / 'a.jsonl'


@pytest.mark.parametrize(('text', 'named'), [('name#0', "'0'"), ('name#-3', "'-3'"), ('name#x', "'x'"), ('XX::a',
                                                                                                         "'XX'"),
                                             ('  ', 'empty')])
def test_wrong_words_are_named(text, named):
    with pytest.raises(UsageError, match='--dataset') as caught:
        parse_spec(text)
    assert named in str(caught.value)


def test_anchored_words_mean_the_same_in_every_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'a b.jsonl').touch()
    assert anchored('a b.jsonl#5') == f'{tmp_path}/a b.jsonl#5'
    assert parse_spec(anchored('./a b.jsonl')).path == tmp_path / 'a b.jsonl'
    assert [anchored(word) for word in ('alpaca-en#5', 'HF::owner/name:sub', f'{tmp_path}/a b.jsonl')] == [
        'alpaca-en#5', 'HF::owner/name:sub', f'{tmp_path}/a b.jsonl']


def test_several_data_sets_in_one_word(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'a,b.jsonl').touch()
    (tmp_path / 'c.jsonl').touch()
    assert split_words(['alpaca-en#5,alpaca-zh, HF::o/n:x', 'd']) == ['alpaca-en#5', 'alpaca-zh', 'HF::o/n:x', 'd']
    assert split_words(['a,b.jsonl', 'a,b.jsonl#3', 'c.jsonl#1,alpaca-en']) == ['a,b.jsonl', 'a,b.jsonl#3', 'c.jsonl#1',
                                                                              'alpaca-en']
    assert anchored('c.jsonl#1,alpaca-en') == f'{tmp_path}/c.jsonl#1,alpaca-en'
