"""One suite for every tuning method: what it may change, what it must keep, what is saved, loaded and merged.

The model is a Llama of two layers, 64 wide, on the CPU in fp32. LoRA and one method of each kind run always, the
others are ``slow``.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from swift.llm.args import rules
from swift.llm.args.commands import SftArguments
from swift.llm.args.groups import MethodArgs, TunerArgs
from swift.llm.args.tuner_types import METHODS
from swift.llm.model.adapt import adapt, step_hook, tuner_config
from swift.tuners.api import Swift
from swift.tuners.registry import TUNERS
from swift.tuners.targets import find_blocks
from swift.utils.errors import UsageError

ROOT = Path(__file__).parents[2]
# two matrices, a schedule, a product with a vector, a shared projection, positions in the row and in the cache, blocks,
# hidden states
OFTEN = ('lora', 'adalora', 'ia3', 'vera', 'prompt_tuning', 'prefix_tuning', 'llamapro', 'reft', 'adapter')
# What has to divide the layers of the model, or would be too much for them.
SIZES = {
    'adalora': {'adalora_init_r': 6, 'adalora_target_r': 2}, 'ia3': {'ia3_feedforward_modules': ['down_proj']},
    'oft': {'oft_block_size': 16}, 'vblora': {'vblora_vector_length': 16, 'vblora_num_vectors': 32},
    'fourierft': {'fourier_n_frequency': 200}, 'waveft': {'waveft_n_frequency': 200}, 'c3a': {'c3a_block_size': 16},
    'road': {'road_group_size': 16}, 'gralora': {'gralora_rank': 8}, 'shira': {'shira_rank': 4},
    'psoft': {'psoft_rank': 16},
    'prompt_tuning': {'prompt_tuning_virtual_tokens': 4}, 'p_tuning': {'p_tuning_virtual_tokens': 4},
    'prefix_tuning': {'prefix_tuning_virtual_tokens': 4, 'prefix_tuning_hidden_size': 16},
    'llamapro': {'llamapro_num_new_blocks': 2}}
# Their docstrings say that they do not start as the base model; by how much the logits may differ, the rest is equal.
START = {'fourierft': 2.0, 'c3a': 0.5, 'vblora': 0.1, 'hra': 1e-5, 'prompt_tuning': 1.0, 'p_tuning': 1.0,
         'prefix_tuning': 1.0, 'reft': 1.0, 'deft': 1e-5, 'unilora': 0.1, 'side': 0.1}
MERGED = 1e-5  # logits of about 1 in size, fp32
TARGETS = {'part': ['lm_head', 'norm']}  # without a default
COMPILED = ('lora', 'ia3')  # always, of those above: compiling takes over a second
IDS = torch.arange(24).view(2, 12)


def some_methods():
    return [pytest.param(name, marks=() if name in OFTEN else pytest.mark.slow) for name in TUNERS.names()]


@pytest.fixture(params=some_methods())
def method(request) -> str:
    return request.param


def base_model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=128, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=False)).eval()


def prepared(method: str, base: LlamaForCausalLM | None = None, **more):
    """The base model with a fresh adapter, made as ``swift sft --tuner_type METHOD`` makes it."""
    return adapt(base or base_model(), tuner_args(method, **more), method=MethodArgs(**SIZES.get(method, {})))


def tuner_args(method: str, **more) -> TunerArgs:
    return TunerArgs(tuner_type=method, target_modules=TARGETS.get(method, ['DEFAULT']), lora_dropout=0.0, **more)


def taken_off(model, method: str) -> LlamaForCausalLM:
    keeps_modules = not METHODS[method].has_targets and not METHODS[method].native
    return model.get_base_model() if keeps_modules else model.unload()


def train(model, steps: int = 8, autocast: bool = False) -> list[float]:
    """Losses of some AdamW steps on one batch."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    losses = []
    model.train()
    for _ in range(steps):
        with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
            logits = model(input_ids=IDS).logits[:, -IDS.shape[1]:]
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), IDS[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    model.eval()
    return losses


@torch.no_grad()
def logits(model) -> torch.Tensor:
    return model(input_ids=IDS).logits[:, -IDS.shape[1]:].contiguous()  # what comes before belongs to virtual tokens


def test_start_is_the_base_model(method):
    before, after = logits(base_model()), logits(prepared(method).eval())
    if method in START:
        assert 0 < (after - before).abs().max() < START[method]
    else:
        assert torch.equal(after, before)


def test_only_the_adapter_learns_and_the_base_model_stays_bit_equal(method):
    model, base = prepared(method), base_model().state_dict()
    frozen = {name: p.detach().clone() for name, p in model.named_parameters() if not p.requires_grad}
    start = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    assert start and sum(p.numel() for p in start.values()) < sum(p.numel() for p in base.values())
    losses = train(model)
    assert losses[-1] < losses[0]
    after = dict(model.named_parameters())
    assert all(torch.equal(after[name], weight) for name, weight in frozen.items())
    assert any(not torch.equal(after[name], weight) for name, weight in start.items())
    with model.disable_adapter():
        assert torch.equal(logits(model), logits(base_model()))
    assert not torch.equal(logits(model), logits(base_model()))
    if TUNERS.get(method).also_saved:
        return  # peft leaves a module that was trained whole where it is
    bare = taken_off(model, method).state_dict()
    assert bare.keys() == base.keys() and all(torch.equal(bare[name], base[name]) for name in base)


def test_saved_and_loaded_is_bit_equal(method, tmp_path):
    model = prepared(method)
    train(model)
    Swift.save_pretrained(model, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} - {'README.md'} == {
        'adapter_config.json', 'adapter_model.safetensors'}
    base = base_model()
    torch.manual_seed(99)  # nothing that the adapter needs may come from the generator
    assert torch.equal(logits(Swift.from_pretrained(base, tmp_path).eval()), logits(model))


def test_merged_equals_unmerged(method):
    model = prepared(method)
    train(model)
    wanted = logits(model)
    if not METHODS[method].merges:
        with pytest.raises(UsageError, match=rf'type {method}\b.*can not become part of the weights'):
            Swift.merge_and_unload(model)
        return
    merged = Swift.merge_and_unload(model)
    assert type(merged) is LlamaForCausalLM
    assert merged.state_dict().keys() == LlamaForCausalLM(merged.config).state_dict().keys()
    torch.testing.assert_close(logits(merged), wanted, atol=MERGED, rtol=0)


def test_recomputed_activations_give_the_same_gradients(method):
    if not METHODS[method].recomputes:
        refused = rules.check(SftArguments.of(model='owner/model', dataset=['owner/data'], tuner_type=method,
                                              gradient_checkpointing=True))
        assert len(refused) == 1 and refused[0].startswith('--gradient_checkpointing true does not work with')
        return
    gradients = []
    for recomputes in (False, True):
        torch.manual_seed(1)
        model = prepared(method).train()
        if recomputes:
            model.get_base_model().gradient_checkpointing_enable({'use_reentrant': False})
        torch.manual_seed(2)
        model(input_ids=IDS).logits.square().mean().backward()
        gradients.append([p.grad for p in model.parameters() if p.requires_grad])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_learns_under_autocast(method):
    model = prepared(method)
    losses = train(model, autocast=True)
    assert losses[-1] < losses[0]
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}


