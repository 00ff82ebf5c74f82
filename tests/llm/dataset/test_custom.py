"""Data sets of the user's own: a plug-in, ``dataset_info.json`` in both shapes, and the examples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from swift.llm.args.groups import DataArgs
from swift.llm.dataset.hub import HubAccess
from swift.llm.dataset.registry import Subset, add_dataset_info
from swift.llm.dataset.source import extend_registry, open_source
from swift.utils.errors import RowError, UsageError
from swift.utils.registry import Registry

EXAMPLES = Path(__file__).parents[3] / 'examples' / 'custom'


@pytest.fixture
def registry(monkeypatch):
    """A registry of the test's own, in every module that knows the real one."""
    own = Registry('data set')
    for module in ('registry', 'source'):
        monkeypatch.setattr(f'swift.llm.dataset.{module}.DATASETS', own)
    return own


def rows(text):
    found = open_source(text, columns={}, access=HubAccess(offline=True))
    return [found.build(*found.recognise(raw)) for _, raw in found.rows()]


def texts(text):
    return [[turn['content'] for turn in row['messages']] for row in rows(text)]


def test_the_example_plug_in(registry):
    code = [line for line in (EXAMPLES / 'dataset.py').read_text().splitlines() if line.strip()]
    assert len(code) <= 12
    extend_registry(DataArgs(external_plugins=[str(EXAMPLES / 'dataset.py')]))
    assert texts('sums')[1] == ['What is 7 * 8?', 'Seven times eight is seven times seven and one more seven: 49 + 7.'
                                                  '\n\nAnswer: 56']


def test_the_example_without_python(registry):
    extend_registry(DataArgs(custom_dataset_info=str(EXAMPLES / 'dataset_info.json')))
    assert texts('sums-plain')[0] == ['12 + 30', '42']
    assert [turn['role'] for turn in rows('shop-chats')[1]['messages']] == ['user', 'assistant'] * 2


def test_custom_register_path_is_the_same_flag():
    from swift.llm.args.aliases import ALIASES
    assert ALIASES['custom_register_path'].target == 'external_plugins'


def test_the_same_entries_as_a_list(registry, tmp_path, write_jsonl):
    write_jsonl([{'chat': [{'r': 'me', 'c': 'q'}, {'r': 'you', 'c': 'a'}]}], 'mine.jsonl')
    info = tmp_path / 'info.json'
    info.write_text(json.dumps([
        {'dataset_path': 'mine.jsonl', 'dataset_name': 'mine', 'columns': {'chat': 'messages'},
         'messages': {'role_key': 'r', 'content_key': 'c', 'user_role': 'me', 'assistant_role': 'you'}},
        {'ms_dataset_id': 'a/b', 'hf_dataset_id': 'c/d', 'hf_revision': 'v2', 'huge_dataset': True, 'split': 'test',
         'subsets': ['x', {'name': 'y', 'subset': 'x', 'split': ['train'], 'columns': {'q': 'query'},
                           'is_weak_subset': True}]}]))
    extend_registry(DataArgs(custom_dataset_info=str(info)))
    assert texts('mine') == [['q', 'a']]
    entry = registry.get('a/b')
    assert (entry.revision('HF'), entry.revision('MS'), entry.huge, entry.split) == ('v2', None, True, ('test',))
    assert entry.parts()[1] == Subset('y', 'x', ('train',), {'q': 'query'}, weak=True)
    assert [part.name for part in entry.select(['all'])] == ['x']


def test_paths_in_json_text_are_relative_to_the_working_folder(registry, tmp_path, monkeypatch, write_jsonl):
    write_jsonl([{'query': 'q', 'response': 'r'}], 'mine.jsonl')
    monkeypatch.chdir(tmp_path)
    add_dataset_info('{"mine": {"dataset_path": "mine.jsonl"}}')
    assert texts('mine') == [['q', 'r']]


def test_media_keys_of_the_first_version(registry, write_jsonl):
    path = write_jsonl([{'conversations': [{'from': 'user', 'value': 'q'}, {'from': 'assistant', 'value': 'r'}],
                         'picture': 'a.png'}])
    add_dataset_info(json.dumps({'seen': {
        'dataset_path': str(path), 'conversations': {'media_type': 'image', 'media_key': 'picture',
                                                     'error_strategy': 'delete'}}}))
    with pytest.raises(RowError, match='the row has images'):
        rows('seen')


@pytest.mark.parametrize(('info', 'named'), [
    ({'a': {'dataset_id': 'x/y', 'conversations': {'user': 'me'}}},
     "'user', which isn't read; it takes assistant_role"),
    ({'a': {'dataset_id': 'x/y', 'subsets': [7]}}, 'a subset that is no name and no object'),
    ({'a': {'dataset_id': 'x/y', 'subsets': [{'split': 'train'}]}}, 'a subset without a name'),
    ([{'dataset_id': 'x/y', 'subsets': [{'name': 's', 'colums': {}}]}], "'colums'"),
])
def test_what_is_wrong_is_named(registry, info, named):
    with pytest.raises(UsageError, match='--custom_dataset_info') as caught:
        add_dataset_info(json.dumps(info))
    assert named in str(caught.value)


def test_a_name_that_is_taken_is_not_passed_over(registry):
    add_dataset_info('{"mine": {"dataset_id": "a/b"}}')
    add_dataset_info('{"mine": {"dataset_id": "a/b"}}')
    with pytest.raises(UsageError, match="already a data set called 'mine'"):
        add_dataset_info('{"mine": {"dataset_id": "a/c"}}')


@pytest.mark.parametrize(('entry', 'said'), [
    ({'dataset_path': 5}, "'dataset_path': 5; it takes text"),
    ({'dataset_path': 'd.jsonl', 'columns': ['a']}, "'columns': .*it takes an object of names"),
    ({'dataset_path': 'd.jsonl', 'columns': {'a': 'zzz'}}, '"columns" maps to \'zzz\', which no format has'),
    ({'dataset_path': 'd.jsonl', 'split': 5}, "'split': 5; it takes a name or a list of names"),
    ({'dataset_path': 'd.jsonl', 'tags': 'x'}, "'tags': \"x\"; it takes a list of names"),
    ({'dataset_path': 'd.jsonl', 'conversations': 'x'}, "'conversations': \"x\"; it takes an object"),
    ({'dataset_path': 'd.jsonl', 'subsets': [{'name': 'a', 'split': {}}]}, "a subset has 'split'"),
])
def test_a_wrong_value_in_dataset_info_is_named(registry, entry, said):
    with pytest.raises(UsageError, match=f"--custom_dataset_info: the entry 'i'.*{said}"):
        add_dataset_info(json.dumps({'i': entry}))


def test_a_path_in_dataset_info_that_is_not_there(registry, tmp_path):
    add_dataset_info(json.dumps({'i': {'dataset_path': str(tmp_path / 'gone.jsonl')}}))
    with pytest.raises(UsageError, match=r'--dataset i: the dataset_path .*gone\.jsonl: no such file or folder'):
        rows('i')
    with pytest.raises(UsageError, match="--custom_dataset_info: There is already a data set called 'i'"):
        add_dataset_info(json.dumps({'i': {'dataset_path': 'other.jsonl'}}))
    with pytest.raises(UsageError, match="--custom_dataset_info .* can't be read"):
        add_dataset_info(str(tmp_path))
