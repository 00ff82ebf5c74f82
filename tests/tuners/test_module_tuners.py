"""Tuners of ours on modules: adapter, side, restuning, scetuning, prompt and NEFTune, against formulas in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import GPT2Config, GPT2LMHeadModel, Qwen3MoeConfig, Qwen3MoeForCausalLM, ViTConfig, ViTModel

from swift.tuners.api import LoraConfig, Swift, SwiftModel
from swift.tuners.bottleneck import ACTIVATIONS
from swift.tuners.methods.adapter import AdapterConfig
from swift.tuners.methods.neftune import NEFTuneConfig
from swift.tuners.methods.restuning import ResTuningConfig
from swift.tuners.methods.scetuning import SCETuningConfig
from swift.tuners.methods.side import SideConfig
from swift.tuners.methods.vpt import PromptConfig
from swift.tuners.widths import width_of
from swift.utils.errors import UsageError

IDS = torch.arange(12).view(2, 6)


class Block(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.mlp = nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        self.seen = mask
        return x + self.mlp(self.norm(x))


class Encoder(nn.Module):
    """Three blocks and a normalisation, in float64."""

    def __init__(self, dim: int = 8, outputs: str = 'tensor') -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList([Block(dim) for _ in range(3)])
        self.norm = nn.LayerNorm(dim)
        self.outputs = outputs
        self.double()

    def forward(self, x: Tensor, mask: Tensor | None = None):
        for layer in self.layers:
            x = layer(x, mask=mask)
        x = self.norm(x)
        return {'tensor': x, 'tuple': (None, x), 'dict': {'other': None, 'hidden': x}}[self.outputs]


def tuner_of(model: SwiftModel) -> nn.Module:
    return model.tuners['default'].tuner


def randomised(model: SwiftModel) -> dict[str, Tensor]:
    """Trained weights by name, in float64 and no longer at their start."""
    torch.manual_seed(1)
    tuner_of(model).double()
    with torch.no_grad():
        for parameter in tuner_of(model).parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.5)
    return dict(tuner_of(model).named_parameters())


def hidden(*shape: int) -> Tensor:
    torch.manual_seed(2)
    return torch.randn(*shape, dtype=torch.float64)


def compare(model: SwiftModel, x: Tensor, wanted: Tensor, weights: dict[str, Tensor]) -> None:
    """Values and gradients."""
    got = model(x)
    torch.testing.assert_close(got, wanted, atol=1e-12, rtol=0)
    up = torch.randn_like(got)
    for one, other in zip(torch.autograd.grad(got, list(weights.values()), up),
                          torch.autograd.grad(wanted, list(weights.values()), up), strict=True):
        torch.testing.assert_close(one, other, atol=1e-11, rtol=0)
        assert one.abs().max() > 0


def bottleneck(w: dict[str, Tensor], prefix: str, x: Tensor) -> Tensor:
    inner = F.gelu(x @ w[f'{prefix}down.weight'].T + w[f'{prefix}down.bias'])
    return inner @ w[f'{prefix}up.weight'].T + w[f'{prefix}up.bias']


# -------------------------------------------------------------------------------------------------------------- adapter

def test_adapter_is_its_formula():
    base = Encoder()
    model = Swift.prepare_model(base, AdapterConfig(adapter_length=3))
    w, x = randomised(model), hidden(2, 5, 8)
    y = x
    for number, layer in enumerate(base.layers):
        with model.disable_adapter():
            mlp = layer.mlp(layer.norm(y))
        y = y + mlp + bottleneck(w, f'bottlenecks.layers/{number}/mlp.', mlp)
    compare(model, x, base.norm(y), w)


@pytest.mark.parametrize(('outputs', 'position'), [('tuple', 1), ('dict', 'hidden')])
def test_adapter_behind_one_of_several_outputs(outputs, position):
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = Encoder(outputs=outputs)

        def forward(self, x: Tensor) -> Tensor:
            return self.encoder(x)[position]
    model = Swift.prepare_model(Outer(), AdapterConfig(
        target_modules=['encoder'], hidden_pos=position, act_layer='tanh'))
    w, x = randomised(model), hidden(2, 5, 8)
    with model.disable_adapter():
        y = model(x)
    inner = torch.tanh(F.linear(y, w['bottlenecks.encoder.down.weight'], w['bottlenecks.encoder.down.bias']))
    compare(model, x, y + F.linear(inner, w['bottlenecks.encoder.up.weight'], w['bottlenecks.encoder.up.bias']), w)


def test_activations_are_those_of_transformers():
    from transformers.activations import ACT2FN
    x = torch.linspace(-4, 4, 41)
    for name, make in ACTIVATIONS.items():
        torch.testing.assert_close(make()(x), ACT2FN[name](x), atol=1e-6, rtol=0)
    with pytest.raises(UsageError, match="Unknown activation 'gelo'. Did you mean 'gelu'"):
        Swift.prepare_model(Encoder(), AdapterConfig(act_layer='gelo'))


def test_widths_are_seen_from_the_layers(llama):
    model = llama()
    assert [width_of(model, f'model.layers.0{part}') for part in ('', '.mlp', '.self_attn', '.self_attn.k_proj')] == [
        64, 64, 64, 32]
    gpt = GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=1, n_head=2, vocab_size=50, bos_token_id=0, eos_token_id=0))
    assert width_of(gpt, 'transformer.h.0.mlp') == 32 and width_of(gpt, 'transformer.h.0.mlp.c_fc') == 128
    moe = Qwen3MoeForCausalLM(Qwen3MoeConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1, head_dim=8, num_experts=4,
        moe_intermediate_size=16, vocab_size=50, num_experts_per_tok=2))
    assert width_of(moe, 'model.layers.0.mlp') == 32, 'not the four outputs of the router'
    adapted = Swift.prepare_model(llama(), LoraConfig(r=2, target_modules=['q_proj', 'down_proj'])).get_base_model()
    wrapped = ('mlp', 'mlp.down_proj', 'self_attn.q_proj')
    assert [width_of(adapted, f'model.layers.0.{part}') for part in wrapped] == [64] * 3
    with pytest.raises(UsageError, match='How wide the output of 1 is .* give dim'):
        width_of(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), '1')


def test_adapter_on_a_half_model_is_trained_in_fp32_and_gives_back_what_it_was_given(llama):
    model = Swift.prepare_model(llama().to(torch.bfloat16), AdapterConfig(adapter_length=4))
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    with torch.no_grad():
        assert torch.equal(model(IDS).logits, llama().to(torch.bfloat16)(IDS).logits)


def test_methods_other_than_forward_are_refused(llama):
    with pytest.raises(UsageError, match='method_name feed_forward_chunk: an adapter is put behind forward'):
        Swift.prepare_model(llama(), AdapterConfig(method_name='feed_forward_chunk'))


# ----------------------------------------------------------------------------------------------------------------- side

def test_side_mlp_is_its_formula():
    base = Encoder()
    model = Swift.prepare_model(base, SideConfig(target_modules=['layers.1'], side_module_name='mlp', alpha=0.0))
    assert float(tuner_of(model).networks['layers/1'].alpha.detach()) == 0
    w, x = randomised(model), hidden(2, 5, 8)
    with model.disable_adapter():
        before = base.layers[0](x)
        main = base.layers[1](before)
    key = 'networks.layers/1.network.'
    side = F.linear(F.gelu(F.linear(before, w[f'{key}0.weight'], w[f'{key}0.bias'])), w[f'{key}2.weight'],
                    w[f'{key}2.bias'])
    share = 1 / (1 + torch.exp(-w['networks.layers/1.alpha']))
    compare(model, x, base.norm(base.layers[2](share * main + (1 - share) * side)), w)


def test_side_fcn4_beside_an_image_model_as_a_whole():
    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.flatten, self.head = nn.Flatten(), nn.Linear(3 * 16 * 16, 5)

        def forward(self, pixel_values: Tensor) -> dict[str, Tensor]:
            return {'logits': self.head(self.flatten(pixel_values))}
    torch.manual_seed(0)
    base = Classifier().double()
    model = Swift.prepare_model(base, SideConfig(source_hidden_pos='pixel_values', target_hidden_pos='logits'))
    w, x = randomised(model), hidden(2, 3, 16, 16)
    y, key = x, 'networks.model.network.'
    for number, (stride, padding) in enumerate(((1, 1), (2, 0), (2, 0), (1, 0))):
        y = F.conv2d(y, w[f'{key}{3 * number}.weight'], stride=stride, padding=padding)
        y = F.relu(F.group_norm(y, 2, w[f'{key}{3 * number + 1}.weight'], w[f'{key}{3 * number + 1}.bias']))
    side = F.linear(y.mean(dim=(2, 3)), w[f'{key}14.weight'], w[f'{key}14.bias'])
    share = w['networks.model.alpha'].sigmoid()
    with model.disable_adapter():
        main = base(pixel_values=x)['logits']
    torch.testing.assert_close(model(pixel_values=x)['logits'], share * main + (1 - share) * side, atol=1e-12, rtol=0)
    with pytest.raises(UsageError, match="called without the input 'pixel_values'"):
        model(x)


def test_side_networks_there_are():
    with pytest.raises(UsageError, match='side_module_name alexnet: there are fcn4'):
        Swift.prepare_model(Encoder(), SideConfig(side_module_name='alexnet'))


# ------------------------------------------------------------------------------------------------------------ restuning

def stems(base: Encoder, x: Tensor) -> list[Tensor]:
    seen = [x]
    with torch.no_grad():
        for layer in base.layers:
            seen.append(layer(seen[-1]))
    return seen


def normalised(model: SwiftModel, base: Encoder, y: Tensor) -> Tensor:
    with model.disable_adapter():
        return base.norm(y)


def test_restuning_in_place_of_the_target():
    base = Encoder()
    model = Swift.prepare_model(base, ResTuningConfig())
    w, x = randomised(model), hidden(2, 5, 8)
    with model.disable_adapter():
        root, *outputs = stems(base, x)
    y = root
    for number, stem in enumerate(outputs):
        step = f'bypass.steps.{number}.'
        y = y + bottleneck(w, f'{step}vertical.bottleneck.', y)
        y = stem + bottleneck(w, f'{step}lateral.bottleneck.', stem) + y
    compare(model, x, normalised(model, base, y), w)


def test_gated_restuning_starts_as_the_model_and_is_its_formula():
    base = Encoder()
    x = hidden(2, 5, 8)
    start = base(x)
    model = Swift.prepare_model(base, ResTuningConfig(gated=True, tuner_cfg={'lateral_cfg': {
        'res_adapter': {'adapter_length': 3, 'adapter_weight': 'scale_channel'}}, 'vertical_cfg': 'identity'}))
    assert torch.equal(model(x), start)
    w = randomised(model)
    with model.disable_adapter():
        y, *outputs = stems(base, x)
    for number, stem in enumerate(outputs):
        step = f'bypass.steps.{number}.'
        lateral = stem + w[f'{step}lateral.weight.scale'] * bottleneck(w, f'{step}lateral.bottleneck.', stem)
        share = w[f'{step}balance'].sigmoid()
        y = share * lateral + (1 - share) * y
    compare(model, x, normalised(model, base, outputs[-1] + w['bypass.gate'] * y), w)


def test_restuning_keeps_no_activations_of_the_frozen_model():
    base = Encoder()
    x = hidden(2, 5, 8)
    model = Swift.prepare_model(base, ResTuningConfig(gated=True))
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(1) or t, lambda t: t):
        base.layers[2](base.layers[1](base.layers[0](x)))
        assert not kept
        model(x)
    assert kept


def test_restuning_on_images_of_several_sizes():
    class Pyramid(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1)
            self.last = nn.Conv2d(8, 8, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            return self.last(self.second(F.interpolate(x, scale_factor=2)))
    torch.manual_seed(0)
    base = Pyramid().double()
    model = Swift.prepare_model(base, ResTuningConfig(
        stem_modules=['first', 'second'], target_modules=['last'], use_upsample=True, upsample_out_channels=[8, 8],
        tuner_cfg={'lateral_cfg': {'res_group_adapter': {'head': 2}}, 'vertical_cfg': 'identity',
                   'aux_cfg': 'upsample'}))
    tuner_of(model).bypass.steps[1].larger = None  # the last stem has the size already
    w, x = randomised(model), hidden(2, 4, 3, 3)
    with model.disable_adapter():
        one = base.first(x).detach()
        two = base.second(F.interpolate(one, scale_factor=2)).detach()

    def grouped(stem: Tensor, number: int) -> Tensor:
        step, dim = f'bypass.steps.{number}.lateral.bottleneck.', stem.shape[1]
        out = torch.empty_like(stem)
        for head in range(2):
            channels = [c * 2 + head for c in range(dim // 2)]
            rows = stem[:, channels].permute(0, 2, 3, 1)
            out[:, channels] = bottleneck(w, step, rows).permute(0, 3, 1, 2)
        return stem + out
    y = F.interpolate(grouped(one, 0) + x, size=(6, 6))
    larger = 'bypass.steps.0.larger.convolution.'
    y = F.conv2d(y, w[f'{larger}weight'], w[f'{larger}bias'], padding=1)
    with model.disable_adapter():
        wanted = base.last(grouped(two, 1) + y)
    compare(model, x, wanted, w)


@pytest.mark.parametrize(('config', 'message'), [
    (ResTuningConfig(target_modules=['layers.0'], stem_modules=['layers.1']), 'layers.0 ran before the root'),
    (ResTuningConfig(target_modules=['norm']), 'needs one target_modules, after all stems; found layers.0.norm'),
    (ResTuningConfig(tuner_cfg='res_adaptor'), "no tuner 'res_adaptor'. Did you mean 'res_adapter'"),
    (ResTuningConfig(tuner_cfg={'res_adapter': {'depth': 2}}), "res_adapter has no such setting: .*'depth'"),
    (ResTuningConfig(tuner_cfg={'res_group_adapter': {'head': 3}}), 'head 3 does not divide 8 channels'),
    (ResTuningConfig(tuner_cfg={'res_adapter': {'adapter_weight': 'scalar_x'}}), "adapter_weight 'scalar_x'"),
    (ResTuningConfig(dims=[8, 8]), 'dims has 2 sizes for 3 stems'),
    (ResTuningConfig(stem_modules_hook='both'), "stem_modules_hook is 'both'; it takes input or output"),
    (ResTuningConfig(use_bypass=False), 'use_bypass false'),
])
def test_restuning_that_does_not_fit(config, message):
    with pytest.raises(UsageError, match=message):
        Swift.prepare_model(Encoder(), config)(hidden(1, 2, 8))


# ------------------------------------------------------------------------------------------------------------ scetuning

class Decoder(nn.Module):
    """Two layers of a UNet's decoder, named as those of diffusers, and the encoder's layer that feeds the second."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)
        self.up_blocks = nn.ModuleList([nn.Module(), nn.Module()])
        self.up_blocks[0].resnets = nn.ModuleList([nn.Conv2d(4, 2, 1)])
        self.up_blocks[1].resnets = nn.ModuleList([nn.Conv2d(6, 5, 1)])
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        one = self.first(x)
        two = self.second(one)
        y = self.up_blocks[0].resnets[0](torch.cat((two, two * 2), dim=1))
        return self.up_blocks[1].resnets[0](torch.cat((y, one), dim=1))


