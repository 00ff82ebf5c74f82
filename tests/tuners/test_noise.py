"""NEFTune's noise: its size by the row's own length, in training only."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.integrations.neftune import neftune_post_forward_hook

from swift.llm.template.collate import collate
from swift.tuners.api import LoraConfig, Swift
from swift.tuners.noise import add_noise, noisy_embeddings, row_lengths

WIDTH, ALPHA = 32, 5.0


def llama():
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=64, hidden_size=WIDTH, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=256))


def batch(lengths, padding_free):
    rows = [{'input_ids': np.full(length, 7), 'weights': np.ones(length, dtype=np.float32)} for length in lengths]
    return collate(rows, pad_id=0, padding_free=padding_free)


def noise_by_row(model, lengths, padding_free):
    """What was added to each row's embeddings [L, d] in one forward."""
    tensors = batch(lengths, padding_free)
    inputs = {name: tensors[name] for name in ('input_ids', 'position_ids', 'attention_mask') if name in tensors}
    seen = []
    handle = model.model.layers[0].register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    model(**inputs, use_cache=False)
    handle.remove()
    added = seen[0] - torch.nn.functional.embedding(inputs['input_ids'], model.get_input_embeddings().weight.detach())
    if padding_free:
        return list(added[0].split(lengths))
    return [row[:length] for row, length in zip(added, lengths, strict=True)]


@pytest.mark.parametrize('padding_free', [True, False])
def test_noise_has_the_size_of_its_own_row(padding_free):
    model = llama().train()
    noisy_embeddings(model, model.get_input_embeddings(), ALPHA)
    for noise, length in zip(noise_by_row(model, [100, 4, 25], padding_free), [100, 4, 25], strict=True):
        bound = ALPHA / math.sqrt(length * WIDTH)
        assert 0.9 * bound < noise.abs().max() <= bound * 1.0001
        assert noise.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.15)  # uniform
        assert abs(noise.mean()) < 0.2 * bound


def test_lengths_are_known_below_an_adapter():
    """peft calls the forward of the base model past its hooks; those of the outer model see the batch."""
    model = Swift.prepare_model(llama(), LoraConfig(target_modules=['q_proj'])).train()
    noisy_embeddings(model, model.get_base_model().get_input_embeddings(), ALPHA)
    tensors, seen = batch([100, 4], True), []
    model.get_base_model().model.layers[0].register_forward_pre_hook(
        lambda module, args: seen.append(args[0].detach()))
    model(input_ids=tensors['input_ids'], position_ids=tensors['position_ids'])
    sizes = [part.std().item() for part in (seen[0] - seen[0].mean(1, keepdim=True))[0].split([100, 4])]
    assert sizes[1] == pytest.approx(ALPHA / math.sqrt(4 * WIDTH * 3), rel=0.3) and sizes[1] > 3 * sizes[0]


def test_evaluation_has_no_noise_and_removing_undoes_it():
    model = llama().eval()
    handles = noisy_embeddings(model, model.get_input_embeddings(), ALPHA)
    assert all(not noise.any() for noise in noise_by_row(model, [5, 9], True))
    model.train()
    assert all(noise.any() for noise in noise_by_row(model, [5, 9], True))
    for handle in handles:
        handle.remove()
    assert all(not noise.any() for noise in noise_by_row(model, [5, 9], True))


def test_a_single_row_has_the_noise_of_transformers():
    embedding = torch.nn.Embedding(10, WIDTH).train()
    embedding.neftune_noise_alpha = ALPHA
    plain = embedding(torch.arange(10)[None])
    torch.manual_seed(3)
    theirs = neftune_post_forward_hook(embedding, None, plain)
    torch.manual_seed(3)
    torch.testing.assert_close(add_noise(plain, row_lengths(plain.shape[:2]), ALPHA), theirs)


def test_lengths_of_rows():
    positions = torch.tensor([[0, 1, 2, 0, 0, 1]])
    assert row_lengths(positions.shape, position_ids=positions).tolist() == [[3, 3, 3, 1, 2, 2]]
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert row_lengths(mask.shape, position_ids=torch.arange(3)[None], attention_mask=mask).tolist() == [
        [2, 2, 2], [3, 3, 3]]
    assert row_lengths(torch.Size((1, 4))).tolist() == [[4, 4, 4, 4]]
    later = torch.tensor([[3, 4, 0, 1]])  # a line that begins in the middle of a row
    assert row_lengths(later.shape, position_ids=later).tolist() == [[2, 2, 2, 2]]


def test_gradients_pass_and_half_precision_stays():
    embeddings = torch.randn(1, 4, 8, dtype=torch.bfloat16, requires_grad=True)
    noisy = add_noise(embeddings, torch.full((1, 4), 4), ALPHA)
    noisy.sum().backward()
    assert noisy.dtype == torch.bfloat16 and (embeddings.grad == 1).all()
