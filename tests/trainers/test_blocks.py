"""Fused blocks in models of transformers: the same values and gradients, and what they leave to the model's own."""

from __future__ import annotations

import logging

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file
from torch import nn

from swift.kernels.varlen import Documents
from swift.llm.model.attention import see_documents
from swift.trainers.blocks import FusedBlock, fuse_blocks
from tests.conformance.tiny import tiny_model

MODELS = {'llama': 'LlamaForCausalLM', 'mistral': 'MistralForCausalLM', 'qwen2': 'Qwen2ForCausalLM',
          'qwen3': 'Qwen3ForCausalLM', 'gemma': 'GemmaForCausalLM'}
ALL = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']
LENGTHS = (9, 1, 20, 6)
POLICIES = ('none', 'light', 'selective', 'full')


def model_of(model_type: str, targets: list[str] | None = None, dropout: float = 0.0, **options) -> nn.Module:
    """A tiny model whose numbers are no special ones, with an adapter that does something."""
    model = tiny_model(getattr(transformers, MODELS[model_type]), model_type)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    if targets is not None:
        model = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, lora_dropout=dropout, target_modules=targets,
                                                 task_type='CAUSAL_LM', **options))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if 'lora_B' in name:
                    parameter.normal_(std=0.1)
    return model


def bare(model: nn.Module) -> nn.Module:
    return model.get_base_model() if hasattr(model, 'get_base_model') else model


def line(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {'input_ids': torch.randint(4, 100, (1, sum(LENGTHS)), generator=generator),
            'position_ids': torch.cat([torch.arange(n) for n in LENGTHS])[None]}


def loss_of(logits: torch.Tensor) -> torch.Tensor:
    return (logits * torch.linspace(-1, 1, logits.numel(), dtype=logits.dtype).view_as(logits)).sum() / 100


def one_by_one(model: nn.Module, rows: dict[str, torch.Tensor]) -> torch.Tensor:
    parts = torch.split(rows['input_ids'], LENGTHS, 1)
    return torch.cat([model(input_ids=part, use_cache=False).logits for part in parts], 1)


def packed(model: nn.Module, rows: dict[str, torch.Tensor]) -> torch.Tensor:
    return model(**rows, use_cache=False, documents=Documents.of(LENGTHS)).logits


def result(model: nn.Module, run, rows: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    model.zero_grad()
    logits = run(model, rows)
    loss_of(logits).backward()
    return {'logits': logits.detach()} | {
        name.replace('.base_layer', '').replace('base_model.model.', ''): parameter.grad.clone()
        for name, parameter in model.named_parameters() if parameter.grad is not None}


def assert_same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], tolerance: float = 1e-5) -> None:
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        worst = (found[name] - tensor).abs().max() / tensor.abs().max().clamp(min=1e-3)
        assert worst <= tolerance, (name, float(worst))


@pytest.mark.parametrize('policy', POLICIES)
@pytest.mark.parametrize('model_type', MODELS)
@pytest.mark.parametrize('targets', [None, ALL, ['q_proj', 'v_proj', 'down_proj'], ['up_proj', 'o_proj']],
                         ids=['full', 'all', 'qvd', 'uo'])
def test_values_and_gradients_are_those_of_the_model(model_type, targets, policy):
    model, rows = model_of(model_type, targets).train(), line()
    wanted = result(model, one_by_one, rows)
    fuse_blocks(bare(model), True, sharded=False).keep(policy)
    assert any(isinstance(module, FusedBlock) for module in model.modules())
    assert_same(result(model, packed, rows), wanted)
    assert_same(result(model, packed, rows), wanted)  # a second step


def test_ranks_scalings_and_frozen_parts_that_differ():
    model = model_of('qwen2', ALL, rank_pattern={'q_proj': 2, 'up_proj': 11}, alpha_pattern={'k_proj': 40},
                     use_rslora=True)
    for name, parameter in model.named_parameters():
        if 'layers.0.' in name and 'v_proj' in name or 'q_proj.lora_A' in name:
            parameter.requires_grad_(False)
    rows = line()
    wanted = result(model, one_by_one, rows)
    fuse_blocks(bare(model), True, sharded=False)
    assert_same(result(model, packed, rows), wanted)


