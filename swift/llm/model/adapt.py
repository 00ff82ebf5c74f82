"""From the tuner arguments to a model whose right weights train. It chooses; ``swift.tuners`` does.

Nothing here knows about optimizers or steps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from peft import PeftConfig, PeftModel
from torch import nn
from transformers import PreTrainedModel

from swift.llm.args.groups import TunerArgs
from swift.llm.model.device import DTYPES
from swift.llm.model.registry import ModelFamily
from swift.tuners.api import Swift, cast_adapter
from swift.tuners.registry import TUNERS
from swift.tuners.targets import find_saved, find_targets
from swift.utils.errors import UsageError
from swift.utils.logging import get_logger

logger = get_logger()


def adapt(model: PreTrainedModel, tuner: TunerArgs, *,
          family: ModelFamily | None = None) -> PreTrainedModel | PeftModel:
    """Make ready for training: an adapter on a frozen model, or the model with the wanted weights frozen.

    Args:
        model: a loaded model; it is changed in place.
        tuner: what to train.
        family: gives the default target modules.

    Raises:
        UsageError: names that match nothing, or nothing left to train.
    """
    if tuner.tuner_type == 'full':
        freeze(model, tuner)
        adapted: PreTrainedModel | PeftModel = model
    else:
        if tuner.freeze_parameters or tuner.freeze_parameters_ratio or tuner.trainable_parameters:
            raise UsageError(f'--freeze_parameters, --freeze_parameters_ratio and --trainable_parameters belong to '
                             f'--tuner_type full; with {tuner.tuner_type} only the adapter is trained.')
        adapted = Swift.prepare_model(model, tuner_config(tuner, model, family))
        if tuner.lora_dtype != 'auto':
            cast_adapter(adapted, DTYPES[tuner.lora_dtype])
    trained, total = count_parameters(adapted)
    logger.info('%s: training %s of %s parameters (%.2f %%)', tuner.tuner_type, f'{trained:,}', f'{total:,}',
                100 * trained / total)
    return adapted


def tuner_config(tuner: TunerArgs, model: PreTrainedModel, family: ModelFamily | None = None) -> PeftConfig:
    """The peft configuration of ``--tuner_type`` for this model.

    Raises:
        UsageError: the method is unknown, or a module name matches nothing in the model.
    """
    method = TUNERS.get(tuner.tuner_type)
    head = model.get_output_embeddings()
    targets = find_targets(model, _split(tuner.target_modules), defaults=family.target_modules if family else (),
                           regex=tuner.target_regex, exclude=() if head is None else (head,))
    options = {field.name: getattr(tuner, field.name) for field in dataclasses.fields(method.options)
               if field.name not in ('targets', 'modules_to_save')}
    saved = find_saved(model, _split(tuner.modules_to_save))
    return method.build(method.options(targets=targets, modules_to_save=saved, **options))


def freeze(model: nn.Module, tuner: TunerArgs) -> None:
    """Freeze by ratio from the input up, then by name, then free what ``trainable_parameters`` names.

    Raises:
        UsageError: a name matches no parameter, or every parameter is frozen.
    """
    names = [name for name, _ in model.named_parameters()]
    for flag, prefixes in (('--freeze_parameters', tuner.freeze_parameters),
                           ('--trainable_parameters', tuner.trainable_parameters)):
        for prefix in prefixes:
            if not any(name.startswith(prefix) for name in names):
                raise UsageError(f'{flag}: no parameter starts with {prefix!r}. There are: {_heads(names)}.')
    left = tuner.freeze_parameters_ratio * sum(map(_size, model.parameters()))
    for name, parameter in model.named_parameters():
        left -= _size(parameter)
        frozen = left >= 0 or name.startswith(tuple(tuner.freeze_parameters))
        parameter.requires_grad_(not frozen or name.startswith(tuple(tuner.trainable_parameters)))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UsageError('Every parameter is frozen: nothing would be trained. Lower --freeze_parameters_ratio, '
                         'shorten --freeze_parameters or add --trainable_parameters.')


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """(trained, all) parameters."""
    trained = sum(_size(parameter) for parameter in model.parameters() if parameter.requires_grad)
    return trained, sum(map(_size, model.parameters()))


def _size(parameter: nn.Parameter) -> int:
    """How many numbers it has; one that ZeRO-3 has spread over processes is empty here and keeps its size aside."""
    return vars(parameter).get('ds_numel', parameter.numel())


def _split(words: Sequence[str]) -> list[str]:
    """Names as the shell gave them, or in one word with commas."""
    return [part.strip() for word in words for part in word.split(',') if part.strip()]


def _heads(names: Sequence[str]) -> str:
    """The shortest prefixes that tell the parts of a model: ``model.embed_tokens, model.layers, lm_head``."""
    return ', '.join(dict.fromkeys('.'.join(name.split('.')[:2]) if name.count('.') > 1 else name.split('.')[0]
                                   for name in names))
