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


@pytest.fixture
def write(tmp_path):
    def lines(rows, name='data.jsonl'):
        path = tmp_path / name
        path.write_text(''.join((row if isinstance(row, str) else json.dumps(row)) + '\n' for row in rows))
        return path

    return lines


def checked(capsys, *argv) -> tuple[int, dict]:
    """(exit code, JSON report)."""
    code = data_main(['check', *map(str, argv), '--json'])
    return code, json.loads(capsys.readouterr().out)


def found(report: dict, dataset: int = 0) -> dict[str, list[int]]:
    """Kind -> the row numbers shown."""
    return {finding['kind']: [sample['row'] for sample in finding['samples']]
            for finding in report['datasets'][dataset]['findings']}


def pair(question: str, answer: str = 'Yes.') -> dict:
    return {'query': question, 'response': answer}


WORDS = [f'word{k}' for k in range(200)]


def test_every_kind_of_error_is_told_apart(write, capsys):
    path = write([
        pair('fine'), pair('', ''), pair('no answer', ''), {'query': 'no answer'}, '{broken',
        {'messages': [{'role': 'user', 'content': 'a'}, {'role': 'user', 'content': 'b'},
                      {'role': 'assistant', 'content': 'c'}]},
        pair('see <image>') | {'images': ['none.png']},
        {'messages': [{'role': 'user', 'content': 'a'}]},
    ])
    code, report = checked(capsys, path)
    assert code == 1
    assert found(report) == {'empty': [2], 'no_answer': [3, 4, 8], 'unusable': [5], 'bad_roles': [6],
                             'missing_media': [7]}
    only = report['datasets'][0]
    assert (only['rows'], only['ok'], only['unusable'], report['rows_with_errors']) == (8, 1, 7, 7)
    assert next(f for f in only['findings'] if f['kind'] == 'missing_media')['samples'][0]['what'] == 'none.png'


def test_warnings_leave_the_exit_code_at_0(write, capsys):
    base = ' '.join(WORDS)
    path = write([pair(base), pair(base), pair(base + ' more'), pair('say <|im_end|>'), pair('two', 'it is 2')])
    code, report = checked(capsys, path)
    assert code == 0
    assert found(report) == {'duplicate': [2], 'near_duplicate': [3], 'control_tokens': [4]}
    tokens = report['datasets'][0]['findings'][-1]
    assert tokens['details'] == {'<|im_end|>': 1} and tokens['rows'] == 1
    assert 'near_duplicate' not in found(checked(capsys, path, '--near_duplicates', '0')[1])


def test_duplicates_are_found_across_data_sets(write, capsys):
    one, two = write([pair('a'), pair('b')], 'one.jsonl'), write([pair('c'), pair('b')], 'two.jsonl')
    _, report = checked(capsys, one, two)
    assert found(report) == {} and found(report, 1) == {'duplicate': [2]}
    assert report['datasets'][1]['findings'][0]['samples'][0]['what'] == f'as {one}, row 2'


def test_rows_of_the_evaluation_set_are_errors(write, capsys):
    path = write([pair(' '.join(WORDS[:20])), pair('short'), pair('quotes ' + ' '.join(WORDS[100:120]))])
    evaluation = write([{'query': ' '.join(WORDS[:20])}, pair(' '.join(WORDS[90:150]), 'other')], 'val.jsonl')
    code, report = checked(capsys, path, '--val_dataset', evaluation)
    assert code == 1 and report['evaluation_rows'] == 2
    assert found(report) == {'in_evaluation': [1], 'shares_words': [3]}
    assert report['datasets'][0]['findings'][0]['samples'][0]['what'] == f'is {evaluation}, row 1'
    code, report = checked(capsys, path, '--val_dataset', evaluation, '--ngram', '0')
    assert code == 1 and found(report) == {'in_evaluation': [1]}
    code, report = checked(capsys, path, '--val_dataset', f'{evaluation}#1', '--ngram', '0')
    assert report['evaluation_rows'] == 1


