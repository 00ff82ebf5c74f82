"""Adapter folders that were made to do harm: none runs code, reads another file, asks a hub or changes the base model.

Pickles are byte literals that would make a folder; each test looks that it isn't there.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import MultitaskPromptTuningConfig, PromptTuningConfig
from safetensors.torch import load_file, save_file

from swift.tuners.api import LoraConfig, Swift
from swift.tuners.methods.part import PartConfig
from swift.utils.errors import SwiftError, UsageError

IDS = torch.arange(12).view(2, 6)
LORA = LoraConfig(task_type='CAUSAL_LM', r=4, target_modules=['q_proj'], init_lora_weights=False)
Q = 'base_model.model.model.layers.0.self_attn.q_proj'


def bomb(place: Path) -> bytes:
    """A pickle that makes the folder ``place``."""
    return b"cos\nmkdir\n(S'" + str(place).encode() + b"'\ntR."


@pytest.fixture
def folder(llama, tmp_path) -> Path:
    """A good LoRA adapter."""
    Swift.save_pretrained(Swift.prepare_model(llama(), LORA), tmp_path / 'adapter')
    return tmp_path / 'adapter'


@pytest.fixture(autouse=True)
def nothing_ran(tmp_path):
    yield
    assert not (tmp_path / 'ran').exists()


def change(folder: Path, **values) -> None:
    path = folder / 'adapter_config.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def add(folder: Path, **tensors: torch.Tensor) -> None:
    path = folder / 'adapter_model.safetensors'
    save_file(load_file(path) | tensors, path)


def refused(llama, folder: Path, match: str, error: type[SwiftError] = SwiftError) -> None:
    """Loading fails with one line, and the model is what it was."""
    model = llama()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    with pytest.raises(error, match=match) as caught:
        Swift.from_pretrained(model, folder)
    assert '\n' not in str(caught.value)
    after = model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(after[name], before[name]) for name in before)


# ---- pickles

@pytest.mark.parametrize('name', ['adapter_model.bin', 'adapter_model.pt', 'adapter_model.pth', 'pytorch_model.bin',
                                  'adapter_config.pkl', 'optimizer.pt', 'adapter_model.safetensors.index.json'])
def test_pickles_beside_the_weights_are_not_read(llama, folder, tmp_path, name):
    (folder / name).write_bytes(bomb(tmp_path / 'ran'))
    Swift.from_pretrained(llama(), folder)


@pytest.mark.parametrize('name', ['adapter_model.bin', 'adapter_model.pt', 'pytorch_model.bin'])
def test_pickles_in_place_of_the_weights(llama, folder, tmp_path, name):
    (folder / 'adapter_model.safetensors').unlink()
    (folder / name).write_bytes(bomb(tmp_path / 'ran'))
    refused(llama, folder, 'pickle' if name == 'adapter_model.bin' else 'no adapter_model.safetensors', UsageError)


def test_a_pickle_under_the_name_of_safetensors(llama, folder, tmp_path):
    (folder / 'adapter_model.safetensors').write_bytes(bomb(tmp_path / 'ran'))
    refused(llama, folder, 'can not be loaded')


# ---- configurations

@pytest.mark.parametrize(('values', 'message'), [
    ({'megatron_config': {}, 'megatron_core': 'antigravity'}, 'peft imports the Python module that it names'),
    ({'peft_type': 'XLORA', 'hidden_size': 8, 'adapters': {'a': '/etc'}}, 'sets adapters, .* more than this adapter'),
    ({'peft_type': 'SHADOW', 'shadow_model': 'somebody/model'}, 'sets shadow_model, .*somebody/model'),
    ({'peft_type': 'NOPE'}, 'can not be loaded'),
    ({'peft_type': None}, 'can not be loaded'),
    ({'peft_type': ['LORA']}, 'can not be loaded'),
    ({'target_modules': '('}, 'can not be loaded'),
    ({'r': -1}, 'can not be loaded'),
    ({'r': 'four'}, 'can not be loaded'),
    ({'init_lora_weights': 'corda', 'corda_config': {'cache_file': 'bomb'}}, 'can not be loaded'),
], ids=lambda value: value if isinstance(value, str) else '-'.join(value))
def test_settings_that_load_more_than_the_adapter_or_nothing(llama, folder, values, message):
    change(folder, **values)
    refused(llama, folder, message)


def test_settings_that_name_other_places_are_not_followed(llama, folder, tmp_path):
    trap = tmp_path / 'trap.bin'
    trap.write_bytes(bomb(tmp_path / 'ran'))
    wanted = Swift.from_pretrained(llama(), folder).eval()(IDS).logits
    change(folder, base_model_name_or_path='../../somebody/else', revision='../x', runtime_config={'a': 1},
           auto_mapping={'base_model_class': 'Popen', 'parent_library': 'subprocess'},
           eva_config={'rho': 2.0}, corda_config={'cache_file': str(trap), 'covariance_file': str(trap)},
           lora_ga_config={'cache_file': str(trap)})
    model = Swift.from_pretrained(llama(), folder).eval()
    assert torch.equal(model(IDS).logits, wanted)
    Swift.save_pretrained(model, tmp_path / 'again')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['adapter', 'again', 'trap.bin']


def test_a_prompt_does_not_load_the_tokenizer_that_it_names(llama, tmp_path):
    Swift.save_pretrained(Swift.prepare_model(llama(), PromptTuningConfig(
        task_type='CAUSAL_LM', num_virtual_tokens=2)), tmp_path / 'prompt')
    change(tmp_path / 'prompt', prompt_tuning_init='TEXT', prompt_tuning_init_text='x',
           tokenizer_name_or_path=str(tmp_path / 'nowhere'), tokenizer_kwargs={'trust_remote_code': True})
    Swift.from_pretrained(llama(), tmp_path / 'prompt')


def test_a_prompt_of_several_tasks_that_reads_a_file(llama, tmp_path):
    Swift.save_pretrained(Swift.prepare_model(llama(), MultitaskPromptTuningConfig(
        task_type='CAUSAL_LM', num_virtual_tokens=2, num_tasks=2)), tmp_path / 'prompt')
    (tmp_path / 'trap.bin').write_bytes(bomb(tmp_path / 'ran'))
    change(tmp_path / 'prompt', prompt_tuning_init='ONLY_SOURCE_SHARED',
           prompt_tuning_init_state_dict_path=str(tmp_path / 'trap.bin'))
    refused(llama, tmp_path / 'prompt', 'sets prompt_tuning_init_state_dict_path', UsageError)


@pytest.mark.parametrize(('text', 'message'), [
    ('[' * 100_000, 'nested too deeply|unreadable'), ('{"r": 1' + '0' * 5000 + '}', 'unreadable'), ('[1]', 'no object'),
    ('{"peft_type": "LORA"', 'unreadable'), ('\udce9', 'unreadable'), ('', 'unreadable')],
    ids=['deep', 'number', 'list', 'cut', 'bytes', 'empty'])
def test_broken_configurations(llama, folder, text, message):
    (folder / 'adapter_config.json').write_bytes(text.encode('utf-8', 'surrogateescape'))
    refused(llama, folder, message)


def test_a_huge_configuration_is_not_read(llama, folder):
    with open(folder / 'adapter_config.json', 'r+b') as file:
        file.truncate(2**34)  # a file with a hole, which takes no room
    refused(llama, folder, 'adapter_config.json has more than 16 MB')


# ---- links

@pytest.mark.parametrize('name', ['adapter_config.json', 'adapter_model.safetensors'])
def test_links_out_of_the_folder(llama, folder, tmp_path, name):
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(f'../{name}')
    refused(llama, folder, 'is a link to a file outside its folder', UsageError)


def test_links_into_the_cache_of_a_hub_and_to_a_whole_folder(llama, folder, tmp_path):
    snapshot, blobs = tmp_path / 'models--me--it' / 'snapshots' / 'abc', tmp_path / 'models--me--it' / 'blobs'
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for path in list(folder.iterdir()):
        path.rename(blobs / f'hash-{path.name}')
        (snapshot / path.name).symlink_to(f'../../blobs/hash-{path.name}')
    Swift.from_pretrained(llama(), snapshot)
    (tmp_path / 'short').symlink_to(snapshot)
    Swift.from_pretrained(llama(), tmp_path / 'short')


def test_a_linked_sub_folder_is_not_taken_for_an_adapter(llama, folder, tmp_path):
    (tmp_path / 'collection').mkdir()
    (tmp_path / 'collection' / 'evil').symlink_to(folder)
    refused(llama, tmp_path / 'collection', 'holds no adapter', UsageError)


@pytest.mark.parametrize('name', ['../adapter', '..', '/etc', 'a/../../adapter'])
def test_names_that_lead_elsewhere(llama, folder, name):
    with pytest.raises(UsageError, match='can not be the name of an adapter'):
        Swift.from_pretrained(llama(), folder, [name])


# ---- weights

@pytest.mark.parametrize('key', [
    f'{Q}.base_layer.weight', f'{Q}.weight', 'base_model.model.lm_head.weight', 'base_model.model.model.norm.weight',
    'model.norm.weight', 'base_model.lm_head.weight', 'base_model.model.model.norm.original_module.weight'])
def test_weights_of_the_base_model(llama, folder, key):
    like = llama().lm_head.weight if 'lm_head' in key else (
        llama().model.norm.weight if 'norm' in key else llama().model.layers[0].self_attn.q_proj.weight)
    add(folder, **{key: like.detach() + 1})
    refused(llama, folder, "holds a weight .*, which would replace one of the base model", UsageError)
    # peft saves embeddings beside an adapter: the model's own do no harm
    add(folder, **{key: like.detach().clone()})
    Swift.from_pretrained(llama(), folder)


def test_weights_of_another_adapter(llama, folder):
    model = Swift.prepare_model(llama(), {'other': LORA})
    kept = model.base_model.model.model.layers[0].self_attn.q_proj.lora_A['other'].weight.clone()
    add(folder, **{f'{Q}.lora_A.other.weight': torch.ones_like(kept)})
    with pytest.raises(UsageError, match='would replace one of the base model or of another adapter'):
        Swift.from_pretrained(model, folder, 'new')
    assert torch.equal(model.base_model.model.model.layers[0].self_attn.q_proj.lora_A['other'].weight, kept)


def test_weights_of_no_kind(llama, folder):
    add(folder, **{f'{Q}.running_mean': torch.ones(1)})
    refused(llama, folder, 'running_mean.* belongs to no adapter of the kind LORA', UsageError)


def test_a_tuner_of_ours_takes_nothing_else(llama, tmp_path):
    Swift.save_pretrained(Swift.prepare_model(llama(), PartConfig(target_modules=['model.norm'])), tmp_path / 'part')
    add(tmp_path / 'part', **{'model.lm_head.weight': torch.zeros(128, 64)})
    refused(llama, tmp_path / 'part', 'model.lm_head.weight is unknown')


@pytest.mark.parametrize('header', [
    {'a': {'dtype': 'F32', 'shape': [2**40], 'data_offsets': [0, 2**42]}},
    {'a': {'dtype': 'F32', 'shape': [4], 'data_offsets': [0, 4]}},
    {'a': {'dtype': 'F32', 'shape': [-1], 'data_offsets': [0, 4]}},
    {'a': {'dtype': 'PICKLE', 'shape': [1], 'data_offsets': [0, 4]}},
    {'a': {'dtype': 'F32', 'shape': [1], 'data_offsets': [-4, 0]}},
    {'a': {'dtype': 'F32', 'shape': [1], 'data_offsets': [0, 4]}, 'b': {
        'dtype': 'F32', 'shape': [1], 'data_offsets': [0, 4]}}],
    ids=['past the end', 'too few bytes', 'negative shape', 'type', 'negative offset', 'overlap'])
@pytest.mark.parametrize('native', [False, True], ids=['peft', 'ours'])
def test_headers_that_lie(llama, folder, header, native):
    if native:
        change(folder, swift_type='part')
        (folder / 'adapter_config.json').write_text(json.dumps({'swift_type': 'part', 'target_modules': ['norm']}))
    text = json.dumps(header).encode()
    (folder / 'adapter_model.safetensors').write_bytes(len(text).to_bytes(8, 'little') + text + b'\0' * 4)
    refused(llama, folder, 'can not be loaded')


@pytest.mark.parametrize('length', [2**63, 2**40, 0])
def test_a_header_of_another_length(llama, folder, length):
    (folder / 'adapter_model.safetensors').write_bytes(length.to_bytes(8, 'little') + b'{}')
    refused(llama, folder, 'can not be loaded')
