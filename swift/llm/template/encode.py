"""Rows -> token ids and loss weights: a renderer, a tokenizer and the options of ``--template`` and its neighbours.

A conversation is rendered to text first, tokenised whole, and every token gets the weight of the text it starts in;
masks never come from token ids, so a pad token that equals EOS changes nothing. Knows nothing about models,
batches or files.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from transformers import PreTrainedTokenizerBase

from swift.llm.protocol import Message
from swift.llm.template.dialect import DIALECTS, Dialect
from swift.llm.template.fit import fitting_template
from swift.llm.template.jinja import JinjaRenderer, apply_chat_template, chat_messages
from swift.llm.template.loss_scale import parse_strategy, turn_weights, weigh
from swift.llm.template.registry import TEMPLATES, ChatTemplate
from swift.llm.template.render import PlainRenderer, is_chat, make_renderer
from swift.llm.template.segments import Controls, Rendered, Renderer
from swift.llm.template.spoken import SpokenRenderer
from swift.llm.template.tokens import Encoded, Tokeniser, controls_of, special_tokens_of
from swift.utils.errors import RowError, SwiftError, UsageError
from swift.utils.files import sha256_text
from swift.utils.logging import get_logger

if TYPE_CHECKING:
    from swift.llm.args.groups import TemplateArgs

_FORMAT = 'swift-template-1'  # changes when the same options begin to give other tokens
_SNIPPET = 40  # characters shown on each side of a difference


class Family(Protocol):
    """What a model family says about templates: the name of a registered one, or None, or those it may be."""

    @property
    def name(self) -> str: ...

    @property
    def template(self) -> str | None: ...

    @property
    def alternatives(self) -> tuple[str, ...]: ...


class Template:
    """Turns rows into tokens for training and conversations into prompts for inference.

    Args:
        renderer: how conversations are written.
        tokenizer: the checkpoint's.
        controls: its added tokens.
        args: the options; ``template`` itself has been resolved into ``renderer``.
        default_system: the system text where neither row nor ``args.system`` has one.
        chosen: whether the user named the template.
    """

    def __init__(self, renderer: Renderer, tokenizer: PreTrainedTokenizerBase, controls: Controls,
                 args: TemplateArgs, *, default_system: str | None = None,
                 chosen: Literal['auto', 'typed'] = 'auto') -> None:
        self._strategy = parse_strategy(args.loss_scale)
        self.name = renderer.name
        self.chosen = chosen
        self.tokenizer = tokenizer
        self.notes = tuple(renderer.notes)
        self._renderer = renderer
        self._max_length = None if args.max_length in (None, -1) else args.max_length
        self._truncation = args.truncation_strategy
        self._ends = tuple(filter(None, (controls.eos, *renderer.stop_words)))
        self._options = args.options()
        self._own_dialect = args.agent_template is None
        self._typed_system = args.system
        self._system = args.system if args.system is not None else default_system
        self._tokeniser = Tokeniser(tokenizer, controls, renderer.stop_words)

    # -- training ------------------------------------------------------------------------------------------------

    def encode(self, row: Mapping[str, Any]) -> Encoded:
        """Tokens and weights of one row.

        Raises:
            RowError: the row can't be used; the message is the reason.
        """
        encoded = self.encode_batch([row])[0]
        if isinstance(encoded, RowError):
            raise encoded
        return encoded

    def encode_batch(self, rows: Sequence[Mapping[str, Any]]) -> list[Encoded | RowError]:
        """Tokens and weights of many rows, in order; a row that can't be used gives its error."""
        results: list[Encoded | RowError] = []
        rendered: list[tuple[int, Rendered]] = []
        for i, row in enumerate(rows):
            try:
                rendered.append((i, self.render(row)))
                results.append(RowError('not encoded'))
            except RowError as e:
                results.append(e)
        batch = self._tokeniser.encode([r for _, r in rendered])
        for (i, _), tokens in zip(rendered, batch, strict=True):
            try:
                results[i] = self._finish(tokens) if not isinstance(tokens, RowError) else tokens
            except RowError as e:
                results[i] = e
        return results

    def render(self, row: Mapping[str, Any], add_generation_prompt: bool = False) -> Rendered:
        """The conversation of a row as text with weights.

        Raises:
            RowError: the row or its conversation is not one that the template can write.
        """
        messages = self._messages(row, self._system)
        weights = turn_weights(messages, self._strategy)
        rendered = self._renderer.render(messages, row.get('tools') or (), weights, options=self._options_of(row),
                                         add_generation_prompt=add_generation_prompt)
        return weigh(rendered, messages, self._strategy, self._ends)

    def _options_of(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The switches of the template: the row's own, over those of the command line."""
        return {**self._options, **(row.get('chat_template_kwargs') or {})}

    @staticmethod
    def _messages(row: Mapping[str, Any], system: str | None) -> list[Message]:
        """The row's messages, with ``system`` in front if they have none and it is not empty."""
        raw = row.get('messages')
        if not raw:
            raise RowError('the row has no messages')
        try:
            messages = [m if isinstance(m, Message) else Message.from_dict(m) for m in raw]
        except SwiftError as e:
            raise RowError(str(e)) from e
        if messages[0].role != 'system' and system:
            messages.insert(0, Message('system', system))
        return messages

    def _finish(self, encoded: Encoded) -> Encoded:
        """Truncate, and refuse what has nothing to train."""
        trained_before = bool(encoded.weights.any())
        if self._max_length is not None and len(encoded) > self._max_length:
            encoded = self._truncate(encoded)
        weights = encoded.weights
        if len(weights):
            weights[0] = 0  # nothing comes before it, so it can't be predicted
        if not weights.any():
            raise RowError('nothing to train: no message has a weight in the loss' if not trained_before else
                           f'nothing to train is left after truncation to --max_length {self._max_length}')
        return encoded

    def _truncate(self, encoded: Encoded) -> Encoded:
        if self._truncation == 'delete':
            raise RowError(f'{len(encoded)} tokens, over --max_length {self._max_length}')
        kept = slice(-self._max_length, None) if self._truncation == 'left' else slice(self._max_length)
        kinds = None if encoded.kinds is None else encoded.kinds[kept].copy()
        return Encoded(encoded.input_ids[kept].copy(), encoded.weights[kept].copy(), kinds)

    # -- inference -----------------------------------------------------------------------------------------------

    def encode_prompt(self, messages: Sequence[Message | Mapping[str, Any]],
                      tools: Sequence[Mapping[str, Any]] = (),
                      options: Mapping[str, Any] | None = None) -> list[int]:
        """The ids of a conversation up to the place where the next answer starts, never truncated.

        ``options`` are switches of the template (``enable_thinking``) for this conversation.

        Raises:
            RowError: the template can't write the conversation.
        """
        row = {'messages': messages, 'tools': tools, 'chat_template_kwargs': options}
        rendered = self.render(row, add_generation_prompt=True)
        tokens = self._tokeniser.encode([rendered])[0]
        if isinstance(tokens, RowError):
            raise tokens
        return tokens.input_ids.tolist()

    def decode(self, ids: Sequence[int]) -> str:
        """The text of an answer, without the tokens that stop one."""
        kept = [int(i) for i in ids if int(i) not in self.stop_ids]
        return self.tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    @property
    def stop_ids(self) -> frozenset[int]:
        """Ids at which an answer ends: EOS, the terminator that is trained, stop words of one token."""
        return self._tokeniser.stop_ids

    @property
    def stop_words(self) -> tuple[str, ...]:
        """Texts at which an answer ends that no single token spells."""
        return self._tokeniser.stop_words

    # -- comparison and identity ---------------------------------------------------------------------------------

    def drift(self, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """Where our text, or our ids, differ from what the checkpoint's own chat template gives for ``rows``.

        Left out are rows that we refuse, all rows if there is no chat template or ours is plain text, and rows without
        a system text under ``--system ''``. A row whose last answer stands behind the very prompt that the checkpoint
        asks for it with is no difference, even where a finished conversation is written otherwise. Ids are compared
        unless a content spells a control token: there they differ on purpose.
        """
        if not self.tokenizer.chat_template or not self._renderer.is_chat:
            return []
        differences = []
        for i, row in enumerate(rows):
            try:
                rendered = self.render(row)
            except RowError:
                continue
            difference = self._difference(row, rendered)
            if difference:
                differences.append(f'row {i}: {difference}')
        return differences

    def _difference(self, row: Mapping[str, Any], rendered: Rendered) -> str | None:
        messages = self._messages(row, self._typed_system)
        if self._typed_system == '' and messages[0].role != 'system':
            return None  # the user turned off a default that the checkpoint's template may have
        if not self._own_dialect and (row.get('tools') or any(m.tool_calls or m.role == 'tool' for m in messages)):
            return None  # --agent_template asks for another way to write tools
        chat = chat_messages(messages)
        try:
            theirs = apply_chat_template(self.tokenizer, chat, row.get('tools') or (), options=self._options_of(row))
        except RowError as e:
            return str(e)
        ours = rendered.text[:len(rendered.text) - rendered.added_eos]
        if ours != theirs and self._is_prompted(rendered, chat, row):
            return None
        if ours != theirs:
            at = next((p for p, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b),
                      min(len(ours), len(theirs)))
            return f'character {at}: ours {_around(ours, at)}, the checkpoint\'s {_around(theirs, at)}'
        tokens = self._tokeniser.encode([rendered])[0]
        if isinstance(tokens, RowError) or tokens.cut or rendered.added_eos:
            return None
        ids = self.tokenizer(theirs, add_special_tokens=False, verbose=False)['input_ids']
        if tokens.input_ids.tolist() != ids:
            at = next((p for p, (a, b) in enumerate(zip(tokens.input_ids, ids, strict=False)) if a != b),
                      min(len(tokens.input_ids), len(ids)))
            return (f'token {at}: ours {tokens.input_ids[at:at + 5].tolist()}, the checkpoint\'s {ids[at:at + 5]}, '
                    'for the same text')
        return None

    def _is_prompted(self, rendered: Rendered, chat: list[dict[str, Any]], row: Mapping[str, Any]) -> bool:
        """Whether the text in front of the last answer is the checkpoint's own prompt for it."""
        starts = [i for i, segment in enumerate(rendered.segments) if segment.begins_answer]
        if not starts or chat[-1]['role'] != 'assistant':
            return False
        try:
            prompt = apply_chat_template(self.tokenizer, chat[:-1], row.get('tools') or (),
                                         add_generation_prompt=True, options=self._options_of(row))
            theirs = apply_chat_template(self.tokenizer, chat, row.get('tools') or (), options=self._options_of(row))
        except RowError:
            return False
        before = ''.join(segment.text for segment in rendered.segments[:starts[-1]])
        return before == prompt and theirs.endswith(rendered.text[len(before):])

    def fingerprint(self) -> str:
        """A hash of everything that changes tokens or weights: tokenizer, template, options."""
        options = {'system': self._system, 'max_length': self._max_length, 'truncation': self._truncation,
                   'loss_scale': self._strategy.definition(), 'options': self._options}
        return sha256_text(_FORMAT, self._tokeniser.definition(), type(self._renderer).__name__,
                           self._renderer.definition(), json.dumps(options, sort_keys=True))


def _around(text: str, at: int) -> str:
    return repr(text[max(0, at - _SNIPPET):at + _SNIPPET])


def make_template(args: TemplateArgs, tokenizer: PreTrainedTokenizerBase, family: Family | None = None, *,
                  task: Literal['sft', 'pt'] = 'sft', words: Collection[str] = ()) -> Template:
    """The template to train and infer with.

    A typed ``--template NAME`` is that registered template. ``auto`` is the one that the model family names if it
    writes a few conversations as the checkpoint's own chat template does, else that one. For ``pt`` every token is
    trained, and texts stand as they are unless a template is typed.

    Args:
        words: tokens of ``--new_special_tokens``, which users may write as well as the model.

    Raises:
        UsageError: no such template, or ``auto`` finds none.
    """
    controls = controls_of(tokenizer, words)
    dialect = DIALECTS.get(args.agent_template) if args.agent_template is not None else None
    typed = args.template != 'auto'
    name = args.template if typed else (family.template if family is not None else None)
    if not typed and task == 'sft' and tokenizer.chat_template:
        name = _fitting(args, tokenizer, family)
    if task == 'pt':
        args = dataclasses.replace(args, loss_scale='all')
        if not typed:
            return Template(PlainRenderer(controls), tokenizer, controls, dataclasses.replace(args, system=None))
    if name is not None:
        entry = TEMPLATES.get(name)
        if isinstance(entry, ChatTemplate) and dialect is not None:
            entry = dataclasses.replace(entry, dialect=_writing(dialect).name)
        renderer = make_renderer(entry, special_tokens_of(tokenizer, entry), controls, args.thinking)
        if dialect is not None and dialect.name != entry.dialect:
            renderer = SpokenRenderer(renderer, _writing(dialect))
        return Template(renderer, tokenizer, controls, args, default_system=entry.default_system,
                        chosen='typed' if typed else 'auto')
    if not tokenizer.chat_template:
        raise UsageError('The tokenizer of this model has no chat template, and no registered one is known for the '
                         'model. Name one with --template: default-generation for a base model that completes text, '
                         'chatml for a new chat model; `swift template list` lists all.')
    renderer = JinjaRenderer(tokenizer, controls, args.thinking)
    return Template(SpokenRenderer(renderer, _writing(dialect)) if dialect else renderer, tokenizer, controls, args)


def _writing(dialect: Dialect) -> Dialect:
    """The dialect that ``--agent_template`` names.

    Raises:
        UsageError: it can only be read, as its own template writes it.
    """
    if dialect.write_tools is None:
        writing = ', '.join(entry.name for entry in DIALECTS if entry.write_tools)
        raise UsageError(f'--agent_template {dialect.name}: only the templates of its own models write this dialect; '
                         f'with any template go {writing}.')
    return dialect


def _fitting(args: TemplateArgs, tokenizer: PreTrainedTokenizerBase, family: Family | None) -> str | None:
    """The registered template of the family that writes as the checkpoint's own; None where none does.

    Plain text is what somebody asked for who named a base model by its key: that is compared with nothing.
    """
    if family is None or (family.template is not None and not is_chat(TEMPLATES.get(family.template))):
        return family.template if family is not None else None
    names = (family.template,) if family.template is not None else family.alternatives
    plain = dataclasses.replace(args, system=None, thinking=None, agent_template=None)
    return fitting_template(names, lambda name: make_template(dataclasses.replace(plain, template=name), tokenizer)) \
        if names else None


def check_drift(template: Template, rows: Sequence[Mapping[str, Any]], allow: bool) -> None:
    """Compare ``rows`` with the checkpoint's own chat template.

    Raises:
        SwiftError: they differ, the template was chosen automatically, and ``allow`` is false. A difference of a
            template that the user typed, or allowed, is a warning.
    """
    differences = template.drift(rows)
    if not differences:
        return
    message = (f'Template {template.name!r} differs from the checkpoint\'s own chat template on {len(differences)} of '
               f'{len(rows)} rows: {differences[0]}.')
    if template.chosen == 'auto' and not allow:
        raise SwiftError(f'{message} The model would be served with another prompt than it is trained on. '
                         'Name the template that you want with --template, or pass --allow_template_drift true.')
    get_logger().warning(message)
