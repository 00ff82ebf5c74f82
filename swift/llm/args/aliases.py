"""Other names for one meaning: the vocabulary of SWIFT 2.x, that of the newest SWIFT, and what is refused.

One table serves the command line, config files, saved ``args.json`` and Python keywords. A name is a field, or an
alias, or passes through to transformers, or is refused with one line that says what replaces it or that it isn't there
yet; nothing is silently ignored. Data and small pure functions over words; it knows no class of arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

Words = tuple[str, ...]


@dataclass(frozen=True)
class Alias:
    """Another spelling of ``target``.

    Attributes:
        target: the field.
        values: the only words taken, each with the word of ``target`` that it means; None takes any word as it is.
        adds: the words are added to what ``target`` has, instead of replacing it.
    """

    target: str
    values: dict[str, str] | None = None
    adds: bool = False


ALIASES: dict[str, Alias] = {
    # model
    'model_id_or_path': Alias('model'),
    'model_cache_dir': Alias('model'),
    'dtype': Alias('torch_dtype'),
    'use_flash_attn': Alias('attn_impl', {'true': 'flash_attention_2', 'false': 'sdpa', 'none': 'auto'}),
    'device_map_config': Alias('device_map'),
    'device_map_config_path': Alias('device_map'),
    'device_max_memory': Alias('max_memory'),
    # template
    'template_type': Alias('template'),
    'tools_prompt': Alias('agent_template'),
    'use_loss_scale': Alias('loss_scale', {'true': 'react', 'false': 'default'}),
    # data
    'dataset_test_ratio': Alias('split_dataset_ratio'),
    'dataset_seed': Alias('data_seed'),
    'preprocess_num_proc': Alias('dataset_num_proc'),
    'streaming_buffer_size': Alias('shuffle_buffer_size'),
    'custom_train_dataset_path': Alias('dataset', adds=True),
    'custom_val_dataset_path': Alias('val_dataset', adds=True),
    'custom_register_path': Alias('external_plugins', adds=True),
    'strict': Alias('max_rejected_ratio', {'true': '0'}),
    # tuner
    'sft_type': Alias('tuner_type'),
    'train_type': Alias('tuner_type'),
    'lora_dropout_p': Alias('lora_dropout'),
    'lora_target_modules': Alias('target_modules'),
    'lora_target_regex': Alias('target_regex'),
    'lora_modules_to_save': Alias('modules_to_save'),
    **dict.fromkeys(('boft_target_modules', 'vera_target_modules', 'ia3_target_modules'), Alias('target_modules')),
    **dict.fromkeys(('boft_modules_to_save', 'vera_modules_to_save', 'ia3_modules_to_save'), Alias('modules_to_save')),
    'lora_bias_trainable': Alias('lora_bias'),
    'lora_lr_ratio': Alias('lorap_lr_ratio'),
    'init_lora_weights': Alias('init_weights'),
    'additional_trainable_parameters': Alias('trainable_parameters'),
    # quantised weights
    'quantization_bit': Alias('quant_bits'),
    'bnb_4bit_comp_dtype': Alias('bnb_4bit_compute_dtype'),
    # training
    'batch_size': Alias('per_device_train_batch_size'),
    'eval_batch_size': Alias('per_device_eval_batch_size'),
    'add_output_dir_suffix': Alias('add_version'),
    'evaluation_strategy': Alias('eval_strategy'),
    'only_save_model': Alias('save_only_model'),
    'neftune_alpha': Alias('neftune_noise_alpha'),
    'deepspeed_config_path': Alias('deepspeed'),
    'activation_checkpointing': Alias('gradient_checkpointing'),
    'optimizer': Alias('optim', {'default': 'adamw_torch', 'galore': 'galore', 'apollo': 'apollo', 'muon': 'muon'}),
    # inference
    'result_dir': Alias('result_path'),
    'load_args_from_ckpt_dir': Alias('load_args'),
    'load_dataset_config': Alias('load_data_args'),
    'show_dataset_sample': Alias('val_dataset_sample'),
    'merge_lora_and_save': Alias('merge_lora'),
}

# (field, word) -> word; the left word is matched as typed or in lower case
VALUES: dict[tuple[str, str], str] = {
    ('template', 'auto'): 'auto',
    ('torch_dtype', 'auto'): 'auto',
    ('torch_dtype', 'bf16'): 'bfloat16',
    ('torch_dtype', 'fp16'): 'float16',
    ('torch_dtype', 'fp32'): 'float32',
    ('lora_dtype', 'auto'): 'auto',
    ('lora_dtype', 'none'): 'auto',
    ('lora_dtype', 'bf16'): 'bfloat16',
    ('lora_dtype', 'fp16'): 'float16',
    ('lora_dtype', 'fp32'): 'float32',
    ('bnb_4bit_compute_dtype', 'auto'): 'auto',
    ('bnb_4bit_compute_dtype', 'none'): 'auto',
    ('bnb_4bit_compute_dtype', 'bf16'): 'bfloat16',
    ('bnb_4bit_compute_dtype', 'fp16'): 'float16',
    ('bnb_4bit_compute_dtype', 'fp32'): 'float32',
    ('attn_impl', 'flash_attn'): 'flash_attention_2',
    ('truncation_strategy', 'truncation_left'): 'left',
    ('target_modules', 'auto'): 'DEFAULT',
    ('target_modules', 'default'): 'DEFAULT',
    ('target_modules', 'all'): 'ALL',
    ('target_modules', 'all-linear'): 'ALL',
    ('target_modules', 'embedding'): 'EMBEDDING',
    ('target_modules', 'all-embedding'): 'EMBEDDING',
    ('init_weights', 'lora_ga'): 'lora-ga',
    ('target_parameters', 'experts'): 'EXPERTS',
    ('modules_to_save', 'embedding'): 'EMBEDDING',
    ('modules_to_save', 'all-embedding'): 'EMBEDDING',
    ('modules_to_save', 'ln'): 'LN',
    ('modules_to_save', 'all-norm'): 'LN',
    ('deepspeed', 'default-zero2'): 'zero2',
    ('deepspeed', 'default-zero3'): 'zero3',
    ('deepspeed', 'zero2-offload'): 'zero2_offload',
    ('deepspeed', 'zero3-offload'): 'zero3_offload',
    ('infer_backend', 'auto'): 'auto',
    ('infer_backend', 'pt'): 'transformers',
    ('tuner_backend', 'swift'): 'peft',
    ('tuner_type', 'bone'): 'miss',
    ('tuner_type', 'prompt'): 'prompt_tuning',
    ('tuner_type', 'ptuning'): 'p_tuning',
    ('tuner_type', 'prefix'): 'prefix_tuning',
    ('tuner_type', 'p_tuning_v2'): 'prefix_tuning',
}


# --------------------------------------------------------------------------- names whose meaning depends on the words

def _ckpt_dir(words: Sequence[str]) -> tuple[str, Words]:
    """``--ckpt_dir DIR``: an adapter goes to ``adapters``, full weights to ``model``."""
    folder = Path(words[0]).expanduser() if words else Path()
    whole = (folder / 'config.json').is_file() and not (folder / 'adapter_config.json').is_file()
    return ('model' if whole else 'adapters'), tuple(words)


def _freeze_parameters(words: Sequence[str]) -> tuple[str, Words]:
    """A lone number is the ratio, as SWIFT 2 took it."""
    lone_number = len(words) == 1 and words[0].replace('.', '', 1).isdigit()
    return ('freeze_parameters_ratio' if lone_number else 'freeze_parameters'), tuple(words)


def _warmup_steps(words: Sequence[str]) -> tuple[str, Words]:
    """transformers takes a number between 0 and 1 for the ratio."""
    is_ratio = len(words) == 1 and words[0].startswith(('0.', '.')) and words[0].replace('.', '', 1).isdigit()
    return ('warmup_ratio' if is_ratio else 'warmup_steps'), tuple(words)


def _save_total_limit(words: Sequence[str]) -> tuple[str, Words]:
    """The newest SWIFT writes None for "keep all"."""
    return 'save_total_limit', ('-1',) if [w.lower() for w in words] == ['none'] else tuple(words)


def _loss_scale_config_path(words: Sequence[str]) -> tuple[str, Words]:
    """SWIFT 2's own table for agents is called DEFAULT."""
    return 'loss_scale', ('react',) if [w.upper() for w in words] == ['DEFAULT'] else tuple(words)


