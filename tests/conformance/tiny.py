"""Tiny random models of any architecture of transformers, made from its default configuration by shrinking numbers.

Knows configurations by the names of their fields, which families share; what is different in one is in ``SPECIAL``.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

VOCABULARY = 128
LEFT_OUT = object()  # a field that is not passed on, so that the configuration finds its own value
_FIRST_TOKEN = 100  # ids of tokens for pictures and sounds begin here

_WIDTH, _HEADS, _LAYERS = 32, 4, 2
SIZES: dict[str, int] = {
    **dict.fromkeys(('hidden_size', 'd_model', 'n_embd', 'embed_dim', 'dim', 'hidden_dim', 'out_hidden_size',
                     'projection_dim', 'n_embed', 'output_dim', 'text_hidden_size', 'embedding_size'), _WIDTH),
    **dict.fromkeys(('intermediate_size', 'ffn_dim', 'n_inner', 'encoder_ffn_dim', 'decoder_ffn_dim', 'mlp_dim',
                     'ffn_hidden_size', 'ffn_config_hidden', 'block_ff_dim'), 64),
    **dict.fromkeys(('moe_intermediate_size', 'shared_expert_intermediate_size', 'expert_ffn_hidden_size',
                     'moe_shared_expert_intermediate_size', 'shared_intermediate_size'), 16),
    **dict.fromkeys(('num_hidden_layers', 'n_layer', 'n_layers', 'num_layers', 'depth', 'encoder_layers',
                     'decoder_layers'), _LAYERS),
    **dict.fromkeys(('num_attention_heads', 'n_head', 'n_heads', 'num_heads', 'encoder_attention_heads',
                     'decoder_attention_heads'), _HEADS),
    **dict.fromkeys(('num_key_value_heads', 'num_kv_heads', 'kv_n_heads', 'n_kv_heads'), 2),
    **dict.fromkeys(('num_experts', 'num_local_experts', 'n_routed_experts', 'moe_num_experts'), 4),
    **dict.fromkeys(('num_experts_per_tok', 'moe_topk', 'num_experts_per_token', 'moe_k', 'moe_top_k', 'top_k'), 2),
    **dict.fromkeys(('n_group', 'topk_group', 'n_shared_experts', 'num_shared_experts', 'moe_num_shared_experts'), 1),
    **dict.fromkeys(('head_dim', 'qk_nope_head_dim', 'qk_rope_head_dim', 'v_head_dim', 'attention_head_dim'), 8),
    **dict.fromkeys(('q_lora_rank', 'kv_lora_rank'), 16),
    'vocab_size': VOCABULARY, 'text_vocab_size': VOCABULARY, 'vocab_size_per_layer_input': VOCABULARY,
    'max_position_embeddings': 128, 'n_positions': 128, 'sliding_window': 16,
}


def tiny_model(architecture: type[PreTrainedModel], model_type: str, seed: int = 0) -> PreTrainedModel:
    """A random model of this class, float32, in evaluation mode; the same one for the same seed."""
    torch.manual_seed(seed)
    return architecture(tiny_config(model_type)).float().eval()


def tiny_config(model_type: str) -> PreTrainedConfig:
    """The default configuration of a model type, with few and narrow layers."""
    config = CONFIG_MAPPING[model_type]
    shrunk = _shrink(config().to_dict(), SPECIAL.get(model_type, {}), iter(range(_FIRST_TOKEN, VOCABULARY)))
    return config(**shrunk)


def _shrink(values: dict[str, Any], special: dict[str, Any], tokens: Any) -> dict[str, Any]:
    """The fields of a (nested) configuration; ``special`` overrides fields by name, in nested ones by nesting."""
    shrunk = {name: _shrunk(name, value, special, tokens) for name, value in values.items()
              if name not in ('transformers_version', 'dtype', 'architectures') and special.get(name) is not LEFT_OUT}
    if 'kv_lora_rank' in values:  # latent attention has keys of its own for every head
        shrunk['num_key_value_heads'] = _HEADS
    layers = shrunk.get('num_hidden_layers', _LAYERS)
    for name, value in values.items():
        if isinstance(value, list) and name.endswith(('layer_types', 'layers_block_type')):
            shrunk[name] = _some_of_each(value, layers)
    return {**shrunk, **{name: value for name, value in special.items()
                         if value is not LEFT_OUT and not isinstance(values.get(name), dict)}}


def _shrunk(name: str, value: Any, special: dict[str, Any], tokens: Any) -> Any:
    if isinstance(value, dict):
        return _shrink(value, special.get(name, {}), tokens)
    if name in ('pad_token_id', 'bos_token_id', 'eos_token_id', 'decoder_start_token_id'):
        return ('pad_token_id', 'bos_token_id', 'eos_token_id', 'decoder_start_token_id').index(name) % 3
    if isinstance(value, int) and not isinstance(value, bool):
        if name.endswith(('token_id', 'token_index', '_token', 'start_id', 'end_id')):
            return next(tokens)
        return min(value, SIZES[name]) if name in SIZES else value
    return value


def _some_of_each(types: list[Any], length: int) -> list[Any]:
    """``length`` entries, with as many kinds as there is room for."""
    kinds = list(dict.fromkeys(types))
    return (kinds * length)[:length]


_MROPE = {'text_config': {'rope_parameters': {'mrope_section': [2, 1, 1]}}}
_MOE = {'n_routed_experts': 4, 'num_experts_per_tok': 2}
SPECIAL: dict[str, dict[str, Any]] = {
    **dict.fromkeys(('qwen2_vl', 'qwen2_5_vl', 'paddleocr_vl', 'glm4v', 'glm_ocr'), _MROPE),
    'dbrx': {'attn_config': {'rope_theta': 10000.0, 'clip_qkv': 8}},
    'deepseek_ocr2': {'text_config': {**_MOE, 'mlp_layer_types': ['dense', 'sparse']},
                      'vision_config': {'sam_config': {'global_attn_indexes': [1], 'output_channels': 16,
                                                       'downsample_channels': [16, 32], 'image_size': 64}}},
    'deepseek_v2': _MOE,
    'dots1': {**_MOE, 'n_shared_experts': 1},
    'ernie4_5_vl_moe': {'text_config': {'moe_intermediate_size': [16, 16],
                                        'rope_parameters': {'mrope_section': [1, 1, 2]}}},
    **dict.fromkeys(('gemma4', 'gemma4_unified'), {'text_config': {'per_layer_config': LEFT_OUT}}),
    'glm4v_moe': {'text_config': {'rope_parameters': {'mrope_section': [1, 1, 0]}}},
    **dict.fromkeys(('hunyuan_v1_dense', 'hunyuan_v1_moe'), {'head_dim': 8}),
    'hunyuan_vl': {'text_config': {'head_dim': 8, 'rope_parameters': {'mrope_section': [1, 1, 1, 1]}}},
    'longcat_flash': {'qk_head_dim': 16, 'zero_expert_num': 2},
    'molmo2': {'adapter_config': {'vision_feature_layer': [1, 0]}, 'text_config': {'additional_vocab_size': 8}},
}
