"""``swift data preview`` and ``swift data check``: what training would make of a file, without training.

Neither needs a GPU or a model's weights; without ``--model`` no tokenizer and no torch either.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from swift.llm.args.groups import DataArgs, ModelArgs, TemplateArgs
from swift.llm.dataset.convert import describe_formats, dump_row
from swift.llm.dataset.hub import HubAccess
from swift.llm.dataset.read import RawRow
from swift.llm.dataset.rejects import RejectCounter, describe
from swift.llm.dataset.report import SourceReport
from swift.llm.dataset.source import Source, extend_registry, open_sources
from swift.llm.dataset.store import batched
from swift.utils import env
from swift.utils.errors import EXIT_DONE, EXIT_FAILED, RowError, UsageError
from swift.utils.registry import suggest

if TYPE_CHECKING:
    from swift.llm.template.encode import Template

_TOGETHER = 1000  # rows encoded at a time
_REASONS = 10  # shown by check


def data_main(argv: Sequence[str] | None = None) -> int:
    """Run ``swift data ...``.

    Args:
        argv: the words after ``swift data``; None takes them from the process.

    Returns:
        0, or 1 when ``check`` found rows that can't be used.

    Raises:
        UsageError: the words are wrong.
        SwiftError: a file can't be read.
    """
    options = _parse(sys.argv[2:] if argv is None else argv)
    data = DataArgs(dataset=options.files, columns=options.columns, model_name=options.model_name,
                    model_author=options.model_author, custom_dataset_info=options.custom_dataset_info,
                    external_plugins=options.external_plugins)
    extend_registry(data)
    access = HubAccess(use_hf=options.use_hf or None, offline=options.offline)
    sources = open_sources(options.files, data, access)
    template = _template(options) if options.model else None
    if options.command == 'preview':
        return _preview(sources, template, options.rows)
    return EXIT_FAILED if sum([_check(source, template) for source in sources]) else EXIT_DONE


def _preview(sources: Sequence[Source], template: Template | None, count: int) -> int:
    for source in sources:
        for file, raw in itertools.islice(source.rows(), count):
            try:
                row, form = source.recognise(raw)
                standard = source.build(row, form)
                print(f'{source.name_of(file)}, row {raw.number}, read as {form}')
                print(_shown(standard, template))
            except RowError as e:
                print(f'{source.name_of(file)}, row {raw.number}: can\'t be used: {e}')
            print()
    return EXIT_DONE


def _shown(row: dict[str, Any], template: Template | None) -> str:
    if template is None:
        return '\n'.join(f'  {turn["role"]:9} {turn["content"]}' for turn in row['messages'])
    from swift.llm.template.preview import preview
    return preview(template.encode(row), template, color=env.wants_color() and sys.stdout.isatty())


def _check(source: Source, template: Template | None) -> int:
    """Print what is in one data set; how many of its rows can't be used."""
    report, rejects, lengths = SourceReport(source.label, {}, 0, 0), RejectCounter(), array('q')
    for batch in batched(_standard_rows(source, report, rejects), _TOGETHER):
        if template is None:
            lengths.extend(sum(len(turn['content']) for turn in row['messages']) for _, _, row in batch)
            continue
        for (file, raw, row), encoded in zip(batch, template.encode_batch([row for *_, row in batch]), strict=True):
            if isinstance(encoded, RowError):
                rejects.add(file, raw.number, str(encoded), row)
            else:
                lengths.append(len(encoded.input_ids))
    print(f'{source.label}: {report.read_as()}, {len(lengths)} ok, {rejects.total} can\'t be used')
    if lengths:
        print(f'  {_spread(lengths)} {"characters" if template is None else "tokens"} a row')
    if rejects.total:
        print(describe(((source.label, reason) for reason in rejects.reasons()), limit=_REASONS))
    if report.read and not report.formats:
        print(describe_formats())
    return rejects.total or int(not report.read)


