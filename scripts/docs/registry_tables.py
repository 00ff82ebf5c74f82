"""Write the table of models into docs/models.md from the registry; ``--check`` only compares.

    python scripts/docs/registry_tables.py [--check]
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scripts.docs.template_tables import proof_of  # noqa: E402
from swift.llm.model.registry import MODELS, ModelFamily  # noqa: E402
from tests.conformance.architectures import NOT_TRAINED, implemented, status  # noqa: E402

TARGET = ROOT / 'docs' / 'models.md'
BEGIN, END = '<!-- table of models: python scripts/docs/registry_tables.py -->', '<!-- end of the table of models -->'


def render() -> str:
    """The generated part of the page, between its marks."""
    families = [family for family in MODELS if not family.family]
    checkpoints = {family.name: [f for f in MODELS if f.family == family.name] for family in families}
    ids = {(pair[0] or pair[1]).lower() for family in MODELS for pair in family.pairs()}
    classes = implemented()
    return '\n'.join([
        BEGIN, '',
        *_summary(families, len(classes)),
        f'{len(families)} families with {len(ids)} checkpoints, of which {len(MODELS) - len(families)} have a key of '
        f'their own as in SWIFT 2. {len(classes)} classes of transformers load them; {len(classes) - len(NOT_TRAINED)} '
        'of these are trained in a test: a tiny random model gets LoRA, makes one step, is saved, reloaded and merged '
        '(`tests/conformance/test_tiny_models.py`).', '',
        *_not_trained(), *_families(families, checkpoints), END])


def _summary(families: list[ModelFamily], classes: int) -> Iterator[str]:
    trained = sum(status(family) == 'trained' for family in families)
    proofs = Counter(_proof(family) for family in families)
    yield '| | models | shown by |'
    yield '| --- | --- | --- |'
    yield (f'| known by name | {len(families)} families, {len(MODELS) - len(families)} keys of SWIFT 2 | '
           '`tests/llm/families` |')
    yield (f'| trained as a tiny model | {trained} families, {classes - len(NOT_TRAINED)} of {classes} classes | '
           '`tests/conformance/test_tiny_models.py` |')
    yield (f'| template equal to the publisher\'s | {proofs["official"]} families | '
           '`tests/conformance/test_template_goldens.py`, `tests/llm/template/written` |')
    yield (f'| template as in SWIFT\'s table | {proofs["table"]} families | '
           '`tests/conformance/test_template_tables.py` |')
    yield f'| template unproven, or the checkpoint\'s own | {proofs["unproven"] + proofs["own"]} families | |'
    yield ''


def _proof(family: ModelFamily) -> str:
    """The weakest proof of the templates that checkpoints of this family have."""
    names = {family.checkpoint(pair).template for pair in family.pairs()} or {family.template}
    proofs = {'own' if name is None else proof_of(name) for name in names}
    return next(proof for proof in ('unproven', 'own', 'table', 'official') if proof in proofs)


def _not_trained() -> Iterator[str]:
    yield '| class that is not trained in a test | why |'
    yield '| --- | --- |'
    for name, reason in NOT_TRAINED.items():
        yield f'| `{name}` | {reason} |'
    yield ''


def _families(families: list[ModelFamily], checkpoints: dict[str, list[ModelFamily]]) -> Iterator[str]:
    yield ('"own code": transformers does not have the architecture; the checkpoint brings Python code, which is run '
           'only when you allow it. Nothing of that is tested here.\n')
    yield '| family | template | proof | architecture | in a test | checkpoints | keys of SWIFT 2 |'
    yield '| --- | --- | --- | --- | --- | --- | --- |'
    for family in sorted(families, key=lambda family: family.name):
        tags = ', '.join((*(('multimodal',) if family.multimodal else ()), *family.tags, family.task_type)).strip(', ')
        yield ' '.join((
            f'| `{family.name}`' + (f' ({tags})' if tags else ''),
            f'| {_templates(family)}',
            f'| {_proof(family)}',
            f'| {", ".join(family.architectures)}',
            f'| {status(family)}',
            f'| {_ids(family)}',
            f'| {", ".join(f"`{one.name}`" for one in checkpoints[family.name][:2])}'
            + (f' and {len(checkpoints[family.name]) - 2} more' if len(checkpoints[family.name]) > 2 else ''), '|'))
    yield ''


def _templates(family: ModelFamily) -> str:
    used = Counter(family.checkpoint(pair).template for pair in family.pairs()) or Counter([family.template])
    return ', '.join(f'`{name}`' if name else 'its own' for name in used)


def _ids(family: ModelFamily) -> str:
    ids = [pair[0] or pair[1] or '' for pair in family.pairs()]
    return (ids[0] + (f' and {len(ids) - 1} more' if len(ids) > 1 else '')) if ids else 'needs no hub'


def main(argv: list[str]) -> int:
    page = TARGET.read_text(encoding='utf-8')
    head, _, rest = page.partition(BEGIN)
    text = head + render() + rest.partition(END)[2]
    if '--check' in argv:
        return 0 if text == page else 1
    TARGET.write_text(text, encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
