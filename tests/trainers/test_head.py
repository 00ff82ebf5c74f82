"""Which models get the fused loss head, that it is the plain loss there, and what is said where it is not."""

from __future__ import annotations

import logging

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model
from torch import nn

from swift.kernels.fused_head import FusedHead
from swift.kernels.loss_head import LossTerms
from swift.llm.template.collate import collate
from swift.trainers.base import SwiftTrainer
from swift.trainers.batching import StepPlan
from swift.trainers.head import fuse_head
from swift.trainers.loss import causal_lm_loss
from tests.conformance.tiny import tiny_model

# what a model's logits go through, set so that leaving it out would show in random models
FIELDS = {'final_logit_softcapping': 0.5, 'logits_soft_cap': 0.5, 'logits_scaling': 3.0, 'logit_scale': 0.3,
          'lm_head_multiplier': 0.3}
TYPES = {'gemma2': 'Gemma2ForCausalLM', 'gemma3_text': 'Gemma3ForCausalLM', 'vaultgemma': 'VaultGemmaForCausalLM',
         'nanochat': 'NanoChatForCausalLM', 'cohere': 'CohereForCausalLM', 'cohere2': 'Cohere2ForCausalLM',
         'cohere2_moe': 'Cohere2MoeForCausalLM', 'granite': 'GraniteForCausalLM',
         'granite_swa': 'GraniteSWAForCausalLM', 'granitemoe': 'GraniteMoeForCausalLM',
         'granitemoe_swa': 'GraniteMoeSWAForCausalLM', 'granitemoeshared': 'GraniteMoeSharedForCausalLM',
         'falcon_h1': 'FalconH1ForCausalLM', 'hyperclovax': 'HyperCLOVAXForCausalLM',
         'recurrent_gemma': 'RecurrentGemmaForCausalLM', 'gemma4': 'Gemma4ForConditionalGeneration',
         'muse_glimmer': 'MuseGlimmerForConditionalGeneration'}
ALWAYS = ('gemma2', 'cohere', 'granite')  # a cap, a factor, a divisor


def model_of(model_type: str, **fields: float) -> nn.Module:
    model = tiny_model(getattr(transformers, TYPES.get(model_type, 'LlamaForCausalLM')), model_type)
    text = model.config.get_text_config()
    for name, value in fields.items():
        if hasattr(text, name):
            setattr(text, name, value)
            for module in model.modules():
                if name in vars(module):  # a copy that some models keep of it
                    setattr(module, name, value)
    with torch.no_grad():
        for parameter in model.parameters():  # far from the equal logits of a model's first weights
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model


def batch(padding_free: bool = True) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    rows = [{'input_ids': torch.randint(4, 100, (n,), generator=generator).tolist(),
             'weights': [0.0] * 3 + [0.5] * (n - 4) + [2.0]} for n in (11, 7)]
    return collate(rows, pad_id=0, padding_free=padding_free)


def assert_same_loss(model, head, rows, rtol=1e-5):
    plain = causal_lm_loss(model, rows, head_takes_positions=True)
    fused = causal_lm_loss(model, rows, head_takes_positions=True, head=head)
    torch.testing.assert_close(fused.weighted_nll, plain.weighted_nll, rtol=rtol, atol=0)
    assert (fused.correct, fused.total) == (plain.correct, plain.total)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    expected = torch.autograd.grad(plain.weighted_nll, trained, allow_unused=True)
    ours = torch.autograd.grad(fused.weighted_nll, trained, allow_unused=True)
    scale = max(gradient.abs().max() for gradient in expected if gradient is not None)
    for gradient, other in zip(expected, ours, strict=True):
        assert (gradient is None) == (other is None)
        assert gradient is None or (gradient - other).abs().max() <= 20 * rtol * scale


@pytest.mark.parametrize('model_type', [pytest.param(name, marks=() if name in ALWAYS else pytest.mark.slow)
                                        for name in TYPES])
def test_what_a_model_does_to_its_logits_is_in_the_loss(model_type):
    model = model_of(model_type, **FIELDS)
    done = fuse_head(model, None, sharded=False)
    assert done.head.terms.scale != 1 or done.head.terms.softcap
    assert_same_loss(model, done.head, batch(padding_free=False))


@pytest.mark.parametrize('padding_free', [True, False])
def test_a_plain_model_gets_it_and_loses_it_by_restore(padding_free):
    model = model_of('llama')
    own = model.lm_head
    done = fuse_head(model, None, sharded=False)
    assert isinstance(model.lm_head, FusedHead) and model.get_output_embeddings() is model.lm_head
    assert_same_loss(model, done.head, batch(padding_free))
    done.restore()
    assert model.lm_head is own


def test_accuracy_of_whole_rows_is_counted_from_the_same_pass():
    model, rows = model_of('llama'), batch()
    done = fuse_head(model, None, sharded=False)
    logits = model(rows['input_ids'], position_ids=rows['position_ids']).logits[0]
    at = rows['keep'][rows['keep_index']]
    first = rows['row_index'] == 0
    rows['targets'][first] = logits[at][first].argmax(-1)  # the first row is answered without a mistake
    parts = causal_lm_loss(model, rows, head_takes_positions=True, accuracy='sentence', head=done.head)
    assert (parts.correct.item(), parts.total.item()) == (1, 2)


