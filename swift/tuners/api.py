"""``Swift``: put adapters on a model, choose among them, save, load and merge them.

Methods that peft has are plain peft underneath (a :class:`peft.PeftModel`, and nothing of peft is changed); methods
that it lacks are ours (a :class:`swift.tuners.model.SwiftModel`); both go on one model together.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from peft import (
    PEFT_TYPE_TO_CONFIG_MAPPING,
    LoraConfig,
    PeftConfig,
    PeftModel,
    PeftType,
    PromptLearningConfig,
    get_peft_model,
)
from peft.tuners.adalora import AdaLoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import SafetensorError
from torch import nn

from swift.tuners import files, loftq, starts
from swift.tuners.loftq import Weights
from swift.tuners.merging import (
    check_mergeable,
    check_untied,
    merge_layers,
    merge_layers_reversibly,
    unmerge_layers,
    untie_embeddings,
)
from swift.tuners.model import SwiftModel
from swift.tuners.native import NativeConfig
from swift.tuners.starts import Batches
from swift.tuners.targets import parameter_size
from swift.utils.errors import SwiftError, UsageError

__all__ = ['LoraConfig', 'Swift', 'SwiftModel', 'TrainableParameters', 'base_model', 'cast_adapter']

Config = PeftConfig | NativeConfig
Adapted = PeftModel | SwiftModel
# peft's layers of these kinds compute with one adapter: C3A with the output of the last, LN tuning refuses two
_ALONE = (PeftType.C3A, PeftType.LN_TUNING)


class TrainableParameters(NamedTuple):
    """How many numbers are trained, and how many there are."""

    trained: int
    total: int

    def __str__(self) -> str:
        return f'training {self.trained:,} of {self.total:,} parameters ({100 * self.trained / self.total:.2f} %)'


class Swift:
    """The public door to adapters; every method is a function of its arguments."""

    @staticmethod
    def prepare_model(model: nn.Module, config: Config | Mapping[str, Config], *,
                      batches: Batches | None = None, weights: Weights | None = None) -> Adapted:
        """Freeze ``model`` and add one adapter, or one for each named configuration; all of them are active.

        Called again on an adapted model, it adds to what is there.

        Args:
            model: any torch module, or what this returned before.
            config: configurations of peft, which go to peft unchanged, and of ours (``swift.tuners.methods``), mixed
                as you like. One without a name is called ``default``.
            batches: for starts of LoRA that look at data (eva, corda, lora_ga); see
                :func:`swift.tuners.starts.begin`.
            weights: for LoRA on quantised layers, which then makes up for the quantisation (LoftQ). It is given the
                name of a parameter and returns the weight [out, in] that was quantised; see ``swift.tuners.loftq``.

        Returns:
            A :class:`peft.PeftModel`, or a :class:`SwiftModel` when one of the configurations is ours.

        Raises:
            UsageError: an adapter of this name is there already, no configuration was given, or one doesn't fit.
        """
        configs = dict(config) if isinstance(config, Mapping) else {files.DEFAULT: config}
        if not configs:
            raise UsageError('Swift.prepare_model needs at least one configuration.')
        present = adapter_names(model)
        for name, one in configs.items():
            files.check_name(name)
            if not isinstance(one, PeftConfig | NativeConfig):
                raise UsageError('Swift.prepare_model takes peft configurations and those of swift.tuners.methods, '
                                 f'got {type(one).__name__}.')
            if name in present:
                raise UsageError(f'There is already an adapter called {name!r}; pass {{"another name": config}}.')
        active = Swift.active(model)
        inner = _peft_of(model)
        _check_together({name: inner.peft_config[name] for name in _active_of_peft(inner)} | {
            name: one for name, one in configs.items() if isinstance(one, PeftConfig)})
        for name, one in configs.items():
            if isinstance(one, PeftConfig):
                model = _add_peft(model, name, one, batches, weights)
        ours = {name: one for name, one in configs.items() if isinstance(one, NativeConfig)}
        for name, one in ours.items():
            model = _add_native(model, name, one)
        if ours or active or len(configs) > 1:
            try:
                Swift.set_active(model, [*active, *configs])
            except UsageError:
                for name in ours:
                    model.remove_tuner(name)
                raise
        return model

    @staticmethod
    def from_pretrained(model: nn.Module, folder: str | Path,
                        adapter_name: str | Sequence[str] | Mapping[str, str] | None = None, *,
                        is_trainable: bool = False) -> Adapted:
        """Load adapters, of peft or of ours, onto ``model`` (or onto an adapted model, beside its others).

        The adapters that an already adapted model has stay the active ones; on a bare model all that are loaded are.

        Args:
            folder: what :meth:`save_pretrained` or peft wrote.
            adapter_name: a name for the adapter of this very folder; or which of the adapters below it are wanted: a
                list of names (``default`` is that of the folder itself), or a map from saved names to new ones.
                Default: all there are, under their names.

        Raises:
            UsageError: the folder holds no such adapter, or one whose weights are a pickle file; a prompt is to be
                trained further.
            SwiftError: its files are unreadable or belong to another model.
        """
        folder = Path(folder).expanduser()
        wanted = _wanted(folder, adapter_name)
        configs = {name: files.read_config(files.place_of(folder, saved)) for saved, name in wanted.items()}
        places = {name: files.place_of(folder, saved) for saved, name in wanted.items()}
        for name in configs:
            files.check_name(name)
        active = Swift.active(model)
        # those of peft first: tuners of ours are built beside what is there
        for name in sorted(configs, key=lambda name: 'swift_type' in configs[name]):
            if 'swift_type' in configs[name]:
                model = _load_native(model, places[name], name, configs[name], is_trainable=is_trainable)
            else:
                model = _load_peft(model, places[name], name, is_trainable=is_trainable)
        if active or len(configs) > 1 or isinstance(model, SwiftModel):
            Swift.set_active(model, active or list(configs))
        return model

    @staticmethod
    def save_pretrained(model: Adapted, folder: str | Path, adapter_names: Sequence[str] | None = None) -> None:
        """Write adapters: ``adapter_config.json`` and ``adapter_model.safetensors``, those of peft as plain peft does.

        The adapter ``default`` goes into ``folder`` itself, others into sub-folders of their names. The base model's
        embeddings are never copied beside it: vocabularies are not resized here, and peft's guess asks a hub.

        Raises:
            UsageError: there is no adapter of this name.
        """
        _check_known(model, adapter_names or ())
        chosen = None if adapter_names is None else list(adapter_names)
        model.save_pretrained(str(folder), selected_adapters=chosen, save_embedding_layers=False)
        starts.fit_to_base(model, Path(folder))

    # ---- which adapters are in effect

    @staticmethod
    def active(model: nn.Module) -> list[str]:
        """Names of the adapters that are in effect."""
        ours = model.active_tuners if isinstance(model, SwiftModel) else []
        return _active_of_peft(_peft_of(model)) + ours

    @staticmethod
    def set_active(model: Adapted, names: Sequence[str]) -> None:
        """Put these adapters into effect and all others out of it; none leaves the base model.

        Raises:
            UsageError: there is no adapter of this name, or these can't work together.
        """
        _check_known(model, names)
        inner = _peft_of(model)
        if inner is not None:
            _set_active_of_peft(inner, [name for name in names if name in inner.peft_config])
        if isinstance(model, SwiftModel):
            model.set_tuners([name for name in names if name in model.configs])

    @staticmethod
    def activate(model: Adapted, name: str) -> None:
        """Put one more adapter into effect; its weights go to where the model is."""
        if isinstance(model, SwiftModel) and name in model.configs:
            model.move_tuner(name, None)
        Swift.set_active(model, [*Swift.active(model), name])

    @staticmethod
    def deactivate(model: Adapted, name: str, *, offload: str | None = None) -> None:
        """Put an adapter out of effect.

        Args:
            offload: a device that the weights of a tuner of ours wait on, for instance ``cpu``.
        """
        _check_known(model, [name])
        Swift.set_active(model, [other for other in Swift.active(model) if other != name])
        if offload is not None and isinstance(model, SwiftModel) and name in model.configs:
            model.move_tuner(name, offload)

    # ---- merging

    @staticmethod
    def merge_and_unload(model: Adapted, adapter_names: Sequence[str] | None = None) -> nn.Module:
        """Make adapters part of the model and return the model alone.

        Sums of weights are made in fp32, layer by layer, and rounded to the type of the base weights once.

        Args:
            model: an adapted model; it is taken apart.
            adapter_names: default: the active ones. All others are dropped.

        Raises:
            UsageError: an adapter is of a kind that can't be part of ordinary weights; nothing was changed.
            NonFiniteError: a merged weight would be NaN or Inf.
        """
        names = Swift.active(model) if adapter_names is None else list(adapter_names)
        _check_known(model, names)
        check_mergeable(_peft_of(model), names)
        if isinstance(model, SwiftModel):
            model.merge_tuners([name for name in names if name in model.configs])
            model = model.model
        if not isinstance(model, PeftModel):
            return model
        inner = [name for name in names if name in model.peft_config]
        if not inner:
            return model.unload()
        untie_embeddings(model)
        merge_layers(model, inner)
        with warnings.catch_warnings():
            # every layer is merged and embeddings are untied by now: peft has only to take its wrappers away
            warnings.filterwarnings('ignore', message='All adapters are already merged|Model with `tie_word_embed')
            return model.merge_and_unload(adapter_names=inner)

    @staticmethod
    def merge(model: Adapted, adapter_names: Sequence[str] | None = None) -> None:
        """Add adapters of peft into the base weights, so that they cost nothing; :meth:`unmerge` takes them out.

        The base weights are kept on the CPU meanwhile, so that they come back to the last bit.

        Raises:
            UsageError: an adapter can't be taken out again, or two modules share a weight that is adapted.
            NonFiniteError: a merged weight would be NaN or Inf.
        """
        names = Swift.active(model) if adapter_names is None else list(adapter_names)
        _check_known(model, names)
        if isinstance(model, SwiftModel) and any(name in model.configs for name in names):
            raise UsageError('Swift.merge takes adapters of peft; those of ours are merged for good by '
                             'Swift.merge_and_unload, or not at all.')
        inner = _peft_of(model)
        if inner is None:  # nothing is active, or there is nothing
            return
        check_mergeable(inner, names)
        check_untied(inner)
        merge_layers_reversibly(inner, names)

    @staticmethod
    def unmerge(model: Adapted) -> None:
        """Take out again what :meth:`merge` added; the base weights are then bit-equal to what they were."""
        if (inner := _peft_of(model)) is not None:
            unmerge_layers(inner)

    # ---- figures and formats

    @staticmethod
    def get_trainable_parameters(model: nn.Module) -> TrainableParameters:
        """(trained, all) parameters; those that ZeRO-3 has spread over processes count whole."""
        return TrainableParameters(sum(parameter_size(p) for p in model.parameters() if p.requires_grad),
                                   sum(map(parameter_size, model.parameters())))

    @staticmethod
    def save_to_peft_format(folder: str | Path, target: str | Path) -> list[str]:
        """Write the LoRA adapters that ms-swift 2 and 3 saved in their own format as plain peft; see ``convert``."""
        from swift.tuners.convert import to_peft_format
        return to_peft_format(Path(folder).expanduser(), Path(target).expanduser())


def base_model(model: nn.Module) -> nn.Module:
    """The model that adapters are on; ``model`` itself where there are none."""
    return model.get_base_model() if isinstance(model, Adapted) else model


def adapter_names(model: nn.Module) -> list[str]:
    """Names of all adapters of a model, active or not."""
    inner = _peft_of(model)
    return (list(inner.peft_config) if inner is not None else []) + (
        list(model.configs) if isinstance(model, SwiftModel) else [])


def cast_adapter(model: nn.Module, dtype: torch.dtype) -> None:
    """Give the trained parameters of an adapted model this dtype."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(dtype)


