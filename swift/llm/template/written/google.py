"""Gemma 1 to 4 of Google. Checked against the chat templates of the checkpoints that each docstring names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swift.llm.template.conversation import Conversation, Turn, tojson
from swift.llm.template.dialects.gemma import Pieces, by_key, joined, quoted, value
from swift.llm.template.writer import Writer
from swift.utils.errors import RowError

_SCHEMA_KEYS = ('description', 'type', 'properties', 'required', 'nullable')
_EMPTY = '<|channel>thought\n<channel|>'


def write_gemma(c: Conversation, w: Writer) -> None:
    """Gemma and Gemma 2: no system text."""
    if c.system is not None:
        raise RowError('Gemma and Gemma 2 have no place for a system text; put it into the first question')
    _write_alternating(c, w)


def write_gemma3(c: Conversation, w: Writer) -> None:
    """Gemma 3 and 3n: the system text stands in front of the first turn's."""
    _write_alternating(c, w)


def _write_alternating(c: Conversation, w: Writer) -> None:
    w.text(c.bos)
    for i, turn in enumerate(c.turns[1 if c.system else 0:]):
        if (turn.role == 'user') != (i % 2 == 0):
            raise RowError(f'turns of user and assistant must alternate, but turn {turn.index} is of {turn.role!r}')
        is_answer = turn.role == 'assistant'
        w.text(f'<start_of_turn>{"model" if is_answer else turn.role}\n')
        if is_answer:
            w.begin(turn)
        if i == 0 and c.system:
            w.said(c.system)
            w.text('\n\n')
        w.said(turn, turn.content.strip())
        w.text('<end_of_turn>')
        if is_answer:
            w.end()
        w.text('\n')
    if c.add_generation_prompt:
        w.text('<start_of_turn>model\n')


_PYTHONIC = (
    'Tools (functions) are available. If you decide to invoke one or more of the tools, you must respond with a python '
    'list of the function calls.\nExample Format: [func_name1(params_name1=params_value1, '
    'params_name2=params_value2...), func_name2(params)] \nDo not use variables. DO NOT USE MARKDOWN SYNTAX. You '
    'SHOULD NOT include any other text in the response if you call a function. If none of the functions can be used, '
    'point it out. If you lack the parameters required by the function, also point it out.\nHere is a list of '
    'functions in JSON format that you can invoke.\n')


def write_gemma3_pythonic(c: Conversation, w: Writer) -> None:
    """Gemma 3 with tools as vLLM writes it: calls as a Python list, results as a user's turn."""
    turns = c.turns[1 if c.system else 0:]
    for i, turn in enumerate(turn for turn in turns if turn.role != 'tool' and not turn.calls):
        if (turn.role == 'user') != (i % 2 == 0):
            raise RowError(f'turns of user and assistant must alternate, but turn {turn.index} is of {turn.role!r}')
    w.text(c.bos)
    for turn in turns:
        w.text('<start_of_turn>' + {'assistant': 'model', 'tool': 'user'}.get(turn.role, turn.role) + '\n')
        if turn.role == 'assistant':
            w.begin(turn)
        if turn is turns[0]:
            _write_pythonic_head(c, w)
        if turn.calls:
            _write_pythonic_calls(w, turn)
        w.text('<tool_response>\n' if turn.role == 'tool' else '')
        w.said(turn, turn.content.strip())
        w.text('</tool_response>' if turn.role == 'tool' else '')
        w.text('<end_of_turn>')
        w.end()
        w.text('\n')
    w.text('<start_of_turn>model\n' if c.add_generation_prompt else '')


def _write_pythonic_head(c: Conversation, w: Writer) -> None:
    if c.system:
        w.said(c.system)
        w.text('\n\n')
    if c.tools:
        w.text(_PYTHONIC)
        w.data(tojson(list(c.tools), indent=4))
        w.text('\n\n')


def _write_pythonic_calls(w: Writer, turn: Turn) -> None:
    w.text('[')
    for i, call in enumerate(turn.calls):
        w.text(', ' if i else '')
        w.said(turn, call.name)
        w.text('(')
        if isinstance(call.arguments, Mapping):
            # Nothing stands between two arguments: vLLM's template forgets the comma.
            w.said(turn, ''.join(f'{key}={tojson(given)}' for key, given in call.arguments.items()))
        elif isinstance(call.arguments, list):
            w.said(turn, ', '.join(map(tojson, call.arguments)))
        else:
            w.said(turn, tojson(call.arguments))
        w.text(')')
    w.text(']')


