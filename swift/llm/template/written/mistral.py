"""Mistral AI's models, from the first tokenizer to Ministral 3. Checked against the chat templates that each docstring
names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from swift.llm.template.conversation import Call, Conversation, Turn, tojson
from swift.llm.template.writer import Writer
from swift.utils.errors import RowError


@dataclass(frozen=True)
class Instruct:
    """What differs between the templates that have the system text inside a question.

    Attributes:
        question: what stands around a question.
        gap: what stands between a tag and its JSON.
        answer: what an answer begins with.
        trim: how the content of an answer is stripped.
        tools: whether the template writes tools, calls and results.
        system: the round whose question holds the system text: 'first', 'last' (only while it waits for its answer),
            or '' where the template refuses one; 'apart' is in front of all, between tags.
        default: the system text of a conversation that has none, with 'apart'.
        exact_ids: whether ids of calls have exactly nine characters, or at least nine, of which the last are written.
        parallel: what is put in front of the system text of a conversation with tools.
        alternates: whether questions and answers have to alternate.
    """

    question: tuple[str, str] = ('[INST] ', '[/INST]')
    gap: str = ''
    answer: str = ''
    trim: Callable[[str], str] = str
    tools: bool = True
    system: str = 'last'
    default: str = ''
    exact_ids: bool = True
    parallel: str = ''
    alternates: bool = True


def write_mistral_v0_2(c: Conversation, w: Writer) -> None:
    """Mistral-7B-Instruct-v0.2 as first published: no system text, no space in front of an answer."""
    _write_instruct(c, w, Instruct(('[INST] ', ' [/INST]'), tools=False, system=''))


def write_mistral_v1(c: Conversation, w: Writer) -> None:
    """Tokenizer v1 (Mistral-7B-Instruct-v0.1 and v0.2, Mixtral 8x7B): the system text is in the first question."""
    _write_instruct(c, w, Instruct((' [INST] ', ' [/INST]'), answer=' ', tools=False, system='first'))


def write_mistral_v3(c: Conversation, w: Writer) -> None:
    """Tokenizers v2 and v3 (Mistral-7B-Instruct-v0.3, Mistral-Large-2407, Codestral): tools before the last question,
    the system text in it."""
    _write_instruct(c, w, Instruct(gap=' ', answer=' ', trim=str.strip))


def write_mistral_nemo(c: Conversation, w: Writer) -> None:
    """Tokenizer v3-tekken (Mistral-Nemo-2407, Ministral-8B-2410): v3 without its spaces."""
    _write_instruct(c, w, Instruct(('[INST]', '[/INST]')))


def write_pixtral(c: Conversation, w: Writer) -> None:
    """Pixtral-12B: Mistral-Nemo's format without tools."""
    _write_instruct(c, w, Instruct(('[INST]', '[/INST]'), tools=False))


def write_mistral_tool(c: Conversation, w: Writer) -> None:
    """vLLM's template for tools with Mistral-7B-Instruct-v0.3."""
    _write_instruct(c, w, Instruct(gap=' ', answer=' ', exact_ids=False))


def write_mistral_parallel(c: Conversation, w: Writer) -> None:
    """vLLM's template for parallel calls with Mistral-7B-Instruct-v0.3."""
    _write_instruct(c, w, Instruct(gap=' ', answer=' ', exact_ids=False, parallel=_PARALLEL))


def write_mistral_small_3_tool(c: Conversation, w: Writer) -> None:
    """vLLM's template for parallel calls with Mistral Small 3 and 3.1."""
    _write_instruct(c, w, Instruct(('[INST]', '[/INST]'), gap=' ', exact_ids=False, parallel=_PARALLEL, system='apart',
                                   default=_SMALL_3, alternates=False))


def _write_instruct(c: Conversation, w: Writer, m: Instruct) -> None:
    turns = c.turns if m.system == '' else c.turns[1 if c.system else 0:]
    if m.alternates:
        _check_alternating([turn for turn in turns if not (m.tools and (turn.role == 'tool' or turn.calls))])
    w.text(c.bos)
    if m.system == 'apart':
        _write_system_apart(c, w, m)
    for i, turn in enumerate(turns):
        if turn.role == 'user':
            if m.tools and c.tools and _is_last_question(turns, turn):
                w.text(f'[AVAILABLE_TOOLS]{m.gap}[')
                _write_functions(c, w)
                w.text('][/AVAILABLE_TOOLS]')
            w.text(m.question[0])
            if (m.system == 'first' and i == 0) or (m.system == 'last' and _waits(c, turns, i)):
                _write_system_in_question(c, w, m)
            w.said(turn)
            w.text(m.question[1])
        elif m.tools and turn.calls:
            _write_listed_calls(c, w, turn, m)
        elif turn.role == 'assistant':
            w.begin(turn)
            w.text(m.answer)
            w.said(turn, m.trim(turn.content))
            w.text(c.eos)
            w.end()
        elif m.tools and turn.role == 'tool':
            w.text(f'[TOOL_RESULTS]{m.gap}{{"content": ')
            w.said(turn)
            w.text(', "call_id": "')
            w.said(turn, _checked_id(turn.call_id, m.exact_ids))
            w.text('"}[/TOOL_RESULTS]')
        else:
            raise RowError(f'this model has no place for a turn of {turn.role!r} after the first one')


