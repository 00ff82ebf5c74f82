"""``Swift``: put adapters on a model, load them, merge them. Plain peft underneath, and nothing of peft is changed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import SafetensorError
from torch import nn

from swift.utils.errors import NonFiniteError, SwiftError, UsageError

__all__ = ['LoraConfig', 'Swift', 'cast_adapter']

DEFAULT_ADAPTER = 'default'
_CONFIG, _WEIGHTS = 'adapter_config.json', 'adapter_model.safetensors'


class Swift:
    """The public door to adapters; every method is a function of its arguments."""

    @staticmethod
    def prepare_model(model: nn.Module, config: PeftConfig | Mapping[str, PeftConfig]) -> PeftModel:
        """Freeze ``model`` and add one adapter, or one for each named configuration (the first is active).

        Called again on an adapted model, it adds to what is there.

        Args:
            model: any torch module, or what this returned before.
            config: goes to peft unchanged.

        Raises:
            UsageError: an adapter of this name is there already, or no configuration was given.
        """
        configs = dict(config) if isinstance(config, Mapping) else {DEFAULT_ADAPTER: config}
        if not configs:
            raise UsageError('Swift.prepare_model needs at least one configuration.')
        for name, one in configs.items():
            if not isinstance(one, PeftConfig):
                raise UsageError(f'Swift.prepare_model takes peft configurations, got {type(one).__name__}.')
            if not isinstance(model, PeftModel):
                with _no_deprecations():
                    model = get_peft_model(model, one, adapter_name=name)
            elif name in model.peft_config:
                raise UsageError(f'There is already an adapter called {name!r}; pass {{"another name": config}}.')
            else:
                model.add_adapter(name, one)
        return model

    @staticmethod
    def from_pretrained(model: nn.Module, folder: str | Path, adapter_name: str = DEFAULT_ADAPTER, *,
                        is_trainable: bool = False) -> PeftModel:
        """Load the adapter in ``folder`` onto ``model`` (or onto an adapted model, beside its others).

        Raises:
            UsageError: the folder holds no adapter, or one whose weights are a pickle file.
            SwiftError: its files are unreadable or belong to another model.
        """
        folder = Path(folder).expanduser()
        _check_adapter(folder)
        try:
            with _no_deprecations(), warnings.catch_warnings():
                # a part of an adapter that stays as it was initialised answers like the base model, without a word
                warnings.filterwarnings('error', message='Found missing adapter keys')
                if isinstance(model, PeftModel):
                    model.load_adapter(str(folder), adapter_name, is_trainable=is_trainable)
                    return model
                return PeftModel.from_pretrained(model, str(folder), adapter_name=adapter_name,
                                                 is_trainable=is_trainable)
        except (RuntimeError, ValueError, KeyError, TypeError, OSError, SafetensorError, UserWarning) as e:
            reason = (str(e).strip() or type(e).__name__).splitlines()[0]
            raise SwiftError(f'The adapter in {folder} can not be loaded onto this model: {reason}') from e

    @staticmethod
    def save(model: PeftModel, folder: str | Path, adapter_names: list[str] | None = None) -> None:
        """Write adapters as plain peft does: ``adapter_config.json`` and ``adapter_model.safetensors``.

        The adapter ``default`` goes into ``folder`` itself, others into sub-folders of their names. The base model's
        embeddings are never copied beside it: vocabularies are not resized here, and peft's guess asks a hub.
        """
        model.save_pretrained(str(folder), selected_adapters=adapter_names, save_embedding_layers=False)

    @staticmethod
    def merge_and_unload(model: PeftModel, adapter_names: list[str] | None = None) -> nn.Module:
        """Add the adapters into the base weights and return the base model.

        The sum is made in fp32, layer by layer, and rounded to the type of the base weights once.

        Args:
            model: an adapted model; it is taken apart.
            adapter_names: default: the active ones.

        Raises:
            NonFiniteError: a merged weight would be NaN or Inf.
        """
        _untie_adapted_embeddings(model)
        for name, layer in model.named_modules():
            if isinstance(layer, BaseTunerLayer):
                base = layer.get_base_layer()
                dtype = next(base.parameters()).dtype
                layer.float()
                try:
                    layer.merge(safe_merge=True, adapter_names=adapter_names)
                except ValueError as e:
                    raise NonFiniteError(f'Merging the adapter would give NaN or Inf in {name}; nothing was '
                                         'merged into a file.') from e
                base.to(dtype)
        with warnings.catch_warnings():
            # every layer is merged and embeddings are untied by now: peft has only to take its wrappers away
            warnings.filterwarnings('ignore', message='All adapters are already merged|Model with `tie_word_embed')
            return model.merge_and_unload(adapter_names=adapter_names)


def cast_adapter(model: nn.Module, dtype: torch.dtype) -> None:
    """Give the trained parameters of an adapted model this dtype."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(dtype)


@contextmanager
def _no_deprecations() -> Iterator[None]:
    """peft asks for attributes by names that transformers 5.23 deprecates; a user can do nothing about it."""
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', category=FutureWarning, module='transformers')
        yield


def _check_adapter(folder: Path) -> None:
    if not (folder / _CONFIG).is_file():
        raise UsageError(f'{folder} holds no adapter: it has no {_CONFIG}.')
    if not (folder / _WEIGHTS).is_file():
        if (folder / 'adapter_model.bin').is_file():
            raise UsageError(f'{folder} has its weights as adapter_model.bin, a pickle file, which can run code when '
                             f'it is read. Only {_WEIGHTS} is loaded: save the adapter again as safetensors where '
                             'you trust it.')
        raise UsageError(f'{folder} holds no adapter weights: it has no {_WEIGHTS}.')


def _untie_adapted_embeddings(model: PeftModel) -> None:
    """Give the head a weight of its own where it shares one that an adapter will be merged into.

    An adapter on one of two tied modules changes that one only; merged into the shared weight it would change both.
    """
    base = model.get_base_model()
    layers = [layer for layer in base.modules() if isinstance(layer, BaseTunerLayer)]
    inside = {id(part) for layer in layers for part in layer.modules()}
    adapted = {id(layer.get_base_layer().weight) for layer in layers if isinstance(
        layer.get_base_layer(), (nn.Linear, nn.Embedding))}
    for module in base.modules():
        if id(module) not in inside and isinstance(module, (nn.Linear, nn.Embedding)) and id(module.weight) in adapted:
            module.weight = nn.Parameter(module.weight.detach().clone(), requires_grad=module.weight.requires_grad)
