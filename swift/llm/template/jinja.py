"""The checkpoint's own jinja chat template, with loss spans that come from rendering.

How spans are found. The conversation is rendered a second time with every content replaced by a private-use
character of its own (a *slot*). In that skeleton everything that is not a slot was written by the template. Where a
turn's answer starts follows from the skeleton of the conversation before it with a generation prompt; how it ends
follows from the skeleton of the conversation cut after it. The real contents, as they are or stripped or
JSON-escaped, are then put back, and the result has to equal the real rendering, character for character.
Text is never searched for a content. A conversation that can't be explained in this way is refused.

Templates are foreign code: they run only in transformers' sandbox, through ``tokenizer.apply_chat_template``. This
module knows nothing about token ids.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
from transformers import PreTrainedTokenizerBase

from swift.llm.protocol import Message
from swift.llm.template.conversation import ThinkingPolicy
from swift.llm.template.loss_scale import TurnWeights
from swift.llm.template.segments import REASONING_TAGS, Controls, Rendered, Segment
from swift.llm.template.skeleton import Answer, Run, Slot, View, cut_runs, fill, find_answer
from swift.utils.errors import RowError, UsageError

_PLANES = (0xE000, 0xF1000, 0x100000)  # private-use areas for slots; U+F0000 and U+F0001 are transformers' own marks
_SLOTS = 0x1000  # at most so many slots a conversation
_SKELETONS = 4096  # kept in memory; conversations of one shape share one
_FAILURES = (jinja2.exceptions.TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError,
             RecursionError, MemoryError)  # what foreign template code may end with
_TAG = re.compile(r'</?[A-Za-z][\w:-]*>|\[/?[A-Z][A-Z_]*\]')
_INLINE_REASONING = re.compile(r'\A\s*<think>.*?</think>\s*', re.DOTALL)
_GENERATION_TAG = re.compile(r'\{%[-+]?\s*(?:end)?generation\s*[-+]?%\}')


def chat_messages(messages: Sequence[Message], *, parse_arguments: bool = True) -> list[dict[str, Any]]:
    """The messages as a chat template takes them: without what only the loss needs.

    Arguments of calls that are JSON text become objects, as servers hand them to a template, if ``parse_arguments``.
    """
    chat = []
    for message in messages:
        entry: dict[str, Any] = {'role': message.role, 'content': message.content}
        if message.reasoning_content is not None:
            # gpt-oss's template reads the second name, which later releases of transformers fill in.
            entry['reasoning_content'] = entry['thinking'] = message.reasoning_content
        if message.tool_calls:
            entry['tool_calls'] = [_parsed(call) if parse_arguments else call for call in message.tool_calls]
        for key, value in (('name', message.name), ('tool_call_id', message.tool_call_id)):
            if value is not None:
                entry[key] = value
        chat.append(entry)
    return chat


def _parsed(call: Mapping[str, Any]) -> Mapping[str, Any]:
    function = call.get('function')
    if not isinstance(function, Mapping) or not isinstance(function.get('arguments'), str):
        return call
    try:
        arguments = json.loads(function['arguments'])
    except ValueError:
        return call
    return {**call, 'function': {**function, 'arguments': arguments}}


def _thinking_options(chat_template: str | Mapping[str, str], thinking: ThinkingPolicy | None) -> dict[str, bool]:
    """The variables with which a chat template does what ``--thinking`` asks, where messages alone can't tell it."""
    wanted = {'add_empty': {'enable_thinking': False},
              'keep': {'preserve_thinking': True, 'clear_thinking': False}}.get(thinking, {})
    options = {name: value for name, value in wanted.items() if name in json.dumps(chat_template)}
    if wanted and not options:
        raise UsageError(f'--thinking {thinking}: the chat template of the checkpoint has no switch for that (looked '
                         f'for {", ".join(wanted)}). Name a registered template with --template.')
    return options


