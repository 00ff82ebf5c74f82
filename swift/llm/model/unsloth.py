"""``--tuner_backend unsloth``: that package loads the model and puts the LoRA on it, by two calls that it documents.

It replaces functions of transformers and peft when it is imported, so it is imported here, when it was asked for, and
nowhere else.
"""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig, PeftModel
from transformers import PreTrainedModel

from swift.llm.args.groups import ModelArgs, QuantArgs
from swift.llm.model import checks, quantize
from swift.llm.model.device import choose_dtype
from swift.llm.model.load import LoadedModel, load_tokenizer, resolve_model
from swift.utils.errors import SwiftError, UsageError
from swift.utils.logging import get_logger

logger = get_logger()


def load_with_unsloth(args: ModelArgs, quant: QuantArgs, *, full: bool, max_length: int) -> LoadedModel:
    """As :func:`swift.llm.model.load.load_model` for training; the same files are refused before anything is loaded.

    Args:
        args, quant: which model and how.
        full: all weights will be trained.
        max_length: longest row in tokens; -1 is as many as the model has positions.

    Raises:
        UsageError: unsloth can't run here, or the folder can't be loaded as asked.
        SwiftError: unsloth can't load the model.
    """
    resolved = resolve_model(args)
    folder, family = resolved.path, resolved.family
    config = checks.read_config(folder)
    checks.check_config(folder, config, trust_remote_code=args.trust_remote_code)
    quantize.check_stored(folder, quantize.stored_method(config), quant, training=True, full=full)
    checks.check_weights(folder)
    tokenizer = load_tokenizer(resolved, args)
    dtype = choose_dtype(args.torch_dtype, preferred=family.dtype if family else '')
    longest = max_length if max_length > 0 else config.get('max_position_embeddings', 2048)
    logger.info('Loading %s with unsloth', folder)
    library = _library()
    try:
        model, _ = library.from_pretrained(
            model_name=str(folder), max_seq_length=longest, dtype=dtype, load_in_4bit=quant.quant_bits == 4,
            load_in_8bit=quant.quant_bits == 8, full_finetuning=full, trust_remote_code=args.trust_remote_code)
    except (OSError, ValueError, RuntimeError, NotImplementedError) as e:
        raise SwiftError(f'unsloth can not load {folder}: {e}. Without --tuner_backend unsloth it may work.') from e
    return LoadedModel(model, tokenizer, family, folder, dtype)


def lora_with_unsloth(model: PreTrainedModel, config: LoraConfig, *, recompute: bool) -> PeftModel:
    """Put a LoRA on a model that :func:`load_with_unsloth` loaded.

    Args:
        config: what peft would get; unsloth takes the fields that it knows.
        recompute: compute activations again in the backward, in unsloth's own way.

    Raises:
        UsageError: the target modules are an expression, or unsloth does not take one of the values.
    """
    if isinstance(config.target_modules, str):
        raise UsageError('--tuner_backend unsloth takes names of modules, and those of this model are a regular '
                         'expression. Name them with --target_modules.')
    try:
        return _library().get_peft_model(
            model, r=config.r, target_modules=sorted(config.target_modules), lora_alpha=config.lora_alpha,
            lora_dropout=config.lora_dropout, bias=config.bias, use_rslora=config.use_rslora,
            modules_to_save=config.modules_to_save, init_lora_weights=config.init_lora_weights,
            use_gradient_checkpointing='unsloth' if recompute else False, random_state=torch.initial_seed() % 2**31)
    except (TypeError, ValueError, RuntimeError, NotImplementedError) as e:
        raise UsageError(f'unsloth does not take this adapter: {e}. Without --tuner_backend unsloth it may '
                         'work.') from e


def _library() -> Any:
    """Raises:
        UsageError: unsloth is there and can't run, for instance without a GPU.
    """
    try:
        from unsloth import FastLanguageModel
    except (ImportError, RuntimeError, NotImplementedError) as e:
        raise UsageError(f'--tuner_backend unsloth can not start here: {e}. Leave the flag out.') from e
    return FastLanguageModel
