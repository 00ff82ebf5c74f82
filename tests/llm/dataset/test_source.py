from __future__ import annotations

import json

import pytest

from swift.llm.args.groups import DataArgs
from swift.llm.dataset import hub, source
from swift.llm.dataset.hub import HubAccess
from swift.llm.dataset.registry import DATASETS, DatasetEntry, Subset, add_dataset_info, find, import_plugins
from swift.llm.dataset.source import extend_registry, fill_identity, local_files, open_source
from swift.llm.model.hub import HUBS
from swift.utils.errors import RowError, SwiftError, UsageError
from swift.utils.registry import Registry

ROW = {'query': 'q', 'response': 'r'}


@pytest.fixture
def registry(monkeypatch):
    """A registry of the test's own, in every module that knows the real one."""
    own = Registry('data set')
    for module in ('registry', 'source'):
        monkeypatch.setattr(f'swift.llm.dataset.{module}.DATASETS', own)
    return own


def opened(text, **options):
    return open_source(str(text), columns={}, access=HubAccess(), **options)


def rows(found):
    return [found.build(*found.recognise(raw)) for _, raw in found.rows()]


def test_a_file(write_jsonl):
    path = write_jsonl([ROW] * 3)
    found = opened(f'{path}#2')
    assert (found.files, found.spec.count, found.label) == ((path,), 2, str(path))
    assert [raw.number for _, raw in found.rows()] == [1, 2, 3]


@pytest.mark.parametrize(('names', 'kept'), [
    (['train.jsonl', 'test.jsonl'], ['train.jsonl']),
    (['data/train-00000.csv', 'data/train-00001.csv', 'data/validation-00000.csv'],
     ['data/train-00000.csv', 'data/train-00001.csv']),
    (['b.jsonl', 'a.txt', 'dev.json', 'README.md', '.cache/x.jsonl', 'dataset_infos.json'], ['a.txt', 'b.jsonl']),
    (['contest.jsonl', 'latest.jsonl'], ['contest.jsonl', 'latest.jsonl']),
    (['test.jsonl'], ['test.jsonl']),
])
def test_files_of_a_folder(tmp_path, names, kept):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in local_files(tmp_path)] == kept


def test_a_folder_without_data(tmp_path):
    (tmp_path / 'x.md').touch()
    with pytest.raises(UsageError, match='no file to read rows from'):
        local_files(tmp_path)


@pytest.mark.parametrize('text', ['missing.jsonl', './missing', 'nonsense', 'a/b/c', 'dir/x.csv'])
def test_an_unknown_name_is_no_hub_id(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match='there is no file or folder'):
        opened(text)


def test_near_names_are_suggested(tmp_path, monkeypatch, write_jsonl):
    write_jsonl([ROW], 'train_rows.jsonl')
    with pytest.raises(UsageError, match=r'train_rows\.jsonl'):
        opened(tmp_path / 'train_row.jsonl')
    with pytest.raises(UsageError, match='alpaca-zh'):
        opened('alpaka-zh')


def test_content_decides_the_key(tmp_path, write_jsonl):
    path = write_jsonl([ROW])
    key = opened(path).content_key()
    assert opened(f'{path}#5').content_key() == key  # how many rows are used is no matter of reading them
    assert opened(write_jsonl([ROW], 'other_name.jsonl')).content_key() == key
    assert opened(write_jsonl([ROW, ROW], 'more.jsonl')).content_key() != key
    assert opened(write_jsonl([ROW], 'rows.txt')).content_key() != key
    assert open_source(str(path), columns={'query': 'response'}, access=HubAccess()).content_key() != key
    assert opened(path, answer_required=False).content_key() != key


def test_an_edited_conversion_has_another_key(tmp_path, registry, write_jsonl):
    path, keys = write_jsonl([ROW]), []
    for version in ('one', 'two'):
        plugin = tmp_path / f'{version}.py'
        plugin.write_text(f"from swift.llm.dataset.registry import DATASETS, DatasetEntry\n"
                          f"from pathlib import Path\n"
                          f"def convert(row):\n    return {{**row, 'response': '{version}'}}\n"
                          f"entry = DatasetEntry('mine', files={{'default': Path({str(path)!r})}}, convert=convert)\n"
                          f"DATASETS._entries['mine'] = entry\n")
        import_plugins([str(plugin)])
        found = opened('mine')
        keys.append(found.content_key())
        assert rows(found)[0]['messages'][1]['content'] == version
    assert keys[0] != keys[1]