@pytest.mark.parametrize('hinted', [False, True])
def test_scetuning_of_the_decoder_is_its_formula(hinted):
    base, x = Decoder(), hidden(2, 3, 4, 5)
    start = base(x)
    hints = {'hint_modules': ['second', 'first']} if hinted else {}
    model = Swift.prepare_model(base, SCETuningConfig(down_ratio=0.5, **hints))
    assert torch.equal(model(x), start) and [tuner.dim for tuner in tuner_of(model).tuners] == [2, 4]
    w = randomised(model)

    def edited(number: int, skip: Tensor, hint: Tensor) -> Tensor:
        rows = (skip + hint.detach() if hinted else skip).permute(0, 2, 3, 1)
        return skip + bottleneck(w, f'tuners.{number}.bottleneck.', rows).permute(0, 3, 1, 2)
    with model.disable_adapter():
        one = base.first(x)
        two = base.second(one)
        y = base.up_blocks[0].resnets[0](torch.cat((two, edited(0, two * 2, two)), dim=1))
        wanted = base.up_blocks[1].resnets[0](torch.cat((y, edited(1, one, one)), dim=1))
    compare(model, x, wanted, w)


def test_scetuning_of_the_encoder_and_what_does_not_fit():
    base, x = Decoder(), hidden(2, 3, 4, 5)
    model = Swift.prepare_model(base, SCETuningConfig(tuner_mode='encoder', target_modules=['first']))
    w = randomised(model)
    with model.disable_adapter():
        one = base.first(x)
        rows = one.permute(0, 2, 3, 1)
        one = one + bottleneck(w, 'tuners.0.bottleneck.', rows).permute(0, 3, 1, 2)
        two = base.second(one)
        y = base.up_blocks[0].resnets[0](torch.cat((two, two * 2), dim=1))
        wanted = base.up_blocks[1].resnets[0](torch.cat((y, one), dim=1))
    compare(model, x, wanted, w)
    for config, message in (
            (SCETuningConfig(tuner_mode='both'), "tuner_mode is 'both'"),
            (SCETuningConfig(tuner_mode='encoder'), 'name the layers of the encoder in target_modules'),
            (SCETuningConfig(tuner_op='Other'), 'there is SCEAdapter'),
            (SCETuningConfig(down_ratio=0.0), 'down_ratio is 0.0'),
            (SCETuningConfig(target_modules=['second']), 'UNets of diffusers alone .* give dims'),
            (SCETuningConfig(dims=[1, 2, 3]), 'dims has 3 sizes for 2 targets'),
            (SCETuningConfig(hint_modules=['first']), '1 modules for 2 targets')):
        with pytest.raises(UsageError, match=message):
            Swift.prepare_model(Decoder(), config)