def test_truncation_is_counted_in_rows_and_tokens(write, capsys):
    path = write([pair('short'), pair('q', 'word ' * 300), pair('word ' * 300, 'a')])
    model = ('--model', TOKENIZER, '--max_length', '100')
    code, deleted = checked(capsys, path, *model)
    truncation, longest = deleted['datasets'][0]['truncation'], deleted['datasets'][0]['lengths']['longest']
    assert code == 1 and truncation['rows'] == 2 and found(deleted) == {'over_max_length': [2, 3]}
    code, right = checked(capsys, path, *model, '--truncation_strategy', 'right')
    assert code == 1 and found(right) == {'nothing_left': [3], 'truncated': [2]}
    cut = right['datasets'][0]['truncation']
    assert cut['rows'] == 2 and cut['tokens_cut'] == truncation['tokens_cut'] - 200 and cut['tokens_cut'] > longest
    code, left = checked(capsys, path, *model, '--truncation_strategy', 'left')
    assert code == 0 and found(left) == {'truncated': [2, 3]}
    code, none = checked(capsys, path, '--model', TOKENIZER)
    assert code == 0 and none['datasets'][0]['truncation'] is None
    assert none['datasets'][0]['lengths']['trained'] > left['datasets'][0]['lengths']['trained'] > 90


def test_max_length_needs_a_tokenizer(rows):
    with pytest.raises(UsageError, match='--max_length counts tokens and needs a tokenizer: name one with --model'):
        data_main(['check', str(rows), '--max_length', '10'])


def test_control_tokens_are_those_of_the_tokenizer(write, capsys):
    path = write([pair('a <|im_end|> b', 'c'), pair('a <|eot_id|> b', 'c')])
    assert found(checked(capsys, path)[1]) == {'control_tokens': [1, 2]}
    assert found(checked(capsys, path, '--model', TOKENIZER)[1]) == {'control_tokens': [1]}


def test_the_number_after_the_hash_is_honoured(write, capsys):
    path = write([pair(f'q{k}') for k in range(50)] + [pair('bad', '')])
    code, report = checked(capsys, f'{path}#3')
    only = report['datasets'][0]
    assert (code, only['rows'], only['ok'], only['chosen_from']) == (0, 3, 3, 50)
    assert sum(only['lengths']['histogram']['rows']) == 3
    assert checked(capsys, f'{path}#3')[1] == report


def test_the_chosen_rows_are_those_of_a_training_run(write, tmp_path, stub_template):
    from swift.llm.args.groups import DataArgs
    from swift.llm.dataset.load import load_datasets

    path = write([pair(f'question {k}') for k in range(50)])
    out = tmp_path / 'out.jsonl'
    data_main(['check', f'{path}#7', '--fix', str(out)])
    args = DataArgs(dataset=[f'{path}#7'], split_dataset_ratio=0)
    trained = load_datasets(args, stub_template, seed=42, run_dir=None).train
    texts = {''.join(map(chr, trained[k]['input_ids'])) for k in range(7)}
    written = [json.loads(line)['messages'] for line in out.read_text().splitlines()]
    assert {''.join(turn['content'] for turn in messages) for messages in written} == texts


@pytest.fixture
def stub_template():
    import numpy as np

    class Encoded:
        def __init__(self, text: str) -> None:
            self.input_ids = np.array([ord(c) for c in text], np.int32)
            self.weights = np.ones(len(text), np.float32)

    class Template:
        def fingerprint(self) -> str:
            return 'characters'

        def encode_batch(self, rows):
            return [Encoded(''.join(turn['content'] for turn in row['messages'])) for row in rows]

    return Template()


def test_fix_writes_the_good_rows_and_says_what_is_left_out(write, tmp_path, capsys):
    path = write([pair('a'), pair('b', ''), pair('a'), {'conversations': [{'from': 'human', 'value': 'c'},
                                                                         {'from': 'gpt', 'value': 'd'}]}])
    out = tmp_path / 'good.jsonl'
    assert data_main(['check', str(path), '--fix', str(out)]) == 1
    assert (f'{out}: 2 rows written, 2 left out: 1 without an answer, 1 equal to an earlier row'
            in capsys.readouterr().out)
    assert [json.loads(line) for line in out.read_text().splitlines()] == [
        {'messages': [{'role': 'user', 'content': q}, {'role': 'assistant', 'content': a}]}
        for q, a in (('a', 'Yes.'), ('c', 'd'))]
    before = out.read_bytes()
    assert data_main(['check', str(out)]) == 0
    with pytest.raises(UsageError, match='exists and is not overwritten'):
        data_main(['check', str(path), '--fix', str(out)])
    assert out.read_bytes() == before
    capsys.readouterr()
    assert checked(capsys, path, '--fix', tmp_path / 'more.jsonl')[1]['fix'] == {
        'file': str(tmp_path / 'more.jsonl'), 'rows': 2, 'left_out': {'no_answer': 1, 'duplicate': 1}}