REDIRECTS: dict[str, Callable[[Sequence[str]], tuple[str, Words]]] = {
    'ckpt_dir': _ckpt_dir,
    'freeze_parameters': _freeze_parameters,
    'warmup_steps': _warmup_steps,
    'save_total_limit': _save_total_limit,
    'loss_scale_config_path': _loss_scale_config_path,
}

# A switch of SWIFT 2 -> the name that says the same more exactly, where both are given
SAID_BETTER = {'use_loss_scale': 'loss_scale_config_path'}

# Lists whose single word may hold several items, separated by commas
_COMMA_LISTS = ('dataset', 'val_dataset', 'target_modules', 'modules_to_save', 'ia3_feedforward_modules',
                'exclude_modules', 'target_parameters')


def split_commas(name: str, word: str) -> list[str]:
    """``"a,b"`` as SWIFT took it: two items, unless the field has no comma lists or a file is called so."""
    if name not in _COMMA_LISTS or ',' not in word:
        return [word]
    if name.endswith('dataset') and Path(word.rpartition('#')[0] or word).expanduser().exists():
        return [word]
    return [item.strip() for item in word.split(',') if item.strip()]


# ------------------------------------------------------------------------------------------------------------ refused

def _refuse(line: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), line)


REMOVED: dict[str, str] = {
    'self_cognition_sample': 'write `--dataset self-cognition#N` instead, with --model_name and --model_author.',
    'train_dataset_sample': 'write the number behind the data set instead: `--dataset NAME#N`.',
    'val_dataset_sample': 'write the number behind the data set instead: `--val_dataset NAME#N`.',
    'check_dataset_strategy': '`swift data check FILE` looks at the rows; rows that can not be used are always counted '
                              'and written to rejected.jsonl (see --max_rejected_ratio).',
    'ignore_args_error': 'an unknown argument is always an error here.',
    'check_model': 'a hub is never asked whether a model is the latest; leave it out, or --check_model false.',
    'check_model_is_latest': 'a hub is never asked whether a model is the latest; leave it out.',
    'save_safetensors': 'weights are always written as safetensors.',
    'safe_serialization': 'weights are always written as safetensors.',
    'gpu_memory_fraction': 'it is not needed: rows that do not fit are named with the cheapest change.',
    'local_repo_path': 'models load from a hub or a local folder (--model DIR), without a cloned repository.',
    'neftune_backend': '--neftune_noise_alpha works alone.',
    'overwrite_generation_config': 'generation settings are part of args.json; the model folder is left as it is.',
    'template_backend': 'give no --template to use the checkpoint\'s own chat template.',
    'use_chat_template': 'use `swift pt` to train on plain text.',
    'write_batch_size': 'answers are written as they come.',
    'load_from_cache_file': 'prepared data is always reused when nothing that shapes it changed.',
    'disable_auto_column_mapping': 'name the columns with --columns.',
    'packing_num_proc': 'packing a million rows takes a second or two in one process; leave it out.',
    'packing_strategy': 'rows are packed by their lengths (binpack); packing in their own order would only leave gaps.',
    'max_epochs': 'use --max_steps, or --num_train_epochs for data that is not streamed.',
    'hqq_dynamic_config_path': 'every layer gets the same bits: use --quant_bits.',
    'use_swift_lora': 'LoRA is implemented by peft (--tuner_backend peft).',
    **_refuse('TorchAcc is not supported.', 'model_layer_cls_name metric_warmup_step fsdp_num'),
    # names of transformers.TrainingArguments that this project decides itself
    **_refuse('the subcommand says what is done; see --eval_strategy for evaluation.', 'do_train do_eval do_predict'),
    **_refuse('use --torch_dtype bfloat16, float16 or float32.', 'bf16 fp16 bf16_full_eval fp16_full_eval'),
    'local_rank': 'set by the launcher: NPROC_PER_NODE=4 swift sft ...',
    'logging_nan_inf_filter': 'NaN or Inf always stops the run.',
    'average_tokens_across_devices': 'the loss is always normalised over all tokens of a step.',
    'remove_unused_columns': 'rows are prepared by this project; there are no unused columns.',
    **_refuse('the non-reentrant engine is always used, it works with adapters; see --gradient_checkpointing.',
              'gradient_checkpointing_kwargs activation_checkpointing_kwargs'),
    'label_names': 'rows are prepared by this project; their names are fixed.',
    **_refuse('processes and batches are set by --deepspeed, --fsdp and the batch sizes.',
              'accelerator_config parallelism_config'),
    **_refuse('checkpoints are written by this project, as safetensors and JSON.',
              'enable_jit_checkpoint restore_callback_states_from_checkpoint'),
}