def _standard_rows(source: Source, report: SourceReport,
                   rejects: RejectCounter) -> Iterator[tuple[int, RawRow, dict[str, Any]]]:
    for file, raw in source.rows():
        report.read += 1
        try:
            row, form = source.recognise(raw)
            report.formats[form] = report.formats.get(form, 0) + 1
            row = source.build(row, form)
            dump_row(row)
        except RowError as e:
            rejects.add(file, raw.number, str(e), raw.value)
            continue
        report.converted += 1
        yield file, raw, row


def _spread(lengths: array) -> str:
    low, middle, high, top = np.percentile(np.frombuffer(lengths, np.int64), [0, 50, 95, 100])
    return f'shortest {low:.0f}, median {middle:.0f}, 95 % under {high:.0f}, longest {top:.0f}, all {sum(lengths)}'


def _template(options: argparse.Namespace) -> Template:
    from swift.llm.model.load import ResolvedModel, load_tokenizer, resolve_model
    from swift.llm.template.encode import make_template
    model = ModelArgs(model=options.model, use_hf=options.use_hf or None, offline=options.offline)
    folder = Path(options.model).expanduser()
    tokenizer_only = folder.is_dir() and not (folder / 'config.json').exists()
    resolved = ResolvedModel(folder, None) if tokenizer_only else resolve_model(model)
    args = TemplateArgs(template=options.template, system=options.system, max_length=options.max_length,
                        truncation_strategy=options.truncation_strategy, loss_scale=options.loss_scale)
    return make_template(args, load_tokenizer(resolved, model), resolved.family, task=options.task)


class _Parser(argparse.ArgumentParser):
    """argparse that raises our error."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f'{self.prog}: {message}. `{self.prog} --help` lists what it takes.')


_FLAGS: dict[str, dict[str, Any]] = {
    '--model': {'help': 'a folder, a registered name or a hub id, for its tokenizer and its template'},
    '--task': {'choices': ['sft', 'pt'], 'default': 'sft', 'help': 'pt takes texts as they stand (sft)'},
    '--template': {'default': 'auto', 'help': 'a registered template (auto)'},
    '--system': {'help': 'system text of rows that have none'},
    '--max_length': {'type': int, 'default': -1, 'help': 'tokens; -1 is no limit (-1)'},
    '--truncation_strategy': {'choices': ['delete', 'left', 'right'], 'default': 'delete'},
    '--loss_scale': {'choices': ['default', 'last_round', 'all'], 'default': 'default'},
    '--columns': {'help': 'JSON map of column names'},
    '--model_name': {'nargs': '+', 'default': [], 'help': 'for self-cognition: Chinese and English'},
    '--model_author': {'nargs': '+', 'default': [], 'help': 'for self-cognition: Chinese and English'},
    '--custom_dataset_info': {'help': 'more data sets: a JSON file, or JSON'},
    '--external_plugins': {'nargs': '+', 'default': [], 'help': 'Python files that register data sets; they are run'},
    '--use_hf': {'action': 'store_true', 'help': 'Hugging Face instead of ModelScope'},
    '--offline': {'action': 'store_true', 'help': 'open no socket'},
}


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(prog='swift data', description='Look at training data without training.')
    commands = parser.add_subparsers(dest='command', required=True, parser_class=_Parser)
    preview = commands.add_parser('preview', allow_abbrev=False, help='print rows token by token, trained ones marked')
    preview.add_argument('-n', '--rows', type=int, default=3, help='rows of each data set (3)')
    check = commands.add_parser('check', allow_abbrev=False, help='count the rows that can and can\'t be used')
    for command in (preview, check):
        command.add_argument('files', nargs='+', metavar='FILE', help='files, or anything else that --dataset takes')
        for flag, options in _FLAGS.items():
            command.add_argument(flag, **options)
    options, unknown = parser.parse_known_args([_normal(word) for word in argv])
    if unknown:
        raise UsageError(f'swift data {options.command}: unknown flag {unknown[0]}.{suggest(unknown[0], _FLAGS)}')
    return options


def _normal(word: str) -> str:
    """Dash and underscore are the same in the name of a flag."""
    if not word.startswith('--'):
        return word
    name, equals, value = word[2:].partition('=')
    return f'--{name.replace("-", "_")}{equals}{value}'
