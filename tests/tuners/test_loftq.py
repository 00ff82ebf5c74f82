"""LoftQ: the adapter begins as the best that its rank can do about quantisation; it stays with its weights."""

from __future__ import annotations

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from swift.llm.args.groups import ModelArgs, QuantArgs, TemplateArgs, TunerArgs
from swift.llm.export.merge import merge_adapter
from swift.llm.model.adapt import adapt
from swift.llm.model.load import load_model
from swift.llm.model.whole_weights import whole_weights
from swift.tuners.api import LoraConfig, Swift
from swift.utils.errors import SwiftError, UsageError
from swift.utils.extras import available

IDS = torch.arange(100, 148).view(4, 12)
LINEAR = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']
NF4, INT8 = QuantArgs(quant_bits=4), QuantArgs(quant_bits=8)
PLAIN_SCALES = QuantArgs(quant_bits=4, bnb_4bit_use_double_quant=False)
needs_bnb = pytest.mark.skipif(not available('bitsandbytes'), reason='pip install "ms-swift[quant]"')
needs_hqq = pytest.mark.skipif(not available('hqq'), reason='pip install hqq')
RSLORA = {'use_rslora': True, 'rank_pattern': {'up_proj': 3}}
KINDS = [pytest.param(NF4, {}, id='nf4', marks=needs_bnb), pytest.param(NF4, RSLORA, id='rslora', marks=needs_bnb),
         pytest.param(QuantArgs(quant_bits=4, bnb_4bit_quant_type='fp4'), {}, id='fp4', marks=needs_bnb),
         pytest.param(INT8, {}, id='int8', marks=needs_bnb),
         pytest.param(QuantArgs(quant_bits=4, quant_method='hqq'), {}, id='hqq', marks=needs_hqq)]


def load(folder, quant: QuantArgs | None):
    return load_model(ModelArgs(model=str(folder)), training=True, quant=quant).model


def with_loftq(folder, quant: QuantArgs = NF4, **more):
    torch.manual_seed(1)
    config = LoraConfig(**{'task_type': 'CAUSAL_LM', 'r': 8, 'lora_alpha': 32, 'target_modules': LINEAR, **more})
    return Swift.prepare_model(load(folder, quant), config, weights=whole_weights(folder)).eval()


def numbers(base) -> torch.Tensor:
    """The weight that a layer computes with, by asking the layer: its answers to the unit vectors."""
    with torch.no_grad():
        out = base(torch.eye(base.in_features))
    return (out if base.bias is None else out - base.bias).T.double()


def in_float64(base) -> torch.Tensor:
    """What the layer's weight stands for; 8-bit layers round their inputs too, so that their answers don't tell it."""
    if type(base).__name__ == 'Linear8bitLt':
        return base.weight.CB.double() * base.weight.SCB.double()[:, None] / 127
    return numbers(base)


@torch.no_grad()
def logits(model) -> torch.Tensor:
    return model.eval()(IDS).logits


def best_of(error: torch.Tensor, rank: int) -> torch.Tensor:
    u, s, vh = torch.linalg.svd(error)
    return u[:, :rank] @ torch.diag(s[:rank]) @ vh[:rank]


@pytest.mark.parametrize(('quant', 'more'), KINDS)
def test_every_layer_begins_at_the_best_approximation_of_its_rank(tiny_model_dir, quant, more):
    model, whole = with_loftq(tiny_model_dir, quant, **more), load_file(tiny_model_dir / 'model.safetensors')
    layers = {name: module for name, module in model.named_modules() if name.endswith(tuple(LINEAR))}
    assert len(layers) == 14
    for name, layer in layers.items():
        weight = whole[f'{name.removeprefix("base_model.model.")}.weight']
        error = weight.double() - in_float64(layer.base_layer)
        rank = more.get('rank_pattern', {}).get(name.rpartition('.')[2], 8)
        scale = 32 / rank ** 0.5 if more else 32 / rank
        product = scale * layer.lora_B['default'].weight.double() @ layer.lora_A['default'].weight.double()
        torch.testing.assert_close(product, best_of(error, rank), atol=1e-6, rtol=0)
        left = (error - product).norm()
        assert left < 0.9 * error.norm()
        torch.testing.assert_close(left, torch.linalg.svdvals(error)[rank:].norm(), atol=1e-6, rtol=1e-4)