_LATER, _MANY_LATER = "isn't there yet", "aren't there yet"
NOT_YET: dict[str, str] = {
    **_refuse(f'Liger kernels {_MANY_LATER}.', 'use_liger use_liger_kernel liger_kernel_config'),
    **_refuse(f'training with Megatron {_LATER}.', 'train_backend tp pp min_lr sequence_parallel'),
    **_refuse(f'sequence parallelism {_LATER}.', 'sequence_parallel_size'),
    **_refuse(f'training on images, video or sound {_LATER}.',
              'vit_use_gc vit_gradient_checkpointing vit_lr aligner_lr '
              'rescale_image max_pixels norm_bbox'),
    **_refuse(f'settings of single models {_MANY_LATER}.', 'model_kwargs'),
    **_refuse(f'choosing a loss by name {_LATER}.',
              'loss_name loss_type enable_dft_loss enable_channel_loss label_smoothing_factor mrl_dims'),
    **_refuse(f'binary loss weights {_MANY_LATER}; they need no flag here.', 'is_binary_loss_scale'),
    **_refuse(f'{_LATER}; --thinking says what is written of the thinking.', 'add_non_thinking_prefix '
              'preserve_thinking disable_ignore_empty_think response_prefix'),
    **_refuse(f'evaluation by generation {_LATER}; use `swift infer --val_dataset FILE` on a checkpoint.',
              'predict_with_generate generation_config generation_max_length generation_num_beams sortish_sampler '
              'eval_use_evalscope eval_dataset eval_dataset_args eval_generation_config eval_limit extra_eval_args '
              'eval_metric metric ds3_gather_for_generation'),
    **_refuse(f'pushing to a hub {_LATER}.', 'push_to_hub hub_model_id hub_private_repo hub_strategy '
              'push_hub_strategy hub_always_push hub_revision'),
    **_refuse(f'shrinking the batch by itself {_LATER}; a batch that does not fit is named with the cheapest change.',
              'auto_find_batch_size test_oom_error'),
    **_refuse(f'batches by length {_MANY_LATER}.', 'group_by_length train_sampling_strategy length_column_name'),
    **_refuse(f'data prepared beforehand {_LATER}; prepared data is cached by itself.',
              'cached_dataset cached_val_dataset'),
    **_refuse(f'{_LATER}; training data is always shuffled, validation data never.',
              'dataset_shuffle train_dataloader_shuffle val_dataset_shuffle'),
    **_refuse(f'{_LATER}; remove the folder in the hub\'s cache to download again.', 'download_mode'),
    **_refuse(f'training anything but a causal language model {_LATER}.',
              'task_type num_labels problem_type reranker_use_activation'),
    **_refuse(f'a shorter context than the model\'s own {_LATER}; --max_length bounds the rows.', 'max_model_len'),
    **_refuse(f'choosing how experts run {_LATER}.', 'experts_impl router_aux_loss_coef'),
    **_refuse(f'choosing the size of weight files {_LATER}.', 'max_shard_size'),
    **_refuse(f'padding at the left in training {_LATER}; it would change no gradient.', 'padding_side'),
    **_refuse(f'links to the best and last checkpoint {_MANY_LATER}; the last lines of a run name both.',
              'create_checkpoint_symlink'),
    **_refuse(f'callbacks of yours {_MANY_LATER}.', 'callbacks'),
    **_refuse(f'stopping early {_LATER}.', 'early_stop_interval'),
    **_refuse(f'SwanLab {_LATER}; --report_to takes the names of transformers.',
              'swanlab_email_language swanlab_exp_name swanlab_mode swanlab_notification_method swanlab_project '
              'swanlab_receiver_email swanlab_secret swanlab_sender_email swanlab_smtp_port swanlab_smtp_server '
              'swanlab_token swanlab_webhook_url swanlab_workspace'),
    **_refuse(f'Ray {_LATER}.', 'use_ray ray_exp_name device_groups'),
    **_refuse(f'{_LATER}; --deepspeed takes a JSON file with any setting.',
              'deepspeed_autotp_size zero_hpz_partition_size'),
    **_refuse(f'saving checkpoints in the background {_LATER}.', 'use_flash_ckpt'),
    **_refuse(f'patching models for NPUs {_LATER}; they run as transformers has them.', 'enable_npu_model_patch'),
    **_refuse(f'choosing which logits are computed {_LATER}.', 'use_logits_to_keep'),
    **_refuse(f'training goes on from an adapter with --resume_from_checkpoint DIR --resume_only_model true; several '
              f'adapters {_MANY_LATER}.', 'adapters'),
    **_refuse(f'{_LATER} in training; --resume_from_checkpoint DIR takes the settings that matter.',
              'load_args load_data_args'),
    **_refuse(f'probabilities of tokens {_MANY_LATER}.', 'logprobs top_logprobs max_logprobs'),
    **_refuse(f'answers in a fixed shape {_MANY_LATER}.', 'structured_outputs_regex'),
    **_refuse(f'vLLM {_LATER}; --infer_backend transformers works.',
              'gpu_memory_utilization tensor_parallel_size max_num_seqs disable_custom_all_reduce enforce_eager '
              'limit_mm_per_prompt vllm_enable_lora vllm_max_lora_rank lora_modules vllm_lora_modules '
              'vllm_data_parallel_size vllm_disable_cascade_attn vllm_disable_custom_all_reduce '
              'vllm_enable_expert_parallel vllm_enable_prefix_caching vllm_enforce_eager vllm_engine_kwargs '
              'vllm_gpu_memory_utilization vllm_limit_mm_per_prompt vllm_max_model_len vllm_max_num_seqs '
              'vllm_mm_processor_cache_gb vllm_pipeline_parallel_size vllm_quantization vllm_reasoning_parser '
              'vllm_speculative_config vllm_tensor_parallel_size vllm_use_async_engine'),
    **_refuse(f'LMDeploy {_LATER}; --infer_backend transformers works.',
              'cache_max_entry_count quant_policy vision_batch_size lmdeploy_cache_max_entry_count '
              'lmdeploy_quant_policy lmdeploy_session_len lmdeploy_tp lmdeploy_vision_batch_size'),
    **_refuse(f'SGLang {_LATER}; --infer_backend transformers works.',
              'sglang_context_length sglang_disable_cuda_graph sglang_disable_custom_all_reduce sglang_dp_size '
              'sglang_enable_dp_attention sglang_enable_ep_moe sglang_ep_size sglang_kv_cache_dtype '
              'sglang_mem_fraction_static sglang_pp_size sglang_quantization sglang_speculative_algorithm '
              'sglang_speculative_eagle_topk sglang_speculative_num_draft_tokens sglang_speculative_num_steps '
              'sglang_tp_size'),
    **_refuse(f'choosing where a merge happens {_LATER}; it happens where the model is.', 'merge_device_map'),
}
REFUSED: dict[str, str] = REMOVED | NOT_YET