def write_functiongemma(c: Conversation, w: Writer) -> None:
    """FunctionGemma as vLLM writes it: turns without a line break between them; tools only beside a system text."""
    for turn in c.turns:
        if turn.role == 'assistant':
            w.text('<start_of_turn>model')
            w.begin(turn)
            if turn.calls:
                _write_escaped_calls(w, turn)
            else:
                w.text('\n')
                w.said(turn)
        else:
            w.text('<start_of_turn>user\n')
            if turn.role == 'tool':
                w.text('Function result for ')
                w.said(turn, turn.name or 'function')
                w.text(': ')
            w.said(turn)
            if turn.role == 'system' and c.tools:
                _write_functions(c, w)
        w.text('<end_of_turn>')
        w.end()
    w.text('<start_of_turn>model' if c.add_generation_prompt else '')


def _write_functions(c: Conversation, w: Writer) -> None:
    w.text('\nAvailable functions:')
    for tool in c.tools:
        if tool.get('type') == 'function':
            function = tool['function']
            w.text('\nFunction: ')
            w.data(str(function['name']))
            w.text('\nDescription: ')
            w.data(str(function.get('description', 'No description provided')))
            w.text('\nParameters: ')
            w.data(tojson(function.get('parameters')))


def _write_escaped_calls(w: Writer, turn: Turn) -> None:
    for call in turn.calls:
        if not isinstance(call.arguments, Mapping):
            raise RowError(f'the arguments of a call must be a JSON object, not {call.text[:80]!r}')
        w.text('<start_function_call>call:')
        w.said(turn, call.name)
        w.text('{')
        for i, (key, given) in enumerate(call.arguments.items()):
            w.text(',' if i else '')
            w.said(turn, key)
            w.text(':<escape>')
            w.said(turn, str(given))
            w.text('<escape>')
        w.text('}<end_function_call>')


