"""The files of ``examples/custom`` do what their README says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CUSTOM = ROOT / 'examples' / 'custom'
ROWS = str(CUSTOM / 'rows.jsonl')
PYTHON = Path(sys.executable)


def run(code: str, *argv: str) -> str:
    """Run Python in a process of its own, so that what a plug-in registers doesn't stay in this one."""
    done = subprocess.run([PYTHON, '-c', code, *argv], cwd=ROOT, capture_output=True, text=True, timeout=300,
                          check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


DATA = 'import sys; from swift.llm.pipelines.data import data_main; sys.exit(data_main(sys.argv[1:]))'


def test_the_template_in_a_preview(tiny_model_dir):
    out = run(DATA, 'preview', ROWS, '--model', str(tiny_model_dir), '--template', 'robot',
              '--external_plugins', str(CUSTOM / 'template.py'))
    assert out.count('read as messages') == 3 and "can't be used" not in out
    trained = ''.join(line for line in out.splitlines() if line.startswith('trained'))
    for word in ('ep·', 'tool', 'lights', '<|im_end|>'):
        assert word in trained
    assert 'rules' not in trained and 'human' not in trained


BOTH = '''
import json, sys
from swift.llm.args.groups import ModelArgs, TemplateArgs
from swift.llm.dataset.registry import import_plugins
from swift.llm.model.load import load_tokenizer, resolve_model
from swift.llm.model.registry import MODELS
from swift.llm.template.encode import make_template
import_plugins(sys.argv[2:])
args = ModelArgs(model=sys.argv[1], model_type='my-llama')
resolved = resolve_model(args)
tokenizer = load_tokenizer(resolved, args)
bare = load_tokenizer(resolved, args)
bare.chat_template = None
template = make_template(TemplateArgs(template='robot'), tokenizer, resolved.family)
row = {'messages': [{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Beep'}] * 2}
print(json.dumps({
    'family': [resolved.family.name, *resolved.family.target_modules, *MODELS.get('my-llama').hub_ids],
    'auto': make_template(TemplateArgs(), tokenizer, resolved.family).name,
    'without_own': make_template(TemplateArgs(), bare, resolved.family).name,
    'text': ''.join(f'[[{s.text}]]' if s.weight else s.text for s in template.render(row).segments)}))
'''


def test_the_model_is_known_and_what_the_template_writes(tiny_model_dir):
    out = json.loads(run(BOTH, str(tiny_model_dir), str(CUSTOM / 'template.py'), str(CUSTOM / 'model.py')))
    assert out['family'] == ['my-llama', 'q_proj', 'v_proj', 'my-organisation/my-llama-1b',
                             'my-organisation/my-llama-8b']
    assert out['auto'] == 'the chat template of the checkpoint'  # it has one, and that is no chatml
    assert out['without_own'] == 'chatml'
    assert out['text'].replace(']][[', '') == (
        '[rules]\nAnswer like a robot.\n\n[human]\nHi\n\n[robot]\n[[Beep<|im_end|>]]\n'
        '[human]\nHi\n\n[robot]\n[[Beep<|im_end|>]]')


SFT = 'import sys; from swift.llm.pipelines.sft import sft_main; sft_main(sys.argv[1:])'


@pytest.mark.slow
def test_training_with_all_of_it(tiny_model_dir, tmp_path):
    run(SFT, '--model', str(tiny_model_dir), '--model_type', 'my-llama', '--template', 'robot', '--dataset', ROWS,
        '--custom_register_path', str(CUSTOM / 'template.py'), str(CUSTOM / 'model.py'), '--max_steps', '2',
        '--split_dataset_ratio', '0', '--loss_scale', f'default+{CUSTOM / "loss_weights.json"}',
        '--output_dir', str(tmp_path / 'out'), '--per_device_train_batch_size', '1')
    assert list((tmp_path / 'out').rglob('adapter_model.safetensors'))


def test_a_plug_in_may_not_take_a_known_name(tmp_path, tiny_model_dir):
    shutil.copy(CUSTOM / 'template.py', tmp_path / 'again.py')
    code = 'import sys; from swift.llm.dataset.registry import import_plugins; import_plugins(sys.argv[1:])'
    done = subprocess.run([PYTHON, '-c', code, str(CUSTOM / 'template.py'), str(tmp_path / 'again.py')], cwd=ROOT,
                          capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode and "There is already a template called 'robot'" in done.stderr


def test_the_files_are_short():
    for name in ('template.py', 'model.py'):
        lines = (CUSTOM / name).read_text(encoding='utf-8').splitlines()
        assert len([line for line in lines if line.strip()]) <= 12
