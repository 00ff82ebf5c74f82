"""From the arguments to a model and a tokenizer in memory. It renders no text and adapts no weights.

Order: which files (registry, hub), may they be read (checks), then transformers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from swift.llm.args.groups import ModelArgs, QuantArgs
from swift.llm.model import checks, hub, quantize
from swift.llm.model.device import choose_attention, choose_device_map, choose_dtype
from swift.llm.model.new_tokens import NewTokens, give_vectors, teach, words_of
from swift.llm.model.registry import (
    MODELS,
    Match,
    ModelFamily,
    choose,
    describe,
    match_config,
    match_hub_id,
    settle,
    unknown_model,
)
from swift.utils import env
from swift.utils.errors import MissingExtraError, SwiftError, UsageError
from swift.utils.logging import get_logger

logger = get_logger()

_LOADERS = {cls.__name__: cls for cls in (AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForMultimodalLM)}
# the same weights a second time, in the layout of another library
_SECOND_COPIES = ('consolidated*', 'original/*', 'metal/*', 'onnx/*')
# packages that make a model of transformers faster and that it does without
_KERNELS = ('mamba-ssm', 'causal-conv1d', 'flash-attn', 'flash_attn')
# packages that nobody keeps up, and what transformers loads such checkpoints with today
_SUCCESSORS = {'auto_gptq': 'gptqmodel', 'autoawq': 'gptqmodel', 'whisper': 'openai-whisper'}
# tokens that models keep for padding and train on nothing else, best first
_PAD_TOKENS = ('<|finetune_right_pad_id|>', '<|pad|>', '<pad>', '[PAD]', '<|endoftext|>')


@dataclass(frozen=True)
class ResolvedModel:
    """Where a model's files are, and what is known about it (None: nothing, its own chat template is used)."""

    path: Path
    family: ModelFamily | None


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to be adapted or to generate.

    Attributes:
        model: in eval mode; on its device unless DeepSpeed or FSDP places it.
        tokenizer: with a padding token.
        family: the registry's entry, or None.
        path: the local folder that was loaded.
        dtype: what to compute in. The weights have it too, except that full training in fp16 keeps fp32 weights.
        new_tokens: the words of ``--new_special_tokens``.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    family: ModelFamily | None
    path: Path
    dtype: torch.dtype
    new_tokens: NewTokens = NewTokens()


def resolve_model(args: ModelArgs) -> ResolvedModel:
    """Find the folder of ``--model`` / ``--model_type``, fetching it from a hub when it is not local.

    Raises:
        UsageError: the name is unknown, or names several checkpoints.
        SwiftError: it could not be fetched.
    """
    typed = MODELS.get(args.model_type) if args.model_type else None
    if args.model is None:
        if typed is None:
            raise UsageError('No model was named. Add --model (a hub id or a folder) or --model_type.')
        return _resolve_family(typed, args)
    folder = Path(args.model).expanduser()
    if folder.is_dir() and (args.model not in MODELS or (folder / 'config.json').is_file()):
        return ResolvedModel(folder.resolve(), settle([typed]) if typed else _family_of_folder(folder))
    if folder.is_file():
        raise UsageError(f'--model {args.model} is a file; pass the folder that holds config.json.')
    if args.model in MODELS:
        return _resolve_family(typed or MODELS.get(args.model), args)
    if args.model.startswith(('.', '/', '~')) or args.model.count('/') > 1 or '\\' in args.model:
        raise UsageError(f'--model {args.model}: no such folder.')
    if args.model.count('/') != 1:
        raise unknown_model(args.model)
    return _resolve_hub_id(args, typed)


def load_tokenizer(resolved: ResolvedModel, args: ModelArgs) -> PreTrainedTokenizerBase:
    """The tokenizer of a resolved model, with a padding token that it already has, and the words that
    ``--new_special_tokens`` teaches it.

    Raises:
        UsageError: the folder has no tokenizer, or one that needs Python code of the folder.
        SwiftError: its files are unreadable.
    """
    return _load_tokenizer(resolved, args)[0]


