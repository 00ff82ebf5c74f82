"""``swift data preview`` and ``swift data check``: what training would make of a file, without training.

Neither needs a GPU or a model's weights; without ``--model`` no tokenizer and no torch either.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from swift.llm.args.groups import DataArgs, ModelArgs, TemplateArgs
from swift.llm.dataset.convert import dump_row
from swift.llm.dataset.hub import HubAccess
from swift.llm.dataset.quality.check import Checker, Limits, chosen_rows, read_evaluation
from swift.llm.dataset.quality.duplicates import NearDuplicates
from swift.llm.dataset.quality.lengths import draw
from swift.llm.dataset.quality.result import (
    REPORT,
    check_target,
    describe_fix,
    describe_result,
    fix_to_dict,
    new_row_file,
    result_to_dict,
)
from swift.llm.dataset.source import Source, extend_registry, open_sources
from swift.llm.pipelines.tokenizer_only import THINKING_FLAGS, template_of
from swift.utils import argv, env
from swift.utils.errors import EXIT_DONE, EXIT_FAILED, MissingExtraError, RowError, UsageError
from swift.utils.files import write_json

if TYPE_CHECKING:
    from swift.llm.template.encode import Template


def data_main(words: Sequence[str] | None = None) -> int:
    """Run ``swift data ...``.

    Args:
        words: those after ``swift data``; None takes them from the process.

    Returns:
        0, or 1 when ``check`` found errors.

    Raises:
        UsageError: the words are wrong.
        SwiftError: a file can't be read.
    """
    options = _parse(sys.argv[2:] if words is None else words)
    data = DataArgs(dataset=options.dataset, columns=options.columns, model_name=options.model_name,
                    model_author=options.model_author, custom_dataset_info=options.custom_dataset_info,
                    external_plugins=options.external_plugins)
    extend_registry(data)
    access = HubAccess(use_hf=options.use_hf or None, offline=options.offline)
    sources = open_sources(options.dataset, data, access)
    if options.command == 'preview':
        return _preview(sources, _template(options, options.max_length) if options.model else None, options.rows)
    evaluation = open_sources(options.val_dataset, data, access, answer_required=False, flag='--val_dataset')
    return _check(sources, evaluation, options)


def _preview(sources: Sequence[Source], template: Template | None, count: int) -> int:
    for source in sources:
        for file, raw in itertools.islice(source.rows(), count):
            try:
                row, form = source.recognise(raw)
                standard = source.build(row, form)
                dump_row(standard)  # refuses a text that could not be printed either
                shown = _shown(standard, template)
                print(f'{source.name_of(file)}, row {raw.number}, read as {form}\n{shown}')
            except RowError as e:
                print(f'{source.name_of(file)}, row {raw.number}: can\'t be used: {e}')
            print()
    return EXIT_DONE


def _shown(row: dict[str, Any], template: Template | None) -> str:
    if template is None:
        beside = [f'  {name}: {_json(value)}' for name, value in row.items() if name != 'messages']
        return '\n'.join([*(line for turn in row['messages'] for line in _turn_lines(turn)), *beside])
    from swift.llm.template.preview import preview
    return preview(template.encode(row), template, color=env.wants_color() and sys.stdout.isatty())


def _turn_lines(turn: dict[str, Any]) -> Iterator[str]:
    """A turn and whatever it says besides its text: thoughts, calls, weights."""
    yield f'  {turn["role"]:9} {turn["content"]}'
    for name, value in turn.items():
        if name not in ('role', 'content'):
            yield f'  {"":9} {name}: {_json(value)}'


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _check(sources: Sequence[Source], val_sources: Sequence[Source], options: argparse.Namespace) -> int:
    limits = Limits(None if options.max_length == -1 else options.max_length, options.truncation_strategy)
    if limits.max_length is not None and not options.model:
        raise UsageError('--max_length counts tokens and needs a tokenizer: name one with --model.')
    fix = None if options.fix is None else Path(options.fix).expanduser()
    if fix is not None:
        check_target(fix)
    near, near_problem = _near(options.near_duplicates)
    evaluation = read_evaluation(val_sources, options.ngram, options.data_seed) if val_sources else None
    # Rows are encoded without a limit, so that what it would cost can be counted.
    template = _template(options, -1) if options.model else None
    with contextlib.ExitStack() as stack:
        file = None if fix is None else stack.enter_context(new_row_file(fix))
        checker = Checker(template, limits, **_controls(template), evaluation=evaluation, near=near,
                          keep=None if file is None else file.add)
        for i, source in enumerate(sources):
            checker.check(source, chosen_rows(source, np.random.default_rng([options.data_seed, i])))
        checker.finish()
    errors = sum(result.errors for result in checker.results)
    report = {
        'datasets': [result_to_dict(result, limits) for result in checker.results], 'rows_with_errors': errors,
        'near_duplicates': near_problem or f'looked for from a similarity of {options.near_duplicates:g}',
        'evaluation_rows': None if evaluation is None else len(evaluation),
        'fix': None if fix is None else fix_to_dict(checker.results, fix)}
    drawn = _write(report, checker, limits, Path(options.output_dir).expanduser()) if options.output_dir else []
    if options.json:
        print(json.dumps(report, ensure_ascii=False, indent=2))
        return EXIT_FAILED if errors else EXIT_DONE
    for result in checker.results:
        print(describe_result(result, limits))
    if near_problem:
        print(near_problem)
    if evaluation is not None:
        print(f'compared with {len(evaluation)} evaluation rows')
    print(''.join(f'{path}\n' for path in drawn), end='')
    if fix is not None:
        print(describe_fix(checker.results, fix))
    return EXIT_FAILED if errors else EXIT_DONE


def _near(threshold: float) -> tuple[NearDuplicates | None, str | None]:
    """What finds near duplicates, or why they are not looked for."""
    if not threshold:
        return None, 'near duplicates: not looked for (--near_duplicates 0)'
    try:
        return NearDuplicates(threshold), None
    except MissingExtraError as e:
        return None, f'near duplicates: not looked for. {e}'


def _controls(template: Template | None) -> dict[str, Any]:
    if template is None:
        return {}
    from swift.llm.template.segments import REASONING_TAGS
    from swift.llm.template.tokens import controls_of
    return {'controls': controls_of(template.tokenizer), 'allowed_in_answers': REASONING_TAGS}


def _write(report: dict[str, Any], checker: Checker, limits: Limits, folder: Path) -> list[Path]:
    """The report and the histogram in ``--output_dir``; the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / REPORT, report)
    picture = draw([(result.label, result.lengths) for result in checker.results], limits.max_length, folder)
    return [folder / REPORT, *([picture] if picture else [])]


