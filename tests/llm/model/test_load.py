from __future__ import annotations

import json
import logging
import socket

import pytest
import torch
from safetensors.torch import load_file, save_file

from swift.llm.args.groups import ModelArgs
from swift.llm.model import hub
from swift.llm.model.load import check_requires, load_model, load_tokenizer, resolve_model, stretch_positions
from swift.llm.model.registry import ModelFamily
from swift.utils.errors import MissingExtraError, SwiftError, UsageError


@pytest.fixture
def fetched(monkeypatch, tiny_model_dir):
    """Every hub id is the tiny model; what was asked for is noted."""
    asked = []

    def download(model_id, **options):
        asked.append((model_id, options))
        return tiny_model_dir

    monkeypatch.setattr(hub, 'download', download)
    return asked


@pytest.fixture
def lines(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger('swift'), 'propagate', True)
    caplog.set_level(logging.INFO)
    return caplog


def whole(asked):
    """The downloads that were not of ``config.json`` alone."""
    return [(model_id, options) for model_id, options in asked if not options.get('only')]


def test_a_local_folder_loads_without_a_socket(tiny_model_dir, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError('a socket was opened')

    monkeypatch.setattr(socket.socket, 'connect', refuse)
    monkeypatch.setattr(socket, 'getaddrinfo', refuse)
    loaded = load_model(ModelArgs(model=str(tiny_model_dir), torch_dtype='float32'), training=False)
    assert loaded.path == tiny_model_dir.resolve()
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}
    assert not loaded.model.training
    ids = torch.tensor([[1, 2, 3]], device=loaded.model.device)
    assert loaded.model(ids).logits.shape == (1, 3, len(loaded.tokenizer))


def test_weights_have_the_dtype_that_was_asked_for(tiny_model_dir):
    for name in ('bfloat16', 'float16'):
        loaded = load_model(ModelArgs(model=str(tiny_model_dir), torch_dtype=name), training=True)
        assert loaded.dtype == loaded.model.dtype == getattr(torch, name)


def test_full_training_in_fp16_keeps_fp32_weights(tiny_model_dir):
    loaded = load_model(ModelArgs(model=str(tiny_model_dir), torch_dtype='float16'), training=True, full=True)
    assert (loaded.dtype, loaded.model.dtype) == (torch.float16, torch.float32)


def test_the_generation_config_of_the_folder_is_kept(broken):
    (broken / 'generation_config.json').write_text(json.dumps({'eos_token_id': [2, 0], 'temperature': 0.3,
                                                               'do_sample': True}))
    config = load_model(ModelArgs(model=str(broken)), training=False).model.generation_config
    assert (config.eos_token_id, config.temperature) == ([2, 0], 0.3)


def test_a_checkpoint_that_lacks_a_weight_is_not_filled_with_random_numbers(broken):
    weights = load_file(broken / 'model.safetensors')
    del weights['model.layers.1.mlp.up_proj.weight']
    save_file(weights, broken / 'model.safetensors', metadata={'format': 'pt'})
    with pytest.raises(SwiftError, match=r'lacks 1 weights .*layers\.1\.mlp\.up_proj'):
        load_model(ModelArgs(model=str(broken)), training=False)


def test_a_folder_without_a_tokenizer(broken):
    for name in ('tokenizer.json', 'tokenizer_config.json'):
        (broken / name).unlink()
    with pytest.raises(UsageError, match='has no tokenizer .*Copy the tokenizer files'):
        load_model(ModelArgs(model=str(broken)), training=False)


def test_a_tokenizer_that_is_not_json(broken):
    (broken / 'tokenizer.json').write_text('{"truncated')
    with pytest.raises(SwiftError, match='tokenizer of .* is unreadable'):
        load_tokenizer(resolve_model(ModelArgs(model=str(broken))), ModelArgs())


def test_a_missing_pad_token_is_taken_from_the_vocabulary(broken):
    path = broken / 'tokenizer_config.json'
    config = json.loads(path.read_text())
    del config['pad_token']
    path.write_text(json.dumps(config))
    args = ModelArgs(model=str(broken))
    tokenizer = load_tokenizer(resolve_model(args), args)
    assert tokenizer.pad_token == '<|endoftext|>'
    assert len(tokenizer) == 49152


