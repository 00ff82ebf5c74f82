"""Which of several registered templates a checkpoint's own chat template is.

It compares renderings of a few conversations. Nothing here knows what the names stand for or how one is rendered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedTokenizerBase

from swift.llm.template.jinja import apply_chat_template
from swift.llm.template.probes import PROBES
from swift.utils.errors import RowError, UsageError
from swift.utils.logging import get_logger

if TYPE_CHECKING:
    from swift.llm.template.encode import Template

logger = get_logger()

ROWS = tuple(PROBES[name] for name in ('one round', 'three rounds', 'system text', 'tools', 'thinking, last'))


def fitting_template(names: Sequence[str], build: Callable[[str], Template]) -> str | None:
    """The first of ``names`` whose template writes conversations as the checkpoint's own chat template does.

    Which one was chosen, or that none fits, is said in one line.

    Args:
        names: registered templates, the likeliest first.
        build: makes a template from a name, with the tokenizer of the checkpoint.

    Raises:
        UsageError: the checkpoint's own chat template writes nothing at all.
    """
    templates = {name: build(name) for name in names}
    broken = _broken(next(iter(templates.values())).tokenizer)
    if broken is not None:
        raise UsageError(f'The chat template of this checkpoint can\'t be used: {broken}. Name a registered one with '
                         f'--template: {", ".join(names)}.')
    for name, template in templates.items():
        if _fits(template):
            if len(names) > 1:
                logger.info('The chat template of this checkpoint writes as the registered template %r.', name)
            return name
    logger.info("No template that is known for this model (%s) writes as the checkpoint's own chat template: that one "
                'is used. --template NAME takes another.', ', '.join(names))
    return None


def _broken(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """Why the checkpoint's own chat template writes not even one question and its answer; None if it does."""
    try:
        apply_chat_template(tokenizer, ROWS[0]['messages'])
    except RowError as e:
        return str(e)
    return None


def _fits(template: Template) -> bool:
    """What one side refuses the other must not be able to write, and what both write must be equal."""
    for row in ROWS:
        try:
            template.render(row)
        except RowError:
            if _is_written(template.tokenizer, row):
                return False
    return not template.drift(ROWS)


def _is_written(tokenizer: PreTrainedTokenizerBase, row: Mapping[str, Any]) -> bool:
    """The checkpoint's own chat template writes this conversation, and drops neither tools nor reasoning."""
    tools, messages = row.get('tools') or (), row['messages']
    try:
        text = apply_chat_template(tokenizer, messages, tools)
    except RowError:
        return False
    wanted = [*(tool['function']['name'] for tool in tools), *(m.get('reasoning_content', '') for m in messages)]
    return all(word in text for word in wanted)
