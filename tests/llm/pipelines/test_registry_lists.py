from __future__ import annotations

import json
import subprocess
import sys

import pytest

from swift.llm.dataset.registry import DATASETS
from swift.llm.model.registry import MODELS
from swift.llm.pipelines.registry_lists import datasets_main, models_main
from swift.utils.errors import UsageError


def printed(capsys) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_models_are_a_table_with_every_entry(capsys):
    assert models_main([]) == 0
    head, *rows, last = printed(capsys)
    assert head.split() == ['key', 'template', 'architecture', 'tags', 'checkpoints']
    assert [row.split()[0] for row in rows] == MODELS.names()
    assert last.startswith(f'{len(MODELS)} entries, ')


@pytest.mark.parametrize('text', ['qwen1half-7b-chat', 'QWEN/qwen1.5-7B-chat'])
def test_a_filter_finds_keys_and_ids_in_any_letter_case(capsys, text):
    models_main(['--filter', text])
    assert 'qwen1half-7b-chat' in [row.split()[0] for row in printed(capsys)]


def test_a_filter_finds_architectures_and_tags(capsys):
    models_main(['--filter', 'GptOssForCausalLM'])
    assert [row.split()[0] for row in printed(capsys)] == ['key', 'gpt_oss', '1']


def test_json_has_everything_of_an_entry(capsys):
    models_main(['--json', '--filter', 'qwen2_5-coder-7b-instruct-awq'])
    record, = map(json.loads, printed(capsys))
    assert record['checkpoints'] == [{'ms_id': 'Qwen/Qwen2.5-Coder-7B-Instruct-AWQ', 'template': 'qwen2_5',
                                      'hf_id': 'Qwen/Qwen2.5-Coder-7B-Instruct-AWQ'}]
    assert (record['key'], record['family'], record['architectures'], record['dtype']) == (
        'qwen2_5-coder-7b-instruct-awq', 'qwen2', ['Qwen2ForCausalLM'], 'float16')
    assert record['target_modules'] == ['q_proj', 'k_proj', 'v_proj']
    assert 'autoawq' in record['requires']


def test_json_of_a_family_has_the_template_of_each_checkpoint_and_its_parts(capsys):
    models_main(['--json', '--filter', 'qwen2'])
    record = next(r for r in map(json.loads, printed(capsys)) if r['key'] == 'qwen2')
    templates = {c['ms_id']: c['template'] for c in record['checkpoints']}
    assert (templates['Qwen/Qwen2-7B-Instruct'], templates['Qwen/QwQ-32B']) == ('qwen', 'qwq')
    models_main(['--json', '--filter', 'qwen2_5_vl'])
    record = next(r for r in map(json.loads, printed(capsys)) if r['key'] == 'qwen2_5_vl')
    assert record['multimodal'] and record['parts']['vision_tower'] == ['model.visual']


def test_datasets_are_listed_and_filtered(capsys):
    assert datasets_main(['--filter', 'alpaca', '--json']) == 0
    names = [json.loads(line)['name'] for line in printed(capsys)]
    assert names and set(names) <= set(DATASETS.names())
    datasets_main([])
    assert printed(capsys)[-1].startswith(f'{len(DATASETS)} data sets; of those marked')


def test_a_filter_finds_what_the_table_says(capsys):
    for text in ('multimodal', 'multi-modal'):
        models_main(['--json', '--filter', text])
        keys = {json.loads(line)['key'] for line in printed(capsys)}
        assert {family.name for family in MODELS if family.multimodal} <= keys
    datasets_main(['--json', '--filter', 'guessed'])
    assert [json.loads(line)['name'] for line in printed(capsys)] == [e.name for e in DATASETS if not e.verified]
    datasets_main(['--json', '--filter', 'huge'])
    assert {e.name for e in DATASETS if e.huge} <= {json.loads(line)['name'] for line in printed(capsys)}


def test_nothing_found_and_a_wrong_flag():
    with pytest.raises(UsageError, match="--filter qwen1half-7b-caht: no model .*Did you mean 'qwen1half-7b-chat'"):
        models_main(['--filter', 'qwen1half-7b-caht'])
    with pytest.raises(UsageError, match='--filer.*Did you mean .--filter'):
        datasets_main(['--filer', 'x'])


def test_neither_torch_nor_transformers_is_imported():
    code = ('import sys; from swift.llm.pipelines.registry_lists import datasets_main, models_main; '
            'models_main([]); datasets_main([]); '
            'assert not {"torch", "transformers", "datasets", "peft"} & set(sys.modules)')
    subprocess.run([sys.executable, '-c', code], check=True, stdout=subprocess.DEVNULL)