@dataclass(frozen=True)
class Gemma4:
    """What differs between the published versions of Gemma 4's template.

    Attributes:
        prompts_empty: a prompt ends with an empty thought, unless thinking is enabled (31B, 26B-A4B, 12B).
        hides_keys: parameters called like a key of a JSON schema ("description") are left out at every depth; later
            versions do so only in an object that lists no properties.
        canonical: the version of July 2026: it closes turns and shows thoughts in final answers too.
        reopens: an answer behind results has a turn of its own (DiffusionGemma).
        fills: an answer without thoughts starts with the empty thought that its prompt ended with, and a line break
            stands between two answers in one turn (vLLM's version).
    """

    prompts_empty: bool = False
    hides_keys: bool = False
    canonical: bool = False
    reopens: bool = False
    fills: bool = False

    @property
    def null(self) -> str:
        return 'null' if self.canonical else 'None'

    def write(self, c: Conversation, w: Writer) -> None:
        """Results stand in the turn of the answer that called, which goes on behind them."""
        enabled = bool(c.options.get('enable_thinking'))
        self._write_head(c, w, enabled)
        turns = c.turns[1 if c.system else 0:]
        pending = ''  # how the last answer stopped: 'call', 'result', or neither
        for turn in turns:
            if turn.role != 'tool':
                pending = self._write_turn(c, w, turn, turns)
        if not c.add_generation_prompt:
            return
        if not pending:
            w.text('<|turn>model\n')
            if c.prompts_empty(self.prompts_empty and not enabled):
                w.text(_EMPTY)
        elif pending == 'result' and enabled and c.prompts_thinking(self.canonical):
            w.text('<|channel>thought\n')

    def _write_head(self, c: Conversation, w: Writer, enabled: bool) -> None:
        w.text(c.bos)
        if not (enabled or c.tools or c.system):
            return
        w.text('<|turn>system\n')
        if enabled:
            w.text('<|think|>\n')
        if c.system:
            w.said(c.system, c.system.content.strip())
        for tool in c.tools:
            w.text('<|tool>')
            _put(w, w.data, self._declaration(tool['function']))
            w.text('<tool|>')
        w.text('<turn|>\n')

    def _write_turn(self, c: Conversation, w: Writer, turn: Turn, turns: Sequence[Turn]) -> str:
        is_answer = turn.role == 'assistant'
        place = turn.index - turns[0].index
        before = [t for t in turns[:place] if self.reopens or t.role != 'tool']
        after = [t for t in turns[place + 1:] if t.role != 'tool']
        continues = is_answer and bool(before) and before[-1].role == 'assistant'
        if not continues:
            w.text(f'<|turn>{"model" if is_answer else turn.role}\n')
        results = _results_of(turn, turns[place + 1:])
        if is_answer:
            self._begin_answer(c, w, turn, continues, bool(continues and before[-1].calls))
        self._write_calls(w, turn)
        for i, result in enumerate(results):
            w.text('<|tool_response>')
            if i == 0:
                w.end()
            self._write_result(w, turn, result)
        content = _without_thoughts(turn.content) if is_answer else turn.content.strip()
        w.said(turn, content)
        has_content = bool(content if self.hides_keys is False else turn.content)
        if turn.calls and not results:
            w.text('<|tool_response>')
        elif self.canonical and is_answer and after and after[0].role == 'assistant':
            w.end()  # the next answer goes on in this turn
            w.text('\n' if self.fills else '')
        elif not results or has_content or (self.canonical and after and not self.fills):
            w.text('<turn|>')
            w.end()
            w.text('\n')
        w.end()
        return 'result' if results else 'call' if turn.calls else ''

    def _begin_answer(self, c: Conversation, w: Writer, turn: Turn, continues: bool, after_result: bool) -> None:
        enabled = bool(c.options.get('enable_thinking'))
        in_round = turn.index > c.last_question
        shown = in_round and (bool(turn.calls) or self.canonical)
        if self.canonical and (turn.calls or self.fills) and c.options.get('preserve_thinking'):
            shown = True
        if not (turn.reasoning and c.shows_reasoning(turn, shown)):
            fills = self.fills and not (enabled or continues or turn.reasoning)
            if not after_result and c.writes_empty(turn, fills):
                w.text(_EMPTY)
            w.begin(turn)
            return
        is_prompted = after_result and enabled and c.prompts_thinking(self.canonical)
        if not is_prompted:
            w.begin(turn)
        w.text('<|channel>thought\n')
        if is_prompted:
            w.begin(turn)
        w.said(turn, turn.reasoning)
        w.text('\n<channel|>')

    def _write_calls(self, w: Writer, turn: Turn) -> None:
        def put(text: str) -> None:
            w.said(turn, text)

        for call in turn.calls:
            w.text('<|tool_call>call:')
            w.said(turn, call.name)
            w.text('{')
            if isinstance(call.arguments, Mapping):
                _put(w, put, joined([[(True, key), (False, ':'), *value(inner, False, self.null)]
                                     for key, inner in by_key(call.arguments)]))
            elif self.canonical and call.arguments is not None:
                raise RowError(f'Gemma 4 takes the arguments of a call as a JSON object, not {call.text[:80]!r}')
            elif isinstance(call.arguments, str):
                w.said(turn, call.arguments)
            w.text('}<tool_call|>')

    def _write_result(self, w: Writer, turn: Turn, result: Turn) -> None:
        name = result.name or 'unknown'
        for call in turn.calls:
            if call.id == result.call_id:
                name = call.name
        w.text('response:')
        w.said(result, name)
        w.text('{value:<|"|>')
        w.said(result)
        w.text('<|"|>}<tool_response|>')

    # -- the tools -----------------------------------------------------------------------------------------------

    def _declaration(self, function: Mapping[str, Any]) -> Pieces:
        pieces: Pieces = [(False, 'declaration:'), (True, function['name']), (False, '{description:'),
                          *quoted(str(function.get('description', '')))]
        parameters = function.get('parameters')
        if parameters:
            pieces.append((False, ',parameters:{'))
            if parameters.get('properties'):
                pieces += [(False, 'properties:{'), *self._properties(parameters['properties']), (False, '},')]
            if parameters.get('required'):
                pieces += [*_required(parameters['required']), (False, ',')]
            if parameters.get('type'):
                pieces += [*_type(parameters['type']), (False, '}')]
        if 'response' in function:
            response = function['response']
            pieces.append((False, ',response:{'))
            if response.get('description'):
                pieces += [(False, 'description:'), *quoted(response['description']), (False, ',')]
            if _upper(response.get('type')) == 'OBJECT':
                pieces += [*_type(response['type']), (False, '}')]
        return [*pieces, (False, '}')]

    def _properties(self, properties: Mapping[str, Any], is_schema: bool = False) -> Pieces:
        """``is_schema``: the mapping is an object's schema itself, for lack of any properties in it."""
        hides = self.hides_keys or is_schema
        return joined([self._property(key, schema if isinstance(schema, Mapping) else {}, schema)
                       for key, schema in by_key(properties) if not (hides and key in _SCHEMA_KEYS)])

    def _property(self, key: str, schema: Mapping[str, Any], given: Any) -> Pieces:
        kind = _upper(schema.get('type'))
        fields: list[Pieces] = []
        if schema.get('description'):
            fields.append([(False, 'description:'), *quoted(str(schema['description']))])
        if kind == 'STRING' and schema.get('enum'):
            fields.append([(False, 'enum:'), *value(schema['enum'], True, self.null)])
        if kind == 'ARRAY' and isinstance(schema.get('items'), Mapping) and schema['items']:
            fields.append([(False, 'items:{'), *self._items(schema['items']), (False, '}')])
        if schema.get('nullable'):
            fields.append([(False, 'nullable:true')])
        if kind == 'OBJECT':
            listed = isinstance(schema.get('properties'), Mapping)
            inner = self._properties(schema['properties']) if listed else self._properties(schema, is_schema=True)
            fields.append([(False, 'properties:{'), *inner, (False, '}')])
            if schema.get('required'):
                fields.append(_required(schema['required']))
        fields.append(_type(schema.get('type')))
        return [(True, key), (False, ':{'), *joined(fields), (False, '}')]

    def _items(self, items: Mapping[str, Any]) -> Pieces:
        fields: list[Pieces] = []
        for key, inner in by_key(items):
            if inner is None:
                continue
            if key == 'properties':
                listed = self._properties(inner) if isinstance(inner, Mapping) else []
                fields.append([(False, 'properties:{'), *listed, (False, '}')])
            elif key == 'required':
                fields.append(_required(inner))
            elif key == 'type':
                upper = inner.upper() if isinstance(inner, str) else [str(one).upper() for one in inner]
                fields.append([(False, 'type:'), *value(upper, True, self.null)])
            else:
                fields.append([(True, key), (False, ':'), *value(inner, True, self.null)])
        return joined(fields)