# Words with which a refused name asks for what happens anyway; they are taken.
ANYWAY: dict[str, tuple[str, ...]] = {
    **dict.fromkeys('save_safetensors safe_serialization average_tokens_across_devices use_chat_template '
                    'load_from_cache_file dataset_shuffle train_dataloader_shuffle do_train'.split(), ('true',)),
    **dict.fromkeys(
        'check_model check_model_is_latest ignore_args_error overwrite_generation_config use_liger '
        'use_liger_kernel use_loss_scale predict_with_generate push_to_hub auto_find_batch_size test_oom_error '
        'group_by_length val_dataset_shuffle create_checkpoint_symlink use_ray use_flash_ckpt strict sequence_parallel '
        'use_swift_lora logging_nan_inf_filter remove_unused_columns vllm_enable_lora logprobs enable_dft_loss '
        'enable_channel_loss disable_auto_column_mapping eval_use_evalscope load_args load_data_args '
        'do_predict is_binary_loss_scale'.split(), ('false',)),
    'check_dataset_strategy': ('none',),
    'train_backend': ('transformers',),
    'neftune_backend': ('transformers', 'swift', 'none'),
    'template_backend': ('swift',),
    'padding_side': ('right',),
    'task_type': ('causal_lm',),
    'download_mode': ('reuse_dataset_if_exists',),
    'self_cognition_sample': ('0',),
    'train_dataset_sample': ('-1',),
    'packing_strategy': ('binpack',),
    **dict.fromkeys('tp pp sequence_parallel_size fsdp_num tensor_parallel_size vllm_tensor_parallel_size '
                    'packing_num_proc'.split(),
                    ('1',)),
}


