"""Both hubs against a server on loopback that speaks the little of their REST APIs that the libraries use."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from swift.llm.dataset.hub import HubAccess, files_by_name
from swift.llm.dataset.source import open_source
from swift.llm.model import hub
from swift.llm.model.hub import HuggingFace, ModelScope
from swift.utils.errors import SwiftError

ROWS = [{'question': f'q{i}', 'answer': f'r{i}' * 2000} for i in range(200)]
DATA = ''.join(json.dumps(row) + '\n' for row in ROWS).encode()
CARD = b'---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: train.jsonl\n---\n'
FILES = {('dataset', 'owner/rows'): {'README.md': CARD, 'train.jsonl': DATA, 'run.py': b'raise SystemExit(1)\n'},
         ('dataset', 'owner/loose'): {'common_en.jsonl': b'{"query": "q", "response": "r"}\n{"messages": 7}\n',
                                      'test/common-zh.jsonl': b'{"query": "q2", "response": "r2"}\n',
                                      'common-zh.jsonl': b'{"query": "q1", "response": "r1"}\n',
                                      'config.yaml': b'a: 1\n'},
         ('model', 'owner/tiny'): {'config.json': b'{"model_type": "llama"}\n', 'modeling.py': b'1/0\n',
                                   'weights.bin': b'pickle'}}
NUMBERED = [repo for kind, repo in FILES if kind == 'dataset']  # ModelScope's own ids
SHA = {'main': 'a' * 40, 'master': 'a' * 40, 'v1': 'b' * 40}


class Server(ThreadingHTTPServer):
    """Serves ``FILES``; ``asked`` lists (method, path, Range, token). ``break_at`` cuts the next longer body."""

    daemon_threads = True

    def __init__(self):
        super().__init__(('127.0.0.1', 0), Handler)
        self.asked: list[tuple[str, str, str | None, str | None]] = []
        self.break_at: int | None = None
        self.breaks = 0

    @property
    def url(self):
        return f'http://127.0.0.1:{self.server_port}'

    def bodies(self, name):
        """The Range of every request for the body of a file."""
        return [asked[2] for asked in self.asked if asked[0] == 'GET' and name in unquote(asked[1])
                and ('resolve' in asked[1] or 'FilePath' in asked[1])]


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body):
        token = self.headers.get('Authorization') or self.headers.get('Cookie')
        self.server.asked.append((self.command, self.path, self.headers.get('Range'), token))
        url = urlsplit(self.path)
        path, query = unquote(url.path), {key: values[0] for key, values in parse_qs(url.query).items()}
        if match := re.fullmatch(r'/api/(model|dataset)s/([\w-]+/[\w-]+)(?:/revision/(\w+))?', path):
            kind, repo, revision = match.groups()
            return self.json(self.hf_info(kind, repo, revision or 'main'), body)
        if match := re.fullmatch(r'/api/(model|dataset)s/([\w-]+/[\w-]+)/tree/(\w+)/?', path):
            files = FILES[match[1], match[2]]
            return self.json([{'type': 'file', 'path': name, 'size': len(data), 'oid': blob(data)}
                              for name, data in files.items()], body)
        if match := re.fullmatch(r'/(datasets/)?([\w-]+/[\w-]+)/resolve/(\w+)/(.+)', path):
            kind = 'dataset' if match[1] else 'model'
            return self.file(FILES[kind, match[2]].get(match[4]), SHA.get(match[3], match[3]), body)
        if match := re.fullmatch(r'/api/v1/(model|dataset)s/([\w-]+/[\w-]+)/repo/(?:files|tree)', path):
            files = FILES[match[1], match[2]] if int(query.get('PageNumber', 1)) == 1 else {}
            return self.json(modelscope_listing(files), body)
        if (match := re.fullmatch(r'/api/v1/datasets/([\w-]+/[\w-]+)', path)) and match[1] in NUMBERED:
            info = {'Id': NUMBERED.index(match[1]), 'Type': 1}
            return self.json({'Code': 200, 'Success': True, 'Data': info}, body)
        if match := re.fullmatch(r'/api/v1/datasets/(\d+)/repo/tree', path):
            return self.json(modelscope_listing(FILES['dataset', NUMBERED[int(match[1])]]), body)
        if match := re.fullmatch(r'/api/v1/(model|dataset)s/([\w-]+/[\w-]+)/repo', path):
            return self.file(FILES[match[1], match[2]].get(query['FilePath']), SHA[query['Revision']], body)
        return self.json({'error': 'not found', 'Code': 404, 'Success': False, 'Message': 'not found'}, body, 404)

    def hf_info(self, kind, repo, revision):
        return {'_id': '1', 'id': repo, 'sha': SHA.get(revision, revision), 'private': False, 'tags': [],
                'siblings': [{'rfilename': name} for name in FILES[kind, repo]]}

    def json(self, value, body, status=200):
        self.send(json.dumps(value).encode(), status, {'Content-Type': 'application/json'}, body)

    def file(self, data, commit, body):
        if data is None:
            return self.json({'error': 'no such file'}, body, 404)
        headers = {'ETag': f'"{hashlib.sha256(data).hexdigest()}"', 'X-Repo-Commit': commit, 'Accept-Ranges': 'bytes',
                   'X-Linked-Size': str(len(data)), 'Content-Type': 'application/octet-stream'}
        status, total = 200, len(data)
        if (asked := self.headers.get('Range')) and body:
            start, end = re.fullmatch(r'bytes=(\d+)-(\d*)', asked).groups()
            end = int(end or total - 1)
            status, data = 206, data[int(start):end + 1]
            headers['Content-Range'] = f'bytes {start}-{end}/{total}'
        return self.send(data, status, headers, body)

    def send(self, data, status, headers, body):
        self.send_response(status)
        for name, value in {**headers, 'Content-Length': str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if not body:
            return
        if self.server.break_at is not None and len(data) > self.server.break_at:
            self.wfile.write(data[:self.server.break_at])
            self.wfile.flush()
            self.server.break_at = None
            self.server.breaks += 1
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self.wfile.write(data)


def blob(data):
    return hashlib.sha1(data).hexdigest()


def modelscope_listing(files):
    listed = [{'Path': name, 'Name': name, 'Type': 'blob', 'Size': len(data), 'Revision': 'a' * 40,
               'Sha256': hashlib.sha256(data).hexdigest()} for name, data in files.items()]
    return {'Code': 200, 'Success': True, 'Message': '', 'TotalCount': len(listed),
            'Data': {'Files': listed, 'TotalCount': len(listed), 'LatestCommitter': None}}


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(params=['HF', 'MS'])
def fake(request, server, monkeypatch, tmp_path):
    """(key, hub) of one of the hubs, with caches of the test's own."""
    if request.param == 'MS':
        pytest.importorskip('modelscope')
    import datasets
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', False)
    monkeypatch.setattr('huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE', 1 << 16)  # what is kept of a broken body
    monkeypatch.setattr(datasets.config, 'HF_DATASETS_CACHE', tmp_path / 'arrow')
    made = {'HF': HuggingFace, 'MS': ModelScope}[request.param](server.url, tmp_path / 'hub')
    monkeypatch.setitem(hub.HUBS, request.param, made)
    return request.param, made


