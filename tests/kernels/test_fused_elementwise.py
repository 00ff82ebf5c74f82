"""A model with fused norms and feed-forward layers is the model it was."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaMLP, LlamaRMSNorm

from swift.kernels.fused_elementwise import FusedGatedMLP, FusedRMSNorm, gated_of, norm_of, replace


def model():
    torch.manual_seed(0)
    config = LlamaConfig(hidden_size=32, intermediate_size=56, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=2, vocab_size=50)
    made = LlamaForCausalLM(config)
    for name, parameter in made.named_parameters():
        if 'norm' in name:
            torch.nn.init.normal_(parameter)
    return made


def fused(plain):
    return replace(plain, {name: FusedRMSNorm(module, module.variance_epsilon) if isinstance(module, LlamaRMSNorm)
                           else FusedGatedMLP(module, 'silu')
                           for name, module in plain.named_modules() if isinstance(module, LlamaRMSNorm | LlamaMLP)})


def loss_and_gradients(of):
    ids = torch.arange(24).view(2, 12)
    loss = of(input_ids=ids, labels=ids).loss
    names = [name for name, parameter in of.named_parameters() if parameter.requires_grad]
    parameters = [parameter for parameter in of.parameters() if parameter.requires_grad]
    return loss, dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


@pytest.mark.parametrize('frozen', [False, True])
def test_loss_and_gradients_of_a_model_are_the_same(frozen):
    plain = model()
    if frozen:
        for name, parameter in plain.named_parameters():
            parameter.requires_grad_('q_proj' in name)
    expected, gradients = loss_and_gradients(plain)
    done = fused(plain)
    assert len(done.modules) == 7
    ours, our_gradients = loss_and_gradients(plain)
    torch.testing.assert_close(ours, expected)
    assert list(our_gradients) == list(gradients)
    for name, gradient in gradients.items():
        torch.testing.assert_close(our_gradients[name], gradient, atol=1e-6, rtol=1e-4, msg=name)


def test_names_and_parameters_stay_and_restore_puts_back_the_very_modules():
    plain = model()
    modules, parameters = dict(plain.named_modules()), dict(plain.named_parameters())
    state = copy.deepcopy(plain.state_dict())
    done = fused(plain)
    assert list(plain.state_dict()) == list(state)
    assert all(parameter is parameters[name] for name, parameter in plain.named_parameters())
    projection = torch.nn.Linear(32, 56, bias=False)
    plain.model.layers[0].mlp.gate_proj = projection  # as an adapter does
    plain.model.norm.weight = torch.nn.Parameter(torch.zeros(32))
    plain.eval()
    done.restore()
    assert list(modules) == list(dict(plain.named_modules()))
    assert plain.model.layers[0].mlp is modules['model.layers.0.mlp'] and plain.model.norm is modules['model.norm']
    assert plain.model.layers[0].mlp.gate_proj is projection and not plain.model.norm.weight.any()
    assert not plain.model.norm.training


def test_modules_with_hooks_are_left_alone():
    plain = model()
    plain.model.norm.register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match='model.norm has hooks'):
        fused(plain)
    assert isinstance(plain.model.layers[0].mlp, LlamaMLP)


def test_gradcheck():
    x, gate, up = (torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True) for _ in range(3))
    weight = torch.randn(5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, weight: norm_of(x, weight, 1e-5, 1.0), (x, weight))
    for kind in ('silu', 'gelu_tanh', 'gelu'):
        assert torch.autograd.gradcheck(lambda gate, up, kind=kind: gated_of(gate, up, kind), (gate, up))


def test_strided_inputs_and_a_second_backward_give_the_same():
    x = torch.randn(4, 6, 3).transpose(1, 2).requires_grad_()
    weight = torch.randn(6, requires_grad=True)
    y = norm_of(x, weight, 1e-5)
    torch.testing.assert_close(y, norm_of(x.contiguous(), weight, 1e-5))
    first, second = (torch.autograd.grad(y.sum(), (x, weight), retain_graph=True) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)