def _write_system_apart(c: Conversation, w: Writer, m: Instruct) -> None:
    w.text('[SYSTEM_PROMPT]')
    if m.parallel and c.tools:
        w.text(f'{m.parallel}\n\n')
    if c.system is not None:
        w.said(c.system)
    else:
        w.text(_dated(m.default, c))
    w.text('[/SYSTEM_PROMPT]')


def _dated(text: str, c: Conversation) -> str:
    return text.replace('{today}', c.now.strftime('%Y-%m-%d'))


def _write_system_in_question(c: Conversation, w: Writer, m: Instruct) -> None:
    if m.parallel and c.tools:
        w.text(f'{m.parallel}\n\n')
    if c.system is not None:
        w.said(c.system)
        w.text('\n\n')


def _write_listed_calls(c: Conversation, w: Writer, turn: Turn, m: Instruct) -> None:
    """Calls as one JSON list; what the answer says beside them is left out, as the official templates do."""
    w.begin(turn)
    w.text(f'[TOOL_CALLS]{m.gap}[')
    for i, call in enumerate(turn.calls):
        w.text(', ' if i else '')
        w.text('{')
        w.said(turn, _function_json(call)[1:-1])
        w.text(', "id": "')
        w.said(turn, _checked_id(call.id, m.exact_ids))
        w.text('"}')
    w.text(f']{c.eos}')
    w.end()


def _function_json(call: Call) -> str:
    """The called function as the row gives it, its arguments as an object."""
    function = call.raw.get('function', call.raw)
    return tojson({key: call.arguments if key == 'arguments' else value for key, value in function.items()})


def _checked_id(call_id: Any, exact: bool) -> str:
    """The nine characters that Mistral's models know a call by.

    Raises:
        RowError: the row has no such id.
    """
    if not isinstance(call_id, str) or len(call_id) < 9 or (exact and len(call_id) != 9):
        raise RowError(f'Mistral\'s models need ids of nine letters or digits for calls and results, but there is '
                       f'{call_id!r}; give every tool call an "id" and every tool message its "tool_call_id"')
    return call_id[-9:]


def _check_alternating(turns: list[Turn]) -> None:
    """Raises RowError unless questions and answers alternate."""
    for i, turn in enumerate(turns):
        if (turn.role == 'user') != (i % 2 == 0):
            raise RowError(f'this model takes turns of user and assistant, but turn {turn.index} is of {turn.role!r}')


def _waits(c: Conversation, turns: tuple[Turn, ...], i: int) -> bool:
    """Whether this question waits for its answer, or has one that is to be trained and was asked for by it."""
    return i == len(turns) - 1 or (c.trains and i == len(turns) - 2 and turns[-1].role == 'assistant')


def _is_last_question(turns: tuple[Turn, ...], turn: Turn) -> bool:
    """Whether this question says what the last one says: the official templates compare messages, not places."""
    last = [t for t in turns if t.role == 'user'][-1]
    return (turn.content, turn.name) == (last.content, last.name)


def _write_functions(c: Conversation, w: Writer) -> None:
    """Tools as the templates of tokenizers v2 and v3 write them: like JSON, but texts are not escaped."""
    for i, tool in enumerate(c.tools):
        w.text(', ' if i else '')
        w.text('{"type": "function", "function": {')
        function = {key: value for key, value in tool['function'].items() if key != 'return'}
        w.data(', '.join(f'"{key}": "{value}"' if isinstance(value, str) else f'"{key}": {tojson(value)}'
                         for key, value in function.items()))
        w.text('}}')


