from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from swift.llm.pipelines.data import data_main
from swift.utils.errors import SwiftError, UsageError

ROOT = Path(__file__).parents[3]
TOKENIZER = str(ROOT / 'tests' / 'data' / 'tokenizers' / 'smollm2')
EXAMPLES = ROOT / 'examples' / 'data'


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / 'rows.jsonl'
    lines = [{'query': 'What is red?', 'response': 'A color.'}, {'query': 'And two?', 'response': ''},
             {'query': 'Long?', 'response': 'word ' * 300}]
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines))
    return path


def test_preview_shows_trained_tokens(rows, capsys):
    assert data_main(['preview', str(rows), '--model', TOKENIZER, '-n', '2']) == 0
    out = capsys.readouterr().out
    assert f'{rows}, row 1, read as query/response' in out
    trained = [line for line in out.splitlines() if line.startswith('trained')]
    assert 'color' in trained[0] and '<|im_end|>' in trained[1] and len(trained) == 2
    assert "row 2: can't be used: an empty response" in out
    assert 'Long' not in out
    assert '\033' not in out  # no colour codes in a pipe


def test_preview_without_a_model_shows_turns(rows, capsys):
    assert data_main(['preview', str(rows), '-n', '1']) == 0
    assert '  user      What is red?\n  assistant A color.' in capsys.readouterr().out


def test_check_counts_and_fails(rows, capsys):
    assert data_main(['check', str(rows)]) == 1
    out = capsys.readouterr().out
    assert "3 rows, read as query/response, 2 ok, 1 can't be used" in out
    assert 'an empty response' in out and 'row 2: {"query": "And two?"' in out
    assert 'characters a row' in out and 'shortest 20,' in out


def test_check_in_tokens(rows, capsys):
    assert data_main(['check', str(rows), '--model', TOKENIZER, '--max-length', '100']) == 1
    out = capsys.readouterr().out
    assert "1 ok, 2 can't be used" in out and 'over --max_length 100' in out and 'tokens a row' in out


def test_check_of_unknown_columns_lists_the_formats(tmp_path, capsys):
    path = tmp_path / 'a.jsonl'
    path.write_text('{"foo": 1}\n')
    assert data_main(['check', str(path)]) == 1
    out = capsys.readouterr().out
    assert 'no format has the columns foo' in out and '"conversations"' in out
    assert data_main(['check', str(path), '--columns', '{"foo": "text"}']) == 0


def test_check_of_an_empty_file_fails(tmp_path):
    (tmp_path / 'a.jsonl').touch()
    assert data_main(['check', str(tmp_path / 'a.jsonl')]) == 1


def test_the_example_rows_are_all_usable(capsys):
    files = sorted(map(str, EXAMPLES.glob('*.jsonl')))
    assert len(files) == 5
    assert data_main(['check', *files]) == 0
    assert data_main(['check', 'self-cognition', '--model_name', 'A', '--model_author', 'B']) == 0
    assert capsys.readouterr().out.count("0 can't be used") == 6
    assert sum(path.stat().st_size for path in EXAMPLES.iterdir()) < 300_000


@pytest.mark.parametrize(('argv', 'named'), [
    (['check'], 'FILE'), (['chekc', 'x'], "'chekc'"), (['check', 'x', '--modle', 'y'], "'--model'"), ([], 'command'),
    (['preview', 'x', '-n', 'many'], "'many'"), (['check', 'missing.jsonl'], 'missing.jsonl'),
])
def test_wrong_words(argv, named):
    with pytest.raises(UsageError) as caught:
        data_main(argv)
    assert named in str(caught.value)


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / 'a.json').write_text('[{"query": "q", "response": "r"},\n{"query": }' + ' ' * 40 + ']')
    with pytest.raises(SwiftError, match=r'a\.json:2: broken JSON in row 2'):
        data_main(['check', str(tmp_path / 'a.json')])


def test_checking_needs_no_torch(rows):
    code = ('import sys; from swift.llm.pipelines.data import data_main; '
            f'data_main(["check", {str(rows)!r}]); '
            'print([m for m in ("torch", "transformers", "datasets") if m in sys.modules])')
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == '[]'