def test_a_plugin_is_run_once(tmp_path, registry):
    plugin = tmp_path / 'mine.py'
    plugin.write_text("from swift.llm.dataset.registry import DATASETS, DatasetEntry\n"
                      "DATASETS.add(DatasetEntry('mine', hf_id='a/b'))\n")
    extend_registry(DataArgs(external_plugins=[str(plugin)]))
    extend_registry(DataArgs(external_plugins=[str(plugin)]))
    assert 'mine' in registry


def test_a_missing_plugin(tmp_path):
    with pytest.raises(UsageError, match='--external_plugins'):
        import_plugins([str(tmp_path / 'no.py')])


def test_dataset_info_by_name(tmp_path, registry, write_jsonl):
    write_jsonl([{'ask': 'q', 'reply': 'r'}], 'mine.jsonl')
    info = tmp_path / 'info.json'
    info.write_text(json.dumps({'mine': {'dataset_path': 'mine.jsonl',
                                         'columns': {'ask': 'query', 'reply': 'response'}},
                                'theirs': {'dataset_id': 'a/b', 'hf_dataset_id': 'c/d', 'subsets': ['x'],
                                           'split': ['test']}}))
    for _ in range(2):
        extend_registry(DataArgs(custom_dataset_info=str(info)))
    assert rows(opened('mine'))[0]['messages'][0]['content'] == 'q'
    assert (registry.get('theirs').hub_id('MS'), registry.get('theirs').hub_id('HF')) == ('a/b', 'c/d')
    assert (registry.get('theirs').subsets, registry.get('theirs').split) == (('x',), ('test',))


def test_dataset_info_as_a_list(registry):
    add_dataset_info(json.dumps([{'ms_dataset_id': 'a/b', 'tags': ['x']},
                                 {'hf_dataset_id': 'c/d', 'dataset_name': 'cd'}]))
    assert registry.names() == ['a/b', 'cd']


@pytest.mark.parametrize(('info', 'named'),
                         [('{', 'not valid JSON'), ('"x"', 'no such file'), ('[1]', 'list of objects'),
                                             ('{"a": {}}', 'neither dataset_path nor an id'),
                                             ('{"a": {"dataset_id": "x/y", "colums": {}}}', "'colums'")])
def test_wrong_dataset_info(registry, info, named):
    with pytest.raises(UsageError, match='--custom_dataset_info') as caught:
        add_dataset_info(info)
    assert named in str(caught.value)


def test_identity_in_both_languages():
    names, authors = ('小黄', 'Huang'), ('魔搭', 'ModelScope')
    row = {'query': '你是谁', 'response': '我是{{NAME}}，{{author}}的', 'tag': 'zh'}
    assert fill_identity(row, names, authors) == {'query': '你是谁', 'response': '我是小黄，魔搭的'}
    row = {'conversations': [{'from': 'gpt', 'value': 'I am {{name}} by {{AUTHOR}}.'}]}
    assert fill_identity(row, names, authors)['conversations'][0]['value'] == 'I am Huang by ModelScope.'


def test_self_cognition_needs_names():
    with pytest.raises(UsageError, match='needs --model_name and --model_author'):
        opened('self-cognition')
    with pytest.raises(UsageError, match='needs --model_author,'):
        opened('self-cognition', model_name=['a'])


def test_self_cognition_has_names_everywhere():
    found = opened('swift/self-cognition', model_name=['小黄', 'Huang'], model_author=['A'])
    texts = [turn['content'] for row in rows(found) for turn in row['messages']]
    assert len(texts) == 2 * 155
    assert not [text for text in texts if '{{' in text]
    assert any('小黄' in text for text in texts) and any('I am Huang' in text for text in texts)
    english = opened('self-cognition:en', model_name=['Huang'], model_author=['A'])
    assert sum(1 for _ in english.rows()) == 80
    with pytest.raises(UsageError, match="no subset 'fr'; it has default, zh, en"):
        opened('self-cognition:fr', model_name=['Huang'], model_author=['A'])
    assert english.content_key() != opened('self-cognition:en', model_name=['Other'], model_author=['A']).content_key()


def test_every_entry_of_the_catalog_is_sound():
    for entry in DATASETS:
        assert entry.ms_id or entry.hf_id or entry.files
        assert all(path.is_file() for path in entry.files.values())
        assert set(entry.columns.values()) <= set(source.convert.TARGETS)


def test_blossom_math_joins_solution_and_answer():
    found = DATASETS.get('blossom-math-zh').convert({'input': '1+1?', 'output': 'add', 'answer': '2', 'id': 1})
    assert found == {'query': '1+1?', 'response': 'add\n\nAnswer: 2'}


