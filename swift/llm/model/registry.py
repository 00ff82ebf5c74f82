"""What is known about models, as data, and how a name, a hub id or a config.json finds its entry.

No file is opened here and nothing is downloaded: see ``load.py`` and ``hub.py``. Templates are only named.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift.utils.errors import UsageError
from swift.utils.registry import Registry, suggest

QKV = ('q_proj', 'k_proj', 'v_proj')
BASE = 'default-generation'
"""The template of a checkpoint that only continues text."""

Ids = tuple[str | tuple[str | None, str | None], ...]
"""Hub ids of checkpoints: one where both hubs have the same, else (ModelScope, Hugging Face)."""


@dataclass(frozen=True)
class ModelParts:
    """Where the parts of a multimodal model are: prefixes of module names, each with the dots that lead to it.

    Attributes:
        language_model: what reads and writes tokens.
        aligner: what brings the output of the encoders to the width of the language model.
        vision_tower: the encoders of images, video or audio.
        generator: what makes images or speech; never trained here.
    """

    language_model: tuple[str, ...] = ()
    aligner: tuple[str, ...] = ()
    vision_tower: tuple[str, ...] = ()
    generator: tuple[str, ...] = ()


# the layouts that transformers gives to most of its image-text models
LLAVA_PARTS = ModelParts(('model.language_model', 'lm_head'), ('model.multi_modal_projector',),
                         ('model.vision_tower',))
QWEN_VL_PARTS = ModelParts(('model.language_model', 'lm_head'), ('model.visual.merger',), ('model.visual',))


@dataclass(frozen=True)
class Variant:
    """Checkpoints of a family with another template, or other packages or tags (None: those of the family)."""

    template: str | None
    ids: Ids
    requires: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None


@dataclass(frozen=True)
class ModelFamily:
    """One key of ``--model_type``: a single checkpoint (``qwen1half-7b-chat``) or a whole family (``qwen3``).

    Attributes:
        name: the key, exact.
        hub_ids: "owner/name" on ModelScope; None where a checkpoint is on Hugging Face alone.
        hf_ids: the same checkpoints on Hugging Face, in the same order; left out when the ids are equal.
        architectures: names in ``config.json`` that this entry covers.
        template: name of the chat template; None means the checkpoint's own.
        variants: the checkpoints among ``hub_ids`` that differ from the others.
        target_modules: what LoRA adapts by default; empty means every linear layer but the output head.
        target_regex: the same as a regular expression over module names; '' where ``target_modules`` says it.
        multimodal: reads or writes more than text.
        parts: of a multimodal model; None where they are not known.
        requires: packages beyond the core, as requirement strings.
        tags: free words for listings ("moe", "math").
        task_type: what the model is for, where that is not text generation ("reranker").
        dtype: the dtype that its publisher computes in, where that is fixed ("float16").
        ignore_files: patterns of files in the hub repository that are never needed ("consolidated*").
        family: key of the family that a single checkpoint belongs to.
        alternatives: templates that a folder of this entry may have, where it is not known which; the one that
            writes as the folder's own chat template does is meant.
        source: makes a local folder of the checkpoint without a hub, for what no hub is needed for.
        note: one line that is printed when the model is loaded.
    """

    name: str
    hub_ids: tuple[str | None, ...] = ()
    hf_ids: tuple[str | None, ...] = ()
    architectures: tuple[str, ...] = ()
    template: str | None = None
    variants: tuple[Variant, ...] = ()
    target_modules: tuple[str, ...] = ()
    target_regex: str = ''
    multimodal: bool = False
    parts: ModelParts | None = None
    requires: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    task_type: str = ''
    dtype: str = ''
    ignore_files: tuple[str, ...] = ()
    family: str = ''
    alternatives: tuple[str, ...] = ()
    source: Callable[[], Path] | None = None
    note: str = ''

    def __post_init__(self) -> None:
        if self.hf_ids and len(self.hf_ids) != len(self.hub_ids):
            raise ValueError(f'{self.name}: {len(self.hub_ids)} hub_ids but {len(self.hf_ids)} hf_ids')
        known = set(self.pairs())
        for pair in (_pair(row) for variant in self.variants for row in variant.ids):
            if pair not in known:
                raise ValueError(f'{self.name}: a variant names {pair[0]!r}, which is not in hub_ids')

    def pairs(self) -> Iterator[tuple[str | None, str | None]]:
        """(ModelScope id, Hugging Face id) of every checkpoint."""
        return zip(self.hub_ids, self.hf_ids or self.hub_ids, strict=True)

    def templates(self) -> tuple[str | None, ...]:
        """Every template that some checkpoint of this entry has, its own first."""
        return tuple(dict.fromkeys((self.template, *(variant.template for variant in self.variants))))

    def checkpoint(self, pair: tuple[str | None, str | None]) -> ModelFamily:
        """This entry with what holds for the one checkpoint ``pair`` (ModelScope id, Hugging Face id)."""
        for variant in self.variants:
            if pair in (_pair(row) for row in variant.ids):
                return dataclasses.replace(
                    self, template=variant.template, requires=_or(variant.requires, self.requires),
                    tags=_or(variant.tags, self.tags))
        return self


def _pair(row: str | tuple[str | None, str | None]) -> tuple[str | None, str | None]:
    return (row, row) if isinstance(row, str) else row


def _or(value: tuple[str, ...] | None, otherwise: tuple[str, ...]) -> tuple[str, ...]:
    return otherwise if value is None else value


@dataclass(frozen=True)
class Match:
    """An entry that fits a hub id, with the ids of that one checkpoint on both hubs.

    ``family.template`` is the template of this checkpoint, which may differ from the family's own.
    """

    family: ModelFamily
    ms_id: str | None
    hf_id: str | None


MODELS: Registry[ModelFamily] = Registry('model', 'swift.llm.families')


def hubs(ms_owner: str, hf_owner: str, *names: str) -> Ids:
    """Ids of checkpoints that are called alike under different owners on the two hubs."""
    return tuple((f'{ms_owner}/{name}', f'{hf_owner}/{name}') for name in names)


def under(*prefixes: str) -> str:
    """Regular expression for all layers under these modules, but heads and embeddings (SWIFT 2's wording)."""
    return f'^({"|".join(prefixes)})(?!.*(lm_head|output|emb|wte|shared)).*'


def add_family(name: str, *architectures: str, template: str | None, ids: Ids = (),
               variants: tuple[Variant, ...] = (), **known: Any) -> ModelFamily:
    """Register a whole family.

    Args:
        name: its key.
        architectures: names in ``config.json``.
        template: of the checkpoints ``ids``.
        ids: its checkpoints.
        variants: more checkpoints of it, with what differs.
        known: further fields of :class:`ModelFamily`.
    """
    pairs = [_pair(row) for row in (*ids, *(row for variant in variants for row in variant.ids))]
    return MODELS.add(ModelFamily(
        name, hub_ids=tuple(ms_id for ms_id, _ in pairs), hf_ids=tuple(hf_id for _, hf_id in pairs),
        architectures=architectures, template=template, variants=variants, **known))


def add_checkpoints(family: ModelFamily, *rows: tuple[str | None, ...], **known: Any) -> None:
    """Register single checkpoints of a family under keys of their own, as SWIFT 2 did.

    Args:
        family: gives architectures, parts, packages and tags, where ``known`` does not.
        rows: (key, template, ModelScope id) or (key, template, ModelScope id, Hugging Face id). Without the last one,
            the family's id is taken, or else the ModelScope id.
        known: further fields of :class:`ModelFamily`.
    """
    theirs = dict(family.pairs())
    for key, template, ms_id, *rest in rows:
        hf_id = rest[0] if rest else theirs.get(ms_id, ms_id)
        MODELS.add(dataclasses.replace(
            family, **{'name': key, 'hub_ids': (ms_id,), 'hf_ids': (hf_id,), 'template': template, 'variants': (),
                       'family': family.name, **known}))


def match_hub_id(model_id: str) -> list[Match]:
    """Every entry that holds this "owner/name" on either hub, letter case aside, in order of registration."""
    wanted = model_id.lower()
    matches = []
    for family in MODELS:
        for pair in family.pairs():
            if wanted in (name.lower() for name in pair if name):
                matches.append(Match(family.checkpoint(pair), *pair))
                break
    return matches


# what config.json of published checkpoints calls an architecture, and how transformers, which has it, writes it
TRANSFORMERS_NAMES = {
    'DeepseekOCR2ForCausalLM': 'DeepseekOcr2ForConditionalGeneration',
    'Ernie4_5_ForCausalLM': 'Ernie4_5ForCausalLM',
    'KimiK25ForConditionalGeneration': 'Kimi_K25ForConditionalGeneration',
    'PhiMoEForCausalLM': 'PhimoeForCausalLM',
}


def match_config(config: dict[str, Any]) -> list[ModelFamily]:
    """The entries that cover an architecture of a parsed ``config.json``, with the most checkpoints first.

    Single checkpoints of a family are left out: a folder does not say which of them it was.
    """
    named = set(config.get('architectures') or ())
    architectures = named | {ours for ours, theirs in TRANSFORMERS_NAMES.items() if theirs in named}
    found = [family for family in MODELS if not family.family and architectures.intersection(family.architectures)]
    return sorted(found, key=lambda family: -len(family.hub_ids))


def settle(families: Sequence[ModelFamily]) -> ModelFamily | None:
    """One entry for a folder that any of these may be, None for none.

    Where they differ in template, which one it is is left open (``alternatives``), and only what holds for all of
    them is kept.
    """
    if not families:
        return None
    templates = list(dict.fromkeys(template for family in families for template in family.templates()))
    if len(templates) == 1:
        return families[0]
    shared = {name: getattr(families[0], name) if len({getattr(family, name) for family in families}) == 1 else empty
              for name, empty in (('target_modules', ()), ('target_regex', ''), ('parts', None), ('requires', ()),
                                  ('dtype', ''), ('note', ''))}
    return dataclasses.replace(families[0], template=None, variants=(), **shared,
                               alternatives=tuple(template for template in templates if template))


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