def test_an_adapter_beside_another(method, tmp_path):
    model = prepared(method)
    train(model)
    wanted = logits(model)
    Swift.save_pretrained(model, tmp_path)
    Swift.from_pretrained(model, tmp_path, 'second')
    Swift.set_active(model, ['second'])
    assert torch.equal(logits(model.eval()), wanted)


# ---- sizes, parts and types

# Llama-3.2-1B, the model of the table in docs/tuners.md
_1B = LlamaConfig(vocab_size=128256, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16,
                  num_attention_heads=32, num_key_value_heads=8, tie_word_embeddings=True)
NOT_ON_META = {'shira': 'chooses entries by their values'}
# modules that are trained whole are copies in the type of the model: peft doesn't lift them to fp32
IN_16_BIT = ('ln_tuning', 'longlora')
# copies compute in fp32 where the model computes in 16 bit
NEAR_IN_16_BIT = {'part': 1e-2}
# peft rounds its scales to the type of the base, so that it is another adapter on the same weights in fp32
ROUNDED = ('unilora',)
# while a prompt is off, peft leaves the modules saved beside it in effect
SAVED_STAY = ('prompt_tuning', 'p_tuning', 'prefix_tuning')
# modules to save beside the method: another one than it trains itself
SAVED = {'part': 'embed_tokens'}
# One adapter of the kind is in effect at a time; what Swift says to two.
ALONE = {'adalora': 'one that is trained', 'c3a': 'one .* is active', 'ln_tuning': 'one .* is active',
         'longlora': 'can not be active together', 'part': 'both train a copy of',
         **dict.fromkeys(('prompt_tuning', 'p_tuning', 'prefix_tuning'), 'of such adapters one is active')}
