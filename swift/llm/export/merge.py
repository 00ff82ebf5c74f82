"""An adapter and its base model -> one ordinary checkpoint folder beside the adapter, proved before it is written.

It decides where the folder lies, whether one that is there can be used again, and whether what was merged may be
written; how weights are added is the tuners' business.
"""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor, nn

from swift.llm.args.groups import DataArgs, ModelArgs, QuantArgs, TemplateArgs
from swift.llm.checkpoint import ARGS_FILE, QUANT_ARGS, read_saved_args, save_generation_config
from swift.llm.dataset.load import load_rows
from swift.llm.export.compare import Difference, cut_probes, difference, in_float32, outputs, probe_limit
from swift.llm.model.load import LoadedModel, load_model, load_tokenizer, resolve_model
from swift.llm.model.new_tokens import words_of
from swift.llm.model.quantize import stored_method
from swift.llm.template.encode import Template, make_template
from swift.llm.template.probes import PROBES
from swift.tuners.api import Swift
from swift.tuners.loftq import base_of
from swift.utils.errors import RowError, SwiftError, UsageError
from swift.utils.files import new_folder, read_json, sha256, verify_manifest, write_json, write_manifest
from swift.utils.logging import get_logger

logger = get_logger()
ORIGIN_FILE = 'merged_from.json'
_WEIGHTS = 'adapter_model.safetensors'
# Largest mean KL divergence between adapter-on-base and merged model, nats a token, by the type that is written. On the
# demo model rounding the weights gives 1e-11, 5e-6 and 2e-4.
TOLERANCE = {'float32': 1e-6, 'float16': 5e-5, 'bfloat16': 1e-3}
_ROUGH = 20  # times as much where a model can only be run in the type it has
_OWN_ROWS, _LARGEST_FILE = 4, 2**26


def merged_folder(adapter: Path) -> Path:
    """Where ``adapter`` goes when it is merged: ``<adapter>-merged``."""
    return adapter.with_name(f'{adapter.name}-merged')


def merge_adapter(adapter: Path, model: ModelArgs, template: TemplateArgs, target: Path | None = None, *,
                  quant: QuantArgs | None = None, tolerance: float | None = None) -> Path:
    """Write base model plus adapter to ``target``, or use what an earlier call wrote there.

    The weights are added in fp32 and written in the type that the base checkpoint has, or ``--torch_dtype``. Before
    they are written, the logits of the merged model are compared with those of the adapter on the same base, on fixed
    texts and some rows that the adapter was trained on. The folder appears whole or not at all.

    Args:
        adapter: folder of the adapter.
        model: the base model, with its 16- or 32-bit weights.
        template: renders the texts, and tells where generation stops.
        target: default: :func:`merged_folder`.
        quant: how the base was quantised in training; the difference from that model is told, and decides nothing.
        tolerance: largest mean KL divergence, nats a token; default: :data:`TOLERANCE` of the type that is written.

    Raises:
        UsageError: the folder holds no adapter, or one that is for quantised weights; or the base model has those.
        SwiftError: the merged model differs by more than ``tolerance``, something else is at ``target``, or it can't be
            written.
    """
    adapter = adapter.expanduser().resolve()
    if not (adapter / _WEIGHTS).is_file():
        raise UsageError(f'{adapter} has no {_WEIGHTS}, so there is nothing to merge.')
    if made_for := base_of(adapter):
        raise UsageError(f'The adapter in {adapter} started by LoftQ: a part of it makes up for what quantisation to '
                         f'{made_for} took away, and the whole weights lack nothing. It can not be merged into them; '
                         'leave --merge_lora out: it is used as it is, on the quantised weights.')
    target = target or merged_folder(adapter)
    base = resolve_model(model)
    config = read_json(base.path / 'config.json')
    _check_whole(base.path, config)
    origin = {'adapter_sha256': sha256(adapter / _WEIGHTS), 'base': str(base.path)}
    if target.exists():
        _check_reusable(target, origin)
        logger.info('Using the merged model in %s', target)
        return target
    # attention of its own choosing: flash attention has no float32
    model = dataclasses.replace(model, torch_dtype=_dtype_of(model, config), attn_impl='auto')
    renderer = make_template(template, load_tokenizer(base, model), base.family, task='sft', words=words_of(model))
    probes = _probes(renderer, [*_own_rows(adapter), *PROBES.values()], len(renderer.tokenizer))
    of_training = _on_quantised(adapter, model, quant, probes) if quant and quant.method else None
    loaded = load_model(model, training=False)
    adapted = Swift.from_pretrained(loaded.model, adapter).eval()
    exactly, factor = _arithmetic(adapted, probes)
    with exactly(adapted):
        expected = outputs(adapted, probes)
    merged = Swift.merge_and_unload(adapted)
    with exactly(merged):
        found = difference(expected, merged, probes)
        logger.info('The merged model against the adapter on the base model: %s.', found)
        if of_training is not None:
            logger.info('The merged model against the adapter on the %d-bit base it was trained on: %s.',
                        quant.quant_bits, difference(of_training, merged, probes))
    allowed = TOLERANCE[str(loaded.dtype).removeprefix('torch.')] * factor if tolerance is None else tolerance
    _check_alike(found, allowed)
    try:
        with new_folder(target) as folder:
            _write(folder, merged, loaded, adapter, renderer.stop_ids)
            write_json(folder / ORIGIN_FILE, {**origin, 'adapter': str(adapter), **dataclasses.asdict(found)})
            write_manifest(folder)
    except (OSError, SafetensorError) as e:
        raise SwiftError(f'The merged model can not be written to {target}: {e}. Nothing was left there.') from e
    logger.info('Merged %s into %s', adapter, target)
    return target


