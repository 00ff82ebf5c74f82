"""Llama 2 to 4 of Meta, and templates that other tools serve them with. Checked against the chat templates that each
docstring names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swift.llm.template.conversation import Call, Conversation, Turn, tojson
from swift.llm.template.writer import Writer
from swift.utils.errors import RowError


def write_llama2(c: Conversation, w: Writer) -> None:
    """Llama-2-chat: the system text is a part of the first question; every round opens with BOS."""
    turns = c.turns[1 if c.system else 0:]
    for i, turn in enumerate(turns):
        if (turn.role == 'user') != (i % 2 == 0):
            raise RowError(f'Llama 2 takes turns of user and assistant, but turn {i} is of {turn.role!r}')
        if turn.role == 'assistant':
            w.begin(turn)
            w.text(' ')
            w.said(turn, turn.content.strip())
            w.text(f' {c.eos}')
            w.end()
            continue
        w.text(f'{c.bos}[INST] ')
        if i == 0 and c.system is not None:
            w.text('<<SYS>>\n')
            w.said(c.system, c.system.content.strip())
            w.text('\n<</SYS>>\n\n')
            w.said(turn, turn.content.rstrip())  # the two are stripped as one text
        else:
            w.said(turn, turn.content.strip())
        w.text(' [/INST]')


def write_llama3(c: Conversation, w: Writer) -> None:
    """Llama-3-Instruct: one block a message, contents stripped, any role."""
    w.text(c.bos if c.turns else '')
    for turn in c.turns:
        _write_message(w, turn, LLAMA3_1, turn.role)
    if c.add_generation_prompt:
        _write_header(w, LLAMA3_1, 'assistant')


@dataclass(frozen=True)
class Llama:
    """What differs between the templates of Llama 3.1 and later.

    Attributes:
        role: what opens a message and closes the name of its role; ``eot`` ends it.
        knowledge: whether the system block gives the dates of the model's knowledge and of today.
        today: the date where no option gives one; None is the day of rendering.
        needs_system: whether there is a system block only where the conversation has a system text.
        tool_system: the system text of a conversation with tools that has none.
        in_system: introduces tools in the system block, ``in_question`` in the first question.
        tools_in_question: where tools stand, unless the option ``tools_in_user_message`` says otherwise.
        after_tools: what stands between the tools and the system text.
        environment: whether the system block of a conversation with tools names the environment.
        strips: whether contents are stripped of surrounding white space.
        result: how the result of a tool is written.
        calls: how calls are written, in the answer of a turn.
        always_prompts: whether a conversation ends with the start of an answer even if none was asked for.
    """

    role: tuple[str, str] = ('<|start_header_id|>', '<|end_header_id|>\n\n')
    eot: str = '<|eot_id|>'
    knowledge: bool = True
    today: str | None = None
    needs_system: bool = False
    system: str = ''
    tool_system: str = ''
    in_system: str = ''
    in_question: str = ''
    tools_in_question: bool = True
    after_tools: str = ''
    environment: bool = True
    strips: bool = True
    result: Callable[[str], str] = tojson
    calls: Callable[[Writer, Turn], None] = lambda w, turn: _write_single_call(w, turn)
    always_prompts: bool = False

    def strip(self, text: str) -> str:
        return text.strip() if self.strips else text


def write_llama3_1(c: Conversation, w: Writer) -> None:
    """Llama-3.1-Instruct and 3.3: the date is a fixed one; ``builtin_tools`` are called as Python."""
    _write(c, w, LLAMA3_1)


def write_llama3_2(c: Conversation, w: Writer) -> None:
    """Llama-3.2-Instruct: like 3.1, dated on the day of rendering, without built-in tools."""
    _write(c, w, LLAMA3_2)


def write_llama3_2_vision(c: Conversation, w: Writer) -> None:
    """Llama-3.2-Vision-Instruct: like 3.2, but only the system text and a question with tools are stripped."""
    _write(c, w, LLAMA3_2_VISION)


def write_llama4(c: Conversation, w: Writer) -> None:
    """Llama-4-Instruct: no system block unless there is a system text; what is said beside calls stands between the
    tokens that open and close Python."""
    _write(c, w, LLAMA4)


def write_llama3_1_json(c: Conversation, w: Writer) -> None:
    """vLLM's template for tools with Llama 3.1."""
    _write(c, w, _LLAMA3_1_JSON)


