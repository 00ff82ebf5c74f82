"""What is known about models, as data, and how a name, a hub id or a config.json finds its entry.

No file is opened here and nothing is downloaded: see ``load.py`` and ``hub.py``. Templates are only named.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift.utils.errors import UsageError
from swift.utils.registry import Registry, suggest


@dataclass(frozen=True)
class ModelFamily:
    """One key of ``--model_type``: a single checkpoint (``qwen1half-7b-chat``) or a whole family (``qwen3``).

    Attributes:
        name: the key, exact.
        hub_ids: "owner/name" on ModelScope; None where a checkpoint is on Hugging Face alone.
        hf_ids: the same checkpoints on Hugging Face, in the same order; left out when the ids are equal.
        architectures: names in ``config.json`` that this entry covers.
        template: name of the chat template; None means the checkpoint's own.
        id_templates: (ModelScope id, template) of the checkpoints whose template is not ``template``.
        target_modules: what LoRA adapts by default; empty means every linear layer but the output head.
        requires: packages beyond the core, as requirement strings.
        tags: free words for listings ("moe", "math").
        source: makes a local folder of the checkpoint without a hub, for what no hub is needed for.
        note: one line that is printed when the model is loaded.
    """

    name: str
    hub_ids: tuple[str | None, ...] = ()
    hf_ids: tuple[str | None, ...] = ()
    architectures: tuple[str, ...] = ()
    template: str | None = None
    id_templates: tuple[tuple[str, str | None], ...] = ()
    target_modules: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    source: Callable[[], Path] | None = None
    note: str = ''

    def __post_init__(self) -> None:
        if self.hf_ids and len(self.hf_ids) != len(self.hub_ids):
            raise ValueError(f'{self.name}: {len(self.hub_ids)} hub_ids but {len(self.hf_ids)} hf_ids')
        strangers = [hub_id for hub_id, _ in self.id_templates if hub_id not in self.hub_ids]
        if strangers:
            raise ValueError(f'{self.name}: id_templates names {strangers[0]!r}, which is not in hub_ids')

    def pairs(self) -> Iterator[tuple[str | None, str | None]]:
        """(ModelScope id, Hugging Face id) of every checkpoint."""
        return zip(self.hub_ids, self.hf_ids or self.hub_ids, strict=True)

    def templates(self) -> set[str | None]:
        """Every template that some checkpoint of this entry has."""
        return {self.template, *(template for _, template in self.id_templates)}


@dataclass(frozen=True)
class Match:
    """An entry that fits a hub id, with the ids of that one checkpoint on both hubs.

    ``family.template`` is the template of this checkpoint, which may differ from the family's own.
    """

    family: ModelFamily
    ms_id: str | None
    hf_id: str | None


MODELS: Registry[ModelFamily] = Registry('model', 'swift.llm.families')


def match_hub_id(model_id: str) -> list[Match]:
    """Every entry that holds this "owner/name" on either hub, letter case aside, in order of registration."""
    wanted = model_id.lower()
    matches = []
    for family in MODELS:
        for ms_id, hf_id in family.pairs():
            if wanted in ((ms_id or '').lower(), (hf_id or '').lower()):
                template = dict(family.id_templates).get(ms_id or '', family.template)
                matches.append(Match(dataclasses.replace(family, template=template), ms_id, hf_id))
                break
    return matches


def match_config(config: dict[str, Any]) -> list[ModelFamily]:
    """Every entry that covers one of the architectures of a parsed ``config.json``."""
    architectures = set(config.get('architectures') or ())
    return [family for family in MODELS if architectures.intersection(family.architectures)]


def choose(matches: list[Match]) -> Match:
    """The entry to use among those that fit one hub id.

    Entries that name the same template differ only in what they call the model: the narrowest one (a single
    checkpoint) knows most about it. Where the templates differ, the widest one (the family) follows the
    checkpoint's own chat template, which is what a checkpoint is trained and served with.
    """
    templates = {match.family.template for match in matches}
    pick = min if len(templates) == 1 else max
    return pick(matches, key=lambda match: len(match.family.hub_ids))


def describe(families: Iterable[ModelFamily]) -> str:
    """``"qwen2 (template qwen), qwen2-7b (template default-generation)"``."""
    return ', '.join(f'{family.name} (template {family.template or "its own"})' for family in families)


def unknown_model(name: str) -> UsageError:
    """The error for a name that is no entry, no hub id and no folder, with near names."""
    ids = {hub_id for family in MODELS for pair in family.pairs() for hub_id in pair if hub_id}
    near = suggest(name, [*MODELS.names(), *sorted(ids)])
    return UsageError(f'--model {name!r} is no registered model, no "owner/name" of a hub and no folder here.{near}')