# They can't be compiled as one graph.
GRAPH_BREAKS = {'waveft': 'a class in a loop', 'loha': 'a branch on a value', 'lokr': 'a branch on a value',
                'vblora': 'a branch on a value', 'shira': 'a sparse matrix'}


def on_meta(config: LlamaConfig) -> LlamaForCausalLM:
    with torch.device('meta'):
        return LlamaForCausalLM(copy.deepcopy(config))  # llamapro changes that of the model


def trained(model) -> dict[str, torch.nn.Parameter]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_the_share_of_trained_weights_is_the_documented_one(method):
    rows = {row.split('`')[1]: row for row in (ROOT / 'docs/tuners.md').read_text(encoding='utf-8').splitlines()
            if row.startswith(('| `', '| [`'))}
    cells = [cell.strip() for cell in rows[method].split('|')]
    share = next((cell for cell in cells if cell.replace('.', '').isdigit()), None)
    if share is None or method in NOT_ON_META:
        pytest.skip('the table gives none, or it can not be counted without weights')
    base = on_meta(_1B)
    total = sum(parameter.numel() for parameter in base.parameters())
    model = adapt(base, TunerArgs(tuner_type=method, target_modules=TARGETS.get(method, ['DEFAULT'])))
    digits = len(share.partition('.')[2])
    assert f'{100 * sum(p.numel() for p in trained(model).values()) / total:.{digits}f}' == share


def test_no_weight_of_the_base_model_is_trained_itself(method):
    base = base_model()
    its = {id(parameter) for parameter in base.parameters()}
    assert not its & {id(parameter) for parameter in trained(prepared(method, base)).values()}


def test_put_on_a_model_without_weights(method):
    if method in NOT_ON_META:
        pytest.skip(NOT_ON_META[method])
    model, real = prepared(method, on_meta(base_model().config)), prepared(method)
    shapes = [{name: parameter.shape for name, parameter in trained(one).items()} for one in (model, real)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=['bf16', 'fp16'])
def test_on_a_base_in_16_bit(method, dtype, tmp_path):
    base = base_model().to(dtype)
    before = {name: weight.clone() for name, weight in base.state_dict().items()}
    with torch.no_grad():
        start = logits(base)
    model = prepared(method, base).eval()
    assert logits(model).dtype == dtype
    if method not in START:
        torch.testing.assert_close(logits(model), start, atol=NEAR_IN_16_BIT.get(method, 0), rtol=0)
    types = {parameter.dtype for parameter in trained(model).values()}
    assert types == {torch.float32} or method in IN_16_BIT
    if method in IN_16_BIT and dtype == torch.float16:
        return  # AdamW's epsilon is 0 in fp16
    losses = train(model)
    assert losses[-1] < losses[0]
    with model.disable_adapter():
        assert torch.equal(logits(model), start)

    if not METHODS[method].merges:
        return
    Swift.save_pretrained(model, tmp_path)
    exact = base_model()
    exact.load_state_dict({name: weight.float() for name, weight in before.items()})
    exact = Swift.merge_and_unload(Swift.from_pretrained(exact, tmp_path)).state_dict()
    merged = Swift.merge_and_unload(model).state_dict()
    assert {weight.dtype for weight in merged.values()} == {dtype}
    for name, weight in merged.items():  # the sum was made in fp32 and rounded once
        assert torch.equal(weight, exact[name].to(dtype)) or method in ROUNDED, name


def test_modules_to_save_beside_it(method, tmp_path):
    word = SAVED.get(method, 'lm_head')
    model = prepared(method, modules_to_save=[word])
    train(model)
    wanted = logits(model)
    with model.disable_adapter():
        assert torch.equal(logits(model), logits(base_model())) or method in SAVED_STAY
    Swift.save_pretrained(model, tmp_path)
    assert torch.equal(logits(Swift.from_pretrained(base_model(), tmp_path).eval()), wanted)
    if not METHODS[method].merges:
        return
    merged = Swift.merge_and_unload(model)
    torch.testing.assert_close(logits(merged), wanted, atol=MERGED, rtol=0)
    before = dict(base_model().named_modules())
    changed = [name for name, module in merged.named_modules()
               if name.endswith(word) and not torch.equal(module.weight, before[name].weight)]
    assert len(changed) == 1


