from __future__ import annotations

import json

import pytest

from swift.llm.model import checks
from swift.utils.errors import SwiftError, UsageError


def check(folder, **options):
    checks.check_config(folder, checks.read_config(folder), **{'trust_remote_code': False, **options})


def test_a_good_folder_passes(tiny_model_dir):
    check(tiny_model_dir)
    assert checks.check_weights(tiny_model_dir) == (tiny_model_dir / 'model.safetensors').stat().st_size
    assert checks.tokenizer_code(tiny_model_dir) is None


@pytest.mark.parametrize('changes', [
    {'_attn_implementation_internal': 'someone/kernel'}, {'_experts_implementation_internal': 'sdpa'},
    {'attn_implementation': 'someone/kernel:run'}, {'_attn_implementation': 'someone/kernel'},
    {'text_config': {'_attn_implementation_internal': 'someone/kernel'}},
    {'layers': [{'attn_implementation': {'': 'someone/kernel'}}]}])
def test_a_config_that_would_fetch_a_kernel_is_refused(broken, edit_config, changes):
    edit_config(**changes)
    with pytest.raises(UsageError, match='fetch and run a kernel. Nothing was run.*--attn_impl'):
        check(broken)


@pytest.mark.parametrize('changes', [
    {'architectures': 'LlamaForCausalLM'}, {'model_type': ['llama']}, {'auto_map': ['x']},
    {'model_type': 'foo', 'auto_map': {'AutoModelForCausalLM': 5}}])
def test_a_config_with_values_of_another_kind_is_refused(broken, edit_config, changes):
    edit_config(**changes)
    with pytest.raises(SwiftError, match=f"config.json has '{list(changes)[-1]}': .*, which is not "):
        checks.read_config(broken)


@pytest.mark.parametrize('changes', [
    {'_attn_implementation': 'flash_attention_2'}, {'_attn_implementation_autoset': True}, {'_name_or_path': 'a/b'}])
def test_what_transformers_itself_saves_is_not_refused(broken, edit_config, changes):
    edit_config(**changes)
    check(broken)


def test_an_architecture_that_needs_code_names_the_file_and_the_flag(broken, edit_config):
    edit_config(model_type='strange', architectures=['StrangeForCausalLM'],
                auto_map={'AutoConfig': 'configuration_strange.C', 'AutoModelForCausalLM': 'modeling_strange.M'})
    with pytest.raises(UsageError, match=r'would run .*/modeling_strange\.py\. Nothing was run\..*--trust_remote_code'):
        check(broken)
    check(broken, **{'trust_remote_code': True})


def test_the_loader_is_the_one_that_has_the_class_that_config_names(broken, edit_config):
    assert checks.check_config(broken, checks.read_config(broken), trust_remote_code=False) == 'AutoModelForCausalLM'
    loaders = {'Qwen3_5ForCausalLM': 'AutoModelForCausalLM',
               'Qwen3_5ForConditionalGeneration': 'AutoModelForImageTextToText'}
    for name, loader in loaders.items():  # transformers knows both under one model_type
        assert checks.native_loader({'model_type': 'qwen3_5', 'architectures': [name]}) == loader
    assert checks.native_loader({'model_type': 'qwen2_audio', 'architectures': []}) == 'AutoModelForMultimodalLM'
    assert checks.native_loader({'model_type': 'internlm2'}) is None


@pytest.mark.parametrize('changes, kind', [
    ({'architectures': ['LlamaForSequenceClassification']}, 'a classifier or reward model'),
    ({'architectures': ['LlamaModel']}, 'a model without an output head')])
def test_a_model_that_writes_no_text_is_refused_by_name(broken, edit_config, changes, kind):
    edit_config(**changes)
    with pytest.raises(UsageError, match=f'is {kind} .{changes["architectures"][0]}.*Only models that write text'):
        check(broken)


def test_an_encoder_is_refused(broken, edit_config):
    edit_config(model_type='modernbert', architectures=['ModernBertForMaskedLM'])
    with pytest.raises(UsageError, match="'ModernBertForMaskedLM', which transformers .* does not have as a language"):
        check(broken)


def test_code_without_a_causal_language_model_is_not_run(broken, edit_config):
    edit_config(model_type='strange', architectures=['StrangeModel'],
                auto_map={'AutoConfig': 'configuration_strange.C', 'AutoModel': 'modeling_strange.M'})
    with pytest.raises(UsageError, match='its own code offers no AutoModelForCausalLM'):
        check(broken, **{'trust_remote_code': True})


def test_code_of_a_repository_that_is_not_here_yet(broken, edit_config):
    edit_config(model_type='strange', auto_map={'AutoModelForCausalLM': 'modeling_strange.M'})
    with pytest.raises(UsageError, match='^owner/name is a model .*modeling_strange.py of the hub repository owner'):
        check(broken, origin='owner/name')


def test_code_of_another_repository_is_named(broken, edit_config):
    edit_config(model_type='strange', auto_map={'AutoModelForCausalLM': 'owner/name--modeling_strange.M'})
    with pytest.raises(UsageError, match='modeling_strange.py of the hub repository owner/name'):
        check(broken)


def test_a_known_architecture_needs_no_code_even_when_it_brings_some(broken, edit_config):
    edit_config(auto_map={'AutoModelForCausalLM': 'modeling_llama.M'})
    check(broken)


def test_an_unknown_architecture_without_code_says_so(broken, edit_config):
    edit_config(model_type='strange', architectures=['StrangeForCausalLM'])
    with pytest.raises(UsageError, match="'StrangeForCausalLM', which transformers .* does not have"):
        check(broken)


def test_folders_that_hold_no_model(tmp_path):
    with pytest.raises(UsageError, match='no config.json'):
        checks.read_config(tmp_path)
    (tmp_path / 'adapter_config.json').write_text('{}')
    with pytest.raises(UsageError, match='an adapter, not a model. Pass it as --adapters'):
        checks.read_config(tmp_path)
    (tmp_path / 'config.json').write_text('{"a":')
    with pytest.raises(SwiftError, match='config.json is not valid JSON'):
        checks.read_config(tmp_path)


def test_a_cut_weight_file_is_named(broken):
    path = broken / 'model.safetensors'
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(SwiftError, match=r'model\.safetensors is unreadable .*damaged'):
        checks.check_weights(broken)
    path.write_bytes(b'')
    with pytest.raises(SwiftError, match='unreadable'):
        checks.check_weights(broken)


def test_missing_shards_are_named(broken):
    (broken / 'model.safetensors.index.json').write_text(json.dumps(
        {'weight_map': {'a': 'model.safetensors', 'b': 'model-00002-of-00002.safetensors'}}))
    with pytest.raises(SwiftError, match='lacks 1 of its 2 weight files: model-00002-of-00002.safetensors'):
        checks.check_weights(broken)


def test_pickled_weights_are_refused_with_the_reason(broken):
    (broken / 'model.safetensors').rename(broken / 'pytorch_model.bin')
    with pytest.raises(UsageError, match='only as pytorch_model.bin, a pickle file, which can run code'):
        checks.check_weights(broken)
    (broken / 'pytorch_model.bin').unlink()
    with pytest.raises(UsageError, match='has no weights'):
        checks.check_weights(broken)
