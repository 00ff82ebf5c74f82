"""The tuning methods by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from swift.utils.errors import UsageError
from swift.utils.registry import Registry, suggest

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel
    from torch import Tensor

    from swift.tuners.native import NativeConfig


class StepHook(Protocol):
    """What a method that changes with the steps wants of a training loop. The loop calls, in this order:

    ``load_state_dict`` (only where it goes on from a checkpoint), ``begin``, then in each step ``penalty`` for every
    micro-batch and ``after_optimizer`` once; ``state_dict`` when it saves.
    """

    def begin(self, total_steps: int) -> None:
        """Training is about to start and will have so many optimizer steps.

        Raises:
            UsageError: the schedule of the method does not fit into them.
        """

    def penalty(self) -> Tensor:
        """Scalar, with gradient: added once to the mean loss of a step."""

    def after_optimizer(self, step: int) -> None:
        """Optimizer step ``step`` (the first is 1) was made; the gradients of it are still there."""

    def state_dict(self) -> dict[str, Any]:
        """A tree of tensors and JSON values with which a later process goes on exactly."""

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Tuner:
    """A way to train fewer weights.

    Attributes:
        name: the value of ``--tuner_type``.
        options: a frozen dataclass; ``targets``, ``modules_to_save`` and ``tokenizer`` are found in the model, every
            other field has the name of the flag that sets it.
        build: options -> configuration, of peft or of ours.
        default_targets: what DEFAULT means in ``--target_modules`` whatever the family, for methods that are not made
            for linear layers; empty for all others.
        also_saved: modules that are trained whole beside what ``--modules_to_save`` names, in its words.
        on_model: (base model, options) -> what the method changes about how the model trains, beside its adapter.
        hook: adapted model -> what the training loop has to call, for methods that change with the steps.
        whole_modules: it is for modules of any kind: a target that has linear layers inside means itself, not those.
        native: the class of its configuration, for a method that is ours and not peft's.
    """

    name: str
    options: type
    build: Callable[[Any], PeftConfig | NativeConfig]
    default_targets: tuple[str, ...] = ()
    also_saved: tuple[str, ...] = ()
    on_model: Callable[[Any, Any], None] | None = None
    hook: Callable[[PeftModel], StepHook] | None = None
    whole_modules: bool = False
    native: type[NativeConfig] | None = None


@dataclass(frozen=True)
class Library:
    """A tuner of ours that ``Swift.prepare_model`` has and ``--tuner_type`` has not: it is for other models than those
    that the command line trains."""

    native: type[NativeConfig]

    @property
    def name(self) -> str:
        return self.native.swift_type


TUNERS: Registry[Tuner] = Registry('tuner', 'swift.tuners.methods')
LIBRARY: Registry[Library] = Registry('tuner', 'swift.tuners.methods')


def native_config(swift_type: str) -> type[NativeConfig]:
    """The class of the configuration of a method of ours, by what stands in ``adapter_config.json``.

    Raises:
        UsageError: there is no such method.
    """
    known = {tuner.native.swift_type: tuner.native for tuner in (*TUNERS, *LIBRARY) if tuner.native is not None}
    if swift_type not in known:
        raise UsageError(f'Unknown kind of adapter {swift_type!r}.{suggest(str(swift_type), known)}')
    return known[swift_type]