# What is compared

def _probes(template: Template, rows: Sequence[dict[str, Any]], vocabulary: int) -> list[list[int]]:
    encoded = [one.input_ids for one in template.encode_batch(rows) if not isinstance(one, RowError)]
    return cut_probes(encoded, probe_limit(vocabulary))


def _arithmetic(model: nn.Module, probes: Sequence[Sequence[int]]) -> tuple[Callable[[nn.Module], Any], float]:
    """How to run a model that is compared, and by how much tolerances grow by that."""
    try:
        with in_float32(model):
            outputs(model, [probes[0][:2]])
    except RuntimeError as e:
        logger.info('The models are compared in the type of their weights, which is ten times as rough: %s', e)
        return lambda _: nullcontext(), _ROUGH
    return in_float32, 1.0


def _own_rows(adapter: Path) -> list[dict[str, Any]]:
    """Some rows of the files that the adapter was trained on, where they are still there and not large."""
    saved = read_saved_args(adapter)
    if saved is None:
        return []
    rows: list[dict[str, Any]] = []
    for spec in saved.effective.get('dataset') or ():
        head, _, number = str(spec).rpartition('#')
        path = Path(head if head and number.isdigit() else str(spec))
        if path.is_file() and path.stat().st_size < _LARGEST_FILE:
            try:
                wanted = DataArgs(val_dataset=[f'{path}#{_OWN_ROWS}'], columns=saved.flat.get('columns'))
                rows += load_rows(wanted, seed=0)
            except SwiftError as e:
                logger.info('%s is left out of the comparison: %s', path, e)
    return rows[:_OWN_ROWS]


def _on_quantised(adapter: Path, model: ModelArgs, quant: QuantArgs,
                  probes: Sequence[Sequence[int]]) -> list[Tensor] | None:
    """Logits of the adapter on the base that it was trained on, or None where that can't be loaded here; the model is
    gone again when this returns."""
    try:
        loaded = load_model(model, training=False, quant=quant)
    except SwiftError as e:
        logger.info('Not compared with the %d-bit base that the adapter was trained on: %s', quant.quant_bits, e)
        return None
    logits = outputs(Swift.from_pretrained(loaded.model, adapter).eval(), probes)
    del loaded
    gc.collect()  # peft's modules point at each other
    return logits


def _check_alike(found: Difference, tolerance: float) -> None:
    """Raises:
        SwiftError: the difference is too large, or no number.
    """
    if not found.divergence <= tolerance:
        raise SwiftError(f'The merged model does not answer like the adapter on its base model: {found}. The '
                         f'divergence is above --merge_tolerance {tolerance:g}; nothing was written. --torch_dtype '
                         'float32 rounds nothing; a larger --merge_tolerance takes the model as it is.')


# What is written

def _write(folder: Path, merged: Any, loaded: LoadedModel, adapter: Path, stop_ids: frozenset[int]) -> None:
    merged.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    save_generation_config(folder, loaded.path, stop_ids)
    if (adapter / ARGS_FILE).is_file():
        saved = read_json(adapter / ARGS_FILE)
        # the merged weights are whole: who loads them by these arguments does not want them quantised again
        saved['args'] = {name: value for name, value in saved['args'].items() if name not in QUANT_ARGS}
        write_json(folder / ARGS_FILE, saved)


def _check_whole(folder: Path, config: dict[str, Any]) -> None:
    """Raises:
        UsageError: the weights are quantised, so that nothing can be added to them.
    """
    if method := stored_method(config):
        raise UsageError(f'{folder} has quantised weights ({method}), and an adapter is merged into those of 16 or 32 '
                         'bits. Name the unquantised model with --model.')


def _check_reusable(target: Path, origin: dict[str, str]) -> None:
    """Raises:
        SwiftError: ``target`` is not what merging this adapter wrote, or is damaged.
    """
    known = read_json(target / ORIGIN_FILE) if (target / ORIGIN_FILE).is_file() else None
    if not isinstance(known, dict) or any(known.get(name) != value for name, value in origin.items()):
        raise SwiftError(f'{target} is there already and does not come from this adapter and this base model. Move it '
                         'away, then merge again; nothing was overwritten.')
    if problem := verify_manifest(target):
        raise SwiftError(f'The merged model is damaged: {problem}. Remove {target}, then merge again.')


def _dtype_of(model: ModelArgs, config: dict[str, Any]) -> str:
    """The type to write: what was typed, else that of the base checkpoint, else what the device likes."""
    if model.torch_dtype != 'auto':
        return model.torch_dtype
    dtype = config.get('dtype') or config.get('torch_dtype')
    return dtype if dtype in ('float32', 'bfloat16', 'float16') else 'auto'