# ------------------------------------------------------------------------------------------------------------- helpers

def _peft_of(model: nn.Module) -> PeftModel | None:
    inner = model.model if isinstance(model, SwiftModel) else model
    return inner if isinstance(inner, PeftModel) else None


def _is_trained_whole(model: nn.Module) -> bool:
    """Whether no adapter has frozen the model yet."""
    frozen = isinstance(model, SwiftModel) and any(config.freezes for config in model.configs.values())
    return _peft_of(model) is None and not frozen


def _check_known(model: nn.Module, names: Sequence[str]) -> None:
    known = adapter_names(model)
    for name in names:
        if name not in known:
            raise UsageError(f'There is no adapter called {name!r}; there are: {", ".join(known) or "none"}.')


def _add_peft(model: nn.Module, name: str, config: PeftConfig, batches: Batches | None,
              weights: Weights | None) -> Adapted:
    if isinstance(model, SwiftModel):
        model.add_peft(lambda inner: _add_peft(inner, name, config, batches, weights))
        return model
    if weights is not None:
        loftq.check_config(config)
    originals = starts.begin(model, config, batches)
    if isinstance(model, PeftModel):
        kinds = {one.peft_type for one in model.peft_config.values()}
        if config.peft_type not in kinds:
            raise UsageError(f'peft keeps one kind of adapter on a model: {config.peft_type.value} can not go beside '
                             f'{", ".join(kind.value for kind in kinds)}.')
        model.add_adapter(name, config)
    else:
        with _no_deprecations():
            model = get_peft_model(model, config, adapter_name=name)
    for module in model.modules():
        if isinstance(module, AdaLoraLayer):
            # how many ranks there are; on a 16-bit base peft leaves it among the trained weights, and never saves it
            module.ranknum.requires_grad_(False)
    starts.finish(model, name, batches, originals)
    if weights is not None:
        loftq.begin_near(model, name, weights)
    return model