def test_unloaded_it_leaves_no_trace(method):
    if TUNERS.get(method).also_saved:
        pytest.skip('peft leaves a module that was trained whole where it is')
    base = base_model()
    modules = {name: id(module) for name, module in base.named_modules()}
    model = prepared(method, base)
    train(model)
    bare = taken_off(model, method)
    assert bare is base and {name: id(module) for name, module in base.named_modules()} == modules
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in base.modules())
    torch.manual_seed(0)
    again = train(prepared(method, bare))
    other = base_model()
    torch.manual_seed(0)
    assert again == train(prepared(method, other))


# ---- two of a kind

def two(method: str):
    """The base model with two fresh adapters of the same kind, both active."""
    base = base_model()
    sizes = MethodArgs(**SIZES.get(method, {}))
    return Swift.prepare_model(base, {name: tuner_config(tuner_args(method), base, None, sizes)
                                      for name in ('one', 'two')})


def of(model, adapter: str) -> dict[str, torch.Tensor]:
    """A copy of what is saved of an adapter."""
    with tempfile.TemporaryDirectory() as folder:
        Swift.save_pretrained(model, folder, [adapter])
        return load_file(Path(folder) / adapter / 'adapter_model.safetensors')


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_two_of_a_kind(method):
    if method in ALONE:
        with pytest.raises(UsageError, match=ALONE[method]):
            two(method)
        return
    model = two(method)
    assert Swift.active(model) == ['one', 'two']
    Swift.set_active(model, ['one'])
    start = of(model, 'two')
    train(model, 3)
    one = logits(model)
    assert same(of(model, 'two'), start), 'training one changed the other'
    kept = of(model, 'one')
    Swift.set_active(model, ['two'])
    train(model, 5)
    alone = logits(model)
    assert same(of(model, 'one'), kept) and not same(of(model, 'two'), start)
    Swift.set_active(model, ['one'])
    assert torch.equal(logits(model), one)
    Swift.set_active(model, ['one', 'two'])
    both = logits(model)
    assert not torch.equal(both, one) and not torch.equal(both, alone)
    train(model, 1)
    assert not same(of(model, 'two'), of(two(method), 'two'))
    with model.disable_adapter():
        assert torch.equal(logits(model), logits(base_model()))


# ---- compiled