def _load_tokenizer(resolved: ResolvedModel, args: ModelArgs) -> tuple[PreTrainedTokenizerBase, NewTokens]:
    folder = resolved.path
    checks.check_tokenizer(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=args.trust_remote_code,
                                                  local_files_only=True)
    except Exception as e:  # the reasons are many: JSON, sentencepiece, Rust; the cause stays attached
        code = checks.tokenizer_code(folder)
        if code and not args.trust_remote_code:
            raise UsageError(f'The tokenizer of {folder} would run {code}. Nothing was run. Read that file, and pass '
                             '--trust_remote_code true if you trust it.') from e
        raise SwiftError(f'The tokenizer of {folder} is unreadable: {_first_line(e)}') from e
    if tokenizer.pad_token_id is None:
        vocabulary = tokenizer.get_vocab()
        tokenizer.pad_token = next((token for token in _PAD_TOKENS if token in vocabulary), tokenizer.eos_token)
    return tokenizer, teach(tokenizer, words_of(args))


def load_model(args: ModelArgs, *, training: bool, quant: QuantArgs | None = None, full: bool = False,
               sharded: bool = False, max_length: int | None = None) -> LoadedModel:
    """Load model and tokenizer.

    Args:
        args: which model and how.
        training: the weights will be trained or adapted.
        quant: how weights are quantised; None leaves them as they are.
        full: all weights are trained, so fp16 keeps them in fp32.
        sharded: DeepSpeed ZeRO-3 or FSDP places the weights.
        max_length: longest row in tokens, which ``--rope_scaling`` stretches positions to.

    Raises:
        UsageError: a wrong name, a folder that can't be loaded as asked, a missing package.
        SwiftError: the checkpoint is damaged or incomplete.
    """
    resolved = resolve_model(args)
    family, folder = resolved.family, resolved.path
    raw = checks.read_config(folder)
    loader = checks.check_config(folder, raw, trust_remote_code=args.trust_remote_code)
    quant, stored = quant or QuantArgs(), quantize.stored_method(raw)
    quantize.check_stored(folder, stored, quant, training=training, full=full)
    if sharded and (quant.method or stored):
        raise UsageError('Quantised weights can not be spread over processes by DeepSpeed ZeRO-3 or FSDP. Use '
                         '--deepspeed zero2, or processes alone.')
    size = checks.check_weights(folder)
    check_requires(family, native=checks.native_loader(raw) is not None)
    tokenizer, new_tokens = _load_tokenizer(resolved, args)
    dtype = choose_dtype(args.torch_dtype, preferred=family.dtype if family else '')
    weights_dtype = torch.float32 if training and full and dtype == torch.float16 else dtype
    config = AutoConfig.from_pretrained(folder, trust_remote_code=args.trust_remote_code, local_files_only=True)
    if args.rope_scaling:
        stretch_positions(config, args.rope_scaling, max_length)
    placement = choose_device_map(args.device_map, args.max_memory, sharded=sharded)
    by_hqq = _one_device(placement) if quant.method == 'hqq' else None
    logger.info('Loading %s (%.2f GB on disk) as %s', folder, size / 1e9, str(weights_dtype).removeprefix('torch.'))
    model = _from_pretrained(folder, loader=loader, config=config, dtype=weights_dtype,
                             attn=choose_attention(args.attn_impl), trust=args.trust_remote_code,
                             placement={} if quant.method == 'hqq' else placement,
                             quantised=quantize.loading_options(quant, stored, weights_dtype, training=training))
    model = quantize.finish(model, quant, stored, weights_dtype, by_hqq)
    if loader != 'AutoModelForCausalLM':
        logger.info('%s reads more than text. Its language model is used with text; images, video and sound in rows '
                    'are not read yet.', type(model).__name__)
    if family and family.note:
        logger.info('%s: %s', family.name, family.note)
    give_vectors(model, new_tokens, args.init_strategy)
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        logger.warning('The tokenizer has %d tokens but the model only %d: text with the last ones would fail. '
                       'Is this the tokenizer of this model?', len(tokenizer), rows)
    return LoadedModel(model.eval(), tokenizer, family, folder, dtype, new_tokens)