def test_remote_code_is_refused_before_anything_runs(broken, edit_config):
    (broken / 'modeling_evil.py').write_text('raise SystemExit("it ran")')
    edit_config(model_type='evil', architectures=['EvilForCausalLM'],
                auto_map={'AutoConfig': 'modeling_evil.C', 'AutoModelForCausalLM': 'modeling_evil.M'})
    with pytest.raises(UsageError, match='modeling_evil.py. Nothing was run'):
        load_model(ModelArgs(model=str(broken)), training=False)


def test_remote_code_of_a_tokenizer_is_refused(broken):
    (broken / 'tokenization_evil.py').write_text('raise SystemExit("it ran")')
    path = broken / 'tokenizer_config.json'
    path.write_text(json.dumps({'tokenizer_class': 'EvilTokenizer',
                                'auto_map': {'AutoTokenizer': ['tokenization_evil.T', None]}}))
    (broken / 'tokenizer.json').unlink()
    with pytest.raises(UsageError, match=r'would run .*tokenization_evil\.py\. Nothing was run'):
        load_model(ModelArgs(model=str(broken)), training=False)


def test_no_model_and_wrong_paths():
    with pytest.raises(UsageError, match='No model was named. Add --model'):
        resolve_model(ModelArgs())
    with pytest.raises(UsageError, match=r'--model ./nowhere: no such folder'):
        resolve_model(ModelArgs(model='./nowhere'))
    with pytest.raises(UsageError, match="'qwen3-7b' is no registered model"):
        resolve_model(ModelArgs(model='qwen3-7b'))
    with pytest.raises(UsageError, match="'qwen3' is a family of 32 checkpoints: Qwen/Qwen3-0.6B"):
        resolve_model(ModelArgs(model_type='qwen3'))
    with pytest.raises(UsageError, match="Unknown model 'qwen33'. Did you mean 'qwen3'"):
        resolve_model(ModelArgs(model_type='qwen33'))


def test_a_registered_name_is_fetched_by_its_id_on_the_hub_in_use(fetched):
    resolved = resolve_model(ModelArgs(model_type='llama3-8b-instruct', model_revision='v1', hub_token='t'))
    assert resolved.family.name == 'llama3-8b-instruct'
    resolve_model(ModelArgs(model='llama3-8b-instruct', use_hf=True))
    assert [model_id for model_id, _ in whole(fetched)] == [
        'LLM-Research/Meta-Llama-3-8B-Instruct', 'meta-llama/Meta-Llama-3-8B-Instruct']
    options = whole(fetched)[0][1]
    assert 'consolidated*' in options.pop('ignore')
    assert options == {'revision': 'v1', 'use_hf': False, 'token': 't', 'offline': False, 'with_code': False}


def test_use_hf_of_the_environment_holds_unless_typed(fetched, monkeypatch):
    monkeypatch.setenv('USE_HF', '1')
    resolve_model(ModelArgs(model_type='llama3-8b-instruct'))
    resolve_model(ModelArgs(model_type='llama3-8b-instruct', use_hf=False))
    assert [model_id.split('/')[0] for model_id, _ in whole(fetched)] == ['meta-llama', 'LLM-Research']


def test_an_id_that_fits_several_entries_lists_them(fetched, lines):
    assert resolve_model(ModelArgs(model='qwen/qwen2.5-7b')).family.template == 'qwen2_5'
    assert ('qwen2 (template qwen2_5), qwen2_5-7b (template default-generation). Using qwen2; --model_type names'
            in lines.text)
    chosen = resolve_model(ModelArgs(model='qwen/qwen2.5-7b', model_type='qwen2_5-7b')).family
    assert (chosen.name, chosen.template) == ('qwen2_5-7b', 'default-generation')


def test_an_unregistered_id_is_fetched_and_uses_its_own_template(fetched):
    family = resolve_model(ModelArgs(model='Someone/Model-X')).family
    assert family.template is None and {'llama3', 'chatml'} <= set(family.alternatives)  # it is a Llama
    assert {model_id for model_id, _ in fetched} == {'Someone/Model-X'}


def test_config_json_comes_alone_and_first_unless_offline(fetched):
    resolve_model(ModelArgs(model='Someone/Model-X'))
    assert [options.get('only') for _, options in fetched] == [('config.json',), None]
    fetched.clear()
    resolve_model(ModelArgs(model='Someone/Model-X', offline=True))
    assert [options.get('only') for _, options in fetched] == [None]


