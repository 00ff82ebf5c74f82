"""``swift infer``: chat with a checkpoint, or answer the rows of a data set, one step a line."""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swift.llm import checkpoint
from swift.llm.args.commands import InferArguments
from swift.llm.args.derive import effective
from swift.llm.args.given import given_arguments
from swift.llm.args.groups import DataArgs
from swift.llm.dataset.hub import HubAccess
from swift.llm.dataset.load import load_rows
from swift.llm.dataset.registry import import_plugins
from swift.llm.export.merge import merge_adapter
from swift.llm.infer.batch import run_batch
from swift.llm.infer.chat import HELP, Chat
from swift.llm.infer.transformers_engine import TransformersEngine, put_adapters
from swift.llm.model.load import load_model
from swift.llm.pipelines.names import check_names
from swift.llm.protocol import RequestConfig
from swift.llm.template.encode import make_template
from swift.tuners.api import base_model
from swift.utils.errors import SwiftError, UsageError
from swift.utils.files import read_json
from swift.utils.logging import get_logger

logger = get_logger()


def infer_main(args: Sequence[str] | dict[str, Any] | InferArguments | None = None) -> list[dict[str, Any]]:
    """Chat in the terminal, or answer a data set.

    Args:
        args: argv, flat names and values, or arguments; None is this process's command line.

    Returns:
        One record an answer, as in the result file: system, query, response, label, history, messages, and ``error``
        where there is no answer.
    """
    args = effective(_with_base_model(_with_saved(given_arguments(InferArguments, args))))
    import_plugins(args.data.external_plugins)
    check_names(args.template)
    if args.infer.merge_lora:
        args = _merged(args)
    loaded = load_model(args.model, training=False, quant=args.quant, max_length=args.template.max_length)
    model = put_adapters(loaded.model, args.infer.adapters)
    template = make_template(args.template, loaded.tokenizer, loaded.family, task='sft',
                             words=loaded.new_tokens.words)
    engine = TransformersEngine.from_parts(model, loaded.tokenizer, template, name=loaded.path.name,
                                           max_batch_size=args.infer.max_batch_size)
    config = _request_config(args, engine)
    with engine:
        if args.infer.eval_human:
            print(_banner(args, engine), flush=True)
            return _chat(args, engine, config)
        return _batch(args, engine, config, loaded.path)


# What is answered

def _chat(args: InferArguments, engine: TransformersEngine, config: RequestConfig) -> list[dict[str, Any]]:
    """Chat until the user leaves; with ``--result_path`` each turn is a line there."""
    turns: list[dict[str, Any]] = []
    path = _result_file(args, None) if args.infer.result_path else None

    def keep(turn: dict[str, Any]) -> None:
        turns.append(turn)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, 'a', encoding='utf-8') as file:
                file.write(json.dumps(turn, ensure_ascii=False) + '\n')

    Chat(engine, config, system=args.template.system, on_turn=keep).run()
    return turns


def _batch(args: InferArguments, engine: TransformersEngine, config: RequestConfig,
           model_folder: Path) -> list[dict[str, Any]]:
    limit = None if args.infer.val_dataset_sample < 0 else args.infer.val_dataset_sample
    rows = load_rows(_rows_wanted(args), seed=args.run.seed, access=HubAccess.of(args.model))
    rows = list(itertools.islice(rows, limit))
    if not rows:
        raise SwiftError('There are no rows to answer. Give --val_dataset FILE, or --load_data_args true for a '
                         'checkpoint that was trained with validation rows.')
    path = _result_file(args, model_folder)
    try:
        results = run_batch(engine, rows, config, result_path=path, batch_size=args.infer.max_batch_size,
                            system=args.template.system, verbose=args.infer.verbose)
    except KeyboardInterrupt:
        if path is not None:
            logger.warning('Stopped. What was answered is in %s; the same command with --result_path %s goes on.',
                           path, path)
        raise
    if path is not None:
        logger.info('%d answers are in %s', len(results), path)
    return results


