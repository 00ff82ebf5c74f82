"""A training loop of your own: LoRA and an adapter on one model, saved, loaded, and one of them alone."""

import sys

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from swift import LoraConfig, Swift
from swift.tuners.methods.adapter import AdapterConfig

folder = sys.argv[1] if len(sys.argv) > 1 else 'output/loop'
base = LlamaForCausalLM(LlamaConfig(vocab_size=64, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
                                    num_attention_heads=4, num_key_value_heads=2))
model = Swift.prepare_model(base, {
    'attention': LoraConfig(r=8, target_modules=['q_proj', 'v_proj']), 'mlp': AdapterConfig(adapter_length=16)})
print(Swift.get_trainable_parameters(model))
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
rows = (torch.arange(16)[:, None] * 3 + torch.arange(12)) % 64  # each token is the one before it and one
for step in range(40):
    loss = model(input_ids=rows, labels=rows).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    if step % 10 == 9:
        print(f'step {step + 1}: loss {loss.item():.3f}')
Swift.save_pretrained(model, folder)
model = Swift.from_pretrained(model.unload(), folder)
Swift.set_active(model, ['mlp'])
print(f'{folder}: {", ".join(Swift.active(model))} alone has a loss of {model(input_ids=rows, labels=rows).loss:.3f}')
