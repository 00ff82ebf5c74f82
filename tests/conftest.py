"""What the tests share: the demo model's real tokenizer, a tiny random model that has it, and a private cache."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

if not torch.cuda.is_available():  # Triton reads it when it is first imported, by whatever test comes first
    os.environ.setdefault('TRITON_INTERPRET', '1')
os.environ.setdefault('HF_HUB_OFFLINE', '1')  # no test may reach a hub
os.environ.setdefault('TOKENIZERS_PARALLELISM', 'true')

DATA = Path(__file__).parent / 'data'
TOKENIZER_DIR = DATA / 'tokenizers' / 'smollm2'


@pytest.fixture(scope='session')
def tokenizer():
    """SmolLM2's tokenizer: byte-level BPE, ChatML with a default system prompt, pad == eos."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(TOKENIZER_DIR)


@pytest.fixture(scope='session')
def tiny_model_dir(tmp_path_factory, tokenizer) -> Path:
    """A checkpoint folder: Llama with two layers of width 32 and random weights (fixed seed), float32."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp('tiny') / 'tiny-llama'
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=2048,
                         tie_word_embeddings=True, bos_token_id=1, eos_token_id=2, pad_token_id=2)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def chat_file(tmp_path) -> Path:
    """Twelve short conversations as jsonl."""
    path = tmp_path / 'chat.jsonl'
    rows = [{'messages': [{'role': 'user', 'content': f'What is {i} plus {i}?'},
                          {'role': 'assistant', 'content': f'It is {2 * i}.' + ' Really.' * (i % 4)}]}
            for i in range(12)]
    path.write_text(''.join(json.dumps(row) + '\n' for row in rows), encoding='utf-8')
    return path


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory, monkeypatch):
    """Prepared data of a test goes to its own folder (children inherit it)."""
    monkeypatch.setenv('SWIFT_CACHE', str(tmp_path_factory.mktemp('cache')))
