"""The step of a run with virtual tokens is that of plain rows with the prompt written in front of each by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

from swift.llm.args.commands import SftArguments
from swift.llm.args.derive import effective
from swift.llm.model.adapt import adapt
from swift.trainers.build import build_trainer
from swift.trainers.optimizers import OptimizerPlan

METHODS = {
    'prompt_tuning': {'prompt_tuning_virtual_tokens': 5},
    'p_tuning': {'p_tuning_virtual_tokens': 5, 'p_tuning_encoder': 'lstm'},
    'prefix_tuning': {'prefix_tuning_virtual_tokens': 5, 'prefix_tuning_hidden_size': 16}}


class Rows(torch.utils.data.Dataset):
    """Rows of 3 to 30 tokens, some of which are trained, with weights."""

    def __init__(self, n: int) -> None:
        generator = np.random.default_rng(3)
        self.rows = []
        for length in generator.integers(3, 30, n):
            weights = generator.choice([0.0, 0.5, 1.0], length).astype(np.float32)
            weights[-1] = 1.0
            self.rows.append({'input_ids': generator.integers(5, 40000, length).astype(np.int32), 'weights': weights})

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> dict:
        return self.rows[i]


def trainer_of(method, model_dir, rows, run_dir, **more):
    args = effective(SftArguments.of(model=str(model_dir), dataset=['x'], sft_type=method, batch_size=len(rows),
                                     gradient_accumulation_steps=1, report_to='none', disable_tqdm=True,
                                     eval_strategy='no', **METHODS[method], **more))
    torch.manual_seed(0)
    model = adapt(AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32), args.tuner, method=args.method)
    return build_trainer(model, AutoTokenizer.from_pretrained(model_dir), rows, None, args.train, run_dir=run_dir,
                         seed=0, data_seed=0, mixed_precision=torch.float32, padding_free=args.template.padding_free,
                         optimizer_plan=OptimizerPlan(args.train.optim, args.optimizing),
                         complete_checkpoint=lambda folder: None)


def plain_logits(base, prompt, ids, method):
    """Logits [T, V] of one row, the trained positions put in front of it by hand."""
    if method != 'prefix_tuning':
        embeds = torch.cat([prompt, base.get_input_embeddings()(ids)])[None]
        return base(inputs_embeds=embeds).logits[0, len(prompt):]
    layers = prompt.view(5, 2, 2, 2, 8).permute(1, 2, 3, 0, 4)  # [v, (L, 2, K, d)] -> [L, 2, K, v, d]
    cache = DynamicCache()
    for number, (keys, values) in enumerate(layers):
        cache.update(keys[None], values[None], number)
    return base(input_ids=ids[None], past_key_values=cache, use_cache=True).logits[0]


@pytest.mark.parametrize('method', METHODS)
def test_loss_and_gradients_are_those_of_single_rows_with_the_prompt_in_front(method, tiny_model_dir, tmp_path):
    rows = Rows(5)
    trainer = trainer_of(method, tiny_model_dir, rows, tmp_path)
    batch = next(iter(trainer.get_train_dataloader()))
    assert batch['input_ids'].shape[0] == 5, 'rows are padded, never in one line'
    loss = trainer.compute_loss(trainer.model.train(), batch)
    loss.backward()

    encoder = trainer.model.prompt_encoder['default']
    ours = {name: p.grad.clone() for name, p in encoder.named_parameters()}
    encoder.zero_grad()
    base = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float64, attn_implementation='eager')
    total, tokens = 0.0, 0
    for row in rows.rows:
        prompt = encoder.double()(torch.arange(5)[None])[0]
        ids = torch.from_numpy(row['input_ids'].astype(np.int64))
        log_probabilities = torch.log_softmax(plain_logits(base, prompt, ids, method), -1)
        for t in range(1, len(ids)):
            if row['weights'][t] > 0:
                total = total - float(row['weights'][t]) * log_probabilities[t - 1, ids[t]]
                tokens += 1
    (total / tokens).backward()
    assert loss.item() == pytest.approx((total / tokens).item(), rel=1e-6)
    for name, parameter in encoder.named_parameters():
        scale = parameter.grad.abs().max()
        assert (ours[name] - parameter.grad).abs().max() < 2e-5 * scale, name


@pytest.mark.parametrize('method', METHODS)
def test_the_loss_of_a_row_is_that_of_peft_with_labels(method, tiny_model_dir, tmp_path):
    rows = Rows(1)
    trainer = trainer_of(method, tiny_model_dir, rows, tmp_path)
    trainer.model.eval()
    ids, weights = (torch.from_numpy(rows[0][name].copy()).long()[None] for name in ('input_ids', 'weights'))
    rows.rows[0]['weights'] = weights[0].float().numpy()  # peft knows no weights but 0 and 1
    loss = trainer.compute_loss(trainer.model, next(iter(trainer.get_train_dataloader())))
    theirs = trainer.model(input_ids=ids, attention_mask=torch.ones_like(ids),
                           labels=ids.masked_fill(weights == 0, -100)).loss
    torch.testing.assert_close(loss, theirs)


def test_a_prefix_is_never_dropped_for_recomputed_activations(tiny_model_dir, tmp_path, monkeypatch):
    """On an accelerator recomputing is on by default; transformers would leave the cache out and say nothing."""
    monkeypatch.setattr('torch.accelerator.is_available', lambda: True)
    monkeypatch.setattr('torch.accelerator.current_accelerator', lambda: torch.device('cpu'))
    args = effective(SftArguments.of(model='x', dataset=['x'], sft_type='prefix'))
    assert args.train.recompute == 'none'
