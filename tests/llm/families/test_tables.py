"""Every row of the two tables of models resolves to what the table says (tests/data/registry)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from swift.llm.model.registry import MODELS, ModelFamily, match_hub_id
from swift.llm.template.registry import TEMPLATES

DATA = Path(__file__).parents[2] / 'data' / 'registry'
PARTS = ('language_model', 'aligner', 'vision_tower', 'generator')


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / f'{name}.jsonl').read_text(encoding='utf-8').splitlines()]


SEED, NEWEST = rows('models_seed'), rows('models_newest')
# Hugging Face ids of the seed table that are another checkpoint, or none: the id of the newest table is right.
WRONG_HF_IDS = {row['model_type'] for row in SEED if row['model_type'].startswith('qwen2_5-coder-')
                and row['model_type'].endswith(('-awq', '-int4', '-int8'))} | {'qwen2-1_5b-instruct-int8'}
# ModelScope ids that share one Hugging Face id: it means the first of them.
SHARED_HF_IDS = {'baidu/ERNIE-4.5-0.3B-PT'}


def glob_of(regex: str) -> str:
    """The seed table's patterns of files, as the hubs' libraries take them."""
    known = {'^consolidated': 'consolidated*', 'onnx': 'onnx/*', 'metal/': 'metal/*', 'original/': 'original/*'}
    return known.get(regex, regex.replace('.+\\.', '*.').removesuffix('$'))


def template_of_seed(name: str) -> str:
    """A name that means something else today is kept for SWIFT 2's meaning under ``<name>-swift2``."""
    return TEMPLATES.get(f'{name}-swift2' if f'{name}-swift2' in TEMPLATES else name).name


def matches(hub_id: str, key: str) -> list[ModelFamily]:
    return [match.family for match in match_hub_id(hub_id.swapcase()) if match.family.name == key]


def test_the_tables_are_whole():
    assert (len(SEED), len(NEWEST), sum(len(row['models']) for row in NEWEST)) == (542, 224, 1164)


@pytest.mark.parametrize('row', SEED, ids=lambda row: row['model_type'])
def test_a_key_of_the_seed_table(row):
    key, ids = row['model_type'], [row['ms_model_id']]
    if row.get('hf_model_id') and key not in WRONG_HF_IDS:
        ids.append(row['hf_model_id'])
    family = MODELS.get(key)
    for hub_id in ids:
        assert matches(hub_id, key) == [family], f'{hub_id} does not lead to {key}'
    assert TEMPLATES.get(family.template).name == template_of_seed(row['template'])
    targets = row['lora_target_modules']
    assert (family.target_regex or list(family.target_modules)) == targets
    assert set(family.requires) == set(row.get('requires', ()))
    assert family.multimodal is row['is_multimodal']
    assert set(family.tags) == set(row.get('tags', ())) - {'multi-modal'}
    assert family.dtype == row.get('torch_dtype', '')
    assert list(family.ignore_files) == [glob_of(regex) for regex in row.get('ignore_file_pattern', ())]
    parent = MODELS.get(family.family)
    assert (family.architectures, family.parts) == (parent.architectures, parent.parts)


@pytest.mark.parametrize('row', NEWEST, ids=lambda row: row['model_type'])
def test_a_family_of_the_newest_table(row):
    key = row['model_type']
    family = MODELS.get(key)
    assert list(family.architectures) == row.get('architectures', [])
    assert family.multimodal is row.get('is_multimodal', False)
    assert family.task_type == row.get('task_type', 'reward' if row.get('is_reward') else '')
    assert family.dtype == row.get('torch_dtype', '').removeprefix('torch.')
    wanted = {name: tuple(row.get('parts', {}).get(name, ())) for name in PARTS}
    assert (vars(family.parts) if family.parts else dict.fromkeys(PARTS, ())) == wanted
    assert len(family.hub_ids) == len(row['models'])
    for model in row['models']:
        assert (model['ms_id'], model['hf_id']) in list(family.pairs())
        for hub_id in {model['ms_id'], model['hf_id']} - {None, *SHARED_HF_IDS}:
            found, = matches(hub_id, key)
            assert found.template == model.get('template', row.get('template'))
            assert set(found.requires) == set(model.get('requires', row.get('requires', ())))
            assert set(found.tags) == set(model.get('tags', row.get('tags', ())))


def test_every_checkpoint_names_a_template_that_there_is():
    missing = {(family.name, template) for family in MODELS for template in family.templates()
               if template is not None and template not in TEMPLATES}
    assert not missing


def test_no_two_families_say_different_parts_for_one_checkpoint():
    parts: dict[str, set] = {}
    for family in MODELS:
        for ms_id, _ in family.pairs():
            parts.setdefault((ms_id or '').lower(), set()).add(family.parts)
    assert {ms_id for ms_id, found in parts.items() if len(found) > 1} <= {'zhipuai/glm-edge-4b-chat'}
