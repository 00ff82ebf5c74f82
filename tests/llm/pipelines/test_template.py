from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from swift.cli.main import main

CASE = {'template': 'qwen2_5', 'messages': [{'role': 'user', 'content': 'hi'}], 'add_generation_prompt': True}


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]


def test_list_finds_names_and_aliases(capsys):
    assert main(['template', 'list', '--filter', 'QWEN2_5']) == 0
    assert 'qwen2_5' in capsys.readouterr().out.split()


def test_show_marks_what_is_trained(capsys):
    assert main(['template', 'show', 'chatml']) == 0
    out = capsys.readouterr().out
    assert '[[4.]]' in out and '[[<|im_end|>]]' in out and '[[What' not in out


def test_show_takes_a_row(capsys):
    row = json.dumps({'messages': [{'role': 'user', 'content': 'ping'}, {'role': 'assistant', 'content': 'pong'}]})
    assert main(['template', 'show', 'llama3', '--row', row]) == 0
    assert '[[pong]]' in capsys.readouterr().out


def test_show_of_a_folder(tiny_model_dir, capsys):
    assert main(['template', 'show', str(tiny_model_dir), '--template', 'smollm2']) == 0
    assert "Template 'smollm2'" in capsys.readouterr().out


def test_an_unknown_name_suggests_one(capsys):
    assert main(['template', 'show', 'chatmll']) == 2
    assert 'Did you mean' in capsys.readouterr().err


def test_check_says_what_is_equal(tiny_model_dir, capsys):
    assert main(['template', 'check', str(tiny_model_dir), '--template', 'smollm2']) == 0
    assert ' 0 different' in capsys.readouterr().out


def test_check_finds_a_difference(tiny_model_dir, capsys):
    assert main(['template', 'check', str(tiny_model_dir), '--template', 'llama3']) == 1
    out = capsys.readouterr().out
    assert 'different: one round: ' in out and 'different, ' in out


def test_check_of_a_folder_without_a_template(tiny_model_dir, tmp_path, capsys):
    folder = tmp_path / 'bare'
    shutil.copytree(tiny_model_dir, folder)
    (folder / 'chat_template.jinja').unlink()
    assert main(['template', 'check', str(folder), '--template', 'smollm2']) == 2
    assert 'has no chat template of its own' in capsys.readouterr().err


def test_render_adds_ours_and_counts_what_failed(tmp_path, capsys):
    cases, out = tmp_path / 'cases.jsonl', tmp_path / 'out.jsonl'
    refused = {'family': 'qwen2_5', 'messages': [{'role': 'user', 'content': 'x'}], 'mine': 1}
    cases.write_text('\n'.join([json.dumps(CASE), json.dumps(refused), '{"template": "qwen2_6", "messages": []}',
                                '{broken', '[]', '']), encoding='utf-8')
    assert main(['template', 'render', '--input', str(cases), '--output', str(out)]) == 1
    first, second, *failed = lines(out)
    assert first['ours'].endswith('<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n')
    assert second['mine'] == 1 and second['ours'].endswith('x<|im_end|>\n')
    assert [line['ours'] for line in failed] == [None] * 3
    assert "Unknown template 'qwen2_6'" in failed[0]['ours_error']
    assert '2 rendered, 0 refused by their template, 3 not rendered' in capsys.readouterr().out


def test_a_refusal_of_the_template_is_no_failure(tmp_path):
    cases, out = tmp_path / 'cases.jsonl', tmp_path / 'out.jsonl'
    case = {'template': 'gemma', 'messages': [{'role': 'system', 'content': 's'}, {'role': 'user', 'content': 'x'}]}
    cases.write_text(json.dumps(case), encoding='utf-8')
    assert main(['template', 'render', '--input', str(cases), '--output', str(out)]) == 0
    assert lines(out)[0]['ours'] is None and lines(out)[0]['ours_error']


def test_render_does_not_overwrite(tmp_path, capsys):
    cases = tmp_path / 'cases.jsonl'
    cases.write_text(json.dumps(CASE), encoding='utf-8')
    assert main(['template', 'render', '--input', str(cases), '--output', str(cases)]) == 2
    assert 'exists' in capsys.readouterr().err
    assert main(['template', 'render', '--input', str(tmp_path / 'none'), '--output', str(tmp_path / 'o')]) == 2


def test_render_needs_neither_torch_nor_a_tokenizer(tmp_path):
    cases = tmp_path / 'cases.jsonl'
    cases.write_text(json.dumps(CASE), encoding='utf-8')
    code = ('import sys\nfrom swift.cli.main import main\n'
            f'main(["template", "render", "--input", {str(cases)!r}, "--output", {str(tmp_path / "o")!r}])\n'
            'print([m for m in ("torch", "transformers", "numpy", "jinja2", "datasets") if m in sys.modules])')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == '[]'


@pytest.mark.parametrize('words', [[], ['shwo'], ['render'], ['show', 'chatml', '--thinkng', 'keep']])
def test_wrong_words(words, capsys):
    assert main(['template', *words]) == 2
    assert 'swift template' in capsys.readouterr().err
