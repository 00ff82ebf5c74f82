"""Defaults that depend on other flags, as pure functions: arguments in, arguments out."""

from __future__ import annotations

import dataclasses
import math

from swift.llm.args.commands import InferArguments, PtArguments, SftArguments
from swift.llm.args.groups import DataArgs, TrainArgs
from swift.llm.args.optimizing import has_schedule, steps_in_backward
from swift.llm.args.tuner_types import METHODS

_ROWS_A_STEP = 16
_OLDER_SPELLING = {True: 'full', False: 'none', None: 'auto'}  # of --recompute


def effective(args: SftArguments | PtArguments | InferArguments, world_size: int = 1):
    """``args`` with every None resolved that other arguments decide.

    What only the model or the device can decide (``recompute`` auto, ``padding_free``, ``use_hf``, the values
    of generation) stays None.

    Args:
        args: arguments of a command; what was typed is never changed.
        world_size: processes that train together.
    """
    data = _data(args.data, args.explicit, args.run.seed)
    if isinstance(args, InferArguments):
        return dataclasses.replace(args, data=data, infer=_infer(args), generation=_generation(args))
    train = _train(args.train, data, full=args.tuner.tuner_type == 'full', world_size=world_size)
    if train.packing and train.packing_length is None:
        train = dataclasses.replace(train, packing_length=args.template.max_length)
    if steps_in_backward(train.optim, args.optimizing):  # rules refuse it where something else was typed
        train = dataclasses.replace(train, gradient_accumulation_steps=1, max_grad_norm=0.0)
    if has_schedule(args.optimizing):  # DDP must not wait for blocks that are frozen now
        train = dataclasses.replace(train, ddp_find_unused_parameters=True)
    method = METHODS.get(args.tuner.tuner_type)
    template = args.template
    if method is not None and not method.recomputes:
        train = dataclasses.replace(train, recompute='none')
    if method is not None and method.needs_padding:
        template = dataclasses.replace(template, padding_free=False)
    return dataclasses.replace(args, data=data, template=template, train=train)


def has_validation(data: DataArgs) -> bool:
    """Whether there will be rows to evaluate on."""
    if data.val_dataset:
        return True
    return data.streaming_val_size > 0 if data.streaming else data.split_dataset_ratio > 0


def _data(data: DataArgs, explicit: frozenset[str], seed: int) -> DataArgs:
    split = 0.0 if data.val_dataset or data.streaming else data.split_dataset_ratio
    lazy = data.lazy_tokenize
    return dataclasses.replace(
        data, split_dataset_ratio=split, data_seed=seed if data.data_seed is None else data.data_seed,
        lazy_tokenize=False if lazy is None or (data.streaming and 'lazy_tokenize' not in explicit) else lazy)


def _train(train: TrainArgs, data: DataArgs, *, full: bool, world_size: int) -> TrainArgs:
    eval_steps = train.eval_steps or (200 if full else 50)
    rows = _ROWS_A_STEP if train.max_tokens_per_batch else train.per_device_train_batch_size * world_size
    return dataclasses.replace(
        train,
        add_version=train.add_version is not False,
        recompute=train.recompute if train.recompute != 'auto' else _OLDER_SPELLING[train.gradient_checkpointing],
        learning_rate=(1e-5 if full else 1e-4) if train.learning_rate is None else train.learning_rate,
        per_device_eval_batch_size=train.per_device_eval_batch_size or train.per_device_train_batch_size,
        gradient_accumulation_steps=train.gradient_accumulation_steps or math.ceil(_ROWS_A_STEP / rows),
        eval_strategy=train.eval_strategy if has_validation(data) else 'no',
        eval_steps=eval_steps,
        save_steps=train.save_steps or eval_steps,
        dataloader_num_workers=train.dataloader_num_workers or 0)


def _infer(args: InferArguments):
    rows = bool(args.data.val_dataset or args.data.dataset or args.infer.load_data_args)
    human = not rows if args.infer.eval_human is None else args.infer.eval_human
    return dataclasses.replace(args.infer, eval_human=human)


def _generation(args: InferArguments):
    """Temperature 0 is greedy; beams can't be streamed."""
    generation = args.generation
    sample = False if generation.temperature == 0 and generation.do_sample is None else generation.do_sample
    return dataclasses.replace(generation, do_sample=sample,
                               stream=generation.stream and generation.num_beams == 1)
