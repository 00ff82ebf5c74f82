"""The parts of a model that reads more than text, told by names, and which of them are trained.

The entry of a family knows the names of the published code. A model of transformers, which may call them otherwise,
keeps all of its language model but the output head in ``language_model``; what is outside is then a tower.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Literal

from torch import nn

from swift.llm.args.groups import TunerArgs
from swift.llm.model.registry import ModelFamily

Part = Literal['llm', 'vit', 'aligner', 'generator']
BY_DEFAULT = frozenset({'vit', 'aligner', 'generator'})  # frozen when nothing is typed


def frozen_parts(tuner: TunerArgs) -> frozenset[Part]:
    """What ``--freeze_llm``, ``--freeze_vit`` and ``--freeze_aligner`` keep fixed; generators always are."""
    typed: dict[Part, bool] = {'llm': tuner.freeze_llm, 'vit': tuner.freeze_vit, 'aligner': tuner.freeze_aligner}
    return frozenset({'generator', *(part for part, frozen in typed.items() if frozen)})


def part_of(model: nn.Module, family: ModelFamily | None) -> Callable[[str], Part]:
    """Tells of a module or parameter by its name in which part it is."""
    parts = family.parts if family else None
    known: tuple[tuple[Part, Sequence[str]], ...] = (
        ('generator', parts.generator), ('aligner', parts.aligner), ('vit', parts.vision_tower)) if parts else ()
    names = {name for name, _ in model.named_modules()}
    inner = tuple(name for name in ('model.language_model', 'language_model') if name in names)

    def tell(name: str) -> Part:
        for part, prefixes in known:  # an aligner may lie inside of what the entry calls the tower
            if below(name, prefixes):
                return part
        return 'vit' if inner and not below(name, (*inner, 'lm_head')) else 'llm'

    return tell


def modules_of(model: nn.Module, family: ModelFamily | None, wanted: Collection[Part]) -> list[str]:
    """The fewest modules that together are all of these parts: none lies in another."""
    tell, chosen = part_of(model, family), []
    for name, module in model.named_modules():
        weights = [tell(f'{name}.{parameter}') for parameter, _ in module.named_parameters()]
        if name and weights and set(weights) <= set(wanted) and not below(name, chosen):
            chosen.append(name)
    return chosen


def below(name: str, prefixes: Sequence[str]) -> bool:
    """Whether a name is one of these or lies in one, with or without the ``model.`` that newer versions put before."""
    return any(f'{form}.'.startswith(f'{prefix}.') for prefix in prefixes
               for form in (name, name.removeprefix('model.')))