def _with_thinking(chat: list[dict[str, Any]], thinking: ThinkingPolicy | None) -> list[dict[str, Any]]:
    """The messages without the reasoning that ``--thinking`` leaves out."""
    if thinking not in ('none', 'strip_history'):
        return chat
    last_question = max((i for i, m in enumerate(chat) if m['role'] == 'user'), default=-1)
    return [_without_reasoning(m) if m['role'] == 'assistant' and (thinking == 'none' or i < last_question) else m
            for i, m in enumerate(chat)]


def _without_reasoning(message: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in message.items() if key not in ('reasoning_content', 'thinking')}
    return {**kept, 'content': _INLINE_REASONING.sub('', message['content'])}


def apply_chat_template(tokenizer: PreTrainedTokenizerBase, chat: Sequence[Mapping[str, Any]],
                        tools: Sequence[Mapping[str, Any]] = (), *, add_generation_prompt: bool = False,
                        options: Mapping[str, Any] | None = None) -> str:
    """The text that the tokenizer's own chat template writes; ``options`` are variables of that template.

    Raises:
        RowError: the template refuses the conversation or fails on it.
    """
    try:
        return tokenizer.apply_chat_template(
            list(chat), tools=list(tools) or None, tokenize=False, add_generation_prompt=add_generation_prompt,
            **(options or {}))
    except _FAILURES as e:
        raise RowError(f'the checkpoint\'s chat template refuses this conversation: {e}') from e


@dataclass(frozen=True)
class _Skeleton:
    """The rendering of a view.

    Attributes:
        runs: its text in order.
        lost: assistant turn -> why what the model has to write for it is unknown.
        open_ended: the last message is an answer and nothing ends it.
        terminator: what ends the last answer.
    """

    runs: tuple[Run, ...]
    lost: Mapping[int, str]
    open_ended: bool
    terminator: str


