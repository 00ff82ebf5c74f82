from __future__ import annotations

import pytest

from swift.utils import files
from swift.utils.errors import SwiftError


def _folder(path, text='x'):
    with files.new_folder(path) as temporary:
        (temporary / 'sub').mkdir()
        (temporary / 'sub' / 'a.txt').write_text(text)
        files.write_manifest(temporary)


def _names(path):
    return sorted(p.name for p in path.iterdir())


def test_json_comes_back_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / 'a.json'
    files.write_json(path, {'名': [1, None]})
    files.write_json(path, {'名': [2, None]})
    assert files.read_json(path) == {'名': [2, None]} and _names(tmp_path) == ['a.json']
    assert '名' in path.read_text(encoding='utf-8')


def test_a_value_that_is_no_json_leaves_the_old_file(tmp_path):
    path = tmp_path / 'a.json'
    files.write_json(path, 1)
    with pytest.raises(TypeError):
        files.write_json(path, {'x': object()})
    assert files.read_json(path) == 1


@pytest.mark.parametrize('content, text', [
    (None, 'No such file'), ('{', 'not valid JSON'), (b'\xff', 'not valid JSON')])
def test_unreadable_json_names_the_file(tmp_path, content, text):
    path = tmp_path / 'a.json'
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SwiftError, match=text) as caught:
        files.read_json(path)
    assert str(path) in str(caught.value)


def test_a_folder_is_whole_or_not_there(tmp_path):
    target = tmp_path / 'deep' / 'target'
    _folder(target)
    assert files.verify_manifest(target) is None
    with pytest.raises(RuntimeError), files.new_folder(target) as temporary:
        (temporary / 'half').touch()
        raise RuntimeError
    assert files.verify_manifest(target) is None and _names(tmp_path / 'deep') == ['target']


def test_a_new_folder_replaces_the_old_one(tmp_path):
    _folder(tmp_path / 't', 'old')
    _folder(tmp_path / 't', 'new')
    assert (tmp_path / 't' / 'sub' / 'a.txt').read_text() == 'new' and _names(tmp_path) == ['t']


@pytest.mark.parametrize('harm, text', [
    (lambda f: (f / 'sub' / 'a.txt').write_text('y'), 'hash'),
    (lambda f: (f / 'sub' / 'a.txt').write_text('longer'), 'bytes'),
    (lambda f: (f / 'sub' / 'a.txt').unlink(), 'missing'),
    (lambda f: (f / files.MANIFEST).unlink(), 'never finished'),
    (lambda f: (f / files.MANIFEST).write_text('{'), 'unreadable'),
    (lambda f: (f / files.MANIFEST).write_text('[]'), 'unreadable'),
    (lambda f: (f / files.MANIFEST).write_text('{"files": [1]}'), 'unreadable'),
    (lambda f: (f / files.MANIFEST).write_text('{"files": {"sub/a.txt": 3}}'), 'unreadable'),
    (lambda f: (f / files.MANIFEST).write_text('{"files": {}}'), 'lists no files')])
def test_harm_to_a_folder_is_noticed(tmp_path, harm, text):
    _folder(tmp_path / 't')
    harm(tmp_path / 't')
    assert text in files.verify_manifest(tmp_path / 't')


def test_leftovers_go_and_a_folder_moved_aside_comes_back(tmp_path):
    _folder(tmp_path / 'kept')
    _folder(tmp_path / 'lost')
    (tmp_path / '.tmp-kept-1234').mkdir()
    (tmp_path / '.tmp-a.json-1234').touch()
    (tmp_path / 'lost').rename(tmp_path / '.tmp-lost-old-1234')  # killed between the two renames
    files.remove_leftovers(tmp_path)
    assert _names(tmp_path) == ['kept', 'lost'] and files.verify_manifest(tmp_path / 'lost') is None


def test_hashes_keep_parts_apart():
    assert files.sha256_text('ab', 'c') != files.sha256_text('a', 'bc')
    assert files.sha256_text('\ud800') == files.sha256_text('\ud800')