def _rows_wanted(args: InferArguments) -> DataArgs:
    """Rows that were typed as ``--dataset`` are all answered, unless the split of a training run is asked for."""
    if args.data.val_dataset or args.infer.load_data_args or 'split_dataset_ratio' in args.explicit:
        return args.data
    return dataclasses.replace(args.data, dataset=[], val_dataset=args.data.dataset)


def _result_file(args: InferArguments, model_folder: Path | None) -> Path | None:
    """``--result_path``, else ``infer_result/<time>.jsonl`` in the folder of the adapter or the model."""
    if not args.infer.save_result:
        return None
    name = f'{time.strftime("%Y%m%d-%H%M%S")}.jsonl'
    if args.infer.result_path is not None:
        path = Path(args.infer.result_path).expanduser().resolve()
        return path if path.suffix == '.jsonl' else path / name
    folder = Path(args.infer.adapters[0]).expanduser().resolve() if args.infer.adapters else model_folder
    return folder / 'infer_result' / name


# What answers

def _with_saved(args: InferArguments) -> InferArguments:
    """``args`` with what the checkpoint's args.json knows; what was typed wins.

    Raises:
        UsageError: ``--load_data_args`` and there is no args.json.
    """
    if not args.infer.load_args:
        return args
    folder = args.infer.adapters[0] if args.infer.adapters else args.model.model
    saved = checkpoint.read_saved_args(Path(folder).expanduser()) if folder else None
    if saved is not None:
        return checkpoint.merge_for_inference(args, saved, with_data=args.infer.load_data_args)
    if args.infer.load_data_args:
        raise UsageError(f'--load_data_args true: {folder} has no {checkpoint.ARGS_FILE} to take data settings from. '
                         'Give --val_dataset FILE instead.')
    return args


def _with_base_model(args: InferArguments) -> InferArguments:
    """An adapter that swift did not train still names its base model.

    Raises:
        UsageError: it doesn't.
    """
    if args.model.model or args.model.model_type or not args.infer.adapters:
        return args
    adapter = Path(args.infer.adapters[0]).expanduser()
    base = read_json(adapter / 'adapter_config.json').get('base_model_name_or_path')
    if not base:
        raise UsageError(f'The adapter in {adapter} does not say which model it belongs to; give --model.')
    return args.replaced({'model': base})


def _merged(args: InferArguments) -> InferArguments:
    """``args`` for the merged checkpoint instead of the adapter."""
    if len(args.infer.adapters) != 1:
        raise UsageError(f'--merge_lora true takes one adapter, got {len(args.infer.adapters)}.')
    target = merge_adapter(Path(args.infer.adapters[0]), args.model, args.template, quant=args.quant,
                           tolerance=args.infer.merge_tolerance)
    whole = {} if 'quant_bits' in args.explicit else {'quant_method': None, 'quant_bits': None}
    return args.replaced({'model': str(target), 'adapters': [], **whole})


def _request_config(args: InferArguments, engine: TransformersEngine) -> RequestConfig:
    generation = args.generation
    temperature = generation.temperature
    if generation.do_sample is False:
        temperature = 0.0
    elif generation.do_sample and temperature is None:
        temperature = engine.default_temperature
    return RequestConfig(max_tokens=generation.max_new_tokens, temperature=temperature, top_k=generation.top_k,
                         top_p=generation.top_p, repetition_penalty=generation.repetition_penalty,
                         num_beams=generation.num_beams, stop=tuple(generation.stop_words), seed=args.run.seed,
                         stream=generation.stream)


def _banner(args: InferArguments, engine: TransformersEngine) -> str:
    """What is loaded, and what can be typed."""
    model = base_model(engine.model)
    lines = [f'Model:    {engine.models()[0]} ({str(model.dtype).removeprefix("torch.")} on {model.device})']
    lines += [f'Adapter:  {adapter}' for adapter in args.infer.adapters]
    lines += [f'Template: {engine.template.name}', f'System:   {args.template.system}' if args.template.system else '']
    width = max(map(len, HELP))
    lines += [f'  {word:<{width}}  {meaning}' for word, meaning in HELP.items()]
    return '\n'.join(line for line in lines if line)