class JinjaRenderer:
    """Writes conversations with the tokenizer's own chat template.

    Args:
        tokenizer: one with a ``chat_template``.
        controls: its added tokens.
        thinking: ``--thinking``.

    Raises:
        UsageError: the template has no switch for what ``--thinking`` asks.
    """

    name = 'the chat template of the checkpoint'
    is_chat = True

    def __init__(self, tokenizer: PreTrainedTokenizerBase, controls: Controls,
                 thinking: ThinkingPolicy | None = None) -> None:
        self.notes: list[str] = []
        self._tokenizer = tokenizer
        self._controls = controls
        self._thinking = thinking
        self._thinking_options = _thinking_options(tokenizer.chat_template, thinking)
        tags = _tags(tokenizer.chat_template)
        self._markers = _pattern(tag for tag in tags if not _spells(tag, controls, controls.special))
        self._answer_markers = _pattern(tag for tag in tags if not _spells(tag, controls, controls.added))
        self._skeletons: dict[str, _Skeleton] = {}
        self._dated = 'strftime_now' in json.dumps(tokenizer.chat_template)
        self._prompts_unasked = False
        self.stop_words = self._learn_terminator()

    def definition(self) -> str:
        return json.dumps([self._tokenizer.chat_template, self._today(), self._thinking], sort_keys=True)

    def _today(self) -> str:
        """The date, for templates that print it: their text is another one tomorrow."""
        return datetime.date.today().isoformat() if self._dated else ''

    def render(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], weights: TurnWeights, *,
               add_generation_prompt: bool = False, options: Mapping[str, Any] | None = None) -> Rendered:
        options = {**(options or {}), **self._thinking_options}
        chat = _with_thinking(chat_messages(messages), self._thinking)
        try:
            real = self._apply(chat, tools, add_generation_prompt, options)
        except RowError:  # a few templates take the arguments of calls as JSON text only
            chat = _with_thinking(chat_messages(messages, parse_arguments=False), self._thinking)
            real = self._apply(chat, tools, add_generation_prompt, options)
        self._check_nothing_dropped(chat, tools, real, add_generation_prompt, options)
        trained = [i for i, m in enumerate(messages) if m.role == 'assistant' and weights.turns[i]]
        reasons = []
        for view in self._views(chat, tools, options):
            try:
                skeleton = self._skeleton(view, add_generation_prompt)
            except RowError as e:  # the template refuses a slot where it takes the real content
                reasons.append(str(e))
                continue
            lost = next((skeleton.lost[i] for i in trained if i in skeleton.lost), None)
            if lost is None:
                forms = fill(skeleton.runs, view.slots, real)
                if forms is not None:
                    return self._compose(skeleton, view, forms, weights)
            reasons.append(lost or 'it rewrites a content or branches on it')
        raise RowError(f'the checkpoint\'s chat template can\'t be followed on this conversation: '
                       f'{"; ".join(dict.fromkeys(reasons))}. A registered template (--template NAME) may fit')

    def _apply(self, chat: list[dict[str, Any]], tools: Sequence[Mapping[str, Any]], add_generation_prompt: bool,
               options: Mapping[str, Any]) -> str:
        return apply_chat_template(self._tokenizer, chat, tools, add_generation_prompt=add_generation_prompt,
                                   options=options)

    def _check_nothing_dropped(self, chat: list[dict[str, Any]], tools: Sequence[Mapping[str, Any]], real: str,
                               add_generation_prompt: bool, options: Mapping[str, Any]) -> None:
        """Raises:
            RowError: the template writes the same without the tools, without the calls of one message, or without the
                reasoning of the last answer. (Reasoning of earlier ones is left out by many templates on purpose.)
        """
        def is_same(chat: list[dict[str, Any]], tools: Sequence[Mapping[str, Any]]) -> bool:
            try:
                return real == self._apply(chat, tools, add_generation_prompt, options)
            except RowError:
                return False

        if tools and is_same(chat, ()):
            raise RowError('the checkpoint\'s chat template does not write the tools of the row')
        for i, message in enumerate(chat):
            dropped = [('the tool calls', ('tool_calls',))] if 'tool_calls' in message else []
            if i == len(chat) - 1 and message.get('reasoning_content', '').strip():
                dropped.append(('the reasoning_content', ('reasoning_content', 'thinking')))
            for what, names in dropped:
                without = {name: value for name, value in message.items() if name not in names}
                if is_same([*chat[:i], without, *chat[i + 1:]], tools):
                    raise RowError(f'the checkpoint\'s chat template does not write {what} of message {i}')

    # -- conversation -> views -----------------------------------------------------------------------------------

    def _views(self, chat: list[dict[str, Any]], tools: Sequence[Mapping[str, Any]],
               options: Mapping[str, Any]) -> Iterator[View]:
        """Ways to take the contents out, the one that shows most first."""
        yield self._view(chat, tools, options, marked=('assistant',))
        if any(self._markers.search(m['content']) for m in chat if m['role'] != 'assistant'):
            yield self._view(chat, tools, options, marked=('assistant', 'system', 'user', 'tool'))
        if not any(self._controls.matches(text) for text in _texts([chat, list(tools)])):
            yield View(chat, list(tools), (), _PLANES[0], options)  # no content could forge a control token

    def _view(self, chat: list[dict[str, Any]], tools: Sequence[Mapping[str, Any]], options: Mapping[str, Any],
              marked: tuple[str, ...]) -> View:
        used = set(json.dumps([chat, list(tools)], ensure_ascii=False))
        base = next((plane for plane in _PLANES if not any(plane <= ord(c) < plane + _SLOTS for c in used)), None)
        if base is None:
            raise RowError('it uses characters of every private-use area of Unicode')
        slots: list[Slot] = []

        def take(slot: Slot) -> str:
            if not slot.text.strip():
                return slot.text  # templates ask whether a content is empty
            slots.append(slot)
            if len(slots) > _SLOTS:
                raise RowError(f'it has more than {_SLOTS} pieces of content')
            return chr(base + len(slots) - 1)

        def take_all(index: int, kind: str, value: Any, *, forged_only: bool) -> Any:
            """``value`` with its texts taken out, or only those that spell a control token."""
            if isinstance(value, str):
                return value if forged_only and not self._controls.matches(value) else take(Slot(index, kind, value))
            if isinstance(value, Mapping):
                if any(self._controls.matches(str(key)) for key in value):
                    raise RowError('the name of an argument spells a control token')
                return {key: take_all(index, kind, item, forged_only=forged_only and not (
                    index >= 0 and key in ('name', 'arguments'))) for key, item in value.items()}
            if isinstance(value, list | tuple):
                return [take_all(index, kind, item, forged_only=forged_only) for item in value]
            return value

        view = []
        for i, message in enumerate(chat):
            role = message['role']
            markers = self._answer_markers if role == 'assistant' else self._markers
            pieces = markers.split(message['content']) if role in marked else [message['content']]
            entry = {**message, 'content': ''.join(
                self._piece(pieces, k, i, role, take) for k in range(len(pieces)))}
            if 'reasoning_content' in message:
                entry['reasoning_content'] = entry['thinking'] = take(Slot(i, role, message['reasoning_content']))
            if 'tool_calls' in message:
                entry['tool_calls'] = take_all(i, role, message['tool_calls'], forged_only=True)
            view.append(entry)
        return View(view, take_all(-1, 'system', list(tools), forged_only=True), tuple(slots), base,
                    options)

    @staticmethod
    def _piece(pieces: list[str], k: int, index: int, role: str, take: Callable[[Slot], str]) -> str:
        """Piece ``k`` of a content with its words taken out; markers are at odd places."""
        piece = pieces[k]
        if k % 2:
            return piece
        if role != 'assistant':
            return take(Slot(index, role, piece, *_neighbours(pieces, k)))
        # A generation prompt may end in the white space after a tag, so that stays in place.
        start = len(piece) - len(piece.lstrip()) if k else 0
        end = len(piece.rstrip()) if k + 1 < len(pieces) else len(piece)
        if start >= end:
            return piece
        return piece[:start] + take(Slot(index, role, piece[start:end])) + piece[end:]

    # -- view -> skeleton ----------------------------------------------------------------------------------------

    def _skeleton(self, view: View, add_generation_prompt: bool) -> _Skeleton:
        key = json.dumps([view.chat, view.tools, view.base, view.options, add_generation_prompt, self._today()],
                         ensure_ascii=False)
        if key not in self._skeletons:
            if len(self._skeletons) >= _SKELETONS:
                self._skeletons.clear()
            self._skeletons[key] = self._analyse(view, add_generation_prompt)
        return self._skeletons[key]

    def _analyse(self, view: View, add_generation_prompt: bool) -> _Skeleton:
        text = self._apply(view.chat, view.tools, add_generation_prompt, view.options)
        regions, begins, lost, open_ended, terminator = {}, set(), {}, False, ''
        for i, message in enumerate(view.chat):
            if message['role'] != 'assistant':
                continue
            before = self._try(view, i, add_generation_prompt=True)
            after = self._try(view, i + 1, add_generation_prompt=False)
            answer = find_answer(view, text, i, before, after)
            if isinstance(answer, str):
                lost[i] = answer
            if not isinstance(answer, Answer):
                continue
            end = self._end(view, text, answer)
            terminator = text[answer.tail:end]
            if i == len(view.chat) - 1 and not add_generation_prompt and not terminator:
                open_ended = True
                end = len(text) if not text[answer.tail:].strip() else answer.tail
            if end == answer.start and message['content'].strip():
                lost[i] = f'the answer in message {i} leaves no text of its own'
            regions[i] = answer.start, end
            if answer.tail > answer.start:
                begins.add(answer.start)
        return _Skeleton(tuple(cut_runs(view, text, regions, begins)), lost, open_ended, terminator)

    def _try(self, view: View, turns: int, *, add_generation_prompt: bool) -> str | None:
        """The first ``turns`` turns rendered, or None where the template refuses so short a conversation."""
        if not turns:
            return None
        try:
            return self._apply(view.chat[:turns], view.tools, add_generation_prompt, view.options)
        except RowError:
            return None

    def _end(self, view: View, text: str, answer: Answer) -> int:
        """Where the answer ends with its terminator."""
        following = next((p for p in range(answer.tail, len(text)) if view.slot(text[p])), len(text))
        in_place = self._controls.terminator(text[answer.tail:following], first=True)
        if answer.closing is None:
            return answer.tail + len(in_place)
        terminator = self._controls.terminator(answer.closing, first=self._prompts_unasked)
        if not terminator:  # the last answer is left open; an earlier one may yet be ended by an EOS
            return answer.tail + (len(in_place) if in_place.strip() == self._controls.eos else 0)
        return answer.tail + len(terminator if text.startswith(terminator, answer.tail) else in_place)

    def _learn_terminator(self) -> tuple[str, ...]:
        """What ends an answer, seen on a conversation of one question and one answer."""
        chat = [{'role': 'user', 'content': 'a'}, {'role': 'assistant', 'content': 'b'}]
        try:
            view = self._view(chat, (), self._thinking_options, marked=())
            # A template that writes a generation prompt unasked goes on after the end of the answer.
            self._prompts_unasked = (self._try(view, 1, add_generation_prompt=True)
                                     == self._try(view, 1, add_generation_prompt=False))
            skeleton = self._skeleton(view, add_generation_prompt=False)
        except RowError:
            return ()
        if skeleton.open_ended:
            self.notes.append('The checkpoint\'s chat template ends an answer with nothing: the EOS token is added '
                              'after the last answer of a conversation, and trained.')
        terminator = skeleton.terminator.strip()
        return (terminator,) if terminator else ()

    # -- skeleton and real rendering -> segments -----------------------------------------------------------------

    def _compose(self, skeleton: _Skeleton, view: View, forms: list[str], weights: TurnWeights) -> Rendered:
        segments, remaining = [], iter(forms)
        for run in skeleton.runs:
            weight = weights.turns[run.turn] if run.turn >= 0 else weights.control
            text = next(remaining) if run.slot >= 0 else run.text
            in_answer = run.turn >= 0 and view.chat[run.turn]['role'] == 'assistant'
            segments.append(Segment(text, weight, run.kind, run.begins_answer, run.turn if in_answer else -1))
        last = weights.turns[-1]
        if skeleton.open_ended and last and self._controls.eos:
            segments.append(Segment(self._controls.eos, last, 'control', message=len(weights.turns) - 1))
            return Rendered.of(segments, added_eos=len(self._controls.eos))
        return Rendered.of(segments)