def step(model, *, compiled: str | None, fullgraph: bool) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Logits and gradients of one step, the blocks compiled by this backend."""
    torch.manual_seed(1)
    model.train()
    if compiled:
        torch.compiler.reset()
        base = model.get_base_model()
        for block in base.get_submodule(find_blocks(base)):
            block.compile(backend=compiled, fullgraph=fullgraph)
    output = model(input_ids=IDS).logits
    output.square().mean().backward()
    return output.detach(), [parameter.grad for parameter in trained(model).values()]


@pytest.mark.parametrize('name', [pytest.param(name, marks=() if name in COMPILED else pytest.mark.slow)
                                  for name in TUNERS.names()])
def test_compiled_blocks_give_the_same_step(name):
    plain = step(prepared(name), compiled=None, fullgraph=False)
    compiled = step(prepared(name), compiled='eager', fullgraph=name not in GRAPH_BREAKS)
    assert torch.equal(compiled[0], plain[0])
    assert all(torch.equal(one, other) for one, other in zip(compiled[1], plain[1], strict=True))


@pytest.mark.slow
def test_compiled_blocks_with_their_backward_pass():
    plain = step(prepared('lora'), compiled=None, fullgraph=False)
    compiled = step(prepared('lora'), compiled='aot_eager', fullgraph=True)
    torch.testing.assert_close(compiled, plain)


# ---- other processes

@pytest.mark.parametrize('names', [OFTEN, pytest.param(None, marks=pytest.mark.slow)], ids=['often', 'all'])
def test_loaded_in_a_fresh_process_and_trained_by_two(names, tmp_path):
    names = sorted(names or TUNERS.names())
    base_model().save_pretrained(tmp_path / 'base')
    for name in names:
        model = prepared(name)
        train(model, 3)
        Swift.save_pretrained(model, tmp_path / f'adapter-{name}')
        save_file({'logits': logits(model)}, tmp_path / f'adapter-{name}' / 'logits.safetensors')
    child = subprocess.run([sys.executable, '-W', 'ignore', '-m', 'tests.conformance.tuner_child', str(tmp_path)],
                           capture_output=True, text=True, timeout=900, cwd=ROOT,
                           env=os.environ | {'OMP_NUM_THREADS': '1'})
    assert child.returncode == 0, child.stderr
    assert child.stdout.splitlines() == [f'{what} {name} True' for what in ('fresh', 'ddp') for name in names]


# ------------------------------------------------------------------------------------------------------- single methods

def test_sizes_that_do_not_divide_a_layer_name_the_method():
    with pytest.raises(UsageError, match=r'--tuner_type c3a does not fit this model: .*block'):
        adapt(base_model(), TunerArgs(tuner_type='c3a'), method=MethodArgs(c3a_block_size=48))


def test_feedforward_modules_of_ia3_are_among_its_targets():
    with pytest.raises(UsageError, match='--ia3_feedforward_modules down_proj is none of the target modules: q_proj'):
        adapt(base_model(), TunerArgs(tuner_type='ia3', target_modules=['q_proj']),
              method=MethodArgs(ia3_feedforward_modules=['down_proj']))


def test_ln_tuning_takes_the_normalisations_by_default_and_what_is_named_else():
    names = {name.split('.ln_tuning')[0] for name, p in prepared('ln_tuning').named_parameters() if p.requires_grad}
    assert len(names) == 5 and all(name.endswith('norm') for name in names)
    model = adapt(base_model(), TunerArgs(tuner_type='ln_tuning', target_modules=['input_layernorm']))
    assert sum(p.requires_grad for p in model.parameters()) == 2


def adalora(total: int, **more):
    model = adapt(base_model(), TunerArgs(tuner_type='adalora', lora_dropout=0.0), method=MethodArgs(
        adalora_init_r=6, adalora_target_r=2, **more))
    hook = step_hook(model, TunerArgs(tuner_type='adalora'))
    hook.begin(total)
    return model, hook


def steps(model, hook, first: int, last: int, optimizer=None):
    optimizer = optimizer or torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    for step in range(first, last + 1):
        loss = model(input_ids=IDS).logits[:, :-1].flatten(0, 1)
        (torch.nn.functional.cross_entropy(loss, IDS[:, 1:].flatten()) + hook.penalty()).backward()
        optimizer.step()
        hook.after_optimizer(step)
        optimizer.zero_grad()
    return optimizer


def ranks(model) -> list[int]:
    return [int((p != 0).sum()) for name, p in model.named_parameters() if 'lora_E' in name]


def test_adalora_prunes_to_its_target_between_the_first_and_the_last_steps():
    model, hook = adalora(12, adalora_tinit=3, adalora_tfinal=3)
    optimizer = steps(model, hook, 1, 3)
    assert ranks(model) == [6] * 14, 'nothing is pruned in the first steps'
    steps(model, hook, 4, 9, optimizer)
    assert sum(ranks(model)) == 2 * 14 and len(set(ranks(model))) > 1, 'two a layer on average'
    chosen = [p != 0 for name, p in model.named_parameters() if 'lora_E' in name]
    steps(model, hook, 10, 12, optimizer)
    assert all(torch.equal(p != 0, kept) for kept, p in zip(
        chosen, [p for name, p in model.named_parameters() if 'lora_E' in name], strict=True))


def test_the_penalty_of_adalora_is_that_of_peft():
    model, hook = adalora(12)
    output = model(input_ids=IDS, labels=IDS)
    plain = torch.nn.functional.cross_entropy(output.logits[:, :-1].flatten(0, 1), IDS[:, 1:].flatten())
    torch.testing.assert_close(hook.penalty(), output.loss - plain)


def test_adalora_goes_on_exactly_where_it_was(tmp_path):
    model, hook = adalora(12, adalora_tfinal=2)
    optimizer = steps(model, hook, 1, 6)
    Swift.save_pretrained(model, tmp_path)
    state, moments = copy.deepcopy(hook.state_dict()), copy.deepcopy(optimizer.state_dict())
    steps(model, hook, 7, 12, optimizer)

    again, other = adalora(12, adalora_tfinal=2)
    weights = load_file(tmp_path / 'adapter_model.safetensors')
    for name, parameter in again.named_parameters():
        if parameter.requires_grad:
            parameter.data.copy_(weights[name.replace('.default', '')])
    other.load_state_dict(state)
    optimizer = torch.optim.AdamW([p for p in again.parameters() if p.requires_grad], lr=0.01)
    optimizer.load_state_dict(moments)
    steps(again, other, 7, 12, optimizer)
    assert torch.equal(logits(again), logits(model)) and ranks(again) == ranks(model)


def test_adalora_needs_steps_to_prune_in():
    with pytest.raises(UsageError, match='--adalora_tinit 8 and --adalora_tfinal 4 leave no step .* has 12'):
        adalora(12, adalora_tinit=8, adalora_tfinal=4)