@dataclass(frozen=True)
class Prompted:
    """What differs between the templates that have the system text between tags of its own (tokenizer v7 and later).

    Attributes:
        default: the system text of a conversation that has none; ``{today}`` in it is the day of rendering.
        tools: where tools stand: 'head' behind the system text, 'question' before the last one, or '' nowhere.
        spaced: what stands inside the opening tags; ``answer`` what an answer begins with.
        calls: how one call is written; with ``says``, behind what the answer says, else in its place.
        result: how a result is written.
        systems: whether later system messages are written too.
        alternates: whether questions and answers have to alternate.
        answers_something: whether an answer without content and calls is refused.
        thinks: whether reasoning is written.
    """

    default: str = ''
    tools: str = 'head'
    spaced: str = ''
    answer: str = ''
    calls: Callable[[Writer, Turn, Call], None] = field(default=lambda w, turn, call: _write_call(w, turn, call))
    says: bool = True
    result: Callable[[Writer, Turn], None] = field(default=lambda w, turn: _write_result(w, turn))
    systems: bool = True
    alternates: bool = False
    answers_something: bool = False
    thinks: bool = False


def write_mistral_v7(c: Conversation, w: Writer) -> None:
    """Tokenizer v7 (Mistral-Large-2411): the system text between tags, spaces inside them."""
    _write_prompted(c, w, Prompted(tools='', spaced=' ', answer=' '))


def write_mistral_v7_tekken(c: Conversation, w: Writer) -> None:
    """Tokenizer v7-tekken (Mistral-Small-2501): v7 without its spaces, with a dated system text of its own."""
    _write_prompted(c, w, Prompted(_SMALL_3, tools=''))


def write_mistral_small_3_2(c: Conversation, w: Writer) -> None:
    """Mistral-Small-3.2-2506: calls with their ids, tools before the last question."""
    _write_prompted(c, w, Prompted(
        _SMALL_3_2, tools='question', calls=_write_call_with_id, says=False, result=_write_result_with_id,
        alternates=True))


def write_devstral(c: Conversation, w: Writer) -> None:
    """Devstral-Small-2507 (as Unsloth publishes it): tools behind the system text, of which it has one of its own."""
    _write_prompted(c, w, Prompted())


def write_ministral_3(c: Conversation, w: Writer) -> None:
    """Ministral-3-Instruct-2512: like the reasoning models, without a system text of its own."""
    _write_prompted(c, w, Prompted(systems=False, alternates=True, answers_something=True))


def write_ministral_3_reasoning(c: Conversation, w: Writer) -> None:
    """Ministral-3-Reasoning-2512: a system text that asks for ``[THINK]``, which holds the reasoning."""
    _write_prompted(c, w, Prompted(_MINISTRAL_3_REASONING, systems=False, alternates=True, answers_something=True,
                                   thinks=True))


def _write_prompted(c: Conversation, w: Writer, m: Prompted) -> None:
    turns = c.turns[1 if c.system else 0:]
    w.text(c.bos)
    _write_system_prompt(c, w, m)
    if m.tools == 'head' and c.tools:
        _write_tool_list(c, w)
    if m.alternates:
        # the template of Small 3.2 counts later system messages as answers, that of Ministral 3 refuses them below
        _check_alternating([t for t in turns if t.role != 'tool' and not t.calls and (m.systems or t.role != 'system')])
    for turn in turns:
        if turn.role == 'user':
            if m.tools == 'question' and c.tools and _is_last_question(turns, turn):
                _write_tool_list(c, w)
            w.text(f'[INST]{m.spaced}')
            w.said(turn)
            w.text('[/INST]')
        elif turn.role == 'assistant':
            _write_answer(c, w, turn, m)
        elif turn.role == 'tool' and m.tools:
            m.result(w, turn)
        elif turn.role == 'system' and m.systems:
            _write_later_system(w, turn, m)
        else:
            raise RowError(f'this model has no place for a turn of {turn.role!r} after the first one')


def _write_system_prompt(c: Conversation, w: Writer, m: Prompted) -> None:
    if c.system is not None:
        _write_later_system(w, c.system, m)
    elif m.default:
        w.text(f'[SYSTEM_PROMPT]{_dated(m.default, c)}[/SYSTEM_PROMPT]')


def _write_later_system(w: Writer, turn: Turn, m: Prompted) -> None:
    w.text(f'[SYSTEM_PROMPT]{m.spaced}')
    w.said(turn)
    w.text('[/SYSTEM_PROMPT]')


def _write_tool_list(c: Conversation, w: Writer) -> None:
    w.text('[AVAILABLE_TOOLS]')
    w.data(tojson(list(c.tools)))
    w.text('[/AVAILABLE_TOOLS]')


def _write_answer(c: Conversation, w: Writer, turn: Turn, m: Prompted) -> None:
    if m.answers_something and not turn.content and not turn.calls:
        raise RowError(f'this model writes no empty answers, but turn {turn.index} has neither content nor calls')
    w.begin(turn)
    if m.thinks and turn.reasoning and c.shows_reasoning(turn, False):
        w.text('[THINK]')
        w.said(turn, turn.reasoning)
        w.text('[/THINK]')
    calls = turn.calls if m.tools else ()
    if m.says or not calls:
        w.text(m.answer)
        w.said(turn)
    for call in calls:
        m.calls(w, turn, call)
    w.text(c.eos)
    w.end()