def _check_together(configs: Mapping[str, PeftConfig]) -> None:
    """Raises:
        UsageError: these adapters of peft can't be in effect at once.
    """
    if len(configs) < 2:
        return
    for name, config in configs.items():
        if config.is_prompt_learning:
            raise UsageError(f'{name!r} puts positions in front of the row: of such adapters one is active, got '
                             f'{", ".join(configs)}.')
        if config.peft_type in _ALONE:
            raise UsageError(f'{name!r} is of the kind {config.peft_type.value}, of which one at a time is active, got '
                             f'{", ".join(configs)}. Add them one by one, each time after Swift.set_active(model, []).')
    ranks = [name for name, config in configs.items()
             if config.peft_type is PeftType.ADALORA and not config.inference_mode]
    if len(ranks) > 1:
        raise UsageError(f'AdaLoRA shares its ranks out in one adapter: there can be one that is trained, got '
                         f'{", ".join(ranks)}.')


def _active_of_peft(model: PeftModel | None) -> list[str]:
    if model is None:
        return []
    layer = next((module for module in model.modules() if isinstance(module, BaseTunerLayer)), None)
    return [] if layer is not None and layer.disable_adapters else list(model.active_adapters)


def _set_active_of_peft(model: PeftModel, names: Sequence[str]) -> None:
    _check_together({name: model.peft_config[name] for name in names})
    prompts = [name for name in model.peft_config if model.peft_config[name].is_prompt_learning]
    if prompts and not names:
        raise UsageError(f'{prompts[0]!r} puts positions in front of the row: of such adapters one is active, got '
                         'none.')
    if not names:
        model.base_model.disable_adapter_layers()
        return
    frozen = all(model.peft_config[name].inference_mode for name in names)
    if not prompts:
        model.base_model.enable_adapter_layers()
    model.set_adapter(names[0], inference_mode=frozen)
    if len(names) > 1:
        try:
            model.base_model.set_adapter(list(names), inference_mode=frozen)
        except ValueError as e:
            raise UsageError(f'{" and ".join(map(repr, names))} can not be active together: {e}') from e