def test_in_bfloat16_too():
    model = model_of('gemma2', **FIELDS).to(torch.bfloat16)
    done = fuse_head(model, None, sharded=False)
    assert_same_loss(model, done.head, batch(), rtol=2e-3)


def test_with_an_adapter_in_the_layers_and_tied_embeddings():
    model = model_of('llama')
    model.lm_head.weight = model.model.embed_tokens.weight
    adapted = get_peft_model(model, LoraConfig(target_modules=['q_proj', 'v_proj'], init_lora_weights=False))
    done = fuse_head(model, None, sharded=False)
    assert_same_loss(adapted, done.head, batch())
    assert done.head.weight is model.model.embed_tokens.weight


@pytest.mark.parametrize('options', [{'target_modules': ['lm_head']},
                                     {'target_modules': ['q_proj'], 'modules_to_save': ['lm_head']}])
@pytest.mark.parametrize(('typed', 'level'), [(None, logging.INFO), (True, logging.WARNING)])
def test_an_adapter_on_the_head_itself_means_the_plain_loss_and_one_line(caplog, options, typed, level):
    model = model_of('llama')
    adapted = get_peft_model(model, LoraConfig(**options))
    with caplog.at_level(logging.INFO, logger='swift'):
        assert fuse_head(adapted.get_base_model(), typed, sharded=False) is None
    line, = caplog.records
    assert line.levelno == level
    assert 'The loss is computed from whole logits: its output layer is a' in line.getMessage()


def masked(logits: torch.Tensor) -> torch.Tensor:
    """As Chameleon does to the tokens of pictures."""
    logits = logits.clone()
    logits[:, :, [5, 6]] = -1e4
    return logits


@pytest.mark.parametrize(('change', 'reason'), [
    (lambda logits: logits * 1.5, 'the loss of the fused one differs'),
    (lambda logits: logits - 2 * logits.detach(), 'the loss of the fused one differs'),
    (masked, 'the fused one fails in this model (index 5 is out of bounds'),
    (lambda logits: torch.cat([logits[..., :64], logits[..., 64:].detach()], -1), 'the gradient of the fused one')])
def test_unknown_changes_of_logits_are_found_by_trial(caplog, monkeypatch, change, reason):
    model = model_of('llama')
    plain_forward = type(model).forward

    def forward(self, *args, **kwargs):
        output = plain_forward(self, *args, **kwargs)
        output.logits = change(output.logits)
        return output

    monkeypatch.setattr(type(model), 'forward', forward)
    own = model.lm_head
    with caplog.at_level(logging.INFO, logger='swift'):
        assert fuse_head(model, None, sharded=False) is None
    assert model.lm_head is own
    assert caplog.records[-1].getMessage().startswith('The loss is computed from whole logits: ')
    assert reason in caplog.records[-1].getMessage()


@pytest.fixture
def trainer_with(tmp_path):
    """Makes a trainer of a model with a head in it, which it tries before the first batch."""
    def make(model, head, tries):
        arguments = transformers.TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to=[])
        return SwiftTrainer(model=model, args=arguments, plan=StepPlan(2, 1), data_seed=0, head_takes_positions=True,
                            head=head, tries_head=tries, data_collator=lambda rows: rows[0])
    return make


def test_a_sharded_model_is_tried_before_the_first_batch_and_keeps_its_own_loss_where_that_fails(caplog, monkeypatch,
                                                                                                 trainer_with):
    model, rows = model_of('gemma2', **FIELDS), batch()
    plain = causal_lm_loss(model, rows, head_takes_positions=True)
    done = fuse_head(model, None, sharded=True)
    good = trainer_with(model, done.head, True)
    caplog.clear()
    with caplog.at_level(logging.INFO, logger='swift'):
        loss = good.compute_loss(model, rows)
    assert not caplog.records
    torch.testing.assert_close(loss, plain.weighted_nll / len(rows['targets']))
    done.head.terms = LossTerms()  # as if nothing were known about the cap
    bad = trainer_with(model, done.head, True)
    with caplog.at_level(logging.INFO, logger='swift'):
        losses = [bad.compute_loss(model, rows) for _ in range(2)]
    line, = caplog.records
    assert line.getMessage().startswith('The loss is computed from whole logits: the loss of the fused one differs')
    for loss in losses:
        torch.testing.assert_close(loss, plain.weighted_nll / len(rows['targets']))


def test_evaluation_has_the_same_figures(trainer_with):
    model, rows = model_of('llama'), torch.utils.data.DataLoader([batch()], batch_size=None)
    plain = trainer_with(model, None, False).evaluation_loop(rows, 'evaluation').metrics
    done = fuse_head(model, None, sharded=False)
    fused = trainer_with(model, done.head, False).evaluation_loop(rows, 'evaluation').metrics
    assert fused == pytest.approx(plain) and plain['eval_loss'] > 0


def test_it_is_not_tried_where_it_is_not_wanted(caplog):
    model = model_of('llama')
    with caplog.at_level(logging.INFO, logger='swift'):
        assert fuse_head(model, False, sharded=False) is None
    assert not caplog.records and type(model.lm_head) is nn.Linear


def test_the_trial_leaves_no_trace():
    model = model_of('llama')
    model.train()
    state = torch.random.get_rng_state()
    fuse_head(model, None, sharded=False)
    assert model.training and all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not model.lm_head._forward_pre_hooks
