"""The yardstick of ``sft_cpu.py``: one LoRA run in plain transformers + peft, as a careful user would write it.

Padded batches, the model's own loss over the whole vocabulary, AdamW, no framework. It shares no code with swift.
Prints one JSON object a step: ``{"step", "seconds", "tokens", "loss"}``.
"""

from __future__ import annotations

import json
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer


def encode(tokenizer, messages: list[dict]) -> tuple[list[int], list[int]]:
    """Ids and labels of one question and answer; only the answer and its end are trained."""
    prompt = tokenizer.apply_chat_template(messages[:-1], add_generation_prompt=True, tokenize=False)
    whole = tokenizer.apply_chat_template(messages, tokenize=False).rstrip('\n')
    prompt_ids = tokenizer(prompt, add_special_tokens=False)['input_ids']
    ids = tokenizer(whole, add_special_tokens=False)['input_ids']
    return ids, [-100] * len(prompt_ids) + ids[len(prompt_ids):]


def main() -> None:
    settings = json.load(open(sys.argv[1], encoding='utf-8'))
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(settings['model'])
    model = AutoModelForCausalLM.from_pretrained(settings['model'], dtype=torch.float32)
    model = get_peft_model(model, LoraConfig(r=8, lora_alpha=32, lora_dropout=0.05, target_modules='all-linear',
                                             task_type='CAUSAL_LM'))
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    rows = [encode(tokenizer, messages) for messages in settings['rows']]
    for step, numbers in enumerate(settings['batches'], 1):
        started = time.perf_counter()
        batch = [rows[n] for n in numbers]
        width = max(len(ids) for ids, _ in batch)
        ids = torch.tensor([i + [tokenizer.pad_token_id] * (width - len(i)) for i, _ in batch])
        labels = torch.tensor([label + [-100] * (width - len(label)) for _, label in batch])
        mask = torch.tensor([[1] * len(i) + [0] * (width - len(i)) for i, _ in batch])
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        tokens = sum(len(i) for i, _ in batch)
        print(json.dumps({'step': step, 'seconds': time.perf_counter() - started, 'tokens': tokens,
                          'loss': loss.item()}), flush=True)


if __name__ == '__main__':
    main()