def _put(w: Writer, put: Callable[[str], None], pieces: Pieces) -> None:
    for is_given, text in pieces:
        (put if is_given else w.text)(text)


def _upper(kind: Any) -> str:
    return '' if kind is None else str(kind).upper()


def _type(kind: Any) -> Pieces:
    return [(False, 'type:'), *quoted(_upper(kind))]


def _required(names: Sequence[str]) -> Pieces:
    return [(False, 'required:['), *joined([quoted(str(name)) for name in names]), (False, ']')]


def _results_of(turn: Turn, following: Sequence[Turn]) -> list[Turn]:
    """The results that follow an answer with calls."""
    results: list[Turn] = []
    for other in following if turn.calls else ():
        if other.role != 'tool':
            break
        results.append(other)
    return results


def _without_thoughts(content: str) -> str:
    return ''.join(part.split('<|channel>')[0] for part in content.split('<channel|>')).strip()


write_gemma4 = Gemma4(prompts_empty=True, hides_keys=True).write
write_gemma4_small = Gemma4().write
write_gemma4_v3 = Gemma4(hides_keys=True).write
write_gemma4_unified = Gemma4(prompts_empty=True).write
write_gemma4_v5 = Gemma4(canonical=True).write
write_diffusion_gemma = Gemma4(canonical=True, reopens=True).write
write_gemma4_vllm = Gemma4(prompts_empty=True, canonical=True, fills=True).write