@pytest.fixture
def closed(monkeypatch):
    """No socket can be opened from now on: ``closed()``."""
    def close():
        def refuse(*where):
            raise AssertionError(f'a socket was opened to {where}')

        monkeypatch.setattr(socket.socket, 'connect', refuse)
        monkeypatch.setattr(socket, 'getaddrinfo', refuse)

    return close


def opened(key, **access):
    found = open_source(f'{key}::owner/rows', columns={}, access=HubAccess(**access))
    return [found.build(*found.recognise(raw)) for _, raw in found.rows()]


def test_a_data_set_is_fetched_and_read_and_then_read_offline(fake, server, closed):
    key, _ = fake
    rows = opened(key)
    assert [row['messages'][0]['content'] for row in rows] == [row['question'] for row in ROWS]
    assert server.bodies('train.jsonl') and not server.bodies('run.py')
    fetched = len(server.asked)
    closed()
    assert opened(key, offline=True) == rows
    assert len(server.asked) == fetched


def test_what_was_never_fetched_is_an_error_offline(fake, closed):
    key, made = fake
    closed()
    with pytest.raises(SwiftError, match=f'{key}::owner/rows is not on this machine and --offline true forbids'):
        opened(key, offline=True)


def test_files_are_listed(fake):
    _, made = fake
    assert made.files('owner/rows', 'dataset') == ['README.md', 'run.py', 'train.jsonl']
    assert made.files('owner/tiny', 'model') == ['config.json', 'modeling.py', 'weights.bin']


