"""A model with tuners of ours on it, beside adapters of peft or alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn

from swift.tuners import files
from swift.tuners.copies import ModuleCopies
from swift.tuners.native import Handle, NativeConfig, NativeTuner, device_of
from swift.utils.errors import UsageError


class _Adapter(nn.Module):
    """One named tuner: the method's weights, and copies of the modules to save with it."""

    def __init__(self, model: nn.Module, config: NativeConfig) -> None:
        super().__init__()
        self.tuner = config.build(model)
        self.saved = ModuleCopies(model, config.modules_to_save) if config.modules_to_save else None

    def parts(self) -> list[NativeTuner]:
        return [self.tuner] if self.saved is None else [self.saved, self.tuner]

    def own_state(self) -> dict[str, Tensor]:
        """Its weights without those of the modules that it stands for."""
        return {key: tensor for key, tensor in self.state_dict().items() if _is_own(key)}


def _order(part: NativeTuner) -> tuple[bool, bool]:
    """Those that replace modules come first, so that hooks of others are on the modules that run; those that give
    modules other names come last; else the order in which they were added."""
    return part.renames, not part.replaces


def _is_own(key: str) -> bool:
    return 'originals' not in key.split('.')


class SwiftModel(nn.Module):
    """Holds the model and, apart from it, the weights of its tuners. Everything else is asked of the model inside.

    Args:
        model: any module, its parameters frozen unless they are trained too, or a :class:`peft.PeftModel`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.tuners = nn.ModuleDict()
        self.configs: dict[str, NativeConfig] = {}
        self._active: list[str] = []
        self._handles: list[Handle] = []

    def __getattr__(self, name: str) -> Any:
        """What is not ours is the model's: config, generate, device, dtype, ..."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == 'model':
                raise
            return getattr(self.model, name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.model(*args, **kwargs)

    def get_base_model(self) -> nn.Module:
        """The model that all tuners are on."""
        return self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model

    # ---- tuners by name

    def add_tuner(self, name: str, config: NativeConfig) -> None:
        """Build a tuner; :meth:`set_tuners` puts it into effect.

        Raises:
            UsageError: the name is taken, or the settings don't fit the model.
        """
        if name in self.configs:
            raise UsageError(f'There is already an adapter called {name!r}; pass {{"another name": config}}.')
        with self._detached():  # built on the model itself, not on what others made of it
            self.tuners[name] = _Adapter(self.get_base_model(), config).train(self.training)
        self.configs[name] = config

    @property
    def active_tuners(self) -> list[str]:
        """Names of the tuners of ours that are in effect."""
        return list(self._active)

    def set_tuners(self, names: Sequence[str]) -> None:
        """Put just these tuners of ours into effect.

        Raises:
            UsageError: there is no tuner of this name, or two of these exclude each other.
        """
        for name in names:
            if name not in self.configs:
                raise UsageError(f'There is no tuner called {name!r}; there are: {", ".join(self.configs) or "none"}.')
        self._set([name for name in self.configs if name in names])

    def _set(self, names: list[str]) -> None:
        self._check_apart(names)
        before = self._active
        self._detach()
        self._active = names
        try:
            self._attach()
        except Exception:  # one does not fit this model: what was in effect is again
            self._detach()
            self._active = before
            self._attach()
            raise

    def _check_apart(self, names: Sequence[str]) -> None:
        """Raises:
            UsageError: two tuners train a copy of one module, and only one copy can stand where it was.
        """
        owners: dict[str, str] = {}
        for name in names:
            for part in self.tuners[name].parts():
                for key in part.copies if isinstance(part, ModuleCopies) else ():
                    if key in owners:
                        raise UsageError(f'{owners[key]!r} and {name!r} both train a copy of {key.replace("/", ".")}: '
                                         'one of them can be active at a time.')
                    owners[key] = name

    def _attach(self) -> None:
        base = self.get_base_model()
        parts = [part for name in self._active for part in self.tuners[name].parts()]
        for part in sorted(parts, key=_order):
            self._handles += part.attach(base)

    def _detach(self) -> None:
        while self._handles:
            self._handles.pop().remove()

    @contextmanager
    def _detached(self) -> Iterator[None]:
        self._detach()
        try:
            yield
        finally:
            self._attach()

    @contextmanager
    def disable_adapter(self) -> Iterator[None]:
        """The base model inside the block; adapters of peft are off as well."""
        with self._detached():
            if isinstance(self.model, PeftModel):
                with self.model.disable_adapter():
                    yield
            else:
                yield

    def add_peft(self, add: Any) -> None:
        """Run ``add(model) -> model``, which puts an adapter of peft on the model, below the tuners of ours."""
        with self._detached():
            self.model = add(self.model)

    # ---- taking apart

    def merge_tuners(self, names: Sequence[str]) -> None:
        """Make tuners of ours part of the model for good, and forget them and all others of ours.

        Raises:
            UsageError: one of them can't be; then nothing was changed.
        """
        for name in names:
            for part in self.tuners[name].parts():
                if part.unmergeable:
                    raise UsageError(f'{name!r}: an adapter of the type {self.configs[name].swift_type} can not '
                                     f'become part of the weights: {part.unmergeable}')
        parts = [part for name in names for part in self.tuners[name].parts()]
        if sum(part.renames for part in parts) > 1:
            raise UsageError(f'{" and ".join(map(repr, names))} can not be merged at once: both add blocks to the '
                             'model that they were trained on. Merge one, save the model, and train the next on that.')
        for name in list(self.configs):
            self.remove_tuner(name)
        for part in sorted(parts, key=_order):
            part.merge(self.get_base_model())

    def remove_tuner(self, name: str) -> None:
        with self._detached():
            del self.tuners[name], self.configs[name]
            self._active = [other for other in self._active if other != name]

    def move_tuner(self, name: str, device: torch.device | str | None) -> None:
        """Weights of a tuner to another device; None: to where the model is."""
        self.tuners[name].to(device_of(self.get_base_model()) if device is None else device)

    def unload(self) -> nn.Module:
        """The base model, without any tuner."""
        self._detach()
        return self.model.unload() if isinstance(self.model, PeftModel) else self.model

    # ---- files

    def tuner_state(self, name: str, state_dict: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """What is saved of a tuner.

        Args:
            state_dict: gathered weights of this whole module, where they are spread over processes.
        """
        if state_dict is None:
            return self.tuners[name].own_state()
        prefix = f'tuners.{name}.'
        return {key.removeprefix(prefix): value for key, value in state_dict.items()
                if key.startswith(prefix) and _is_own(key)}

    def load_weights(self, folder: Path) -> None:
        """Fill the tuners of ours with what :meth:`save_pretrained` wrote.

        Raises:
            SwiftError: the files are damaged, or belong to other tuners.
        """
        for name in self.configs:
            files.load_native(files.place_of(folder, name), self.tuner_state(name))

    def save_pretrained(self, folder: str | Path, state_dict: Mapping[str, Tensor] | None = None,
                        selected_adapters: Sequence[str] | None = None, **peft_options: Any) -> None:
        """``default`` goes into the folder itself, others into sub-folders of their names; see ``files``."""
        chosen = self.configs if selected_adapters is None else [n for n in self.configs if n in selected_adapters]
        for name in chosen:
            files.write_native(files.place_of(Path(folder), name), self.configs[name],
                               self.tuner_state(name, state_dict))
        if isinstance(self.model, PeftModel):
            inner = [name for name in self.model.peft_config if selected_adapters is None or name in selected_adapters]
            if inner:
                renamed = any(part.renames for name in self._active for part in self.tuners[name].parts())
                weights = None if state_dict is None or renamed else {
                    key.removeprefix('model.'): value for key, value in state_dict.items()
                    if key.startswith('model.')}
                with self._detached():  # so that the modules have the names that they are loaded by
                    self.model.save_pretrained(str(folder), state_dict=weights, selected_adapters=inner, **peft_options)
