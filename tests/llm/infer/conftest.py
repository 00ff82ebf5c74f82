"""A model whose greedy answers wander (wide random weights, untied head), so that a wrong token shows."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope='session')
def wild_model_dir(tmp_path_factory, tokenizer) -> Path:
    """A checkpoint folder: Llama, two layers of width 64, float32, reads 256 tokens, samples by default."""
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp('wild') / 'wild-llama'
    torch.manual_seed(3)
    config = LlamaConfig(vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
                         initializer_range=0.4, tie_word_embeddings=False, bos_token_id=1, eos_token_id=2,
                         pad_token_id=2)
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(do_sample=True, temperature=0.7, top_p=0.9, max_length=99,
                                               bos_token_id=1, eos_token_id=2, pad_token_id=2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope='session')
def wild_engine(wild_model_dir):
    from swift.llm.infer.transformers_engine import TransformersEngine

    return TransformersEngine(str(wild_model_dir), max_batch_size=4)
