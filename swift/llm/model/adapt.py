"""From the tuner arguments to a model whose right weights train. It chooses; ``swift.tuners`` does.

Nothing here knows about optimizers or steps.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftConfig
from torch import nn
from transformers import PreTrainedModel

from swift.llm.args.groups import MethodArgs, TunerArgs
from swift.llm.model.device import DTYPES
from swift.llm.model.parts import BY_DEFAULT, Part, frozen_parts, modules_of, part_of
from swift.llm.model.quantize import check_tuner
from swift.llm.model.registry import ModelFamily
from swift.llm.model.start_batches import Rows, start_batches
from swift.llm.model.whole_weights import whole_weights
from swift.tuners.api import Adapted, Swift, cast_adapter
from swift.tuners.loftq import Weights, remember
from swift.tuners.native import NativeConfig
from swift.tuners.registry import TUNERS, StepHook, Tuner
from swift.tuners.starts import Batches, config_to_resume, start_of
from swift.tuners.targets import (
    check_pattern,
    expert_parameters,
    find_parameters,
    find_saved,
    find_targets,
    linear_names,
    matches_target,
    parameter_size,
    without,
)
from swift.utils.errors import UsageError
from swift.utils.logging import get_logger

logger = get_logger()

_FREEZE = ('freeze_parameters', 'freeze_parameters_regex')
_TRAIN = ('trainable_parameters', 'trainable_parameters_regex')
# linear by class, but they return several values, or multiply in groups
_NOT_PLAIN = ('DeepseekV4GroupedLinear', 'Llama4Router', 'PhimoeTopKRouter')
# the kernels of these read out_proj's weight without calling it, so that peft refuses an adapter there
_MAMBA_TYPES = ('falcon_h1', 'mamba', 'mamba2', 'falcon_mamba', 'nemotron_h')


def adapt(model: PreTrainedModel, tuner: TunerArgs, *, method: MethodArgs | None = None,
          family: ModelFamily | None = None, rows: Rows = (),
          resumed: Path | None = None, checkpoint: Path | None = None, new_tokens: Sequence[int] = (),
          recompute: bool = True) -> PreTrainedModel | Adapted:
    """Make ready for training: an adapter on a frozen model, or the model with the wanted weights frozen.

    Args:
        model: a loaded model; it is changed in place.
        tuner: what to train.
        method: settings of the tuning method, None for its defaults.
        family: gives the default target modules, and which parts are frozen in full training.
        rows: encoded training rows in their order, for starts that look at data.
        new_tokens: ids of tokens whose vectors are trained with a LoRA; other methods train tables whole.
        resumed: a checkpoint whose weights will be loaded next; no start is computed then.
        checkpoint: the folder that the model was loaded from, for a start that reads the weights before quantisation.
        recompute: activations are computed again in the backward; with ``--tuner_backend unsloth`` that is part of the
            adapter.

    Raises:
        UsageError: names that match nothing, or nothing left to train.
    """
    if tuner.tuner_type == 'full':
        freeze(model, tuner, family)
        adapted: PreTrainedModel | Adapted = model
    else:
        wanted = [flag for flag in (*_FREEZE, *_TRAIN, 'freeze_parameters_ratio') if vars(tuner)[flag]]
        if wanted:
            raise UsageError(f'--{wanted[0]} belongs to --tuner_type full; with {tuner.tuner_type} only the adapter is '
                             'trained.')
        check_tuner(model, tuner)
        chosen, options = TUNERS.get(tuner.tuner_type), tuner_options(tuner, model, family, method)
        config, batches, weights = chosen.build(options), None, None
        if tuner.tuner_type in ('lora', 'lora_llm'):
            train_vectors(config, model, new_tokens)
        if resumed is not None:
            config = config_to_resume(config, resumed)
        elif tuner.init_weights == 'loftq' and checkpoint is not None:
            logger.info('Computing the start of the adapter: loftq')
            weights = whole_weights(checkpoint)
        elif start_of(config):
            logger.info('Computing the start of the adapter: %s', tuner.init_weights)
            batches = start_batches(rows, tuner.init_weights, method or MethodArgs())
        if tuner.tuner_backend == 'unsloth':
            from swift.llm.model.unsloth import lora_with_unsloth
            adapted = lora_with_unsloth(model, config, recompute=recompute)
        else:
            adapted = _prepare(model, tuner, config, batches, weights)
        if resumed is not None:
            remember(adapted, resumed)
        if chosen.on_model is not None:
            chosen.on_model(model, options)
        if tuner.lora_dtype != 'auto':
            cast_adapter(adapted, DTYPES[tuner.lora_dtype])
    logger.info('%s: %s', tuner.tuner_type, Swift.get_trainable_parameters(adapted))
    return adapted


def train_vectors(config: LoraConfig, model: PreTrainedModel, tokens: Sequence[int]) -> None:
    """Add the vectors of these tokens to a LoRA: in the embedding, and in a head that has a table of its own.

    Tables that are trained whole have them already. What is tied stays tied, in training and in what is saved.

    Raises:
        UsageError: the head has a bias, which peft would leave out.
    """
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = head is not None and head.weight is embedding.weight
    tables = [embedding] if tied or head is None else [embedding, head]
    names = {id(module): name for name, module in model.named_modules()}
    saved = config.modules_to_save or []
    if tied and matches_target(names[id(head)], saved) and not matches_target(names[id(embedding)], saved):
        saved = config.modules_to_save = [*saved, names[id(embedding)]]  # the tie follows the embedding
    whole = [table for table in tables if matches_target(names[id(table)], saved)]
    if tied and (tokens or whole):
        config.ensure_weight_tying = True
    left = [table for table in tables if not any(table is one for one in whole)]
    if not tokens or not left:
        return
    if isinstance(head, nn.Linear) and head.bias is not None:
        raise UsageError(f'--new_special_tokens: the output head {names[id(head)]} has a bias, and peft can not train '
                         'single vectors of such a head. Train it whole: --modules_to_save EMBEDDING '
                         f'{names[id(head)].rpartition(".")[2]}.')
    config.trainable_token_indices = {names[id(table)]: list(tokens) for table in left}


def step_hook(model: PreTrainedModel | Adapted, tuner: TunerArgs) -> StepHook | None:
    """What the training loop has to call for the method that :func:`adapt` put on ``model``; most need nothing."""
    hook = TUNERS.get(tuner.tuner_type).hook if tuner.tuner_type != 'full' else None
    return None if hook is None else hook(model)


def _prepare(model: PreTrainedModel, tuner: TunerArgs, config: PeftConfig | NativeConfig,
             batches: Batches | None = None, weights: Weights | None = None) -> Adapted:
    """Raises:
        UsageError: sizes of the method don't divide those of a layer, or it can't be put on such a layer.
    """
    try:
        return Swift.prepare_model(model, config, batches=batches, weights=weights)
    except (ValueError, AssertionError, TypeError) as e:  # TypeError: a class of layer that peft has no adapter for
        raise UsageError(f'--tuner_type {tuner.tuner_type} does not fit this model: {e}') from e


def tuner_config(tuner: TunerArgs, model: PreTrainedModel, family: ModelFamily | None = None,
                 settings: MethodArgs | None = None) -> PeftConfig | NativeConfig:
    """The configuration of ``--tuner_type`` for this model.

    Raises:
        UsageError: the method is unknown, or a module name matches nothing in the model.
    """
    return TUNERS.get(tuner.tuner_type).build(tuner_options(tuner, model, family, settings))


def tuner_options(tuner: TunerArgs, model: PreTrainedModel, family: ModelFamily | None = None,
                  settings: MethodArgs | None = None) -> Any:
    """The options of ``--tuner_type``: flags, and what they mean in this model.

    Raises:
        UsageError: the method is unknown, or a module name matches nothing in the model.
    """
    method = TUNERS.get(tuner.tuner_type)
    given = vars(tuner) | vars(settings or MethodArgs()) | _on_parameters(model, tuner)
    saved = find_saved(model, [*method.also_saved, *_split(tuner.modules_to_save)])
    if tuner.tuner_type == 'lora_llm':
        saved += modules_of(model, family, {'vit', 'aligner'})
    _check_not_quantised(model, saved)
    found = {'modules_to_save': lambda: saved,
             'targets': lambda: _targets(tuner, model, family, method),
             'tokenizer': lambda: model.name_or_path}
    options = {field.name: found[field.name]() if field.name in found else given[field.name]
               for field in dataclasses.fields(method.options)}
    return method.options(**options)


def _targets(tuner: TunerArgs, model: PreTrainedModel, family: ModelFamily | None,
             method: Tuner) -> list[str] | str:
    """The modules that the method goes on, as peft takes them."""
    aside = _not_adaptable(model)
    words = _split(tuner.target_modules)
    by_default = [word.upper() for word in words] in (['DEFAULT'], ['AUTO'])
    if by_default and method.default_targets:
        words, by_default = method.default_targets, False
    defaults, regex = _present(model, family), tuner.target_regex
    frozen = _checked_parts(model, tuner, family)
    by_default = by_default or words == ['ALL'] and frozen != BY_DEFAULT
    if by_default and regex is None and (frozen != BY_DEFAULT or not (family and family.target_modules)):
        regex = language_model_regex(model, family, frozen)
    only_parameters = tuner.target_parameters and not words and regex is None
    targets = [] if only_parameters else find_targets(model, words, defaults=defaults, regex=regex, exclude=aside,
                                                        whole=method.whole_modules)
    if tuner.exclude_modules or tuner.layers_to_transform:
        targets = without(model, targets, names=tuner.exclude_modules, layers=tuner.layers_to_transform)
    for name in ('lora_rank_pattern', 'lora_alpha_pattern'):
        check_pattern(model, f'--{name}', json.loads(vars(tuner)[name] or '{}'), targets)
    return targets


def _on_parameters(model: nn.Module, tuner: TunerArgs) -> dict[str, Any]:
    """The options of ``--target_parameters``, under which there is no dropout: its adapters are added to weights."""
    if not tuner.target_parameters:
        if tuner.tuner_type in ('lora', 'lora_llm') and expert_parameters(model):
            logger.info('The experts of this model are bare parameters and get no adapter; --target_parameters EXPERTS '
                        'gives them one.')
        return {}
    if tuner.lora_dropout:
        logger.info('--target_parameters: trained without --lora_dropout, which adapters on parameters can not have.')
    return {'target_parameters': find_parameters(model, _split(tuner.target_parameters)), 'lora_dropout': 0.0}


def _check_not_quantised(model: nn.Module, names: Sequence[str]) -> None:
    """Raises:
        UsageError: a module that is to be trained whole has weights that are no numbers.
    """
    for name, module in model.named_modules():
        whole = any(name == wanted or name.endswith(f'.{wanted}') for wanted in names)
        if whole and any(not p.is_floating_point() for p in module.parameters()):
            raise UsageError(f'--modules_to_save: {name} is quantised, so it can not be trained whole; use it as a '
                             'target module.')


def _not_adaptable(model: PreTrainedModel) -> list[nn.Module]:
    """Linear layers that "every linear layer" does not mean: the output head, and those that no adapter fits."""
    head = model.get_output_embeddings()
    return [module for name, module in model.named_modules() if module is head or type(module).__name__ in _NOT_PLAIN
            or model.config.model_type in _MAMBA_TYPES and name.endswith('.out_proj')]


def _present(model: nn.Module, family: ModelFamily | None) -> tuple[str, ...]:
    """The default target modules that this model has: an entry also covers sizes and versions built otherwise."""
    if family is None or not family.target_modules:
        return ()
    aside = _not_adaptable(model)
    names = [f'.{name}' for name, module in model.named_modules() if not any(module is other for other in aside)]
    present = tuple(target for target in family.target_modules if any(name.endswith(f'.{target}') for name in names))
    if not present:
        logger.info('%s has no module called %s: every linear layer but the output head gets an adapter.',
                    type(model).__name__, ' or '.join(family.target_modules))
    return present


def _checked_parts(model: nn.Module, tuner: TunerArgs, family: ModelFamily | None) -> frozenset[Part]:
    """Which parts stay frozen.

    Raises:
        UsageError: a part is to be trained that this model has not, as far as is known.
    """
    frozen, tell = frozen_parts(tuner), part_of(model, family)
    if frozen == BY_DEFAULT:
        return frozen
    parts = {tell(name) for name, _ in model.named_parameters()}
    for part in sorted({'vit', 'aligner'} - frozen - parts):
        raise UsageError(f'--freeze_{part} false: nothing is known of such a part in this {type(model).__name__}; it '
                         f'has {", ".join(sorted(parts))}. Name modules with --target_modules or, in full training, '
                         'parameters with --trainable_parameters.')
    if {'vit', 'aligner'} & (parts - frozen):
        logger.warning('Rows are text: images, video and sound are not read yet, so nothing reaches the towers.')
    return frozen


def language_model_regex(model: PreTrainedModel, family: ModelFamily | None,
                         frozen: frozenset[Part] = BY_DEFAULT) -> str | None:
    """Regular expression for the linear layers that an adapter goes on by default in a model with several parts.

    Those are what the entry's ``target_regex`` names, tried on names as they are and below ``model.``, where newer
    versions of transformers keep what older ones had at the top; without one, all of the language model. When other
    parts than usual are frozen, it is the linear layers of those that are not.

    Returns:
        None where every linear layer is meant: nothing is known about parts, or the model has none.

    Raises:
        UsageError: no linear layer is left.
    """
    linear = linear_names(model, _not_adaptable(model))
    chosen: list[str] = []
    if family and family.target_regex and frozen == BY_DEFAULT:
        pattern = re.compile(family.target_regex)
        chosen = [name for name in linear if pattern.match(name) or pattern.match(name.removeprefix('model.'))]
    if not chosen:
        tell = part_of(model, family)
        chosen = [name for name in linear if tell(name) not in frozen]
    if not chosen and frozen != BY_DEFAULT:
        raise UsageError('--freeze_llm true leaves no layer for an adapter: add --freeze_vit false or --freeze_aligner '
                         f'false. This model has these parts: {", ".join(sorted({tell(name) for name in linear}))}.')
    return None if not chosen or len(chosen) == len(linear) else _regex_for(chosen, linear)


def _regex_for(chosen: Sequence[str], linear: Sequence[str]) -> str:
    """A short expression that matches these layers among all, or one that lists them."""
    ends = sorted({name.rpartition('.')[2] for name in chosen})
    for depth in (1, 2, 3):
        heads = sorted({'.'.join(name.split('.')[:depth]) for name in chosen})
        regex = rf'({"|".join(map(re.escape, heads))})(\..*)?\.({"|".join(map(re.escape, ends))})'
        if [name for name in linear if re.fullmatch(regex, name)] == list(chosen):
            return regex
    return '|'.join(map(re.escape, chosen))


def freeze(model: nn.Module, tuner: TunerArgs, family: ModelFamily | None = None) -> None:
    """Freeze by ratio from the input up, then by name or expression, then free what ``trainable_parameters`` and
    ``trainable_parameters_regex`` name.

    Of a model that reads more than text, the towers, the aligner and the generator are frozen as well, unless
    ``freeze_vit`` or ``freeze_aligner`` says otherwise.

    Raises:
        UsageError: a name or an expression matches no parameter, or every parameter is frozen.
    """
    names = [name for name, _ in model.named_parameters()]
    by_name, free = _named(tuner, _FREEZE, names), _named(tuner, _TRAIN, names)
    parts, tell = _checked_parts(model, tuner, family), part_of(model, family)
    left = tuner.freeze_parameters_ratio * sum(map(parameter_size, model.parameters()))
    for name, parameter in model.named_parameters():
        left -= parameter_size(parameter)
        frozen = left >= 0 or name in by_name or tell(name) in parts
        parameter.requires_grad_(not frozen or name in free)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UsageError('Every parameter is frozen: nothing would be trained. Lower --freeze_parameters_ratio, '
                         'shorten --freeze_parameters or add --trainable_parameters.')


def _named(tuner: TunerArgs, flags: tuple[str, str], names: Sequence[str]) -> set[str]:
    """The parameters that start with a word of the first flag, or in whose names the expression of the second is found.

    Raises:
        UsageError: a word or the expression is found nowhere.
    """
    prefixes, regex = vars(tuner)[flags[0]], vars(tuner)[flags[1]]
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in names):
            raise UsageError(f'--{flags[0]}: no parameter starts with {prefix!r}. There are: {_heads(names)}.')
    found = {name for name in names if re.search(regex, name)} if regex else set()
    if regex and not found:
        raise UsageError(f'--{flags[1]} {regex!r} is found in no name of a parameter. There are: {_heads(names)}.')
    return found | {name for name in names if name.startswith(tuple(prefixes))}


def _split(words: Sequence[str]) -> list[str]:
    """Names as the shell gave them, or in one word with commas."""
    return [part.strip() for word in words for part in word.split(',') if part.strip()]


def _heads(names: Sequence[str]) -> str:
    """The shortest prefixes that tell the parts of a model: ``model.embed_tokens, model.layers, lm_head``."""
    return ', '.join(dict.fromkeys('.'.join(name.split('.')[:2]) if name.count('.') > 1 else name.split('.')[0]
                                   for name in names))
