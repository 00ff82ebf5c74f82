"""``swift sft`` against a loop written with peft and torch alone: same seed, same rows, same losses and weights."""

from __future__ import annotations

import json

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, AutoTokenizer, get_cosine_schedule_with_warmup, set_seed

from swift.llm.args.groups import TemplateArgs
from swift.llm.pipelines.sft import sft_main
from swift.llm.template.encode import make_template
from swift.trainers.batching import StepBatchSampler, StepPlan
from swift.utils.files import read_json

STEPS, ROWS = 8, 4
TARGETS = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']


def by_hand(model_dir, conversations) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Losses of the steps and the adapter after them; eight rows are two steps an epoch."""
    template = make_template(TemplateArgs(), AutoTokenizer.from_pretrained(model_dir))
    rows = template.encode_batch(conversations)
    set_seed(42)
    base = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
    model = get_peft_model(base, LoraConfig(task_type='CAUSAL_LM', r=8, lora_alpha=32, lora_dropout=0.0,
                                            target_modules=TARGETS)).train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    schedule = get_cosine_schedule_with_warmup(optimizer, 1, STEPS)
    sampler, losses = StepBatchSampler(len(rows), StepPlan(ROWS, 1), seed=42), []
    while len(losses) < STEPS:
        sampler.set_epoch(len(losses) * ROWS // len(rows))
        for batch in sampler:
            chosen = [rows[i] for i, _ in batch]
            ids = [torch.tensor(row.input_ids).long() for row in chosen]
            labels = [one.masked_fill(torch.tensor(row.weights) == 0, -100)
                      for one, row in zip(ids, chosen, strict=True)]
            loss = model(input_ids=pad_sequence(ids, batch_first=True, padding_value=2),
                         attention_mask=pad_sequence([torch.ones_like(one) for one in ids], batch_first=True),
                         labels=pad_sequence(labels, batch_first=True, padding_value=-100)).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    return losses, {name.replace('.default', ''): p.detach() for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize('padding_free', [
    pytest.param(False, id='padded', marks=pytest.mark.slow), pytest.param(True, id='padding_free')])
def test_losses_and_weights_are_those_of_a_plain_loop(padding_free, tiny_model_dir, tmp_path):
    conversations = [{'messages': [{'role': 'user', 'content': f'What is {i} plus {i}?'},
                                   {'role': 'assistant', 'content': f'It is {2 * i}.' + ' Really.' * (i % 4)}]}
                     for i in range(8)]
    path = tmp_path / 'rows.jsonl'
    path.write_text(''.join(json.dumps(row) + '\n' for row in conversations))
    result = sft_main({'model': str(tiny_model_dir), 'dataset': [str(path)], 'output_dir': str(tmp_path / 'out'),
                       'target_modules': ['ALL'], 'lora_dropout': 0.0, 'batch_size': ROWS, 'max_steps': STEPS,
                       'gradient_accumulation_steps': 1, 'split_dataset_ratio': 0, 'logging_steps': 1,
                       'learning_rate': 1e-2, 'warmup_steps': 1, 'padding_free': padding_free, 'report_to': ['none'],
                       'disable_tqdm': True})
    losses, weights = by_hand(tiny_model_dir, conversations)
    got = [row['loss'] for row in result.log_history if 'loss' in row]
    torch.testing.assert_close(torch.tensor(got), torch.tensor(losses), atol=2e-6, rtol=0)
    saved = load_file(result.last_checkpoint / 'adapter_model.safetensors')
    assert saved.keys() == weights.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(saved[name], weight, atol=1e-5, rtol=0)
    assert read_json(result.last_checkpoint / 'adapter_config.json')['peft_type'] == 'LORA'