@needs_bnb
def test_the_model_begins_nearer_to_the_whole_one_than_without_it(tiny_model_dir):
    wanted = logits(load(tiny_model_dir, None))
    quantised = logits(load(tiny_model_dir, NF4))
    assert (logits(with_loftq(tiny_model_dir, r=16)) - wanted).norm() < 0.7 * (quantised - wanted).norm()
    everything = logits(with_loftq(tiny_model_dir, r=40))  # more than a layer of width 32 has
    torch.testing.assert_close(everything, wanted, atol=1e-5, rtol=0)


@needs_bnb
def test_on_8_bits_that_have_been_used_it_begins_the_same(tiny_model_dir):
    used = load(tiny_model_dir, INT8)
    logits(used)
    config = LoraConfig(r=8, lora_alpha=32, target_modules=LINEAR)
    torch.manual_seed(1)
    begun = Swift.prepare_model(used, config, weights=whole_weights(tiny_model_dir))
    assert torch.equal(logits(begun), logits(with_loftq(tiny_model_dir, INT8)))


@needs_bnb
def test_a_saved_adapter_answers_the_same_and_only_on_the_weights_it_is_for(tiny_model_dir, tmp_path):
    model = with_loftq(tiny_model_dir)
    model(input_ids=IDS, labels=IDS).loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter -= 0.1 * parameter.grad
    Swift.save_pretrained(model, tmp_path / 'one')
    loaded = Swift.from_pretrained(load(tiny_model_dir, NF4), tmp_path / 'one', is_trainable=True)
    assert torch.equal(logits(loaded), logits(model))
    Swift.save_pretrained(loaded, tmp_path / 'two')  # what it is for is told on
    for folder, other, found in (('one', INT8, 'int8'), ('one', PLAIN_SCALES, 'nf4'), ('two', None, 'not quantised')):
        with pytest.raises(UsageError, match=f'nf4 with quantised scales took away.* this model are {found}. Load'):
            Swift.from_pretrained(load(tiny_model_dir, other), tmp_path / folder)
    with pytest.raises(UsageError, match='can not be merged into them; leave --merge_lora out'):
        merge_adapter(tmp_path / 'two', ModelArgs(model=str(tiny_model_dir)), TemplateArgs(), quant=NF4)
    assert not (tmp_path / 'two-merged').exists()


@needs_bnb
@pytest.mark.filterwarnings('ignore:Adapter default was active')
def test_a_second_adapter_without_the_start_is_for_any_weights(tiny_model_dir, tmp_path):
    model = Swift.prepare_model(with_loftq(tiny_model_dir), {'other': LoraConfig(target_modules=['q_proj'])})
    Swift.save_pretrained(model, tmp_path)
    with safe_open(tmp_path / 'other' / 'adapter_model.safetensors', framework='pt') as file:
        assert file.metadata() == {'format': 'pt'}
    Swift.from_pretrained(load(tiny_model_dir, None), tmp_path / 'other')
    model.delete_adapter('default')
    model.add_adapter('default', LoraConfig(target_modules=['q_proj']))
    Swift.save_pretrained(model, tmp_path / 'later')
    with safe_open(tmp_path / 'later' / 'adapter_model.safetensors', framework='pt') as file:
        assert file.metadata() == {'format': 'pt'}