def test_an_entry_on_one_hub_only():
    with pytest.raises(UsageError, match='HF::only-hf'):
        DatasetEntry('only-hf', hf_id='a/b').hub_id('MS')
    with pytest.raises(UsageError, match='neither a hub id nor a file'):
        DatasetEntry('nothing')


@pytest.fixture
def no_sockets(monkeypatch):
    import socket
    opened_to = []

    def refuse(*where):
        opened_to.append(where)
        raise OSError('no network in this test')

    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', False)  # our own flag has to do it
    monkeypatch.setattr(socket.socket, 'connect', refuse)
    monkeypatch.setattr(socket, 'getaddrinfo', refuse)
    yield
    assert opened_to == []


@pytest.mark.parametrize('name', ['HF::owner/never-fetched', 'MS::owner/never-fetched'])
def test_offline_opens_no_socket(tmp_path, monkeypatch, no_sockets, name):
    monkeypatch.setenv('MODELSCOPE_CACHE', str(tmp_path))
    with pytest.raises(SwiftError, match='--offline true forbids'):
        open_source(name, columns={}, access=HubAccess(offline=True))


def test_a_fetched_data_set_is_read_from_its_folder(tmp_path, monkeypatch, no_sockets):
    import datasets
    monkeypatch.setattr(datasets.config, 'HF_DATASETS_CACHE', tmp_path / 'cache')
    repository = tmp_path / 'repository'
    (repository / 'en').mkdir(parents=True)
    (repository / 'en' / 'a.jsonl').write_text('{"question": "q1", "answer": "r1"}\n')
    (repository / 'en' / 'b.jsonl').write_text('{"question": "q2", "answer": "r2"}\n')
    (repository / 'README.md').write_text(
        '---\nconfigs:\n- config_name: en\n  data_files:\n  - split: train\n    path: en/a.jsonl\n'
        '  - split: test\n    path: en/b.jsonl\n---\n')
    asked = []
    monkeypatch.setattr(hub, 'fetch_once', lambda *args, **options: asked.append(args[:3]) or repository)
    found = opened('MS::owner/name:en')
    assert asked == [(HUBS['MS'], 'owner/name', 'dataset')]
    assert [turn['content'] for row in rows(found) for turn in row['messages']] == ['q1', 'r1']
    with pytest.raises(SwiftError, match="subset 'fr', split 'train' can't be read"):
        opened('MS::owner/name:fr')


def test_the_hub_is_chosen_by_prefix_flag_and_environment(monkeypatch):
    assert HubAccess().default == 'MS'
    assert HubAccess(use_hf=True).default == 'HF'
    monkeypatch.setenv('USE_HF', '1')
    assert HubAccess().default == 'HF'
    assert HubAccess(use_hf=False).default == 'MS'