def write_llama3_2_json(c: Conversation, w: Writer) -> None:
    """vLLM's template for tools with Llama 3.2: they stand in the system block."""
    _write(c, w, _LLAMA3_2_JSON)


def write_llama3_2_pythonic(c: Conversation, w: Writer) -> None:
    """vLLM's template for Llama 3.2 that calls tools as Python."""
    _write(c, w, _LLAMA3_2_PYTHONIC)


def write_toolace(c: Conversation, w: Writer) -> None:
    """ToolACE-8B: calls as a Python list."""
    _write(c, w, _TOOLACE)


def _write(c: Conversation, w: Writer, llama: Llama) -> None:
    builtin = c.options.get('builtin_tools') if llama is LLAMA3_1 else None
    tools = c.options.get('custom_tools', c.tools or None)
    in_question = tools is not None and bool(c.options.get('tools_in_user_message', llama.tools_in_question))
    w.text(c.bos)
    turns = c.turns[1 if c.system else 0:]
    if c.system is not None or not llama.needs_system:
        _write_system(c, w, llama, builtin, tools, in_question)
    if in_question and llama.in_question:
        if not turns:
            raise RowError('the tools stand in the first question, but the conversation has none')
        _write_header(w, llama, 'user')
        _write_tools(w, llama.in_question, tools)
        w.said(turns[0], turns[0].content.strip())
        w.text(llama.eot)
        turns = turns[1:]
    for turn in turns:
        if turn.role == 'tool':
            _write_header(w, llama, 'ipython')
            w.said(turn, llama.result(turn.content))
            w.text(llama.eot)
        elif turn.calls:
            _write_header(w, llama, 'assistant')
            w.begin(turn)
            if builtin is None:
                llama.calls(w, turn)
                w.text(llama.eot)
            else:
                _write_builtin_call(w, turn, builtin)
                w.text('<|eom_id|>')
            w.end()
        else:
            _write_message(w, turn, llama, turn.role)
    if c.add_generation_prompt or llama.always_prompts:
        _write_header(w, llama, 'assistant')


def _write_system(c: Conversation, w: Writer, llama: Llama, builtin: Sequence[str] | None,
                  tools: Sequence[Mapping[str, Any]] | None, in_question: bool) -> None:
    _write_header(w, llama, 'system')
    if llama.environment and (tools is not None or builtin is not None):
        w.text('Environment: ipython\n')
    if builtin is not None:
        w.text('Tools: ')
        w.data(', '.join(name for name in builtin if name != 'code_interpreter'))
        w.text('\n\n')
    if llama.knowledge:
        w.text('Cutting Knowledge Date: December 2023\nToday Date: ')
        w.data(c.options.get('date_string') or llama.today or c.now.strftime('%d %b %Y'))
        w.text('\n\n')
    if tools is not None and not in_question:
        _write_tools(w, llama.in_system, tools)
        w.text(llama.after_tools)
    if c.system is not None:
        w.said(c.system, c.system.content.strip())
    else:
        w.text(llama.tool_system if tools is not None else llama.system)
    w.text(llama.eot)


def _write_header(w: Writer, llama: Llama, role: str) -> None:
    w.text(role.join(llama.role))


def _write_message(w: Writer, turn: Turn, llama: Llama, role: str) -> None:
    _write_header(w, llama, role)
    if turn.role == 'assistant':
        w.begin(turn)
    w.said(turn, llama.strip(turn.content))
    w.text(llama.eot)
    w.end()


def _write_tools(w: Writer, introduction: str, tools: Sequence[Mapping[str, Any]]) -> None:
    w.text(introduction)
    for tool in tools:
        w.data(tojson(tool, indent=4))
        w.text('\n\n')


def only_call(turn: Turn) -> Call:
    """The call of a turn, for models that make one at a time.

    Raises:
        RowError: there are several.
    """
    if len(turn.calls) != 1:
        raise RowError(f'this model calls one tool at a time, but turn {turn.index} has {len(turn.calls)} calls')
    return turn.calls[0]


def _write_single_call(w: Writer, turn: Turn) -> None:
    _write_json_call(w, turn, only_call(turn))