def _wanted(folder: Path, choice: str | Sequence[str] | Mapping[str, str] | None) -> dict[str, str]:
    """Saved name -> name on the model."""
    if isinstance(choice, str):
        return {files.DEFAULT: choice}
    if isinstance(choice, Mapping):
        return dict(choice)
    if choice is not None:
        return {name: name for name in choice}
    return {name: name for name in files.adapters_in(folder) or [files.DEFAULT]}


def _add_native(model: nn.Module, name: str, config: NativeConfig) -> SwiftModel:
    """Build a tuner of ours on a model that it freezes, if no adapter has; it is not in effect yet."""
    if config.freezes and _is_trained_whole(model):
        base_model(model).requires_grad_(False)
    if not isinstance(model, SwiftModel):
        model = SwiftModel(model)
    model.add_tuner(name, config)
    return model


def _load_native(model: nn.Module, folder: Path, name: str, values: dict, *, is_trainable: bool) -> SwiftModel:
    model = _add_native(model, name, files.native_from(folder, values))
    try:
        files.load_native(folder, model.tuner_state(name))
    except SwiftError:
        model.remove_tuner(name)
        raise
    if not is_trainable:
        model.tuners[name].requires_grad_(False)
    return model


def _load_peft(model: nn.Module, folder: Path, name: str, *, is_trainable: bool) -> Adapted:
    if isinstance(model, SwiftModel):
        model.add_peft(lambda inner: _load_peft(inner, folder, name, is_trainable=is_trainable))
        return model
    values = files.read_config(folder)
    if is_trainable and issubclass(PEFT_TYPE_TO_CONFIG_MAPPING[values['peft_type']], PromptLearningConfig):
        raise UsageError(f'{folder} holds a finished prompt and not what it was made with, so it can be used but not '
                         'trained further. A run of swift goes on with --resume_from_checkpoint.')
    try:
        files.check_peft_weights(folder, values, model.state_dict())
        loftq.check_base(folder, model)
        with _no_deprecations(), warnings.catch_warnings():
            # a part of an adapter that stays as it was initialised answers like the base model, without a word
            warnings.filterwarnings('error', message='Found missing adapter keys')
            if isinstance(model, PeftModel):
                model.load_adapter(str(folder), name, is_trainable=is_trainable)
            else:
                model = PeftModel.from_pretrained(model, str(folder), adapter_name=name, is_trainable=is_trainable)
        loftq.remember(model, folder, name)
        return model
    except UsageError:
        raise
    except (RuntimeError, ValueError, KeyError, TypeError, OSError, SafetensorError, UserWarning, re.error) as e:
        reason = (str(e).strip() or type(e).__name__).splitlines()[0]
        raise SwiftError(f'The adapter in {folder} can not be loaded onto this model: {reason}') from e


@contextmanager
def _no_deprecations() -> Iterator[None]:
    """peft asks for attributes by names that transformers 5.23 deprecates; a user can do nothing about it."""
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', category=FutureWarning, module='transformers')
        warnings.filterwarnings('ignore', message='lora with eva initialization')  # advice about memory at most
        yield