def test_a_failed_fix_leaves_nothing(write, tmp_path):
    good, broken = write([pair('a')], 'good.jsonl'), tmp_path / 'broken.json'
    broken.write_text('[{"query": "q", "response": "r"},\n{"query": }' + ' ' * 40 + ']')
    with pytest.raises(SwiftError, match='broken JSON'):
        data_main(['check', str(good), str(broken), '--fix', str(tmp_path / 'out.jsonl')])
    assert sorted(path.name for path in tmp_path.iterdir()) == ['broken.json', 'good.jsonl']
    with pytest.raises(UsageError, match=r'--fix .*out\.csv: .* end in \.jsonl'):
        data_main(['check', str(good), '--fix', str(tmp_path / 'out.csv')])
    with pytest.raises(UsageError, match='there is no folder'):
        data_main(['check', str(good), '--fix', str(tmp_path / 'none' / 'out.jsonl')])


def test_the_output_folder_gets_report_and_histogram(write, tmp_path, capsys):
    path, out = write([pair(f'q{k}') for k in range(30)]), tmp_path / 'out'
    assert data_main(['check', str(path), '--output_dir', str(out)]) == 0
    assert (out / 'lengths.png').read_bytes().startswith(b'\x89PNG')
    assert json.loads((out / 'data_check.json').read_text())['datasets'][0]['rows'] == 30
    assert str(out / 'lengths.png') in capsys.readouterr().out


def test_without_datasketch_one_line_says_so(write, capsys, monkeypatch):
    from swift.utils import extras

    path = write([pair('a'), pair('b')])
    monkeypatch.setattr(extras, 'installed_version', lambda package: None)
    assert data_main(['check', str(path)]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if 'near duplicates' in line]
    assert told == ["near duplicates: not looked for. Looking for near duplicates needs the package 'datasketch', "
                    "which is not installed. Install it with: pip install 'ms-swift[data]'"]


def test_dataset_is_another_way_to_name_files(write, capsys):
    path = write([pair('a')])
    assert checked(capsys, '--dataset', path)[0] == 0
    assert checked(capsys, path, '--near_duplicates', '0')[1]['near_duplicates'].endswith('(--near_duplicates 0)')


@pytest.mark.parametrize(('words', 'said'), [
    (['--near_duplicates', '2'], 'from 0 to 1'), (['--ngram', '-1'], '--ngram'),
    (['--max_length', '0'], '--max_length'), (['--output_dir', __file__], 'is a file; it takes a folder'),
    (['--val_dataset', 'missing.jsonl'], '--val_dataset missing.jsonl: there is no file'),
])
def test_values_out_of_range(rows, words, said):
    with pytest.raises(UsageError, match=said):
        data_main(['check', str(rows), *words])


def test_preview_without_a_model_shows_all_of_a_row(write, capsys):
    call = {'role': 'assistant', 'reasoning_content': 'hm', 'tool_calls': [{'function': {'name': 'look_up'}}]}
    path = write([{'messages': [{'role': 'user', 'content': 'q'}, call], 'rejected_response': 'worse', 'label': True},
                  '{"query": "\\ud800", "response": "r"}'])
    assert data_main(['preview', str(path)]) == 0
    out = capsys.readouterr().out
    assert all(text in out for text in ('look_up', 'hm', 'rejected_response: worse', 'label: true'))
    assert "row 2: can't be used: a text is not valid Unicode" in out
    with pytest.raises(UsageError, match='--rows takes a number from 1, got -2'):
        data_main(['preview', str(path), '-n', '-2'])


def test_a_data_set_without_rows_says_so(write, capsys):
    assert data_main(['check', str(write([]))]) == 1
    assert 'error: there are no rows' in capsys.readouterr().out