# --------------------------------------------------------------------------------------------------------------- prompt

@pytest.mark.parametrize('front', [True, False])
@pytest.mark.parametrize('extracts', [True, False])
def test_prompt_is_its_formula(front, extracts):
    base = Encoder()
    model = Swift.prepare_model(base, PromptConfig(prompt_length=2, attach_front=front, extract_embedding=extracts))
    w, x = randomised(model), hidden(2, 5, 8)
    y = x
    for number, layer in enumerate(base.layers):
        tokens = w[f'prompts.layers/{number}.tokens'].expand(2, -1, -1)
        if number and not extracts:
            y = y[:, 2:] if front else y[:, :-2]
        y = torch.cat((tokens, y) if front else (y, tokens), dim=1)
        y = y + layer.mlp(layer.norm(y))
        if extracts:
            y = y[:, 2:] if front else y[:, :-2]
    y = base.norm(y)
    assert model(x).shape == (2, 5 if extracts else 7, 8)
    got = model(x)
    torch.testing.assert_close(got, y, atol=1e-12, rtol=0)
    if not extracts:  # an encoder without attention: taken out again, a prompt has no effect
        compare(model, x, y, {'last': w['prompts.layers/2.tokens']})


@pytest.mark.parametrize(('mask', 'value', 'shape'), [
    (torch.zeros(2, 1, 1, 5), 0.0, (2, 1, 1, 7)), (torch.zeros(2, 1, 5, 5), 0.0, (2, 1, 7, 7)),
    (torch.ones(2, 5, dtype=torch.bool), True, (2, 7)), (torch.ones(2, 5, dtype=torch.long), 1, (2, 7))])