def test_new_adapter_weights_are_seen_in_the_next_forward():
    model, rows = model_of('llama', ALL), line()
    fuse_blocks(bare(model), True, sharded=False)
    packed(model, rows)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if 'lora_' in name:
                parameter.mul_(1.5)
    found = packed(model, rows)
    torch.testing.assert_close(found, one_by_one(model, rows), rtol=1e-4, atol=1e-4)


def test_generation_padded_batches_and_disabled_adapters_go_the_model_s_own_way():
    model, rows = model_of('qwen2', ALL).eval(), line()
    ids, mask = torch.randint(4, 100, (2, 8)), torch.tensor([[1] * 8, [1] * 5 + [0] * 3])

    def everything():
        with torch.no_grad():
            yield model.generate(ids[:1], max_new_tokens=5, do_sample=False)
            yield model(input_ids=ids, attention_mask=mask).logits
            with model.disable_adapter():
                yield one_by_one(model, rows)
    wanted = list(everything())
    fuse_blocks(bare(model), True, sharded=False)
    for found, tensor in zip(everything(), wanted, strict=True):
        torch.testing.assert_close(found, tensor, rtol=1e-5, atol=1e-5)
    with model.disable_adapter(), torch.no_grad():
        torch.testing.assert_close(packed(model, rows), wanted[2], rtol=1e-4, atol=1e-4)


def test_names_and_values_of_parameters_stay_and_restoring_leaves_no_trace():
    model = model_of('qwen2', ALL)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    kinds = [type(module) for module in model.modules()]
    done = fuse_blocks(bare(model), True, sharded=False)
    for state in (model.state_dict(), done.restore() or model.state_dict()):
        assert list(state) == list(before)
        assert all(torch.equal(tensor, before[name]) for name, tensor in state.items())
    assert [type(module) for module in model.modules()] == kinds
    assert all(parameter.is_contiguous() for parameter in model.parameters())


def test_an_adapter_is_saved_as_it_is_and_merged_after_restoring(tmp_path):
    model, rows = model_of('qwen2', ALL), line()
    wanted = one_by_one(model, rows)
    done = fuse_blocks(bare(model), True, sharded=False)
    model.save_pretrained(tmp_path / 'adapter')
    done.restore()
    merged = model.merge_and_unload()
    merged.save_pretrained(tmp_path / 'merged')
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / 'merged')
    torch.testing.assert_close(one_by_one(again, rows), wanted, rtol=1e-4, atol=1e-4)
    assert set(load_file(tmp_path / 'adapter' / 'adapter_model.safetensors')) == set(
        get_peft_model_state_dict(model_of('qwen2', ALL)))