def stretch_positions(config: Any, kind: str, max_length: int | None) -> None:
    """Set RoPE scaling of ``kind`` in a transformers config so that ``max_length`` tokens fit.

    Raises:
        UsageError: there is no limit to stretch to, or the model's positions can't be stretched this way.
    """
    if not max_length or max_length < 1:
        raise UsageError(f'--rope_scaling {kind} needs --max_length, the length to stretch positions to.')
    text = config.get_text_config()
    parameters = text.to_dict().get('rope_parameters') or {}
    if 'rope_theta' not in parameters:
        raise UsageError(f'--rope_scaling {kind}: a {config.model_type} model has no single set of rotary positions.')
    if parameters.get('rope_type', 'default') != 'default':
        raise UsageError(f'--rope_scaling {kind}: this model already stretches its positions '
                         f'({parameters["rope_type"]}); leave the flag out.')
    factor = float(max(math.ceil(max_length / text.max_position_embeddings), 1))
    text.rope_parameters = {**parameters, 'rope_type': kind, 'factor': factor}
    logger.info('RoPE positions stretched %gx (%s): %d -> %d tokens', factor, kind, text.max_position_embeddings,
                max_length)


def check_requires(family: ModelFamily | None, *, native: bool = True) -> None:
    """Refuse a family whose packages are missing or too old.

    An upper bound (``transformers<4.42``) is about the code that came with the checkpoint: it is a warning. What a
    model of transformers wants for pictures, sound or speed alone is a warning, too.

    Args:
        family: its ``requires`` are looked at; None has none.
        native: transformers implements the model, so that no code of the checkpoint imports anything.

    Raises:
        MissingExtraError: names the package and how to install it.
    """
    from importlib.metadata import PackageNotFoundError, version

    from packaging.requirements import Requirement
    for text in family.requires if family else ():
        requirement = Requirement(text)
        if requirement.name in _SUCCESSORS:
            requirement = Requirement(_SUCCESSORS[requirement.name])
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            found = None
        if found is None and native and (family.multimodal or requirement.name in _KERNELS):
            logger.warning('The package %s is not installed: %s runs without it, but %s.', requirement, family.name,
                           'slower' if requirement.name in _KERNELS else 'for text only')
            continue
        unmet = [part for part in requirement.specifier if found and not part.contains(found, prereleases=True)]
        if found is None or any(part.operator in ('>=', '>', '~=') for part in unmet):
            raise MissingExtraError(f'The model {family.name} needs {str(requirement)!r}; installed: '
                                    f'{found or "nothing"}. Install it with: pip install "{requirement}"')
        if unmet:
            logger.warning('%s was published for %s, and %s is installed: its own code, if it needs any, may not run.',
                           family.name, requirement, found)


@contextmanager
def quiet_progress() -> Iterator[None]:
    """No progress bars of transformers inside the block."""
    bars = transformers.utils.logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


def _from_pretrained(folder: Path, *, loader: str, config: Any, dtype: torch.dtype, attn: str | None, trust: bool,
                     placement: dict[str, Any], quantised: dict[str, Any]) -> PreTrainedModel:
    options = {**({'attn_implementation': attn} if attn else {}), **quantised}
    try:
        with quiet_progress():
            model, report = _LOADERS[loader].from_pretrained(
                folder, config=config, dtype=dtype, trust_remote_code=trust, local_files_only=True,
                use_safetensors=True, output_loading_info=True, **placement, **options)
    except torch.OutOfMemoryError as e:
        raise SwiftError(f'{folder} does not fit in the memory of the device: {_first_line(e)}. Try --torch_dtype '
                         'bfloat16, more devices, or a smaller model.') from e
    except (OSError, ValueError, RuntimeError, ImportError) as e:
        raise SwiftError(f'{folder} can not be loaded: {_first_line(e)}') from e
    missing = sorted(report['missing_keys'])
    if missing:
        raise SwiftError(f'{folder} lacks {len(missing)} weights of a {config.model_type} model ({missing[0]} ...): '
                         'they would be random numbers. Copy or download the checkpoint again.')
    unexpected = sorted(report['unexpected_keys'])
    if unexpected:
        logger.warning('%d weights of %s are not part of a %s model and were left out (%s ...).', len(unexpected),
                       folder, config.model_type, unexpected[0])
    return model


