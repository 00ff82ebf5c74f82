from __future__ import annotations

import io
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from swift.llm import checkpoint
from swift.llm.args.commands import SftArguments
from swift.llm.export.merge import merge_adapter, merged_folder
from swift.llm.pipelines.infer import infer_main
from swift.utils.errors import SwiftError, UsageError

GREEDY = {'temperature': 0, 'max_new_tokens': 6, 'verbose': False}


@pytest.fixture(scope='session')
def adapter_dir(tmp_path_factory, tiny_model_dir) -> Path:
    """A checkpoint as training leaves it: an adapter that changes answers, and args.json."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp('run') / 'checkpoint-7'
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
    get_peft_model(model, LoraConfig(r=4, lora_alpha=64, target_modules=['q_proj', 'v_proj', 'down_proj'],
                                     init_lora_weights=False)).save_pretrained(folder)
    return folder


@pytest.fixture
def trained(adapter_dir, tiny_model_dir, tmp_path, chat_file) -> Path:
    """``adapter_dir`` in a folder of its own, trained with a system prompt on ``chat_file``."""
    folder = tmp_path / 'run' / 'checkpoint-7'
    shutil.copytree(adapter_dir, folder)
    args = SftArguments.of(model=str(tiny_model_dir), dataset=[str(chat_file)], system='Be brief.',
                           split_dataset_ratio=0.25, data_seed=5)
    checkpoint.save_args(folder, args, {'template': 'auto'})
    return folder


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_a_checkpoint_alone_answers_a_file(trained, chat_file):
    results = infer_main(['--ckpt_dir', str(trained), '--val_dataset', str(chat_file), '--temperature', '0',
                          '--max_new_tokens', '6', '--verbose', 'false', '--max_batch_size', '5'])
    assert [value['query'] for value in results] == [f'What is {i} plus {i}?' for i in range(12)]
    assert results[3]['label'] == 'It is 6. Really. Really. Really.'
    assert results[0]['system'] == 'Be brief.'  # from args.json
    (path,) = (trained / 'infer_result').glob('*.jsonl')
    assert lines(path) == results
    one_by_one = infer_main({'ckpt_dir': str(trained), 'val_dataset': [str(chat_file)], 'save_result': False, **GREEDY})
    assert one_by_one == results
    base = infer_main({'model': infer_base(trained), 'system': 'Be brief.', 'val_dataset': [str(chat_file)],
                       'save_result': False, **GREEDY})
    assert [value['response'] for value in base] != [value['response'] for value in results]


def infer_base(folder: Path) -> str:
    return checkpoint.read_saved_args(folder).flat['model']


def test_what_is_typed_wins_over_the_checkpoint(trained, chat_file, tmp_path):
    results = infer_main({'adapters': [str(trained)], 'system': 'Be kind.', 'val_dataset': [str(chat_file)],
                          'val_dataset_sample': 2, 'result_path': str(tmp_path / 'out.jsonl'), **GREEDY})
    assert [value['system'] for value in results] == ['Be kind.', 'Be kind.']
    assert lines(tmp_path / 'out.jsonl') == results
    assert not (trained / 'infer_result').exists()


def test_load_args_false_takes_nothing_from_it(trained, chat_file):
    results = infer_main({'adapters': [str(trained)], 'load_args': False, 'model': infer_base(trained),
                          'val_dataset': [f'{chat_file}#2'], 'save_result': False, **GREEDY})
    assert [value['system'] for value in results] == [None, None]


def test_load_data_args_answers_the_rows_that_training_held_out(trained, chat_file, tokenizer):
    from swift.llm.args.derive import effective
    from swift.llm.dataset.load import load_datasets
    from swift.llm.template.encode import make_template

    results = infer_main({'ckpt_dir': str(trained), 'load_dataset_config': True, 'save_result': False, **GREEDY})
    args = effective(SftArguments.of(**checkpoint.read_saved_args(trained).flat))
    held_out = load_datasets(args.data, make_template(args.template, tokenizer), seed=args.run.seed, run_dir=None).eval
    texts = [tokenizer.decode(held_out[i]['input_ids']) for i in range(len(held_out))]
    assert len(results) == len(texts) == 3
    for value, text in zip(results, texts, strict=True):
        assert value['query'] in text and value['label'] in text


def test_rows_typed_as_dataset_are_all_answered_unless_a_split_is_typed(trained, chat_file):
    common = {'ckpt_dir': str(trained), 'dataset': [str(chat_file)], 'save_result': False, **GREEDY}
    assert len(infer_main(common)) == 12
    assert len(infer_main({**common, 'split_dataset_ratio': 0.5})) == 6


def test_an_interrupted_batch_goes_on(trained, chat_file, tmp_path):
    path = tmp_path / 'out.jsonl'
    flags = {'ckpt_dir': str(trained), 'val_dataset': [str(chat_file)], 'result_path': str(path), **GREEDY}
    whole = infer_main(flags)
    kept = path.read_bytes().splitlines(keepends=True)[:5]
    path.write_bytes(b''.join(kept) + b'{"system": "Be')
    assert infer_main(flags) == whole
    assert lines(path) == whole


def test_generation_flags_reach_the_answer(trained, chat_file):
    flags = {'ckpt_dir': str(trained), 'val_dataset': [f'{chat_file}#1'], 'save_result': False, **GREEDY}
    (greedy,) = infer_main(flags)
    assert infer_main({**flags, 'temperature': None, 'do_sample': False}) == [greedy]
    stop = greedy['response'].strip()[2:4]
    (stopped,) = infer_main({**flags, 'stop_words': [stop, 'never said']})
    assert stopped['response'] == greedy['response'][:greedy['response'].find(stop)]
    drawn = {infer_main({**flags, 'temperature': None, 'do_sample': True, 'top_k': 0, 'seed': seed})[0]['response']
             for seed in range(3)}
    assert len(drawn) > 1


def test_without_data_it_chats_and_returns_the_turns(trained, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'stdin', io.StringIO('Hi\nAnd?\nexit\n'))
    turns = infer_main({'ckpt_dir': str(trained), **GREEDY})
    assert [(turn['system'], turn['query'], len(turn['history'])) for turn in turns] == \
        [('Be brief.', 'Hi', 0), ('Be brief.', 'And?', 1)]
    assert f'<<< {turns[0]["response"]}\n<<< ' in capsys.readouterr().out
    assert not (trained / 'infer_result').exists()


def test_a_prompt_that_does_not_fit_is_one_line_with_an_error(trained, chat_file, tmp_path):
    long = tmp_path / 'long.jsonl'
    long.write_text(json.dumps({'query': 'word ' * 3000}) + '\n' + json.dumps({'query': 'short'}) + '\n')
    bad, good = infer_main({'ckpt_dir': str(trained), 'val_dataset': [str(long)], 'save_result': False, **GREEDY})
    assert bad['response'] is None and 'reads 2048 tokens' in bad['error']
    assert 'error' not in good


def test_a_merged_checkpoint_answers_like_the_adapter(trained, chat_file):
    flags = {'ckpt_dir': str(trained), 'val_dataset': [str(chat_file)], 'save_result': False, **GREEDY}
    unmerged = infer_main(flags)
    assert infer_main({**flags, 'merge_lora': True}) == unmerged
    merged = merged_folder(trained)
    written = {path.name: path.stat().st_mtime_ns for path in merged.iterdir()}
    assert {'config.json', 'model.safetensors', 'tokenizer.json', 'generation_config.json', 'args.json'} <= set(written)
    assert infer_main({**flags, 'merge_lora': True}) == unmerged  # used again, not written again
    assert {path.name: path.stat().st_mtime_ns for path in merged.iterdir()} == written
    assert infer_main({**flags, 'ckpt_dir': str(merged)}) == unmerged
    assert sorted(path.name for path in trained.parent.iterdir()) == ['checkpoint-7', 'checkpoint-7-merged']


def test_merging_overwrites_nothing(trained):
    args = SftArguments.of(**checkpoint.read_saved_args(trained).flat)
    target = merged_folder(trained)
    target.mkdir()
    (target / 'mine.txt').write_text('precious')
    with pytest.raises(SwiftError, match='does not come from this adapter'):
        merge_adapter(trained, args.model, args.template)
    assert [path.name for path in target.iterdir()] == ['mine.txt']


def test_a_full_disk_leaves_no_merged_folder(trained, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, 'No space left on device')

    args = SftArguments.of(**checkpoint.read_saved_args(trained).flat)
    monkeypatch.setattr('swift.llm.export.merge.write_manifest', full)
    with pytest.raises(SwiftError, match='No space left.*Nothing was left'):
        merge_adapter(trained, args.model, args.template)
    assert [path.name for path in trained.parent.iterdir()] == ['checkpoint-7']
    (trained / 'adapter_model.safetensors').unlink()
    with pytest.raises(UsageError, match='nothing to merge'):
        merge_adapter(trained, args.model, args.template)


def test_a_damaged_merge_is_not_used(trained):
    args = SftArguments.of(**checkpoint.read_saved_args(trained).flat)
    target = merge_adapter(trained, args.model, args.template)
    weights = target / 'model.safetensors'
    weights.write_bytes(weights.read_bytes()[:-1] + b'\x7f')
    with pytest.raises(SwiftError, match='damaged.*model.safetensors'):
        merge_adapter(trained, args.model, args.template)


def test_an_adapter_of_plain_peft_names_its_base_model(adapter_dir, chat_file):
    results = infer_main({'adapters': [str(adapter_dir)], 'val_dataset': [f'{chat_file}#2'], 'save_result': False,
                          **GREEDY})
    assert len(results) == 2
    with pytest.raises(UsageError, match=r'no args\.json'):
        infer_main({'adapters': [str(adapter_dir)], 'load_data_args': True})


def test_code_that_only_the_checkpoint_names_is_not_run(trained, chat_file, tmp_path, capfd):
    plugin = tmp_path / 'plugin.py'
    plugin.write_text(f'open({str(tmp_path / "ran")!r}, "w").close()\n')
    saved = json.loads((trained / 'args.json').read_text())
    saved['args']['external_plugins'] = [str(plugin)]
    (trained / 'args.json').write_text(json.dumps(saved))
    flags = {'ckpt_dir': str(trained), 'val_dataset': [f'{chat_file}#1'], 'save_result': False, **GREEDY}
    infer_main(flags)
    assert not (tmp_path / 'ran').exists()
    infer_main({**flags, 'external_plugins': [str(plugin)]})
    assert (tmp_path / 'ran').exists()


def test_several_adapters_are_refused_for_now(trained):
    with pytest.raises(UsageError, match='--adapters got 2'):
        infer_main({'adapters': [str(trained), str(trained)], 'eval_human': True})


class Child:
    """A chat in another process, over pipes."""

    def __init__(self, *flags: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'swift.cli.main', 'infer', *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env={**os.environ, 'PYTHONUNBUFFERED': '1'})
        self.said = ''

    def read_until(self, text: str) -> str:
        """Everything said from here on until ``text``; fails when nothing is said for two minutes."""
        start = len(self.said)
        while text not in self.said[start:]:
            ready, _, _ = select.select([self.process.stdout], [], [], 120)
            if not ready:
                self.process.kill()
            assert ready, f'nothing more was said, {text!r} was awaited: {self.said}'
            piece = os.read(self.process.stdout.fileno(), 4096)
            assert piece, f'ended before {text!r}: {self.said}\n{self.process.stderr.read().decode()}'
            self.said += piece.decode('utf-8', 'replace')
        return self.said[start:]

    def type(self, text: str) -> None:
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()


@pytest.mark.slow  # on a starved machine the answer may end before the signal comes, and the test would wait
def test_ctrl_c_stops_the_answer_and_not_the_program(trained, tmp_path):
    child = Child('--ckpt_dir', str(trained), '--temperature', '0', '--result_path', str(tmp_path / 'turns.jsonl'))
    banner = child.read_until('<<< ')
    assert 'Adapter:' in banner and 'tiny-llama' in banner and 'multi-line' in banner
    child.type('Tell me a long story.\n')
    os.read(child.process.stdout.fileno(), 1)  # the answer has begun
    child.process.send_signal(signal.SIGINT)
    child.read_until('(stopped)\n<<< ')
    child.type('clear\n')
    child.read_until('<<< ')
    child.type('exit\n')
    child.process.communicate(timeout=60)
    assert child.process.returncode == 0
    (turn,) = lines(tmp_path / 'turns.jsonl')
    assert turn['query'] == 'Tell me a long story.' and turn['system'] == 'Be brief.' and turn['response']


@pytest.mark.slow
def test_ctrl_c_twice_at_the_prompt_leaves_with_130(trained):
    child = Child('--ckpt_dir', str(trained))
    child.read_until('<<< ')
    child.process.send_signal(signal.SIGINT)
    child.read_until('<<< ')
    child.process.send_signal(signal.SIGINT)
    child.process.communicate(timeout=60)
    assert child.process.returncode == 130
