"""Shifted sparse attention against the formula in float64, row by row and head by head."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from swift.llm.args.groups import MethodArgs, TunerArgs
from swift.llm.model.adapt import adapt
from swift.llm.template.collate import collate
from swift.trainers.loss import causal_lm_loss
from swift.tuners.api import Swift
from swift.tuners.methods.longlora import shifted_group_attention, train_with_shifted_groups
from swift.utils.errors import UsageError

HEADS, KEY_HEADS, SIZE, LENGTH = 4, 2, 8, 13
LAYER = SimpleNamespace(training=True, is_causal=True)


def tensors(rows: int, length: int = LENGTH, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(rows, heads, length, SIZE, generator=generator, dtype=dtype).requires_grad_()
            for heads in (HEADS, KEY_HEADS, KEY_HEADS)]


def group_of(position: int, size: int, shifted: bool) -> int:
    if not shifted:
        return position // size
    return -1 if position < size // 2 else (position - size // 2) // size


def formula(q, k, v, ratio: float):
    """One row [H, n, d] in float64: softmax over the tokens before it that are in its group."""
    length = q.shape[1]
    size = math.ceil(ratio * length)
    outputs = []
    for head in range(HEADS):
        keys, values = k[head // (HEADS // KEY_HEADS)], v[head // (HEADS // KEY_HEADS)]
        shifted = head >= HEADS // 2
        row = []
        for i in range(length):
            seen = [j for j in range(i + 1) if group_of(j, size, shifted) == group_of(i, size, shifted)]
            weights = torch.softmax(keys[seen] @ q[head, i] / math.sqrt(SIZE), 0)
            row.append(weights @ values[seen])
        outputs.append(torch.stack(row))
    return torch.stack(outputs, 1)  # [n, H, d]


def mask_of(lengths: list[int], kind: str) -> torch.Tensor | None:
    """As transformers makes it for rows padded at the right, or at the left."""
    if kind == 'none':
        return None
    at = torch.arange(LENGTH)
    real = torch.stack([at < n if kind != 'left' else at >= LENGTH - n for n in lengths])
    mask = (at[None, :, None] >= at[None, None]) & real[:, None]
    return torch.where(mask, 0.0, -1e30)[:, None] if kind == 'float' else mask[:, None]


@pytest.mark.parametrize('ratio', [0.1, 0.25, 0.3, 0.5, 1.0])
@pytest.mark.parametrize('kind', ['none', 'right', 'left', 'float'])
def test_values_and_gradients_are_those_of_the_formula_for_each_row_alone(ratio, kind):
    lengths = [LENGTH] * 3 if kind == 'none' else [LENGTH, 8, 1]
    ours = tensors(3)
    out, weights = shifted_group_attention(LAYER, *ours, mask_of(lengths, kind), ratio=ratio)
    assert out.shape == (3, LENGTH, HEADS, SIZE) and weights is None
    exact = [x.detach().double().requires_grad_() for x in ours]
    direction = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).double()
    loss = wanted = 0.0
    for row, n in enumerate(lengths):
        part = slice(LENGTH - n, None) if kind == 'left' else slice(None, n)
        expected = formula(*[x[row][:, part] for x in exact], ratio)
        torch.testing.assert_close(out[row, part].double(), expected, atol=2e-6, rtol=0)
        loss = loss + (out[row, part] * direction[row, part]).sum()
        wanted = wanted + (expected * direction[row, part]).sum()
    loss.backward()
    wanted.backward()
    for one, other in zip(ours, exact, strict=True):
        torch.testing.assert_close(one.grad.double(), other.grad, atol=5e-6, rtol=0)


def test_heads_that_are_shifted_are_rolled_ones_but_nothing_goes_round():
    """The published plain code rolls by half a group; only the first half group differs, which saw the row's end."""
    q, k, v = tensors(1, 16, torch.float64)
    out, _ = shifted_group_attention(LAYER, q, k, v, None, ratio=0.25)
    k, v = (x.repeat_interleave(HEADS // KEY_HEADS, 1) for x in (k, v))
    rolled = [x[:, HEADS // 2:].roll(-2, 2).unflatten(2, (4, 4)) for x in (q, k, v)]  # [1, 2, G, 4, d]
    theirs = torch.nn.functional.scaled_dot_product_attention(*rolled, is_causal=True).flatten(2, 3).roll(2, 2)
    ours = out.transpose(1, 2)[:, HEADS // 2:]
    torch.testing.assert_close(ours[:, :, 2:], theirs[:, :, 2:])
    assert not torch.allclose(ours[:, :, :2], theirs[:, :, :2])


def test_no_token_sees_what_comes_after_it():
    q, k, v = tensors(1, 16)
    out, _ = shifted_group_attention(LAYER, q, k, v, None, ratio=0.25)
    for at in range(16):
        grads = torch.autograd.grad(out[0, at].sum(), (k, v), retain_graph=True)
        assert all(torch.count_nonzero(grad[:, :, at + 1:]) == 0 for grad in grads)


@pytest.mark.parametrize('layer', [SimpleNamespace(training=False, is_causal=True),
                                   SimpleNamespace(training=True, is_causal=False)])
def test_plain_attention_out_of_training_and_in_towers(layer):
    q, k, v = tensors(1)
    layer.num_key_value_groups = HEADS // KEY_HEADS
    out, _ = shifted_group_attention(layer, q, k, v, None, ratio=0.25)
    plain = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=layer.is_causal, enable_gqa=True)
    torch.testing.assert_close(out, plain.transpose(1, 2))


@pytest.mark.parametrize('more, text', [({'softcap': 30.0}, 'attends with softcap which groups'),
                                        ({'sliding_window': 2}, 'a sliding window of 2, shorter than groups of 4')])
def test_attention_that_groups_do_not_have_is_refused(more, text):
    with pytest.raises(UsageError, match=text):
        shifted_group_attention(LAYER, *tensors(1), None, ratio=0.25, **more)
    if 'sliding_window' in more:
        shifted_group_attention(LAYER, *tensors(1), None, ratio=0.25, sliding_window=64)


# ------------------------------------------------------------------------------------------------------- on a model

def longlora(llama, **more):
    return adapt(llama(), TunerArgs(tuner_type='longlora', lora_dropout=0.0), method=MethodArgs(**more))


def test_embeddings_and_normalisations_are_trained_whole(llama):
    model = longlora(llama)
    trained = {name.split('.modules_to_save')[0].rpartition('.')[2] for name, p in model.named_parameters()
               if p.requires_grad and 'lora_' not in name}
    assert trained == {'embed_tokens', 'norm', 'input_layernorm', 'post_attention_layernorm'}
    assert any('lora_A' in name for name, p in model.named_parameters() if p.requires_grad)


def test_groups_in_training_and_plain_attention_out_of_it(llama):
    model, base, ids = longlora(llama), llama(), torch.arange(24).view(2, 12)
    assert torch.equal(model.eval()(input_ids=ids).logits, base(input_ids=ids).logits)
    grouped = model.train()(input_ids=ids).logits
    # the first half group has the same tokens before it as ever, the next token of the unshifted heads too
    assert torch.allclose(grouped[:, 0], base(input_ids=ids).logits[:, 0], atol=1e-5)
    assert not torch.allclose(grouped[:, 6:], base(input_ids=ids).logits[:, 6:], atol=1e-3)
    whole = longlora(llama, longlora_group_size_ratio=1.0).train()(input_ids=ids).logits
    assert not torch.allclose(whole, grouped, atol=1e-3)


@pytest.mark.parametrize('recomputes', [False, True])
def test_a_padded_batch_has_the_loss_and_gradients_of_its_rows(llama, recomputes):
    generator = np.random.default_rng(0)
    rows = [{'input_ids': generator.integers(1, 128, n), 'weights': np.ones(n, np.float32)} for n in (21, 9, 14)]

    def gradients(batches):
        model = longlora(llama).train()
        if recomputes:
            model.get_base_model().gradient_checkpointing_enable({'use_reentrant': False})
        losses = [causal_lm_loss(model, collate(batch, pad_id=0, padding_free=False),
                                 head_takes_positions=True).weighted_nll for batch in batches]
        sum(losses).backward()
        return sum(losses).item(), {name: p.grad for name, p in model.named_parameters() if p.requires_grad}

    together, alone = gradients([rows]), gradients([[row] for row in rows])
    assert together[0] == pytest.approx(alone[0], rel=1e-6)
    for name, gradient in alone[1].items():
        torch.testing.assert_close(together[1][name], gradient, atol=2e-5, rtol=1e-4)


def test_what_is_saved_is_plain_lora_and_needs_nothing_of_ours(llama, tmp_path):
    model, ids = longlora(llama), torch.arange(24).view(2, 12)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    model.train()(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    wanted = model.eval()(input_ids=ids).logits
    Swift.save_pretrained(model, tmp_path / 'adapter')
    again = Swift.from_pretrained(llama(), tmp_path / 'adapter')
    assert again.config._attn_implementation == 'sdpa' and again.peft_config['default'].peft_type == 'LORA'
    assert torch.equal(again(input_ids=ids).logits, wanted)
    assert torch.equal(again.train()(input_ids=ids).logits, wanted), 'no groups any more'
    merged = Swift.merge_and_unload(again.eval())
    torch.testing.assert_close(merged(input_ids=ids).logits, wanted)
    merged.save_pretrained(tmp_path / 'merged')
    whole = LlamaForCausalLM.from_pretrained(tmp_path / 'merged')
    torch.testing.assert_close(whole(input_ids=ids).logits, wanted)


def test_the_head_of_a_tied_model_stays_as_it_was_also_when_merged(llama, tmp_path):
    model, ids = adapt(llama(tied=True), TunerArgs(tuner_type='longlora', lora_dropout=0.0)), torch.arange(12)[None]
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    model.train()(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    wanted = model.eval()(input_ids=ids).logits
    merged = Swift.merge_and_unload(model)
    torch.testing.assert_close(merged(input_ids=ids).logits, wanted)
    merged.save_pretrained(tmp_path)
    whole = LlamaForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(whole(input_ids=ids).logits, wanted)


def test_other_models_take_it_too_or_say_why_not():
    small = {'vocab_size': 64, 'num_hidden_layers': 1, 'hidden_size': 32, 'intermediate_size': 48,
             'num_attention_heads': 4, 'num_key_value_heads': 2}
    ids = torch.arange(16)[None]
    windowed = MistralForCausalLM(MistralConfig(**small, sliding_window=3)).train()
    train_with_shifted_groups(windowed, 0.25)
    with pytest.raises(UsageError, match='MistralAttention attends with a sliding window of 3, shorter than groups'):
        windowed(input_ids=ids)
    gpt = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=32, n_layer=1, n_head=4))
    plain = gpt.eval()(input_ids=ids).logits
    train_with_shifted_groups(gpt, 0.25)
    assert torch.equal(gpt(input_ids=ids).logits, plain)
    assert not torch.allclose(gpt.train()(input_ids=ids).logits, plain, atol=1e-3)
