"""The registered data sets: every row of SWIFT's two tables is known, and what is called verified is converted here.

``tests/data/registry/dataset_rows.jsonl`` holds rows in the published schema of each verified data set, written for
this test, and the standard rows that they become.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from swift.llm.dataset import convert
from swift.llm.dataset.registry import DATASETS, DatasetEntry, Subset, find
from swift.llm.dataset.source import Source, _reading
from swift.llm.dataset.spec import DatasetSpec
from swift.utils.errors import UsageError

REGISTRY = Path(__file__).parents[2] / 'data' / 'registry'


def lines(name):
    return [json.loads(line) for line in (REGISTRY / name).read_text(encoding='utf-8').splitlines()]


SEED, NEWEST = lines('datasets_seed.jsonl'), lines('datasets_newest.jsonl')
ROWS = [(name, sample) for sample in lines('dataset_rows.jsonl') for name in sample['names']]


def spellings(name):
    return name, name.lower(), name.upper()


def subsets_of(row):
    """(name, name on the hub, splits) of each subset in a row of a table."""
    for subset in row.get('subsets', ['default']):
        subset = {'name': subset, 'subset': subset} if isinstance(subset, str) else subset
        yield subset['name'], subset['subset'], tuple(subset.get('split', row['split'])), subset


@pytest.mark.parametrize('row', SEED, ids=lambda row: row['name'])
def test_every_row_of_the_first_table(row):
    entry = DATASETS.get(row['name'])
    assert find(row['name']) == (entry, False)
    assert entry.ms_id == row.get('ms_id') and {row.get('hf_id')} <= {None, *entry.ids}
    parts = entry.select(())
    if not entry.files:
        assert [part.hub_name for part in parts] == row.get('subsets', ['default'])
    assert entry.split == tuple(row['split'])
    assert set(row['tags']) <= set(entry.tags)
    assert entry.huge or not row.get('huge_dataset')
    for hub_id in filter(None, (row.get('ms_id'), row.get('hf_id'))):
        assert all(hub_id in find(spelled).entry.ids for spelled in spellings(hub_id))


@pytest.mark.parametrize('row', NEWEST, ids=lambda row: row.get('ms_id') or row['hf_id'])
def test_every_row_of_the_newest_table(row):
    ids = [hub_id for hub_id in (row.get('ms_id'), row.get('hf_id')) if hub_id]
    entry = find(ids[0]).entry
    for hub_id in ids:
        for spelled in spellings(hub_id):
            assert find(spelled) == (entry, spelled not in DATASETS or '/' in spelled)
            last = spelled.rsplit('/')[-1]
            assert last.lower() in [i.rsplit('/')[-1].lower() for i in find(last).entry.ids]
    assert {row.get('ms_id'), row.get('hf_id')} <= {None, *entry.ids}
    for name, on_hub, split, table in subsets_of(row):
        part, = entry.select([name])
        assert part.hub_name == on_hub or entry.files
        assert (part.split or entry.split) == split
        assert part.weak == table.get('is_weak_subset', False)
        reading = _reading(entry, part, {})
        if reading.convert is None and reading.expand is None:
            assert {**row.get('columns', {}), **table.get('columns', {})}.items() <= reading.columns.items()
    assert entry.huge or str(row.get('huge_dataset', '')).lower() != 'true'


@pytest.mark.parametrize(('name', 'sample'), ROWS, ids=[f'{name}-{i}' for i, (name, _) in enumerate(ROWS)])
def test_a_row_of_the_published_schema(name, sample, tmp_path):
    entry = DATASETS.get(name)
    part = entry.select([sample['subset']] if 'subset' in sample else ())[0]
    file = tmp_path / 'rows.jsonl'
    file.write_text(json.dumps(sample['raw'], ensure_ascii=False) + '\n', encoding='utf-8')
    answered = all(row['messages'][-1]['role'] == 'assistant' for row in sample['rows'])
    source = Source(DatasetSpec(name, name), (file,), entry, (_reading(entry, part, {}),),
                    identity=(('小黄', 'Huang'), ('魔搭', 'ModelScope')) if entry.identity else None,
                    answer_required=answered)
    built = [convert.build(*source.recognise(raw), answer_required=answered, with_media=True)
             for _, raw in source.rows()]
    assert built == sample['rows']


def test_what_is_verified_is_tested():
    assert {entry.name for entry in DATASETS if entry.verified} == {name for name, _ in ROWS}
    assert sum(entry.verified for entry in DATASETS) >= 190


def test_the_tables_in_the_pages_are_up_to_date():
    path = REGISTRY.parents[2] / 'scripts' / 'docs' / 'dataset_tables.py'
    spec = importlib.util.spec_from_file_location('dataset_tables', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.main(['--check']) == 0, 'run python scripts/docs/dataset_tables.py'
    text = module.render('en')
    assert all(f'| `{entry.name}` |' in text for entry in DATASETS)
    assert text.count('| unverified') == sum(not entry.verified for entry in DATASETS)


def test_every_entry_is_sound():
    for entry in DATASETS:
        assert all(path.is_file() for path in entry.files.values())
        for part in entry.parts():
            assert set(_reading(entry, part, {}).columns.values()) <= {*convert.TARGETS, *convert.QUERY,
                                                                       *convert.RESPONSE}
    assert len({entry.name.lower() for entry in DATASETS}) == len(DATASETS)


def test_no_two_entries_claim_an_id_by_name():
    for entry in DATASETS:
        for hub_id in entry.ids:
            views = [other for other in DATASETS if hub_id in other.ids]
            assert len(views) == 1 or find(hub_id).entry.name in find(hub_id).entry.ids


SEVERAL = DatasetEntry('several', 'a/b', subsets=('x', 'y', Subset('z', 'y', weak=True)))
WITH_DEFAULT = DatasetEntry('views', 'a/b', subsets=('default', 'y'), named=('default', 'y'))


@pytest.mark.parametrize(('entry', 'names', 'by_id', 'read'), [
    (SEVERAL, (), False, 'x y'), (SEVERAL, ('all',), True, 'x y'), (SEVERAL, ('z', 'x', 'z'), True, 'z x'),
    (WITH_DEFAULT, (), True, 'default'), (WITH_DEFAULT, (), False, 'default y'),
    (WITH_DEFAULT, ('all',), True, 'default y'), (DatasetEntry('one', 'a/b', subsets=('x',)), (), True, 'x'),
    (DatasetEntry('has-all', 'a/b', subsets=('all', 'x')), ('all',), True, 'all'),
])
def test_which_subsets_are_read(entry, names, by_id, read):
    assert [part.name for part in entry.select(names, by_id=by_id)] == read.split()


def test_subsets_that_can_not_be_read():
    with pytest.raises(UsageError, match=r"no subset 'xx'; it has x, y, z\. Did you mean 'x'"):
        SEVERAL.select(['xx'])
    with pytest.raises(UsageError, match=r'name one or more of them \(several:x/y\), or all of them: several:all'):
        SEVERAL.select((), by_id=True)
    with pytest.raises(UsageError, match="no subset 'w'"):
        DatasetEntry('wrong', 'a/b', subsets=('x',), named=('w',))