def test_the_mask_grows_with_the_prompt(mask, value, shape):
    base = Encoder()
    model = Swift.prepare_model(base, PromptConfig(
        prompt_length=2, attention_mask_pos='mask', attention_mask_value=value))
    model(hidden(2, 5, 8), mask=mask)
    for layer in base.layers:
        assert layer.seen.shape == shape and layer.seen.dtype == mask.dtype
        assert (layer.seen[..., :2] == value).all()
    assert model(hidden(2, 5, 8)).shape == (2, 7, 8), 'a mask that is None stays None'


def test_prompts_of_a_vit_reach_its_class_token(tmp_path):
    def vit() -> ViTModel:
        torch.manual_seed(0)
        return ViTModel(ViTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
                                  image_size=8, patch_size=4), add_pooling_layer=False).eval()
    model = Swift.prepare_model(vit(), {
        'prompt': PromptConfig(prompt_length=3, extract_embedding=True), 'adapter': AdapterConfig(adapter_length=2)})
    x = torch.randn(2, 3, 8, 8)
    out = model(x).last_hidden_state
    assert out.shape == vit()(x).last_hidden_state.shape and not torch.allclose(out, vit()(x).last_hidden_state)
    out[:, 0].sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    Swift.save_pretrained(model, tmp_path)
    with torch.no_grad():
        assert torch.equal(Swift.from_pretrained(vit(), tmp_path).eval()(x).last_hidden_state, out)