def _template(options: argparse.Namespace, max_length: int) -> Template:
    model = ModelArgs(model=options.model, use_hf=options.use_hf or None, offline=options.offline)
    args = TemplateArgs(template=options.template, system=options.system, max_length=max_length,
                        truncation_strategy=options.truncation_strategy, loss_scale=options.loss_scale,
                        thinking=options.thinking, template_kwargs=options.template_kwargs,
                        agent_template=options.agent_template)
    return template_of(model, args, task=options.task)


_FLAGS: dict[str, dict[str, Any]] = {
    '--model': {'help': 'a folder, a registered name or a hub id, for its tokenizer and its template'},
    '--task': {'choices': ['sft', 'pt'], 'default': 'sft', 'help': 'pt takes texts as they stand (sft)'},
    '--template': {'default': 'auto', 'help': 'a registered template (auto)'},
    '--system': {'help': 'system text of rows that have none'},
    '--max_length': {'type': int, 'default': -1, 'help': 'tokens; -1 is no limit (-1)'},
    '--truncation_strategy': {'choices': ['delete', 'left', 'right'], 'default': 'delete'},
    '--loss_scale': {'default': 'default',
                     'help': 'default, last_round or all, then weights of words: default+react (default)'},
    '--agent_template': {'help': 'how tools are written: react_en, hermes ... (as the template does)'},
    **THINKING_FLAGS,
    '--columns': {'help': 'JSON map of column names'},
    '--model_name': {'nargs': '+', 'default': [], 'help': 'for self-cognition: Chinese and English'},
    '--model_author': {'nargs': '+', 'default': [], 'help': 'for self-cognition: Chinese and English'},
    '--custom_dataset_info': {'help': 'more data sets: a JSON file, or JSON'},
    '--external_plugins': {'nargs': '+', 'default': [], 'help': 'Python files that register data sets; they are run'},
    '--use_hf': {'action': 'store_true', 'help': 'Hugging Face instead of ModelScope'},
    '--offline': {'action': 'store_true', 'help': 'open no socket'},
}


