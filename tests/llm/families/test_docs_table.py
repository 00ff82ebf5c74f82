from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_table_of_models_is_up_to_date():
    spec = importlib.util.spec_from_file_location('registry_tables', ROOT / 'scripts' / 'docs' / 'registry_tables.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.render() in module.TARGET.read_text(encoding='utf-8'), (
        'docs/models.md differs from the registry; run python scripts/docs/registry_tables.py')