def test_trained_weights_are_saved_from_where_they_are(tmp_path):
    model, rows = model_of('qwen2'), line()
    wanted = one_by_one(model, rows)
    fuse_blocks(model, True, sharded=False)
    model.save_pretrained(tmp_path)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(one_by_one(again, rows), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('policy', POLICIES)
def test_dropout_is_the_same_in_forward_and_backward(policy):
    """The directional derivative along the adapters, of the function with the masks of one seed."""
    model, rows = model_of('llama', ALL, dropout=0.3).double().train(), line()
    fuse_blocks(bare(model), True, sharded=False).keep(policy)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    directions = [torch.randn_like(parameter) for parameter in trained]

    def value(step: float) -> torch.Tensor:
        with torch.no_grad():
            for parameter, direction in zip(trained, directions, strict=True):
                parameter.add_(direction, alpha=step)
        torch.manual_seed(3)
        found = loss_of(packed(model, rows))
        with torch.no_grad():
            for parameter, direction in zip(trained, directions, strict=True):
                parameter.add_(direction, alpha=-step)
        return found
    grads = torch.autograd.grad(value(0.0), trained)
    slope = sum((grad * direction).sum() for grad, direction in zip(grads, directions, strict=True))
    with torch.no_grad():
        measured = (value(1e-4) - value(-1e-4)) / 2e-4  # transformers' last norm is float32
        other = value(0.0)
        torch.manual_seed(4)
        assert not torch.allclose(loss_of(packed(model, rows)), other)
    torch.testing.assert_close(slope, measured, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize(('change', 'reason'), [
    (lambda model: model.model.layers[1].mlp.register_forward_hook(lambda *_: None), 'has hooks'),
    (lambda model: setattr(model.model.layers[0].self_attn, 'attention_dropout', 0.1), 'attention has dropout'),
    (lambda model: setattr(model.model.layers[0].mlp, 'up_proj', nn.Identity()), 'is a Identity'),
], ids=['hook', 'dropout', 'part'])
def test_a_model_that_is_not_as_its_class_makes_it_stays_as_it_is(caplog, change, reason):
    model = model_of('llama')
    change(model)
    with caplog.at_level(logging.WARNING, logger='swift'):
        assert fuse_blocks(model, True, sharded=False) is None
    assert reason in caplog.text
    assert not any(isinstance(module, FusedBlock) for module in model.modules())


def test_weights_of_another_type_than_is_computed_in_stay_with_the_model(caplog):
    """Full training in float16 keeps float32 weights under autocast: a block that leaves autocast would be float32."""
    with caplog.at_level(logging.WARNING, logger='swift'):
        assert fuse_blocks(model_of('llama'), True, sharded=False, computed_in=torch.float16) is None
    assert 'its weights are float32 and it is computed in float16' in caplog.text


def test_weights_that_were_moved_are_told_and_left_to_the_model(caplog):
    model, rows = model_of('qwen2', ALL), line()
    done = fuse_blocks(bare(model), True, sharded=False)
    wanted = one_by_one(model, rows)
    attention = done.layers[0].self_attn
    attention.q_proj.base_layer.bias.data = attention.q_proj.base_layer.bias.data + 1
    changed = one_by_one(model, rows)
    assert not torch.allclose(changed, wanted)
    with caplog.at_level(logging.WARNING, logger='swift'):
        see_documents(bare(model))
        for _ in range(2):
            torch.testing.assert_close(packed(model, rows), changed, rtol=1e-4, atol=1e-4)
    assert caplog.text.count('moved to other memory') == 1


def test_a_wrong_result_is_found_in_the_trial(monkeypatch, caplog):
    import swift.kernels.block as block
    right = block.rms_norm
    monkeypatch.setattr(block, 'rms_norm', lambda x, weight, *a, **k: right(x, weight * 1.01, *a, **k))
    model = model_of('llama', ALL)
    with caplog.at_level(logging.WARNING, logger='swift'):
        assert fuse_blocks(bare(model), True, sharded=False) is None
    assert 'differs in this model' in caplog.text


def test_what_is_saved_is_what_the_policy_says():
    """Numbers a token and block, as the table in swift/kernels/block.py has them."""
    from swift.kernels import block as kernel
    model, rows = model_of('llama', ALL).train(), line()
    done = fuse_blocks(bare(model), True, sharded=False)
    spec = done.layers[0].block.spec
    width, inner = done.layers[0].block.qkv.inputs, done.layers[0].block.down.inputs
    q, k = spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim
    numbers = {'full': width, 'selective': 2 * width + 2 * q + 2 * k, 'light': 2 * width + 2 * q + 2 * k + 2 * inner}
    for policy, wanted in numbers.items():
        done.keep(policy)
        logits = packed(model, rows)
        node, saved = logits.grad_fn, []
        seen = set()
        todo = [node]
        while todo:
            node = todo.pop()
            if node in seen or node is None:
                continue
            seen.add(node)
            if isinstance(getattr(node, 'saved', None), kernel._Saved):
                saved.append(node.saved)
            todo += [following for following, _ in node.next_functions]
        assert len(saved) == 2
        tensors = {}
        for value in (value for name, value in vars(saved[0]).items() if 'xa' not in name and 'rstd' not in name):
            for tensor in value if isinstance(value, tuple) else (value,):
                if isinstance(tensor, torch.Tensor):
                    tensors[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes() // 4
        assert sum(tensors.values()) == wanted * sum(LENGTHS), policy


def test_offloading_without_a_gpu_is_refused():
    from swift.llm.args.groups import TrainArgs
    from swift.trainers.prepare import prepare
    from swift.utils.errors import UsageError
    with pytest.raises(UsageError, match='--offload_activations true copies between a GPU of CUDA and the host'):
        prepare(model_of('llama'), TrainArgs(offload_activations=True), [], padding_free=None, attention='auto',
                dtype=torch.float32, device=torch.device('cpu'), optim='adamw_torch', max_length=8, sharded=False,
                gradients=True, may_regroup=False)