@needs_bnb
@pytest.mark.filterwarnings('ignore:Model has `tie_word_embeddings')
def test_layers_that_are_not_quantised_keep_the_plain_start(tiny_model_dir):
    model = with_loftq(tiny_model_dir, target_modules=['q_proj', 'embed_tokens', 'lm_head'])
    assert not model.base_model.model.lm_head.lora_B['default'].weight.any()
    assert model.base_model.model.model.layers[1].self_attn.q_proj.lora_B['default'].weight.any()


@pytest.mark.parametrize(('more', 'problem'), [
    ({}, 'no layer with an adapter is quantised. Load the model with --quant_bits'),
    ({'use_dora': True}, 'does not go with DoRA'), ({'init_lora_weights': 'olora'}, 'with init_lora_weights=True')])
def test_what_it_has_no_use_for_is_refused(tiny_model_dir, more, problem):
    with pytest.raises(UsageError, match=problem):
        with_loftq(tiny_model_dir, None, **more)


@needs_bnb
@pytest.mark.parametrize('wrong', [torch.zeros(32, 31), torch.ones(32, 32), torch.full((32, 32), torch.nan)],
                         ids=['shape', 'numbers', 'nan'])
def test_a_weight_that_was_not_the_quantised_one_is_no_start(tiny_model_dir, wrong):
    with pytest.raises(SwiftError, match=r'model.layers.0.self_attn.q_proj.weight, \[32, 3[12]\], is not the one'):
        Swift.prepare_model(load(tiny_model_dir, NF4), LoraConfig(target_modules=['q_proj']), weights=lambda _: wrong)


@needs_bnb
def test_the_flag_reads_the_checkpoint_and_not_where_a_run_goes_on(tiny_model_dir, tmp_path):
    tuner = TunerArgs(init_weights='loftq', lora_rank=8, lora_alpha=32, target_modules=['ALL'])
    torch.manual_seed(1)
    one = adapt(load(tiny_model_dir, NF4), tuner, checkpoint=tiny_model_dir)
    assert torch.equal(logits(one), logits(with_loftq(tiny_model_dir)))
    Swift.save_pretrained(one, tmp_path / 'one')
    again = adapt(load(tiny_model_dir, NF4), tuner, checkpoint=tmp_path / 'nothing', resumed=tmp_path / 'one')
    assert torch.equal(logits(again), logits(load(tiny_model_dir, NF4)))  # its weights come next
    Swift.save_pretrained(again, tmp_path / 'two')
    with safe_open(tmp_path / 'two' / 'adapter_model.safetensors', framework='pt') as file:
        assert file.metadata() == {'format': 'pt', 'swift_quantised_base': 'nf4 with quantised scales'}


def test_weights_under_other_names_and_in_several_files_are_found_or_refused(tmp_path):
    tensors = {f'{part}.layers.{at}.{name}.weight': torch.randn(2, 2)
               for part in ('model', 'visual') for at in (0, 1) for name in ('attn.q', 'mlp.up')}
    del tensors['visual.layers.0.attn.q.weight']
    save_file(tensors, tmp_path / 'model.safetensors')
    read = whole_weights(tmp_path)
    assert torch.equal(read('visual.layers.1.mlp.up.weight'), tensors['visual.layers.1.mlp.up.weight'])
    assert torch.equal(read('model.language_model.layers.0.attn.q.weight'), tensors['model.layers.0.attn.q.weight'])
    for name in ('model.language_model.layers.1.attn.q.weight', 'model.layers.0.attn.k.weight'):
        with pytest.raises(UsageError, match=f'no weight that is {name} beyond doubt'):
            read(name)


def test_weights_are_found_through_an_index(tmp_path):
    save_file({'a.b.weight': torch.ones(2, 2)}, tmp_path / 'one.safetensors')
    (tmp_path / 'model.safetensors.index.json').write_text('{"weight_map": {"a.b.weight": "one.safetensors"}}')
    assert torch.equal(whole_weights(tmp_path)('a.b.weight'), torch.ones(2, 2))