def _one_device(placement: dict[str, Any]) -> torch.device | None:
    """Where all of a model goes; None is the CPU.

    Raises:
        UsageError: it would be spread over several devices.
    """
    wanted = placement.get('device_map', {'': 'cpu'})
    if not isinstance(wanted, dict) or list(wanted) != ['']:
        raise UsageError('--quant_method hqq puts a model on one device a process; show one with CUDA_VISIBLE_DEVICES, '
                         'or use --quant_method bnb.')
    device = torch.device(wanted[''])
    return None if device.type == 'cpu' else device


def _resolve_family(family: ModelFamily, args: ModelArgs) -> ResolvedModel:
    """The one checkpoint that a registered name stands for."""
    if family.source is not None:
        return ResolvedModel(family.source(), family)
    pairs = list(family.pairs())
    if len(pairs) != 1:
        shown = ', '.join(ms_id or hf_id or '' for ms_id, hf_id in pairs[:4])
        raise UsageError(f'{family.name!r} is a family of {len(pairs)} checkpoints: {shown} ... '
                         'Name one with --model (a hub id or a folder).')
    return ResolvedModel(_fetch(args, Match(family, *pairs[0])), family)


def _resolve_hub_id(args: ModelArgs, typed: ModelFamily | None) -> ResolvedModel:
    matches = match_hub_id(args.model)
    if typed is not None:
        matches = [match for match in matches if match.family.name == typed.name]
    match = choose(matches) if matches else None
    if len(matches) > 1:
        logger.info('%s fits several entries: %s. Using %s; --model_type names another.', args.model,
                    describe(m.family for m in matches), match.family.name)
    path = _fetch(args, match)
    if match:
        return ResolvedModel(path, match.family)
    return ResolvedModel(path, settle([typed]) if typed else _family_of_folder(path))


def _fetch(args: ModelArgs, match: Match | None) -> Path:
    """The files of a registered checkpoint by its id on the hub in use, else of whatever id was typed.

    Its ``config.json`` comes first and alone: what can't be used here is refused before gigabytes are fetched.
    """
    use_hf = env.use_hf() if args.use_hf is None else args.use_hf
    known = args.model if match is None else match.hf_id if use_hf else match.ms_id
    if known is None:
        raise UsageError(f'{match.ms_id or match.hf_id} is only on {"ModelScope" if use_hf else "Hugging Face"}: add '
                         f'--use_hf {"false" if use_hf else "true"}.')
    source = {'revision': args.model_revision, 'use_hf': use_hf, 'token': args.hub_token, 'offline': args.offline}
    if not args.offline:
        folder = hub.download(known, only=('config.json',), **source)
        checks.check_config(folder, checks.read_config(folder), trust_remote_code=args.trust_remote_code, origin=known)
    ignore = (*_SECOND_COPIES, *(match.family.ignore_files if match else ()))
    return hub.download(known, with_code=args.trust_remote_code, ignore=ignore, **source)


def _family_of_folder(folder: Path) -> ModelFamily | None:
    """The entry that covers a folder's architecture; its template is left open where several could be meant."""
    config = checks.read_config(folder)
    if not config.get('architectures'):
        config['architectures'] = checks.classes_of(config.get('model_type'))
    family = settle(match_config(config))
    if family is None:
        logger.info('No entry covers %s: it is loaded by its architecture, with its own chat template.',
                    ', '.join(config.get('architectures') or ()) or config.get('model_type') or 'this model')
    return family


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
