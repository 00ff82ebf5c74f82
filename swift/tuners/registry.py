"""The tuning methods by name. Torch-free: a method imports peft inside its ``build``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swift.utils.registry import Registry

if TYPE_CHECKING:
    from peft import PeftConfig


@dataclass(frozen=True)
class Tuner:
    """A way to train fewer weights.

    Attributes:
        name: the value of ``--tuner_type``.
        options: a frozen dataclass; ``targets`` and ``modules_to_save`` are found in the model, every other field has
            the name of the flag that sets it.
        build: options -> peft configuration.
    """

    name: str
    options: type
    build: Callable[[Any], PeftConfig]


TUNERS: Registry[Tuner] = Registry('tuner', 'swift.tuners.methods')