def test_code_of_a_hub_repository_is_refused_before_its_weights_are_fetched(monkeypatch, broken, edit_config):
    edit_config(model_type='evil', architectures=['EvilForCausalLM'],
                auto_map={'AutoConfig': 'modeling_evil.C', 'AutoModelForCausalLM': 'modeling_evil.M'})
    asked = []

    def download(model_id, **options):
        asked.append(options.get('only'))
        return broken

    monkeypatch.setattr(hub, 'download', download)
    with pytest.raises(UsageError, match='would run modeling_evil.py of the hub repository Someone/Evil. Nothing was '
                                         'run.*--trust_remote_code true'):
        resolve_model(ModelArgs(model='Someone/Evil'))
    assert asked == [('config.json',)]
    resolve_model(ModelArgs(model='Someone/Evil', trust_remote_code=True))
    assert asked == [('config.json',)] * 2 + [None]


def test_an_architecture_without_an_entry_says_what_it_uses(broken, edit_config, lines):
    edit_config(architectures=['NobodyForCausalLM'])
    assert resolve_model(ModelArgs(model=str(broken))).family is None
    assert 'No entry covers NobodyForCausalLM: it is loaded by its architecture, with its own chat' in lines.text


def test_a_typed_family_for_a_folder(tiny_model_dir):
    one = resolve_model(ModelArgs(model=str(tiny_model_dir), model_type='qwen1half-7b-chat'))
    assert (one.family.name, one.family.template) == ('qwen1half-7b-chat', 'qwen')
    # a family with several templates leaves the choice to the folder
    many = resolve_model(ModelArgs(model=str(tiny_model_dir), model_type='qwen2'))
    assert (many.family.name, many.family.template) == ('qwen2', None)
    assert many.family.alternatives[:2] == ('qwen', 'qwen2_5')


def test_rope_scaling_stretches_to_max_length(tiny_model_dir):
    loaded = load_model(ModelArgs(model=str(tiny_model_dir), rope_scaling='linear'), training=True, max_length=5000)
    assert loaded.model.config.rope_parameters['factor'] == 3.0  # 2048 positions, rounded up
    plain = load_model(ModelArgs(model=str(tiny_model_dir)), training=True).model
    ratio = plain.model.rotary_emb.inv_freq / loaded.model.model.rotary_emb.inv_freq
    assert torch.allclose(ratio, torch.tensor(3.0))
    with pytest.raises(UsageError, match='--rope_scaling linear needs --max_length'):
        stretch_positions(plain.config, 'linear', -1)
    with pytest.raises(UsageError, match='already stretches'):
        stretch_positions(loaded.model.config, 'dynamic', 4096)


def test_missing_packages_of_a_family_are_named():
    check_requires(ModelFamily('x', requires=('torch>=2',)))
    with pytest.raises(MissingExtraError, match="'no-such-package>=3'; installed: nothing. .*pip install"):
        check_requires(ModelFamily('x', requires=('no-such-package>=3',)))
    with pytest.raises(MissingExtraError, match="'torch>=99'; installed: 2"):
        check_requires(ModelFamily('x', requires=('torch>=99',)))
    with pytest.raises(MissingExtraError, match="'gptqmodel'; installed: nothing"):  # nobody keeps up auto_gptq
        check_requires(ModelFamily('x', requires=('auto_gptq>=0.5',)))


def test_an_upper_bound_is_a_warning(lines):
    check_requires(ModelFamily('x', requires=('torch>=2,<2.1', 'transformers==4.51.3')))
    assert 'x was published for torch<2.1,>=2, and 2.' in lines.text
    assert 'x was published for transformers==4.51.3, and 5.' in lines.text


def test_packages_for_pictures_and_speed_do_not_stop_a_model_of_transformers(lines):
    family = ModelFamily('x', requires=('no-such-package',), multimodal=True)
    check_requires(family)
    assert 'The package no-such-package is not installed: x runs without it, but for text only.' in lines.text
    with pytest.raises(MissingExtraError):  # the code of a checkpoint imports what it likes
        check_requires(family, native=False)


def test_a_checkpoint_that_is_on_one_hub_only(fetched, monkeypatch):
    import swift.llm.model.load as load
    match = load.Match(ModelFamily('x'), None, 'them/Only-There')
    monkeypatch.setattr(load, 'match_hub_id', lambda model_id: [match])
    with pytest.raises(UsageError, match='them/Only-There is only on Hugging Face: add --use_hf true'):
        resolve_model(ModelArgs(model='them/only-there', use_hf=False))
    resolve_model(ModelArgs(model='them/only-there', use_hf=True))
    assert {model_id for model_id, _ in fetched} == {'them/Only-There'}
