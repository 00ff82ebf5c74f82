"""``swift models`` and ``swift datasets``: what is known by name, as a table or as JSON.

Reads the registries and nothing else: no file of a model, no network, neither torch nor transformers.
"""

from __future__ import annotations

import argparse
import json
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from swift.llm.dataset.registry import DATASETS, DatasetEntry
from swift.llm.model.registry import MODELS, ModelFamily
from swift.utils import argv
from swift.utils.errors import EXIT_DONE, UsageError
from swift.utils.registry import suggest

_SHOWN = 3  # words of a list that a table shows
_GUESSED = 'guessed'


def models_main(words: Sequence[str] | None = None) -> int:
    """Run ``swift models``.

    Args:
        words: those after ``swift models``; None takes them from the process.

    Raises:
        UsageError: the words are wrong, or no entry has the text of ``--filter``.
    """
    options = _parse('models', 'a key, a hub id, a template, an architecture or a tag', words)
    rows = _chosen([model_record(family) for family in MODELS], options.filter, 'model', MODELS.names())
    if options.json:
        _print_json(rows)
    else:
        _print_table(('key', 'template', 'architecture', 'tags', 'checkpoints'), map(_model_cells, rows))
        print(f'{len(rows)} entries, {len({_pair(c) for row in rows for c in row["checkpoints"]})} checkpoints.')
    return EXIT_DONE


def datasets_main(words: Sequence[str] | None = None) -> int:
    """Run ``swift datasets``; as :func:`models_main`."""
    options = _parse('datasets', 'a name, a hub id, a subset or a tag', words)
    rows = _chosen([dataset_record(entry) for entry in DATASETS], options.filter, 'data set', DATASETS.names())
    if options.json:
        _print_json(rows)
    else:
        _print_table(('name', 'ModelScope', 'Hugging Face', 'subsets', 'columns', 'tags'), map(_dataset_cells, rows))
        print(f'{len(rows)} data sets; of those marked "guessed" the columns are read by their names alone.')
    return EXIT_DONE


def model_record(family: ModelFamily) -> dict[str, Any]:
    """One entry as JSON: what holds for all checkpoints, and each checkpoint with its own template."""
    record: dict[str, Any] = {
        'key': family.name,
        'family': family.family or family.name,
        'template': family.template,
        'architectures': list(family.architectures),
        'multimodal': family.multimodal,
        'tags': list(family.tags),
        'requires': list(family.requires),
        'task_type': family.task_type or 'causal_lm',
        'dtype': family.dtype or None,
        'target_modules': family.target_regex or list(family.target_modules) or 'all-linear',
        'checkpoints': [],
    }
    for pair in family.pairs():
        checkpoint = family.checkpoint(pair)
        record['checkpoints'].append({'ms_id': pair[0], 'hf_id': pair[1], 'template': checkpoint.template})
    if family.parts:
        record['parts'] = {name: list(prefixes) for name, prefixes in vars(family.parts).items() if prefixes}
    return record


def dataset_record(entry: DatasetEntry) -> dict[str, Any]:
    """One entry as JSON."""
    return {
        'name': entry.name, 'ms_id': entry.ms_id, 'hf_id': entry.hf_id,
        'subsets': [part.name for part in entry.parts()], 'split': list(entry.split), 'tags': list(entry.tags),
        'huge': entry.huge, 'verified': entry.verified, 'help': entry.help,
    }


def _parse(command: str, what: str, words: Sequence[str] | None) -> argparse.Namespace:
    parser = argv.Parser(prog=f'swift {command}', allow_abbrev=False, description=f'List what swift knows by name: '
                                                                                  f'{command}.')
    parser.add_argument('--filter', default='', metavar='TEXT',
                        help=f'only entries that have this text, in any letter case, in {what}')
    parser.add_argument('--json', action='store_true', help='one JSON object a line, with everything that is known')
    return argv.parse(parser, sys.argv[2:] if words is None else words, ('--filter', '--json'))


def _chosen(rows: list[dict[str, Any]], text: str, kind: str, names: Sequence[str]) -> list[dict[str, Any]]:
    wanted = text.lower()
    chosen = [row for row in rows if any(wanted in word.lower() for word in (*_words(row), *_marks(row)))]
    if not chosen:
        raise UsageError(f'--filter {text}: no {kind} has that in its name, ids or tags.{suggest(text, names)}')
    return chosen


def _marks(row: dict[str, Any]) -> Iterator[str]:
    """What is true or false in JSON, by the words of the table."""
    if row.get('multimodal'):
        yield from ('multimodal', 'multi-modal')  # SWIFT's tag was written with a hyphen
    if row.get('huge'):
        yield 'huge'
    if not row.get('verified', True):
        yield _GUESSED


def _words(value: Any) -> Iterator[str]:
    """Every text in nested JSON; names of keys are none."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _words(inner)


def _pair(checkpoint: dict[str, Any]) -> str:
    return (checkpoint['ms_id'] or checkpoint['hf_id']).lower()


def _model_cells(row: dict[str, Any]) -> tuple[str, ...]:
    templates = dict.fromkeys(c['template'] or 'its own' for c in row['checkpoints']) or [row['template'] or 'its own']
    ids = [c['ms_id'] or c['hf_id'] for c in row['checkpoints']]
    more = f' and {len(ids) - 1} more' if len(ids) > 1 else ''
    tags = (*(('multimodal',) if row['multimodal'] else ()), *row['tags'])
    return (row['key'], _short(list(templates)), _short(row['architectures']), ', '.join(tags),
            f'{ids[0]}{more}' if ids else '')


def _dataset_cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (row['name'], row['ms_id'] or '', row['hf_id'] or '', _short(row['subsets']),
            '' if row['verified'] else _GUESSED, ', '.join(row['tags']))


def _short(words: Sequence[str]) -> str:
    return ', '.join(words[:_SHOWN]) + (f' and {len(words) - _SHOWN} more' if len(words) > _SHOWN else '')


def _print_json(rows: Iterable[dict[str, Any]]) -> None:
    for row in rows:
        print(json.dumps(row, ensure_ascii=False))


def _print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns as wide as their widest cell, the last one as long as it is."""
    lines = [tuple(head), *rows]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [cell + ' ' * (width - _width(cell)) for cell, width in zip(line, widths, strict=True)]
        print('  '.join(cells).rstrip())


def _width(text: str) -> int:
    """Columns of a terminal: East Asian characters take two."""
    return sum(2 if unicodedata.east_asian_width(character) in 'WF' else 1 for character in text)
