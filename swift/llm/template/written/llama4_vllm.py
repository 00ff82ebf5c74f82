"""vLLM's templates for tools with Llama 4: its ``examples/tool_chat_template_llama4_{json,pythonic}.jinja``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from swift.llm.template.conversation import Conversation, Turn, tojson
from swift.llm.template.writer import Writer
from swift.llm.template.written.llama import write_python_calls
from swift.utils.errors import RowError


def write_llama4_json(c: Conversation, w: Writer) -> None:
    """Calls as JSON. Calls, results and prompts start with a line break that other messages do not have."""
    tools = c.options.get('custom_tools', c.tools or None)
    in_question = bool(c.options.get('tools_in_user_message', True))
    turns = c.turns[1 if c.system else 0:]
    w.text(c.bos)
    _write_header(w, 'system')
    if tools is not None and not in_question:
        _write_listed_tools(w, tools)
    if c.system is not None:
        w.said(c.system, c.system.content.strip())
    else:
        w.text(_SYSTEM)
    w.text('\n<|eot|>\n')
    if tools is not None and in_question:
        if not turns:
            raise RowError('the tools stand in the first question, but the conversation has none')
        _write_header(w, 'user')
        _write_listed_tools(w, tools)
        w.said(turns[0], turns[0].content.strip())
        w.text('\n<|eot|>')
        turns = turns[1:]
    for turn in turns:
        w.text('\n' if turn.calls or turn.role == 'tool' else '')
        _write_header(w, 'ipython' if turn.role == 'tool' else turn.role)
        if turn.role == 'assistant':
            w.begin(turn)
        w.said(turn, turn.content.strip())
        for call in turn.calls:
            w.text('{"name": "')
            w.said(turn, call.name)
            w.text('", "parameters": ')
            w.said(turn, call.text)
            w.text('}')
        w.text('\n<|eom|>' if turn.role == 'tool' else '\n<|eot|>')
        w.end()
    if c.add_generation_prompt:
        w.text('\n')
        _write_header(w, 'assistant')


def write_llama4_pythonic(c: Conversation, w: Writer) -> None:
    """Calls as a Python list, every value in quotes; tools behind the system text, or behind one of the template's."""
    tools = c.options.get('custom_tools') or c.tools
    w.text(c.bos)
    said = c.system.content.strip() if c.system is not None else ''
    if said or (tools and c.system is None):
        _write_header(w, 'system')
        if c.system is not None:
            w.said(c.system, said)
        else:
            w.text(_COMPOSER)
        w.text(_GIVEN if tools and c.system is not None else '')
        w.data(tojson(list(tools), indent=4) if tools else '')
        w.text('<|eot|>')
    for turn in c.turns[1 if c.system else 0:]:
        _write_header(w, 'ipython' if turn.role == 'tool' else turn.role)
        _write_python_turn(w, turn)
        w.text('<|eot|>')
        w.end()
    if c.add_generation_prompt:
        _write_header(w, 'assistant')


def _write_python_turn(w: Writer, turn: Turn) -> None:
    if turn.role == 'assistant':
        w.begin(turn)
    w.said(turn, tojson(turn.content) if turn.role == 'tool' else turn.content)
    if turn.calls:
        write_python_calls(w, turn, quote='"')


def _write_header(w: Writer, role: str) -> None:
    w.text(f'<|header_start|>{role}<|header_end|>\n\n')


def _write_listed_tools(w: Writer, tools: Sequence[Mapping[str, Any]]) -> None:
    w.text(_LISTED)
    for tool in tools:
        w.data(tojson(tool, indent=4))
        w.text('\n\n')


_SYSTEM = (
    'You are a helpful assistant with tool calling capabilities. Only reply with a tool call if the function exists in '
    "the library provided by the user. If it doesn't exist, just reply directly in natural language. When you receive "
    'a tool call response, use the output to format an answer to the original user question.')
_LISTED = (
    'Tools: You have access to the following tools. You might need to use one or more function/tool calls to fulfill '
    'the task. \nIf none are needed, then proceed to the response.\n\n'
    'Tool Call Syntax: You can call tools using the following syntax:\n'
    '{"name": function name, "parameters": dictionary of argument name and its value}.\n'
    'Separate multiple function calls by "; ". Do not use variables.\n'
    'Do not include anything else when calling the tools with the syntax above.\n\n'
    'Here is a list of functions in JSON format that you can invoke.\n')
_GIVEN = (
    '\nHere is a list of functions in JSON format that you can invoke. Use exact format: [func_name1(param1=value1, '
    'param2=value2), func_name2(...)]\n')
_COMPOSER = (
    'You are a helpful assistant and an expert in function composition. You can answer general questions using your '
    'internal knowledge OR invoke functions when necessary. Follow these strict guidelines:\n\n'
    '1. FUNCTION CALLS:\n- ONLY use functions that are EXPLICITLY listed in the function list below\n'
    '- If NO functions are listed (empty function list []), respond ONLY with internal knowledge or "I don\'t have '
    'access to [Unavailable service] information"\n'
    '- If a function is not in the list, respond ONLY with internal knowledge or "I don\'t have access to [Unavailable '
    'service] information"\n'
    "- If ALL required parameters are present AND the query EXACTLY matches a listed function's purpose: output ONLY "
    'the function call(s)\n'
    '- Use exact format: [func_name1(param1=value1, param2=value2), func_name2(...)]\nExamples:\n'
    'CORRECT: [get_weather(location="Vancouver"), calculate_route(start="Boston", end="New York")] <- Only if '
    'get_weather and calculate_route are in function list\nINCORRECT: get_weather(location="New York")\n'
    'INCORRECT: Let me check the weather: [get_weather(location="New York")]\n'
    'INCORRECT: [get_events(location="Singapore")] <- If function not in list\n\n'
    '2. RESPONSE RULES:\n- For pure function requests matching a listed function: ONLY output the function call(s)\n'
    '- For knowledge questions: ONLY output text\n'
    '- For missing parameters: ONLY request the specific missing parameters\n'
    '- For unavailable services (not in function list): output ONLY with internal knowledge or "I don\'t have access '
    'to [Unavailable service] information". Do NOT execute a function call.\n'
    '- If the query asks for information beyond what a listed function provides: output ONLY with internal knowledge '
    'about your limitations\n- NEVER combine text and function calls in the same response\n'
    '- NEVER suggest alternative functions when the requested service is unavailable\n'
    '- NEVER create or invent new functions not listed below\n\n'
    '3. STRICT BOUNDARIES:\n- ONLY use functions from the list below - no exceptions\n'
    '- NEVER use a function as an alternative to unavailable information\n'
    '- NEVER call functions not present in the function list\n- NEVER add explanatory text to function calls\n'
    '- NEVER respond with empty brackets\n- Use proper Python/JSON syntax for function calls\n'
    '- Check the function list carefully before responding\n\n'
    '4. TOOL RESPONSE HANDLING:\n- When receiving tool responses: provide concise, natural language responses\n'
    "- Don't repeat tool response verbatim\n- Don't add supplementary information\n\n"
    'Here is a list of functions in JSON format that you can invoke:\n')
