"""The template of a model without its weights, for commands that only look at text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from swift.llm.args.groups import ModelArgs, TemplateArgs

if TYPE_CHECKING:
    from swift.llm.template.encode import Template

THINKING_FLAGS: dict[str, dict[str, Any]] = {
    '--thinking': {'choices': ['keep', 'strip_history', 'add_empty', 'none'],
                   'help': 'what is written of the thinking'},
    '--template_kwargs': {'help': 'JSON object of switches, such as {"enable_thinking": false}'},
}


def template_of(model: ModelArgs, args: TemplateArgs, *, task: Literal['sft', 'pt'] = 'sft') -> Template:
    """The template with which training would use the model. A folder that holds nothing but a tokenizer will do.

    Raises:
        UsageError: the model or the template is not known.
        SwiftError: its files can't be fetched or read.
    """
    from swift.llm.model.load import ResolvedModel, load_tokenizer, resolve_model
    from swift.llm.model.new_tokens import words_of
    from swift.llm.template.encode import make_template
    folder = Path(model.model).expanduser()
    tokenizer_only = folder.is_dir() and not (folder / 'config.json').exists()
    resolved = ResolvedModel(folder, None) if tokenizer_only else resolve_model(model)
    return make_template(args, load_tokenizer(resolved, model), resolved.family, task=task, words=words_of(model))
