"""Whether the names that arguments give are known: to be asked before anything heavy is imported or loaded."""

from __future__ import annotations

from swift.llm.args.groups import TemplateArgs
from swift.llm.template.dialect import DIALECTS
from swift.llm.template.loss_scale import parse_strategy
from swift.llm.template.registry import TEMPLATES


def check_names(args: TemplateArgs) -> None:
    """Look up ``--template``, ``--agent_template`` and ``--loss_scale``.

    Raises:
        UsageError: one of them is not known; near names are suggested.
    """
    if args.template != 'auto':
        TEMPLATES.get(args.template)
    if args.agent_template is not None:
        DIALECTS.get(args.agent_template)
    parse_strategy(args.loss_scale)