def _write_call(w: Writer, turn: Turn, call: Call) -> None:
    w.text('[TOOL_CALLS]')
    w.said(turn, call.name)
    w.text('[ARGS]')
    w.said(turn, call.text or '{}')


def _write_call_with_id(w: Writer, turn: Turn, call: Call) -> None:
    w.text('[TOOL_CALLS]')
    w.said(turn, call.name)
    w.text('[CALL_ID]')
    w.said(turn, _checked_id(call.id, True))
    w.text('[ARGS]')
    w.said(turn, call.text)


def _write_result(w: Writer, turn: Turn) -> None:
    w.text('[TOOL_RESULTS]')
    w.said(turn)
    w.text('[/TOOL_RESULTS]')


def _write_result_with_id(w: Writer, turn: Turn) -> None:
    w.text('[TOOL_RESULTS]')
    w.said(turn, _checked_id(turn.call_id, True))
    w.text('[TOOL_CONTENT]')
    w.said(turn)
    w.text('[/TOOL_RESULTS]')


_PARALLEL = (
    'You are a helpful assistant that can call tools. If you call one or more tools, format them in a single JSON '
    'array or objects, where each object is a tool call, not as separate objects outside of an array or multiple '
    'arrays. Use the format [{"name": tool call name, "arguments": tool call arguments}, additional tool calls] if you '
    'call more than one tool. If you call tools, do not attempt to interpret them or otherwise provide a response '
    'until you receive a tool call result that you can interpret for the user.')


_SMALL_3_HEAD = (
    'You are Mistral Small 3, a Large Language Model (LLM) created by Mistral AI, a French startup headquartered in '
    'Paris.\nYour knowledge base was last updated on 2023-10-01. The current date is {today}.\n\n')
_CLARIFY = (
    "If the user's question is not clear, ambiguous, or does not provide enough context for you to accurately answer "
    'the question, you do not try to answer it right away and you rather ask the user to clarify their request (e.g. '
    '"What are some good restaurants around me?" => "Where are you?" or "When is the next flight to Tokyo" => "Where '
    'do you travel from?")')
_SMALL_3 = (
    _SMALL_3_HEAD + "When you're not sure about some information, you say that you don't have the information and "
    f"don't make up anything.\n{_CLARIFY}")
_SMALL_3_2 = (
    _SMALL_3_HEAD + "When you're not sure about some information or when the user's request requires up-to-date or "
    'specific data, you must use the available tools to fetch the information. Do not hesitate to use tools whenever '
    'they can provide a more accurate or complete response. If no relevant tools are available, then clearly state '
    f"that you don't have the information and avoid making up anything.\n\n{_CLARIFY}.\n"
    'You are always very attentive to dates, and when asked about information at specific dates, you discard '
    'information that is at another date.\n'
    'You follow these instructions in all languages, and always respond to the user in the language they use or '
    'request.\nNext sections describe the capabilities that you have.\n\n'
    '# WEB BROWSING INSTRUCTIONS\n\n'
    'You cannot perform any web search or access internet to open URLs, links etc. If it seems like the user is '
    'expecting you to do so, you clarify the situation and ask the user to copy paste the text directly in the chat.'
    '\n\n# MULTI-MODAL INSTRUCTIONS\n\n'
    'You have the ability to read images, but you cannot generate images. You also cannot transcribe audio files or '
    'videos.\nYou cannot read nor transcribe audio files or videos.\n\n'
    '# TOOL CALLING INSTRUCTIONS\n\n'
    'You may have access to tools that you can use to fetch information or perform actions. You must use these tools '
    'in the following situations:\n\n'
    '1. When the request requires up-to-date information.\n'
    '2. When the request requires specific data that you do not have in your knowledge base.\n'
    '3. When the request involves actions that you cannot perform without tools.\n\n'
    'Always prioritize using tools to provide the most accurate and helpful response. If tools are not available, '
    'inform the user that you cannot perform the requested action at the moment.')
_MINISTRAL_3_REASONING = (
    '# HOW YOU SHOULD THINK AND ANSWER\n\n'
    'First draft your thinking process (inner monologue) until you arrive at a response. Format your response using '
    'Markdown, and use LaTeX for any mathematical equations. Write both your thoughts and the response in the same '
    'language as the input.\n\n'
    'Your thinking process must follow the template below:[THINK]Your thoughts or/and draft, like working through an '
    'exercise on scratch paper. Be as casual and as long as you want until you are confident to generate the response '
    'to the user.[/THINK]Here, provide a self-contained response.')