def _write_json_call(w: Writer, turn: Turn, call: Call) -> None:
    w.text('{"name": "')
    w.said(turn, call.name)
    w.text('", "parameters": ')
    w.said(turn, call.text)
    w.text('}')


def _write_builtin_call(w: Writer, turn: Turn, builtin: Sequence[str]) -> None:
    call = only_call(turn)
    if call.name not in builtin:
        _write_json_call(w, turn, call)
        return
    w.text('<|python_tag|>')
    w.said(turn, call.name)
    w.text('.call(')
    for i, (name, value) in enumerate(arguments_of(call).items()):
        if not isinstance(value, str):
            raise RowError(f'built-in tools of Llama 3.1 take texts, but {name!r} of {call.name!r} is {value!r}')
        w.text(', ' if i else '')
        w.said(turn, name)
        w.text('="')
        w.said(turn, value)
        w.text('"')
    w.text(')')


def _write_llama4_calls(w: Writer, turn: Turn) -> None:
    w.text('<|python_start|>')
    w.said(turn)
    w.text('<|python_end|>')
    for call in turn.calls:
        _write_json_call(w, turn, call)


def write_python_calls(w: Writer, turn: Turn, quote: str = '') -> None:
    """Calls as a Python list, ``[name(key=value), ...]``; values stand as Python prints them, texts without quotes."""
    w.text('[')
    for i, call in enumerate(turn.calls):
        w.text(', ' if i else '')
        w.said(turn, call.name)
        w.text('(')
        for k, (name, value) in enumerate(arguments_of(call).items()):
            w.text(', ' if k else '')
            w.said(turn, name)
            w.text(f'={quote}')
            w.said(turn, str(value))
            w.text(quote)
        w.text(')')
    w.text(']')


def arguments_of(call: Call) -> Mapping[str, Any]:
    """The arguments by name.

    Raises:
        RowError: they are no object.
    """
    if not isinstance(call.arguments, Mapping):
        raise RowError(f'the arguments of {call.name!r} are written one by one, but they are no object: {call.text}')
    return call.arguments


def _as_output(content: str) -> str:
    return tojson({'output': content})


_HOW = 'Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}.'
_NO_VARIABLES = 'Do not use variables.\n\n'
_ACCESS = ('You have access to the following functions. To call a function, please respond with JSON for a function '
           'call.')
_GIVEN = ('Given the following functions, please respond with a JSON for a function call with its proper arguments '
          'that best answers the given prompt.\n\n')
_PYTHON_HOW = ('Respond in the format [func_name1(params_name1=params_value1, params_name2=params_value2...), '
               'func_name2(params)] ')
_TOOL_SYSTEM = (
    'You are a helpful assistant with tool calling capabilities. Only reply with a tool call if the function exists in '
    "the library provided by the user. If it doesn't exist, just reply directly in natural language.")
_TOOL_SYSTEM_LONG = _TOOL_SYSTEM + (
    ' When you receive a tool call response, use the output to format an answer to the original user question.')

LLAMA3_1 = Llama(today='26 Jul 2024', in_system=_ACCESS + _HOW + _NO_VARIABLES,
                 in_question=_GIVEN + _HOW + _NO_VARIABLES)
LLAMA3_2 = Llama(in_system=LLAMA3_1.in_system, in_question=LLAMA3_1.in_question)
LLAMA3_2_VISION = Llama(in_system=LLAMA3_1.in_system, in_question=LLAMA3_1.in_question, strips=False)
LLAMA4 = Llama(
    role=('<|header_start|>', '<|header_end|>\n\n'), eot='<|eot|>', knowledge=False, needs_system=True, strips=False,
    in_system=LLAMA3_1.in_system, in_question=LLAMA3_1.in_question, calls=_write_llama4_calls)
_LLAMA3_1_JSON = Llama(
    tool_system=_TOOL_SYSTEM_LONG, in_system=f'{_ACCESS} {_HOW} {_NO_VARIABLES}',
    in_question=f'{_GIVEN}{_HOW} {_NO_VARIABLES}', result=_as_output)
_LLAMA3_2_JSON = Llama(
    tool_system=_TOOL_SYSTEM_LONG, in_system=_LLAMA3_1_JSON.in_system, in_question=_LLAMA3_1_JSON.in_question,
    tools_in_question=False, result=_as_output)
