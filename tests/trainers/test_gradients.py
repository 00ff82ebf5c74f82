"""One optimizer step's gradient is that of the concatenated batch, however the step is cut.

The oracle is written from the formula in float64: sum over trained tokens of weight * -log softmax, divided by their
number, each row run alone, without padding, collator or Trainer.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, TrainingArguments

from swift.llm.template.collate import collate
from swift.trainers.base import SwiftTrainer
from swift.trainers.batching import StepPlan
from swift.trainers.head import fuse_head
from swift.trainers.prepare import enable_recompute


class Rows(torch.utils.data.Dataset):
    def __init__(self, n, seed=0, weighted=False):
        generator = np.random.default_rng(seed)
        self.rows = []
        for _ in range(n):
            length = int(generator.integers(3, 40))
            weights = (generator.random(length) < 0.6).astype(np.float32)
            weights[-1] = 1.0
            if weighted:
                weights *= generator.choice([0.5, 1.0, 2.0], length).astype(np.float32)
            self.rows.append({'input_ids': generator.integers(5, 40000, length).astype(np.int32), 'weights': weights})
        self.lengths = np.array([len(row['input_ids']) for row in self.rows])

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.rows[i]


def oracle_gradients(model_dir, rows):
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float64, attn_implementation='eager')
    total, tokens = 0.0, 0
    for row in rows:
        ids = torch.from_numpy(row['input_ids'].astype(np.int64))
        log_probabilities = torch.log_softmax(model(input_ids=ids[None]).logits[0], -1)
        for t in range(1, len(ids)):
            if row['weights'][t] > 0:
                total = total - float(row['weights'][t]) * log_probabilities[t - 1, ids[t]]
                tokens += 1
    (total / tokens).backward()
    return {name: p.grad for name, p in model.named_parameters()}, (total / tokens).item()


def step_gradients(model_dir, rows, tmp_path, *, batch_size, accumulation, padding_free, checkpointing=False,
                   fused=False, pack_length=None):
    """Gradients just before the first optimizer step of a real Trainer run."""
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
    head = fuse_head(model, True, sharded=False).head if fused else None
    if checkpointing:
        enable_recompute(model)
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, max_steps=1, max_grad_norm=0.0,
                                  per_device_train_batch_size=batch_size, gradient_accumulation_steps=accumulation,
                                  report_to=[], disable_tqdm=True, save_strategy='no', learning_rate=0.0,
                                  average_tokens_across_devices=False, logging_nan_inf_filter=False, logging_steps=1)
    seen = {}

    class Spy(SwiftTrainer):
        def _get_grad_norm(self, model, grad_norm=None):
            seen.update({name: p.grad.clone() for name, p in model.named_parameters()})
            return super()._get_grad_norm(model, grad_norm)

    trainer = Spy(model=model, args=arguments, train_dataset=rows, data_seed=0,
                  plan=StepPlan(batch_size, accumulation, pack_length=pack_length),
                  data_collator=lambda r: collate(r, pad_id=2, padding_free=padding_free), head_takes_positions=True,
                  head=head)
    trainer.train()
    loss = next(row['loss'] for row in trainer.state.log_history if 'loss' in row)
    return seen, loss


def assert_equal(ours, oracle):
    for name, expected in oracle.items():
        scale = expected.abs().max().clamp(min=1e-8)
        difference = ((ours[name].double() - expected).abs().max() / scale).item()
        assert difference < 1e-5, f'{name}: {difference:.2e} of its largest gradient'


# 7 rows: every cut but (7, 1) and (1, 7) ends in a partial window or a partial micro-batch.
@pytest.mark.parametrize('fused', [False, True], ids=['logits', 'fused head'])
@pytest.mark.parametrize('padding_free', [True, False])
@pytest.mark.parametrize(('batch_size', 'accumulation'), [(7, 1), (1, 7), (2, 4), (4, 2), (3, 16)])
def test_every_cut_of_a_step_gives_the_gradient_of_the_whole(tiny_model_dir, tmp_path, batch_size, accumulation,
                                                             padding_free, fused):
    rows = Rows(7)
    oracle, oracle_loss = oracle_gradients(tiny_model_dir, rows)
    ours, loss = step_gradients(tiny_model_dir, rows, tmp_path, batch_size=batch_size, accumulation=accumulation,
                                padding_free=padding_free, fused=fused)
    assert_equal(ours, oracle)
    assert loss == pytest.approx(oracle_loss, rel=1e-5)


# 7 rows of at most 40 tokens: one step of packed sequences, with and without one that is not full
@pytest.mark.parametrize(('batch_size', 'accumulation', 'pack_length'), [(1, 16, 40), (2, 4, 50), (1, 2, 160)])
def test_packed_rows_give_the_gradient_of_rows_run_alone(tiny_model_dir, tmp_path, batch_size, accumulation,
                                                         pack_length):
    rows = Rows(7)
    oracle, oracle_loss = oracle_gradients(tiny_model_dir, rows)
    ours, loss = step_gradients(tiny_model_dir, rows, tmp_path, batch_size=batch_size, accumulation=accumulation,
                                padding_free=True, pack_length=pack_length)
    assert_equal(ours, oracle)
    assert loss == pytest.approx(oracle_loss, rel=1e-5)


@pytest.mark.parametrize('fused', [False, True], ids=['logits', 'fused head'])
def test_weights_scale_their_tokens_and_not_the_count(tiny_model_dir, tmp_path, fused):
    rows = Rows(5, seed=1, weighted=True)
    oracle, _ = oracle_gradients(tiny_model_dir, rows)
    ours, _ = step_gradients(tiny_model_dir, rows, tmp_path, batch_size=2, accumulation=3, padding_free=True,
                             fused=fused)
    assert_equal(ours, oracle)


@pytest.mark.parametrize('fused', [False, True], ids=['logits', 'fused head'])
def test_gradient_checkpointing_changes_nothing(tiny_model_dir, tmp_path, fused):
    rows = Rows(4, seed=2)
    oracle, _ = oracle_gradients(tiny_model_dir, rows)
    ours, _ = step_gradients(tiny_model_dir, rows, tmp_path, batch_size=4, accumulation=1, padding_free=True,
                             checkpointing=True, fused=fused)
    assert_equal(ours, oracle)