def repository(tmp_path, monkeypatch, **configs):
    """A downloaded repository with one file a subset; what is asked of the hub is noted."""
    import datasets
    monkeypatch.setattr(datasets.config, 'HF_DATASETS_CACHE', tmp_path / 'cache')
    folder = tmp_path / 'repository'
    folder.mkdir()
    card = '---\nconfigs:\n'
    for name, rows_of in configs.items():
        (folder / f'{name}.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows_of))
        card += (f'- config_name: {name}\n  data_files:\n  - split: train\n    path: {name}.jsonl\n')
    (folder / 'README.md').write_text(card + '---\n')
    asked = []
    monkeypatch.setattr(hub, 'fetch_once', lambda *args, **options: asked.append((args[1], options)) or folder)
    return asked


def test_subsets_that_are_read_in_different_ways(tmp_path, monkeypatch, registry):
    registry.add(DatasetEntry('mine', 'a/b', columns={'x': 'query'}, ms_revision='v3', subsets=(
        'one', Subset('two', columns={'y': 'query'}), Subset('loud', 'one', convert=loud, weak=True),
        Subset('many', 'two', expand=twice, columns={'y': 'query'}, weak=True))))
    asked = repository(tmp_path, monkeypatch, one=[{'x': 'a', 'response': 'b'}], two=[{'y': 'c', 'response': 'd'}])

    def texts(spec):
        return [[turn['content'] for turn in row['messages']] for row in rows(opened(spec))]

    assert texts('mine') == texts('mine:all') == [['a', 'b'], ['c', 'd']]
    assert texts('mine:loud/two') == [['A', 'b'], ['c', 'd']]
    assert texts('mine:many') == [['c', 'd'], ['c', 'd again']]
    assert [raw.number for _, raw in opened('mine:many').rows()] == [1, 1]
    assert asked[0][1]['revision'] == 'v3'
    keys = {spec: opened(spec).content_key() for spec in ('mine', 'mine:loud/two', 'mine:many', 'mine:two')}
    assert len(set(keys.values())) == 4
    with pytest.raises(UsageError, match=r"--dataset mine:thre: .* no subset 'thre'; it has one, two, loud, many"):
        opened('mine:thre')


def loud(row):
    return {**row, 'query': row['query'].upper()}


def twice(row):
    return [row, {**row, 'response': f'{row["response"]} again'}]


def test_a_row_without_the_columns_of_its_data_set_is_one_bad_row(tmp_path, monkeypatch, registry):
    registry.add(DatasetEntry('mine', 'a/b', convert=loud))
    repository(tmp_path, monkeypatch, default=[{'ask': 'a', 'response': 'b'}])
    found = opened('mine')
    with pytest.raises(RowError, match="the row has no 'query', which rows of mine should have"):
        found.recognise(next(found.rows())[1])


def test_copies_of_a_known_data_set(tmp_path, monkeypatch, registry):
    registry.add(DatasetEntry('mine', 'a/rows-of-mine', columns={'x': 'query'}))
    asked = repository(tmp_path, monkeypatch, default=[{'x': 'a', 'response': 'b'}])
    for spec, name in (('MS::elsewhere/rows-of-mine', 'elsewhere/rows-of-mine'), ('Rows-Of-Mine', 'a/rows-of-mine'),
                       ('A/ROWS-of-mine', 'a/rows-of-mine')):
        assert rows(opened(spec))[0]['messages'][0]['content'] == 'a'
        assert asked[-1][0] == name
    folder = tmp_path / 'x' / 'rows-of-mine'
    folder.mkdir(parents=True)
    (folder / 'data.jsonl').write_text('{"x": "c", "response": "d"}\n')
    assert rows(opened(folder))[0]['messages'][0]['content'] == 'c'
    assert len(asked) == 3  # a folder is read where it is


def test_a_copy_of_rows_with_placeholders_is_filled_too(tmp_path):
    folder = tmp_path / 'self-cognition'
    folder.mkdir()
    (folder / 'rows.jsonl').write_text('{"query": "q", "response": "I am {{NAME}} by {{AUTHOR}}", "tag": "en"}\n')
    with pytest.raises(UsageError, match='needs --model_name and --model_author'):
        opened(folder)
    row, = rows(opened(folder, model_name=['A'], model_author=['B']))
    assert row['messages'][-1]['content'] == 'I am A by B'


def test_a_repository_called_like_a_data_set_in_the_package_is_fetched(tmp_path, monkeypatch):
    asked = repository(tmp_path, monkeypatch, default=[ROW])
    opened('someone/self-cognition', model_name=['A'], model_author=['B'])
    assert [name for name, _ in asked] == ['someone/self-cognition']


@pytest.mark.parametrize(('text', 'said'), [
    ('missing.jsonl', r'--val_dataset missing\.jsonl: there is no file'), ('a.jsonl#x', '--val_dataset a.jsonl#x:'),
    ('XX::a/b', '--val_dataset XX::a/b: unknown hub'), ('', '--val_dataset got an empty word'),
    ('https://x.y/z.jsonl', r"--val_dataset https://x\.y/z\.jsonl is an address, which isn't fetched")])
def test_errors_name_the_flag_that_was_used(text, said):
    with pytest.raises(UsageError, match=said):
        opened(text, flag='--val_dataset')


def test_near_names_of_ids():
    with pytest.raises(UsageError, match=r'no data set of that name\. Did you mean .*alpaca-gpt4-data-zh'):
        opened('alpaca-gpt4-dat-zh')


def test_the_prefix_decides_between_ids_of_both_hubs(registry):
    registry.add(DatasetEntry('one', 'owner/x', 'other/y'))
    registry.add(DatasetEntry('two', 'other/y', 'third/z'))
    assert find('other/y', 'MS').entry.name == 'two'
    assert find('other/y', 'HF').entry.name == 'one'


def test_files_of_toolalpaca_train_as_they_are(write_jsonl):
    api = {'Name': 'x', 'Function_Description': {'f': 'Finds. Parameters: {}', 'components': ''},
           'Instances': [{'input': f'q{i}', 'output': f'r{i}', 'intermediate_steps': []} for i in range(2)]}
    found = opened(write_jsonl([api, {'Function_Description': {}}]))
    raw = [row for _, row in found.rows()]
    assert [row.number for row in raw] == [1, 1, 2] and 'lacks what this data set is made of' in raw[2].error
    built = found.build(*found.recognise(raw[1]))
    assert [turn['content'] for turn in built['messages']] == ['q1', 'r1']
    assert built['tools'][0]['function']['name'] == 'f'