# -------------------------------------------------------------------------------------------------------------- neftune

def test_neftune_adds_noise_in_training_only_and_leaves_the_model_trainable(llama):
    base = llama()
    seen: list[Tensor] = []
    model = Swift.prepare_model(base, NEFTuneConfig(noise_alpha=3.0))
    base.model.layers[0].register_forward_pre_hook(lambda _m, args: seen.append(args[0].detach()))
    assert all(p.requires_grad for p in base.parameters())
    model.eval()(IDS)
    model.train()(IDS)
    noise, bound = seen[1] - seen[0], 3.0 / math.sqrt(6 * 64)
    assert 0.99 * bound < noise.abs().max() <= bound * 1.0001 and noise.mean().abs() < bound / 10
    with model.disable_adapter():
        model(IDS)
    assert torch.equal(seen[2], seen[0])


def test_neftune_beside_others_saved_and_merged(llama, tmp_path):
    model = Swift.prepare_model(llama(), {'noise': NEFTuneConfig(), 'adapter': AdapterConfig(adapter_length=2)})
    assert not any(p.requires_grad for p in model.model.parameters())
    later = Swift.prepare_model(llama(), NEFTuneConfig())
    later = Swift.prepare_model(later, {'adapter': AdapterConfig(adapter_length=2)})
    assert not any(p.requires_grad for p in later.model.parameters())
    Swift.save_pretrained(model, tmp_path)
    assert set(Swift.active(Swift.from_pretrained(llama(), tmp_path))) == {'noise', 'adapter'}
    merged = Swift.merge_and_unload(Swift.prepare_model(llama(), NEFTuneConfig()))
    assert type(merged) is type(llama()) and not merged.model.embed_tokens._forward_hooks


@pytest.mark.parametrize('config', [
    AdapterConfig(), SideConfig(side_module_name='mlp'), ResTuningConfig(), PromptConfig()])
def test_what_can_not_be_merged_says_so_and_changes_nothing(config):
    model = Swift.prepare_model(Encoder(), config)
    before = model(hidden(1, 2, 8))
    with pytest.raises(UsageError, match=f'type {config.swift_type} can not become part of'):
        Swift.merge_and_unload(model)
    assert torch.equal(model(hidden(1, 2, 8)), before)
