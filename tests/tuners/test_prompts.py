from __future__ import annotations

import pytest
import torch
from peft import PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig

from swift.tuners.api import LoraConfig, Swift
from swift.tuners.prompts import (
    generation_inputs,
    load_trained_state,
    logits_in_front,
    prompted,
    trained_state,
    virtual_tokens,
)
from swift.utils.errors import UsageError

V = 5
CONFIGS = {'prompt': lambda: PromptTuningConfig(task_type='CAUSAL_LM', num_virtual_tokens=V),
           'p': lambda: PromptEncoderConfig(task_type='CAUSAL_LM', num_virtual_tokens=V),
           'prefix': lambda: PrefixTuningConfig(task_type='CAUSAL_LM', num_virtual_tokens=V),
           'projected': lambda: PrefixTuningConfig(task_type='CAUSAL_LM', num_virtual_tokens=V, prefix_projection=True,
                                                   encoder_hidden_size=16)}


@pytest.fixture(params=CONFIGS)
def kind(request) -> str:
    return request.param


def with_prompt(llama, kind: str):
    """A model with wide weights, so that its greedy answers wander, and a prompt that it minds."""
    base = llama()
    for parameter in base.parameters():
        if parameter.dim() > 1:
            parameter.data *= 12
    torch.manual_seed(1)
    return Swift.prepare_model(base, CONFIGS[kind]()).eval()


def greedy(model, ids: torch.Tensor, steps: int) -> list[int]:
    """The likeliest token again and again, each time from the whole row alone, without a cache."""
    with torch.no_grad():
        for _ in range(steps):
            ids = torch.cat([ids, model(input_ids=ids).logits[:, -1:].argmax(-1)], 1)
    return ids[0, -steps:].tolist()


def test_what_is_known_of_a_model(llama, kind):
    model = with_prompt(llama, kind)
    assert prompted(model) is model and virtual_tokens(model) == V
    assert logits_in_front(model) == model(input_ids=torch.arange(7)[None]).logits.shape[1] - 7
    lora = Swift.prepare_model(llama(), LoraConfig(task_type='CAUSAL_LM', target_modules=['q_proj']))
    for other in (llama(), lora):
        assert prompted(other) is None and virtual_tokens(other) == logits_in_front(other) == 0


def test_rows_of_a_padded_batch_are_answered_as_if_alone(llama, kind):
    model = with_prompt(llama, kind)
    rows = [torch.arange(3, 12)[None], torch.arange(20, 33)[None], torch.tensor([[77]])]
    width = max(row.shape[1] for row in rows)
    ids = torch.cat([torch.nn.functional.pad(row, (width - row.shape[1], 0), value=0) for row in rows])
    mask = torch.cat([torch.nn.functional.pad(torch.ones_like(row), (width - row.shape[1], 0)) for row in rows])
    options = {'max_new_tokens': 10, 'do_sample': False, 'eos_token_id': None, 'pad_token_id': 0}
    out = model.get_base_model().generate(**generation_inputs(model, ids, mask), **options)[:, V + width:]
    assert out.tolist() == [greedy(model, row, 10) for row in rows]
    assert len({tuple(row) for row in out.tolist()}) == 3
    alone = model.generate(input_ids=rows[0], attention_mask=torch.ones_like(rows[0]), **options)
    assert alone[0, rows[0].shape[1]:].tolist() == out[0].tolist(), "peft's own, without padding"


def test_training_goes_on_from_what_is_inside_the_encoder(llama, kind, tmp_path):
    model = with_prompt(llama, kind)
    state = {name: tensor.clone() for name, tensor in trained_state(model).items()}
    other = with_prompt(llama, kind)
    for parameter in other.prompt_encoder.parameters():
        parameter.data.mul_(3)
    ids = torch.arange(9)[None]
    assert not torch.equal(other(input_ids=ids).logits, model(input_ids=ids).logits)
    load_trained_state(other, state)
    assert torch.equal(other(input_ids=ids).logits, model(input_ids=ids).logits)


def test_what_was_saved_is_used_but_not_trained_further(llama, kind, tmp_path):
    model = with_prompt(llama, kind)
    Swift.save_pretrained(model, tmp_path)
    for target in (with_prompt(llama, kind).get_base_model(), model):
        with pytest.raises(UsageError, match='a finished prompt .* can be used but not trained further'):
            Swift.from_pretrained(target, tmp_path, 'other', is_trainable=True)
    again = Swift.from_pretrained(with_prompt(llama, kind).get_base_model(), tmp_path)
    ids = torch.arange(9)[None]
    assert torch.equal(again(input_ids=ids).logits, model(input_ids=ids).logits)


def test_a_prompt_is_not_merged(llama, kind):
    with pytest.raises(UsageError, match='can not become part of the weights'):
        Swift.merge_and_unload(with_prompt(llama, kind))