def test_a_broken_download_goes_on_where_it_stopped(fake, server, tmp_path):
    _, made = fake
    server.break_at = 300_000
    arguments = ('owner/rows', 'dataset', ['*.jsonl'])
    try:
        folder = made.fetch(*arguments)
    except Exception:  # the library gave up: the next run goes on
        folder = made.fetch(*arguments)
    assert server.breaks == 1
    assert (folder / 'train.jsonl').read_bytes() == DATA
    started = [int(asked.split('=')[1].split('-')[0]) if asked else 0 for asked in server.bodies('train.jsonl')]
    assert started[0] == 0 and 0 < started[-1] <= 300_000


def test_revision_token_and_cache_folder(fake, server, tmp_path):
    key, made = fake
    folder = made.fetch('owner/rows', 'dataset', ['*.jsonl'], revision='v1', token='hf_secret')
    assert folder.is_relative_to(tmp_path / 'hub')
    files = [asked for asked in server.asked if 'train.jsonl' in unquote(asked[1])]
    assert all('v1' in asked[1] or SHA['v1'] in asked[1] for asked in files)
    assert all('hf_secret' in (asked[3] or '') for asked in files)


def test_a_model_comes_without_code_and_pickles(fake, server):
    key, _ = fake
    folder = hub.download('owner/tiny', use_hf=key == 'HF')
    assert [path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith('.')] == [
        'config.json']
    assert not server.bodies('modeling.py') and not server.bodies('weights.bin')
    with_code = hub.download('owner/tiny', use_hf=key == 'HF', with_code=True)
    assert (with_code / 'modeling.py').is_file()


def test_a_token_of_one_hub_is_not_sent_to_the_other(fake, server, monkeypatch):
    key, _ = fake
    other = {'HF': 'MODELSCOPE_API_TOKEN', 'MS': 'HF_TOKEN'}[key]
    monkeypatch.setenv(other, 'others-secret')
    opened(key)
    assert not [asked for asked in server.asked if 'others-secret' in (asked[3] or '')]


def test_a_repository_that_does_not_say_what_its_files_are(fake):
    key, _ = fake

    def numbers(spec):
        found = open_source(f'{key}::owner/loose{spec}', columns={}, access=HubAccess())
        return [raw.value.get('query') for _, raw in found.rows()]

    assert numbers(':common-zh') == ['q1']
    assert numbers(':common-en') == ['q', None]  # rows of different columns stay rows, to be judged one by one
    with pytest.raises(SwiftError, match="subset 'common-fr', split 'train' can't be read"):
        numbers(':common-fr')


@pytest.mark.parametrize(('subset', 'split', 'files'), [
    ('default', 'train', 'a.jsonl en/train.jsonl x_train.csv'), ('en', 'train', 'en/train.jsonl'),
    ('en', 'test', 'en/test-1.jsonl'), ('default', 'validation', 'dev.jsonl'), ('zh', 'train', ''),
    ('X-Train', 'train', 'x_train.csv'), ('default', 'train_sft', ''),
])
def test_files_by_name(tmp_path, subset, split, files):
    for name in ('a.jsonl', 'en/train.jsonl', 'en/test-1.jsonl', 'x_train.csv', 'dev.jsonl', 'dataset_infos.json',
                 '.cache/b.jsonl', 'notes.md'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert ' '.join(str(path.relative_to(tmp_path)) for path in files_by_name(tmp_path, subset, split)) == files


def test_a_hub_that_has_no_such_data_set(fake):
    key, made = fake
    other = {'HF': 'MS', 'MS': 'HF'}[key]
    with pytest.raises(SwiftError, match=f'{key}::owner/nothing could not be fetched from {made.title}.*{other}::'):
        open_source(f'{key}::owner/nothing', columns={}, access=HubAccess())