_LLAMA3_2_PYTHONIC = Llama(
    system=_TOOL_SYSTEM_LONG, tool_system=_TOOL_SYSTEM_LONG, tools_in_question=False, result=_as_output,
    calls=write_python_calls,
    in_system=('You have access to the following functions. To call functions, please respond with a python list of '
               f'the calls. {_PYTHON_HOW}{_NO_VARIABLES}'),
    in_question=('Given the following functions, please respond with a python list for function calls with their '
                 f'proper arguments to best answer the given prompt.\n\n{_PYTHON_HOW}{_NO_VARIABLES}'))
_TOOLACE = Llama(
    knowledge=False, environment=False, system=_TOOL_SYSTEM, tool_system=_TOOL_SYSTEM, tools_in_question=False,
    after_tools='\n', result=_as_output, calls=write_python_calls, always_prompts=True,
    in_system=(
        'You are an expert in composing functions. You are given a question and a set of possible functions. Based on '
        'the question, you will need to make one or more function/tool calls to achieve the purpose.\n'
        'If none of the function can be used, point it out. If the given question lacks the parameters required by '
        'the function, also point it out.\n'
        'You should only return the function call in tools call sections.\n\n'
        'If you decide to invoke any of the function(s), you MUST put it in the format of '
        '[func_name1(params_name1=params_value1, params_name2=params_value2...), func_name2(params)]\n'
        'You SHOULD NOT include any other text in the response.\n'
        'Here is a list of functions in JSON format that you can invoke.\n'))


def write_firefunction_v2(c: Conversation, w: Writer) -> None:
    """FireFunction v2 (Llama 3): the functions and the date come as the options ``functions`` and ``datetime``, or from
    the tools and the clock; every rendering ends with the start of an answer."""
    if not c.turns:
        raise RowError('FireFunction v2 does not write an empty conversation')
    w.text(c.bos)
    _write_header(w, LLAMA3_1, 'system')
    if c.system is not None:
        w.said(c.system, c.system.content.strip())
    else:
        w.text('You are a helpful assistant with access to functions.')
    w.text(f'\n{_FIREFUNCTION}\n')
    w.data(c.options.get('functions', tojson(list(c.tools), indent=4)))
    w.text('\nToday is ')
    w.data(c.options.get('datetime', c.now.strftime('%Y-%m-%d %H:%M:%S')))
    w.text('.<|eot_id|>')
    for turn in c.turns[1 if c.system else 0:]:
        _write_header(w, LLAMA3_1, turn.role)
        if turn.role == 'assistant':
            w.begin(turn)
        w.said(turn, turn.content.strip())
        _write_functools(w, turn)
        w.text('<|eot_id|>')
        w.end()
    _write_header(w, LLAMA3_1, 'assistant')


def _write_functools(w: Writer, turn: Turn) -> None:
    w.text(' functools[' if turn.calls else '')
    for i, call in enumerate(turn.calls):
        w.text(', {"name": "' if i else '{"name": "')
        w.said(turn, call.name)
        w.text('", "arguments": ')
        w.said(turn, call.text)
        w.text('}')
    w.text(']' if turn.calls else '')


_FIREFUNCTION = (
    'In addition to plain text responses, you can chose to call one or more of the provided functions.\n\n'
    'Use the following rule to decide when to call a function:\n'
    '  * if the response can be generated from your internal knowledge (e.g., as in the case of queries like "What is '
    'the capital of Poland?"), do so\n'
    '  * if you need external information that can be obtained by calling one or more of the provided functions, '
    'generate a function calls\n\n'
    'If you decide to call functions:\n'
    '  * prefix function calls with functools marker (no closing marker required)\n'
    '  * all function calls should be generated in a single JSON list formatted as functools[{"name": [function name], '
    '"arguments": [function arguments as JSON]}, ...]\n'
    '  * follow the provided JSON schema. Do not hallucinate arguments or values. Do to blindly copy values from the '
    'provided samples\n'
    '  * respect the argument type formatting. E.g., if the type if number and format is float, write value 7 as 7.0\n'
    '  * make sure you pick the right functions that match the user intent\n\n'
    'Available functions as JSON spec:')