_CHECK_FLAGS: dict[str, dict[str, Any]] = {
    '--val_dataset': {'nargs': '+', 'default': [], 'help': 'evaluation rows that must not be trained on'},
    '--ngram': {'type': int, 'default': 13, 'help': 'words in a row that count as taken from them; 0 is off (13)'},
    '--near_duplicates': {'type': float, 'default': 0.8,
                          'help': 'similarity from which two rows are nearly equal; 0 is off (0.8)'},
    '--data_seed': {'type': int, 'default': 42, 'help': 'chooses the rows of FILE#N as training does (42)'},
    '--output_dir': {'help': 'gets data_check.json and lengths.png'},
    '--json': {'action': 'store_true', 'help': 'print the report as JSON'},
    '--fix': {'metavar': 'OUT.jsonl', 'help': 'write the good rows there, in the standard form'},
}


def _parse(words: Sequence[str]) -> argparse.Namespace:
    parser = argv.Parser(prog='swift data', description='Look at training data without training.')
    commands = parser.add_subparsers(dest='command', required=True, parser_class=argv.Parser)
    preview = commands.add_parser('preview', allow_abbrev=False, help='print rows token by token, trained ones marked')
    preview.add_argument('-n', '--rows', type=int, default=3, help='rows of each data set (3)')
    check = commands.add_parser('check', allow_abbrev=False, help='look for what is wrong with the rows')
    for command in (preview, check):
        command.add_argument('files', nargs='*', metavar='FILE', help='files, or anything else that --dataset takes')
        command.add_argument('--dataset', nargs='+', default=[], help='the same as FILE')
        for flag, options in _FLAGS.items():
            command.add_argument(flag, **options)
    for flag, options in _CHECK_FLAGS.items():
        check.add_argument(flag, **options)
    options = argv.parse(parser, words, [*_FLAGS, *_CHECK_FLAGS, '--dataset'])
    options.dataset = [*options.files, *options.dataset]
    _check_options(options)
    return options


def _check_options(options: argparse.Namespace) -> None:
    if not options.dataset:
        raise UsageError(f'swift data {options.command} FILE: which data? It takes files, folders, registered data '
                         'sets and hub ids, as --dataset does.')
    if options.max_length != -1 and options.max_length < 1:
        raise UsageError(f'--max_length must be -1 (no limit) or at least 1, got {options.max_length}.')
    if options.command == 'preview' and options.rows < 1:
        raise UsageError(f'--rows takes a number from 1, got {options.rows}.')
    if options.command == 'check':
        if options.output_dir is not None and Path(options.output_dir).expanduser().exists() and not Path(
                options.output_dir).expanduser().is_dir():
            raise UsageError(f'--output_dir {options.output_dir} is a file; it takes a folder.')
        if not 0 <= options.near_duplicates <= 1:
            raise UsageError(f'--near_duplicates takes a number from 0 to 1, got {options.near_duplicates:g}.')
        if options.ngram < 0:
            raise UsageError(f'--ngram takes a number of words, or 0 to compare whole rows only; got {options.ngram}.')