def is_what_happens_anyway(name: str, words: Sequence[str]) -> bool:
    """Whether a refused name was given the one value that asks for nothing (``--use_ray false``)."""
    word = (words[0] if words else 'true').lower()
    word = {'1': 'true', '0': 'false'}.get(word, word) if ANYWAY.get(name) in (('true',), ('false',)) else word
    return len(words) < 2 and word in ANYWAY.get(name, ())


_TUNERS = 'dummy'
_STORED = ('a quantised checkpoint is recognised by its config.json: give it as --model, without --quant_method. '
           'Making one is `swift export`.')
NOT_YET_VALUES: dict[tuple[str, str], str] = {
    **{('quant_method', name): _STORED for name in ('gptq', 'awq', 'aqlm')},
    **{('quant_method', name): f"{name} isn't there yet; bnb and hqq are." for name in ('eetq', 'quanto', 'fp8')},
    **{('tuner_type', name): f"the tuner {name} isn't there yet; docs/tuners.md lists those that are."
       for name in _TUNERS.split()},
    ('tuner_type', 'scetuning'): 'scetuning edits the skip connections of diffusion UNets; a language model has none: '
                                 'Swift.prepare_model(unet, SCETuningConfig()), see docs/tuners.md. Use adapter.',
    ('tuner_type', 'neftune'): 'neftune is --neftune_noise_alpha 5 beside any --tuner_type.',
    **{('infer_backend', name): f"{name} isn't there yet; auto and transformers are."
       for name in ('vllm', 'lmdeploy', 'sglang')},
    ('tuner_type', 'lisa'): 'LISA is --tuner_type full with --lisa_activated_layers N.',
    ('truncation_strategy', 'split'): "splitting long rows isn't there yet; delete, left and right are.",
    ('attn_impl', 'flash_attention_4'): "flash attention 4 isn't there yet.",
    ('rope_scaling', 'yarn'): "YaRN isn't there yet; linear and dynamic are.",
}
