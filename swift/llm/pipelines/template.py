"""``swift template list|show|check|render``: what a chat template makes of conversations.

``list``, ``render``, and ``show`` of a registered name need neither a tokenizer nor torch.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift.llm.args.groups import ModelArgs, TemplateArgs
from swift.llm.pipelines.tokenizer_only import THINKING_FLAGS, template_of
from swift.llm.protocol import Message
from swift.llm.template.probes import PROBES
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.render import render_case
from swift.llm.template.segments import Rendered
from swift.utils import argv, env
from swift.utils.errors import EXIT_DONE, EXIT_FAILED, RowError, SwiftError, UsageError

if TYPE_CHECKING:
    from swift.llm.template.encode import Template

_SHOWN_TOKENS = {'bos_token': '<BOS>', 'eos_token': '<EOS>', 'pad_token': '<PAD>', 'unk_token': '<UNK>'}
_GREEN, _GREY, _RESET = '\033[32m', '\033[90m', '\033[0m'
_SHOWN = 3  # differences that check prints whole


def template_main(words: Sequence[str] | None = None) -> int:
    """Run ``swift template ...``.

    Args:
        words: those after ``swift template``; None takes them from the process.

    Returns:
        0, or 1 when ``check`` found a difference or ``render`` could not read or render a line.

    Raises:
        UsageError: the words are wrong, or a name is unknown.
    """
    options = _parse(sys.argv[2:] if words is None else words)
    return {'list': _list, 'show': _show, 'check': _check, 'render': _render}[options.command](options)


# -- list ------------------------------------------------------------------------------------------------------------


def _list(options: argparse.Namespace) -> int:
    aliases: dict[str, list[str]] = {}
    for alias, name in TEMPLATES.aliases().items():
        aliases.setdefault(name, []).append(alias)
    for name in sorted(TEMPLATES.names()):
        also = sorted(aliases.get(name, ()))
        if any((options.filter or '').lower() in spelling.lower() for spelling in (name, *also)):
            print(name + (f' (also {", ".join(also)})' if also else ''))
    return EXIT_DONE


# -- show ------------------------------------------------------------------------------------------------------------


def _show(options: argparse.Namespace) -> int:
    row = json.loads(options.row) if options.row else None
    if options.what not in TEMPLATES and not Path(options.what).expanduser().is_dir():
        TEMPLATES.get(options.what)  # raises, with near names
    color = env.wants_color() and sys.stdout.isatty()
    if options.what in TEMPLATES:
        entry = TEMPLATES.get(options.what)
        print(f'Template {entry.name!r}. {entry.source or "Source: SWIFT."}')
        args = _template_args(options)

        def render(row: Mapping[str, Any]) -> Rendered:
            return render_case(entry, [Message.from_dict(m) for m in row['messages']], row.get('tools') or (),
                               options=args.options(), tokens=_SHOWN_TOKENS, thinking=args.thinking)
    else:
        template = _template_of(options)
        print(f'Template {template.name!r}.')
        render = template.render
    rows = {'the row': row} if row else {name: PROBES[name] for name in _EXAMPLES}
    for name, example in rows.items():
        print(f'\n{name}; [[trained]]:')
        try:
            print(_spans(render(example), color))
        except RowError as e:
            print(f'  refused: {e}')
    return EXIT_DONE


_EXAMPLES = ('three rounds with system text', 'a result and its answer', 'thinking in history')


def _spans(rendered: Rendered, color: bool) -> str:
    """One line a piece: whose words, and the text; trained text stands in double brackets."""
    lines = []
    for segment in rendered.segments:
        text = repr(segment.text)[1:-1]
        weight = f' x{segment.weight:g}' if segment.weight not in (0, 1) else ''
        line = f'  {segment.kind:9}{weight} ' + (f'[[{text}]]' if segment.weight else text)
        lines.append(f'{_GREEN if segment.weight else _GREY}{line}{_RESET}' if color else line)
    return '\n'.join(lines)


# -- check -----------------------------------------------------------------------------------------------------------


def _check(options: argparse.Namespace) -> int:
    template = _template_of(options)
    if not template.tokenizer.chat_template:
        raise UsageError(f'{options.what} has no chat template of its own to compare with.')
    if template.name not in TEMPLATES:
        print(f'{options.what} is used with its own chat template; name another one to compare with: --template NAME.')
        return EXIT_DONE
    equal, refused, differences = 0, [], []
    for name, row in PROBES.items():
        try:
            template.render(row)
        except RowError as e:
            refused.append(f'{name}: {e}')
            continue
        found = template.drift([row])
        differences += [f'{name}: {text.partition(": ")[2]}' for text in found]
        equal += not found
    print(f'Template {template.name!r} and the chat template of {options.what}: {equal} of {len(PROBES)} conversations '
          f'equal, {len(differences)} different, {len(refused)} not written by {template.name!r}.')
    for text in differences[:_SHOWN]:
        print(f'  different: {text}')
    if len(differences) > _SHOWN:
        print(f'  ... and {len(differences) - _SHOWN} more')
    for text in refused:
        print(f'  refused: {text}')
    return EXIT_FAILED if differences else EXIT_DONE


def _template_of(options: argparse.Namespace) -> Template:
    model = ModelArgs(model=options.what, model_type=options.model_type, use_hf=options.use_hf or None,
                      offline=options.offline)
    return template_of(model, _template_args(options))


def _template_args(options: argparse.Namespace) -> TemplateArgs:
    return TemplateArgs(template=options.template or 'auto', thinking=options.thinking, max_length=-1,
                        template_kwargs=options.template_kwargs, system=options.system)


# -- render ----------------------------------------------------------------------------------------------------------


def _render(options: argparse.Namespace) -> int:
    source, target = Path(options.input), Path(options.output)
    if not source.is_file():
        raise UsageError(f'--input {source} is no file.')
    if target.exists() and not options.overwrite:
        raise UsageError(f'--output {target} exists. Name another file, or pass --overwrite.')
    rendered, refused, failed = 0, 0, []
    with open(target, 'w', encoding='utf-8') as out:
        for number, case in _cases(source):
            try:
                ours, error = render_one(case), None
                rendered += 1
            except RowError as e:  # the template refuses it, as the publisher's own may
                ours, error = None, str(e)
                refused += 1
            except (SwiftError, KeyError, TypeError, ValueError, AttributeError) as e:
                ours, error = None, str(e) if isinstance(e, SwiftError) else f'not a case: {e!r}'
                failed.append(f'line {number}: {error}')
            result = {**(case if isinstance(case, dict) else {'line': case}), 'ours': ours}
            out.write(json.dumps(result if error is None else {**result, 'ours_error': error}, ensure_ascii=False))
            out.write('\n')
    print(f'{rendered} rendered, {refused} refused by their template, {len(failed)} not rendered; written to {target}')
    for text in failed[:10]:
        print(f'  {text}', file=sys.stderr)
    return EXIT_FAILED if failed else EXIT_DONE


def _cases(path: Path) -> Iterator[tuple[int, Any]]:
    with open(path, encoding='utf-8') as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except ValueError:
                    yield number, line.rstrip('\n')


def render_one(case: Mapping[str, Any]) -> str:
    """The text of one case.

    Args:
        case: ``template`` or ``family`` (a name or an alias) and ``messages``; optionally ``tools``,
            ``add_generation_prompt``, ``template_kwargs``, ``special_tokens`` (an absent one is written as nothing),
            ``now`` (ISO 8601, for templates that write the date) and ``thinking``.

    Raises:
        RowError: the template refuses the conversation.
        SwiftError: there is no such template, or a message is none.
    """
    now = case.get('now')
    return render_case(
        TEMPLATES.get(case.get('template') or case['family']), [Message.from_dict(m) for m in case['messages']],
        case.get('tools') or (), add_generation_prompt=bool(case.get('add_generation_prompt')),
        options=case.get('template_kwargs') or {}, tokens=case.get('special_tokens') or {},
        now=datetime.datetime.fromisoformat(now) if now else None, thinking=case.get('thinking')).text


# -- words -----------------------------------------------------------------------------------------------------------

_RENDERING: dict[str, dict[str, Any]] = {
    '--template': {'help': 'a registered template instead of the one that belongs to the model'},
    '--model_type': {'help': 'the registered model that the folder holds'},
    '--system': {'help': "system text of conversations without one; '' takes the default away"},
    **THINKING_FLAGS,
    '--use_hf': {'action': 'store_true', 'help': 'Hugging Face instead of ModelScope'},
    '--offline': {'action': 'store_true', 'help': 'open no socket'},
}
_FLAGS: dict[str, dict[str, dict[str, Any]]] = {
    'list': {'--filter': {'help': 'only names that contain this'}},
    'show': {'--row': {'help': 'a row to render, JSON: {"messages": [...], "tools": [...]}'}, **_RENDERING},
    'check': _RENDERING,
    'render': {'--input': {'required': True, 'help': 'JSON Lines; every line has template (or family) and messages'},
               '--output': {'required': True, 'help': 'the same lines, each with the text as "ours"'},
               '--overwrite': {'action': 'store_true', 'help': 'replace the output file'}},
}
_HELP = {'list': 'names of the registered templates', 'show': 'print conversations as a template writes them',
         'check': "compare a model's registered template with the checkpoint's own",
         'render': 'render conversations of a file, without a tokenizer'}


def _parse(words: Sequence[str]) -> argparse.Namespace:
    parser = argv.Parser(prog='swift template', description='Look at chat templates.')
    commands = parser.add_subparsers(dest='command', required=True, parser_class=argv.Parser)
    for name, flags in _FLAGS.items():
        command = commands.add_parser(name, allow_abbrev=False, help=_HELP[name])
        if name in ('show', 'check'):
            command.add_argument('what', metavar='NAME' if name == 'show' else 'DIR',
                                 help='a registered template, or a model folder' if name == 'show' else 'a model')
        for flag, settings in flags.items():
            command.add_argument(flag, **settings)
    return argv.parse(parser, words, [flag for flags in _FLAGS.values() for flag in flags])
