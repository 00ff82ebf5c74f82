"""``swift COMMAND ...``: finds the command, checks its arguments before anything heavy is imported, ends with a code.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. This module knows names of commands, not what they do.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from swift.utils import env, launch
from swift.utils.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, SwiftError, UsageError
from swift.utils.registry import suggest


@dataclass(frozen=True)
class Command:
    """One subcommand.

    Attributes:
        target: ``"module:function"``, imported when the command runs.
        help: one line.
        has_groups: its arguments are a class in ``swift.llm.args.commands``, checked here, and the function gets that
            object; otherwise the function gets the words and checks them itself.
    """

    target: str
    help: str
    has_groups: bool = False


COMMANDS: dict[str, Command] = {
    'sft': Command('swift.llm.pipelines.sft:sft_main', 'fine-tune a model on conversations', has_groups=True),
    'pt': Command('swift.llm.pipelines.sft:pt_main', 'train a model on plain text', has_groups=True),
    'infer': Command('swift.llm.pipelines.infer:infer_main', 'chat with a model, or answer a data set',
                     has_groups=True),
    'data': Command('swift.llm.pipelines.data:data_main', 'look at training data: data preview, data check'),
    'models': Command('swift.llm.pipelines.registry_lists:models_main', 'list the models that are known by name'),
    'datasets': Command('swift.llm.pipelines.registry_lists:datasets_main',
                        'list the data sets that are known by name'),
    'template': Command('swift.llm.pipelines.template:template_main',
                        'look at chat templates: template list, show, check, render'),
    'doctor': Command('swift.cli.doctor:doctor_main',
                      'show versions, devices and optional packages; doctor --kernels checks the kernels'),
    'version': Command('swift.cli.doctor:version_main', 'show the version'),
}
LATER = ('rlhf', 'dpo', 'orpo', 'simpo', 'kto', 'cpo', 'export', 'merge-lora', 'eval', 'deploy', 'web-ui', 'app-ui',
         'app', 'rollout', 'sample')


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line.

    Args:
        argv: the words after ``swift``; None takes them from the process.

    Returns:
        The exit code. Errors that a user can mend are printed as their message; others keep their traceback.
    """
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    except SwiftError as e:
        print(f'swift: error: {e}', file=sys.stderr)
        return e.exit_code
    except OSError as e:
        if e.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(f'swift: error: {e.filename or "A file"} could not be written: {e.strerror}.', file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        if env.local_rank() in (-1, 0):
            print('\nInterrupted.', file=sys.stderr)
        return EXIT_INTERRUPTED


def _run(argv: list[str]) -> int:
    if not argv or argv[0] in ('-h', '--help', 'help'):
        print(overview())
        return EXIT_DONE
    name = 'version' if argv[0] in ('-V', '--version') else argv[0].replace('_', '-')
    if name in LATER:
        raise UsageError(f"`swift {name}` isn't there yet; there are: {', '.join(COMMANDS)}.")
    if name not in COMMANDS:
        raise UsageError(f'Unknown command {argv[0]!r}.{suggest(name, (*COMMANDS, *LATER))} `swift --help` lists all.')
    if COMMANDS[name].has_groups:
        return _run_checked(name, argv[1:])
    result = _load(COMMANDS[name].target)(argv[1:])
    return result if isinstance(result, int) else EXIT_DONE


def _run_checked(name: str, argv: list[str]) -> int:
    """Check all arguments, then hand over to torchrun or run here."""
    from swift.cli.config_file import expand
    from swift.llm.args import rules
    from swift.llm.args.commands import COMMANDS as ARGUMENTS
    from swift.llm.args.parser import parse
    from swift.llm.pipelines.names import check_names
    from swift.utils import versions
    from swift.utils.logging import get_logger

    arguments = ARGUMENTS[name]
    if '--help' in argv or '-h' in argv:
        from swift.llm.args.describe import help_text
        print(help_text(arguments))
        return EXIT_DONE
    argv = expand(argv, arguments)
    args, _ = parse(arguments, argv)
    rules.enforce(args)
    if not launch.is_worker(os.environ):
        if not args.data.external_plugins:  # which may register what is named
            check_names(args.template)
        versions.check()
        for note in rules.notes(args):
            get_logger().warning(note)
    in_group = name in launch.TRAINING_COMMANDS and args.train.deepspeed is not None
    command = launch.build_command(name, argv, os.environ, always=in_group)
    if command:
        launch.replace_process(command)
    _load(COMMANDS[name].target)(args)
    return EXIT_DONE


def _load(target: str) -> Callable[..., Any]:
    module, _, function = target.partition(':')
    return getattr(importlib.import_module(module), function)


def overview() -> str:
    """The text of ``swift --help``."""
    width = max(map(len, COMMANDS))
    lines = ['Usage: swift COMMAND ...', '', 'Commands:',
             *(f'  {name:<{width}}  {command.help}' for name, command in COMMANDS.items()), '',
             '`swift COMMAND --help` lists the arguments of a command.',
             f"Not there yet: {', '.join(LATER)}."]
    return '\n'.join(lines)


if __name__ == '__main__':
    sys.exit(main())