def _tags(chat_template: str | Mapping[str, str]) -> set[str]:
    """The tags that a template mentions, such as ``</think>``: it may split a content at them, or ask for them."""
    environment = jinja2.Environment(extensions=['jinja2.ext.loopcontrols'])
    tags: set[str] = set()
    for source in [chat_template] if isinstance(chat_template, str) else chat_template.values():
        tags.update(_TAG.findall(source))
        try:
            tree = environment.parse(_GENERATION_TAG.sub('', source))
        except jinja2.exceptions.TemplateSyntaxError:
            continue  # rendering says what is wrong with it
        tags |= {node.value.strip() for node in tree.find_all(jinja2.nodes.Const) if isinstance(node.value, str)}
    return {tag for tag in tags if _is_tag(tag)}


def _spells(tag: str, controls: Controls, tokens: frozenset[str]) -> bool:
    """Whether a tag holds one of ``tokens`` and so has to stay words in a content; reasoning tags need not."""
    return tag not in REASONING_TAGS and any(match.group() in tokens for match in controls.matches(tag))


def _pattern(tags: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted(tags, key=lambda tag: (-len(tag), tag))
    return re.compile(f'({"|".join(map(re.escape, longest_first))})' if longest_first else '((?!))')


def _texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value, names included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _is_tag(text: str) -> bool:
    return len(text) >= 3 and not text.isalnum() and not any(c.isspace() for c in text)


def _neighbours(pieces: list[str], k: int) -> tuple[str, str]:
    """The markers left in place before and after piece ``k`` of a content, up to the next piece that is not blank."""
    def run(indices: Iterable[int]) -> list[str]:
        found = []
        for i in indices:
            if i % 2 == 0 and pieces[i].strip():
                break
            found.append(pieces[i])
        return found

    return ''.join(reversed(run(range(k - 1, -1, -1)))), ''.join(run(range(k + 1, len(pieces))))
